//! Desktops of the Actions API and their payments, without any HTTP.
//!
//! - [`deliveries`]: what a terminal's socket has to know of its deliveries.
//! - [`desktops`]: which desktops are connected, and what is on its way to each.
//! - [`payments`]: each payment of a desktop from its beginning to the moment at which the desktop knows its end.
//! - [`terminals`]: which terminals a desktop may use, and telling it that one came or went.

pub(crate) mod deliveries;
pub(crate) mod desktops;
pub(crate) mod payments;
pub(crate) mod terminals;
