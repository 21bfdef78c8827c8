//! The relay with no sockets: a gateway's desk, a terminal, and a store that is slow, late or broken when told so.
//!
//! Each test is named by the rule that it proves. The property tests in `shuffled` hold the invariants of the whole over
//! random interleavings; `actions` does the same with a terminal of the Actions dialect.

#[cfg(test)]
mod message;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod terminal;

#[cfg(test)]
mod actions;
#[cfg(test)]
mod admission;
#[cfg(test)]
mod answering;
#[cfg(test)]
mod barred;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod documented;
#[cfg(test)]
#[cfg(feature = "faults")]
mod faults;
#[cfg(test)]
#[cfg(feature = "faults")]
mod faults_actions;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod receipt;
#[cfg(test)]
mod shuffled;
#[cfg(test)]
mod status;
