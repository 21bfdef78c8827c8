//! Terminals and their places: looking them up, and boarding them.

mod boarding;
#[cfg_attr(not(test), expect(dead_code, reason = "the POS Terminal Management API is next"))]
mod countries;
#[cfg_attr(not(test), expect(dead_code, reason = "the POS Terminal Management API is next"))]
mod details;
mod directory;

pub use boarding::BoardingCode;
pub(crate) use boarding::{Boarding, NoCode};
pub(crate) use directory::Directory;
