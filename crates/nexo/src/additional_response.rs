//! `AdditionalResponse`: a second, smaller format inside a JSON text.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::value::RawValue;

/// The content of `AdditionalResponse`, and of `SaleToAcquirerData`, which is written in the same ways.
///
/// Three forms are in use, depending on the settings of the account and the terminal:
/// - form pairs: `message=104%20Merchant+cancelled.&shopperCountry=NL`,
/// - Base64 of a JSON object: `eyJtZXNzYWdlIjoiLi4uIn0=`,
/// - bare text: `101 Shopper cancelled app selection`.
///
/// Source: Terminal API, `Response.AdditionalResponse`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdditionalResponse {
    /// Keys with their values, in order; a key may come again. A value in a JSON object that is no text stands here as
    /// its own JSON text.
    Pairs(Vec<(String, String)>),
    /// A text without keys. Never empty after decoding.
    Text(String),
}

impl AdditionalResponse {
    /// Reads any text; whatever is neither of the two encodings is bare text.
    ///
    /// Form pairs are split at `&` and each at its first `=`, for Base64 padding in a value may be left as it is.
    pub fn decode(text: &str) -> Self {
        if let Some(pairs) = base64_json(text) {
            return Self::Pairs(pairs);
        }
        if text.is_empty() || text.contains('=') {
            return Self::Pairs(form_urlencoded::parse(text.as_bytes()).into_owned().collect());
        }
        if text.contains(' ') || !text.contains(['%', '+']) {
            return Self::Text(text.to_owned());
        }
        let decoded = form_urlencoded::parse(text.replace('&', "%26").as_bytes())
            .map(|(text, _)| text.into_owned())
            .collect::<String>();
        Self::Text(decoded)
    }

    /// The value of the first pair with this key.
    pub fn value(&self, key: &str) -> Option<&str> {
        let Self::Pairs(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Writes form pairs: everything but letters, digits and `-._~` percent-encoded in lower case, blanks as `%20`.
    pub fn encode_form(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Text(text) => escape_all(&mut out, text),
            Self::Pairs(pairs) => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        out.push('&');
                    }
                    escape_all(&mut out, key);
                    out.push('=');
                    escape_all(&mut out, value);
                }
            }
        }
        if let (Some(first), Some(_)) = (out.bytes().next(), base64_json(&out)) {
            // `e30=` would be read as Base64 of `{}`: one needless escape rules that out.
            out.replace_range(..1, &format!("%{first:02x}"));
        }
        out
    }

    /// Writes Base64 of a JSON object with all values as texts. Bare text becomes the value of `message`.
    pub fn encode_base64_json(&self) -> String {
        let json = serde_json::to_vec(&JsonObject(self)).unwrap_or_default();
        BASE64.encode(json)
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The members of the JSON object that `text` is the Base64 of, if it is.
fn base64_json(text: &str) -> Option<Vec<(String, String)>> {
    let json = BASE64.decode(text).ok()?;
    if json.first() != Some(&b'{') {
        return None;
    }
    Some(serde_json::from_slice::<JsonMembers>(&json).ok()?.0)
}

fn escape_all(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
}

struct JsonMembers(Vec<(String, String)>);

impl<'de> Deserialize<'de> for JsonMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersOf;

        impl<'de> de::Visitor<'de> for MembersOf {
            type Value = JsonMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<JsonMembers, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    let text = serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
                    pairs.push((key, text));
                }
                Ok(JsonMembers(pairs))
            }
        }

        deserializer.deserialize_map(MembersOf)
    }
}

struct JsonObject<'a>(&'a AdditionalResponse);

