//! The members of a request, each looked at by name, so that every error can say which one it is about.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::problem::ClassicError;

/// Unknown members that an error names, and how much of each name.
const UNKNOWN_NAMED_MAX: usize = 10;
const UNKNOWN_LENGTH_MAX: usize = 64;

/// A request whose members are all known, each there once at most.
///
/// A member that is `null` or an empty text is as absent: some clients write what nobody set so.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads the members `known` of a request, whose schema has the name `request`.
    ///
    /// # Errors
    /// 400 `702` for what is no JSON object, for unknown members, and for one that came twice.
    pub(super) fn read(
        bytes: &'a [u8],
        request: &'static str,
        known: &[&'static str],
    ) -> Result<Members<'a>, ClassicError> {
        let read: Object<'a> = serde_json::from_slice(bytes)
            .map_err(|error| ClassicError::unreadable(format!("The request can't be read: {error}")))?;
        let mut members: Vec<(&'static str, &'a RawValue)> = Vec::with_capacity(known.len());
        let (mut unknown, mut unnamed) = (Vec::new(), read.not_kept);
        for (name, value) in read.members {
            let Some(name) = known.iter().find(|known| **known == name) else {
                if unknown.len() < UNKNOWN_NAMED_MAX {
                    unknown.push(name.chars().take(UNKNOWN_LENGTH_MAX).collect::<String>());
                } else {
                    unnamed += 1;
                }
                continue;
            };
            if members.iter().any(|(seen, _)| seen == name) {
                return Err(ClassicError::unreadable(format!("Field '{name}' came twice")));
            }
            members.push((name, value));
        }
        if unknown.is_empty() {
            return Ok(Members(members));
        }
        let more = if unnamed > 0 { format!(", and {unnamed} more") } else { String::new() };
        let names = unknown.join(", ");
        let message =
            format!("Structure of {request} contains the following unknown fields: [{names}{more}]");
        Err(ClassicError::unreadable(message))
    }

    /// A text.
    ///
    /// # Errors
    /// 400 `702` for what is none.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, ClassicError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        let text = serde_json::from_str::<String>(value.get());
        let text = text.map_err(|_| expected(name, "a text", kind_of(value.get())))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// 400 `702` for what is none, and when it is not there.
    pub(super) fn required_text(&self, name: &'static str) -> Result<String, ClassicError> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A boolean, or a text that says one.
    ///
    /// # Errors
    /// 400 `702` for what is none.
    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, ClassicError> {
        match self.given(name).map(RawValue::get) {
            None | Some(r#""""#) => Ok(None),
            Some(r#"true"# | r#""true""#) => Ok(Some(true)),
            Some(r#"false"# | r#""false""#) => Ok(Some(false)),
            Some(other) => Err(expected(name, "true or false", kind_of(other))),
        }
    }

    /// A list of texts that has to be there, with something in it.
    ///
    /// # Errors
    /// 400 `702` for what is none, and when it is not there or empty.
    pub(super) fn required_texts(&self, name: &'static str) -> Result<Vec<String>, ClassicError> {
        let value = self.given(name).ok_or_else(|| missing(name))?;
        let texts: Vec<String> = serde_json::from_str(value.get()).map_err(|error| {
            let got = match kind_of(value.get()) {
                "an array" => format!("an array with something else in it: {error}"),
                other => other.to_owned(),
            };
            expected(name, "an array of texts", &got)
        })?;
        if texts.is_empty() {
            return Err(ClassicError::unreadable(format!("Required field '{name}' is empty")));
        }
        Ok(texts)
    }

    fn given(&self, name: &'static str) -> Option<&'a RawValue> {
        let given = self.0.iter().find(|(known, _)| *known == name);
        given.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }
}

/// A field that is not there and has to be.
pub(super) fn missing(name: &str) -> ClassicError {
    ClassicError::unreadable(format!("Required field '{name}' is null"))
}

fn expected(name: &str, what: &str, got: &str) -> ClassicError {
    ClassicError::unreadable(format!("Field '{name}': expected {what}, got {got}"))
}

/// What a JSON value is, by how it begins.
fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Members of an object that are kept while it is read. No request has as many; who sends more is told so without them.
const KEPT_MAX: usize = 64;

/// Any JSON object, its values as they were written.
struct Object<'a> {
    members: Vec<(String, &'a RawValue)>,
    not_kept: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'a>, D::Error> {
        struct ObjectOf;

        impl<'de> Visitor<'de> for ObjectOf {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let (mut members, mut not_kept) = (Vec::new(), 0);
                loop {
                    if members.len() == KEPT_MAX {
                        match map.next_entry::<IgnoredAny, IgnoredAny>()? {
                            Some(_) => not_kept += 1,
                            None => break,
                        }
                        continue;
                    }
                    let Some(entry) = map.next_entry::<String, &'de RawValue>()? else { break };
                    members.push(entry);
                }
                Ok(Object { members, not_kept })
            }

            fn visit_unit<E: de::Error>(self) -> Result<Object<'de>, E> {
                Err(E::invalid_type(de::Unexpected::Other("null"), &self))
            }
        }

        deserializer.deserialize_map(ObjectOf)
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;

    const KNOWN: &[&str] = &["terminal", "merchantInventory", "terminals"];

    fn read(text: &str) -> Result<Members<'_>, ClassicError> {
        Members::read(text.as_bytes(), "SomeRequest", KNOWN)
    }

    async fn told(error: ClassicError) -> String {
        let response = error.into_response();
        assert_eq!(response.status(), 400);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["errorCode"], &body["errorType"]), (&"702".into(), &"validation".into()));
        body["message"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn unknown_members_are_named_up_to_a_number() {
        let error = read(r#"{"terminal":"V","colour":1,"size":{}}"#).unwrap_err();
        assert_eq!(
            told(error).await,
            "Structure of SomeRequest contains the following unknown fields: [colour, size]"
        );
        let many: Vec<_> = (0..100).map(|n| format!(r#""m{n}":{n}"#)).collect();
        let message = told(read(&format!("{{{}}}", many.join(","))).unwrap_err()).await;
        assert!(message.ends_with("m8, m9, and 90 more]"), "{message}");
        let long = "x".repeat(1000);
        let message = told(read(&format!(r#"{{"{long}":1}}"#)).unwrap_err()).await;
        assert!(message.ends_with(&format!("[{}]", &long[..UNKNOWN_LENGTH_MAX])), "{message}");
    }

    #[tokio::test]
    async fn what_is_no_object_can_not_be_read() {
        for text in ["", "null", "[]", "\"x\"", "7", "{", "{}x", r#"{"terminal":}"#, "\u{feff}{}"] {
            let message = told(read(text).unwrap_err()).await;
            assert!(message.starts_with("The request can't be read: "), "{text}: {message}");
        }
        let twice = read(r#"{"terminal":"A","terminal":"B"}"#).unwrap_err();
        assert_eq!(told(twice).await, "Field 'terminal' came twice");
    }

    #[tokio::test]
    async fn a_text_is_a_text_and_nothing_else() {
        assert_eq!(read(r#"{"terminal":"V\u0034"}"#).unwrap().required_text("terminal").unwrap(), "V4");
        for absent in ["{}", r#"{"terminal":null}"#, r#"{"terminal":""}"#] {
            assert_eq!(read(absent).unwrap().text("terminal").unwrap(), None);
            let error = read(absent).unwrap().required_text("terminal").unwrap_err();
            assert_eq!(told(error).await, "Required field 'terminal' is null");
        }
        for (value, kind) in
            [("7", "a number"), ("[\"V\"]", "an array"), ("{}", "an object"), ("true", "a boolean")]
        {
            let text = format!(r#"{{"terminal":{value}}}"#);
            let error = read(&text).unwrap().text("terminal").unwrap_err();
            assert_eq!(told(error).await, format!("Field 'terminal': expected a text, got {kind}"));
        }
    }

    #[tokio::test]
    async fn a_boolean_may_be_a_text() {
        for (value, meant) in [
            ("true", Some(true)),
            ("\"true\"", Some(true)),
            ("false", Some(false)),
            ("\"false\"", Some(false)),
            ("null", None),
            ("\"\"", None),
        ] {
            let text = format!(r#"{{"merchantInventory":{value}}}"#);
            assert_eq!(read(&text).unwrap().boolean("merchantInventory").unwrap(), meant, "{value}");
        }
        let error = read(r#"{"merchantInventory":"yes"}"#).unwrap().boolean("merchantInventory").unwrap_err();
        assert_eq!(told(error).await, "Field 'merchantInventory': expected true or false, got a text");
    }

    #[tokio::test]
    async fn a_list_has_texts_only_and_one_at_least() {
        let texts = read(r#"{"terminals":["A","B"]}"#).unwrap().required_texts("terminals").unwrap();
        assert_eq!(texts, ["A", "B"]);
        for (value, problem) in [
            ("[]", "Required field 'terminals' is empty"),
            ("null", "Required field 'terminals' is null"),
            ("\"A\"", "Field 'terminals': expected an array of texts, got a text"),
            ("[\"A\",7]", "Field 'terminals': expected an array of texts, got an array with something else"),
        ] {
            let text = format!(r#"{{"terminals":{value}}}"#);
            let error = read(&text).unwrap().required_texts("terminals").unwrap_err();
            let message = told(error).await;
            assert!(message.starts_with(problem), "{message}");
        }
    }
}
