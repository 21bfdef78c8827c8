//! A request on its way from a POS to a terminal.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    DecodeError, MessageCategory, MessageHeader, MessageReference, ServiceId, TransactionIdentification,
    TransactionStatusRequest,
    envelope::{Envelope, Kind, trimmed},
    error::body_problem,
};

/// A request as it came from a POS: its header parsed, its bytes kept.
///
/// ```json
/// {"SaleToPOIRequest":{"MessageHeader":{..},"PaymentRequest":{..}}}
/// ```
/// Members beside `SaleToPOIRequest` are tolerated and stay in the bytes, for some client libraries add their
/// `merchantAccount` there. How deep the body nests is not limited here.
///
/// `Debug` shows the header and the length, never the body.
/// Source: nexo Sale to POI protocol 3.0, `SaleToPOIRequest`; Terminal API.
#[derive(Clone)]
pub struct Request {
    header: MessageHeader,
    service_id: ServiceId,
    bytes: Bytes,
    body: Option<Bytes>,
    is_encrypted: bool,
}

impl Request {
    /// Reads the body of an HTTP request. White space around the message is dropped, everything inside is untouched.
    ///
    /// # Errors
    /// Every variant but [`DecodeError::Value`] and [`DecodeError::Body`]; each has its own answer to the POS.
    pub fn parse(body: Bytes) -> Result<Self, DecodeError> {
        let bytes = trimmed(&body)?;
        let envelope = Envelope::open(&bytes, Kind::Request)?;
        let body = body_in(&envelope, &bytes, &envelope.header.category.request_member());
        let is_encrypted = envelope.is_encrypted();
        if let Some(service_id) = envelope.invalid_service_id {
            return Err(DecodeError::ServiceId {
                header: Box::new(envelope.header),
                service_id,
                sale_transaction_id: body.and_then(|body| sale_transaction_id(&body)).map(Box::new),
            });
        }
        let Some(service_id) = envelope.header.service_id.clone() else {
            return Err(envelope.header_error("MessageHeader: expected a ServiceID, got none".to_owned()));
        };
        Ok(Self { header: envelope.header, service_id, body, is_encrypted, bytes })
    }

    /// The header, in the clear also when the body is encrypted.
    pub fn header(&self) -> &MessageHeader {
        &self.header
    }

    /// `MessageHeader.ServiceID`.
    pub fn service_id(&self) -> &ServiceId {
        &self.service_id
    }

