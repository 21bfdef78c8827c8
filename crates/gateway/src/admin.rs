//! What the operator of an installation does to it without asking anybody's leave: accounts, terminals, keys.
//!
//! Used by the program's own commands, on the machine that holds the database. It checks nothing but what the store
//! checks; who may run it is a matter of who may read the file.

mod actions;
mod fleet;

use std::sync::Arc;

use nexo::PoiId;
use relay::WallMs;

use crate::access::Role;
use crate::clock::{Clock, rfc3339};
use crate::config::Config;
use crate::fleet::{Boarding, BoardingCode};
use crate::ids::{self, ApiKey, ApiSecret, Password};
use crate::secrets::Secrets;
use crate::serve::{StartError, open_store};
use crate::store::actions::ActionsFacts;
use crate::store::fleet_store::{Change, Level, SettingsChange, SettingsPatch};
use crate::store::{
    CodeError, Company, CompanyCode, Credential, CredentialError, CredentialId, FleetError, KeyHash,
    MerchantAccount, MerchantCode, NewCredential, NewTerminal, PasswordHash, Place, Scope, Store, StoreCode,
    StoreDetails, StoreError,
};

pub use actions::{ActionsKey, ListedActions};
pub use fleet::{BadLine, FleetRow, Import, ImportCheck, ROWS_MAX, SettingsLevel, ShownSetting};

/// An installation, by its database.
#[derive(Clone, Debug)]
pub struct Admin {
    store: Arc<dyn Store>,
    boarding: Arc<Boarding>,
    secrets: Arc<Secrets>,
    clock: Clock,
}

/// Where a terminal is to be. The four places that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'a> {
    /// In the company's inventory.
    CompanyInventory,
    /// In the inventory of this merchant account.
    MerchantInventory(&'a str),
    /// In the store that this merchant account itself represents.
    MerchantInStore(&'a str),
    /// In a store of a merchant account.
    Store {
        /// The merchant account.
        merchant: &'a str,
        /// The store.
        store: &'a str,
    },
}

/// A credential to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewKey<'a> {
    /// Whose it will be.
    pub company: &'a str,
    /// The merchant accounts that it reaches; none for the whole company.
    pub merchants: &'a [String],
    /// What it may do.
    pub roles: &'a [Role],
    /// For people.
    pub description: Option<&'a str>,
}

/// A credential that was made, with what is never shown again.
#[derive(Clone, Debug)]
pub struct ShownCredential {
    /// Its ID, to revoke it by.
    pub id: String,
    /// For HTTP Basic: `ws_<id>@Company.<company>`.
    pub username: String,
    /// For HTTP Basic.
    pub password: Password,
    /// For `x-api-key`.
    pub api_key: ApiKey,
    /// What a desktop of the Actions API signs HTTP requests with.
    pub api_secret: Option<ApiSecret>,
}

/// A credential as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCredential {
    /// Its ID.
    pub id: String,
    /// Names of its roles.
    pub roles: Vec<String>,
    /// The merchant accounts that it reaches; none for the whole company.
    pub merchants: Vec<String>,
    /// For people.
    pub description: Option<String>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was ended, RFC 3339.
    pub revoked: Option<String>,
    /// What it is to the Actions API, if it may speak that.
    pub actions: Option<ListedActions>,
}

/// A boarding code that was made, with what is never shown again.
#[derive(Clone, Debug)]
pub struct ShownCode {
    /// The code.
    pub code: BoardingCode,
    /// Until when it is good, RFC 3339.
    pub expires: String,
}

/// Something that could not be done. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// It is there already.
    #[error("{0}")]
    AlreadyExists(String),
    /// What it would belong to, or what it is about, is not there.
    #[error("{0}")]
    Missing(String),
    /// A text that can't be what it should be, or a change that the fleet's rules don't allow.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("{0}")]
    Store(String),
}

