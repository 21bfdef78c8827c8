//! The gateway from outside: real sockets, a real database, real virtual terminals.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod actions_both_ends;
mod actions_door;
mod actions_http;
mod actions_terminal;
mod actions_terminals;
mod boarding;
mod card_data;
mod classic_answers;
mod closes;
mod cloud_device;
mod connected_terminals;
mod desktop;
mod desktops;
mod exchanges;
mod http;
mod late_successes;
mod limits;
mod parts;
mod published_schemas;
mod scripted_terminal;
mod slow_clients;
mod support;
mod terminal_management;
mod terminal_management_refusals;
mod terminal_settings;
mod terminal_upkeep;
mod tls;
mod unread_bodies;
