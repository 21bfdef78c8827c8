//! One terminal's exchanges: each request of a Sale system, and its one outcome.
//!
//! A [`Desk`] holds everything that is open for one terminal, at the node that owns the terminal. It decides; its caller
//! carries out. Every input comes with the time of it; afterwards the caller drains [`Desk::poll_effect`], lets each
//! socket that was woken take what [`Desk::poll_transmit`] has for it, and then asks [`Desk::poll_timeout`] when to call
//! again: what was written has a time of its own.
//!
//! What stays true:
//! - nothing is written to a link before its admission is on disk (E1), and each delivery is written at most once (E10);
//! - every call that was handed in is answered exactly once, unless its POS hung up;
//! - a success is told only with the terminal's own response in hand, and *did not reach* only when nothing was written
//!   or a `hello` proved it (E10, E14);
//! - what a link says counts only while it is the present one (E14).

mod admit;
mod barred;
mod changes;
mod deliver;
mod hello;
mod inquire;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexo::{ErrorCondition, Kept, MessageCategory, PoiId, Request};

use crate::fault::{self, Fault};
use crate::frame::{ChangedSettings, ToTerminal};
use crate::id::{CallId, ChangeId, ConnectionId, DeliveryId, ExchangeId};
use crate::ledger::{
    Answered, Caller, Digest, Evidence, ExchangeKey, LedgerError, LedgerFacts, Op, Outcome, Record, Refused,
    Reply,
};
use crate::link::CloseReason;
use crate::presence::{Lease, Presence};
use crate::time::{Now, WallMs};

pub use hello::Arrival;

/// How long a POS waits unless it asks for less (E11).
pub const WAIT_MAX: Duration = Duration::from_secs(150);

/// How much earlier than its POS a terminal is to give up (E11).
pub const TERMINAL_LEAD: Duration = Duration::from_secs(5);

/// How long an Abort or an InputUpdate waits for the terminal (E20).
pub const ABORT_WAIT: Duration = Duration::from_secs(5);

/// How long a call that does not wait for the end waits for the terminal to have it (E21).
pub const RECEIPT_WAIT: Duration = Duration::from_secs(10);

/// How long a commit may take before the POS is answered without it (E1, E7, E23).
pub const COMMIT_WAIT: Duration = Duration::from_secs(2);

/// How long a result's commit is tried before the link is closed, so that the terminal hands it in again (E23).
pub const COMMIT_GIVE_UP: Duration = Duration::from_secs(10);

/// How soon a failed commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(250);

/// How long `received` may be missing before the link is pinged (E13).
const RECEIVED_PROBE: Duration = Duration::from_secs(5);

/// How long `received` may be missing at all (E13).
const RECEIVED_MAX: Duration = Duration::from_secs(15);

/// How long a question about presence waits for its ping. A sign of life is good for 2 s, so a terminal that has gone silent
/// is found out by asking within 5 s.
pub const CHECK_WAIT: Duration = Duration::from_secs(3);

/// One ping per terminal serves all who ask within this time.
const CHECK_SHARED: Duration = Duration::from_secs(2);

/// Open exchanges of one terminal, where nothing else is set: one runs, a few may queue behind it or be answered *busy*.
/// Design limit.
pub const EXCHANGES_MAX: usize = 8;

/// Calls that may wait for one exchange; a POS that repeats faster than this is told to slow down.
const WAITERS_MAX: usize = 16;

/// Calls that may wait for a look into the ledger.
const INQUIRIES_MAX: usize = 64;

/// Calls that may wait for one ping: they cost nothing but their own sockets.
const CHECKS_MAX: usize = 1024;

/// Results without an exchange in memory that may wait for the ledger; a terminal resumes at most 256.
const UNPLACED_MAX: usize = 256;

/// `hello`s that may wait for an earlier one of the same terminal.
const HELLOS_MAX: usize = 4;

/// How long a `hello` may take before its link is closed with 4503.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// Frames that may wait for the present link; a terminal that hands in all it may has 256 of them acknowledged at once.
const ORDERS_MAX: usize = 512;

/// Ops that the store may owe a reply for. Above it calls are told to try again, and reports are left for later.
const OPS_MAX: usize = 1024;

