//! What the relay asks of durable storage, and the decisions that storage takes inside its transactions.
//!
//! A store runs each [`Op`] as one transaction: it is wholly there or not at all, and once [`Reply`] is given it is on
//! disk. Ops of one lane run in the order in which they were handed over. Inside a transaction a store reads the rows
//! that an op names and calls the functions at the end of this module (`decide_*`); it never decides by itself. So the
//! rules stand here once, for SQLite, for PostgreSQL and for the simulator's disk.

use nexo::{DeviceId, Kept, KeptText, MessageCategory, MessageClass, PoiId, SaleId, ServiceId};

use crate::fault::{self, Fault};
use crate::id::{CallId, DeliveryId, Epoch, ExchangeId, JournalId};
use crate::time::WallMs;

/// How long a ServiceID belongs to its request (E3).
pub const IDENTITY_HOURS: i64 = 48;

const IDENTITY_MS: i64 = IDENTITY_HOURS * 60 * 60 * 1000;

/// What makes two requests the same one (E3): POIID and ServiceID, and DeviceID too for messages of class `Device`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeKey {
    /// The terminal.
    pub poi: PoiId,
    /// The device of a message of class `Device`; none for the other classes.
    pub device: Option<DeviceId>,
    /// The request's own ID.
    pub service: ServiceId,
}

impl ExchangeKey {
    /// The key of a message of this class. A DeviceID in a message of another class is no part of its identity.
    pub fn new(poi: PoiId, class: MessageClass, device: Option<DeviceId>, service: ServiceId) -> ExchangeKey {
        let device = if class == MessageClass::Device { device } else { None };
        ExchangeKey { poi, device, service }
    }
}

/// SHA-256 of a request as it is kept, to tell a repeat from another request under the same ServiceID (E4, E6). Not of
/// what redaction takes out: card data has so few digits that a digest of it gives it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// The categories whose repeats are answered from the ledger and never run again (E4).
pub fn is_repeatable(category: &MessageCategory) -> bool {
    [
        MessageCategory::PAYMENT,
        MessageCategory::REVERSAL,
        MessageCategory::STORED_VALUE,
        MessageCategory::CARD_ACQUISITION,
        MessageCategory::ENABLE_SERVICE,
        MessageCategory::RECONCILIATION,
    ]
    .contains(category)
}

/// One exchange as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The exchange: stays the same when a refused one is tried again (E7).
    pub exchange: ExchangeId,
    /// The attempt that counts.
    pub delivery: DeliveryId,
    /// Identity.
    pub key: ExchangeKey,
    /// The Sale system that asked.
    pub sale: SaleId,
    /// What it asked for.
    pub category: MessageCategory,
    /// The request's digest.
    pub digest: Digest,
    /// The body was a `NexoBlob` that nobody but terminal and Sale system can read.
    pub encrypted: bool,
    /// When it was admitted.
    pub admitted: WallMs,
    /// The journal that the terminal had then (E10).
    pub journal: Option<JournalId>,
    /// The epoch of the link under which it was admitted (E10).
    pub epoch: Epoch,
    /// The terminal said `received`.
    pub received: bool,
    /// A call that does not wait for the end heard `ok`, or may yet: its POS is owed one webhook with it (E22).
    pub webhook: bool,
    /// What became of it.
    pub outcome: Outcome,
}

impl Record {
    /// Whether the ServiceID still belongs to this record.
    pub fn holds_its_identity(&self, now: WallMs) -> bool {
        now.0.saturating_sub(self.admitted.0) < IDENTITY_MS
    }
}

/// What became of an exchange; decided once, see [`may_become`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not decided: it runs, or the gateway stopped while it ran (E2).
    Open,
    /// It may have run, and its terminal has not been heard from since.
    Unknown,
    /// It never left the gateway.
    Refused(Refused),
    /// Proof exists that the terminal never had it.
    NeverReached,
    /// The terminal answered.
    Answered(Answered),
    /// The terminal was heard from and can't tell either.
    UnknownFinal(Cannot),
}

impl Outcome {
    /// Whether a result or a `hello` may still decide it.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Outcome::Open | Outcome::Unknown)
    }
}

