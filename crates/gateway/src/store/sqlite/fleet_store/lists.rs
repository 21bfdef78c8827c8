//! Lists of terminals in SQL, and all that is known of one.

use nexo::PoiId;
use rusqlite::{Connection, Row, params};

use super::settings;
use crate::store::fleet_store::{
    Activity, CountryCode, ExportedTerminal, FLEET_PAGE, ListFilter, Listed, SettingValues, TerminalRecord,
};
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{self, execute, list, one};
use crate::store::{CompanyCode, MerchantCode, Place, Scope, StoreCode, StoreDetails, StoreError, Terminal};

pub(super) fn find(
    connection: &Connection,
    company: &CompanyCode,
    poi: &PoiId,
) -> Result<Option<TerminalRecord>, StoreError> {
    // All of it as of one moment.
    let connection = &*connection.unchecked_transaction()?;
    let Some(terminal) = fleet::own_terminal(connection, company, poi)? else { return Ok(None) };
    let store = match (terminal.place.merchant(), terminal.place.store()) {
        (Some(merchant), Some(store)) => fleet::store_details(connection, merchant, store)?,
        _ => None,
    };
    let sql = "SELECT t.poi_id, t.web_sockets_enabled, t.terminal_api_enabled, t.display_label, t.country,
            t.permanent_terminal_id, t.added_at, t.last_activity_at, t.last_transaction_at, c.time_zone,
            coalesce(s.v1_booleans, m.v1_booleans, c.v1_booleans) AS v1_booleans
        FROM terminals t
        JOIN companies c ON c.code = t.company
        LEFT JOIN merchant_accounts m ON m.code = t.merchant
        LEFT JOIN stores s ON s.merchant = t.merchant AND s.code = t.store
        WHERE t.poi_id = ?1";
    one(connection, sql, [poi.as_str()], |row| record_of(row, terminal, store))
}

fn record_of(
    row: &Row<'_>,
    terminal: Terminal,
    store: Option<StoreDetails>,
) -> Result<TerminalRecord, StoreError> {
    let columns = Columns::new(row, "terminals", "poi_id")?;
    Ok(TerminalRecord {
        terminal,
        own_settings: SettingValues {
            web_sockets_enabled: columns.get("web_sockets_enabled")?,
            terminal_api_enabled: columns.get("terminal_api_enabled")?,
            v1_booleans: None,
            display_label: columns.get("display_label")?,
        },
        v1_booleans: columns.parse_option("v1_booleans", settings::v1_booleans)?,
        time_zone: columns.get("time_zone")?,
        store,
        country: columns.parse_option("country", country)?,
        permanent_terminal_id: columns.get("permanent_terminal_id")?,
        added: columns.moment_option("added_at")?,
        last_activity: columns.moment_option("last_activity_at")?,
        last_transaction: columns.moment_option("last_transaction_at")?,
    })
}

fn country(text: &str) -> Result<CountryCode, String> {
    CountryCode::parse(text).ok_or_else(|| format!("expected two capital letters, got {text:?}"))
}

/// A part of the order of all terminals of a company: what is after the one text and before the other.
type Part = (String, String);

/// Read of the index alone, which has all of it in this order.
pub(super) const TERMINALS_OF: &str = "SELECT list_key FROM terminals INDEXED BY terminals_in_order
    WHERE company = ?1 AND list_key > ?2 AND list_key < ?3 AND retired_at IS NULL
        AND (import IS NULL OR import NOT IN (SELECT id FROM open_imports))
    ORDER BY list_key LIMIT ?4";

pub(super) const EXPORT: &str = "SELECT list_key, platform, country, permanent_terminal_id, display_label
    FROM terminals INDEXED BY terminals_in_order
    WHERE company = ?1 AND list_key > ?2 AND retired_at IS NULL
        AND (import IS NULL OR import NOT IN (SELECT id FROM open_imports))
    ORDER BY list_key LIMIT ?3";

/// After all keys: no code begins with it.
const END: &str = "~";