    /// The whole message, `{"SaleToPOIRequest":..}`, byte for byte as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the body is encrypted for the terminal alone (`NexoBlob`).
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Reads the body of the request's category, such as `PaymentRequest`.
    ///
    /// # Errors
    /// [`DecodeError::Body`] when the body is absent, encrypted, there twice, or not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        payload(self.body.as_ref(), self.header.category.request_member(), self.is_encrypted)
    }

    /// What an `AbortRequest`, a `TransactionStatusRequest` or an `InputUpdate` points at. `None` for other
    /// categories, and when it is encrypted, absent or unreadable.
    pub fn message_reference(&self) -> Option<MessageReference> {
        #[derive(Deserialize)]
        struct Referring {
            #[serde(rename = "MessageReference")]
            message_reference: Option<MessageReference>,
        }

        let category = &self.header.category;
        let refers =
            [MessageCategory::ABORT, MessageCategory::TRANSACTION_STATUS, MessageCategory::INPUT_UPDATE];
        if !refers.contains(category) {
            return None;
        }
        self.payload::<Referring>().ok()?.message_reference
    }

    /// The body of a `TransactionStatusRequest`. `None` for other categories, and when it is encrypted or unreadable.
    pub fn transaction_status(&self) -> Option<TransactionStatusRequest> {
        if self.header.category != MessageCategory::TRANSACTION_STATUS {
            return None;
        }
        self.payload().ok()
    }

    /// The POS's own identification of its transaction, `SaleData.SaleTransactionID` of a payment, a reversal or
    /// whatever else has one, when readable.
    pub fn sale_transaction_id(&self) -> Option<TransactionIdentification> {
        self.body.as_ref().filter(|_| !self.is_encrypted).and_then(sale_transaction_id)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("header", &self.header)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The body's own bytes, if it is there exactly once.
pub(crate) fn body_in(envelope: &Envelope<'_>, bytes: &Bytes, member: &str) -> Option<Bytes> {
    envelope.only(member).map(|raw| bytes.slice_ref(raw.get().as_bytes()))
}

/// Reads a body that [`body_in`] found, or says why there is none.
pub(crate) fn payload<T: DeserializeOwned>(
    body: Option<&Bytes>,
    member: String,
    is_encrypted: bool,
) -> Result<T, DecodeError> {
    if is_encrypted {
        return Err(DecodeError::Body { member, problem: "expected in the clear, got encrypted".to_owned() });
    }
    let Some(body) = body else {
        return Err(DecodeError::Body { member, problem: "expected once, got none or several".to_owned() });
    };
    serde_json::from_slice(body).map_err(|error| DecodeError::Body { member, problem: body_problem(&error) })
}

fn sale_transaction_id(body: &Bytes) -> Option<TransactionIdentification> {
    #[derive(Deserialize)]
    struct WithSaleData {
        #[serde(rename = "SaleData")]
        sale_data: WithId,
    }
    #[derive(Deserialize)]
    struct WithId {
        #[serde(rename = "SaleTransactionID")]
        sale_transaction_id: TransactionIdentification,
    }

    Some(serde_json::from_slice::<WithSaleData>(body).ok()?.sale_data.sale_transaction_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{AbortRequest, DiagnosisRequest, PaymentRequest, PoiId};

    const HEADER: &str = r#""MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-1"}"#;
    const PAYMENT: &str = r#""PaymentRequest":{"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.990}}}"#;

    fn request(category: &str, rest: &str) -> Request {
        let header = HEADER.replace("Payment", category);
        parse(&format!(r#"{{"SaleToPOIRequest":{{{header}{rest}}}}}"#)).unwrap()
    }

    fn parse(text: &str) -> Result<Request, DecodeError> {
        Request::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_request_keeps_its_bytes_and_loses_the_white_space_around_it() {
        let text = format!(
            "{{ \"merchantAccount\":\"DEMO\\u0031\",\n\t\"SaleToPOIRequest\" : {{ \"PaymentRequest\":{{\"a\": 1e2, \"a\": -0.10,\"é\":\"\\/\\ud800\"}}, {HEADER} }} }}"
        );
        let request = parse(&format!("\r\n {text}\t ")).unwrap();
        assert_eq!(request.bytes(), &text);
        assert_eq!(request.service_id().as_str(), "7f3A91");
        assert_eq!(request.header().poi_id, PoiId::parse("V400m-1").unwrap());
        assert_eq!(request.header().category, MessageCategory::PAYMENT);
        assert!(!request.is_encrypted());
    }

    #[test]
    fn a_trimmed_request_shares_the_memory_of_its_http_body() {
        let body = Bytes::from(format!("  {{\"SaleToPOIRequest\":{{{HEADER}}}}}  "));
        let request = Request::parse(body.clone()).unwrap();
        assert_eq!(request.bytes().as_ptr(), body[2..].as_ptr());
    }

    #[test]
    fn each_kind_of_bad_body_has_its_own_error() {
        assert_eq!(parse(" \n").unwrap_err(), DecodeError::Empty);
        assert_eq!(parse("{").unwrap_err(), DecodeError::NotJson);
        assert_eq!(parse("[]").unwrap_err(), DecodeError::NotAnObject);
        assert!(matches!(parse("{}"), Err(DecodeError::Header { poi_id: None, .. })));
    }

    #[test]
    fn an_absent_service_id_is_a_header_error_with_the_other_ids() {
        let header = HEADER.replace(r#""ServiceID":"7f3A91","#, "");
        assert_eq!(
            parse(&format!(r#"{{"SaleToPOIRequest":{{{header}}}}}"#)).unwrap_err(),
            DecodeError::Header {
                problem: "MessageHeader: expected a ServiceID, got none".to_owned(),
                poi_id: Some("V400m-1".to_owned()),
                sale_id: Some("TILL-04".to_owned()),
                service_id: None,
                device_id: None,
            }
        );
    }

    #[test]
    fn an_invalid_service_id_is_told_with_all_that_an_answer_needs() {
        for bad in ["", "12345678901", "a-b", "ä"] {
            let header = HEADER.replace("7f3A91", bad);
            let error = parse(&format!(r#"{{"SaleToPOIRequest":{{{header},{PAYMENT}}}}}"#)).unwrap_err();
            let DecodeError::ServiceId { header, service_id, sale_transaction_id } = error else {
                panic!("expected an error about the ServiceID {bad:?}");
            };
            assert_eq!(service_id, bad);
            assert_eq!((header.service_id, header.sale_id.as_str()), (None, "TILL-04"));
            assert_eq!(sale_transaction_id.unwrap().transaction_id, "27908");
        }
        let error =
            parse(&format!(r#"{{"SaleToPOIRequest":{{{}}}}}"#, HEADER.replace("7f3A91", "a-b"))).unwrap_err();
        assert_eq!(error.to_string(), r#"ServiceID: expected 1 to 10 ASCII letters or digits, got "a-b""#);
    }

    #[test]
    fn another_problem_of_the_header_comes_before_its_service_id() {
        let header = HEADER.replace("7f3A91", "a-b").replace(r#""SaleID":"TILL-04","#, "");
        let error = parse(&format!(r#"{{"SaleToPOIRequest":{{{header}}}}}"#)).unwrap_err();
        assert!(matches!(error, DecodeError::Header { service_id: Some(text), .. } if text == "a-b"));
    }

    #[test]
    fn a_message_for_the_other_direction_is_refused() {
        let text = format!(r#"{{"SaleToPOIResponse":{{{HEADER}}}}}"#);
        assert!(matches!(parse(&text), Err(DecodeError::Header { .. })));
    }

    #[test]
    fn the_body_is_read_on_demand() {
        let payment: PaymentRequest = request("Payment", &format!(",{PAYMENT}")).payload().unwrap();
        assert_eq!(payment.payment_transaction.amounts_req.requested_amount.to_string(), "10.990");
        let diagnosis: DiagnosisRequest =
            request("Diagnosis", r#","DiagnosisRequest":{"HostDiagnosisFlag":true}"#).payload().unwrap();
        assert!(diagnosis.host_diagnosis_flag);
    }

    #[test]
    fn a_body_that_cannot_be_read_says_why_without_repeating_it() {
        let problem = |category: &str, rest: &str| {
            request(category, rest).payload::<PaymentRequest>().unwrap_err().to_string()
        };
        assert_eq!(problem("Payment", ""), "PaymentRequest: expected once, got none or several");
        assert_eq!(
            problem("Payment", &format!(",{PAYMENT},{PAYMENT}")),
            "PaymentRequest: expected once, got none or several"
        );
        assert_eq!(
            problem("Payment", r#","NexoBlob":"AAAA","SecurityTrailer":{}"#),
            "PaymentRequest: expected in the clear, got encrypted"
        );
        assert_eq!(
            problem("Payment", r#","PaymentRequest":{"SaleData":"4111111111111111"}"#),
            "PaymentRequest: expected struct SaleData, got something else (line 1, column 30)"
        );
        assert_eq!(
            problem("Payment", &format!(",{}", PAYMENT.replace("10.990", "1e40"))),
            "PaymentRequest: expected a decimal number, got something else (line 1, column 175)"
        );
        assert_eq!(
            problem("Payment", r#","PaymentRequest":{"SaleData":{}}"#),
            "PaymentRequest: missing field `SaleTransactionID` (line 1, column 14)"
        );
    }

    #[test]
    fn an_encrypted_request_shows_its_header_and_nothing_else() {
        let request =
            request("TransactionStatus", r#","NexoBlob":"AAAA","SecurityTrailer":{"KeyVersion":1}"#);
        assert!(request.is_encrypted());
        assert_eq!(request.header().category, MessageCategory::TRANSACTION_STATUS);
        assert_eq!(request.message_reference(), None);
        assert_eq!(request.transaction_status(), None);
        assert_eq!(request.sale_transaction_id(), None);
    }

    #[test]
    fn what_an_abort_a_status_request_and_an_input_update_point_at_is_read() {
        let reference = r#"{"MessageReference":{"MessageCategory":"Payment","ServiceID":"S1","SaleID":"TILL-05"},"AbortReason":"MerchantAbort"}"#;
        for (category, member) in [
            ("Abort", "AbortRequest"),
            ("TransactionStatus", "TransactionStatusRequest"),
            ("InputUpdate", "InputUpdate"),
        ] {
            let found =
                request(category, &format!(r#","{member}":{reference}"#)).message_reference().unwrap();
            assert_eq!(found.category, Some(MessageCategory::PAYMENT));
            assert_eq!(found.service_id.unwrap().as_str(), "S1");
            assert_eq!(found.sale_id.unwrap().as_str(), "TILL-05");
            assert_eq!((found.device_id, found.poi_id), (None, None));
        }
        let abort: AbortRequest =
            request("Abort", &format!(r#","AbortRequest":{reference}"#)).payload().unwrap();
        assert_eq!(abort.abort_reason, "MerchantAbort");
        assert_eq!(
            request("Payment", &format!(r#","PaymentRequest":{reference}"#)).message_reference(),
            None
        );
    }

    #[test]
    fn a_reference_that_cannot_be_read_for_sure_is_none() {
        for body in [
            "",
            r#","AbortRequest":{}"#,
            r#","AbortRequest":{"MessageReference":null}"#,
            r#","AbortRequest":{"MessageReference":{"ServiceID":"not valid"}}"#,
            r#","AbortRequest":{"MessageReference":{"ServiceID":"S1","ServiceID":"S2"}}"#,
            r#","AbortRequest":{"MessageReference":{"ServiceID":"S1"},"MessageReference":{"ServiceID":"S2"}}"#,
            r#","AbortRequest":{"MessageReference":{"ServiceID":"S1"}},"AbortRequest":{}"#,
        ] {
            assert_eq!(request("Abort", body).message_reference(), None, "{body}");
        }
    }

    #[test]
    fn a_status_request_may_lack_a_reference() {
        let status =
            request("TransactionStatus", r#","TransactionStatusRequest":{"ReceiptReprintFlag":true}"#)
                .transaction_status()
                .unwrap();
        assert!(status.receipt_reprint_flag);
        assert_eq!(status.message_reference, None);
        assert_eq!(request("Payment", &format!(",{PAYMENT}")).transaction_status(), None);
    }

    #[test]
    fn the_transaction_of_the_pos_is_found_in_any_body_that_has_one() {
        let id = request("Payment", &format!(",{PAYMENT}")).sale_transaction_id().unwrap();
        assert_eq!(
            (id.transaction_id.as_str(), id.time_stamp.as_str()),
            ("27908", "2026-11-20T09:15:02.118Z")
        );
        let reversal =
            r#","ReversalRequest":{"SaleData":{"SaleTransactionID":{"TransactionID":"1","TimeStamp":"t"}}}"#;
        assert_eq!(request("Reversal", reversal).sale_transaction_id().unwrap().transaction_id, "1");
        assert_eq!(request("Reversal", r#","ReversalRequest":{}"#).sale_transaction_id(), None);
    }

    #[test]
    fn debug_shows_the_header_and_no_body() {
        let shown = format!("{:?}", request("Payment", &format!(",{PAYMENT}")));
        assert!(shown.contains("7f3A91") && !shown.contains("27908"), "{shown}");
    }

    #[test]
    fn many_members_are_read_in_a_moment() {
        let many: String = (0..100_000).map(|index| format!(r#""m{index}":0,"#)).collect();
        let text = format!(r#"{{{many}"SaleToPOIRequest":{{{many}{HEADER}}}}}"#);
        assert!(parse(&text).is_ok());
    }

    /// JSON values as texts, with the freedoms that serialisers take.
    fn json_value() -> impl Strategy<Value = String> {
        let blank = "[ \t\r\n]{0,2}";
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?",
            r#""([^"\\[:cntrl:]]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,8}""#,
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                (prop::collection::vec((blank, inner.clone()), 0..4), blank).prop_map(|(items, end)| {
                    let items: Vec<_> = items.into_iter().map(|(blank, item)| blank + &item).collect();
                    format!("[{}{end}]", items.join(","))
                }),
                (prop::collection::vec((blank, "[a-zA-Z]{0,6}", blank, inner), 0..4), blank).prop_map(
                    |(items, end)| {
                        let items: Vec<_> = items
                            .into_iter()
                            .map(|(before, name, after, item)| {
                                format!("{before}\"{name}\"{after}:{after}{item}")
                            })
                            .collect();
                        format!("{{{}{end}}}", items.join(","))
                    }
                ),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(Bytes::from(bytes));
        }

        #[test]
        fn no_damage_to_a_message_makes_parsing_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = format!(r#"{{"SaleToPOIRequest":{{{HEADER},{PAYMENT}}}}}"#).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            if let Ok(request) = Request::parse(Bytes::from(bytes)) {
                let _ = request.payload::<PaymentRequest>();
                request.sale_transaction_id();
            }
        }

        #[test]
        fn the_bytes_of_any_message_are_kept(body in json_value(), extra in json_value(), before in "[ \t\r\n]{0,3}", after in "[ \t\r\n]{0,3}") {
            let text = format!("{{\"x\":{extra},\"SaleToPOIRequest\":{{\"PaymentRequest\":{body},{HEADER}}}}}");
            let request = parse(&format!("{before}{text}{after}")).unwrap();
            prop_assert_eq!(request.bytes(), &text);
            let _ = request.payload::<PaymentRequest>();
        }
    }
}
