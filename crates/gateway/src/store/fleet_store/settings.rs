//! Settings of each level. The nearest one that is set wins: terminal, store, merchant account, company.

use nexo::PoiId;
use relay::WallMs;
use serde::Deserialize;

use crate::store::{CompanyCode, CredentialId, MerchantCode, Scope, StoreCode};

/// Where settings can be set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    /// For all of a company.
    Company(CompanyCode),
    /// For a merchant account and its stores.
    Merchant(MerchantCode),
    /// For a store.
    Store(MerchantCode, StoreCode),
    /// For one terminal.
    Terminal(PoiId),
}

impl Level {
    /// The kind of level, as events and paths name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Level::Company(_) => "company",
            Level::Merchant(_) => "merchant",
            Level::Store(..) => "store",
            Level::Terminal(_) => "terminal",
        }
    }
}

/// How the versioned paths of the POS Terminal Management API write booleans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum V1Booleans {
    /// As `"true"` and `"false"`.
    Strings,
    /// As `true` and `false`.
    Booleans,
}

impl V1Booleans {
    /// As it is written in settings.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Booleans => "booleans",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub(crate) fn parse(text: &str) -> Option<V1Booleans> {
        [Self::Strings, Self::Booleans].into_iter().find(|value| value.as_str() == text)
    }
}

/// Values of settings; none where nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingValues {
    /// Whether a terminal may hold a WebSocket to the gateway.
    pub(crate) web_sockets_enabled: Option<bool>,
    /// Whether a Sale system may reach the terminal.
    pub(crate) terminal_api_enabled: Option<bool>,
    /// How booleans are written. A terminal has no value of its own.
    pub(crate) v1_booleans: Option<V1Booleans>,
    /// What screens and lists call a terminal.
    pub(crate) display_label: Option<String>,
}

/// The settings of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LevelSettings {
    /// The level.
    pub(crate) level: Level,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// The merchant account that it belongs to, if not to the company alone.
    pub(crate) merchant: Option<MerchantCode>,
    /// What is set here.
    pub(crate) own: SettingValues,
    /// What would hold here if nothing was set here.
    pub(crate) inherited: SettingValues,
    /// Grows with each change that takes effect here.
    pub(crate) revision: u64,
}

/// The settings that hold for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EffectiveSettings {
    /// Grows with each change that takes effect here.
    pub(crate) revision: u64,
    /// Whether it may hold a WebSocket to the gateway; not if nothing is set.
    pub(crate) web_sockets_enabled: bool,
    /// Whether a Sale system may reach it; not if nothing is set.
    pub(crate) terminal_api_enabled: bool,
    /// What its screen and the lists call it.
    pub(crate) display_label: Option<String>,
}

/// What is to become of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// Nothing is set any more: it is inherited, or unknown.
    Clear,
    /// This is set.
    Set(T),
}

impl<T> Change<T> {
    /// The value afterwards.
    pub(crate) fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Change::Keep => before,
            Change::Clear => None,
            Change::Set(value) => Some(value),
        }
    }
}

/// Changes to the settings of a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsPatch {
    /// Whether a terminal may hold a WebSocket to the gateway.
    pub web_sockets_enabled: Change<bool>,
    /// Whether a Sale system may reach the terminal.
    pub terminal_api_enabled: Change<bool>,
    /// How booleans are written; without effect on a terminal.
    pub v1_booleans: Change<V1Booleans>,
    /// What screens and lists call a terminal.
    pub display_label: Change<String>,
}

/// A call to change the settings of a level.
#[derive(Clone, Debug)]
pub(crate) struct SettingsChange {
    /// Whose level.
    pub(crate) company: CompanyCode,
    /// What the caller reaches: the level has to be in it.
    pub(crate) scope: Scope,
    /// Which one.
    pub(crate) level: Level,
    /// How.
    pub(crate) patch: SettingsPatch,
    /// Who asks; none for the operator of the installation.
    pub(crate) by: Option<CredentialId>,
    /// When.
    pub(crate) at: WallMs,
}
