//! What is kept for looking after a fleet: who is where, what is to become of it, and the settings of each level.

mod assignment;
mod events;
pub(crate) mod import;
mod lists;
mod settings;
mod stores;
mod tokens;

use nexo::PoiId;
use relay::{ChangeId, WallMs};

use super::{
    AssignError, CompanyCode, CredentialId, ImportError, MerchantCode, Pending, Scope, StoreDetails,
    TokenHash,
};

pub(crate) use assignment::{
    Assign, Assigned, Completed, CompletedBy, DueAssignment, PendingAssignment, PendingState,
};
pub(crate) use events::{EventKind, FleetEvent, NewFleetEvent};
pub(crate) use import::{ExportedTerminal, IMPORT_ROWS_MAX, ImportId, ImportProblem, ImportRow, ImportWrong};
pub(crate) use lists::{Activity, CountryCode, ListFilter, Listed, Retired, TerminalRecord};
pub use settings::{Change, SettingsPatch, V1Booleans};
pub(crate) use settings::{EffectiveSettings, Level, LevelSettings, SettingValues, SettingsChange};
pub(crate) use stores::{Address, StoreChange, StoreId, StorePatch};
pub(crate) use tokens::{RevokedToken, RotationBegun, TokenId, TokenInfo, TokenUse};

/// Rows in one page of [`FleetStore::terminals_of`], [`stores_of`](FleetStore::stores_of),
/// [`export`](FleetStore::export) and [`fleet_events`](FleetStore::fleet_events): a list of a million costs no more
/// memory than this many, and a page takes a few milliseconds at most.
pub(crate) const FLEET_PAGE: usize = 1_000;

/// The part of a [`Store`](super::Store) that looks after a fleet; order, durability and failure are as said there.
///
/// Whatever takes a company shows and changes that company's things only: another one's are as if they were not there. So
/// are retired terminals, and those of an import that has not ended. A [`Scope`] narrows that to some of its merchant
/// accounts: then what is at company level is out of reach too.
pub(crate) trait FleetStore {
    /// All that is known of a terminal of this company.
    fn find_terminal(&self, company: &CompanyCode, poi: &PoiId) -> Pending<Option<TerminalRecord>>;

    /// Those of these terminals that are not there, each once, in the order in which they were given.
    fn missing_terminals(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        terminals: &[PoiId],
    ) -> Pending<Vec<PoiId>>;

    /// A company's terminals and their places: those after `after`, at most [`FLEET_PAGE`]; fewer than that are the last.
    ///
    /// First the company's inventory; then merchant account by merchant account, by their codes, each with its inventory,
    /// its own in-store terminals, and its stores by their codes; within one place by POIID. All by the bytes of the texts.
    ///
    /// Each page is as of its own moment: a terminal that moves between two of them may come twice, or not at all.
    fn terminals_of(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        filter: &ListFilter,
        after: Option<&Listed>,
    ) -> Pending<Vec<Listed>>;

    /// A company's stores, or those of one of its merchant accounts, by merchant account and code: those after `after`, at
    /// most [`FLEET_PAGE`]; fewer than that are the last.
    fn stores_of(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        merchant: Option<&MerchantCode>,
        after: Option<&StoreDetails>,
    ) -> Pending<Vec<StoreDetails>>;

    /// A store of this company by its generated ID.
    fn store_by_id(&self, company: &CompanyCode, id: &StoreId) -> Pending<Option<StoreDetails>>;

    /// Assigns terminals to a place, all or none, by the rules of [`assign`](super::assign). Each terminal is answered once,
    /// in the order in which they were first given.
    ///
    /// Repeating a call changes nothing more: who has moved is already there, and what is pending goes on.
    ///
    /// # Errors
    /// [`AssignError`]; nothing was changed then.
    fn assign(&self, assign: Assign) -> Pending<Vec<(PoiId, Assigned)>, AssignError>;

    /// The assignments that wait for nobody but the gateway, of all companies, oldest first; at most `limit`.
    fn due_assignments(&self, limit: usize) -> Pending<Vec<DueAssignment>>;

    /// Ends an assignment: the terminal is at its new place, its settings have a new revision, and the event is written,
    /// all in one transaction. Into inventory its token ends, if it has one, and its epoch is raised.
    ///
    /// None, and nothing is changed, when this terminal has no such assignment, it was superseded or cancelled, or it waits
    /// for somebody else than `by`. One that was done before is answered again, and nothing is changed.
    fn complete_assignment(
        &self,
        poi: &PoiId,
        change: &ChangeId,
        by: CompletedBy,
        at: WallMs,
    ) -> Pending<Option<Completed>>;

    /// Notes that the terminal was told of an assignment; the first time stays.
    fn note_assignment_told(&self, change: &ChangeId, at: WallMs) -> Pending<()>;

    /// The settings of a level of this company: its own ones and those that it inherits.
    fn settings_at(&self, company: &CompanyCode, level: &Level) -> Pending<Option<LevelSettings>>;

