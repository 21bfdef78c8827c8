//! A payment terminal in software: a client of the public terminal link and of nothing else.
//!
//! [`VirtualTerminal::start`] boards it when it is new, connects it, and keeps it connected; payments are approved or
//! declined by the amount's last three digits, as test terminals do. What it must not forget is in a journal directory,
//! and the rules about it are [`relay::terminal::Terminal`]'s: this crate owns the socket, the disk, the clocks and the
//! card, and decides nothing about deliveries.
//!
//! Any number of terminals run in one process; there are no globals.

mod clock;
mod config;
mod device;
mod http;
mod journal;
mod random;
mod receipt;
mod run;
mod secret;
mod shell;
mod socket;
mod writer;

pub use config::{Config, DeviceFacts, Network, Platform};
pub use http::HttpError;
pub use journal::{JournalError, executions};
pub use random::NoRandomness;
pub use run::{Handle, StartError, State, VirtualTerminal};
pub use secret::Secret;
