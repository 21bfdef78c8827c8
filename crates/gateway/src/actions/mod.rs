//! Desktops of the Actions API and their payments, without any HTTP.
//!
//! - [`desktops`]: which desktops are connected, and what is on its way to each.

pub(crate) mod desktops;
