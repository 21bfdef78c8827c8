//! Terminals and their places: looking them up, boarding and assigning them, and their settings.

mod activity;
mod assignments;
mod boarding;
mod countries;
mod details;
mod directory;
mod keeper;
mod queries;
pub(crate) mod settings;
mod upkeep;

pub(crate) use activity::note_activity;
pub(crate) use assignments::Assignments;
pub use boarding::BoardingCode;
pub(crate) use boarding::{Boarding, NoCode};
pub(crate) use details::{Connections, Interface, model_and_serial, printed_serial};
pub(crate) use directory::Directory;
pub(crate) use keeper::{Keeper, placement, told_settings};
pub(crate) use queries::{Described, Queries, Unreached};
pub(crate) use settings::{LevelName, NoSettings, Settings};
pub(crate) use upkeep::{NotDone, Upkeep};
