//! Reject events: what a POS hears when its message found no terminal or could not be taken.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;

use crate::{
    ErrorCondition, EventToNotify, MessageCategory, MessageClass, MessageType,
    compose::{WireHeader, json, message},
};

/// An `EventNotification` with `Reject`, in a `SaleToPOIRequest`, that the gateway answers a POS with.
///
/// ```json
/// {"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Event","MessageCategory":"Event",
///   "MessageType":"Notification","DeviceID":"482910337","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-1"},
///   "EventNotification":{"EventToNotify":"Reject","TimeStamp":"2026-11-20T09:15:02.118Z","RejectedMessage":"e30=",
///   "EventDetails":"message=Did+not+receive+a+response+from+the+POI."}}}
/// ```
/// Sent with HTTP status 200. Source: Terminal API, answers to `/sync` and `/async`.
#[derive(Debug, Clone)]
pub struct Reject<'a> {
    /// Why.
    pub reason: RejectReason<'a>,
    /// `SaleID` of the message; `None` is written as `N/A`.
    pub sale_id: Option<&'a str>,
    /// `POIID` of the message; `None` is written as `N/A`.
    pub poi_id: Option<&'a str>,
    /// `ServiceID` of the message; `None` is left out.
    pub service_id: Option<&'a str>,
    /// A number for this event, one to nine decimal digits.
    pub device_id: &'a str,
    /// When: ISO 8601 in UTC with milliseconds and `Z`.
    pub time_stamp: &'a str,
    /// The message as it came, written as Base64.
    pub rejected: &'a [u8],
}

impl Reject<'_> {
    /// The event as compact JSON.
    pub fn to_json(&self) -> Bytes {
        let category = MessageCategory::EVENT;
        let header = WireHeader {
            protocol_version: Some("3.0"),
            message_class: MessageClass::Event.as_str(),
            message_category: category.as_str(),
            message_type: MessageType::Notification.as_str(),
            device_id: Some(self.device_id),
            service_id: self.service_id,
            sale_id: self.sale_id.unwrap_or("N/A"),
            poi_id: self.poi_id.unwrap_or("N/A"),
        };
        let body = json(&Body {
            event_to_notify: EventToNotify::REJECT,
            time_stamp: self.time_stamp,
            rejected_message: STANDARD.encode(self.rejected),
            event_details: &self.reason.event_details(),
        });
        message("SaleToPOIRequest", &header, &category.request_member(), &body)
    }
}

/// Why a message was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason<'a> {
    /// It never reached the terminal; it may be sent again as a new request.
    NotDelivered,
    /// It may have reached the terminal; its outcome has to be asked for.
    NoResponse,
    /// It was empty.
    EmptyInput,
    /// It was no JSON object.
    NotAJsonObject,
    /// Its header was missing, incomplete or ambiguous.
    Header,
    /// It was longer than the gateway takes.
    MessageTooLarge,
    /// What a response would have said with a Failure, to a POS that does not wait for a response.
    Refused {
        /// The response's ErrorCondition.
        condition: &'a ErrorCondition,
        /// What is wrong, and what to do.
        message: &'a str,
    },
}

impl<'a> RejectReason<'a> {
    /// `EventDetails` as it is written on the wire, form-encoded. Clients compare the first four texts.
    pub fn event_details(self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Refused { condition, message } => {
                let mut pairs = form_urlencoded::Serializer::new(String::new());
                pairs.append_pair("message", message).append_pair("errorCondition", condition.as_str());
                return Cow::Owned(pairs.finish());
            }
            Self::NotDelivered => {
                "message=Failed+to+send+message+to+POI.+There+may+be+a+network+issue+or+it+may+not+have+the+websocket+connected."
            }
            Self::NoResponse => "message=Did+not+receive+a+response+from+the+POI.",
            Self::EmptyInput => "message=Empty+input+which+would+have+resulted+in+a+null+result.",
            Self::NotAJsonObject => "message=Input+is+not+a+JSONObject",
            Self::Header => "message=Missing+or+invalid+MessageHeader",
            Self::MessageTooLarge => "message=Message+too+large",
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    event_to_notify: EventToNotify,
    time_stamp: &'a str,
    rejected_message: String,
    event_details: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_not_delivered_is_rejected_under_its_own_ids() {
        let reject = Reject {
            reason: RejectReason::NotDelivered,
            sale_id: Some("TILL-04"),
            poi_id: Some("V400m-100200300"),
            service_id: Some("7f3A91"),
            device_id: "482910337",
            time_stamp: "2026-11-20T09:15:02.118Z",
            rejected: br#"{"SaleToPOIRequest":{}}"#,
        };
        assert_eq!(
            reject.to_json(),
            r#"{"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Event","MessageCategory":"Event","MessageType":"Notification","DeviceID":"482910337","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-100200300"},"EventNotification":{"EventToNotify":"Reject","TimeStamp":"2026-11-20T09:15:02.118Z","RejectedMessage":"eyJTYWxlVG9QT0lSZXF1ZXN0Ijp7fX0=","EventDetails":"message=Failed+to+send+message+to+POI.+There+may+be+a+network+issue+or+it+may+not+have+the+websocket+connected."}}}"#
        );
    }

    #[test]
    fn an_empty_message_is_rejected_without_ids() {
        let reject = Reject {
            reason: RejectReason::EmptyInput,
            sale_id: None,
            poi_id: None,
            service_id: None,
            device_id: "7",
            time_stamp: "2026-11-20T09:15:02.118Z",
            rejected: b"",
        };
        assert_eq!(
            reject.to_json(),
            r#"{"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Event","MessageCategory":"Event","MessageType":"Notification","DeviceID":"7","SaleID":"N/A","POIID":"N/A"},"EventNotification":{"EventToNotify":"Reject","TimeStamp":"2026-11-20T09:15:02.118Z","RejectedMessage":"","EventDetails":"message=Empty+input+which+would+have+resulted+in+a+null+result."}}}"#
        );
    }

    #[test]
    fn a_rejected_message_of_arbitrary_bytes_and_ids_with_quotes_is_still_json() {
        let reject = Reject {
            reason: RejectReason::NotAJsonObject,
            sale_id: Some("\"\\\u{1}"),
            poi_id: None,
            service_id: Some(""),
            device_id: "1",
            time_stamp: "t",
            rejected: &[0xff, 0x00],
        };
        let json: serde_json::Value = serde_json::from_slice(&reject.to_json()).unwrap();
        assert_eq!(json["SaleToPOIRequest"]["MessageHeader"]["SaleID"], "\"\\\u{1}");
        assert_eq!(json["SaleToPOIRequest"]["EventNotification"]["RejectedMessage"], "/wA=");
    }

    #[test]
    fn every_reason_has_its_own_text() {
        for (reason, text) in [
            (RejectReason::NoResponse, "message=Did+not+receive+a+response+from+the+POI."),
            (RejectReason::NotAJsonObject, "message=Input+is+not+a+JSONObject"),
            (RejectReason::Header, "message=Missing+or+invalid+MessageHeader"),
            (RejectReason::MessageTooLarge, "message=Message+too+large"),
            (
                RejectReason::Refused {
                    condition: &ErrorCondition::NOT_ALLOWED,
                    message: "Use a new ServiceID.",
                },
                "message=Use+a+new+ServiceID.&errorCondition=NotAllowed",
            ),
        ] {
            assert_eq!(reason.event_details(), text);
        }
    }
}