/// Exchanges in memory, those counted that a terminal hands in or a POS waits for after the terminal's time is over.
const IN_MEMORY_MAX: usize = 512;

/// One call of a Sale system.
#[derive(Clone, Debug)]
pub struct Call {
    /// The call, to which exactly one [`Effect::Answer`] will be given.
    pub id: CallId,
    /// What it asks.
    pub request: Request,
    /// The request as it may be kept.
    pub kept: Kept,
    /// SHA-256 of that.
    pub digest: Digest,
    /// Whose it is.
    pub caller: Caller,
    /// The exchange's ID, if it becomes one.
    pub exchange: ExchangeId,
    /// The delivery's ID, if it becomes one.
    pub delivery: DeliveryId,
    /// How long the POS waits: 1 to 150 s (E11).
    pub wait: Duration,
    /// What it waits for.
    pub reply: ReplyMode,
    /// Who may answer it, if it is a TransactionStatus.
    pub asks: Asks,
    /// Let go when neither the call nor its exchange is open any more: the caller's own account of how many are.
    pub hold: Hold,
}

/// See [`Call::hold`].
pub type Hold = Arc<dyn Any + Send + Sync>;

/// What a call waits for. Abort and InputUpdate have no response, so they are always waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// The end of the exchange.
    Sync,
    /// That the terminal has the request; its end is then owed by webhook (E21, E22).
    Async,
}

/// Who may answer a TransactionStatus (E18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asks {
    /// The ledger, or the terminal where only that can, if it is present.
    #[default]
    Anybody,
    /// The ledger, for it is about one of the gateway's own requests: under this ServiceID it knows all that was ever sent, and
    /// how it ended. What redaction has changed tells that, too, and nobody takes it for the terminal's own text (E24). Where a
    /// restore may have lost the record the terminal is asked all the same (E19).
    LedgerAlone,
}

/// What a call hears.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The answer.
    pub answer: Answer,
    /// It was recorded earlier, and this call is a repeat (E4).
    pub repeated: bool,
    /// The exchange that it is about, for `told[]`.
    pub exchange: Option<ExchangeId>,
}

/// What a Sale system is told. A dialect only changes how it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The terminal's own response, byte for byte: `{"SaleToPOIResponse":{…}}`.
    Response(Bytes),
    /// The request is done and has no response, as with Abort (E20), or the terminal has it and its end comes by webhook
    /// (E21).
    Ok,
    /// It did not reach the terminal: nothing was written to a link, or a `hello` proved it (E10).
    NotDelivered,
    /// The terminal may have it (E10).
    NoResponse,
    /// A response of the request's own category, made by the gateway.
    Failure {
        /// Its ErrorCondition.
        condition: ErrorCondition,
        /// What clashed, and what to do.
        message: String,
        /// The exchange that it is about, and when it was admitted, where there is one.
        exchange: Option<(ExchangeId, WallMs)>,
    },
    /// What the ledger says about another exchange (E16-E18).
    Status(StatusAnswer),
    /// The ledger can't commit: repeat with the same ServiceID (E1). HTTP 503.
    TryAgain,
    /// Too much is open for this terminal: repeat with the same ServiceID. HTTP 429.
    TooMany,
}

/// What the ledger says about the exchange that a TransactionStatus asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusAnswer {
    /// It was answered; this is the response, byte for byte.
    Found(Bytes),
    /// It runs, or may run.
    InProgress,
    /// It did not run and never will: its ServiceID is closed (E16).
    NotFound,
}

/// What the caller has to carry out.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Hand this to the store, in order, and its reply to [`Desk::handle_ledger`].
    Store(OpId, Op),
    /// Answer this call.
    Answer(CallId, Heard),
    /// Tell this maintenance call that a result is on disk.
    Recorded(CallId, DeliveryId, Option<String>),
    /// Answer this question about presence.
    Checked(CallId, bool),
    /// This socket has something to take by [`Desk::poll_transmit`].
    Wake(ConnectionId),
    /// A person must look at this exchange; it is in the ledger as evidence.
    Alarm(DeliveryId, &'static str),
    /// The terminal says on its present link that these settings are in force.
    Applied {
        /// That link.
        connection: ConnectionId,
        /// Which settings.
        revision: u64,
    },
    /// The terminal says on its present link that it has removed its configuration. It waits for the `settings` of its new place, or
    /// for the close; so it does when the change is none any more.
    ConfigRemoved {
        /// That link.
        connection: ConnectionId,
        /// For which change.
        change: ChangeId,
    },
    /// The terminal says on its present link that its new token is stored.
    TokenStored {
        /// That link.
        connection: ConnectionId,
    },
}

