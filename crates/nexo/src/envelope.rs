//! Opens a message: one pass checks the whole text, and only the header is read out of it.
//!
//! Nothing here recurses with the depth of the text, and each name is compared in logarithmic time, so a hostile
//! message costs no more than an honest one of its length.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    DecodeError, DeviceId, MessageCategory, MessageClass, MessageHeader, MessageType, PoiId, SaleId,
    ServiceId, error::describe,
};

const HEADER: &str = "MessageHeader";

/// Which message is expected: its outermost member and the `MessageType`s that may stand in it.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Asks or tells, in either direction: requests and notifications.
    Request,
    /// From a terminal to a POS, answering.
    Response,
}

impl Kind {
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Request => "SaleToPOIRequest",
            Self::Response => "SaleToPOIResponse",
        }
    }

    fn allows(self, message_type: MessageType) -> bool {
        match self {
            Self::Request => message_type != MessageType::Response,
            Self::Response => message_type == MessageType::Response,
        }
    }
}

/// Drops white space around the message.
///
/// # Errors
/// [`DecodeError::Empty`] when nothing is left.
pub(crate) fn trimmed(body: &Bytes) -> Result<Bytes, DecodeError> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = body.iter().position(|byte| !is_blank(byte)).ok_or(DecodeError::Empty)?;
    let end = body.iter().rposition(|byte| !is_blank(byte)).ok_or(DecodeError::Empty)?;
    Ok(body.slice(start..=end))
}

/// A message that is well-formed and whose header is complete. All it holds borrows from the text.
pub(crate) struct Envelope<'a> {
    /// The header; without `ServiceID` when that was absent or is invalid.
    pub(crate) header: MessageHeader,
    /// `ServiceID` as it came when it is not a valid one.
    pub(crate) invalid_service_id: Option<String>,
    /// The header's own text.
    pub(crate) raw_header: &'a RawValue,
    /// Every other member beside the header, in order.
    pub(crate) members: Vec<Member<'a>>,
}

/// A member's name, escapes resolved, and its value's own text.
pub(crate) type Member<'a> = (Cow<'a, str>, &'a RawValue);

impl<'a> Envelope<'a> {
    /// Opens `text`, which must be trimmed.
    ///
    /// # Errors
    /// [`DecodeError::NotJson`], [`DecodeError::NotAnObject`] or [`DecodeError::Header`].
    pub(crate) fn open(text: &'a [u8], kind: Kind) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(text).map_err(|_| DecodeError::NotJson)?;
        let outer = Outer::read(text, kind.member())?;
        let Some(mut members) = outer.message else {
            return Err(
                HeaderFields::default().error(format!("expected a member {}, got none", kind.member()))
            );
        };
        let Some(first) = members.iter().position(|(name, _)| name == HEADER) else {
            let problem = format!("{HEADER}: expected one in {}, got none", kind.member());
            return Err(HeaderFields::default().error(problem));
        };
        let (_, raw_header) = members.remove(first);
        let fields = HeaderFields::read(raw_header)?;
        if let Some(name) = outer.repeated {
            return Err(fields.error(format!("expected each member once, got {} twice", describe(&name))));
        }
        if members.iter().any(|(name, _)| name == HEADER) {
            return Err(fields.error(format!("{HEADER}: expected one in {}, got two", kind.member())));
        }
        let (header, invalid_service_id) = fields.header(kind)?;
        Ok(Self { header, invalid_service_id, raw_header, members })
    }

    /// The value of a member that is there exactly once.
    pub(crate) fn only(&self, name: &str) -> Option<&'a RawValue> {
        let mut found = self.members.iter().filter(|(member, _)| member == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Whether the body is encrypted: then it stands as Base64 in `NexoBlob`.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.members.iter().any(|(name, _)| name == "NexoBlob")
    }

    /// A header error for something that only the caller demands.
    pub(crate) fn header_error(&self, problem: String) -> DecodeError {
        HeaderFields::read(self.raw_header).unwrap_or_default().error(problem)
    }
}

/// The outermost object: the message in it, and the first name that came twice.
struct Outer<'a> {
    message: Option<Vec<Member<'a>>>,
    repeated: Option<String>,
}

impl<'a> Outer<'a> {
    fn read(text: &'a str, wanted: &'static str) -> Result<Self, DecodeError> {
        if text.starts_with('{') {
            let mut json = serde_json::Deserializer::from_str(text);
            let outer =
                OuterOf { wanted }.deserialize(&mut json).and_then(|outer| json.end().map(|()| outer));
            return outer.or_else(|_| {
                is_json(text)?;
                // Good JSON after all: only the message's shape, or a name with half a surrogate pair, can be at fault.
                let problem =
                    format!("{wanted}: expected an object with readable member names, got something else");
                Err(HeaderFields::default().error(problem))
            });
        }
        is_json(text)?;
        Err(DecodeError::NotAnObject)
    }
}

