//! Deliberate faults of the shell around the rules; those of the rules themselves are in [`relay::fault`].
//!
//! None of them is in a build without the feature `faults`: there [`is`] is the constant `false`, and neither names nor a
//! switch exist.

#[cfg(feature = "faults")]
mod switch;

#[cfg(feature = "faults")]
pub use switch::{UnknownFault, is, switch_everywhere};

/// One way in which the shell could be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "faults", derive(Debug))]
pub enum Fault {
    /// E1, E23: the store replies before the transaction is on disk, and commits it a while later.
    AnswerBeforeCommit,
    /// E12: a POS that hangs up stays among those who wait, and keeps a place there from others.
    WaiterNotRemoved,
    /// An answer goes to whoever has waited longest at its terminal's desk.
    WrongWaiterWoken,
    /// E14: the end of a socket counts as the end of the link that is present.
    EpochNotPassed,
}

/// Whether this fault is on: never, in a build without the feature `faults`.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn is(_: Fault) -> bool {
    false
}
