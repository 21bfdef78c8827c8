//! `MessageReference`: how one message points at another.

use serde::{Deserialize, Serialize};

use crate::{DeviceId, MessageCategory, PoiId, SaleId, ServiceId};

/// Points at an earlier request: which one to abort, or whose outcome is asked for.
///
/// ```json
/// {"MessageCategory":"Payment","ServiceID":"7f3A91","SaleID":"TILL-04"}
/// ```
/// `SaleID` and `POIID` that are absent are those of the message's own header.
/// Source: nexo Sale to POI protocol 3.0, `MessageReference`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReference {
    /// `MessageCategory` of the request.
    #[serde(rename = "MessageCategory", default, skip_serializing_if = "Option::is_none")]
    pub category: Option<MessageCategory>,
    /// `ServiceID` of the request.
    #[serde(rename = "ServiceID", default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<ServiceId>,
    /// `DeviceID` of the request, when it was of class `Device`.
    #[serde(rename = "DeviceID", default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// `SaleID` of the request.
    #[serde(rename = "SaleID", default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
    /// `POIID` of the request.
    #[serde(rename = "POIID", default, skip_serializing_if = "Option::is_none")]
    pub poi_id: Option<PoiId>,
}