pub(super) fn terminals_of(
    connection: &Connection,
    company: &CompanyCode,
    scope: &Scope,
    filter: &ListFilter,
    after: Option<&Listed>,
) -> Result<Vec<Listed>, StoreError> {
    let after = after.map(list_key).unwrap_or_default();
    let mut found = Vec::new();
    for (from, to) in parts(scope, filter) {
        let from = (&from).max(&after);
        let left = (FLEET_PAGE - found.len()).cast_signed();
        found.extend(list(connection, TERMINALS_OF, params![company.as_str(), from, to, left], listed)?);
        if found.len() == FLEET_PAGE {
            break;
        }
    }
    Ok(found)
}

/// What a list is to have, in its order.
fn parts(scope: &Scope, filter: &ListFilter) -> Vec<Part> {
    // '!' follows the space that ends a code.
    let of_merchant = |merchant: &MerchantCode| (format!("{merchant} "), format!("{merchant}!"));
    match (scope, filter) {
        (Scope::Company, ListFilter::All) => vec![(String::new(), END.to_owned())],
        (Scope::Merchants(merchants), ListFilter::All) => {
            let mut parts: Vec<Part> = merchants.iter().map(of_merchant).collect();
            parts.sort();
            parts
        }
        (scope, ListFilter::Merchant(merchant) | ListFilter::Store(merchant, _))
            if !scope.reaches_merchant(Some(merchant)) =>
        {
            Vec::new()
        }
        (_, ListFilter::Merchant(merchant)) => vec![of_merchant(merchant)],
        (_, ListFilter::Store(merchant, store)) => {
            vec![(format!("{merchant} 3 {store} "), format!("{merchant} 3 {store}!"))]
        }
    }
}

/// As the column of that name is made.
fn list_key(listed: &Listed) -> String {
    let merchant = listed.place.merchant().map_or("", MerchantCode::as_str);
    let store = listed.place.store().map_or("", StoreCode::as_str);
    let kind = match listed.place {
        Place::CompanyInventory => 0,
        Place::MerchantInventory(_) => 1,
        Place::MerchantInStore(_) => 2,
        Place::Store { .. } => 3,
    };
    format!("{merchant} {kind} {store} {}", listed.poi)
}

fn listed(row: &Row<'_>) -> Result<Listed, StoreError> {
    listed_of(&Columns::new(row, "terminals", "list_key")?)
}

fn listed_of(columns: &Columns<'_>) -> Result<Listed, StoreError> {
    columns.parse("list_key", |key| {
        let mut parts = key.splitn(4, ' ');
        let [Some(merchant), Some(kind), Some(store), Some(poi)] = [(); 4].map(|()| parts.next()) else {
            return Err(format!("expected four parts, got {key:?}"));
        };
        let merchant_code = || MerchantCode::parse(merchant).map_err(|error| error.to_string());
        let place = match kind {
            "0" => Place::CompanyInventory,
            "1" => Place::MerchantInventory(merchant_code()?),
            "2" => Place::MerchantInStore(merchant_code()?),
            _ => Place::Store {
                merchant: merchant_code()?,
                store: StoreCode::parse(store).map_err(|error| error.to_string())?,
            },
        };
        Ok(Listed { poi: PoiId::parse(poi).map_err(|error| error.to_string())?, place })
    })
}

pub(super) fn export(
    connection: &Connection,
    company: &CompanyCode,
    after: Option<&Listed>,
) -> Result<Vec<ExportedTerminal>, StoreError> {
    let after = after.map(list_key).unwrap_or_default();
    list(connection, EXPORT, params![company.as_str(), after, FLEET_PAGE.cast_signed()], |row| {
        let columns = Columns::new(row, "terminals", "list_key")?;
        Ok(ExportedTerminal {
            listed: listed_of(&columns)?,
            platform: columns.get("platform")?,
            country: columns.parse_option("country", country)?,
            permanent_terminal_id: columns.get("permanent_terminal_id")?,
            display_label: columns.get("display_label")?,
        })
    })
}

pub(super) fn note_activity(connection: &Connection, activity: &[Activity]) -> Result<(), StoreError> {
    for Activity { poi, last_activity, last_transaction } in activity {
        // max() of nothing and something is nothing.
        execute(
            connection,
            "UPDATE terminals SET last_activity_at = max(coalesce(last_activity_at, ?2), ?2),
                last_transaction_at = max(coalesce(last_transaction_at, ?3), coalesce(?3, last_transaction_at))
            WHERE poi_id = ?1",
            params![poi.as_str(), last_activity.0, last_transaction.map(|at| at.0)],
        )?;
    }
    Ok(())
}
