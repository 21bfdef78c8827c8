//! `MessageHeader`: who talks to whom, about what.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{DecodeError, DeviceId, PoiId, SaleId, ServiceId, compose::WireHeader, error::describe};

/// The header that opens every Sale to POI message.
///
/// ```json
/// {"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request",
///  "ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-100200300"}
/// ```
/// A response repeats its request's header with another `MessageType`. Members that this type does not know are
/// ignored when read. Source: nexo Sale to POI protocol 3.0, `MessageHeader`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MessageHeader {
    /// `ProtocolVersion`: `3.0` from every current POS; absent from some older ones.
    #[serde(rename = "ProtocolVersion", default)]
    pub protocol_version: Option<String>,
    /// `MessageClass`: service of the terminal, one of its devices, or an event.
    #[serde(rename = "MessageClass")]
    pub class: MessageClass,
    /// `MessageCategory`: what the message is about; also names its body.
    #[serde(rename = "MessageCategory")]
    pub category: MessageCategory,
    /// `MessageType`: request, response or notification.
    #[serde(rename = "MessageType")]
    pub message_type: MessageType,
    /// `ServiceID`: the request this message belongs to. Absent only from events that concern no request.
    #[serde(rename = "ServiceID", default)]
    pub service_id: Option<ServiceId>,
    /// `DeviceID`: present in messages of class `Device` and in events that the platform makes.
    #[serde(rename = "DeviceID", default)]
    pub device_id: Option<DeviceId>,
    /// `SaleID`: the POS component.
    #[serde(rename = "SaleID")]
    pub sale_id: SaleId,
    /// `POIID`: the terminal.
    #[serde(rename = "POIID")]
    pub poi_id: PoiId,
}

impl Serialize for MessageHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireHeader::of(self).serialize(serializer)
    }
}

/// `MessageClass`: what kind of service a message asks for.
///
/// Source: nexo Sale to POI protocol 3.0, `MessageHeader.MessageClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MessageClass {
    /// A service of the terminal as a whole, such as a payment.
    Service,
    /// A single device of either side, such as a display; told apart by `DeviceID`.
    Device,
    /// Something that happened, which nobody answers.
    Event,
}

impl MessageClass {
    /// The class as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Device => "Device",
            Self::Event => "Event",
        }
    }
}

impl fmt::Display for MessageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for MessageClass {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        match text {
            "Service" => Ok(Self::Service),
            "Device" => Ok(Self::Device),
            "Event" => Ok(Self::Event),
            _ => Err(DecodeError::Value {
                member: "MessageClass",
                expected: "Service, Device or Event",
                came: describe(text),
            }),
        }
    }
}

/// `MessageType`: the part a message plays in a dialogue.
///
/// Source: nexo Sale to POI protocol 3.0, `MessageHeader.MessageType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MessageType {
    /// Asks for something.
    Request,
    /// Answers a request.
    Response,
    /// Tells of an event; nobody answers it.
    Notification,
}

impl MessageType {
    /// The type as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Response => "Response",
            Self::Notification => "Notification",
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for MessageType {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        match text {
            "Request" => Ok(Self::Request),
            "Response" => Ok(Self::Response),
            "Notification" => Ok(Self::Notification),
            _ => Err(DecodeError::Value {
                member: "MessageType",
                expected: "Request, Response or Notification",
                came: describe(text),
            }),
        }
    }
}

/// `MessageCategory`: what a message is about. It also names the message's body.
///
/// An open set, 1 to 40 ASCII letters or digits: whoever only routes messages need not know a category to pass it on.
/// Source: nexo Sale to POI protocol 3.0, `MessageHeader.MessageCategory`; the upper bound is ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageCategory(Cow<'static, str>);

