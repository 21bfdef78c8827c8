//! Reversals: undoing a payment.

use serde::{Deserialize, Serialize};

use crate::{
    Amount, OriginalPoiTransaction, PaymentReceipt, PoiData, ResponseOutcome, SaleData,
    sale_data::null_as_default, words::words,
};

/// Asks to undo an earlier payment, or a part of it.
///
/// ```json
/// {"OriginalPOITransaction":{"POITransactionID":{"TransactionID":"tx","TimeStamp":"2026-11-20T09:15:02.118Z"}},
///  "ReversalReason":"MerchantCancel"}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `ReversalRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReversalRequest {
    /// The transaction as the POS knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_data: Option<SaleData>,
    /// The payment to undo.
    #[serde(rename = "OriginalPOITransaction")]
    pub original_poi_transaction: OriginalPoiTransaction,
    /// How much of it; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed_amount: Option<Amount>,
    /// Why.
    pub reversal_reason: ReversalReason,
}

words! {
    /// `ReversalReason`: why a payment is undone. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `ReversalRequest.ReversalReason`.
    ReversalReason {
        CUST_CANCEL = "CustCancel",
        MALFUNCTION = "Malfunction",
        MERCHANT_CANCEL = "MerchantCancel",
        UNABLE_2_COMPL = "Unable2Compl",
    }
}

/// Whether the reversal was taken on.
///
/// Source: nexo Sale to POI protocol 3.0, `ReversalResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReversalResponse {
    /// How it went.
    pub response: ResponseOutcome,
    /// The reversal as the terminal knows it.
    #[serde(rename = "POIData", default, skip_serializing_if = "Option::is_none")]
    pub poi_data: Option<PoiData>,
    /// The payment that was undone.
    #[serde(rename = "OriginalPOITransaction", default, skip_serializing_if = "Option::is_none")]
    pub original_poi_transaction: Option<OriginalPoiTransaction>,
    /// How much of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed_amount: Option<Amount>,
    /// What to print for the customer and for the shop.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub payment_receipt: Vec<PaymentReceipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reversal_is_read_and_written_under_the_wire_names() {
        let json = r#"{"OriginalPOITransaction":{"POIID":"V400m-1","POITransactionID":{"TransactionID":"tx","TimeStamp":"t"}},"ReversedAmount":5.50,"ReversalReason":"MerchantCancel"}"#;
        let request: ReversalRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request.reversal_reason, ReversalReason::MERCHANT_CANCEL);
        assert_eq!(serde_json::to_string(&request).unwrap(), json);

        let json = r#"{"Response":{"Result":"Success"},"POIData":{"POITransactionID":{"TransactionID":"r","TimeStamp":"t"}}}"#;
        let response: ReversalResponse = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&response).unwrap(), json);
    }
}
