//! What identifies a transaction on either side.

use serde::{Deserialize, Serialize};

/// A transaction as one side knows it.
///
/// ```json
/// {"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `TransactionIDType`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionIdentification {
    /// `TransactionID`: any text that is not empty.
    #[serde(rename = "TransactionID")]
    pub transaction_id: String,
    /// `TimeStamp`: ISO 8601, as it came.
    #[serde(rename = "TimeStamp")]
    pub time_stamp: String,
}

/// What the POS says about its transaction; responses repeat it.
///
/// Source: nexo Sale to POI protocol 3.0, `SaleData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SaleData {
    /// `OperatorID`: who works at the POS.
    #[serde(rename = "OperatorID", default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// `OperatorLanguage`: two lower-case letters, ISO 639-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_language: Option<String>,
    /// `ShiftNumber`: the shift during which the transaction takes place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_number: Option<String>,
    /// `SaleTransactionID`: the transaction as the POS knows it.
    #[serde(rename = "SaleTransactionID")]
    pub sale_transaction_id: TransactionIdentification,
    /// `SaleReferenceID`: joins several transactions that belong together.
    #[serde(rename = "SaleReferenceID", default, skip_serializing_if = "Option::is_none")]
    pub sale_reference_id: Option<String>,
    /// `TokenRequestedType`: `Customer` or `Transaction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_requested_type: Option<String>,
    /// `SaleToPOIData`: for the terminal, in no fixed form.
    #[serde(rename = "SaleToPOIData", default, skip_serializing_if = "Option::is_none")]
    pub sale_to_poi_data: Option<String>,
    /// `SaleToAcquirerData`: for the payments platform; form pairs or Base64 of a JSON object, readable with
    /// [`AdditionalResponse`](crate::AdditionalResponse).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_to_acquirer_data: Option<String>,
}

impl SaleData {
    /// Only what every request needs: the transaction as the POS knows it.
    pub fn new(sale_transaction_id: TransactionIdentification) -> Self {
        Self {
            operator_id: None,
            operator_language: None,
            shift_number: None,
            sale_transaction_id,
            sale_reference_id: None,
            token_requested_type: None,
            sale_to_poi_data: None,
            sale_to_acquirer_data: None,
        }
    }
}

/// What the terminal says about its transaction.
///
/// Source: nexo Sale to POI protocol 3.0, `POIData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoiData {
    /// `POITransactionID`: the transaction as the terminal knows it; reversals name it.
    #[serde(rename = "POITransactionID")]
    pub poi_transaction_id: TransactionIdentification,
    /// `POIReconciliationID`: the batch the transaction belongs to; a text, as terminals write it.
    #[serde(rename = "POIReconciliationID", default, skip_serializing_if = "Option::is_none")]
    pub poi_reconciliation_id: Option<String>,
}

/// Reads `null` as the default, for some serialisers write it for what they do not have.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
