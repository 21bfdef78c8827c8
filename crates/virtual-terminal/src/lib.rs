//! A payment terminal in software: a client of the public terminal link and of nothing else.
//!
//! [`VirtualTerminal::start`] boards it when it is new, connects it, and keeps it connected; payments are approved or
//! declined by the amount's last three digits, as test terminals do. What it must not forget is in a journal directory,
//! and the rules about it are [`relay::terminal::Terminal`]'s. All else that it decides is [`Machine`]'s, which does no
//! I/O and can be driven without any; what is around it owns the socket, the disk and the clocks, and decides nothing.
//!
//! Any number of terminals run in one process; there are no globals.

mod actions;
mod clock;
mod config;
mod device;
mod http;
mod journal;
mod machine;
mod names;
mod random;
mod receipt;
mod run;
mod secret;
mod shell;
mod socket;
mod writer;

pub use actions::{Actions, Asked, Dialect, Habit, delivery_of};
pub use config::{Config, DeviceFacts, Network, Platform};
pub use http::HttpError;
pub use journal::{JournalError, executions};
pub use machine::{
    Action, Boarded, CallError, Machine, MaintenanceAnswer, Notice, Record, RecordedResult, Refusal,
    RemoveConfig, Report, ReportedResult, RestoreError, Setup, State,
};
pub use names::NoRandomness;
pub use run::{Handle, StartError, VirtualTerminal};
pub use secret::Secret;
