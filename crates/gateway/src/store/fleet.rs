//! Companies, merchant accounts, stores, and the terminals at them.

use std::fmt;

use nexo::PoiId;
use relay::{JournalId, WallMs};

use super::fleet_store::{Address, CountryCode, EffectiveSettings, PendingAssignment, StoreId, TokenId};
use super::{CredentialId, Entity, StoreError};

/// A code that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to 80 letters, digits, '_', '-' or '.', got {got} characters")]
pub(crate) struct CodeFormatError {
    what: &'static str,
    got: usize,
}

/// Defines the code of an account, or an ID of the same form: an immutable text, cheap to clone.
macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) struct $name(std::sync::Arc<str>);

        impl $name {
            /// Takes the text of it.
            ///
            /// # Errors
            /// When it is empty, longer than 80 characters, or holds anything but ASCII letters, digits, `_`, `-`, `.`.
            pub(crate) fn parse(text: &str) -> Result<Self, $crate::store::fleet::CodeFormatError> {
                $crate::store::fleet::check_code($what, text).map(|()| $name(text.into()))
            }

            /// The text as it is shown and sent.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

/// Defines the SHA-256 of a secret of one kind. Printed it shows nothing.
macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) struct $name(pub(crate) [u8; 32]);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

pub(super) use {code, hash};

pub(super) fn check_code(what: &'static str, text: &str) -> Result<(), CodeFormatError> {
    let fits = (1..=80).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if fits { Ok(()) } else { Err(CodeFormatError { what, got: text.chars().count() }) }
}

code!(
    /// The code of a company account, such as `DEMO_COMPANY`.
    CompanyCode,
    "a company account"
);
code!(
    /// The code of a merchant account, such as `DEMO_MERCHANT_EU`. Unique among all companies.
    MerchantCode,
    "a merchant account"
);
code!(
    /// The code of a store, such as `STORE_AMS`. Unique in its merchant account.
    StoreCode,
    "a store code"
);
hash!(
    /// SHA-256 of a terminal's token.
    TokenHash
);
hash!(
    /// SHA-256 of a boarding code.
    CodeHash
);

/// A company account: whose data is nobody else's to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Company {
    /// Its code.
    pub(crate) code: CompanyCode,
    /// Its name, for people.
    pub(crate) description: Option<String>,
    /// What its calendar days are counted in: an IANA name.
    pub(crate) time_zone: String,
}

impl Company {
    /// One of this code, with its days in UTC.
    pub(crate) fn new(code: CompanyCode) -> Company {
        Company { code, description: None, time_zone: "UTC".to_owned() }
    }
}

/// A merchant account; one without stores may itself represent a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MerchantAccount {
    /// Its code.
    pub(crate) code: MerchantCode,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// Its name, for people.
    pub(crate) description: Option<String>,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreDetails {
    /// Its generated ID, unique among all companies.
    pub(crate) id: StoreId,
    /// Whose it is.
    pub(crate) merchant: MerchantCode,
    /// Its code.
    pub(crate) code: StoreCode,
    /// Its name, for people.
    pub(crate) description: Option<String>,
    /// Whether it does business.
    pub(crate) status: StoreStatus,
    /// Where it is.
    pub(crate) address: Option<Address>,
    /// E.164.
    pub(crate) phone_number: Option<String>,
    /// What stands on a shopper's statement.
    pub(crate) shopper_statement: Option<String>,
    /// What another system calls it.
    pub(crate) external_reference: Option<String>,
}

impl StoreDetails {
    /// An active one, of which nothing else is known.
    pub(crate) fn new(id: StoreId, merchant: MerchantCode, code: StoreCode) -> StoreDetails {
        StoreDetails {
            id,
            merchant,
            code,
            description: None,
            status: StoreStatus::Active,
            address: None,
            phone_number: None,
            shopper_statement: None,
            external_reference: None,
        }
    }
}

/// Whether a store does business.
///
/// Source: POS Terminal Management API, `Store.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreStatus {
    /// Not yet.
    PreActive,
    /// It does.
    Active,
    /// Not now.
    Inactive,
    /// Not now, and it may still be changed.
    InactiveWithModifications,
    /// Never again.
    Closed,
}

impl StoreStatus {
    const ALL: [StoreStatus; 5] =
        [Self::PreActive, Self::Active, Self::Inactive, Self::InactiveWithModifications, Self::Closed];

    /// The status as it is written on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PreActive => "PreActive",
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::InactiveWithModifications => "InactiveWithModifications",
            Self::Closed => "Closed",
        }
    }

    /// Reads a status as it is written on the wire.
    pub(crate) fn parse(text: &str) -> Option<StoreStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// The one place where a terminal is.
