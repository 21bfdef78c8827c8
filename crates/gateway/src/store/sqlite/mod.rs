//! The store in one SQLite file: write-ahead log, `synchronous=FULL`, one writer that commits in groups, and a few
//! connections that read.
//!
//! Another process may have the same file open, such as the command line while the gateway runs: then their transactions
//! take turns, and one that waits longer than 1.5 s fails. A failed one leaves nothing behind, and the next is tried as if
//! nothing had been.

mod actions;
mod checkpoint;
mod columns;
mod connect;
mod credentials;
mod fleet;
mod fleet_store;
mod ledger;
mod readers;
mod writer;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use nexo::PoiId;
use relay::ledger::{LedgerFacts, Op};
use relay::{JournalId, WallMs};
use rusqlite::ErrorCode;

use super::{
    AssignError, BoardError, CodeError, CodeHash, Company, CompanyCode, Credential, CredentialError,
    CredentialId, FleetError, ImportError, KeyHash, LedgerAnswer, MerchantAccount, MerchantCode,
    NewCredential, NewTerminal, OpenError, Pending, Store, StoreCode, StoreDetails, StoreError, Terminal,
    TokenHash, TokenStanding, WallClock,
};
use checkpoint::Checkpointer;
use readers::Readers;
use writer::Writer;

/// A SQLite database. Dropping it runs what is queued and closes the file.
pub(crate) struct SqliteStore {
    // Dropped in this order: the last connection that closes moves the write-ahead log into the database, and takes no
    // reader's pages away.
    readers: Readers,
    _checkpointer: Checkpointer,
    writer: Writer,
    clock: WallClock,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database at `path`. If there is none it is made, for its owner's eyes only; if it is of an earlier
    /// release it is brought up to date. `clock` gives the time of what comes without one.
    ///
    /// # Errors
    /// [`OpenError`], whose text says what to do.
    pub(crate) fn open(path: &Path, clock: WallClock) -> Result<SqliteStore, OpenError> {
        let connection = connect::writing(path, clock())?;
        let readers = Readers::open(path).map_err(|error| connect::explain(path, error))?;
        let failed =
            |error: std::io::Error| OpenError::Failed { path: path.into(), problem: error.to_string() };
        let checkpointer = Checkpointer::start(path).map_err(failed)?;
        let writer =
            Writer::start(connection, checkpointer.checkpoints(), Arc::clone(&clock)).map_err(failed)?;
        Ok(SqliteStore { readers, _checkpointer: checkpointer, writer, clock })
    }
}

impl Store for SqliteStore {
    fn submit(&self, op: Op, answer: LedgerAnswer) {
        self.writer.submit(op, answer);
    }

    fn is_writable(&self) -> bool {
        self.writer.works()
    }

    fn facts(&self) -> Pending<LedgerFacts> {
        self.readers.read(ledger::facts)
    }

    fn create_company(&self, company: Company) -> Pending<(), FleetError> {
        self.writer.write(move |connection| fleet::create_company(connection, &company))
    }

    fn create_merchant_account(&self, account: MerchantAccount) -> Pending<(), FleetError> {
        self.writer.write(move |connection| fleet::create_merchant_account(connection, &account))
    }

    fn create_store(&self, store: StoreDetails) -> Pending<(), FleetError> {
        self.writer.write(move |connection| fleet::create_store(connection, &store))
    }

    fn add_terminal(&self, terminal: NewTerminal) -> Pending<(), FleetError> {
        self.writer.write(move |connection| fleet::add_terminal(connection, &terminal))
    }

    fn has_companies(&self) -> Pending<bool> {
        self.readers.read(fleet::has_companies)
    }

    fn company(&self, code: &CompanyCode) -> Pending<Option<Company>> {
        let code = code.clone();
        self.readers.read(move |connection| fleet::company(connection, &code))
    }

    fn merchant_account(&self, code: &MerchantCode) -> Pending<Option<MerchantAccount>> {
        let code = code.clone();
        self.readers.read(move |connection| fleet::merchant_account(connection, &code))
    }

