//! The gateway from outside: real sockets, a real database, real virtual terminals.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod boarding;
mod connected_terminals;
mod http;
mod sale_api;
mod support;
mod tls;