impl Serialize for JsonObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            AdditionalResponse::Text(text) => map.serialize_entry("message", text)?,
            AdditionalResponse::Pairs(pairs) => {
                for (key, value) in pairs {
                    map.serialize_entry(key, value)?;
                }
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> AdditionalResponse {
        AdditionalResponse::Pairs(
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        )
    }

    #[test]
    fn blanks_come_as_plus_and_as_percent_20_and_hex_in_either_case() {
        assert_eq!(
            AdditionalResponse::decode("message=104%20Merchant+cancelled.&path=a%2fb%2Fc&metadata.orderId=7"),
            pairs(&[("message", "104 Merchant cancelled."), ("path", "a/b/c"), ("metadata.orderId", "7")])
        );
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        let decoded = AdditionalResponse::decode("networkProfile=eyJpcCI6IjE5Mi4wLjIuNDQifQ==&flag&empty=");
        assert_eq!(decoded.value("networkProfile"), Some("eyJpcCI6IjE5Mi4wLjIuNDQifQ=="));
        assert_eq!(decoded.value("flag"), Some(""));
        assert_eq!(decoded.value("empty"), Some(""));
        assert_eq!(decoded.value("absent"), None);
    }

    #[test]
    fn a_percent_sign_without_hex_stays() {
        assert_eq!(AdditionalResponse::decode("batteryLevel=87%"), pairs(&[("batteryLevel", "87%")]));
        assert_eq!(AdditionalResponse::decode("batteryLevel=87%25"), pairs(&[("batteryLevel", "87%")]));
    }

    #[test]
    fn base64_of_a_json_object_is_detected_with_and_without_padding() {
        // {"message":"a b","store":{"id": 1e2},"n":null}
        let text = "eyJtZXNzYWdlIjoiYSBiIiwic3RvcmUiOnsiaWQiOiAxZTJ9LCJuIjpudWxsfQ==";
        let expected = pairs(&[("message", "a b"), ("store", r#"{"id": 1e2}"#), ("n", "null")]);
        assert_eq!(AdditionalResponse::decode(text), expected);
        assert_eq!(AdditionalResponse::decode(text.trim_end_matches('=')), expected);
    }

    #[test]
    fn base64_of_anything_else_is_bare_text() {
        assert_eq!(AdditionalResponse::decode("Cancelled"), AdditionalResponse::Text("Cancelled".to_owned()));
        // {broken
        assert_eq!(
            AdditionalResponse::decode("e2Jyb2tlbg"),
            AdditionalResponse::Text("e2Jyb2tlbg".to_owned())
        );
    }

    #[test]
    fn bare_text_is_kept() {
        let text = "101 Shopper cancelled app selection";
        assert_eq!(AdditionalResponse::decode(text), AdditionalResponse::Text(text.to_owned()));
        assert_eq!(AdditionalResponse::decode("50% + 1"), AdditionalResponse::Text("50% + 1".to_owned()));
        assert_eq!(AdditionalResponse::decode("a%20b&c"), AdditionalResponse::Text("a b&c".to_owned()));
        assert_eq!(AdditionalResponse::decode(""), pairs(&[]));
    }

    #[test]
    fn the_form_escapes_what_would_break_it() {
        assert_eq!(
            pairs(&[("a b", "%&=+ ä/~"), ("c", "")]).encode_form(),
            "a%20b=%25%26%3d%2b%20%c3%a4%2f~&c="
        );
    }

    #[test]
    fn a_form_that_looks_like_base64_json_is_escaped_once_more() {
        let ambiguous = pairs(&[("e30", "")]);
        assert_eq!(ambiguous.encode_form(), "%6530=");
        assert_eq!(AdditionalResponse::decode(&ambiguous.encode_form()), ambiguous);
    }

    #[test]
    fn bare_text_becomes_a_message_in_json() {
        let text = AdditionalResponse::Text("Busy now".to_owned());
        assert_eq!(AdditionalResponse::decode(&text.encode_base64_json()), pairs(&[("message", "Busy now")]));
    }

    proptest! {
        #[test]
        fn pairs_survive_both_encodings(pairs in prop::collection::vec((".{0,6}|e30", ".{0,12}"), 0..5)) {
            let response = AdditionalResponse::Pairs(pairs);
            prop_assert_eq!(&AdditionalResponse::decode(&response.encode_form()), &response);
            prop_assert_eq!(&AdditionalResponse::decode(&response.encode_base64_json()), &response);
        }

        #[test]
        fn bare_text_survives_the_form(text in "[^=]{1,40}|eyJhIjoxfQ|e30|eyJhIjoxfQ==") {
            let response = AdditionalResponse::Text(text);
            prop_assert_eq!(&AdditionalResponse::decode(&response.encode_form()), &response);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*|[%+&=a-f0-9]{0,30}|[A-Za-z0-9+/]{0,40}={0,3}") {
            let decoded = AdditionalResponse::decode(&text);
            prop_assert_eq!(&AdditionalResponse::decode(&decoded.encode_form()), &decoded);
            decoded.encode_base64_json();
        }
    }
}
