//! The rules that make Tillgate right about money, as pure state machines.
//!
//! Nothing here does I/O, reads a clock or draws a random number: every input is an argument with the time of it, and
//! every output is drained by the caller, who owns the sockets, the disk and the tasks. The rules are named E1-E26 and
//! T1-T8, as in `docs/exchange-rules.md` and `docs/terminal-link.md`.

pub mod fault;

mod frame;
mod id;
mod link;
mod link_token;
mod time;

mod presence;

pub mod exchange;
pub mod ledger;
pub mod model;

pub mod terminal;

pub mod actions;

pub use frame::{
    BODY_LIMIT, ChangedSettings, DEVICE_MAX, Deliver, FRAME_OVERHEAD, FrameError, Heartbeat, Hello,
    Placement, REASON_MAX, RESUME_MAX, ResultMessage, SUBPROTOCOL, Settings, Telemetry, ToGateway,
    ToTerminal, Welcome,
};
pub use id::{
    CallId, ChangeId, ConnectionId, DeliveryId, Epoch, ExchangeId, IdError, JournalId, NodeId, ProcessId,
};
pub use link::{
    Backoff, CloseReason, GatewayLink, HANDSHAKE_TIMEOUT, LinkAction, Liveness, PROBE_TIMEOUT, Reconnect,
    TerminalEnd,
};
pub use link_token::LinkToken;
pub use presence::{GRACE, Lease, Presence, Status};
pub use time::{Now, WallMs};
