//! Looking after a fleet, in SQL.

pub(super) mod assignments;
pub(super) mod events;
mod import;
mod lists;
mod settings;
mod stores;
pub(super) mod tokens;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use nexo::PoiId;
use relay::ledger::Lane;
use relay::{ChangeId, WallMs};

use super::SqliteStore;
use crate::store::fleet_store::{
    Activity, Assign, Assigned, Completed, CompletedBy, DueAssignment, ExportedTerminal, FleetEvent,
    FleetStore, ImportId, ImportProblem, ImportRow, Level, LevelSettings, ListFilter, Listed, NewFleetEvent,
    Retired, RevokedToken, RotationBegun, SettingsChange, StoreChange, StoreId, TerminalRecord, TokenId,
    TokenInfo,
};
use crate::store::{
    AssignError, CompanyCode, CredentialId, ImportError, MerchantCode, Pending, Scope, StoreDetails,
    StoreError, TokenHash,
};

/// How long an import leaves the database to others after each transaction, at least and at most; in between it is half as
/// long as the transaction took. Whoever waits for a lock looks the less often the longer it has waited, every 25 ms at first
/// and every 100 ms in the end: so a gateway's payment waits for one transaction of an import, seldom for two.
const IMPORT_PAUSE: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(100)];

impl FleetStore for SqliteStore {
    fn find_terminal(&self, company: &CompanyCode, poi: &PoiId) -> Pending<Option<TerminalRecord>> {
        let (company, poi) = (company.clone(), poi.clone());
        self.readers.read(move |connection| lists::find(connection, &company, &poi))
    }

    fn missing_terminals(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        terminals: &[PoiId],
    ) -> Pending<Vec<PoiId>> {
        let (company, scope, terminals) = (company.clone(), scope.clone(), terminals.to_vec());
        self.readers.read(move |connection| assignments::missing(connection, &company, &scope, &terminals))
    }

    fn terminals_of(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        filter: &ListFilter,
        after: Option<&Listed>,
    ) -> Pending<Vec<Listed>> {
        let (company, scope) = (company.clone(), scope.clone());
        let (filter, after) = (filter.clone(), after.cloned());
        self.readers.read(move |connection| {
            lists::terminals_of(connection, &company, &scope, &filter, after.as_ref())
        })
    }

    fn stores_of(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        merchant: Option<&MerchantCode>,
        after: Option<&StoreDetails>,
    ) -> Pending<Vec<StoreDetails>> {
        let (company, scope) = (company.clone(), scope.clone());
        let (merchant, after) = (merchant.cloned(), after.cloned());
        self.readers.read(move |connection| {
            stores::stores_of(connection, &company, &scope, merchant.as_ref(), after.as_ref())
        })
    }

    fn store_by_id(&self, company: &CompanyCode, id: &StoreId) -> Pending<Option<StoreDetails>> {
        let (company, id) = (company.clone(), id.clone());
        self.readers.read(move |connection| stores::by_id(connection, &company, &id))
    }

    fn assign(&self, assign: Assign) -> Pending<Vec<(PoiId, Assigned)>, AssignError> {
        self.writer.write(move |connection| assignments::assign(connection, &assign))
    }

    fn due_assignments(&self, limit: usize) -> Pending<Vec<DueAssignment>> {
        self.readers.read(move |connection| assignments::due(connection, limit))
    }

    fn complete_assignment(
        &self,
        poi: &PoiId,
        change: &ChangeId,
        by: CompletedBy,
        at: WallMs,
    ) -> Pending<Option<Completed>> {
        let (poi, change) = (poi.clone(), change.clone());
        self.writer.write(move |connection| assignments::complete(connection, &poi, &change, by, at))
    }

    fn note_assignment_told(&self, change: &ChangeId, at: WallMs) -> Pending<()> {
        let change = change.clone();
        let note = move |connection: &_| assignments::note_told(connection, &change, at);
        self.writer.write_repeatable(Lane::Rest, 0, note)
    }

    fn settings_at(&self, company: &CompanyCode, level: &Level) -> Pending<Option<LevelSettings>> {
        let (company, level) = (company.clone(), level.clone());
        self.readers.read(move |connection| settings::at(connection, &company, &level))
    }

    fn change_settings(&self, change: SettingsChange) -> Pending<Option<LevelSettings>> {
        self.writer.write(move |connection| settings::change(connection, &change))
    }

    fn settings_revision(&self) -> Pending<u64> {
        self.readers.read(settings::revision)
    }

    fn set_time_zone(&self, company: &CompanyCode, zone: &str) -> Pending<bool> {
        let (company, zone) = (company.clone(), zone.to_owned());
        self.writer.write(move |connection| settings::set_time_zone(connection, &company, &zone))
    }

