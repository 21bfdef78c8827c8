//! A credential that was proved, and what it reaches.

use std::sync::Arc;

use super::role::Roles;
use super::{Denied, Role};
use crate::store::actions::ActionsFacts;
use crate::store::{CompanyCode, Credential, CredentialId, Place, Scope};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The credential.
    pub(crate) credential: CredentialId,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// What it reaches there.
    pub(crate) scope: Scope,
    /// What it may do there.
    pub(crate) roles: Roles,
    /// What it is to the Actions API, if it may speak that.
    pub(crate) actions: Option<ActionsFacts>,
}

impl Caller {
    /// The caller again, if it has this role.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub(crate) fn require(self: Arc<Self>, role: Role) -> Result<Arc<Self>, Denied> {
        if self.roles.holds(role) { Ok(self) } else { Err(Denied::Forbidden(role)) }
    }

    /// The caller again, if it has either role; the first is the one that it is told to have.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub(crate) fn require_either(self: Arc<Self>, one: Role, other: Role) -> Result<Arc<Self>, Denied> {
        if self.roles.holds(other) { Ok(self) } else { self.require(one) }
    }

    /// Whether a merchant account of its company is in its scope. Says nothing about whose the account is.
    pub(crate) fn may_use_merchant(&self, merchant: &str) -> bool {
        match &self.scope {
            Scope::Company => true,
            Scope::Merchants(merchants) => merchants.iter().any(|m| m.as_str() == merchant),
        }
    }

    /// Whether it reaches what is at this place of its company. What belongs to no merchant account is for those who
    /// reach the whole company.
    pub(crate) fn may_use_place(&self, place: &Place) -> bool {
        match place.merchant() {
            Some(merchant) => self.may_use_merchant(merchant.as_str()),
            None => self.scope == Scope::Company,
        }
    }
}

impl From<Credential> for Caller {
    fn from(credential: Credential) -> Caller {
        // A name that this release doesn't know, as after a step back from a newer one, opens nothing.
        let roles = credential.roles.iter().filter_map(|name| name.parse::<Role>().ok()).collect();
        Caller {
            credential: credential.id,
            company: credential.company,
            scope: credential.scope,
            roles,
            actions: credential.actions,
        }
    }
}

#[cfg(test)]
mod tests {
    use relay::WallMs;

    use super::*;
    use crate::store::{MerchantCode, PasswordHash};

    fn caller(scope: Scope, roles: &[&str]) -> Arc<Caller> {
        Arc::new(Caller::from(Credential {
            id: CredentialId::parse("1").unwrap(),
            company: CompanyCode::parse("DEMO_COMPANY").unwrap(),
            scope,
            roles: roles.iter().map(|&r| r.to_owned()).collect(),
            username: "ws_1@Company.DEMO_COMPANY".to_owned(),
            password: PasswordHash([0; 32]),
            description: None,
            created: WallMs(0),
            revoked: None,
            actions: None,
        }))
    }

    #[test]
    fn a_role_opens_its_own_door_only() {
        let caller = caller(Scope::Company, &["Terminal API role", "a role of a later release"]);
        assert!(caller.clone().require(Role::TerminalApi).is_ok());
        assert_eq!(caller.require(Role::CloudDeviceApi), Err(Denied::Forbidden(Role::CloudDeviceApi)));
    }

    #[test]
    fn a_scope_is_the_company_or_some_merchant_accounts() {
        let whole = caller(Scope::Company, &[]);
        assert!(whole.may_use_merchant("ANY") && whole.may_use_place(&Place::CompanyInventory));
        let (eu, us) = ("DEMO_MERCHANT_EU", "DEMO_MERCHANT_US");
        let inventory = |merchant| Place::MerchantInventory(MerchantCode::parse(merchant).unwrap());
        let some = caller(Scope::Merchants(vec![MerchantCode::parse(eu).unwrap()]), &[]);
        assert!(some.may_use_merchant(eu) && some.may_use_place(&inventory(eu)));
        assert!(!some.may_use_merchant(us) && !some.may_use_place(&inventory(us)));
        assert!(!some.may_use_place(&Place::CompanyInventory));
    }
}
