//! The server: everything of Tillgate that touches the world.
//!
//! In: the surfaces that Sale systems, terminals and fleet software call. Mid: exchanges, presence, the fleet, access; no
//! HTTP there. Out: the store. [`start`] wires them.

#![expect(dead_code, reason = "the surfaces that use the fleet's part of the store are still being built")]

pub mod fault;

mod clock;
mod ids;
mod secrets;

mod http;

mod actions_api;
mod management_api;
mod sale_api;
mod terminal_link;
mod terminal_management_api;

mod access;
mod actions;
mod exchange;
mod fleet;
mod presence;

mod store;

mod admin;
mod config;
mod limits;
mod serve;

pub use access::{Role, RoleError};
pub use admin::{
    ActionsKey, Admin, AdminError, BadLine, FleetRow, Import, ImportCheck, ListedActions, ListedCredential,
    Location, NewKey, ROWS_MAX, SettingsLevel, ShownCode, ShownCredential, ShownSetting,
};
pub use config::{ActionsSettings, Config, ConfigError, Environment, TerminalManagementSettings, Tls};
pub use fleet::BoardingCode;
pub use http::host::{HostName, HostNameError};
pub use http::origin::{Origin, OriginError};
pub use http::patience::Patience;
pub use http::peer::{Cidr, CidrError};
pub use http::tls::TlsError;
pub use ids::{ApiKey, ApiSecret, Password};
pub use limits::Limits;
pub use serve::{Running, StartError, start};
pub use store::fleet_store::{Change, SettingsPatch, V1Booleans};
