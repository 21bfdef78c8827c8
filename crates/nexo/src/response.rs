//! A response on its way from a terminal to a POS.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    DecodeError, ErrorCondition, MessageHeader, ResponseOutcome, ResultCode, ServiceId,
    envelope::{Envelope, Kind, trimmed},
    request::{body_in, payload},
};

/// A response as it came from a terminal: its header parsed, its bytes kept.
///
/// ```json
/// {"SaleToPOIResponse":{"MessageHeader":{..},"PaymentResponse":{"Response":{"Result":"Success"},..}}}
/// ```
/// `Debug` shows the header and the length, never the body.
/// Source: nexo Sale to POI protocol 3.0, `SaleToPOIResponse`; Terminal API.
#[derive(Clone)]
pub struct Response {
    header: MessageHeader,
    bytes: Bytes,
    raw_header: Bytes,
    members: Vec<(String, Bytes)>,
    body: Option<Bytes>,
    is_encrypted: bool,
}

impl Response {
    /// Reads `{"SaleToPOIResponse":{..}}`. White space around it is dropped, everything inside is untouched.
    ///
    /// # Errors
    /// [`DecodeError::Empty`], [`DecodeError::NotJson`], [`DecodeError::NotAnObject`] or [`DecodeError::Header`]; the
    /// latter also for a `ServiceID` that no request could have had.
    pub fn parse(message: Bytes) -> Result<Self, DecodeError> {
        let bytes = trimmed(&message)?;
        let envelope = Envelope::open(&bytes, Kind::Response)?;
        if let Some(Err(error)) = envelope.invalid_service_id.as_deref().map(ServiceId::parse) {
            return Err(envelope.header_error(format!("MessageHeader: {error}")));
        }
        let body = body_in(&envelope, &bytes, &envelope.header.category.response_member());
        let own = |raw: &str| bytes.slice_ref(raw.as_bytes());
        Ok(Self {
            raw_header: own(envelope.raw_header.get()),
            members: envelope.members.iter().map(|(name, raw)| (name.to_string(), own(raw.get()))).collect(),
            is_encrypted: envelope.is_encrypted(),
            header: envelope.header,
            body,
            bytes,
        })
    }

    /// The header, in the clear also when the body is encrypted.
    pub fn header(&self) -> &MessageHeader {
        &self.header
    }

