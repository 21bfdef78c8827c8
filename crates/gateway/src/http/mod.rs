//! What all surfaces share: sockets, request bodies, and the two forms in which errors are written.

pub(crate) mod body;
pub(crate) mod host;
pub(crate) mod listener;
pub(crate) mod origin;
pub(crate) mod patience;
pub(crate) mod peer;
pub(crate) mod problem;
pub(crate) mod socket;
pub(crate) mod tls;
mod unread;
mod write_stall;
