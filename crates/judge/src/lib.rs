//! Says from the outside whether a run was right about money: from what was on the wires, what cards were charged, and what
//! the ledger holds in the end.
//!
//! It shares no type with the code that it judges, reads the messages with eyes of its own, and judges by *intention*: what
//! somebody wants to be paid for once (a SaleTransactionID) is charged at most once, whatever ServiceIDs it took.
//!
//! [`judge`] takes a whole [`Log`] and gives six [`Figures`], a [`Violation`] for each broken promise, and [`Outcomes`] for
//! a table. [`timeline`] tells a violation's story.

mod claims;
mod desktop;
mod frame;
mod log;
mod message;
mod outcomes;
mod rules;
mod run;
mod timeline;
mod verdict;
mod wires;

pub use log::{Event, Log, Outcome, Row, What};
pub use outcomes::Outcomes;
pub use rules::judge;
pub use timeline::timeline;
pub use verdict::{Figure, Figures, Verdict, Violation};
