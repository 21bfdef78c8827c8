//! A late success is taken back (E25): by a Reversal of the gateway's own, tried until its end is known.

use std::time::Duration;

use bytes::Bytes;
use nexo::{
    ErrorCondition, MessageCategory, OriginalPoiTransaction, Response, ResultCode, ReversalReason,
    ReversalRequest,
};

use super::{ASK_PACE, PURSUED_FOR, Pursuit, PursuitOrder, Question, Stage, VoidEnd};
use crate::actions::outcome::poi_transaction_id;
use crate::actions::payment::{header, void_service_id_of};
use crate::exchange::{Answer, Heard};
use crate::fault::{self, Fault};
use crate::time::Now;

/// Between two attempts while the terminal is away, at most. It is tried at once when the terminal comes.
const VOID_PACE_MAX: Duration = Duration::from_secs(600);

/// After how many questions in a row that nobody answers, with the terminal connected, nobody will. Their pauses add up to four
/// minutes: longer than a terminal may take for a void (145 s), and than one that can't say what it had is waited for (60 s).
const UNANSWERED_MAX: u32 = 8;

/// Where a void stands.
#[derive(Clone, Debug)]
pub(super) struct Voiding {
    /// The terminal's response to the payment; none after a restart, until the ledger was asked.
    payment: Option<Bytes>,
    /// Attempts that are known not to have run. Each has a ServiceID of its own, the same again after a restart.
    count: u32,
    /// Questions in a row that nobody answered.
    unanswered: u32,
    step: Step,
    pace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The payment's response is asked for.
    Recalling,
    /// The Reversal is out.
    Sent,
    /// What became of it is asked for.
    Asked,
    /// Until the next step.
    Pausing { until: Duration, next: Next },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Recall,
    Send,
    Ask,
}

impl Voiding {
    /// When it goes on.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.step {
            Step::Pausing { until, .. } => Some(until),
            _ => None,
        }
    }

    /// The terminal has come: go on by then.
    pub(super) fn hurry(&mut self, soon: Duration) {
        self.pace = Duration::ZERO;
        if let Step::Pausing { until, .. } = &mut self.step {
            *until = (*until).min(soon);
        }
    }
}

impl Pursuit {
    pub(super) fn begin_void(&mut self, now: Now, payment: &Bytes) {
        if fault::is(Fault::VoidedUnproved) {
            return self.void_ended(VoidEnd::Done);
        }
        self.void_at(now, Some(payment.clone()), Next::Send);
    }

    pub(super) fn resume_void(&mut self, now: Now) {
        self.void_at(now, None, Next::Recall);
    }

    fn void_at(&mut self, now: Now, payment: Option<Bytes>, next: Next) {
        let step = Step::Pausing { until: now.mono, next };
        self.stage = Stage::Voiding(Voiding { payment, count: 0, unanswered: 0, step, pace: Duration::ZERO });
        self.void_timeout(now);
    }

    pub(super) fn void_timeout(&mut self, now: Now) {
        let is_too_old = self.age(now) >= PURSUED_FOR;
        let Stage::Voiding(voiding) = &mut self.stage else { return };
        let Step::Pausing { until, next } = voiding.step else { return };
        if now.mono < until {
            return;
        }
        if is_too_old {
            return self.void_ended(VoidEnd::Unknown);
        }
        let (count, payment) = (voiding.count, voiding.payment.clone());
        let (step, order) = match next {
            Next::Recall => (Step::Recalling, Some(PursuitOrder::Ask(self.question()))),
            Next::Send => {
                let void = payment.and_then(|payment| self.void_of(&payment, count));
                (Step::Sent, void.map(PursuitOrder::SendVoid))
            }
            Next::Ask => (Step::Asked, Some(PursuitOrder::AskVoid(self.void_question(count)))),
        };
        let Some(order) = order else { return self.void_ended(VoidEnd::Refused) };
        if let Stage::Voiding(voiding) = &mut self.stage {
            voiding.step = step;
        }
        self.orders.push_back(order);
    }

