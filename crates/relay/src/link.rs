//! One terminal link, both ends: handshake, keepalive, reasons to close, and what a terminal does after one.
//!
//! A link is found dead by silence alone: an end that hears nothing for `intervalSeconds` pings, and closes 4408 when
//! nothing arrives for `timeoutSeconds` more. Anything that arrives is a sign of life. An end that has closed reads
//! nothing more.

mod close;
mod gateway_end;
mod keepalive;
mod reconnect;
mod terminal_end;

pub use close::CloseReason;
pub use gateway_end::GatewayLink;
pub use keepalive::{HANDSHAKE_TIMEOUT, LinkAction, Liveness, PROBE_TIMEOUT};
pub use reconnect::{Backoff, Reconnect};
pub use terminal_end::TerminalEnd;
