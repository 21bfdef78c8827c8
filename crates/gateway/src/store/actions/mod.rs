//! What is kept for the Actions API: who may speak it, and what became of its payments.

mod credential;
mod transaction;

use bytes::Bytes;
use nexo::{PoiId, ServiceId};
use relay::actions::TransactionId;
use relay::ledger::Boarded;
use relay::{JournalId, WallMs};

use super::{CompanyCode, CredentialId, Pending, TokenHash};

pub(crate) use credential::{
    ActionsDeviceId, ActionsFacts, ActionsTerminal, DeviceFound, Group, Groups, Metadata, RegisteredTerminal,
    SealedSecret,
};
pub(crate) use transaction::{
    Begun, Completed, Completion, Edition, KnownDelivery, Progress, Transaction, TransactionFacts,
    TransactionSeq, TransactionStatus, Void,
};

/// Transactions in one answer of a list: each may bring a whole message along, and this many stay within a few MB.
pub(crate) const TRANSACTIONS_PER_PAGE: usize = 100;

/// Tells by a request, as it is kept, whether its delivery is wanted.
pub(crate) type RequestFilter = Box<dyn Fn(&Bytes) -> bool + Send>;

/// The part of a [`Store`](super::Store) that the Actions API uses; order, durability and failure are as said there.
///
/// A *transaction* is one `payment` of a desktop: what was asked, what the desktop is to be told about it, and whether it was.
/// What became of the payment itself is in the ledger, under the transaction's ServiceID; nothing here decides about it.
pub(crate) trait ActionsStore {
    /// Begins a transaction, unless this credential has begun one of that ID within 48 hours: then that one is answered, and
    /// nothing is written.
    fn begin_transaction(&self, facts: TransactionFacts) -> Pending<Begun>;

    /// The latest transaction of this ID, whatever its age.
    fn transaction(&self, credential: &CredentialId, id: &TransactionId) -> Pending<Option<Transaction>>;

    /// The latest transaction that was sent to this terminal under this ServiceID, such as that behind a delivery.
    fn transaction_of_service(
        &self,
        company: &CompanyCode,
        poi: &PoiId,
        service: &ServiceId,
    ) -> Pending<Option<Transaction>>;

    /// Notes how a transaction stands that has no result yet. The edition of what there is to tell then; none, and nothing
    /// is changed, when it is complete or was given up.
    fn note_progress(
        &self,
        transaction: TransactionSeq,
        progress: Progress,
        at: WallMs,
    ) -> Pending<Option<Edition>>;

    /// Ends a transaction, once. None, and nothing is changed, when it was complete before.
    ///
    /// A success that is to be voided is not if somebody has read it: see [`set_void`](Self::set_void).
    ///
    /// Each end is news, also a *failed* after a giving up: that was no end, and its desktop can't conclude one from silence.
    fn complete_transaction(
        &self,
        transaction: TransactionSeq,
        completion: Completion,
        at: WallMs,
    ) -> Pending<Option<Completed>>;

    /// Notes that this edition was handed to its desktop. One that was followed by another is no longer of interest. Written
    /// with whatever comes next: up to 20 ms later.
    fn note_transaction_told(&self, transaction: TransactionSeq, edition: Edition, at: WallMs)
    -> Pending<()>;

    /// Notes that somebody reads the success of this transaction, so that it is not voided any more (E25). False when it must
    /// not be shown as a success: it is none, or it is being voided, or was.
    fn note_transaction_read(&self, transaction: TransactionSeq, at: WallMs) -> Pending<bool>;

    /// Notes that a Sale system is to be told over the Terminal API how the payment behind this transaction ended, unless it is
    /// being voided or was. Called before it is told, whatever stands in the transaction by then: what the ledger has about
    /// that comes later.
    ///
    /// Answers with the state of the void, as of the same moment. Only with *none* and *failed* may the end be told as it is:
    /// then it is noted, and stays so.
    fn note_payment_read(&self, transaction: TransactionSeq, at: WallMs) -> Pending<Void>;

