//! `getTerminalDetails`: where one terminal is, and all else that is known of it.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use serde::Serialize;

use super::TerminalManagementApi;
use super::find_terminal::{Found, look_up};
use super::stores_under_account::WireStore;
use super::wire_bool::{Booleans, Path, WireBool};
use crate::fleet::{Connections, Described, Interface, model_and_serial, printed_serial};
use crate::http::problem::ClassicError;
use crate::store::fleet_store::TerminalRecord;

/// What is known of a terminal. What is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Details {
    #[serde(flatten)]
    found: Found,
    terminal_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_model: Option<String>,
    /// As it is printed: in groups of three.
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    /// Eight digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    permanent_terminal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'static str>,
    /// Where the terminal stands in a store with a code of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_details: Option<WireStore>,
    /// Not when that was more than 14 days ago; the same for the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activity_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transaction_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wifi_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wifi_mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ethernet_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ethernet_mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bluetooth_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bluetooth_mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_negotiation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dhcp_enabled: Option<WireBool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iccid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim_status: Option<String>,
}

pub(super) async fn call(
    api: &TerminalManagementApi,
    path: Path,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Details>, ClassicError> {
    let record = look_up(api, "GetTerminalDetailsRequest", headers, body).await?;
    let described = api.queries.describe(&record);
    let booleans = Booleans::of(path, record.v1_booleans, api.settings.v1_booleans);
    Ok(Json(Details::of(record, described, booleans)))
}

impl Details {
    fn of(record: TerminalRecord, described: Described, booleans: Booleans) -> Details {
        let found = Found::of(&record, booleans);
        let terminal = record.terminal;
        let (model, serial) = model_and_serial(terminal.poi.as_str()).unzip();
        let said = terminal.device.as_deref().map(Connections::read).unwrap_or_default();
        let Interface { ip: wifi_ip, mac: wifi_mac } = said.wifi;
        let Interface { ip: ethernet_ip, mac: ethernet_mac } = said.ethernet;
        let Interface { ip: bluetooth_ip, mac: bluetooth_mac } = said.bluetooth;
        Details {
            found,
            terminal_status: described.status.as_str(),
            device_model: model.map(str::to_owned),
            serial_number: serial.map(printed_serial),
            permanent_terminal_id: record.permanent_terminal_id,
            firmware_version: terminal.firmware_version,
            country: described.country,
            store_details: record.store.map(WireStore::of),
            last_activity_date_time: described.last_activity,
            last_transaction_date_time: described.last_transaction,
            display_label: terminal.settings.display_label,
            wifi_ip,
            wifi_mac,
            ethernet_ip,
            ethernet_mac,
            bluetooth_ip,
            bluetooth_mac,
            link_negotiation: said.link_negotiation,
            dhcp_enabled: said.dhcp_enabled.map(|dhcp| booleans.wire(dhcp)),
            iccid: said.iccid,
            sim_status: said.sim_status,
        }
    }
}