/// What a socket has to carry out.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkOrder {
    /// Write this frame.
    Frame(ToTerminal),
    /// Ping now, and say by [`Desk::handle_probe`] whether anything came back.
    Probe,
    /// Close with this reason.
    Close(CloseReason),
}

/// Which transaction a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpId(u64);

/// Whether a terminal of this POIID exists for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is one of the fleet.
    Known,
    /// There is none, or it is another company's: answered as an unreachable one, and remembered per company.
    Unknown,
}

/// What a terminal says about a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its result.
    Result(crate::frame::ResultMessage),
    /// It can't tell.
    Indeterminate(String),
}

/// Where a report came from, and so where its `recorded` goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A link.
    Link(ConnectionId),
    /// A maintenance call.
    Maintenance(CallId),
}

/// Everything that is open for one terminal. See the [module](self).
///
/// A clone is for those who try what may happen next; the calls in it hold their places too.
#[derive(Clone, Debug)]
pub struct Desk {
    poi: PoiId,
    standing: Standing,
    facts: LedgerFacts,
    exchanges_max: usize,
    presence: Presence,
    /// Frames for the present link, oldest first.
    orders: VecDeque<LinkOrder>,
    /// The present link was told that something waits for it, and has not come for it yet.
    woken: bool,
    /// The present link has to go; it does when the input that showed it has been dealt with.
    doomed: Option<CloseReason>,
    /// Last words to sockets that are not the present link.
    farewells: Vec<(ConnectionId, LinkOrder)>,
    hellos: VecDeque<hello::PendingHello>,
    exchanges: Vec<Exchange>,
    inquiries: Vec<inquire::Inquiry>,
    unplaced: Vec<deliver::Unplaced>,
    checks: Checks,
    ops: Vec<(OpId, Purpose)>,
    op_next: u64,
    effects: VecDeque<Effect>,
    /// Deliveries that the terminal of the present link may hold unrecorded: those that its `hello` named, and those that were written
    /// to it. Oldest first.
    owed: Vec<DeliveryId>,
    closing: Option<Box<changes::Closing>>,
    removal: Option<Box<changes::Removal>>,
    /// The newest settings that were told while this desk stood: a `welcome` that was composed before them must not undo them.
    told_settings: Option<Box<ChangedSettings>>,
}

/// One exchange while something about it is open.
#[derive(Clone, Debug)]
struct Exchange {
    record: Record,
    /// The request, as long as it may still be written.
    message: Bytes,
    /// The same as it may be kept.
    kept: Kept,
    caller: Caller,
    /// None for one that was taken back from the ledger.
    _hold: Option<Hold>,
    state: State,
    /// When the POS that brought it gives up.
    deadline: Duration,
    /// The admission was tried again under a newer link; it is not tried a third time (design: re-route once).
    rerouted: bool,
    /// An Abort came for it before it was written (E20).
    aborted: bool,
    /// For a TransactionStatus that was passed on: what it asks for (E16).
    asks_for: Option<inquire::Reference>,
    /// It was taken back from the ledger: what a TransactionStatus asked for is not known any more.
    rejoined: bool,
    waiters: Vec<Waiter>,
    /// Aborts that wait for its withdrawal.
    aborters: Vec<Waiter>,
    /// Who gets `recorded`, once its outcome is on disk.
    reporters: Vec<Source>,
}

