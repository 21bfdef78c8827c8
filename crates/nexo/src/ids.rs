//! The identifiers of a `MessageHeader`, each valid from the moment it exists.

use std::{borrow::Borrow, borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{DecodeError, error::describe};

/// Defines one identifier: an immutable text, cheap to clone, checked by its only constructor.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $member:literal, $expected:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Reads a `", $member, "`: ", $expected, ".")]
            ///
            /// # Errors
            /// [`DecodeError::Value`] when the text is anything else.
            pub fn parse(text: &str) -> Result<Self, DecodeError> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(DecodeError::Value { member: $member, expected: $expected, came: describe(text) })
                }
            }

            /// The identifier as it is written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = DecodeError;

            fn from_str(text: &str) -> Result<Self, DecodeError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

identifier! {
    /// Names a terminal: `[model]-[serial number]`, such as `V400m-100200300`, or the installation ID of a mobile SDK.
    ///
    /// 1 to 128 characters, none of them a control character. Stable for the terminal's life.
    /// Source: nexo Sale to POI protocol 3.0, `MessageHeader.POIID`; the upper bound is ours.
    PoiId, "POIID", "1 to 128 characters without control characters", is_name
}

identifier! {
    /// Names the POS component that sends a request, such as `TILL-04`; chosen by the merchant.
    ///
    /// 1 to 128 characters, none of them a control character.
    /// Source: nexo Sale to POI protocol 3.0, `MessageHeader.SaleID`; the upper bound is ours.
    SaleId, "SaleID", "1 to 128 characters without control characters", is_name
}

identifier! {
    /// Names one request among those to the same terminal within 48 hours, such as `7f3A91`; chosen by the POS.
    ///
    /// 1 to 10 ASCII letters or digits; upper and lower case differ.
    /// Source: Terminal API, `MessageHeader.ServiceID`.
    ServiceId, "ServiceID", "1 to 10 ASCII letters or digits",
    |text| (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

identifier! {
    /// Tells messages of class `Device` apart, and numbers the events that the platform makes, such as `482910337`.
    ///
    /// 1 to 10 characters, none of them a control character.
    /// Source: nexo Sale to POI protocol 3.0, `MessageHeader.DeviceID`.
    DeviceId, "DeviceID", "1 to 10 characters without control characters",
    |text| (1..=10).contains(&text.chars().count()) && !text.contains(char::is_control)
}

fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poi_id_has_1_to_128_characters_and_no_control_character() {
        assert_eq!(PoiId::parse("V400m-100200300").unwrap().as_str(), "V400m-100200300");
        assert!(PoiId::parse(&"ä".repeat(128)).is_ok());
        assert_eq!(
            PoiId::parse("").unwrap_err().to_string(),
            "POIID: expected 1 to 128 characters without control characters, got an empty text"
        );
        assert!(PoiId::parse(&"a".repeat(129)).is_err());
        assert!(PoiId::parse("V400m\n1").is_err());
        assert!(SaleId::parse("POS\u{7f}").is_err());
    }

    #[test]
    fn a_service_id_has_1_to_10_ascii_letters_or_digits() {
        for good in ["1", "0123456789", "aZ09"] {
            assert_eq!(good.parse::<ServiceId>().unwrap().to_string(), good);
        }
        for bad in ["", "12345678901", "a-b", "a b", "ä", "A_1"] {
            assert!(ServiceId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_device_id_has_1_to_10_characters() {
        assert!(DeviceId::parse("äöüäöüäöü-").is_ok());
        assert!(DeviceId::parse("12345678901").is_err());
        assert!(DeviceId::parse("").is_err());
    }

    #[test]
    fn an_id_is_checked_when_it_is_deserialised() {
        assert_eq!(serde_json::from_str::<ServiceId>(r#""4\u0032""#).unwrap().as_str(), "42");
        assert!(serde_json::from_str::<ServiceId>(r#""4 2""#).is_err());
        assert!(serde_json::from_str::<ServiceId>("42").is_err());
        assert_eq!(serde_json::to_string(&SaleId::parse("a\"b").unwrap()).unwrap(), r#""a\"b""#);
    }

    #[test]
    fn an_id_is_found_in_a_map_by_its_text() {
        let map = std::collections::HashMap::from([(PoiId::parse("V400m-1").unwrap(), 1)]);
        assert_eq!(map.get("V400m-1"), Some(&1));
    }
}