impl Admin {
    /// Opens the database that this configuration names, and makes it if there is none. A gateway may be running on it.
    ///
    /// # Errors
    /// [`StartError`] about the data directory or the database.
    pub async fn open(config: &Config) -> Result<Admin, StartError> {
        let clock = Clock::start();
        let secrets = Arc::new(Secrets::new(config));
        Ok(Admin::new(open_store(config, clock).await?, clock, secrets))
    }

    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, secrets: Arc<Secrets>) -> Admin {
        let boarding = Arc::new(Boarding::new(store.clone(), clock));
        Admin { store, boarding, secrets, clock }
    }

    /// Whether there is any company account: without one, no key and no terminal can be.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn has_companies(&self) -> Result<bool, AdminError> {
        Ok(self.store.has_companies().await?)
    }

    /// Makes a company account. What is switched off by default stays so: see [`Admin::switch_on`].
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_company(&self, company: &str) -> Result<(), AdminError> {
        Ok(self.store.create_company(Company::new(code(CompanyCode::parse(company))?)).await?)
    }

    /// Switches the Terminal API and WebSockets on for a company, where nothing else is set for a part of it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn switch_on(&self, company: &str) -> Result<(), AdminError> {
        let company = code(CompanyCode::parse(company))?;
        let change = SettingsChange {
            level: Level::Company(company.clone()),
            company: company.clone(),
            scope: Scope::Company,
            patch: SettingsPatch {
                web_sockets_enabled: Change::Set(true),
                terminal_api_enabled: Change::Set(true),
                ..SettingsPatch::default()
            },
            by: None,
            at: self.now(),
        };
        match self.store.change_settings(change).await? {
            Some(_) => Ok(()),
            None => Err(AdminError::Missing(format!("there is no company account {company}"))),
        }
    }

    /// Makes a merchant account of a company.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_merchant_account(&self, company: &str, merchant: &str) -> Result<(), AdminError> {
        let account = MerchantAccount {
            code: code(MerchantCode::parse(merchant))?,
            company: code(CompanyCode::parse(company))?,
            description: None,
        };
        Ok(self.store.create_merchant_account(account).await?)
    }

    /// Makes an active store of a merchant account.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_store(&self, merchant: &str, store: &str) -> Result<(), AdminError> {
        let (merchant, store) = (code(MerchantCode::parse(merchant))?, code(StoreCode::parse(store))?);
        let store = StoreDetails::new(ids::store_id(), merchant, store);
        Ok(self.store.create_store(store).await?)
    }

    /// Adds a terminal, not boarded.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn add_terminal(&self, company: &str, poi: &PoiId, at: Location<'_>) -> Result<(), AdminError> {
        let company = code(CompanyCode::parse(company))?;
        let terminal = NewTerminal::new(poi.clone(), company, place(at)?, self.now());
        Ok(self.store.add_terminal(terminal).await?)
    }

    /// Where a terminal is, in words, if it is not at this place of this company; none also when it is nowhere.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn elsewhere(
        &self,
        company: &str,
        poi: &PoiId,
        at: Location<'_>,
    ) -> Result<Option<String>, AdminError> {
        let (company, at) = (code(CompanyCode::parse(company))?, place(at)?);
        let terminal = self.store.terminal(poi).await?;
        let elsewhere = terminal.filter(|terminal| terminal.company != company || terminal.place != at);
        Ok(elsewhere.map(|terminal| format!("{}, company account {}", terminal.place, terminal.company)))
    }

    /// Makes a boarding code for a terminal that is in store, which ends any earlier code of it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn make_boarding_code(&self, poi: &PoiId) -> Result<ShownCode, AdminError> {
        let made = self.boarding.make_code(poi).await?;
        Ok(ShownCode { code: made.code, expires: rfc3339(made.expires) })
    }

    /// Makes a credential with new secrets. One for the Actions API is made by [`Admin::create_actions_credential`].
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_credential(&self, new: NewKey<'_>) -> Result<ShownCredential, AdminError> {
        self.create_credential_with(new, ApiKey::fresh(), Password::fresh()).await
    }

    /// Makes a credential with secrets that were shown before, as those of a demo whose database was made anew.
    ///
    /// # Errors
    /// [`AdminError`]; `AlreadyExists` also when the key is in use.
    pub async fn create_credential_with(
        &self,
        new: NewKey<'_>,
        api_key: ApiKey,
        password: Password,
    ) -> Result<ShownCredential, AdminError> {
        actions::check_roles(new.roles, None)?;
        self.keep_credential(name_of_new_credential()?, new, api_key, password, None).await
    }

    async fn keep_credential(
        &self,
        id: CredentialId,
        new: NewKey<'_>,
        api_key: ApiKey,
        password: Password,
        actions: Option<ActionsFacts>,
    ) -> Result<ShownCredential, AdminError> {
        let username = format!("{id}@Company.{}", new.company);
        let merchants: Vec<_> =
            new.merchants.iter().map(|m| code(MerchantCode::parse(m))).collect::<Result<_, _>>()?;
        let credential = NewCredential {
            id: id.clone(),
            company: code(CompanyCode::parse(new.company))?,
            scope: if merchants.is_empty() { Scope::Company } else { Scope::Merchants(merchants) },
            roles: new.roles.iter().map(|role| role.name().to_owned()).collect(),
            key: KeyHash(api_key.sha256()),
            username: username.clone(),
            password: PasswordHash(password.sha256()),
            description: new.description.map(str::to_owned),
            created: self.now(),
            actions,
        };
        self.store.create_credential(credential).await?;
        Ok(ShownCredential { id: id.as_str().to_owned(), username, password, api_key, api_secret: None })
    }

    /// Whether this key opens anything.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn knows_key(&self, api_key: &ApiKey) -> Result<bool, AdminError> {
        Ok(self.store.credential_by_key(KeyHash(api_key.sha256())).await?.is_some())
    }

    /// The credentials of a company, revoked ones too, in the order in which they were made.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn credentials(&self, company: &str) -> Result<Vec<ListedCredential>, AdminError> {
        let company = code(CompanyCode::parse(company))?;
        if self.store.company(&company).await?.is_none() {
            return Err(AdminError::Missing(format!("there is no company account {company}")));
        }
        Ok(self.store.credentials(&company).await?.into_iter().map(listed).collect())
    }

    /// Ends a credential for good. Running gateways refuse it within a second.
    ///
    /// # Errors
    /// [`AdminError`]; `Missing` also when it has ended before.
    pub async fn revoke_credential(&self, id: &str) -> Result<(), AdminError> {
        let missing =
            || AdminError::Missing(format!("there is no API credential {id} that could be revoked"));
        let id = CredentialId::parse(id).map_err(|_| missing())?;
        if self.store.revoke_credential(&id, self.now()).await? { Ok(()) } else { Err(missing()) }
    }

    fn now(&self) -> WallMs {
        self.clock.now().wall
    }
}

