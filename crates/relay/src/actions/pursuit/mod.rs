//! One payment of a desktop, followed to its end: [`Pursuit`].

mod question;
#[cfg(test)]
mod tests;
mod void;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use nexo::{MessageCategory, PoiId, Response, ResultCode, ServiceId};

use super::outcome::{Judgement, PaymentFailure, PaymentOutcome, judge};
use super::payment::PaymentAsk;
use super::transaction::PaymentStatus;
use crate::exchange::{Answer, Heard, WAIT_MAX};
use crate::fault::{self, Fault};
use crate::presence::GRACE;
use crate::time::{Now, WallMs};

use void::Voiding;

pub use question::Question;

/// How long after its beginning a desktop is left without a word: as long as its terminal may take, and then as long as a
/// terminal may be gone.
pub const PATIENCE: Duration = WAIT_MAX.saturating_add(GRACE);

/// How long a request that the ledger did not take is tried again. The till waits, and nothing has begun.
const RESEND_MAX: Duration = Duration::from_secs(30);

/// Between two questions while the desktop waits for the answer.
const ASK_PACE: Duration = Duration::from_secs(1);

/// Between two questions once nobody waits any more, at most; they begin at [`ASK_PACE`], again whenever the terminal comes.
const ASK_PACE_MAX: Duration = Duration::from_secs(60);

/// When a payment is left to people. The ledger knows it by its ServiceID for 48 h; after that a question could be about another.
const PURSUED_FOR: Duration = Duration::from_secs(47 * 3600);

/// Follows one payment of a desktop from its beginning, or from where a restart of the gateway has left it, to its end.
///
/// It sends the payment once, right after it was begun, and from then on only asks (TransactionStatus): whatever happens,
/// nothing reaches a terminal later than its till expects it. The questions are answered by the ledger, which closes what was
/// never sent (E16), so each payment comes to an end.
///
/// When the terminal stays away, the desktop is told `FAILED` with `TERMINAL_UNREACHABLE`: that is *not known*, and the
/// pursuit goes on. A success that comes then is voided where that can be done and nobody has read it (E25).
///
/// # How to drive it
/// Carry out [`Pursuit::poll_order`] until there is none, in order, and tell what came of an order before anything else is put
/// in: one is out at a time. Ask [`Pursuit::poll_timeout`]. What [`PursuitOrder::Note`] and [`PursuitOrder::End`] say has to be on
/// disk before the desktop hears it; try as often as it takes.
#[derive(Clone, Debug)]
pub struct Pursuit {
    ask: PaymentAsk,
    poi: PoiId,
    service: ServiceId,
    begun: WallMs,
    /// When this pursuit began, on the monotonic clock, and how old the payment was then.
    since: Duration,
    age_then: Duration,
    stage: Stage,
    /// The desktop knows that its terminal is away.
    is_awaiting_reconnect: bool,
    /// The desktop was told that the outcome is not known.
    is_given_up: bool,
    /// The terminal is connected, as far as was heard.
    is_present: bool,
    /// The last pause between two questions.
    pace: Duration,
    orders: VecDeque<PursuitOrder>,
}

/// What is to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum PursuitOrder {
    /// Send this request for its desktop, wait [`WAIT_MAX`], then [`Pursuit::handle_answer`].
    Send(Bytes),
    /// Send this question for its desktop, then [`Pursuit::handle_answer`]. It is no reading of the result.
    Ask(Question),
    /// Send this Reversal for the gateway, wait [`WAIT_MAX`], then [`Pursuit::handle_answer`].
    SendVoid(Bytes),
    /// Ask for the Reversal, for the gateway, then [`Pursuit::handle_answer`].
    AskVoid(Question),
    /// How it stands. Nothing is to be answered.
    Note(PaymentStanding),
    /// How it ended; then [`Pursuit::handle_ended`].
    End(End, PaymentOutcome),
    /// The end of the void. Nothing is to be answered.
    Voided(VoidEnd),
}

/// How a payment stands that has no end yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentStanding {
    /// It runs.
    Runs,
    /// Its terminal is away, and may still come back in time.
    AwaitsReconnect,
    /// The desktop is to be told this: the outcome is not known.
    GivenUp(PaymentOutcome),
}

/// The end of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Money was taken.
    Paid(Charge),
    /// Money was taken after the desktop was told that it is not known, and can't be given back: a person decides.
    PaidLate(Charge),
    /// The same, and it is to be given back unless somebody has read the success (E25): decided where that is known.
    PaidLateToVoid(Charge),
    /// None was taken.
    Failed,
    /// None was taken: somebody called it off.
    Cancelled,
}

/// How much was taken of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// All of it.
    Whole,
    /// A part, which nobody has asked for (nexo `Partial`). It is told as `FAILED` with `PARTIAL_APPROVAL`, and stays: the shop
    /// takes the rest, or gives it back. Only what came too late is voided, as any late success is.
    Part,
}