/// Why an exchange never left the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The admission could not be put on disk in time (E1). The ServiceID stays usable.
    Withdrawn,
    /// An Abort came before it was written (E20).
    Aborted,
}

/// A terminal's answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The response as it may be kept: byte for byte, unless redaction has changed it. Then it is for people to read, and
    /// is never replayed (E24).
    Message(Kept),
    /// Ended without a message, as Abort and InputUpdate do.
    Empty,
    /// There was one, and nothing of it is kept (pruned with age).
    NotReplayable,
}

impl Answered {
    /// Whether there was a message that can't be told from here any more: only its terminal still has it (E18, E24).
    pub fn is_beyond_replay(&self) -> bool {
        match self {
            Answered::Message(message) => message.is_changed() && !fault::is(Fault::ReplayOfRedacted),
            Answered::NotReplayable => true,
            Answered::Empty => false,
        }
    }
}

/// Why a terminal that was heard from can't tell what became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cannot {
    /// It said so itself (T6).
    Indeterminate,
    /// It had said `received` and knows nothing of it any more (E14).
    Forgotten,
    /// It lost the journal that would know (E14).
    JournalLost,
    /// The ledger was not complete when the exchange was written (E19).
    LedgerIncomplete,
    /// Its result was malformed or belonged to something else (E15).
    Misfit,
    /// Its result was over the limit (E15).
    TooLarge,
}

/// Something that a person may need to look at later, kept beside the exchange it came for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What is wrong with it.
    pub kind: EvidenceKind,
    /// What came, as far as it is kept.
    pub message: Kept,
}

/// What is wrong with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKind {
    /// Malformed, or of another ServiceID, POIID or category (E15).
    Misfit,
    /// Over the limit; the message is empty (E15).
    TooLarge,
    /// Differs from the answer that the exchange already has (E15). Raises an alarm.
    Conflict,
    /// For a delivery that the ledger doesn't know (E15).
    Orphan,
}

/// Why a ServiceID may not be used any more, without an exchange that says so (E16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// A TransactionStatus was told `NotFound`.
    ToldNotFound,
    /// A request was told that it did not reach the terminal, or may not now, and no exchange could be recorded for it.
    ToldUnreachable,
}

/// An exchange on its way into the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The exchange; its `outcome` is `Open` to be delivered, or the refusal that is to be told (E7).
    pub record: Record,
    /// The request as it may be kept.
    pub message: Kept,
    /// The credential that asked.
    pub caller: Caller,
}

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The company account of the API credential: ServiceIDs that never had a terminal are kept per company.
    pub company: Box<str>,
    /// The API credential.
    pub credential: Box<str>,
}

/// What a `hello` claims, to be checked and written down in one transaction (E14, step 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloClaim {
    /// The terminal that the token belongs to.
    pub poi: PoiId,
    /// The journal that it has.
    pub journal: JournalId,
    /// Must be above the highest one stored for that journal.
    pub attempt: u64,
    /// Shown in lists and details.
    pub firmware_version: Option<KeptText>,
    /// Shown in lists and details.
    pub platform: Option<KeptText>,
    /// Telemetry.
    pub device: Option<KeptText>,
    /// When it came.
    pub at: WallMs,
}

/// What was told to a Sale system, over which call, and whether the socket took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The exchange it was about.
    pub exchange: ExchangeId,
    /// The call that heard it.
    pub call: CallId,
    /// What it heard, in one word.
    pub what: &'static str,
    /// When.
    pub at: WallMs,
    /// Whether the whole answer was handed to the socket before the call ended.
    pub written: bool,
}

impl Told {
    /// [`what`](Self::what) of a call that heard the terminal's response.
    pub const RESPONSE: &'static str = "response";
    /// The same, as it was recorded before (E4).
    pub const RESPONSE_REPEATED: &'static str = "response-repeated";
    /// A TransactionStatus that was answered with the response that the ledger has (E17).
    pub const STATUS_FOUND: &'static str = "status-found";