fn name_of_new_credential() -> Result<CredentialId, AdminError> {
    code(CredentialId::parse(&ids::credential_name()))
}

fn place(at: Location<'_>) -> Result<Place, AdminError> {
    Ok(match at {
        Location::CompanyInventory => Place::CompanyInventory,
        Location::MerchantInventory(merchant) => {
            Place::MerchantInventory(code(MerchantCode::parse(merchant))?)
        }
        Location::MerchantInStore(merchant) => Place::MerchantInStore(code(MerchantCode::parse(merchant))?),
        Location::Store { merchant, store } => Place::Store {
            merchant: code(MerchantCode::parse(merchant))?,
            store: code(StoreCode::parse(store))?,
        },
    })
}

fn listed(credential: Credential) -> ListedCredential {
    let merchants = match &credential.scope {
        Scope::Company => Vec::new(),
        Scope::Merchants(merchants) => merchants.iter().map(|m| m.as_str().to_owned()).collect(),
    };
    ListedCredential {
        actions: credential.actions.as_ref().map(actions::listed),
        id: credential.id.as_str().to_owned(),
        roles: credential.roles,
        merchants,
        description: credential.description,
        created: rfc3339(credential.created),
        revoked: credential.revoked.map(rfc3339),
    }
}

/// A text that was to be a code.
fn code<T, E: std::error::Error>(parsed: Result<T, E>) -> Result<T, AdminError> {
    parsed.map_err(|error| AdminError::Refused(error.to_string()))
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> AdminError {
        AdminError::Store(error.to_string())
    }
}

impl From<FleetError> for AdminError {
    fn from(error: FleetError) -> AdminError {
        let text = error.to_string();
        match error {
            FleetError::AlreadyExists(_) => AdminError::AlreadyExists(text),
            FleetError::Missing(_) => AdminError::Missing(text),
            FleetError::Retired(_)
            | FleetError::MerchantHasStores(_)
            | FleetError::HoldsInStoreTerminals { .. } => AdminError::Refused(text),
            FleetError::Store(error) => error.into(),
        }
    }
}

impl From<CodeError> for AdminError {
    fn from(error: CodeError) -> AdminError {
        let text = error.to_string();
        match error {
            CodeError::Missing(_) => AdminError::Missing(text),
            CodeError::InInventory { .. } | CodeError::ActionsTerminal(_) => AdminError::Refused(text),
            CodeError::Store(error) => error.into(),
        }
    }
}

impl From<CredentialError> for AdminError {
    fn from(error: CredentialError) -> AdminError {
        let text = error.to_string();
        match error {
            CredentialError::AlreadyExists(_) => AdminError::AlreadyExists(text),
            CredentialError::Missing(_) => AdminError::Missing(text),
            CredentialError::EmptyScope
            | CredentialError::GroupOutOfScope(_)
            | CredentialError::MerchantHasStores(_)
            | CredentialError::TerminalElsewhere { .. }
            | CredentialError::RetiredTerminal(_)
            | CredentialError::BoardedTerminal(_) => AdminError::Refused(text),
            CredentialError::Store(error) => error.into(),
        }
    }
}
