//! What the gateway keeps on disk: the ledger, the fleet and the API credentials.
//!
//! [`Store`] is all that the rest of the gateway knows of a database. What must stay true of every implementation is
//! said there, and the suite in `conformance.rs` holds each of them to it.

pub(crate) mod actions;
pub(crate) mod assign;
pub(crate) mod fleet_store;

mod credential;
mod error;
mod fleet;
mod ledger_answer;
mod sqlite;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use nexo::PoiId;
use relay::ledger::{LedgerFacts, Op};
use relay::{JournalId, WallMs};

pub(crate) use credential::{Credential, CredentialId, KeyHash, NewCredential, PasswordHash, Scope};
pub(crate) use error::{
    AssignError, BoardError, BoardRefused, CredentialError, Entity, FleetError, ImportError, OpenError,
    StoreError,
};
pub(crate) use fleet::{
    Boarded, CodeError, CodeHash, Company, CompanyCode, MerchantAccount, MerchantCode, NewTerminal, Place,
    StoreCode, StoreDetails, StoreStatus, Terminal, TokenHash, TokenStanding, TokenState,
};
pub(crate) use ledger_answer::LedgerAnswer;
pub(crate) use sqlite::SqliteStore;

/// The answer to one call of a [`Store`]. It borrows nothing, so it may be spawned or dropped as the caller likes.
pub(crate) type Pending<T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'static>>;

/// Reads the wall clock; handed in so that no store reads it by itself.
pub(crate) type WallClock = Arc<dyn Fn() -> WallMs + Send + Sync>;

/// Terminals in one answer of [`Store::terminals_at`]: a list of a million costs no more memory than this many.
pub(crate) const TERMINALS_PER_PAGE: usize = 1_000;

