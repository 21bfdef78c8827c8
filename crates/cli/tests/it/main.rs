//! The program from outside: the real binary, its output, its exit status, and what it leaves behind.
//!
//! From `bytes` on, real gateways and terminals are killed, frozen and cut off from each other.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod demo;
mod errors;
mod fault_names;
mod installation;
mod program;

mod actions_wire;
mod dice;
mod fleet_files;
mod gateway_process;
mod odd_json;
mod pos;
mod process;
mod proxy;
mod shop;
mod terminal_process;
mod websocket;
mod wire_terminal;

mod actions_page;
mod actions_terminals;
mod bytes;
mod chaos;
mod close_codes;
mod desktops;
mod disks;
#[cfg(feature = "faults")]
mod faults;
mod fleet_stories;
mod half_open;
mod interruptions;
mod journals;
mod presence;
mod stories;