fn is_json(text: &str) -> Result<(), DecodeError> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|_| DecodeError::NotJson)
}

struct OuterOf {
    wanted: &'static str,
}

impl<'de> DeserializeSeed<'de> for OuterOf {
    type Value = Outer<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Outer<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OuterOf {
    type Value = Outer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a member {}", self.wanted)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outer<'de>, A::Error> {
        let mut outer = Outer { message: None, repeated: None };
        let mut others = BTreeSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if name == self.wanted && outer.message.is_none() {
                outer.message = Some(map.next_value::<Members<'_>>()?.0);
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            if name == self.wanted || others.contains(&name) {
                outer.repeated.get_or_insert_with(|| name.into_owned());
            } else {
                others.insert(name);
            }
        }
        Ok(outer)
    }
}

/// All members of an object in order, repeated ones too.
pub(crate) struct Members<'a>(pub(crate) Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersOf;

        impl<'de> Visitor<'de> for MembersOf {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(4);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersOf)
    }
}

/// A text that borrows from the message unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The header's members before any of them is judged.
#[derive(Default)]
struct HeaderFields<'a> {
    fields: [Option<&'a RawValue>; FIELDS.len()],
    repeated: Option<String>,
}

const FIELDS: [&str; 8] = [
    "ProtocolVersion",
    "MessageClass",
    "MessageCategory",
    "MessageType",
    "ServiceID",
    "DeviceID",
    "SaleID",
    "POIID",
];

impl<'a> HeaderFields<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, DecodeError> {
        let members = serde_json::from_str::<Members<'a>>(raw.get()).map_err(|_| {
            Self::default().error(format!("{HEADER}: expected an object, got {}", kind_of(raw)))
        })?;
        let mut fields = Self::default();
        let mut others = BTreeSet::new();
        for (name, value) in members.0 {
            let is_first = match FIELDS.iter().position(|field| *field == name) {
                Some(index) if fields.fields[index].is_none() => {
                    fields.fields[index] = Some(value);
                    true
                }
                Some(_) => false,
                None => others.insert(name.clone()),
            };
            if !is_first {
                fields.repeated.get_or_insert_with(|| name.into_owned());
            }
        }
        Ok(fields)
    }

    /// The header, and the `ServiceID` as it came when it is not a valid one.
    fn header(&self, kind: Kind) -> Result<(MessageHeader, Option<String>), DecodeError> {
        self.judge(kind).map_err(|problem| self.error(problem))
    }

    fn judge(&self, kind: Kind) -> Result<(MessageHeader, Option<String>), String> {
        if let Some(name) = &self.repeated {
            return Err(format!("{HEADER}: expected each member once, got {} twice", describe(name)));
        }
        let message_type = self.required("MessageType", str::parse::<MessageType>)?;
        if !kind.allows(message_type) {
            return Err(format!(
                "{HEADER}: got MessageType {message_type}, which does not belong in {}",
                kind.member()
            ));
        }
        let (service_id, invalid_service_id) = match self.text("ServiceID")? {
            None => (None, None),
            Some(text) => match ServiceId::parse(&text) {
                Ok(service_id) => (Some(service_id), None),
                Err(_) => (None, Some(text.into_owned())),
            },
        };
        let header = MessageHeader {
            protocol_version: self.text("ProtocolVersion")?.map(Cow::into_owned),
            class: self.required("MessageClass", str::parse::<MessageClass>)?,
            category: self.required("MessageCategory", MessageCategory::parse)?,
            message_type,
            service_id,
            device_id: self.optional("DeviceID", DeviceId::parse)?,
            sale_id: self.required("SaleID", SaleId::parse)?,
            poi_id: self.required("POIID", PoiId::parse)?,
        };
        Ok((header, invalid_service_id))
    }

    fn required<T>(&self, name: &str, parse: fn(&str) -> Result<T, DecodeError>) -> Result<T, String> {
        self.optional(name, parse)?.ok_or_else(|| format!("{HEADER}: expected a {name}, got none"))
    }

    fn optional<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, String> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).map_err(|error| format!("{HEADER}: {error}")),
        }
    }

    /// A member's text; `null` counts as absent, for some serialisers write it for what they do not have.
    fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, String> {
        let field = FIELDS.iter().position(|field| *field == name).and_then(|index| self.fields[index]);
        let Some(raw) = field.filter(|raw| raw.get() != "null") else {
            return Ok(None);
        };
        match serde_json::from_str::<Name<'a>>(raw.get()) {
            Ok(Name(text)) => Ok(Some(text)),
            Err(_) => Err(format!("{HEADER}: expected {name} to be a text, got {}", kind_of(raw))),
        }
    }

    /// A header error that carries every ID that could be read.
    fn error(&self, problem: String) -> DecodeError {
        let id = |name| self.text(name).ok().flatten().filter(|text| !text.is_empty()).map(Cow::into_owned);
        DecodeError::Header {
            problem,
            poi_id: id("POIID"),
            sale_id: id("SaleID"),
            service_id: id("ServiceID"),
            device_id: id("DeviceID"),
        }
    }
}

fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a text that cannot be read",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Envelope<'_>, DecodeError> {
        Envelope::open(text.as_bytes(), Kind::Request)
    }

    fn problem(text: &str) -> String {
        match open(text).map(|_| ()).unwrap_err() {
            DecodeError::Header { problem, .. } => problem,
            other => panic!("expected a header error, got {other:?}"),
        }
    }

    const FULL: &str = r#""MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-1""#;

    #[test]
    fn white_space_around_a_message_is_dropped_and_nothing_else() {
        assert_eq!(trimmed(&Bytes::from_static(b" \t\r\n{ } \n")).unwrap(), "{ }");
        assert_eq!(trimmed(&Bytes::from_static(b" \t\r\n")), Err(DecodeError::Empty));
        assert_eq!(trimmed(&Bytes::new()), Err(DecodeError::Empty));
        assert_eq!(trimmed(&Bytes::from_static(b"\x0b{}")).unwrap(), "\x0b{}");
    }

    #[test]
    fn text_that_is_not_json_is_told_from_json_that_is_no_object() {
        for text in ["{", "}", "x", "{}{}", "{\"a\":1,}", "[1", "\"a", "{\"a\":\"\n\"}", "\u{feff}{}", "nul"]
        {
            assert_eq!(open(text).map(|_| ()), Err(DecodeError::NotJson), "{text:?}");
        }
        for text in ["[]", "null", "true", "1e999", "\"SaleToPOIRequest\""] {
            assert_eq!(open(text).map(|_| ()), Err(DecodeError::NotAnObject), "{text:?}");
        }
        assert_eq!(
            Envelope::open(b"{\"a\":\"\xff\"}", Kind::Request).map(|_| ()),
            Err(DecodeError::NotJson),
            "invalid UTF-8"
        );
    }

    #[test]
    fn broken_json_after_a_good_header_is_still_not_json() {
        let text =
            format!(r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{FULL}}},"PaymentRequest":{{"a":01}}}}}}"#);
        assert_eq!(open(&text).map(|_| ()), Err(DecodeError::NotJson));
        let repeated = r#"{"a":1,"a":2,"b":tru}"#;
        assert_eq!(open(repeated).map(|_| ()), Err(DecodeError::NotJson));
    }

    #[test]
    fn a_missing_message_or_header_is_named() {
        assert_eq!(problem("{}"), "expected a member SaleToPOIRequest, got none");
        assert_eq!(
            problem(r#"{"SaleToPOIRequest":[]}"#),
            "SaleToPOIRequest: expected an object with readable member names, got something else"
        );
        assert_eq!(
            problem(r#"{"SaleToPOIRequest":1e999}"#),
            "SaleToPOIRequest: expected an object with readable member names, got something else"
        );
        assert_eq!(
            problem(r#"{"SaleToPOIRequest":{}}"#),
            "MessageHeader: expected one in SaleToPOIRequest, got none"
        );
        assert_eq!(
            problem(r#"{"SaleToPOIRequest":{"MessageHeader":7}}"#),
            "MessageHeader: expected an object, got a number"
        );
    }

    #[test]
    fn each_missing_or_wrong_header_member_is_named() {
        let with = |from: &str, to: &str| {
            assert!(FULL.contains(from));
            format!(r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{}}}}}}}"#, FULL.replace(from, to))
        };
        for (from, to, expected) in [
            (r#""MessageClass":"Service","#, "", "MessageHeader: expected a MessageClass, got none"),
            (
                r#""MessageClass":"Service""#,
                r#""MessageClass":"service""#,
                r#"MessageHeader: MessageClass: expected Service, Device or Event, got "service""#,
            ),
            (r#""MessageCategory":"Payment","#, "", "MessageHeader: expected a MessageCategory, got none"),
            (
                r#""Payment""#,
                r#""Pay ment""#,
                r#"MessageHeader: MessageCategory: expected 1 to 40 ASCII letters or digits, got "Pay ment""#,
            ),
            (r#""MessageType":"Request","#, "", "MessageHeader: expected a MessageType, got none"),
            (
                r#""Request""#,
                r#""Response""#,
                "MessageHeader: got MessageType Response, which does not belong in SaleToPOIRequest",
            ),
            (r#""SaleID":"TILL-04","#, "", "MessageHeader: expected a SaleID, got none"),
            (r#""TILL-04""#, "4", "MessageHeader: expected SaleID to be a text, got a number"),
            (r#""V400m-1""#, "null", "MessageHeader: expected a POIID, got none"),
            (
                r#""V400m-1""#,
                r#""""#,
                "MessageHeader: POIID: expected 1 to 128 characters without control characters, got an empty text",
            ),
            (r#""7f3A91""#, "7391", "MessageHeader: expected ServiceID to be a text, got a number"),
            (
                r#""7f3A91""#,
                r#""\ud800""#,
                "MessageHeader: expected ServiceID to be a text, got a text that cannot be read",
            ),
            (
                r#""V400m-1""#,
                r#""V400m-1","DeviceID":"""#,
                "MessageHeader: DeviceID: expected 1 to 10 characters without control characters, got an empty text",
            ),
        ] {
            assert_eq!(problem(&with(from, to)), expected);
        }
    }

    #[test]
    fn a_header_error_carries_the_ids_that_could_be_read() {
        let text = r#"{"SaleToPOIRequest":{"MessageHeader":{"ServiceID":"not valid at all","SaleID":7,"POIID":"V400m-1","DeviceID":""}}}"#;
        assert_eq!(
            open(text).map(|_| ()).unwrap_err(),
            DecodeError::Header {
                problem: "MessageHeader: expected a MessageType, got none".to_owned(),
                poi_id: Some("V400m-1".to_owned()),
                sale_id: None,
                service_id: Some("not valid at all".to_owned()),
                device_id: None,
            }
        );
    }

    #[test]
    fn a_member_that_comes_twice_is_refused_in_the_outer_object_and_in_the_header() {
        let message = format!(r#""SaleToPOIRequest":{{"MessageHeader":{{{FULL}}}}}"#);
        for (text, expected) in [
            (
                format!("{{{message},{message}}}"),
                r#"expected each member once, got "SaleToPOIRequest" twice"#,
            ),
            (
                format!(r#"{{{message},"SaleToPOI\u0052equest":null}}"#),
                r#"expected each member once, got "SaleToPOIRequest" twice"#,
            ),
            (format!(r#"{{"x":1,{message},"x":1}}"#), r#"expected each member once, got "x" twice"#),
            (
                format!(
                    r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{FULL}}},"MessageHeader":{{{FULL}}}}}}}"#
                ),
                "MessageHeader: expected one in SaleToPOIRequest, got two",
            ),
            (
                format!(r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{FULL}}},"Message\u0048eader":1}}}}"#),
                "MessageHeader: expected one in SaleToPOIRequest, got two",
            ),
            (
                format!(r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{FULL},"POIID":"V400m-2"}}}}}}"#),
                r#"MessageHeader: expected each member once, got "POIID" twice"#,
            ),
            (
                format!(r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{FULL},"\u0050OIID":null}}}}}}"#),
                r#"MessageHeader: expected each member once, got "POIID" twice"#,
            ),
            (
                format!(r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"x":1,{FULL},"x":1}}}}}}"#),
                r#"MessageHeader: expected each member once, got "x" twice"#,
            ),
        ] {
            assert_eq!(problem(&text), expected, "{text}");
            let Err(DecodeError::Header { poi_id, .. }) = open(&text) else { panic!() };
            assert_eq!(poi_id.as_deref(), Some("V400m-1"), "the IDs are known all the same: {text}");
        }
    }

    #[test]
    fn null_for_an_optional_header_member_counts_as_absent() {
        let text = format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{{{FULL},"DeviceID":null,"ProtocolVersion":null}}}}}}"#
        );
        let header = open(&text).unwrap().header;
        assert_eq!((header.device_id, header.protocol_version), (None, None));
    }

    #[test]
    fn a_very_deep_message_does_not_overflow_the_stack() {
        let deep = "[".repeat(200_000);
        assert_eq!(open(&deep).map(|_| ()), Err(DecodeError::NotJson));
        let closed = "]".repeat(200_000);
        let text = format!(r#"{{"a":{deep}{closed},"SaleToPOIRequest":{{"MessageHeader":{deep}{closed}}}}}"#);
        assert_eq!(problem(&text), "MessageHeader: expected an object, got an array");
    }
}