/// A database.
///
/// **Order.** [`submit`](Store::submit) and every write queue when they are called, not when their answer is awaited.
/// Ledger ops of one lane run in the order of their calls; writes queue among the ops of the money lane. A read sees
/// every write whose answer was given before the read began, and may miss those that are still queued.
///
/// **Durability.** An answer that is no error is given after the transaction is on disk, such that it outlives a crash
/// of the process and of the machine.
///
/// **Failure.** A transaction is there as a whole or not at all. What the database refuses fails alone; when the disk
/// itself fails, so does everything that was being committed at that moment. After
/// [`LedgerError::Failed`](relay::ledger::LedgerError::Failed), and after a [`StoreError`] other than
/// [`StoreError::Full`], it may or may not be on disk. The store goes on by itself once the cause is gone (a full disk,
/// another process's lock).
///
/// **Cancel safety.** Dropping an answer withdraws nothing: what was queued still runs.
pub(crate) trait Store:
    actions::ActionsStore + fleet_store::FleetStore + fmt::Debug + Send + Sync + 'static
{
    /// Queues one ledger op; never blocks. When its lane is full the answer is
    /// [`LedgerError::Full`](relay::ledger::LedgerError::Full) at once and nothing was taken.
    fn submit(&self, op: Op, answer: LedgerAnswer);

    /// Whether the last that was written got there. A store that could not write tries again by itself at least once a second.
    fn is_writable(&self) -> bool;

    /// What the ledger can prove. Changes only by a restore, which needs the gateway stopped.
    fn facts(&self) -> Pending<LedgerFacts>;

    /// Makes a company account.
    ///
    /// # Errors
    /// [`FleetError::AlreadyExists`].
    fn create_company(&self, company: Company) -> Pending<(), FleetError>;

    /// Makes a merchant account of a company. Its code is unique among all companies.
    ///
    /// # Errors
    /// [`FleetError::AlreadyExists`], [`FleetError::Missing`] without such a company.
    fn create_merchant_account(&self, account: MerchantAccount) -> Pending<(), FleetError>;

    /// Makes a store of a merchant account. Its code is unique in its merchant account.
    ///
    /// # Errors
    /// [`FleetError::AlreadyExists`], [`FleetError::Missing`], and [`FleetError::HoldsInStoreTerminals`] for the first
    /// store of a merchant account that has represented a store so far.
    fn create_store(&self, store: StoreDetails) -> Pending<(), FleetError>;

    /// Adds a terminal, not boarded, at a place.
    ///
    /// # Errors
    /// [`FleetError::AlreadyExists`], [`FleetError::Retired`], [`FleetError::Missing`], and
    /// [`FleetError::MerchantHasStores`].
    fn add_terminal(&self, terminal: NewTerminal) -> Pending<(), FleetError>;

    /// Whether there is any company account.
    fn has_companies(&self) -> Pending<bool>;

    /// A company account.
    fn company(&self, code: &CompanyCode) -> Pending<Option<Company>>;

    /// A merchant account, whosever it is.
    fn merchant_account(&self, code: &MerchantCode) -> Pending<Option<MerchantAccount>>;

    /// A store of a merchant account.
    fn store_details(&self, merchant: &MerchantCode, code: &StoreCode) -> Pending<Option<StoreDetails>>;

    /// A terminal: whose it is, where it is, what holds for it, and what its device last said about itself. A retired one
    /// says so; one of an import that has not ended is not there.
    fn terminal(&self, poi: &PoiId) -> Pending<Option<Terminal>>;

    /// The terminals of a merchant account and its stores, or of one of its stores, in order of their POIIDs: those
    /// after `after`, at most [`TERMINALS_PER_PAGE`]. Fewer than that are the last. Empty for a merchant account that
    /// is not this company's.
    fn terminals_at(
        &self,
        company: &CompanyCode,
        merchant: &MerchantCode,
        store: Option<&StoreCode>,
        after: Option<&PoiId>,
    ) -> Pending<Vec<Terminal>>;

    /// Keeps a boarding code for a terminal, which ends any earlier code of it.
    ///
    /// # Errors
    /// [`CodeError::Missing`] and [`CodeError::InInventory`].
    fn make_boarding_code(&self, poi: &PoiId, code: CodeHash, expires: WallMs) -> Pending<(), CodeError>;

    /// Boards a terminal with a code (see the wire protocol, "Boarding"): it gets this journal and this token, its
    /// former token ends, and its epoch is raised, so that a link which the former token opened is admitted nothing
    /// more. A journal that it has already keeps its highest `attempt`; a new one begins with none.
    ///
    /// A code is good once, and again within ten minutes as long as no `hello` came. A wrong code is counted, for the
    /// terminal and for the address; five of either within 15 minutes lock it for 15 minutes.
    ///
    /// # Errors
    /// [`BoardError::Refused`] with the reason; then the terminal's boarding stands as it was.
    fn board(
        &self,
        poi: &PoiId,
        code: CodeHash,
        journal: JournalId,
        token: TokenHash,
        now: WallMs,
        address: IpAddr,
    ) -> Pending<Terminal, BoardError>;

    /// Whose token this is, and whether it still opens links, also one that is to take another one's place. None for an unknown one, and for one that ended more than
    /// 48 hours ago.
    fn token_standing(&self, token: TokenHash) -> Pending<Option<TokenStanding>>;

    /// Keeps an API credential. The terminal of an Actions terminal's is added to the fleet, at its group, if it is not there.
    ///
    /// # Errors
    /// [`CredentialError::AlreadyExists`] for an ID, user name or key in use, [`CredentialError::Missing`] for a company
    /// or merchant account that isn't there, and [`CredentialError::EmptyScope`]; all others are about the Actions API.
    fn create_credential(&self, credential: NewCredential) -> Pending<(), CredentialError>;

    /// All credentials of a company, revoked ones too, in the order in which they were made.
    fn credentials(&self, company: &CompanyCode) -> Pending<Vec<Credential>>;

    /// Ends a credential for good. False when there is none or it has ended before.
    fn revoke_credential(&self, id: &CredentialId, at: WallMs) -> Pending<bool>;

    /// The credential with this key, unless it was revoked.
    fn credential_by_key(&self, key: KeyHash) -> Pending<Option<Credential>>;

    /// The credential with this user name, unless it was revoked.
    fn credential_by_username(&self, username: &str) -> Pending<Option<Credential>>;
}