    /// Whoever heard one of these has read how the exchange ended, as far as we know: a socket that broke in the middle may
    /// have taken enough.
    pub const WITH_ITS_END: [&'static str; 3] = [Told::RESPONSE, Told::RESPONSE_REPEATED, Told::STATUS_FOUND];
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Insert if the identity is free and the epoch is the terminal's own: [`decide_admit`].
    /// Answers `Admitted`, `Found`, `Fenced` or `EpochPassed`.
    Admit(Box<Admission>),
    /// Settle *refused* whatever the admission of this delivery left behind (E1). Answers `Done`.
    Withdraw(DeliveryId),
    /// Give an exchange its outcome if [`may_become`] allows it, and keep the evidence in the same transaction; what only
    /// a terminal can say [`proves_receipt`]. Answers `Done`, `Already` or `Missing`.
    Settle {
        /// Which delivery.
        delivery: DeliveryId,
        /// What became of it.
        outcome: Outcome,
        /// What else came with it.
        evidence: Option<Evidence>,
    },
    /// The terminal said `received`. Answers `Done`.
    NoteReceived(DeliveryId),
    /// A webhook is owed with the end of this exchange, which may have come (E22): on disk before its call hears `ok`.
    /// Answers `Done` or `Missing`.
    OweWebhook(DeliveryId),
    /// Raise the terminal's epoch if [`decide_hello`] accepts it. Answers `Raised`, `StaleHello`, `WrongJournal` or
    /// `NotBoarded`.
    TakeHello(Box<HelloClaim>),
    /// All exchanges of the terminal that are undecided. Answers `Records`.
    OpenDeliveries(PoiId),
    /// Settle what a `hello` proved, if the terminal's epoch is still this one (E14, step 2): each by [`may_become`],
    /// all or none. Answers `Done` or `EpochPassed`.
    SettleHello {
        /// The terminal.
        poi: PoiId,
        /// The epoch that this `hello` raised.
        epoch: Epoch,
        /// What became of each.
        settled: Vec<(DeliveryId, Outcome)>,
    },
    /// The latest record of each key that still holds its identity at `at`, in the order asked. Answers `Records`
    /// (those that exist) and whether the first key is fenced for this company.
    Look {
        /// The identities.
        keys: Vec<ExchangeKey>,
        /// Whose fences.
        company: Box<str>,
        /// Now.
        at: WallMs,
    },
    /// The record that has this delivery as its latest attempt, of whatever age. Answers `Records`.
    FindDelivery(DeliveryId),
    /// Close a ServiceID for good, if [`decide_fence`] allows it. Answers `Done` or `Found`.
    Fence {
        /// The identity.
        key: ExchangeKey,
        /// Whose.
        company: Box<str>,
        /// Why.
        reason: FenceReason,
        /// When; the fence lasts as long as a record's identity from here.
        at: WallMs,
    },
    /// Keep evidence without changing any outcome; the delivery may be unknown. Answers `Done`.
    Keep {
        /// From which terminal.
        poi: PoiId,
        /// For which delivery.
        delivery: DeliveryId,
        /// What came.
        evidence: Evidence,
        /// When.
        at: WallMs,
    },
    /// Write down what a Sale system was told. Answers `Done`.
    NoteTold(Told),
    /// A terminal's telemetry has changed: the `device` object as it came. Answers `Done`.
    NoteDevice {
        /// Whose.
        poi: PoiId,
        /// A JSON object.
        device: KeptText,
    },
    /// Keep a terminal's notification until the POS has it. Answers `Done`.
    Notification {
        /// From which terminal.
        poi: PoiId,
        /// Its ID; one that is already there is the same one again.
        id: DeliveryId,
        /// `{"SaleToPOIRequest":{…}}` as it may be kept.
        message: Kept,
        /// When.
        at: WallMs,
    },
}

/// Which queue an op waits in. Money goes first; never more than one batch of the rest between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A POS or a terminal waits for it.
    Money,
    /// Written behind the hot path.
    Rest,
}

impl Op {
    /// Where this op queues.
    pub fn lane(&self) -> Lane {
        match self {
            Op::NoteReceived(_) | Op::NoteTold(_) | Op::NoteDevice { .. } | Op::Notification { .. } => {
                Lane::Rest
            }
            Op::Settle { outcome: Outcome::Unknown, .. } => Lane::Rest,
            _ => Lane::Money,
        }
    }
}

