//! What a credential may do: roles by the names that people know them under.

use std::fmt;
use std::str::FromStr;

/// A role of an API credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opens `/sync`, `/async` and `/connectedTerminals`.
    TerminalApi,
    /// Opens the four calls of the Cloud device API, and what [`Role::TerminalApi`] opens.
    CloudDeviceApi,
    /// The POS Terminal Management API.
    TerminalManagementApi,
    /// Reads terminal actions.
    TerminalActionsRead,
    /// Makes terminal actions, boarding codes among them.
    TerminalActionsWrite,
    /// Terminal settings.
    TerminalSettings,
    /// Assigns terminals.
    AssignTerminal,
    /// Stores.
    Stores,
    /// Webhooks.
    Webhooks,
    /// API credentials.
    ApiCredentials,
    /// Reads accounts.
    AccountRead,
    /// A desktop of the Actions API.
    ActionsDesktop,
    /// A terminal of the Actions API.
    ActionsTerminal,
    /// Virtual terminals.
    Simulator,
}

impl Role {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [Role; 14] = [
        Role::TerminalApi,
        Role::CloudDeviceApi,
        Role::TerminalManagementApi,
        Role::TerminalActionsRead,
        Role::TerminalActionsWrite,
        Role::TerminalSettings,
        Role::AssignTerminal,
        Role::Stores,
        Role::Webhooks,
        Role::ApiCredentials,
        Role::AccountRead,
        Role::ActionsDesktop,
        Role::ActionsTerminal,
        Role::Simulator,
    ];

    /// The roles of the Management API.
    pub const MANAGEMENT: [Role; 8] = [
        Role::TerminalActionsRead,
        Role::TerminalActionsWrite,
        Role::TerminalSettings,
        Role::AssignTerminal,
        Role::Stores,
        Role::Webhooks,
        Role::ApiCredentials,
        Role::AccountRead,
    ];

    /// Its name, as it is stored and shown.
    ///
    /// Source: the role names of the Terminal API, Cloud device API, POS Terminal Management API and Management API.
    pub fn name(self) -> &'static str {
        match self {
            Role::TerminalApi => "Terminal API role",
            Role::CloudDeviceApi => "Cloud Device API role",
            Role::TerminalManagementApi => "POS Terminal Management API role",
            Role::TerminalActionsRead => "Management API—Terminal actions read",
            Role::TerminalActionsWrite => "Management API—Terminal actions write",
            Role::TerminalSettings => "Management API—Terminal settings read and write",
            Role::AssignTerminal => "Management API—Assign Terminal",
            Role::Stores => "Management API—Stores read and write",
            Role::Webhooks => "Management API—Webhooks read and write",
            Role::ApiCredentials => "Management API—API credentials read and write",
            Role::AccountRead => "Management API—Account read",
            Role::ActionsDesktop => "Actions desktop role",
            Role::ActionsTerminal => "Actions terminal role",
            Role::Simulator => "Simulator role",
        }
    }

    /// A short name without blanks, to be typed.
    pub fn slug(self) -> &'static str {
        match self {
            Role::TerminalApi => "terminal-api",
            Role::CloudDeviceApi => "cloud-device-api",
            Role::TerminalManagementApi => "terminal-management-api",
            Role::TerminalActionsRead => "terminal-actions-read",
            Role::TerminalActionsWrite => "terminal-actions-write",
            Role::TerminalSettings => "terminal-settings",
            Role::AssignTerminal => "assign-terminal",
            Role::Stores => "stores",
            Role::Webhooks => "webhooks",
            Role::ApiCredentials => "api-credentials",
            Role::AccountRead => "account-read",
            Role::ActionsDesktop => "actions-desktop",
            Role::ActionsTerminal => "actions-terminal",
            Role::Simulator => "simulator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no role")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    /// Takes the whole name or the short one.
    fn from_str(text: &str) -> Result<Role, RoleError> {
        let named = |role: &Role| role.name() == text || role.slug() == text;
        Role::ALL.into_iter().find(named).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles(u32);

impl Roles {
    /// Whether it holds this one.
    pub(crate) fn holds(self, role: Role) -> bool {
        self.0 & Roles::bit(role) != 0
    }

    fn bit(role: Role) -> u32 {
        1 << (role as u32)
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Roles {
        Roles(roles.into_iter().fold(0, |bits, role| bits | Roles::bit(role)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_found_by_either_of_its_names() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(role.slug().parse(), Ok(role));
        }
        assert!("terminal api role".parse::<Role>().is_err());
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let roles: Roles = [Role::TerminalApi, Role::Simulator].into_iter().collect();
        assert!(roles.holds(Role::TerminalApi) && roles.holds(Role::Simulator));
        assert!(Role::MANAGEMENT.iter().all(|role| !roles.holds(*role)));
    }
}
