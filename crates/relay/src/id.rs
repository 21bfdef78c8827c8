//! Names of things that this project makes up: deliveries, journals, connections, nodes.

use std::fmt;

/// An ID from outside that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1-{max} characters of letters, digits, '_', '-' and '.', got {got} characters")]
pub struct IdError {
    what: &'static str,
    max: usize,
    got: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest text that is accepted, in bytes.
            pub const LENGTH_MAX: usize = $max;

            /// Takes the text of an ID.
            ///
            /// # Errors
            /// When it is empty, too long, or holds anything but letters, digits, `_`, `-` and `.`.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let fits = (1..=Self::LENGTH_MAX).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
                if fits {
                    Ok($name(text.into()))
                } else {
                    Err(IdError { what: stringify!($name), max: Self::LENGTH_MAX, got: text.chars().count() })
                }
            }

            /// The text as it travels.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One exchange: one request of a Sale system and its one outcome. `x_` and 32 hex digits.
    ExchangeId, 64
);
id!(
    /// One attempt to deliver an exchange to a terminal; results are matched by it alone (E15). `d_` and 32 hex digits.
    DeliveryId, 64
);
id!(
    /// A terminal's journal, made by the terminal together with it (T1). `j_` and 32 hex digits.
    JournalId, 64
);
id!(
    /// One socket of a terminal, from its upgrade to its end. `c_` and 32 hex digits.
    ConnectionId, 64
);
id!(
    /// One run of a terminal's program, so that a takeover can tell its own older process from a foreign one. `p_` and 32 hex digits.
    ProcessId, 64
);
id!(
    /// One assignment of a boarded terminal to another place, which is asked to remove its configuration for it. `as_` and 32 hex
    /// digits.
    ChangeId, 64
);
id!(
    /// One running gateway.
    NodeId, 64
);

/// How often a terminal's link was taken over. Every `hello` that is accepted raises it; whatever carries a lower one
/// is late and changes nothing (E14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// One waiting call of a Sale system, unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);
