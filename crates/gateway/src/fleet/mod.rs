//! Terminals and their places: looking them up, and boarding them.

mod boarding;
mod directory;

pub use boarding::BoardingCode;
pub(crate) use boarding::{Boarding, NoCode};
pub(crate) use directory::Directory;