/// Where an exchange stands.
#[derive(Clone, Debug)]
enum State {
    /// A `hello` is being taken: under which link it would go is open.
    Held { since: Duration },
    /// Its admission is on its way to the disk.
    Admitting { since: Duration },
    /// Its admission failed or came too late, and is being withdrawn (E1).
    Withdrawing { retry_at: Option<Duration> },
    /// Admitted; waits for the link.
    Queued,
    /// Written to the present link.
    Written { at: Duration, probed: bool },
    /// The terminal may have it, and the link that it was written to is gone or was taken over.
    Loose,
    /// Its outcome is on its way to the disk.
    Settling(Settling),
}

#[derive(Clone, Debug)]
struct Settling {
    outcome: Outcome,
    /// The terminal's own response, byte for byte, for those who wait for it now: what is kept may be another text.
    response: Option<Bytes>,
    evidence: Option<Evidence>,
    /// What `recorded` will say.
    problem: Option<String>,
    since: Duration,
    /// The latest commit: only its reply counts, for an earlier one was of another outcome.
    op: OpId,
    /// When to try again; none while the store has it.
    retry_at: Option<Duration>,
    /// The waiters were answered without the commit.
    told: bool,
}

#[derive(Clone, Debug)]
struct Waiter {
    call: CallId,
    deadline: Duration,
    reply: ReplyMode,
}

impl Waiter {
    /// The call's own POS, from now on.
    fn of(call: &Call, now: Now) -> Waiter {
        let wait = match call.reply {
            ReplyMode::Sync => call.wait,
            ReplyMode::Async => call.wait.min(RECEIPT_WAIT),
        };
        Waiter { call: call.id, deadline: now.mono + wait, reply: call.reply }
    }

    /// Who does not wait for the end hears only that there is one.
    fn hears(&self, answer: &Answer) -> Answer {
        match (self.reply, answer) {
            (ReplyMode::Async, Answer::Response(_)) => Answer::Ok,
            (_, answer) => answer.clone(),
        }
    }
}

/// Why an op was handed to the store.
#[derive(Clone, Debug)]
enum Purpose {
    Admit(DeliveryId),
    Withdraw(DeliveryId),
    Settle(DeliveryId),
    Hello(ConnectionId),
    Inquiry(CallId),
    Unplaced(DeliveryId),
    /// Evidence of a result is being kept; then its source hears `recorded`.
    Keep {
        delivery: DeliveryId,
        source: Vec<Source>,
        problem: Option<String>,
    },
    /// A notification is being kept.
    Notification {
        id: DeliveryId,
        connection: ConnectionId,
    },
    /// Nobody waits.
    Note,
}

/// Questions about presence that wait for a ping.
#[derive(Clone, Debug, Default)]
struct Checks {
    asked_at: Option<Duration>,
    alive_at: Option<Duration>,
    waiting: Vec<CallId>,
}

impl Desk {
    /// The desk of a terminal that this node has watched since `watched_since`, for `exchanges_max` open exchanges at once;
    /// Abort and TransactionStatus have as many places again, for they must pass while a terminal is busy.
    pub fn new(
        poi: PoiId,
        standing: Standing,
        facts: LedgerFacts,
        exchanges_max: usize,
        watched_since: Duration,
    ) -> Desk {
        Desk {
            poi,
            standing,
            facts,
            exchanges_max,
            presence: Presence::new(watched_since),
            orders: VecDeque::new(),
            woken: false,
            doomed: None,
            farewells: Vec::new(),
            hellos: VecDeque::new(),
            exchanges: Vec::new(),
            inquiries: Vec::new(),
            unplaced: Vec::new(),
            checks: Checks::default(),
            ops: Vec::new(),
            op_next: 0,
            effects: VecDeque::new(),
            owed: Vec::new(),
            closing: None,
            removal: None,
            told_settings: None,
        }
    }

    /// The terminal.
    pub fn poi(&self) -> &PoiId {
        &self.poi
    }

    /// What is known about its connection.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Whether nothing is open: the desk may be forgotten when its terminal is absent for longer than the grace.
    pub fn is_idle(&self) -> bool {
        self.exchanges.is_empty()
            && self.inquiries.is_empty()
            && self.unplaced.is_empty()
            && self.hellos.is_empty()
            && self.ops.is_empty()
            && self.checks.waiting.is_empty()
            && self.farewells.is_empty()
            && self.effects.is_empty()
    }

