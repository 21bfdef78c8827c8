//! Which fault is on.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::Fault;

thread_local! {
    /// Of this thread alone: a thread can go through one simulated run after another.
    static HERE: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Of the whole process, from its start to its end.
static EVERYWHERE: OnceLock<Fault> = OnceLock::new();

/// Puts this fault on for everything that this thread does from here on, or puts off the one that was on.
pub fn switch(fault: Option<Fault>) {
    HERE.set(fault);
}

/// Puts this fault on for the whole process, which keeps the first one that it is given.
pub fn switch_everywhere(fault: Fault) {
    EVERYWHERE.get_or_init(|| fault);
}

/// Whether this fault is on.
pub fn is(fault: Fault) -> bool {
    HERE.get().or_else(|| EVERYWHERE.get().copied()) == Some(fault)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_name_of_its_own() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(*fault));
        }
        assert!("deliver-thrice".parse::<Fault>().is_err());
    }

    #[test]
    fn a_fault_is_on_in_its_own_thread_until_it_is_put_off() {
        switch(Some(Fault::DeliverTwice));
        assert!(is(Fault::DeliverTwice) && !is(Fault::DropResume));
        assert!(!std::thread::spawn(|| is(Fault::DeliverTwice)).join().unwrap());
        switch(None);
        assert!(Fault::ALL.iter().all(|fault| !is(*fault)));
    }
}
