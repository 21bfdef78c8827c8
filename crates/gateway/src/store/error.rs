//! What can go wrong with the store, one type for each kind of caller.

use std::path::PathBuf;

use nexo::PoiId;

use super::actions::{ActionsDeviceId, Group};
use super::fleet_store::ImportProblem;
use super::{CompanyCode, CredentialId, MerchantCode, Place, StoreCode};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The database failed. "Not found" is not among it: that is `Ok(None)`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Too much waits already. Nothing was taken: try again shortly.
    #[error("the database has too much to do: nothing was changed, try again shortly")]
    Full,
    /// Another process holds the database. Try again shortly.
    #[error("another process holds the database: try again shortly")]
    Busy,
    /// The disk, or the file, takes nothing more. Works again once that is remedied.
    #[error("the database can't be written, its disk is full or read-only, or it fails: {0}")]
    NoRoom(Source),
    /// The store has stopped.
    #[error("the database is closed")]
    Closed,
    /// A row holds what this program never writes there. Somebody changed it, or the file is damaged.
    #[error("{table}.{column} of {row} is not valid: {problem}")]
    BadData {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row, by its key.
        row: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// Anything else.
    #[error("the database failed: {0}")]
    Database(Source),
}

/// A database could not be opened. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The directory is not there.
    #[error("{} can't be made: {} is no directory. Make it, or name another place", path.display(), directory.display())]
    NoDirectory {
        /// The database.
        path: PathBuf,
        /// Where it should be.
        directory: PathBuf,
    },
    /// File or directory may not be written.
    #[error(
        "{} can't be written: {problem}. The directory and every file in it that begins with that name must be writable for the user who runs tillgate",
        path.display()
    )]
    NotWritable {
        /// The database.
        path: PathBuf,
        /// The system's own words.
        problem: String,
    },
    /// A file of another kind, or damaged beyond reading.
    #[error(
        "{} is not a Tillgate database, or it is damaged: {problem}. Restore a backup, or name another file; tillgate has changed nothing in it",
        path.display()
    )]
    NotOurs {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer release has written it.
    #[error(
        "{} has version {found}, and this tillgate knows versions up to {known}. Start the release that wrote it, or a newer one",
        path.display()
    )]
    NewerVersion {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Another process holds it.
    #[error("{} is held by another process. Stop that one, or try again", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{} can't be opened: {problem}", path.display())]
    Failed {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Something that has a name of its own in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entity {
    /// A company account.
    Company(CompanyCode),
    /// A merchant account.
    MerchantAccount(MerchantCode),
    /// A store of a merchant account.
    Store(MerchantCode, StoreCode),
    /// A terminal.
    Terminal(PoiId),
    /// An API credential.
    Credential(CredentialId),
    /// The user name of an API credential.
    Username(String),
    /// An API key, which is not shown.
    Key,
    /// The API credential of an Actions terminal.
    KeyOfTerminal(PoiId),
    /// A device ID of the Actions API.
    Device(ActionsDeviceId, Group),
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entity::Company(code) => write!(f, "company account {code}"),
            Entity::MerchantAccount(code) => write!(f, "merchant account {code}"),
            Entity::Store(merchant, code) => write!(f, "store {code} of merchant account {merchant}"),
            Entity::Terminal(poi) => write!(f, "terminal {poi}"),
            Entity::Credential(id) => write!(f, "API credential {id}"),
            Entity::Username(name) => write!(f, "user name {name}"),
            Entity::Key => f.write_str("API key"),
            Entity::KeyOfTerminal(poi) => write!(f, "API credential of Actions terminal {poi}"),
            Entity::Device(device, group) => write!(f, "device {device} in group {} ({group})", group.id()),
        }
    }
}

