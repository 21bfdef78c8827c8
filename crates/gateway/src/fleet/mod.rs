//! Terminals and their places: looking them up, boarding them, and what is set for them.

mod boarding;
mod countries;
mod details;
mod directory;
mod queries;
pub(crate) mod settings;

pub use boarding::BoardingCode;
pub(crate) use boarding::{Boarding, NoCode};
pub(crate) use details::{Connections, Interface, model_and_serial, printed_serial};
pub(crate) use directory::Directory;
pub(crate) use queries::{Described, Queries, Unreached};
pub(crate) use settings::{LevelName, NoSettings, Settings};
