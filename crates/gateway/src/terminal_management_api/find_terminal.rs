//! `findTerminal`: where one terminal is.
//!
//! `{"terminal":"V400m-100200300"}` →
//! `{"companyAccount":"DEMO_CO","merchantAccount":"DEMO_MERCHANT","merchantInventory":"false","store":"STORE_NORTH","terminal":"V400m-100200300"}`

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use nexo::PoiId;
use serde::Serialize;

use super::members::Members;
use super::wire_bool::{Booleans, Path, WireBool};
use super::{TerminalManagementApi, answer};
use crate::http::problem::ClassicError;
use crate::store::fleet_store::TerminalRecord;
use crate::store::{CompanyCode, MerchantCode, Place, StoreCode};

/// Where a terminal is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    company_account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_account: Option<String>,
    /// Only where a merchant account is involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_inventory: Option<WireBool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    terminal: PoiId,
}

pub(super) async fn call(
    api: &TerminalManagementApi,
    path: Path,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Found>, ClassicError> {
    let record = look_up(api, "FindTerminalRequest", headers, body).await?;
    let booleans = Booleans::of(path, record.v1_booleans, api.settings.v1_booleans);
    Ok(Json(Found::of(&record, booleans)))
}

/// The terminal that a request names. Whether it is unknown, another company's, or out of the credential's scope: the
/// answer is the same.
pub(super) async fn look_up(
    api: &TerminalManagementApi,
    request: &'static str,
    headers: &HeaderMap,
    body: Body,
) -> Result<TerminalRecord, ClassicError> {
    let (caller, bytes) = api.take(headers, body, api.body_limit).await?;
    let terminal = Members::read(&bytes, request, &["terminal"])?.required_text("terminal")?;
    // What can't be a POIID is no terminal's.
    let poi = PoiId::parse(&terminal).map_err(|_| answer::terminal_not_found())?;
    api.access.pace_lookup(&caller.credential, &poi).map_err(answer::too_often)?;
    let found = api.queries.terminal(&caller, &poi).await.map_err(answer::unread)?;
    found.ok_or_else(answer::terminal_not_found)
}

impl Found {
    pub(super) fn of(record: &TerminalRecord, booleans: Booleans) -> Found {
        let terminal = &record.terminal;
        let place = &terminal.place;
        let merchant = place.merchant().map(MerchantCode::as_str);
        let is_inventory = matches!(place, Place::MerchantInventory(_));
        Found {
            company_account: CompanyCode::as_str(&terminal.company).to_owned(),
            merchant_account: merchant.map(str::to_owned),
            merchant_inventory: merchant.map(|_| booleans.wire(is_inventory)),
            store: place.store().map(StoreCode::as_str).map(str::to_owned),
            terminal: terminal.poi.clone(),
        }
    }
}