/// The fleet can't be changed that way. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    /// The name is taken.
    #[error("{0} already exists")]
    AlreadyExists(Entity),
    /// The POIID was a terminal's that was retired, and stays its own.
    #[error("terminal {0} was retired, and a POIID is not used again")]
    Retired(PoiId),
    /// What it should belong to is not there.
    #[error("there is no {0}")]
    Missing(Entity),
    /// A merchant account with stores has no in-store terminals of its own.
    #[error("merchant account {0} has stores: assign the terminal to one of them, or to the inventory")]
    MerchantHasStores(MerchantCode),
    /// The first store of a merchant account that represents a store: its in-store terminals have to be moved before.
    #[error(
        "merchant account {merchant} has {count} in-store terminals of its own; move them to its inventory first: {}",
        listed(.first, *.count)
    )]
    HoldsInStoreTerminals {
        /// The merchant account.
        merchant: MerchantCode,
        /// How many it has.
        count: u64,
        /// The first of them by POIID, at most [`FleetError::LISTED_MAX`].
        first: Vec<PoiId>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FleetError {
    /// Terminals that an error names: enough to go on with, and a text that still fits a screen.
    pub(crate) const LISTED_MAX: usize = 20;
}

fn listed(first: &[PoiId], count: u64) -> String {
    let mut text = first.iter().map(PoiId::as_str).collect::<Vec<_>>().join(", ");
    if u64::try_from(first.len()).is_ok_and(|named| named < count) {
        text.push_str(", …");
    }
    text
}

/// Terminals could not be assigned. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssignError {
    /// Some of them are not there, or out of reach, or retired: each once, in the order in which they were given.
    #[error("Terminals not found: {}", .0.iter().map(PoiId::as_str).collect::<Vec<_>>().join(", "))]
    NotFound(Vec<PoiId>),
    /// The target is not there.
    #[error("there is no {0}")]
    Missing(Entity),
    /// The target is there, and the caller doesn't reach it.
    #[error("this credential may not assign terminals to that place: {0}")]
    OutOfScope(Place),
    /// A merchant account with stores has no in-store terminals of its own.
    #[error("merchant account {0} has stores: assign the terminal to one of them, or to the inventory")]
    MerchantHasStores(MerchantCode),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FleetError> for AssignError {
    fn from(error: FleetError) -> AssignError {
        match error {
            FleetError::AlreadyExists(entity) | FleetError::Missing(entity) => AssignError::Missing(entity),
            FleetError::Retired(poi) => AssignError::NotFound(vec![poi]),
            FleetError::MerchantHasStores(merchant) | FleetError::HoldsInStoreTerminals { merchant, .. } => {
                AssignError::MerchantHasStores(merchant)
            }
            FleetError::Store(error) => AssignError::Store(error),
        }
    }
}

/// An import can't go on. What this call was to write was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// There is no such company.
    #[error("there is no {0}")]
    Missing(Entity),
    /// Another one is running.
    #[error("another import is running: try again when it has ended")]
    Running,
    /// What an import left that was broken off is being removed: call again at once.
    #[error("what an earlier import left behind is being removed: try again")]
    Cleaning,
    /// It was finished, or given up because it was silent for long.
    #[error("this import has ended: start it again")]
    Ended,
    /// These lines are wrong, at most [`ImportError::LISTED_MAX`] of them.
    #[error("{}", .0.iter().map(ImportProblem::to_string).collect::<Vec<_>>().join("; "))]
    Rows(Vec<ImportProblem>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    /// Lines that an error names: it only comes up when something was changed since they were checked.
    pub(crate) const LISTED_MAX: usize = 20;
}

/// A terminal could not be boarded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BoardError {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] BoardRefused),
    /// The database failed. The same code may be tried again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a terminal may not be boarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BoardRefused {
    /// Not the terminal's code, or no such terminal: who asks must not learn which. It was counted.
    #[error("this is not the terminal's boarding code")]
    WrongCode,
    /// Too many wrong codes, for this terminal or from this address.
    #[error("too many wrong boarding codes: try again in {seconds_left} s")]
    Locked {
        /// Until then everything is refused, the right code too.
        seconds_left: u32,
    },
    /// The code is right and too old.
    #[error("the boarding code has expired: make a new one")]
    CodeExpired,
    /// The code is right and was used.
    #[error("the boarding code was used already: make a new one")]
    CodeUsed,
    /// A terminal in inventory can't be boarded.
    #[error(
        "the terminal is in inventory: assign it first, to a store or to a merchant account that represents one"
    )]
    InInventory,
}

/// An API credential can't be made that way. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The ID, the user name or the key is in use.
    #[error("{0} already exists")]
    AlreadyExists(Entity),
    /// The company has no such account.
    #[error("there is no {0}")]
    Missing(Entity),
    /// A scope of no merchant account at all.
    #[error("a scope of merchant accounts names one at least")]
    EmptyScope,
    /// A group of the Actions API that the scope does not reach.
    #[error("group {id} ({0}) is not at a merchant account that the credential is for", id = .0.id())]
    GroupOutOfScope(Group),
    /// A merchant account with stores is no group itself.
    #[error("merchant account {0} has stores, which are its groups: name one of them")]
    MerchantHasStores(MerchantCode),
    /// A terminal can only be at one place.
    #[error("terminal {poi} is somewhere else: {place}")]
    TerminalElsewhere {
        /// The terminal.
        poi: PoiId,
        /// Where it is.
        place: Place,
    },
    /// A terminal that has left the fleet does not come back.
    #[error("terminal {0} was retired: name another POIID")]
    RetiredTerminal(PoiId),
    /// A terminal is either a link terminal or an Actions terminal.
    #[error("terminal {0} is boarded as a link terminal: name another POIID")]
    BoardedTerminal(PoiId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FleetError> for CredentialError {
    fn from(error: FleetError) -> CredentialError {
        match error {
            FleetError::AlreadyExists(entity) => CredentialError::AlreadyExists(entity),
            FleetError::Missing(entity) => CredentialError::Missing(entity),
            FleetError::Retired(poi) => CredentialError::RetiredTerminal(poi),
            FleetError::MerchantHasStores(merchant) | FleetError::HoldsInStoreTerminals { merchant, .. } => {
                CredentialError::MerchantHasStores(merchant)
            }
            FleetError::Store(error) => CredentialError::Store(error),
        }
    }
}
