//! Writing messages: compact JSON, members in the usual order.

use bytes::Bytes;
use serde::Serialize;

use crate::{MessageHeader, MessageType};

/// Writes a request, or a notification, under `header` as it is: `{"SaleToPOIRequest":{"MessageHeader":..,"PaymentRequest":..}}`.
///
/// A `body` whose `Serialize` fails is written as `{}`; none of this crate's bodies does.
pub fn request<T: Serialize>(header: &MessageHeader, body: &T) -> Bytes {
    let body = json(body);
    message("SaleToPOIRequest", &WireHeader::of(header), &header.category.request_member(), &body)
}

/// Writes the response to a request: its header with `MessageType` `Response`, and `body` as `<Category>Response`.
///
/// A `body` whose `Serialize` fails is written as `{}`; none of this crate's bodies does.
pub fn response<T: Serialize>(request_header: &MessageHeader, body: &T) -> Bytes {
    let body = json(body);
    answer(&WireHeader::response_to(request_header), request_header, &body)
}

/// Writes the response whose header and body are already known.
pub(crate) fn answer(header: &WireHeader<'_>, request_header: &MessageHeader, body: &[u8]) -> Bytes {
    message("SaleToPOIResponse", header, &request_header.category.response_member(), body)
}

/// Writes a whole message. `member` needs no escapes: categories are letters and digits.
pub(crate) fn message(outer: &str, header: &WireHeader<'_>, member: &str, body: &[u8]) -> Bytes {
    let header = json(header);
    let mut out = Vec::with_capacity(outer.len() + header.len() + member.len() + body.len() + 30);
    for part in [
        b"{\"",
        outer.as_bytes(),
        b"\":{\"MessageHeader\":",
        &header,
        b",\"",
        member.as_bytes(),
        b"\":",
        body,
        b"}}",
    ] {
        out.extend_from_slice(part);
    }
    Bytes::from(out)
}

/// The JSON text of a value, or of an empty object should its `Serialize` fail.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec())
}

/// A `MessageHeader` to be written, whose texts need not be valid IDs: a gateway repeats what came, or says `N/A`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WireHeader<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol_version: Option<&'a str>,
    pub(crate) message_class: &'a str,
    pub(crate) message_category: &'a str,
    pub(crate) message_type: &'a str,
    #[serde(rename = "DeviceID", skip_serializing_if = "Option::is_none")]
    pub(crate) device_id: Option<&'a str>,
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    pub(crate) service_id: Option<&'a str>,
    #[serde(rename = "SaleID")]
    pub(crate) sale_id: &'a str,
    #[serde(rename = "POIID")]
    pub(crate) poi_id: &'a str,
}

impl<'a> WireHeader<'a> {
    pub(crate) fn of(header: &'a MessageHeader) -> Self {
        Self {
            protocol_version: header.protocol_version.as_deref(),
            message_class: header.class.as_str(),
            message_category: header.category.as_str(),
            message_type: header.message_type.as_str(),
            device_id: header.device_id.as_ref().map(|id| id.as_str()),
            service_id: header.service_id.as_ref().map(|id| id.as_str()),
            sale_id: header.sale_id.as_str(),
            poi_id: header.poi_id.as_str(),
        }
    }

    pub(crate) fn response_to(request_header: &'a MessageHeader) -> Self {
        Self { message_type: MessageType::Response.as_str(), ..Self::of(request_header) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiagnosisRequest, PlainResponse, Request, Response, ResponseOutcome};

    fn header() -> MessageHeader {
        serde_json::from_str(
            r#"{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Diagnosis","MessageType":"Request","ServiceID":"D00017","SaleID":"TILL-04","POIID":"V400m-1"}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_request_is_written_and_read_back() {
        let json = request(
            &header(),
            &DiagnosisRequest { host_diagnosis_flag: true, ..DiagnosisRequest::default() },
        );
        assert_eq!(
            json,
            r#"{"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Diagnosis","MessageType":"Request","ServiceID":"D00017","SaleID":"TILL-04","POIID":"V400m-1"},"DiagnosisRequest":{"HostDiagnosisFlag":true}}}"#
        );
        assert_eq!(Request::parse(json).unwrap().header(), &header());
    }

    #[test]
    fn a_response_repeats_the_header_as_a_response() {
        let json = response(&header(), &PlainResponse { response: ResponseOutcome::success() });
        assert_eq!(
            json,
            r#"{"SaleToPOIResponse":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Diagnosis","MessageType":"Response","ServiceID":"D00017","SaleID":"TILL-04","POIID":"V400m-1"},"DiagnosisResponse":{"Response":{"Result":"Success"}}}}"#
        );
        let expected = MessageHeader { message_type: MessageType::Response, ..header() };
        assert_eq!(Response::parse(json).unwrap().header(), &expected);
    }
}
