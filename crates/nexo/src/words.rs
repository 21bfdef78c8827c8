//! Words of the protocol whose list may grow: known ones as constants, others kept as they came.

/// Defines an open set of words. A word that is not listed is read, compared and written like the others, for a
/// terminal may be newer than this code.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($constant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub struct $name(std::borrow::Cow<'static, str>);

        impl $name {
            $(
                #[doc = concat!("`", $word, "`.")]
                pub const $constant: Self = Self(std::borrow::Cow::Borrowed($word));
            )+

            const KNOWN: &[&'static str] = &[$($word),+];

            /// The word as given, known or not.
            pub fn new(word: &str) -> Self {
                match Self::KNOWN.iter().find(|known| **known == word) {
                    Some(known) => Self(std::borrow::Cow::Borrowed(known)),
                    None => Self(std::borrow::Cow::Owned(word.to_owned())),
                }
            }

            /// The word as it is written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::new(&std::borrow::Cow::<'de, str>::deserialize(deserializer)?))
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::ErrorCondition;

    #[test]
    fn a_word_outside_the_list_is_kept_as_it_came() {
        let unknown: ErrorCondition = serde_json::from_str(r#""Communication timeout""#).unwrap();
        assert_eq!(serde_json::to_string(&unknown).unwrap(), r#""Communication timeout""#);
        assert_ne!(unknown, ErrorCondition::BUSY);
    }

    #[test]
    fn a_listed_word_equals_its_constant() {
        assert_eq!(serde_json::from_str::<ErrorCondition>(r#""Busy""#).unwrap(), ErrorCondition::BUSY);
    }
}
