//! Events of a fleet, written in the transactions of their causes.

use nexo::PoiId;
use relay::WallMs;
use rusqlite::{Connection, params};
use serde_json::json;

use crate::store::fleet_store::{EventKind, FLEET_PAGE, FleetEvent, NewFleetEvent};
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{self, execute, list};
use crate::store::{CompanyCode, CredentialId, MerchantCode, Place, StoreCode, StoreError};

pub(in crate::store::sqlite) fn write(
    connection: &Connection,
    event: &NewFleetEvent,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO fleet_events (at, company, poi_id, kind, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            event.at.0,
            event.company.as_str(),
            event.poi.as_ref().map(PoiId::as_str),
            event.kind.as_str(),
            event.data.to_string(),
        ],
    )
}

pub(super) fn after(
    connection: &Connection,
    company: &CompanyCode,
    after: u64,
) -> Result<Vec<FleetEvent>, StoreError> {
    let sql = "SELECT seq, at, company, poi_id, kind, data FROM fleet_events
        WHERE company = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    list(connection, sql, params![company.as_str(), after, FLEET_PAGE.cast_signed()], |row| {
        let columns = Columns::new(row, "fleet_events", "seq")?;
        let kind =
            |word: &str| EventKind::parse(word).ok_or_else(|| format!("expected a kind, got {word:?}"));
        Ok(FleetEvent {
            seq: columns.get::<i64>("seq")?.cast_unsigned(),
            event: NewFleetEvent {
                at: columns.moment("at")?,
                company: columns.parse("company", CompanyCode::parse)?,
                poi: columns.parse_option("poi_id", PoiId::parse)?,
                kind: columns.parse("kind", kind)?,
                data: columns.parse("data", |text| serde_json::from_str(text))?,
            },
        })
    })
}

/// A terminal has got a token.
pub(in crate::store::sqlite) fn boarded(
    connection: &Connection,
    poi: &PoiId,
    at: WallMs,
) -> Result<(), StoreError> {
    let Some(terminal) = fleet::terminal(connection, poi)? else { return Ok(()) };
    let mut data = json!({ "uniqueTerminalId": poi.as_str() });
    if let Some(merchant) = terminal.place.merchant() {
        data["merchantAccount"] = merchant.as_str().into();
    }
    if let Some((code, id)) = store_names(connection, &terminal.place)? {
        data["store"] = code.as_str().into();
        data["storeId"] = id.into();
    }
    let (company, poi) = (terminal.company, Some(poi.clone()));
    write(connection, &NewFleetEvent { at, company, poi, kind: EventKind::TerminalBoarded, data })
}

/// Code and ID of the store at a place, if there is one.
pub(super) fn store_names(
    connection: &Connection,
    place: &Place,
) -> Result<Option<(StoreCode, String)>, StoreError> {
    let (Some(merchant), Some(store)) = (place.merchant(), place.store()) else { return Ok(None) };
    store_id(connection, merchant, store).map(|id| id.map(|id| (store.clone(), id)))
}

/// The generated ID of a store.
pub(super) fn store_id(
    connection: &Connection,
    merchant: &MerchantCode,
    store: &StoreCode,
) -> Result<Option<String>, StoreError> {
    let details = fleet::store_details(connection, merchant, store)?;
    Ok(details.map(|details| details.id.as_str().to_owned()))
}

/// Who did it, as events say it.
pub(in crate::store::sqlite) fn user(by: Option<&CredentialId>) -> &str {
    by.map_or("operator", CredentialId::as_str)
}
