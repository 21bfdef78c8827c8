//! Diagnosis: asking a terminal about its health.

use serde::{Deserialize, Serialize};

use crate::{PoiId, ResponseOutcome, sale_data::null_as_default, words::words};

/// Asks a terminal about its health.
///
/// ```json
/// {"HostDiagnosisFlag":true}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `DiagnosisRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DiagnosisRequest {
    /// `POIID`: the terminal; absent means that of the header.
    #[serde(rename = "POIID", default, skip_serializing_if = "Option::is_none")]
    pub poi_id: Option<PoiId>,
    /// Whether the terminal also tries to reach its host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_as_default")]
    pub host_diagnosis_flag: bool,
    /// `AcquirerID`: which hosts to try; none means all.
    #[serde(
        rename = "AcquirerID",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub acquirer_id: Vec<u64>,
}

/// What a terminal says about its health.
///
/// `Response.AdditionalResponse` holds form pairs such as `batteryLevel`, `unconfirmedBatchCount` and
/// `firmwareVersion`. Source: nexo Sale to POI protocol 3.0, `DiagnosisResponse`; Terminal API: diagnosis request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DiagnosisResponse {
    /// How it went.
    pub response: ResponseOutcome,
    /// The terminal's own state; present on `Success`.
    #[serde(rename = "POIStatus", default, skip_serializing_if = "Option::is_none")]
    pub poi_status: Option<PoiStatus>,
    /// The hosts that were tried; present when the request asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub host_status: Vec<HostStatus>,
}

/// The state of a terminal.
///
/// Source: nexo Sale to POI protocol 3.0, `POIStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PoiStatus {
    /// The state in one word.
    pub global_status: GlobalStatus,
    /// `SecurityOKFlag`: whether its security module works.
    #[serde(rename = "SecurityOKFlag", default, skip_serializing_if = "Option::is_none")]
    pub security_ok_flag: Option<bool>,
    /// `PEDOKFlag`: whether its PIN pad works.
    #[serde(rename = "PEDOKFlag", default, skip_serializing_if = "Option::is_none")]
    pub ped_ok_flag: Option<bool>,
    /// `CardReaderOKFlag`: whether its card reader works.
    #[serde(rename = "CardReaderOKFlag", default, skip_serializing_if = "Option::is_none")]
    pub card_reader_ok_flag: Option<bool>,
    /// The printer; absent when the terminal has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printer_status: Option<PrinterStatus>,
    /// `CommunicationOKFlag`: whether its communication module works.
    #[serde(rename = "CommunicationOKFlag", default, skip_serializing_if = "Option::is_none")]
    pub communication_ok_flag: Option<bool>,
    /// `FraudPreventionFlag`: whether it suspects fraud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraud_prevention_flag: Option<bool>,
}

words! {
    /// `GlobalStatus`: the state of a terminal in one word. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `POIStatus.GlobalStatus`.
    GlobalStatus {
        OK = "OK",
        BUSY = "Busy",
        MAINTENANCE = "Maintenance",
        UNREACHABLE = "Unreachable",
    }
}

words! {
    /// `PrinterStatus`: the state of a terminal's printer. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `POIStatus.PrinterStatus`.
    PrinterStatus {
        OK = "OK",
        PAPER_LOW = "PaperLow",
        NO_PAPER = "NoPaper",
        PAPER_JAM = "PaperJam",
        OUT_OF_ORDER = "OutOfOrder",
    }
}

/// Whether a host could be reached.
///
/// Source: nexo Sale to POI protocol 3.0, `HostStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostStatus {
    /// `AcquirerID`: the number of the host.
    #[serde(rename = "AcquirerID")]
    pub acquirer_id: u64,
    /// Whether it answered; absent means that it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_reachable_flag: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_is_read_and_written_under_the_wire_names() {
        let json = r#"{"Response":{"Result":"Success","AdditionalResponse":"batteryLevel=87%25"},"POIStatus":{"GlobalStatus":"OK","SecurityOKFlag":true,"PEDOKFlag":true,"CardReaderOKFlag":false,"PrinterStatus":"NoPaper","CommunicationOKFlag":true,"FraudPreventionFlag":false},"HostStatus":[{"AcquirerID":1,"IsReachableFlag":true}]}"#;
        let response: DiagnosisResponse = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&response).unwrap(), json);
    }

    #[test]
    fn an_empty_diagnosis_request_leaves_the_host_alone() {
        assert!(!serde_json::from_str::<DiagnosisRequest>("{}").unwrap().host_diagnosis_flag);
        let with_host = DiagnosisRequest { host_diagnosis_flag: true, ..DiagnosisRequest::default() };
        assert_eq!(serde_json::to_string(&with_host).unwrap(), r#"{"HostDiagnosisFlag":true}"#);
    }
}
