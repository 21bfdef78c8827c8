//! `Failure` responses that the gateway gives in the terminal's stead.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    ErrorCondition, MessageHeader, ResponseOutcome, TransactionIdentification,
    compose::{WireHeader, answer, json},
};

/// A `Failure` response in the request's own category, made by the gateway.
///
/// ```json
/// {"SaleToPOIResponse":{"MessageHeader":{..},"PaymentResponse":{
///   "Response":{"Result":"Failure","ErrorCondition":"NotAllowed","AdditionalResponse":"message=Use+a+new+ServiceID"},
///   "SaleData":{"SaleTransactionID":{..}},"POIData":{"POITransactionID":{..}}}}}
/// ```
/// Source: Terminal API, `Response`; that a payment's failure carries both identifications is what clients expect.
#[derive(Debug, Clone)]
pub struct FailureResponse<'a> {
    /// The request's header, repeated with `MessageType` `Response`.
    pub header: &'a MessageHeader,
    /// Why it failed.
    pub condition: ErrorCondition,
    /// Plain text for a person, written form-encoded as `message`; left out when empty.
    pub message: &'a str,
    /// The request's `SaleTransactionID`, when known.
    pub sale_transaction_id: Option<&'a TransactionIdentification>,
    /// A `POITransactionID` of the gateway's own, when the category wants one.
    pub poi_transaction_id: Option<TransactionIdentification>,
}

impl FailureResponse<'_> {
    /// The response as compact JSON.
    pub fn to_json(&self) -> Bytes {
        answer(&WireHeader::response_to(self.header), self.header, &self.body())
    }

    /// The same for a request whose `ServiceID` is no valid one
    /// ([`DecodeError::ServiceId`](crate::DecodeError::ServiceId)): the text is repeated as it came.
    pub fn to_json_with_service_id(&self, service_id: &str) -> Bytes {
        let header = WireHeader { service_id: Some(service_id), ..WireHeader::response_to(self.header) };
        answer(&header, self.header, &self.body())
    }

    fn body(&self) -> Vec<u8> {
        json(&Body {
            response: ResponseOutcome::failure(self.condition.clone()).with_message(self.message),
            sale_data: self.sale_transaction_id.map(|sale_transaction_id| Sale { sale_transaction_id }),
            poi_data: self.poi_transaction_id.as_ref().map(|poi_transaction_id| Poi { poi_transaction_id }),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    response: ResponseOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_data: Option<Sale<'a>>,
    #[serde(rename = "POIData", skip_serializing_if = "Option::is_none")]
    poi_data: Option<Poi<'a>>,
}

#[derive(Serialize)]
struct Sale<'a> {
    #[serde(rename = "SaleTransactionID")]
    sale_transaction_id: &'a TransactionIdentification,
}

#[derive(Serialize)]
struct Poi<'a> {
    #[serde(rename = "POITransactionID")]
    poi_transaction_id: &'a TransactionIdentification,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeError, Request};

    fn header(category: &str) -> MessageHeader {
        serde_json::from_str(&format!(
            r#"{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-1"}}"#
        ))
        .unwrap()
    }

    fn failure(header: &MessageHeader) -> FailureResponse<'_> {
        FailureResponse {
            header,
            condition: ErrorCondition::NOT_ALLOWED,
            message: "Use a new ServiceID",
            sale_transaction_id: None,
            poi_transaction_id: None,
        }
    }

    #[test]
    fn a_payments_failure_carries_both_identifications() {
        let header = header("Payment");
        let id = |text: &str| TransactionIdentification {
            transaction_id: text.to_owned(),
            time_stamp: "2026-11-20T09:15:02.118Z".to_owned(),
        };
        let sale = id("27908");
        let response = FailureResponse {
            sale_transaction_id: Some(&sale),
            poi_transaction_id: Some(id("tg.1")),
            ..failure(&header)
        };
        assert_eq!(
            response.to_json(),
            r#"{"SaleToPOIResponse":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-1"},"PaymentResponse":{"Response":{"Result":"Failure","ErrorCondition":"NotAllowed","AdditionalResponse":"message=Use+a+new+ServiceID"},"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"POIData":{"POITransactionID":{"TransactionID":"tg.1","TimeStamp":"2026-11-20T09:15:02.118Z"}}}}}"#
        );
    }

    #[test]
    fn a_category_without_response_still_has_one_for_a_failure() {
        for category in ["Abort", "InputUpdate", "Event", "Diagnosis"] {
            let json = failure(&header(category)).to_json();
            let text = std::str::from_utf8(&json).unwrap();
            let member = format!(
                r#""{category}Response":{{"Response":{{"Result":"Failure","ErrorCondition":"NotAllowed","AdditionalResponse":"message=Use+a+new+ServiceID"}}}}}}}}"#
            );
            assert!(text.ends_with(&member), "{text}");
        }
    }

    #[test]
    fn an_invalid_service_id_is_repeated_as_it_came() {
        let body = r#"{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"a \"b\"","SaleID":"TILL-04","POIID":"V400m-1"},"PaymentRequest":{"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"t"}}}}}"#;
        let Err(DecodeError::ServiceId { header, service_id, sale_transaction_id }) =
            Request::parse(body.into())
        else {
            panic!("expected an error about the ServiceID");
        };
        let response = FailureResponse {
            condition: ErrorCondition::MESSAGE_FORMAT,
            message: "ServiceID",
            sale_transaction_id: sale_transaction_id.as_deref(),
            ..failure(&header)
        };
        assert_eq!(
            response.to_json_with_service_id(&service_id),
            r#"{"SaleToPOIResponse":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"a \"b\"","SaleID":"TILL-04","POIID":"V400m-1"},"PaymentResponse":{"Response":{"Result":"Failure","ErrorCondition":"MessageFormat","AdditionalResponse":"message=ServiceID"},"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"t"}}}}}"#
        );
    }
}
