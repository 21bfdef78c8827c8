//! Transaction status: asking how an earlier request went.

use serde::{Deserialize, Serialize};

use crate::{
    DocumentQualifier, MessageHeader, MessageReference, PaymentResponse, ResponseOutcome, ReversalResponse,
    sale_data::null_as_default,
};

/// Asks how an earlier request went.
///
/// ```json
/// {"MessageReference":{"MessageCategory":"Payment","SaleID":"TILL-04","ServiceID":"7f3A91"},"ReceiptReprintFlag":true}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `TransactionStatusRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransactionStatusRequest {
    /// The request; absent asks for the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_reference: Option<MessageReference>,
    /// Whether the terminal prints the receipts again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_as_default")]
    pub receipt_reprint_flag: bool,
    /// Which receipts are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub document_qualifier: Vec<DocumentQualifier>,
}

/// How the earlier request went.
///
/// `response` is about the question: `Success` when the request has ended, whatever its end; `InProgress` while it runs;
/// `NotFound` when it never came. Source: nexo Sale to POI protocol 3.0, `TransactionStatusResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransactionStatusResponse {
    /// Whether there is an answer.
    pub response: ResponseOutcome,
    /// The request that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_reference: Option<MessageReference>,
    /// The answer it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated_message_response: Option<RepeatedMessageResponse>,
}

/// An earlier response, told again.
///
/// Source: nexo Sale to POI protocol 3.0, `RepeatedMessageResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RepeatedMessageResponse {
    /// The header it had. Required by the schema; some terminals leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_header: Option<MessageHeader>,
    /// The body it had.
    pub repeated_response_message_body: RepeatedResponseMessageBody,
}

/// The body of an earlier response, under the name it had there.
///
/// Source: nexo Sale to POI protocol 3.0, `RepeatedResponseMessageBody`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RepeatedResponseMessageBody {
    /// When it was a payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_response: Option<PaymentResponse>,
    /// When it was a reversal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversal_response: Option<ReversalResponse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_request_asks_for_the_last_one() {
        let request: TransactionStatusRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(request, TransactionStatusRequest::default());
        assert_eq!(serde_json::to_string(&request).unwrap(), "{}");
    }

    #[test]
    fn null_is_read_as_absent() {
        let json = r#"{"MessageReference":null,"ReceiptReprintFlag":null,"DocumentQualifier":null}"#;
        let request: TransactionStatusRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request, TransactionStatusRequest::default());
    }
}