/// How a void ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidEnd {
    /// The money was given back.
    Done,
    /// It was not: the success stays, and a person decides.
    Refused,
    /// Nobody can find out: it may have been given back. A person has to look.
    Unknown,
}

/// Whether a terminal can undo a payment by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It takes Reversals: link terminals, and Actions terminals that acknowledge.
    Possible,
    /// It does not: plain Actions terminals.
    Impossible,
}

/// Where a pursuit of an earlier run of the gateway has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Nobody was told anything.
    Open,
    /// The desktop was told that the outcome is not known.
    GivenUp,
    /// Its success is being taken back.
    Voiding,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The request is with its terminal, or with the ledger.
    Sent,
    /// A question is out.
    Asked,
    /// Until the request is sent again, or the next question is asked.
    Pausing {
        until: Duration,
        next: Next,
    },
    /// The end is on its way to the disk. With it the terminal's response, where money was taken.
    Ending {
        response: Option<Bytes>,
    },
    /// Its success is taken back.
    Voiding(Voiding),
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Send,
    Ask,
}

impl Pursuit {
    /// A payment that was begun just now, under the ServiceID that [`service_id_of`](super::service_id_of) gives it.
    pub fn begin(now: Now, ask: PaymentAsk, poi: PoiId, service: ServiceId, begun: WallMs) -> Pursuit {
        let mut pursuit = Pursuit::new(now, ask, poi, service, begun, Stage::Sent);
        pursuit.send();
        pursuit
    }

    /// A payment that an earlier run of the gateway has begun. It is never sent again.
    pub fn resume(
        now: Now,
        ask: PaymentAsk,
        poi: PoiId,
        service: ServiceId,
        begun: WallMs,
        resumed: Resumed,
    ) -> Pursuit {
        let mut pursuit = Pursuit::new(now, ask, poi, service, begun, Stage::Asked);
        let age = u64::try_from(now.wall.0.saturating_sub(begun.0)).unwrap_or(0);
        pursuit.age_then = Duration::from_millis(age);
        pursuit.is_given_up = resumed != Resumed::Open;
        match resumed {
            Resumed::Voiding => pursuit.resume_void(now),
            Resumed::Open | Resumed::GivenUp => pursuit.ask_now(now),
        }
        pursuit
    }

    fn new(
        now: Now,
        ask: PaymentAsk,
        poi: PoiId,
        service: ServiceId,
        begun: WallMs,
        stage: Stage,
    ) -> Pursuit {
        Pursuit {
            ask,
            poi,
            service,
            begun,
            since: now.mono,
            age_then: Duration::ZERO,
            stage,
            is_awaiting_reconnect: false,
            is_given_up: false,
            is_present: true,
            pace: Duration::ZERO,
            orders: VecDeque::new(),
        }
    }

    /// What was heard of the latest [`PursuitOrder::Send`], `Ask`, `SendVoid` or `AskVoid`; `undo` says what the terminal can do
    /// at this moment.
    pub fn handle_answer(&mut self, now: Now, heard: &Heard, undo: Undo) {
        match &self.stage {
            Stage::Sent => self.sent_answered(now, &heard.answer, undo),
            Stage::Asked => self.question_answered(now, &heard.answer, undo),
            Stage::Voiding(_) => self.void_answered(now, heard),
            Stage::Pausing { .. } | Stage::Ending { .. } | Stage::Over => {}
        }
    }

    /// The end is on disk; whether it is being voided was decided there.
    pub fn handle_ended(&mut self, now: Now, is_being_voided: bool) {
        let Stage::Ending { response } = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        if is_being_voided && let Some(response) = response {
            self.begin_void(now, &response);
        }
    }

    /// The terminal has come, or was lost.
    pub fn handle_presence(&mut self, now: Now, is_present: bool) {
        self.is_present = is_present;
        let is_open = matches!(self.stage, Stage::Sent | Stage::Asked | Stage::Pausing { .. });
        if is_open && !self.is_given_up && self.is_awaiting_reconnect == is_present {
            self.is_awaiting_reconnect = !is_present;
            let standing = if is_present { PaymentStanding::Runs } else { PaymentStanding::AwaitsReconnect };
            self.orders.push_back(PursuitOrder::Note(standing));
        }
        if is_present {
            // It brings what it has within moments.
            self.pace = Duration::ZERO;
            let soon = now.mono.saturating_add(ASK_PACE);
            match &mut self.stage {
                Stage::Pausing { until, next: Next::Ask } => *until = (*until).min(soon),
                Stage::Voiding(voiding) => voiding.hurry(soon),
                _ => {}
            }
        }
    }

