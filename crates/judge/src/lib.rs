//! Says from the outside whether a run was right about money: from what was on the wires, what cards were charged, and what
//! the ledger holds in the end.
//!
//! It shares no type with the code that it judges, reads the messages with eyes of its own, and judges by *intention*: what
//! somebody wants to be paid for once (a SaleTransactionID) is charged at most once, whatever ServiceIDs it took.

mod log;

pub use log::{Event, Log, Outcome, Row, What};
