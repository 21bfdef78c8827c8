//! What a terminal shows of itself.

use relay::{ProcessId, Settings};

/// What a virtual terminal is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It shows its boarding code.
    Boarding,
    /// It opens a link.
    Connecting,
    /// The gateway has welcomed it.
    Online,
    /// It has no link and will try again by itself.
    Waiting {
        /// Why it has none.
        why: String,
    },
    /// WebSockets are switched off for it: it asks by maintenance calls, and connects when they are on.
    SwitchedOff,
    /// It has no link and needs a person.
    Stopped {
        /// What the person has to know.
        why: String,
    },
    /// Another process is this terminal now, and this one leaves it alone.
    Replaced {
        /// The other process; the Actions dialect does not name it.
        winner: Option<ProcessId>,
    },
}

/// Something that has happened to a virtual terminal, for people who look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Its settings are these from now on.
    Settings(Settings),
    /// It stands elsewhere from now on.
    Moved {
        /// Its merchant account.
        merchant_account: String,
        /// Its store; none where the merchant account itself represents one.
        store: Option<String>,
    },
    /// It is to remove its configuration.
    RemovesConfig {
        /// Something runs, and is finished first.
        waits: bool,
    },
    /// Its configuration is removed.
    ConfigRemoved,
    /// It has a new token.
    NewToken,
}
