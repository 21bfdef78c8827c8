//! Booleans in answers: real ones, or texts.

use serde::{Serialize, Serializer};

use crate::store::fleet_store::V1Booleans;

/// Where an operation was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Booleans are booleans.
    Unversioned,
    /// Booleans are texts, unless a setting says otherwise.
    Versioned,
}

/// How the booleans of one answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Booleans(V1Booleans);

/// A boolean with the way it is written: `true` or `"true"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireBool {
    value: bool,
    written: V1Booleans,
}

impl Booleans {
    /// Those of an answer on this path: what is set for the terminal's place counts, or else what the gateway is set to.
    pub(super) fn of(path: Path, set: Option<V1Booleans>, default: V1Booleans) -> Booleans {
        match path {
            Path::Unversioned => Booleans(V1Booleans::Booleans),
            Path::Versioned => Booleans(set.unwrap_or(default)),
        }
    }

    /// This value, to be written in that way.
    pub(super) fn wire(self, value: bool) -> WireBool {
        WireBool { value, written: self.0 }
    }
}

impl Serialize for WireBool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.written {
            V1Booleans::Booleans => serializer.serialize_bool(self.value),
            V1Booleans::Strings => serializer.serialize_str(if self.value { "true" } else { "false" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: Path, set: Option<V1Booleans>, default: V1Booleans) -> String {
        serde_json::to_string(&Booleans::of(path, set, default).wire(true)).unwrap()
    }

    #[test]
    fn texts_are_for_versioned_paths_and_the_nearest_setting_wins() {
        let (strings, booleans) = (V1Booleans::Strings, V1Booleans::Booleans);
        for (set, default, versioned) in [
            (None, strings, "\"true\""),
            (None, booleans, "true"),
            (Some(booleans), strings, "true"),
            (Some(strings), booleans, "\"true\""),
        ] {
            assert_eq!(written(Path::Versioned, set, default), versioned);
            assert_eq!(written(Path::Unversioned, set, default), "true");
        }
    }
}