    /// Changes settings of a level, and answers with them as they are then. None, and nothing is changed, when there is no
    /// such level within the scope. Without any difference there is no new revision and no event.
    fn change_settings(&self, change: SettingsChange) -> Pending<Option<LevelSettings>>;

    /// The latest revision of any settings, of any company. Whoever keeps settings in memory compares it, to learn of changes
    /// by other processes.
    fn settings_revision(&self) -> Pending<u64>;

    /// Sets the time zone that a company's calendar days are counted in: an IANA name. False without such a company.
    fn set_time_zone(&self, company: &CompanyCode, zone: &str) -> Pending<bool>;

    /// Changes a store's details, and answers with them as they are then. None when there is no such store within the scope.
    fn update_store(&self, change: StoreChange) -> Pending<Option<StoreDetails>>;

    /// Retires a terminal for good: its token ends, what was pending is cancelled, and its POIID can't be added again. Its
    /// history stays. None when there is no such terminal within the scope.
    fn retire_terminal(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        poi: &PoiId,
        by: Option<&CredentialId>,
        at: WallMs,
    ) -> Pending<Option<Retired>>;

    /// A terminal's tokens, newest first: the current one, those that may take its place, and those that ended within 48
    /// hours. None when there is no such terminal.
    fn tokens(&self, company: &CompanyCode, poi: &PoiId) -> Pending<Option<Vec<TokenInfo>>>;

    /// Ends a token at once. With the current one all that may take its place end too: the terminal has to be boarded
    /// again, its epoch is raised, and an assignment that waited for it waits no longer. None when the terminal has no such
    /// token that opens links.
    fn revoke_token(
        &self,
        company: &CompanyCode,
        poi: &PoiId,
        id: &TokenId,
        by: Option<&CredentialId>,
        at: WallMs,
    ) -> Pending<Option<RevokedToken>>;

    /// Keeps a token that may take the place of a boarded terminal's. Until one of them does both are good.
    fn begin_rotation(
        &self,
        poi: &PoiId,
        token: TokenHash,
        id: &TokenId,
        at: WallMs,
    ) -> Pending<RotationBegun>;

    /// The terminal has stored this token, as it said or by using it: it is the current one now, and all others end. False,
    /// and nothing is changed, when it is none that may.
    fn end_rotation(&self, poi: &PoiId, id: &TokenId, at: WallMs) -> Pending<bool>;

    /// Notes when terminals were last active, and last had a transaction; what is older than what is there changes nothing.
    /// Written with whatever comes next: up to 20 ms later.
    fn note_activity(&self, activity: Vec<Activity>) -> Pending<()>;

    /// Writes an event whose cause is nothing in the database.
    fn note_event(&self, event: NewFleetEvent) -> Pending<()>;

    /// A company's events after this number, in the order in which they were written; at most [`FLEET_PAGE`].
    fn fleet_events(&self, company: &CompanyCode, after: u64) -> Pending<Vec<FleetEvent>>;

    /// What is wrong with these rows, as far as the database knows: accounts that are not there, places that can't be, POIIDs
    /// in use. Reads only.
    fn check_import(&self, company: &CompanyCode, rows: Vec<ImportRow>) -> Pending<Vec<ImportProblem>>;

    /// Begins an import: what it writes nobody sees until it is finished. What an import left that was broken off is removed
    /// first, up to some thousand rows a call: [`ImportError::Cleaning`] asks for another one.
    ///
    /// # Errors
    /// [`ImportError::Missing`], [`ImportError::Running`], [`ImportError::Cleaning`].
    fn begin_import(
        &self,
        company: &CompanyCode,
        by: Option<&CredentialId>,
        at: WallMs,
    ) -> Pending<ImportId, ImportError>;

    /// Writes rows of an import, all or none of them, in one transaction; then it leaves the database to others for a moment,
    /// since a gateway may be waiting for it. More than [`IMPORT_ROWS_MAX`] at once would keep it waiting for long.
    ///
    /// # Errors
    /// [`ImportError::Rows`] for what would have been wrong in [`check_import`](Self::check_import) too, and what came twice;
    /// [`ImportError::Ended`] for one that was finished, or given up because it was silent for long.
    fn import_rows(&self, import: ImportId, rows: Vec<ImportRow>, at: WallMs) -> Pending<(), ImportError>;

    /// Ends an import: all its terminals are there at once. How many they are.
    ///
    /// # Errors
    /// [`ImportError::Ended`].
    fn finish_import(&self, import: ImportId, at: WallMs) -> Pending<u64, ImportError>;

    /// Removes what an import has written so far, some thousand rows a call. True once nothing is left of it.
    ///
    /// # Errors
    /// [`ImportError::Ended`] for one that was finished.
    fn abandon_import(&self, import: ImportId) -> Pending<bool, ImportError>;

    /// A company's terminals as [`import_rows`](Self::import_rows) would take them, in pages like those of
    /// [`terminals_of`](Self::terminals_of).
    fn export(&self, company: &CompanyCode, after: Option<&Listed>) -> Pending<Vec<ExportedTerminal>>;
}