    /// A POS asks for something.
    pub fn handle_call(&mut self, now: Now, mut call: Call) {
        call.wait = call.wait.min(WAIT_MAX);
        let category = &call.request.header().category;
        if self.ops.len() >= OPS_MAX {
            self.tell(call.id, Answer::TryAgain, None);
        } else if *category == MessageCategory::ABORT {
            call.reply = ReplyMode::Sync;
            self.abort(now, call);
        } else if *category == MessageCategory::TRANSACTION_STATUS {
            self.transaction_status(now, call);
        } else if *category == MessageCategory::INPUT_UPDATE {
            call.wait = call.wait.min(ABORT_WAIT);
            call.reply = ReplyMode::Sync;
            self.ask(now, call, None);
        } else {
            self.ask(now, call, None);
        }
        self.conclude(now);
    }

    /// The POS of this call has hung up. Nothing changes for the terminal (E12).
    pub fn handle_hang_up(&mut self, call: CallId) {
        for exchange in &mut self.exchanges {
            exchange.waiters.retain(|w| w.call != call);
            exchange.aborters.retain(|w| w.call != call);
        }
        for inquiry in &mut self.inquiries {
            inquiry.waiters.retain(|w| w.call != call);
        }
        self.checks.waiting.retain(|c| *c != call);
        self.forget_loose();
    }

    /// The store's reply to an op. A reply that comes after its exchange was given up is ignored.
    pub fn handle_ledger(&mut self, now: Now, op: OpId, reply: Result<Reply, LedgerError>) {
        let Some(index) = self.ops.iter().position(|(id, _)| *id == op) else { return };
        let (_, purpose) = self.ops.swap_remove(index);
        match purpose {
            Purpose::Admit(delivery) => self.admission_replied(now, &delivery, reply),
            Purpose::Withdraw(delivery) => self.withdrawal_replied(now, &delivery, reply),
            Purpose::Settle(delivery) => self.settlement_replied(now, op, &delivery, reply),
            Purpose::Hello(connection) => self.hello_replied(now, &connection, reply),
            Purpose::Inquiry(call) => self.inquiry_replied(now, call, reply),
            Purpose::Unplaced(delivery) => self.unplaced_found(now, &delivery, reply),
            Purpose::Keep { delivery, source, problem } => match reply {
                Ok(_) => self.kept(&delivery, source, problem),
                Err(_) => self.hand_in_again(&source),
            },
            Purpose::Notification { id, connection } => {
                if reply.is_ok() {
                    self.recorded(&[Source::Link(connection)], &id, None);
                }
            }
            Purpose::Note => {}
        }
        self.conclude(now);
    }

    /// Time has passed: carry out whatever was due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.hello_timeouts(now);
        self.exchange_timeouts(now);
        self.inquiry_timeouts(now);
        if self.checks.asked_at.is_some_and(|at| now.mono >= at + CHECK_WAIT) {
            self.answer_checks(false);
        }
        self.closing_timeout(now);
        self.conclude(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let exchanges = self.exchanges.iter().filter_map(Exchange::due);
        let inquiries = self.inquiries.iter().map(inquire::Inquiry::due);
        let hellos = self.hellos.front().map(hello::PendingHello::due);
        let check = self.checks.asked_at.map(|at| at + CHECK_WAIT);
        let closing = self.closing_due();
        exchanges.chain(inquiries).chain(hellos).chain(check).chain(closing).min()
    }

