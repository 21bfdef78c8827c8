//! What a store is beside its code.

use relay::WallMs;
use serde::{Deserialize, Serialize};

use super::Change;
use crate::store::fleet::code;
use crate::store::{CompanyCode, CredentialId, MerchantCode, Scope, StoreCode, StoreStatus};

code!(
    /// The generated ID of a store: `ST` and 22 letters and digits.
    StoreId,
    "a store ID"
);

/// Where a store is. All parts are optional.
///
/// Source: POS Terminal Management API, `Address`; the third line is the Management API's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Address {
    /// First line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) street_address: Option<String>,
    /// Second line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) street_address2: Option<String>,
    /// Third line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) street_address3: Option<String>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) city: Option<String>,
    /// Postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postal_code: Option<String>,
    /// State or province.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_or_province: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country_code: Option<String>,
}

/// Changes to a store's details.
#[derive(Clone, Debug, Default)]
pub(crate) struct StorePatch {
    /// Whether it does business; none to leave it.
    pub(crate) status: Option<StoreStatus>,
    /// Its name, for people.
    pub(crate) description: Change<String>,
    /// Where it is, as a whole.
    pub(crate) address: Change<Address>,
    /// E.164.
    pub(crate) phone_number: Change<String>,
    /// What stands on a shopper's statement.
    pub(crate) shopper_statement: Change<String>,
    /// What another system calls it.
    pub(crate) external_reference: Change<String>,
}

/// A call to change a store's details.
#[derive(Clone, Debug)]
pub(crate) struct StoreChange {
    /// Whose store.
    pub(crate) company: CompanyCode,
    /// What the caller reaches.
    pub(crate) scope: Scope,
    /// Whose store.
    pub(crate) merchant: MerchantCode,
    /// Which one.
    pub(crate) store: StoreCode,
    /// How.
    pub(crate) patch: StorePatch,
    /// Who asks; none for the operator of the installation.
    pub(crate) by: Option<CredentialId>,
    /// When.
    pub(crate) at: WallMs,
}
