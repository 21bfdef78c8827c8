//! What a terminal shows of itself.

use relay::ProcessId;

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