/// What a transaction answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is on disk.
    Done,
    /// The exchange is admitted under this ID, a new one or that of the refused record that is tried again.
    Admitted(ExchangeId),
    /// The identity belongs to this record.
    Found(Box<Record>),
    /// The identity was closed (E16).
    Fenced(FenceReason),
    /// The terminal has a newer link: nothing was written.
    EpochPassed,
    /// The exchange already has this outcome, which the new one may not replace.
    Already(Outcome),
    /// No such delivery.
    Missing,
    /// The new epoch, and when the journal was boarded.
    Raised {
        /// From here on the terminal's own.
        epoch: Epoch,
        /// When the terminal was boarded with this journal (E18).
        journal_boarded: WallMs,
    },
    /// An `attempt` that is not above the highest stored one, which is this.
    StaleHello {
        /// The highest attempt seen for this journal.
        highest: u64,
    },
    /// Another journal than the boarded one.
    WrongJournal,
    /// The terminal's token has ended.
    NotBoarded,
    /// What was asked for.
    Records {
        /// In the order asked.
        records: Vec<Record>,
        /// Whether the first key is fenced.
        fence: Option<FenceReason>,
    },
}

/// Storage failed; the op may or may not be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The lane is full: the op was not taken.
    #[error("the ledger's queue is full")]
    Full,
    /// The transaction failed.
    #[error("the ledger could not commit")]
    Failed,
}

/// What the ledger as a whole can prove (E19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerFacts {
    /// Before this moment the ledger never proves absence.
    pub complete_since: WallMs,
    /// Set by a restore; none for a ledger that was never restored.
    pub restored: Option<Restored>,
}

/// A restore of the ledger from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When it was restored.
    pub at: WallMs,
    /// When the backup was made.
    pub backup: WallMs,
}

impl LedgerFacts {
    /// Whether a request without a record may be the repeat of one that the restore lost (E19).
    pub fn is_recovering(&self, now: WallMs) -> bool {
        self.restored.is_some_and(|r| now.0.saturating_sub(r.at.0) < IDENTITY_MS)
    }
}

/// What an admission finds (E3-E7). `found` is the latest record of the same key, whatever its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmitDecision {
    /// Insert a new record.
    Insert,
    /// Overwrite this record with a new attempt; it keeps its exchange ID.
    TryAgain(ExchangeId),
    /// The identity belongs to the record found.
    Found,
    /// The identity is closed.
    Fenced(FenceReason),
    /// Another link has taken over.
    EpochPassed,
}

/// Decides an admission inside its transaction. `epoch` is the terminal's own as stored; an admission that is not to be
/// delivered does not depend on it.
pub fn decide_admit(
    new: &Record,
    epoch: Epoch,
    found: Option<&Record>,
    fence: Option<FenceReason>,
) -> AdmitDecision {
    let found = found.filter(|r| r.holds_its_identity(new.admitted));
    // A fence beats a recorded refusal; it never stands beside a record that ran or may have run (decide_fence).
    if let Some(reason) = fence {
        return match found {
            Some(record) if !is_free_for_fence(record) => AdmitDecision::Found,
            _ => AdmitDecision::Fenced(reason),
        };
    }
    let again = match found {
        None => None,
        Some(record) => match record.outcome {
            // Only 503 leaves the ServiceID usable, and only for the request that was told so.
            Outcome::Refused(Refused::Withdrawn) if is_same_request(record, new) => Some(&record.exchange),
            Outcome::Refused(_) | Outcome::NeverReached
                if !is_repeatable(&record.category) && !is_repeatable(&new.category) =>
            {
                Some(&record.exchange)
            }
            _ => return AdmitDecision::Found,
        },
    };
    if new.outcome == Outcome::Open && new.epoch != epoch && !fault::is(Fault::IgnoreEpoch) {
        return AdmitDecision::EpochPassed;
    }
    again.map_or(AdmitDecision::Insert, |exchange| AdmitDecision::TryAgain(exchange.clone()))
}

/// Whether this is the same request once more (E4), rather than another one under the same ServiceID (E6).
pub fn is_same_request(record: &Record, new: &Record) -> bool {
    record.digest == new.digest && record.sale == new.sale
}