    fn update_store(&self, change: StoreChange) -> Pending<Option<StoreDetails>> {
        self.writer.write(move |connection| stores::update(connection, change))
    }

    fn retire_terminal(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        poi: &PoiId,
        by: Option<&CredentialId>,
        at: WallMs,
    ) -> Pending<Option<Retired>> {
        let (company, scope, poi, by) = (company.clone(), scope.clone(), poi.clone(), by.cloned());
        self.writer
            .write(move |connection| assignments::retire(connection, &company, &scope, &poi, by.as_ref(), at))
    }

    fn tokens(&self, company: &CompanyCode, poi: &PoiId) -> Pending<Option<Vec<TokenInfo>>> {
        let (company, poi, now) = (company.clone(), poi.clone(), (self.clock)());
        self.readers.read(move |connection| tokens::list_all(connection, &company, &poi, now))
    }

    fn revoke_token(
        &self,
        company: &CompanyCode,
        poi: &PoiId,
        id: &TokenId,
        by: Option<&CredentialId>,
        at: WallMs,
    ) -> Pending<Option<RevokedToken>> {
        let (company, poi, id, by) = (company.clone(), poi.clone(), id.clone(), by.cloned());
        self.writer.write(move |connection| tokens::revoke(connection, &company, &poi, &id, by.as_ref(), at))
    }

    fn begin_rotation(
        &self,
        poi: &PoiId,
        token: TokenHash,
        id: &TokenId,
        at: WallMs,
    ) -> Pending<RotationBegun> {
        let (poi, id) = (poi.clone(), id.clone());
        self.writer.write(move |connection| tokens::begin_rotation(connection, &poi, token, &id, at))
    }

    fn end_rotation(&self, poi: &PoiId, id: &TokenId, at: WallMs) -> Pending<bool> {
        let (poi, id) = (poi.clone(), id.clone());
        self.writer.write(move |connection| tokens::end_rotation(connection, &poi, &id, at))
    }

    fn note_activity(&self, activity: Vec<Activity>) -> Pending<()> {
        let bytes = activity.len() * size_of::<Activity>();
        let note = move |connection: &_| lists::note_activity(connection, &activity);
        self.writer.write_repeatable(Lane::Rest, bytes, note)
    }

    fn note_event(&self, event: NewFleetEvent) -> Pending<()> {
        self.writer.write(move |connection| events::write(connection, &event))
    }

    fn fleet_events(&self, company: &CompanyCode, after: u64) -> Pending<Vec<FleetEvent>> {
        let company = company.clone();
        self.readers.read(move |connection| events::after(connection, &company, after))
    }

    fn check_import(&self, company: &CompanyCode, rows: Vec<ImportRow>) -> Pending<Vec<ImportProblem>> {
        let company = company.clone();
        self.readers.read(move |connection| import::check(connection, &company, &rows))
    }

    fn begin_import(
        &self,
        company: &CompanyCode,
        by: Option<&CredentialId>,
        at: WallMs,
    ) -> Pending<ImportId, ImportError> {
        let (company, by) = (company.clone(), by.cloned());
        // What was removed stays removed, also when that is not all.
        let begun = self.writer.write(move |connection| import::begin(connection, &company, by.as_ref(), at));
        Box::pin(async move { begun.await.map_err(|error: StoreError| ImportError::from(error))? })
    }

    fn import_rows(&self, import: ImportId, rows: Vec<ImportRow>, at: WallMs) -> Pending<(), ImportError> {
        let written = self.writer.write(move |connection| import::write(connection, import, rows, at));
        Box::pin(async move {
            let began = Instant::now();
            let written = written.await;
            let [least, most] = IMPORT_PAUSE;
            let long = (began.elapsed() / 2).clamp(least, most);
            // Not by a timer: whoever runs an import from a command line may have none.
            let pause = tokio::task::spawn_blocking(move || std::thread::sleep(long));
            drop(pause.await);
            written
        })
    }

    fn finish_import(&self, import: ImportId, at: WallMs) -> Pending<u64, ImportError> {
        self.writer.write(move |connection| import::finish(connection, import, at))
    }

    fn abandon_import(&self, import: ImportId) -> Pending<bool, ImportError> {
        self.writer.write(move |connection| import::abandon(connection, import))
    }

    fn export(&self, company: &CompanyCode, after: Option<&Listed>) -> Pending<Vec<ExportedTerminal>> {
        let (company, after) = (company.clone(), after.cloned());
        self.readers.read(move |connection| lists::export(connection, &company, after.as_ref()))
    }
}