///
/// At company level there is only inventory, in a store there is none; a merchant account with stores has only inventory
/// of its own, which is checked when a terminal comes there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In the company's inventory.
    CompanyInventory,
    /// In a merchant account's inventory.
    MerchantInventory(MerchantCode),
    /// In the store that a merchant account itself represents.
    MerchantInStore(MerchantCode),
    /// In a store.
    Store {
        /// Whose store.
        merchant: MerchantCode,
        /// Which one.
        store: StoreCode,
    },
}

impl Place {
    /// The merchant account that the terminal belongs to, if not to the company alone.
    pub(crate) fn merchant(&self) -> Option<&MerchantCode> {
        match self {
            Place::CompanyInventory => None,
            Place::MerchantInventory(merchant) | Place::MerchantInStore(merchant) => Some(merchant),
            Place::Store { merchant, .. } => Some(merchant),
        }
    }

    /// The store that it stands in, if that has a code of its own.
    pub(crate) fn store(&self) -> Option<&StoreCode> {
        match self {
            Place::Store { store, .. } => Some(store),
            _ => None,
        }
    }

    /// Whether a terminal here may be boarded.
    pub(crate) fn is_in_store(&self) -> bool {
        matches!(self, Place::MerchantInStore(_) | Place::Store { .. })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::CompanyInventory => f.write_str("company inventory"),
            Place::MerchantInventory(merchant) => write!(f, "inventory of {merchant}"),
            Place::MerchantInStore(merchant) => write!(f, "in store at {merchant}"),
            Place::Store { merchant, store } => write!(f, "store {store} of {merchant}"),
        }
    }
}

/// A terminal on its way into the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTerminal {
    /// Its name, for life.
    pub(crate) poi: PoiId,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// Where it is.
    pub(crate) place: Place,
    /// Its platform, as far as it is known before the device says it.
    pub(crate) platform: Option<String>,
    /// What its screen and the lists call it; inherited if none.
    pub(crate) display_label: Option<String>,
    /// Where it is used.
    pub(crate) country: Option<CountryCode>,
    /// Eight digits; made up if there are none.
    pub(crate) permanent_terminal_id: Option<String>,
    /// Who adds it; none for the operator of the installation.
    pub(crate) by: Option<CredentialId>,
    /// When.
    pub(crate) added: WallMs,
}

impl NewTerminal {
    /// One of which nothing else is known.
    pub(crate) fn new(poi: PoiId, company: CompanyCode, place: Place, added: WallMs) -> NewTerminal {
        NewTerminal {
            poi,
            company,
            place,
            platform: None,
            display_label: None,
            country: None,
            permanent_terminal_id: None,
            by: None,
            added,
        }
    }
}

/// A terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Its name, for life.
    pub(crate) poi: PoiId,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// Where it is.
    pub(crate) place: Place,
    /// Its token's beginnings; none while it has no token.
    pub(crate) boarded: Option<Boarded>,
    /// The settings that hold for it.
    pub(crate) settings: EffectiveSettings,
    /// Whether its store does business. A merchant account that itself represents the store does, and inventory counts as if
    /// it did: no terminal takes payments there.
    pub(crate) store_status: StoreStatus,
    /// What is still to happen to it.
    pub(crate) pending: Option<PendingAssignment>,
    /// When it left the fleet for good.
    pub(crate) retired: Option<WallMs>,
    /// As its device last said, or as it was added.
    pub(crate) platform: Option<String>,
    /// As its device last said.
    pub(crate) firmware_version: Option<String>,
    /// Telemetry as its device last sent it: a JSON object.
    pub(crate) device: Option<String>,
    /// When its last `hello` was accepted.
    pub(crate) last_hello: Option<WallMs>,
}

/// Since when a terminal has its token, and the journal that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boarded {
    /// When it got its token.
    pub(crate) at: WallMs,
    /// The journal that it has.
    pub(crate) journal: JournalId,
    /// When that journal was first boarded: what is older it can't know (E18).
    pub(crate) journal_at: WallMs,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenStanding {
    /// The terminal's.
    pub(crate) poi: PoiId,
    /// Its name.
    pub(crate) id: TokenId,
    /// What it is good for.
    pub(crate) state: TokenState,
    /// It is to take the current one's place: whoever shows it has it, so that the rotation can be ended.
    pub(crate) is_next: bool,
}

/// What a terminal's token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenState {
    /// For everything.
    Valid,
    /// For handing in results only, for 48 hours since then.
    Ended {
        /// When it ended.
        since: WallMs,
    },
}

/// A boarding code could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodeError {
    /// There is no such terminal.
    #[error("there is no {0}")]
    Missing(Entity),
    /// A terminal in inventory can't be boarded.
    #[error(
        "terminal {poi} is in inventory ({place}): assign it to a store, or to a merchant account that represents one, first"
    )]
    InInventory {
        /// The terminal.
        poi: PoiId,
        /// Where it is.
        place: Place,
    },
    /// One that speaks the Actions API boards with its key.
    #[error("terminal {0} is an Actions terminal, which connects with its API key: revoke that first")]
    ActionsTerminal(PoiId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