/// Whether a fence may stand beside this record (E16): it was refused, withdrawn or never reached.
pub fn is_free_for_fence(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Refused(_) | Outcome::NeverReached)
}

/// Whether NotFound may be told and its fence written (E16). `found` is the latest record of the same key.
pub fn decide_fence(found: Option<&Record>, at: WallMs) -> bool {
    found.is_none_or(|r| !r.holds_its_identity(at) || is_free_for_fence(r))
}

/// Whether an exchange that stands at `now` may get the outcome `new`.
///
/// An outcome is decided once. *Unknown* may become any other; *unknown, final* may still become *answered*, by a result
/// of that very delivery; nothing replaces *answered*.
pub fn may_become(now: &Outcome, new: &Outcome) -> bool {
    if fault::is(Fault::SettleTwice) {
        return true;
    }
    match now {
        Outcome::Open => !matches!(new, Outcome::Open),
        Outcome::Unknown => !matches!(new, Outcome::Open | Outcome::Unknown),
        Outcome::UnknownFinal(_) => matches!(new, Outcome::Answered(_)),
        Outcome::Refused(_) | Outcome::NeverReached | Outcome::Answered(_) => false,
    }
}

/// Whether this outcome is one that the terminal itself reported for the delivery: then it has received it.
pub fn proves_receipt(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(_) => true,
        Outcome::UnknownFinal(cannot) => {
            matches!(cannot, Cannot::Indeterminate | Cannot::Misfit | Cannot::TooLarge)
        }
        Outcome::Open | Outcome::Unknown | Outcome::Refused(_) | Outcome::NeverReached => false,
    }
}

/// What is stored about a terminal's boarding when its `hello` comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boarded {
    /// The journal given at boarding.
    pub journal: JournalId,
    /// The highest attempt seen for it; 0 when none was.
    pub attempt: u64,
    /// The terminal's epoch.
    pub epoch: Epoch,
    /// When it was boarded.
    pub at: WallMs,
}