    fn store_details(&self, merchant: &MerchantCode, code: &StoreCode) -> Pending<Option<StoreDetails>> {
        let (merchant, code) = (merchant.clone(), code.clone());
        self.readers.read(move |connection| fleet::store_details(connection, &merchant, &code))
    }

    fn terminal(&self, poi: &PoiId) -> Pending<Option<Terminal>> {
        let poi = poi.clone();
        self.readers.read(move |connection| fleet::terminal(connection, &poi))
    }

    fn terminals_at(
        &self,
        company: &CompanyCode,
        merchant: &MerchantCode,
        store: Option<&StoreCode>,
        after: Option<&PoiId>,
    ) -> Pending<Vec<Terminal>> {
        let (company, merchant) = (company.clone(), merchant.clone());
        let (store, after) = (store.cloned(), after.cloned());
        self.readers.read(move |connection| {
            fleet::terminals_at(connection, &company, &merchant, store.as_ref(), after.as_ref())
        })
    }

    fn make_boarding_code(&self, poi: &PoiId, code: CodeHash, expires: WallMs) -> Pending<(), CodeError> {
        let poi = poi.clone();
        self.writer.write(move |connection| fleet::make_boarding_code(connection, &poi, code, expires))
    }

    fn board(
        &self,
        poi: &PoiId,
        code: CodeHash,
        journal: JournalId,
        token: TokenHash,
        now: WallMs,
        address: IpAddr,
    ) -> Pending<Terminal, BoardError> {
        let attempt = fleet::BoardingAttempt { poi: poi.clone(), code, journal, token, now, address };
        // A refusal is no failure of the transaction: that a wrong code was counted has to stay.
        let boarded = self.writer.write(move |connection| fleet::board(connection, &attempt));
        Box::pin(async move {
            match boarded.await {
                Ok(Ok(terminal)) => Ok(terminal),
                Ok(Err(refused)) => Err(BoardError::Refused(refused)),
                Err(error) => Err(BoardError::Store(error)),
            }
        })
    }

    fn token_standing(&self, token: TokenHash) -> Pending<Option<TokenStanding>> {
        let now = (self.clock)();
        self.readers.read(move |connection| fleet::token_standing(connection, token, now))
    }

    fn create_credential(&self, credential: NewCredential) -> Pending<(), CredentialError> {
        self.writer.write(move |connection| credentials::create(connection, &credential))
    }

    fn credentials(&self, company: &CompanyCode) -> Pending<Vec<Credential>> {
        let company = company.clone();
        self.readers.read(move |connection| credentials::of_company(connection, &company))
    }

    fn revoke_credential(&self, id: &CredentialId, at: WallMs) -> Pending<bool> {
        let id = id.clone();
        self.writer.write(move |connection| credentials::revoke(connection, &id, at))
    }

    fn credential_by_key(&self, key: KeyHash) -> Pending<Option<Credential>> {
        self.readers.read(move |connection| credentials::by_key(connection, key))
    }

    fn credential_by_username(&self, username: &str) -> Pending<Option<Credential>> {
        let username = username.to_owned();
        self.readers.read(move |connection| credentials::by_username(connection, &username))
    }
}

impl From<&rusqlite::Error> for StoreError {
    fn from(error: &rusqlite::Error) -> StoreError {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
            // A disk that fails in another way than being full, as at a quota or a limit on a file's size.
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure) => {
                StoreError::NoRoom(text.into())
            }
            _ => StoreError::Database(text.into()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::from(&error)
    }
}

macro_rules! from_sqlite {
    ($($error:ty),+) => {
        $(impl From<rusqlite::Error> for $error {
            fn from(error: rusqlite::Error) -> Self {
                StoreError::from(&error).into()
            }
        })+
    };
}

from_sqlite!(FleetError, CodeError, CredentialError, AssignError, ImportError);
