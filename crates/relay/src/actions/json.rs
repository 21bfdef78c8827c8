//! Objects of this dialect: read member by member, so that nothing that is passed on is written anew, and written so.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client_error::ClientError;

/// A JSON value as it came. `Debug` shows its length.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Takes the text of one JSON object; none when it is anything else.
    pub fn object(text: &str) -> Option<RawJson> {
        let raw = serde_json::from_str::<Box<RawValue>>(text).ok()?;
        raw.get().starts_with('{').then_some(RawJson(raw))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl Default for RawJson {
    /// `{}`.
    fn default() -> RawJson {
        RawJson(RawValue::from_string("{}".into()).unwrap_or_default())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &RawJson) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({} bytes)", self.as_str().len())
    }
}

/// The members of one object in order, their values unread.
pub(super) struct Members<'a> {
    /// What stands before a member's name in an error: `paymentRequest.`.
    path: &'static str,
    all: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Reads an object; none when the text is no JSON or something else.
    pub(super) fn of(text: &'a [u8], path: &'static str) -> Option<Members<'a>> {
        let All(all) = serde_json::from_slice(text).ok()?;
        Some(Members { path, all })
    }

    /// A member's value; `null` is an absent one.
    ///
    /// # Errors
    /// When it stands there twice: two readers might take one each.
    pub(super) fn value(&self, name: &str) -> Result<Option<&'a RawValue>, ClientError> {
        Ok(self.as_it_stands(name)?.filter(|raw| raw.get() != "null"))
    }

    /// The same, with `null` as a value.
    ///
    /// # Errors
    /// When it stands there twice.
    pub(super) fn as_it_stands(&self, name: &str) -> Result<Option<&'a RawValue>, ClientError> {
        let mut found = self.all.iter().filter(|(member, _)| member == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => {
                Err(ClientError::bad_request(format!("{}{name} must not be given twice", self.path)))
            }
            (first, None) => Ok(first.map(|(_, raw)| *raw)),
        }
    }

    /// # Errors
    /// When it is absent, or there twice.
    pub(super) fn required(&self, name: &str) -> Result<&'a RawValue, ClientError> {
        self.value(name)?.ok_or_else(|| ClientError::required(&format!("{}{name}", self.path)))
    }

    /// # Errors
    /// When it is there twice, or no text.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, ClientError> {
        match self.value(name)? {
            None => Ok(None),
            Some(raw) => text_of(raw).map(Some).ok_or_else(|| self.must_be(name, "a string")),
        }
    }

    /// # Errors
    /// When it is absent or empty, there twice, or no text.
    pub(super) fn required_text(&self, name: &str) -> Result<Cow<'a, str>, ClientError> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| ClientError::required(&format!("{}{name}", self.path)))
    }

    /// # Errors
    /// When it is absent, there twice, or no object.
    pub(super) fn required_object(&self, name: &str) -> Result<&'a RawValue, ClientError> {
        match self.required(name)? {
            raw if raw.get().starts_with('{') => Ok(raw),
            _ => Err(self.must_be(name, "an object")),
        }
    }

    /// A text, where there is one that can be read: for what may be left out.
    pub(super) fn lenient_text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.text(name).ok().flatten().filter(|text| !text.is_empty())
    }

    pub(super) fn must_be(&self, name: &str, what: &str) -> ClientError {
        ClientError::bad_request(format!("{}{name} must be {what}", self.path))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.all.iter().map(|(name, raw)| (&**name, *raw))
    }
}

/// A JSON string's text.
pub(super) fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|Text(text)| text)
}

/// A text that borrows unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct All<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for All<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOf;

        impl<'de> Visitor<'de> for AllOf {
            type Value = All<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<All<'de>, A::Error> {
                let mut all = Vec::with_capacity(4);
                while let Some((Text(name), value)) = map.next_entry()? {
                    all.push((name, value));
                }
                Ok(All(all))
            }
        }

        deserializer.deserialize_map(AllOf)
    }
}

/// An object being written, members in the order in which they are added.
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Object {
        Object(b"{".to_vec())
    }

    pub(super) fn action(action: &'static str) -> Object {
        Object::new().text("action", action)
    }

    /// Adds a value that is JSON already.
    pub(super) fn raw(mut self, name: &str, json: &[u8]) -> Object {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(&written(name));
        self.0.push(b':');
        self.0.extend_from_slice(json);
        self
    }

    pub(super) fn text(self, name: &str, text: &str) -> Object {
        self.raw(name, &written(text))
    }

    pub(super) fn maybe_text(self, name: &str, text: Option<&str>) -> Object {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    pub(super) fn maybe_raw(self, name: &str, json: Option<&[u8]>) -> Object {
        match json {
            Some(json) => self.raw(name, json),
            None => self,
        }
    }

    pub(super) fn end(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

/// The JSON text of a value.
#[expect(clippy::expect_used, reason = "texts and derived types with string keys always have a JSON form")]
pub(super) fn written<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("it can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_stands() {
        let members = Members::of(br#" {"a" : "x\u0041" , "b":null,"c": 1e2 ,"d":"1","\u0064":"2"} "#, "p.")
            .expect("an object");
        assert_eq!(members.text("a").expect("a text").as_deref(), Some("xA"));
        assert_eq!(members.value("b").expect("none").map(RawValue::get), None);
        assert_eq!(members.as_it_stands("b").expect("one").map(RawValue::get), Some("null"));
        assert_eq!(members.value("c").expect("one").map(RawValue::get), Some("1e2"));
        assert_eq!(&*members.text("c").expect_err("no text").message, "p.c must be a string");
        assert_eq!(&*members.value("d").expect_err("two").message, "p.d must not be given twice");
        assert_eq!(&*members.required("e").expect_err("none").message, "p.e is required");
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "[]", "7", "\"x\"", "{", "{}x", "{\"a\"}", "null", "{\"\\ud800\":1}"] {
            assert!(Members::of(text.as_bytes(), "").is_none(), "{text}");
        }
    }

    #[test]
    fn an_object_is_written_in_order() {
        let object = Object::action("x").maybe_text("a", None).text("b", "\"").raw("c", b"[1]").end();
        assert_eq!(object, r#"{"action":"x","b":"\"","c":[1]}"#);
        assert_eq!(Object::new().end(), "{}");
    }
}