macro_rules! categories {
    ($($constant:ident = $word:literal,)+) => {
        impl MessageCategory {
            $(
                #[doc = concat!("`", $word, "`.")]
                pub const $constant: Self = Self(Cow::Borrowed($word));
            )+

            const KNOWN: &[&'static str] = &[$($word),+];
        }
    };
}

categories! {
    ABORT = "Abort",
    ADMIN = "Admin",
    BALANCE_INQUIRY = "BalanceInquiry",
    BATCH = "Batch",
    CARD_ACQUISITION = "CardAcquisition",
    CARD_READER_APDU = "CardReaderAPDU",
    CARD_READER_INIT = "CardReaderInit",
    CARD_READER_POWER_OFF = "CardReaderPowerOff",
    DIAGNOSIS = "Diagnosis",
    DISPLAY = "Display",
    ENABLE_SERVICE = "EnableService",
    EVENT = "Event",
    GET_TOTALS = "GetTotals",
    INPUT = "Input",
    INPUT_UPDATE = "InputUpdate",
    LOGIN = "Login",
    LOGOUT = "Logout",
    LOYALTY = "Loyalty",
    NONE = "None",
    PAYMENT = "Payment",
    PIN = "PIN",
    PRINT = "Print",
    RECONCILIATION = "Reconciliation",
    REVERSAL = "Reversal",
    SOUND = "Sound",
    STORED_VALUE = "StoredValue",
    TRANSACTION_STATUS = "TransactionStatus",
    TRANSMIT = "Transmit",
}

impl MessageCategory {
    /// Reads a category, known or not.
    ///
    /// # Errors
    /// [`DecodeError::Value`] unless it is 1 to 40 ASCII letters or digits.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        if let Some(known) = Self::KNOWN.iter().find(|known| **known == text) {
            return Ok(Self(Cow::Borrowed(known)));
        }
        if (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Self(Cow::Owned(text.to_owned())));
        }
        Err(DecodeError::Value {
            member: "MessageCategory",
            expected: "1 to 40 ASCII letters or digits",
            came: describe(text),
        })
    }

    /// The category as it is written on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The member that holds a request's body: `PaymentRequest`; for events `EventNotification`, and `InputUpdate`
    /// for itself.
    pub fn request_member(&self) -> String {
        match self.as_str() {
            "Event" => "EventNotification".to_owned(),
            "InputUpdate" => "InputUpdate".to_owned(),
            category => format!("{category}Request"),
        }
    }

    /// The member that holds a response's body: `PaymentResponse`.
    pub fn response_member(&self) -> String {
        format!("{}Response", self.0)
    }

    /// Whether a terminal answers requests of this category: all but `Abort`, `InputUpdate` and `Event`.
    pub fn has_response(&self) -> bool {
        !matches!(self.as_str(), "Abort" | "InputUpdate" | "Event")
    }
}

impl fmt::Display for MessageCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for MessageCategory {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for MessageCategory {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        Self::parse(text)
    }
}

impl Serialize for MessageCategory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MessageCategory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: &str = r#"{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"A1","SaleID":"POS1","POIID":"V400m-1"}"#;

    #[test]
    fn a_header_is_written_in_the_usual_order() {
        let header: MessageHeader = serde_json::from_str(PAYMENT).unwrap();
        assert_eq!(serde_json::to_string(&header).unwrap(), PAYMENT);
    }

    #[test]
    fn a_header_is_read_in_any_order_and_with_members_it_does_not_know() {
        let header: MessageHeader = serde_json::from_str(
            r#"{"POIID":"V400m-1","Extra":{"a":1},"SaleID":"POS1","DeviceID":"7","MessageType":"Request","MessageCategory":"Sound","MessageClass":"Device"}"#,
        )
        .unwrap();
        assert_eq!(header.category, MessageCategory::SOUND);
        assert_eq!(header.device_id, Some(DeviceId::parse("7").unwrap()));
        assert_eq!(header.service_id, None);
        assert_eq!(
            serde_json::to_string(&header).unwrap(),
            r#"{"MessageClass":"Device","MessageCategory":"Sound","MessageType":"Request","DeviceID":"7","SaleID":"POS1","POIID":"V400m-1"}"#
        );
    }

    #[test]
    fn a_category_names_its_bodies() {
        assert_eq!(MessageCategory::PAYMENT.request_member(), "PaymentRequest");
        assert_eq!(MessageCategory::PAYMENT.response_member(), "PaymentResponse");
        assert_eq!(MessageCategory::EVENT.request_member(), "EventNotification");
        assert_eq!(MessageCategory::INPUT_UPDATE.request_member(), "InputUpdate");
        assert_eq!(MessageCategory::parse("Brandnew2").unwrap().request_member(), "Brandnew2Request");
    }

    #[test]
    fn abort_input_update_and_event_have_no_response() {
        let silent: Vec<_> = MessageCategory::KNOWN
            .iter()
            .filter(|word| !MessageCategory::parse(word).unwrap().has_response())
            .collect();
        assert_eq!(silent, [&"Abort", &"Event", &"InputUpdate"]);
    }

    #[test]
    fn a_category_is_1_to_40_ascii_letters_or_digits() {
        assert_eq!(MessageCategory::parse("Payment").unwrap(), MessageCategory::PAYMENT);
        assert!(MessageCategory::parse(&"a".repeat(40)).is_ok());
        for bad in ["", "a b", "Zahlungsgrößen", "a\"", &"a".repeat(41)] {
            assert!(MessageCategory::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn classes_and_types_are_read_as_they_are_written() {
        for class in [MessageClass::Service, MessageClass::Device, MessageClass::Event] {
            assert_eq!(class.as_str().parse::<MessageClass>().unwrap(), class);
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
        for kind in [MessageType::Request, MessageType::Response, MessageType::Notification] {
            assert_eq!(kind.as_str().parse::<MessageType>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("service".parse::<MessageClass>().is_err());
        assert!("Answer".parse::<MessageType>().is_err());
    }
}
