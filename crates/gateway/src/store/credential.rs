//! API credentials: who may call which surface, for which accounts.

use relay::WallMs;

use super::actions::ActionsFacts;
use super::fleet::{code, hash};
use super::{CompanyCode, MerchantCode, Place};

code!(
    /// An API credential, such as the `ws_…` of its user name. No secret.
    CredentialId,
    "a credential ID"
);
hash!(
    /// SHA-256 of an API key.
    KeyHash
);
hash!(
    /// SHA-256 of a credential's password, which has 256 random bits: there is nothing to guess, so it needs no slow hash.
    PasswordHash
);

/// Which accounts a credential reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of its company.
    Company,
    /// These merchant accounts of its company; one at least, each once.
    Merchants(Vec<MerchantCode>),
}

impl Scope {
    /// Whether it reaches what is at this place. What is at company level is reached with the whole company only.
    pub(crate) fn reaches(&self, place: &Place) -> bool {
        self.reaches_merchant(place.merchant())
    }

    /// Whether it reaches what belongs to this merchant account, or to the company alone.
    pub(crate) fn reaches_merchant(&self, merchant: Option<&MerchantCode>) -> bool {
        match self {
            Scope::Company => true,
            Scope::Merchants(merchants) => merchant.is_some_and(|merchant| merchants.contains(merchant)),
        }
    }
}

/// A credential on its way into the store.
#[derive(Clone, Debug)]
pub(crate) struct NewCredential {
    /// Its ID.
    pub(crate) id: CredentialId,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// What it reaches.
    pub(crate) scope: Scope,
    /// What it may do: names of roles.
    pub(crate) roles: Vec<String>,
    /// Its key, unique.
    pub(crate) key: KeyHash,
    /// For HTTP Basic, unique.
    pub(crate) username: String,
    /// For HTTP Basic.
    pub(crate) password: PasswordHash,
    /// For people.
    pub(crate) description: Option<String>,
    /// When it was made.
    pub(crate) created: WallMs,
    /// What it is to the Actions API, if it may speak that.
    pub(crate) actions: Option<ActionsFacts>,
}

/// An API credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    /// Its ID.
    pub(crate) id: CredentialId,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// What it reaches.
    pub(crate) scope: Scope,
    /// What it may do: names of roles, as they were given.
    pub(crate) roles: Vec<String>,
    /// For HTTP Basic.
    pub(crate) username: String,
    /// To compare with what HTTP Basic brings.
    pub(crate) password: PasswordHash,
    /// For people.
    pub(crate) description: Option<String>,
    /// When it was made.
    pub(crate) created: WallMs,
    /// When it was ended; none while it is good.
    pub(crate) revoked: Option<WallMs>,
    /// What it is to the Actions API, if it may speak that.
    pub(crate) actions: Option<ActionsFacts>,
}