    /// The next thing to carry out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() && self.is_idle() {
            self.let_go();
        }
        effect
    }

    /// Gives back the room that nothing is in: most terminals are idle most of the time, and there are many.
    fn let_go(&mut self) {
        self.effects = VecDeque::new();
        self.exchanges = Vec::new();
        self.inquiries = Vec::new();
        self.unplaced = Vec::new();
        self.hellos = VecDeque::new();
        self.ops = Vec::new();
        self.farewells = Vec::new();
        self.checks.waiting = Vec::new();
        if self.orders.is_empty() {
            self.orders = VecDeque::new();
        }
    }

    /// Asks whether the terminal is there right now. Answered by [`Effect::Checked`] within [`CHECK_WAIT`].
    pub fn handle_check(&mut self, now: Now, call: CallId) {
        if self.presence.route().is_none() {
            self.effects.push_back(Effect::Checked(call, false));
            return;
        }
        let fresh = self.checks.alive_at.is_some_and(|at| now.mono.saturating_sub(at) < CHECK_SHARED);
        if fresh || self.checks.waiting.len() >= CHECKS_MAX {
            // Beyond any sensible number of askers a link that stands is answer enough.
            self.effects.push_back(Effect::Checked(call, true));
            return;
        }
        self.checks.waiting.push(call);
        if self.checks.asked_at.is_none() {
            self.checks.asked_at = Some(now.mono);
            self.order(LinkOrder::Probe);
        }
        self.conclude(now);
    }

    /// The answer to a [`LinkOrder::Probe`]: whether anything came from the terminal after it.
    pub fn handle_probe(&mut self, now: Now, connection: &ConnectionId, alive: bool) {
        if self.presence.lease().is_none_or(|l| l.connection != *connection) {
            return;
        }
        if alive {
            self.checks.alive_at = Some(now.mono);
        }
        self.answer_checks(alive);
        let unheard = |x: &Exchange| {
            !x.record.received
                && matches!(x.state, State::Written { at, probed: true } if now.mono >= at + RECEIVED_PROBE)
        };
        if !alive && self.exchanges.iter().any(unheard) {
            self.doomed = Some(CloseReason::Silent);
        }
        self.conclude(now);
    }

    fn answer_checks(&mut self, alive: bool) {
        self.checks.asked_at = None;
        for call in self.checks.waiting.drain(..) {
            self.effects.push_back(Effect::Checked(call, alive));
        }
    }

    fn store(&mut self, purpose: Purpose, op: Op) -> OpId {
        let id = OpId(self.op_next);
        self.op_next += 1;
        self.ops.push((id, purpose));
        self.effects.push_back(Effect::Store(id, op));
        id
    }

    /// Something for the present link. One that doesn't come for what is waiting is too slow a reader.
    fn order(&mut self, order: LinkOrder) {
        if self.orders.len() >= ORDERS_MAX {
            self.doomed = Some(CloseReason::TooSlow);
        } else {
            self.orders.push_back(order);
        }
    }

    /// The last step of every input: a link that has to go goes, and one that has something to take is told.
    fn conclude(&mut self, now: Now) {
        if let Some(reason) = self.doomed.take() {
            self.end_link(now, reason);
        }
        if let Some(lease) = self.presence.lease()
            && !self.woken
            && (!self.orders.is_empty() || self.next_delivery(now).is_some())
        {
            self.woken = true;
            self.effects.push_back(Effect::Wake(lease.connection.clone()));
        }
    }

    /// The present link, also while it is being closed down.
    fn lease(&self) -> Option<&Lease> {
        self.presence.lease()
    }

    fn tell(&mut self, call: CallId, answer: Answer, exchange: Option<&ExchangeId>) {
        let heard = Heard { answer, repeated: false, exchange: exchange.cloned() };
        self.effects.push_back(Effect::Answer(call, heard));
    }

    fn tell_all(&mut self, waiters: Vec<Waiter>, answer: &Answer, exchange: Option<&ExchangeId>) {
        for waiter in waiters {
            self.tell(waiter.call, waiter.hears(answer), exchange);
        }
    }

    /// Tells once more what was recorded (E4).
    fn tell_again(&mut self, waiters: Vec<Waiter>, answer: &Answer, exchange: &ExchangeId) {
        for waiter in waiters {
            let answer = waiter.hears(answer);
            let heard = Heard { answer, repeated: true, exchange: Some(exchange.clone()) };
            self.effects.push_back(Effect::Answer(waiter.call, heard));
        }
    }

    /// The exchange that this ServiceID belongs to; one that only waits for a result after its 48 h is none (E3).
    fn find(&self, now: Now, key: &ExchangeKey) -> Option<usize> {
        self.exchanges.iter().position(|x| x.record.key == *key && x.record.holds_its_identity(now.wall))
    }

    fn find_delivery(&self, delivery: &DeliveryId) -> Option<usize> {
        self.exchanges.iter().position(|x| x.record.delivery == *delivery)
    }

    /// What an outcome sounds like.
    fn answer_of(&self, now: Now, outcome: &Outcome, record: &Record) -> Answer {
        match outcome {
            Outcome::Answered(Answered::Message(message)) => {
                told_as_original(message).map_or(Answer::NoResponse, |m| Answer::Response(m.clone()))
            }
            Outcome::Answered(Answered::Empty) => Answer::Ok,
            Outcome::NeverReached => self.absent_answer(now, &record.category),
            Outcome::Refused(Refused::Aborted) => Answer::Failure {
                condition: ErrorCondition::ABORTED,
                message: "Aborted before it was sent to the terminal.".into(),
                exchange: Some((record.exchange.clone(), record.admitted)),
            },
            Outcome::Refused(Refused::Withdrawn) => Answer::TryAgain,
            Outcome::Answered(Answered::NotReplayable)
            | Outcome::UnknownFinal(_)
            | Outcome::Unknown
            | Outcome::Open => Answer::NoResponse,
        }
    }
}

