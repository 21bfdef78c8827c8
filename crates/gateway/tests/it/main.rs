//! The gateway from outside: real sockets, a real database, real virtual terminals.

mod access;
mod boarding;
mod connected_terminals;
mod http;
mod sale_api;
mod support;