    /// The whole message, `{"SaleToPOIResponse":..}`, byte for byte as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the body is encrypted for the POS alone (`NexoBlob`).
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Reads the body of the response's category, such as `PaymentResponse`.
    ///
    /// # Errors
    /// [`DecodeError::Body`] when the body is absent, encrypted, there twice, or not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        payload(self.body.as_ref(), self.header.category.response_member(), self.is_encrypted)
    }

    /// How it went: the object `Response` in the body, when readable.
    pub fn outcome(&self) -> Option<ResponseOutcome> {
        #[derive(Deserialize)]
        struct WithOutcome {
            #[serde(rename = "Response")]
            response: ResponseOutcome,
        }

        Some(self.payload::<WithOutcome>().ok()?.response)
    }

    /// Whether the terminal says that it does not know what it was asked about: `Failure` with `NotFound`.
    pub fn is_not_found(&self) -> bool {
        self.outcome().is_some_and(|outcome| {
            outcome.result == ResultCode::Failure
                && outcome.error_condition == Some(ErrorCondition::NOT_FOUND)
        })
    }

    /// The header's own bytes.
    pub(crate) fn raw_header(&self) -> &Bytes {
        &self.raw_header
    }

    /// Every other member of `SaleToPOIResponse` in order, with its value's own bytes.
    pub(crate) fn members(&self) -> &[(String, Bytes)] {
        &self.members
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("header", &self.header)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{MessageCategory, PaymentResponse};

    const HEADER: &str = r#""MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-1"}"#;

    fn parse(text: &str) -> Result<Response, DecodeError> {
        Response::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn response(rest: &str) -> Response {
        parse(&format!(r#"{{"SaleToPOIResponse":{{{HEADER}{rest}}}}}"#)).unwrap()
    }

    #[test]
    fn a_response_keeps_its_bytes() {
        let text = format!("{{ \"SaleToPOIResponse\": {{\"PaymentResponse\":{{\"n\":1e2}} , {HEADER}}} }}");
        let response = parse(&format!("{text}\n")).unwrap();
        assert_eq!(response.bytes(), &text);
        assert_eq!(response.header().category, MessageCategory::PAYMENT);
    }

    #[test]
    fn the_outcome_is_read_from_the_body_of_its_category() {
        let outcome = response(r#","PaymentResponse":{"Response":{"Result":"Failure","ErrorCondition":"Refusal","AdditionalResponse":"a=b","New":1}}"#)
            .outcome()
            .unwrap();
        assert_eq!(outcome.result, ResultCode::Failure);
        assert_eq!(outcome.error_condition, Some(ErrorCondition::REFUSAL));
        assert_eq!(outcome.additional_response.as_deref(), Some("a=b"));
        assert_eq!(
            response(r#","PaymentResponse":{"Response":{"Result":"Partial"}}"#).outcome().unwrap().result,
            ResultCode::Partial
        );
    }

    #[test]
    fn an_outcome_that_cannot_be_read_is_none() {
        for rest in [
            "",
            r#","PaymentResponse":{}"#,
            r#","PaymentResponse":{"Response":{"Result":"Perhaps"}}"#,
            r#","ReversalResponse":{"Response":{"Result":"Success"}}"#,
            r#","NexoBlob":"AAAA""#,
        ] {
            assert_eq!(response(rest).outcome(), None, "{rest}");
            assert!(!response(rest).is_not_found());
        }
    }

    #[test]
    fn not_found_is_a_failure_with_that_condition() {
        let with = |result: &str, condition: &str| {
            response(&format!(
                r#","PaymentResponse":{{"Response":{{"Result":"{result}","ErrorCondition":"{condition}"}}}}"#
            ))
        };
        assert!(with("Failure", "NotFound").is_not_found());
        assert!(!with("Failure", "Busy").is_not_found());
        assert!(!with("Success", "NotFound").is_not_found());
    }

    #[test]
    fn a_request_is_no_response() {
        let request = HEADER.replace(r#""MessageType":"Response""#, r#""MessageType":"Request""#);
        for text in [
            format!(r#"{{"SaleToPOIResponse":{{{request}}}}}"#),
            format!(r#"{{"SaleToPOIRequest":{{{HEADER}}}}}"#),
        ] {
            assert!(matches!(parse(&text), Err(DecodeError::Header { .. })), "{text}");
        }
    }

    #[test]
    fn a_service_id_that_no_request_could_have_had_is_a_header_error() {
        let text = format!(r#"{{"SaleToPOIResponse":{{{}}}}}"#, HEADER.replace("7f3A91", "a-b"));
        let Err(DecodeError::Header { problem, service_id, .. }) = parse(&text) else { panic!() };
        assert_eq!(
            problem,
            r#"MessageHeader: ServiceID: expected 1 to 10 ASCII letters or digits, got "a-b""#
        );
        assert_eq!(service_id.as_deref(), Some("a-b"));
    }

    #[test]
    fn what_is_no_message_has_the_errors_of_a_request() {
        assert_eq!(parse("").unwrap_err(), DecodeError::Empty);
        assert_eq!(parse("ok").unwrap_err(), DecodeError::NotJson);
        assert_eq!(parse("7").unwrap_err(), DecodeError::NotAnObject);
    }

    #[test]
    fn a_payment_that_failed_early_may_lack_all_but_its_outcome() {
        let body: PaymentResponse =
            response(r#","PaymentResponse":{"Response":{"Result":"Failure","ErrorCondition":"Busy"}}"#)
                .payload()
                .unwrap();
        assert_eq!((body.sale_data, body.poi_data, body.payment_result), (None, None, None));
    }

    #[test]
    fn debug_shows_the_header_and_no_body() {
        let shown = format!("{:?}", response(r#","PaymentResponse":{"MaskedPan":"541333"}"#));
        assert!(shown.contains("7f3A91") && !shown.contains("541333"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Response::parse(Bytes::from(bytes));
        }
    }
}
