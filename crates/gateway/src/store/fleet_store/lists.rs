//! Terminals as lists and details show them.

use nexo::PoiId;
use relay::WallMs;

use super::{SettingValues, V1Booleans};
use crate::store::{MerchantCode, Place, StoreCode, StoreDetails, Terminal};

/// All that is known of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TerminalRecord {
    /// What every request needs.
    pub(crate) terminal: Terminal,
    /// What is set for it alone.
    pub(crate) own_settings: SettingValues,
    /// How booleans are written at its place; none if nothing is set.
    pub(crate) v1_booleans: Option<V1Booleans>,
    /// The time zone of its company: an IANA name.
    pub(crate) time_zone: String,
    /// The store that it stands in, if that has a code of its own.
    pub(crate) store: Option<StoreDetails>,
    /// Where it is used.
    pub(crate) country: Option<CountryCode>,
    /// Eight digits without any meaning here.
    pub(crate) permanent_terminal_id: Option<String>,
    /// When it was added, as far as that is known.
    pub(crate) added: Option<WallMs>,
    /// When it was last heard of; at most a minute behind.
    pub(crate) last_activity: Option<WallMs>,
    /// When it last had a transaction; at most a minute behind.
    pub(crate) last_transaction: Option<WallMs>,
}

/// A country: two capital letters, as in ISO 3166-1 alpha-2. Whether there is such a country isn't checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CountryCode([u8; 2]);

impl CountryCode {
    /// Reads two capital letters.
    pub(crate) fn parse(text: &str) -> Option<CountryCode> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(CountryCode(code))
    }

    /// The two letters.
    pub(crate) fn as_str(&self) -> &str {
        // Both are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Which of a company's terminals a list is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListFilter {
    /// All.
    #[default]
    All,
    /// Those of a merchant account and its stores.
    Merchant(MerchantCode),
    /// Those of a store.
    Store(MerchantCode, StoreCode),
}

/// A terminal and its place. Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The terminal.
    pub(crate) poi: PoiId,
    /// Where it is.
    pub(crate) place: Place,
}

/// When a terminal was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    /// The terminal.
    pub(crate) poi: PoiId,
    /// When it last was active.
    pub(crate) last_activity: WallMs,
    /// When it last had a transaction, if it had one since the last note.
    pub(crate) last_transaction: Option<WallMs>,
}

/// A terminal was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    /// Whether a token ended with that: then its link has to be closed.
    pub(crate) token_ended: bool,
}
