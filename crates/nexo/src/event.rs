//! Events: what happened, told to whom it may concern.

use serde::{Deserialize, Serialize};

use crate::{sale_data::null_as_default, words::words};

/// Tells a POS that something happened. Nobody answers it.
///
/// ```json
/// {"TimeStamp":"2026-11-20T09:15:02.118Z","EventToNotify":"Shutdown","EventDetails":"message=Switched%20off"}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `EventNotification`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventNotification {
    /// When: ISO 8601, usually in UTC with milliseconds.
    pub time_stamp: String,
    /// What.
    pub event_to_notify: EventToNotify,
    /// More about it, form-encoded; readable with [`AdditionalResponse`](crate::AdditionalResponse).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_details: Option<String>,
    /// With `Reject`: Base64 of the message that was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_message: Option<String>,
    /// Whether somebody has to look after the terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_as_default")]
    pub maintenance_required_flag: bool,
}

words! {
    /// `EventToNotify`: what happened. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `EventNotification.EventToNotify`.
    EventToNotify {
        ABORT = "Abort",
        BEGIN_MAINTENANCE = "BeginMaintenance",
        CARD_INSERTED = "CardInserted",
        CARD_REMOVED = "CardRemoved",
        COMPLETED = "Completed",
        CUSTOMER_LANGUAGE = "CustomerLanguage",
        END_MAINTENANCE = "EndMaintenance",
        INITIALISED = "Initialised",
        KEY_PRESSED = "KeyPressed",
        NETWORK_CONNECTED = "NetworkConnected",
        NETWORK_DISCONNECTED = "NetworkDisconnected",
        OUT_OF_ORDER = "OutOfOrder",
        REJECT = "Reject",
        SALE_ADMIN = "SaleAdmin",
        SALE_WAKE_UP = "SaleWakeUp",
        SCAN_BARCODE_RESULT = "ScanBarcodeResult",
        SECURITY_ALARM = "SecurityAlarm",
        SHUTDOWN = "Shutdown",
        STOP_ASSISTANCE = "StopAssistance",
        USE_ANOTHER_CARD_FOR_PREAUTH = "UseAnotherCardForPreauth",
    }
}