    /// Time has passed. Too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        match &self.stage {
            Stage::Pausing { until, next } if now.mono >= *until => match next {
                Next::Send => self.send(),
                Next::Ask => self.ask_now(now),
            },
            Stage::Voiding(_) => self.void_timeout(now),
            _ => {}
        }
    }

    /// When [`Pursuit::handle_timeout`] is due, on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Pausing { until, .. } => Some(*until),
            Stage::Voiding(voiding) => voiding.due(),
            _ => None,
        }
    }

    /// The next thing to carry out.
    pub fn poll_order(&mut self) -> Option<PursuitOrder> {
        self.orders.pop_front()
    }

    /// Whether nothing more will come of it. Before its end is known only after 47 h: then a person has to find out.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.orders.is_empty()
    }

    fn sent_answered(&mut self, now: Now, answer: &Answer, undo: Undo) {
        match judge(&self.ask, answer, now.wall) {
            Judgement::Final(outcome) => self.end(outcome, response_in(answer), undo),
            // By a question it is known whether it may still run.
            Judgement::MayRun => self.ask_now(now),
            Judgement::TryAgain if self.age(now) < RESEND_MAX => self.pause(now, Next::Send),
            Judgement::TryAgain => self.ask_now(now),
        }
    }

    fn question_answered(&mut self, now: Now, answer: &Answer, undo: Undo) {
        if let Some(told) = self.question().what_was_told(answer)
            && let Judgement::Final(outcome) = judge(&self.ask, &told, now.wall)
        {
            return self.end(outcome, response_in(&told), undo);
        }
        let may_still_run = !matches!(answer, Answer::NoResponse);
        let is_patient = may_still_run && self.age(now) < PATIENCE;
        if !is_patient {
            self.give_up(now);
        }
        self.pause(now, Next::Ask);
    }

    /// The desktop is told that the outcome is not known, once.
    fn give_up(&mut self, now: Now) {
        if !self.is_given_up {
            self.is_given_up = true;
            let why = match fault::is(Fault::UnknownIsNotPaid) {
                true => PaymentFailure::TerminalOffline,
                false => PaymentFailure::TerminalUnreachable,
            };
            let told = PaymentOutcome::failed(&self.ask, why, now.wall);
            self.orders.push_back(PursuitOrder::Note(PaymentStanding::GivenUp(told)));
        }
    }

    /// What was judged is the end.
    fn end(&mut self, outcome: PaymentOutcome, response: Option<Bytes>, undo: Undo) {
        let response = response.filter(is_charge);
        let can_void = undo == Undo::Possible
            && response.as_ref().is_some_and(|response| self.void_of(response, 0).is_some());
        let charge = match outcome.status == PaymentStatus::Success {
            true => Charge::Whole,
            false => Charge::Part,
        };
        let end = match (&response, outcome.status) {
            (Some(_), _) if self.is_given_up && can_void => End::PaidLateToVoid(charge),
            (Some(_), _) if self.is_given_up => End::PaidLate(charge),
            (Some(_), _) => End::Paid(charge),
            (None, PaymentStatus::Cancelled) => End::Cancelled,
            (None, _) => End::Failed,
        };
        self.stage = Stage::Ending { response };
        self.orders.push_back(PursuitOrder::End(end, outcome));
    }

    fn send(&mut self) {
        self.stage = Stage::Sent;
        self.orders.push_back(PursuitOrder::Send(self.ask.message(&self.poi, &self.service, self.begun)));
    }

    fn ask_now(&mut self, now: Now) {
        if self.age(now) >= PURSUED_FOR {
            // After a long time without a gateway it may not have a word yet.
            self.give_up(now);
            self.stage = Stage::Over;
            return;
        }
        self.stage = Stage::Asked;
        self.orders.push_back(PursuitOrder::Ask(self.question()));
    }

    fn pause(&mut self, now: Now, next: Next) {
        let until = now.mono.saturating_add(self.next_pace());
        self.stage = Stage::Pausing { until, next };
    }

    /// Slower and slower once nobody waits.
    fn next_pace(&mut self) -> Duration {
        self.pace = match self.is_given_up {
            true => self.pace.saturating_mul(2).clamp(ASK_PACE, ASK_PACE_MAX),
            false => ASK_PACE,
        };
        self.pace
    }

    fn question(&self) -> Question {
        self.question_about(MessageCategory::PAYMENT, self.service.clone())
    }

    fn question_about(&self, category: MessageCategory, service: ServiceId) -> Question {
        let (poi, transaction) = (self.poi.clone(), self.ask.transaction().clone());
        Question { category, poi, service, transaction }
    }

    /// How old the payment is: by the wall clock up to a restart, which ends the other one, and by the monotonic one since.
    fn age(&self, now: Now) -> Duration {
        self.age_then.saturating_add(now.mono.saturating_sub(self.since))
    }
}

fn response_in(answer: &Answer) -> Option<Bytes> {
    match answer {
        Answer::Response(message) => Some(message.clone()),
        _ => None,
    }
}

/// Whether money was taken, be it a part of what was asked for.
fn is_charge(response: &Bytes) -> bool {
    let outcome = Response::parse(response.clone()).ok().and_then(|response| response.outcome());
    outcome.is_some_and(|outcome| outcome.result != ResultCode::Failure)
}