impl Exchange {
    /// When something about it is due.
    fn due(&self) -> Option<Duration> {
        let waiters = self.first_deadline();
        let overdue = waiters.map(|at| at + COMMIT_WAIT);
        let times = match &self.state {
            State::Held { since } => [Some(self.held_until(*since)), overdue, None],
            State::Admitting { since } => [Some(*since + COMMIT_WAIT), overdue, None],
            State::Withdrawing { retry_at } => [*retry_at, None, None],
            State::Queued => [Some(self.deadline), waiters, None],
            State::Written { at, probed } if !self.record.received => {
                [Some(*at + if *probed { RECEIVED_MAX } else { RECEIVED_PROBE }), waiters, None]
            }
            State::Written { .. } if self.waiters.is_empty() => [Some(self.deadline), None, None],
            State::Written { .. } | State::Loose => [waiters, None, None],
            State::Settling(settling) => [
                settling.retry_at,
                (!settling.told).then(|| self.told_by(settling)),
                self.is_from_terminal().then(|| settling.since + COMMIT_GIVE_UP),
            ],
        };
        times.into_iter().flatten().min()
    }

    fn first_deadline(&self) -> Option<Duration> {
        self.waiters.iter().chain(&self.aborters).map(|w| w.deadline).min()
    }

    /// Until when a `hello` is waited for: no longer than for a commit, nor than the POS waits.
    fn held_until(&self, since: Duration) -> Duration {
        self.deadline.min(since + COMMIT_WAIT)
    }

    /// When those who wait are answered without the commit of its outcome (E23).
    fn told_by(&self, settling: &Settling) -> Duration {
        self.first_deadline().map_or(settling.since, |at| at.min(settling.since)) + COMMIT_WAIT
    }

    /// Whether the outcome that is on its way to the disk is the terminal's own word.
    fn is_from_terminal(&self) -> bool {
        !self.reporters.is_empty()
    }

    /// Whether the terminal can't have it.
    fn is_unwritten(&self) -> bool {
        matches!(
            self.state,
            State::Held { .. } | State::Admitting { .. } | State::Queued | State::Withdrawing { .. }
        )
    }

    /// Whether it takes one of the terminal's places. What is the terminal's own to hand in takes none of them.
    fn is_open(&self) -> bool {
        match self.state {
            State::Loose => false,
            State::Settling(_) => !self.waiters.is_empty() || !self.is_from_terminal(),
            _ => true,
        }
    }

    /// Abort and TransactionStatus must pass while the terminal is busy.
    fn is_question(&self) -> bool {
        is_question(&self.record.category)
    }
}

/// The terminal's own text, where that is what was kept (E24).
fn told_as_original(message: &Kept) -> Option<&Bytes> {
    match fault::is(Fault::ReplayOfRedacted) {
        true => Some(message.bytes()),
        false => message.original(),
    }
}

fn is_question(category: &MessageCategory) -> bool {
    [MessageCategory::TRANSACTION_STATUS, MessageCategory::ABORT].contains(category)
}