/// Decides a `hello` inside its transaction (E14, step 1): what to answer. On `Raised` the store writes attempt and
/// epoch; otherwise it writes nothing.
pub fn decide_hello(boarded: Option<&Boarded>, claim: &HelloClaim) -> Reply {
    match boarded {
        None => Reply::NotBoarded,
        Some(boarded) if boarded.journal != claim.journal => Reply::WrongJournal,
        Some(boarded) if claim.attempt <= boarded.attempt && !fault::is(Fault::StaleHelloWins) => {
            Reply::StaleHello { highest: boarded.attempt }
        }
        Some(boarded) => Reply::Raised { epoch: Epoch(boarded.epoch.0 + 1), journal_boarded: boarded.at },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallMs = WallMs(1_800_000_000_000);
    const EPOCH: Epoch = Epoch(7);

    fn record(category: MessageCategory, outcome: Outcome) -> Record {
        let key = ExchangeKey {
            poi: PoiId::parse("P400Plus-275008565").unwrap(),
            device: None,
            service: ServiceId::parse("42").unwrap(),
        };
        Record {
            exchange: ExchangeId::parse("x_1").unwrap(),
            delivery: DeliveryId::parse("d_1").unwrap(),
            key,
            sale: SaleId::parse("TILL-1").unwrap(),
            category,
            digest: Digest([1; 32]),
            encrypted: false,
            admitted: NOW,
            journal: None,
            epoch: EPOCH,
            received: false,
            webhook: false,
            outcome,
        }
    }

    fn payment(outcome: Outcome) -> Record {
        record(MessageCategory::PAYMENT, outcome)
    }

    fn other_body(record: Record) -> Record {
        Record { digest: Digest([2; 32]), ..record }
    }

    /// One of each outcome.
    fn outcomes() -> Vec<Outcome> {
        vec![
            Outcome::Open,
            Outcome::Unknown,
            Outcome::Refused(Refused::Withdrawn),
            Outcome::Refused(Refused::Aborted),
            Outcome::NeverReached,
            Outcome::Answered(Answered::Empty),
            Outcome::Answered(Answered::NotReplayable),
            Outcome::Answered(Answered::Message(Kept::of(&b"{}".as_slice().into()))),
            Outcome::UnknownFinal(Cannot::Indeterminate),
            Outcome::UnknownFinal(Cannot::Misfit),
        ]
    }

    fn admit(new: &Record, found: Option<&Record>, fence: Option<FenceReason>) -> AdmitDecision {
        decide_admit(new, EPOCH, found, fence)
    }

    #[test]
    fn a_new_identity_is_inserted() {
        assert_eq!(admit(&payment(Outcome::Open), None, None), AdmitDecision::Insert);
    }

    #[test]
    fn an_admission_under_another_epoch_writes_nothing_unless_it_is_not_to_be_delivered() {
        let late = Record { epoch: Epoch(6), ..payment(Outcome::Open) };
        assert_eq!(admit(&late, None, None), AdmitDecision::EpochPassed);
        let absent = Record { epoch: Epoch(0), ..payment(Outcome::NeverReached) };
        assert_eq!(admit(&absent, None, None), AdmitDecision::Insert);
    }

    #[test]
    fn a_repeat_finds_its_record_also_under_another_epoch() {
        let late = Record { epoch: Epoch(6), ..payment(Outcome::Open) };
        assert_eq!(admit(&late, Some(&payment(Outcome::Unknown)), None), AdmitDecision::Found);
    }

    #[test]
    fn money_is_tried_again_only_after_its_own_withdrawal() {
        let again = AdmitDecision::TryAgain(payment(Outcome::Open).exchange);
        for outcome in outcomes() {
            let expected = match outcome {
                Outcome::Refused(Refused::Withdrawn) => again.clone(),
                _ => AdmitDecision::Found,
            };
            let found = payment(outcome);
            assert_eq!(admit(&payment(Outcome::Open), Some(&found), None), expected, "{:?}", found.outcome);
            let other = other_body(payment(Outcome::Open));
            assert_eq!(admit(&other, Some(&found), None), AdmitDecision::Found, "{:?}", found.outcome);
        }
    }

    #[test]
    fn other_categories_get_their_service_id_back_when_nothing_ran() {
        for outcome in outcomes() {
            let expected = match outcome {
                Outcome::Refused(_) | Outcome::NeverReached => {
                    AdmitDecision::TryAgain(payment(Outcome::Open).exchange)
                }
                _ => AdmitDecision::Found,
            };
            let found = record(MessageCategory::DIAGNOSIS, outcome);
            let new = other_body(record(MessageCategory::DIAGNOSIS, Outcome::Open));
            assert_eq!(admit(&new, Some(&found), None), expected, "{:?}", found.outcome);
        }
        // But not to a payment, nor that of one.
        let found = record(MessageCategory::DIAGNOSIS, Outcome::NeverReached);
        assert_eq!(admit(&other_body(payment(Outcome::Open)), Some(&found), None), AdmitDecision::Found);
        let new = other_body(record(MessageCategory::DIAGNOSIS, Outcome::Open));
        assert_eq!(admit(&new, Some(&payment(Outcome::NeverReached)), None), AdmitDecision::Found);
    }

    #[test]
    fn a_fence_beats_a_refusal_and_no_record_that_may_have_run() {
        let fence = Some(FenceReason::ToldNotFound);
        let new = payment(Outcome::Open);
        assert_eq!(admit(&new, None, fence), AdmitDecision::Fenced(FenceReason::ToldNotFound));
        for outcome in outcomes() {
            let expected = match outcome {
                Outcome::Refused(_) | Outcome::NeverReached => {
                    AdmitDecision::Fenced(FenceReason::ToldNotFound)
                }
                _ => AdmitDecision::Found,
            };
            let found = payment(outcome);
            assert_eq!(admit(&new, Some(&found), fence), expected, "{:?}", found.outcome);
        }
    }

    #[test]
    fn after_48_hours_a_service_id_is_anybodys() {
        let found = payment(Outcome::Unknown);
        let at = |admitted| Record { admitted, ..other_body(payment(Outcome::Open)) };
        let last = WallMs(NOW.0 + IDENTITY_MS - 1);
        assert_eq!(admit(&at(last), Some(&found), None), AdmitDecision::Found);
        assert!(!decide_fence(Some(&found), last));
        let over = WallMs(NOW.0 + IDENTITY_MS);
        assert_eq!(admit(&at(over), Some(&found), None), AdmitDecision::Insert);
        assert!(decide_fence(Some(&found), over));
    }

    #[test]
    fn a_clock_that_was_set_back_frees_no_service_id() {
        let found = payment(Outcome::Unknown);
        let new = Record { admitted: WallMs(0), ..payment(Outcome::Open) };
        assert_eq!(admit(&new, Some(&found), None), AdmitDecision::Found);
    }

    #[test]
    fn a_fence_stands_beside_nothing_that_ran_or_may_have() {
        assert!(decide_fence(None, NOW));
        for outcome in outcomes() {
            let free = matches!(outcome, Outcome::Refused(_) | Outcome::NeverReached);
            assert_eq!(decide_fence(Some(&payment(outcome.clone())), NOW), free, "{outcome:?}");
        }
    }

    #[test]
    fn a_device_id_belongs_to_the_identity_of_class_device_only() {
        let key = |class| {
            let device = DeviceId::parse("1").ok();
            ExchangeKey::new(
                payment(Outcome::Open).key.poi,
                class,
                device,
                payment(Outcome::Open).key.service,
            )
        };
        assert_eq!(key(MessageClass::Service), payment(Outcome::Open).key);
        assert_ne!(key(MessageClass::Device), payment(Outcome::Open).key);
    }

    #[test]
    fn an_outcome_is_decided_once() {
        for now in outcomes() {
            for new in outcomes() {
                let expected = match (&now, &new) {
                    (Outcome::Open, new) => *new != Outcome::Open,
                    (Outcome::Unknown, new) => !new.is_undecided(),
                    (Outcome::UnknownFinal(_), Outcome::Answered(_)) => true,
                    _ => false,
                };
                assert_eq!(may_become(&now, &new), expected, "{now:?} to {new:?}");
            }
        }
    }

    fn claim(journal: &str, attempt: u64) -> HelloClaim {
        HelloClaim {
            poi: payment(Outcome::Open).key.poi,
            journal: JournalId::parse(journal).unwrap(),
            attempt,
            firmware_version: None,
            platform: None,
            device: None,
            at: NOW,
        }
    }

    #[test]
    fn a_hello_raises_the_epoch_only_with_the_boarded_journal_and_a_higher_attempt() {
        let boarded =
            Boarded { journal: JournalId::parse("j_1").unwrap(), attempt: 41, epoch: EPOCH, at: NOW };
        let decide = |claim| decide_hello(Some(&boarded), &claim);
        assert_eq!(decide(claim("j_1", 42)), Reply::Raised { epoch: Epoch(8), journal_boarded: NOW });
        assert_eq!(decide(claim("j_1", 41)), Reply::StaleHello { highest: 41 });
        assert_eq!(decide(claim("j_2", 99)), Reply::WrongJournal);
        assert_eq!(decide_hello(None, &claim("j_1", 42)), Reply::NotBoarded);
    }

    #[test]
    fn a_ledger_recovers_for_48_hours_after_a_restore() {
        let restored =
            LedgerFacts { complete_since: NOW, restored: Some(Restored { at: NOW, backup: WallMs(0) }) };
        assert!(restored.is_recovering(WallMs(NOW.0 + IDENTITY_MS - 1)));
        assert!(!restored.is_recovering(WallMs(NOW.0 + IDENTITY_MS)));
        assert!(!LedgerFacts { restored: None, ..restored }.is_recovering(NOW));
    }

    #[test]
    fn what_a_pos_or_a_terminal_waits_for_goes_first() {
        let delivery = payment(Outcome::Open).delivery;
        let settle = |outcome| Op::Settle { delivery: delivery.clone(), outcome, evidence: None };
        assert_eq!(settle(Outcome::NeverReached).lane(), Lane::Money);
        assert_eq!(settle(Outcome::Unknown).lane(), Lane::Rest);
        assert_eq!(Op::NoteReceived(delivery.clone()).lane(), Lane::Rest);
        assert_eq!(Op::Withdraw(delivery).lane(), Lane::Money);
    }
}
