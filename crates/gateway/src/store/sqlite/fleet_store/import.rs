//! Imports in SQL. What writes runs inside a transaction of the writer's.
//!
//! The rows of an import are written where they belong at once, in many short transactions, and nobody sees them while the
//! import is open. To finish it is to delete its row of `open_imports`: that shows all of them at once, however many they are,
//! and holds up nobody.

use std::collections::HashMap;
use std::time::Duration;

use relay::WallMs;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::events;
use crate::store::fleet_store::{
    EventKind, IMPORT_ROWS_MAX, ImportId, ImportProblem, ImportRow, ImportWrong, NewFleetEvent,
};
use crate::store::sqlite::fleet::{self, execute};
use crate::store::{
    CompanyCode, CredentialId, Entity, FleetError, ImportError, NewTerminal, Place, StoreError,
};

/// How long an import may be silent before the next one takes it for broken off. It writes every second or so.
const SILENT: Duration = Duration::from_secs(60);

pub(super) fn check(
    connection: &Connection,
    company: &CompanyCode,
    rows: &[ImportRow],
) -> Result<Vec<ImportProblem>, StoreError> {
    let mut checker = Checker { connection, company, places: HashMap::new() };
    let mut problems = Vec::new();
    for row in rows {
        if let Some(problem) = checker.problem(row)? {
            problems.push(ImportProblem { line: row.line, problem });
        }
    }
    Ok(problems)
}

/// Looks each place up once: a fleet has far fewer of them than terminals.
struct Checker<'a> {
    connection: &'a Connection,
    company: &'a CompanyCode,
    places: HashMap<Place, Option<ImportWrong>>,
}

impl Checker<'_> {
    fn problem(&mut self, row: &ImportRow) -> Result<Option<ImportWrong>, StoreError> {
        let known = match self.places.get(&row.place) {
            Some(known) => known.clone(),
            None => {
                let wrong = wrong(fleet::check_place(self.connection, self.company, &row.place))?;
                self.places.insert(row.place.clone(), wrong.clone());
                wrong
            }
        };
        match known {
            Some(wrong) => Ok(Some(wrong)),
            None => wrong(fleet::poi_is_free(self.connection, &row.poi)),
        }
    }
}

fn wrong(checked: Result<(), FleetError>) -> Result<Option<ImportWrong>, StoreError> {
    Ok(match checked {
        Ok(()) => None,
        Err(FleetError::AlreadyExists(Entity::Terminal(poi))) => Some(ImportWrong::AlreadyExists(poi)),
        Err(FleetError::AlreadyExists(entity) | FleetError::Missing(entity)) => {
            Some(ImportWrong::Missing(entity))
        }
        Err(FleetError::Retired(poi)) => Some(ImportWrong::Retired(poi)),
        Err(FleetError::MerchantHasStores(merchant) | FleetError::HoldsInStoreTerminals { merchant, .. }) => {
            Some(ImportWrong::MerchantHasStores(merchant))
        }
        Err(FleetError::Store(error)) => return Err(error),
    })
}

/// The outer error is the database's; what was removed before another error stays removed.
pub(super) fn begin(
    connection: &Connection,
    company: &CompanyCode,
    by: Option<&CredentialId>,
    at: WallMs,
) -> Result<Result<ImportId, ImportError>, StoreError> {
    if fleet::company(connection, company)?.is_none() {
        return Ok(Err(ImportError::Missing(Entity::Company(company.clone()))));
    }
    let sql = "SELECT id, touched_at FROM open_imports ORDER BY id LIMIT 1";
    let open = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    if let Some((id, touched)) = open {
        if at < WallMs(touched).plus(SILENT) {
            return Ok(Err(ImportError::Running));
        }
        if !remove(connection, ImportId(id))? {
            return Ok(Err(ImportError::Cleaning));
        }
    }
    // A row of this table never gets a lower number than those before it.
    let sql = "INSERT INTO open_imports (company, begun_by, touched_at, first_row)
        SELECT ?1, ?2, ?3, coalesce(max(rowid), 0) + 1 FROM terminals RETURNING id";
    let values = params![company.as_str(), by.map(CredentialId::as_str), at.0];
    let id = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(Ok(ImportId(id)))
}

pub(super) fn write(
    connection: &Connection,
    import: ImportId,
    rows: Vec<ImportRow>,
    at: WallMs,
) -> Result<(), ImportError> {
    let company = company_of(connection, import)?.ok_or(ImportError::Ended)?;
    let mut checker = Checker { connection, company: &company, places: HashMap::new() };
    let count = rows.len().cast_signed();
    let mut problems = Vec::new();
    for row in rows {
        if let Some(problem) = checker.problem(&row)? {
            problems.push(ImportProblem { line: row.line, problem });
            if problems.len() == ImportError::LISTED_MAX {
                break;
            }
            continue;
        }
        let terminal = NewTerminal {
            platform: row.platform,
            display_label: row.display_label,
            country: row.country,
            permanent_terminal_id: row.permanent_terminal_id,
            ..NewTerminal::new(row.poi, company.clone(), row.place, at)
        };
        fleet::insert_terminal(connection, &terminal, Some(import.0))?;
    }
    if !problems.is_empty() {
        return Err(ImportError::Rows(problems));
    }
    let sql = "UPDATE open_imports SET touched_at = ?2, count = count + ?3 WHERE id = ?1";
    Ok(execute(connection, sql, params![import.0, at.0, count])?)
}

fn company_of(connection: &Connection, import: ImportId) -> Result<Option<CompanyCode>, StoreError> {
    let sql = "SELECT id, company FROM open_imports WHERE id = ?1";
    fleet::one(connection, sql, [import.0], |row| {
        crate::store::sqlite::columns::Columns::new(row, "open_imports", "id")?
            .parse("company", CompanyCode::parse)
    })
}

pub(super) fn finish(connection: &Connection, import: ImportId, at: WallMs) -> Result<u64, ImportError> {
    let company = company_of(connection, import)?.ok_or(ImportError::Ended)?;
    let sql = "DELETE FROM open_imports WHERE id = ?1 RETURNING count, begun_by";
    let (count, by): (i64, Option<String>) =
        connection.prepare_cached(sql)?.query_row([import.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let user = by.as_deref().unwrap_or_else(|| events::user(None));
    let data = json!({ "import": import.0, "count": count, "user": user });
    let event = NewFleetEvent { at, company, poi: None, kind: EventKind::TerminalAdded, data };
    events::write(connection, &event)?;
    Ok(count.cast_unsigned())
}

pub(super) fn abandon(connection: &Connection, import: ImportId) -> Result<bool, ImportError> {
    company_of(connection, import)?.ok_or(ImportError::Ended)?;
    Ok(remove(connection, import)?)
}

/// Removes some of what an open import has written; true once that was all.
fn remove(connection: &Connection, import: ImportId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM terminals WHERE rowid IN (
        SELECT rowid FROM terminals
        WHERE rowid >= (SELECT first_row FROM open_imports WHERE id = ?1) AND import = ?1 LIMIT ?2)";
    let removed =
        connection.prepare_cached(sql)?.execute(params![import.0, IMPORT_ROWS_MAX.cast_signed()])?;
    if removed == IMPORT_ROWS_MAX {
        return Ok(false);
    }
    execute(connection, "DELETE FROM open_imports WHERE id = ?1", [import.0])?;
    Ok(true)
}