    /// Changes the state of its void: to *pending* from *none* or *failed*, if nobody has read the success (E25); and to
    /// *done* or *failed* from *pending*. The edition of what there is to tell then; none when nothing was changed.
    ///
    /// Read it has whoever was shown it ([`note_transaction_read`](Self::note_transaction_read),
    /// [`note_payment_read`](Self::note_payment_read)), and whoever was told how its exchange ended, by the ledger. That is
    /// looked at in the transaction that changes the state.
    ///
    /// While a void is pending there is nothing to tell: what there was to tell before is told no more.
    fn set_void(&self, transaction: TransactionSeq, void: Void, at: WallMs) -> Pending<Option<Edition>>;

    /// What is still to be told to the desktop with this credential and device ID, in the order in which it came up; at most
    /// [`TRANSACTIONS_PER_PAGE`], and the rest once those were told.
    fn untold_transactions(
        &self,
        credential: &CredentialId,
        device: &ActionsDeviceId,
    ) -> Pending<Vec<Transaction>>;

    /// The transactions that somebody has to go on with when a gateway starts: those that are not complete, those that were
    /// given up among them, and those whose void is pending. In the order in which they began, those after `after`, at most
    /// [`TRANSACTIONS_PER_PAGE`]; fewer than that are the last.
    fn unfinished_transactions(&self, after: Option<TransactionSeq>) -> Pending<Vec<Transaction>>;

    /// The Actions terminals of a group, in order of their POIIDs: those after `after`, at most
    /// [`TERMINALS_PER_PAGE`](super::TERMINALS_PER_PAGE). Fewer than that are the last. Without those whose credentials were
    /// revoked.
    fn actions_terminals(&self, group: &Group, after: Option<&PoiId>) -> Pending<Vec<RegisteredTerminal>>;

    /// The Actions terminal with this POIID; none also when its credential was revoked.
    fn actions_terminal(&self, poi: &PoiId) -> Pending<Option<RegisteredTerminal>>;

    /// Whose device ID it is: in the first of these groups that has it, or elsewhere in the company.
    fn find_actions_device(
        &self,
        company: &CompanyCode,
        groups: &[Group],
        device: &ActionsDeviceId,
    ) -> Pending<DeviceFound>;

    /// The groups that a company may mean by this ID: its stores of that code and, if it has no stores, its merchant account
    /// of that code.
    fn groups_called(&self, company: &CompanyCode, id: &str) -> Pending<Vec<Group>>;

    /// The deliveries of a terminal that have no answer, and those of any outcome whose requests `wanted` picks; in the order
    /// of their admission. Of those that are decided, only such as were admitted after `since`.
    ///
    /// With `wanted` it reads each request of that time, on a thread that may block; without, as few as are answered.
    fn deliveries(
        &self,
        poi: &PoiId,
        since: WallMs,
        wanted: Option<RequestFilter>,
    ) -> Pending<Vec<KnownDelivery>>;

    /// A terminal's journal, with the highest attempt seen and its epoch; none when it is not boarded.
    fn boarded(&self, poi: &PoiId) -> Pending<Option<Boarded>>;

    /// Boards an Actions terminal with this journal, without a code: its API key has proved who it is. `token` is that of a
    /// secret which nobody has. With the journal that it has already nothing changes; with another one its attempts begin anew
    /// and its epoch is raised, as when a link terminal is boarded. None, and nothing is changed, when no Actions
    /// terminal has this POIID, or when it is no longer at its group.
    ///
    /// `read` is the journal that whoever asks has read before. If it is another one by now, and not `journal`, nothing is
    /// changed, and it is given back: an older socket of the terminal must not take its journal from a newer one.
    fn board_actions(
        &self,
        poi: &PoiId,
        read: Option<JournalId>,
        journal: JournalId,
        token: TokenHash,
        at: WallMs,
    ) -> Pending<Option<Boarded>>;
}