    pub(super) fn void_answered(&mut self, now: Now, heard: &Heard) {
        let Stage::Voiding(voiding) = &self.stage else { return };
        let count = voiding.count;
        if voiding.step == Step::Asked {
            let is_unanswered = matches!(heard.answer, Answer::NoResponse) && self.is_present;
            if self.is_unanswered_for_good(is_unanswered) {
                return self.void_ended(VoidEnd::Unknown);
            }
        }
        let Stage::Voiding(voiding) = &self.stage else { return };
        let told = match voiding.step {
            Step::Recalling => {
                let told = self.question().what_was_told(&heard.answer);
                return match told {
                    Some(Answer::Response(payment)) => self.recalled(now, payment),
                    _ => self.void_pause(now, Next::Recall),
                };
            }
            Step::Sent => Some(heard.answer.clone()),
            Step::Asked => self.void_question(count).what_was_told(&heard.answer),
            Step::Pausing { .. } => return,
        };
        match told {
            Some(Answer::Response(message)) => match verdict(&message) {
                Verdict::Done => self.void_ended(VoidEnd::Done),
                Verdict::Refused => self.void_ended(VoidEnd::Refused),
                Verdict::Busy => self.try_another(now, false),
                Verdict::Unclear => self.void_pause(now, Next::Ask),
            },
            // This attempt never runs: another one may.
            Some(Answer::NotDelivered) => self.try_another(now, heard.repeated),
            Some(Answer::Failure { condition, .. }) if condition == ErrorCondition::ABORTED => {
                self.try_another(now, heard.repeated);
            }
            Some(Answer::TryAgain | Answer::TooMany) => self.void_pause(now, Next::Send),
            _ => self.void_pause(now, Next::Ask),
        }
    }

    /// Counts a question. Whether so many were not answered that nobody knows.
    fn is_unanswered_for_good(&mut self, is_unanswered: bool) -> bool {
        let Stage::Voiding(voiding) = &mut self.stage else { return false };
        voiding.unanswered = if is_unanswered { voiding.unanswered.saturating_add(1) } else { 0 };
        voiding.unanswered >= UNANSWERED_MAX
    }

    fn recalled(&mut self, now: Now, payment: Bytes) {
        self.void_at(now, Some(payment), Next::Send);
    }

    /// The next attempt: at once when the last one was made before a restart.
    fn try_another(&mut self, now: Now, is_of_before: bool) {
        if let Stage::Voiding(voiding) = &mut self.stage {
            voiding.count = voiding.count.saturating_add(1);
        }
        if !is_of_before {
            return self.void_pause(now, Next::Send);
        }
        if let Stage::Voiding(voiding) = &mut self.stage {
            voiding.step = Step::Pausing { until: now.mono, next: Next::Send };
        }
        self.void_timeout(now);
    }

    fn void_pause(&mut self, now: Now, next: Next) {
        if let Stage::Voiding(voiding) = &mut self.stage {
            voiding.pace = voiding.pace.saturating_mul(2).clamp(ASK_PACE, VOID_PACE_MAX);
            voiding.step = Step::Pausing { until: now.mono.saturating_add(voiding.pace), next };
        }
    }

    fn void_ended(&mut self, end: VoidEnd) {
        self.stage = Stage::Over;
        self.orders.push_back(PursuitOrder::Voided(end));
    }

    /// The Reversal of the payment that was answered so; none when it does not say what the terminal calls it, or nobody here
    /// can read it. The same arguments make the same bytes (E4).
    pub(super) fn void_of(&self, payment: &Bytes, count: u32) -> Option<Bytes> {
        let response = Response::parse(payment.clone()).ok().filter(|response| !response.is_encrypted())?;
        let body = ReversalRequest {
            sale_data: Some(self.ask.sale_data(self.begun)),
            original_poi_transaction: OriginalPoiTransaction {
                poi_transaction_id: Some(poi_transaction_id(&response)?),
                ..OriginalPoiTransaction::default()
            },
            reversed_amount: None,
            // The one that every terminal knows.
            reversal_reason: ReversalReason::MERCHANT_CANCEL,
        };
        let service = void_service_id_of(&self.service, count);
        Some(nexo::request(&header(MessageCategory::REVERSAL, &self.poi, &service), &body))
    }

    fn void_question(&self, count: u32) -> Question {
        self.question_about(MessageCategory::REVERSAL, void_service_id_of(&self.service, count))
    }
}

/// What a terminal's answer to a Reversal says.
enum Verdict {
    Done,
    Refused,
    /// It has something else in hand, and did not begin.
    Busy,
    Unclear,
}

fn verdict(message: &Bytes) -> Verdict {
    let outcome = Response::parse(message.clone()).ok().and_then(|response| response.outcome());
    match outcome {
        None => Verdict::Unclear,
        Some(outcome) => match outcome.result {
            ResultCode::Success => Verdict::Done,
            ResultCode::Failure if outcome.error_condition == Some(ErrorCondition::BUSY) => Verdict::Busy,
            ResultCode::Failure | ResultCode::Partial => Verdict::Refused,
        },
    }
}
