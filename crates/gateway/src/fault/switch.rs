//! Which fault is on: one for the whole process, whose work goes from thread to thread.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::Fault;

static EVERYWHERE: OnceLock<Fault> = OnceLock::new();

/// Puts this fault on for the whole process, which keeps the first one that it is given.
pub fn switch_everywhere(fault: Fault) {
    EVERYWHERE.get_or_init(|| fault);
}

/// Whether this fault is on.
pub fn is(fault: Fault) -> bool {
    EVERYWHERE.get() == Some(&fault)
}

impl Fault {
    /// Every one of them.
    pub const ALL: &[Fault] =
        &[Fault::AnswerBeforeCommit, Fault::WaiterNotRemoved, Fault::WrongWaiterWoken, Fault::EpochNotPassed];

    /// Its name, in lower case with dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::AnswerBeforeCommit => "answer-before-commit",
            Fault::WaiterNotRemoved => "waiter-not-removed",
            Fault::WrongWaiterWoken => "wrong-waiter-woken",
            Fault::EpochNotPassed => "epoch-not-passed",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no fault of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Fault, UnknownFault> {
        let named = Fault::ALL.iter().find(|fault| fault.name() == name);
        named.copied().ok_or_else(|| UnknownFault(name.into()))
    }
}
