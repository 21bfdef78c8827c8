//! Keys of the Actions API: for desktops and for terminals.

use nexo::PoiId;

use super::{Admin, AdminError, NewKey, ShownCredential, code, name_of_new_credential};
use crate::access::Role;
use crate::ids::{ApiKey, ApiSecret, Password};
use crate::secrets::SecretsError;
use crate::store::actions::{ActionsDeviceId, ActionsFacts, ActionsTerminal, Group, Groups, Metadata};
use crate::store::{CompanyCode, MerchantCode, Place, StoreCode};

/// What a credential is to be to the Actions API.
///
/// A group is named by the code of a store, or of a merchant account without stores. Where several merchant accounts of the company
/// have a store of that code, it is named with its own: `ACME_EU/AMS`.
#[derive(Clone, Copy, Debug)]
pub enum ActionsKey<'a> {
    /// A desktop: [`Role::ActionsDesktop`].
    Desktop {
        /// The groups whose terminals it may use; one at least.
        groups: &'a [String],
        /// The secret that it signs HTTP requests with, if it was shown before; a new one is made for none.
        api_secret: Option<&'a ApiSecret>,
    },
    /// A terminal: [`Role::ActionsTerminal`].
    Terminal {
        /// The group where it stands.
        group: &'a str,
        /// Its POIID. It is added to the fleet, at the group, if it is not there yet.
        poi: &'a PoiId,
        /// What desktops call it: 1 to 64 visible ASCII characters, unique in its group.
        device_id: &'a str,
        /// What desktops are told about it: a JSON object of at most 4 KiB.
        metadata: Option<&'a str>,
    },
}

/// What a listed credential is to the Actions API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedActions {
    /// A desktop.
    Desktop {
        /// IDs of its groups.
        groups: Vec<String>,
    },
    /// A terminal.
    Terminal {
        /// ID of the group where it stands.
        group: String,
        /// Its POIID.
        poi_id: String,
        /// What desktops call it.
        device_id: String,
    },
}

impl Admin {
    /// Makes a credential for the Actions API, with new secrets. A desktop's has an `apiSecret` besides.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_actions_credential(
        &self,
        new: NewKey<'_>,
        actions: ActionsKey<'_>,
    ) -> Result<ShownCredential, AdminError> {
        self.create_actions_credential_with(new, actions, ApiKey::fresh(), Password::fresh()).await
    }

    /// The same with secrets that were shown before, as those of a demo whose database was made anew.
    ///
    /// # Errors
    /// [`AdminError`]; `AlreadyExists` also when the key is in use.
    pub async fn create_actions_credential_with(
        &self,
        new: NewKey<'_>,
        actions: ActionsKey<'_>,
        api_key: ApiKey,
        password: Password,
    ) -> Result<ShownCredential, AdminError> {
        check_roles(new.roles, Some(actions))?;
        let id = name_of_new_credential()?;
        let (facts, api_secret) = match actions {
            ActionsKey::Desktop { groups, api_secret } => {
                let mut found = Vec::new();
                for group in groups {
                    found.push(self.group(new, group).await?);
                }
                let groups = code(Groups::new(found))?;
                let api_secret = api_secret.cloned().unwrap_or_else(ApiSecret::fresh);
                let secret = self.secrets.seal_api_secret(&id, &api_secret).await?;
                (ActionsFacts::Desktop { groups, secret }, Some(api_secret))
            }
            ActionsKey::Terminal { group, poi, device_id, metadata } => {
                let terminal = ActionsTerminal {
                    poi: poi.clone(),
                    group: self.group(new, group).await?,
                    device: code(ActionsDeviceId::parse(device_id))?,
                    metadata: code(Metadata::parse(metadata.unwrap_or("{}")))?,
                };
                (ActionsFacts::Terminal(terminal), None)
            }
        };
        let shown = self.keep_credential(id, new, api_key, password, Some(facts)).await?;
        Ok(ShownCredential { api_secret, ..shown })
    }

    /// The group that somebody means. Whether it is there and in reach is checked when the credential is kept.
    async fn group(&self, new: NewKey<'_>, text: &str) -> Result<Group, AdminError> {
        let company = code(CompanyCode::parse(new.company))?;
        if let Some((merchant, store)) = text.split_once('/') {
            let place = Place::Store {
                merchant: code(MerchantCode::parse(merchant))?,
                store: code(StoreCode::parse(store))?,
            };
            return Group::at(&place).ok_or_else(|| no_group(new.company, text));
        }
        let mut found = self.store.groups_called(&company, text).await?;
        if found.len() > 1 && !new.merchants.is_empty() {
            found.retain(|group| group.place().merchant().is_some_and(|m| is_among(new.merchants, m)));
        }
        match (found.pop(), found.is_empty()) {
            (Some(group), true) => Ok(group),
            (Some(last), false) => {
                found.push(last);
                let names: Vec<_> = found.iter().map(full_name).collect();
                let names = names.join(" or ");
                Err(AdminError::Refused(format!("there are several groups {text}: name it as {names}")))
            }
            (None, _) => Err(no_group(new.company, text)),
        }
    }
}

/// Whether the roles go with what the credential is to be.
pub(super) fn check_roles(roles: &[Role], actions: Option<ActionsKey<'_>>) -> Result<(), AdminError> {
    let has = |role| roles.contains(&role);
    let problem = match (has(Role::ActionsDesktop), has(Role::ActionsTerminal), actions) {
        (false, false, None)
        | (true, false, Some(ActionsKey::Desktop { .. }))
        | (false, true, Some(ActionsKey::Terminal { .. })) => return Ok(()),
        (true, true, _) => "a key is for a desktop or for a terminal of the Actions API, and not for both",
        (true, false, _) => "a key of a desktop of the Actions API has groups, and no terminal of its own",
        (false, true, _) => {
            "a key of a terminal of the Actions API has a group, a POIID and a device ID: it is for one terminal"
        }
        (false, false, Some(ActionsKey::Desktop { .. })) => {
            "groups are for a key with the role of an Actions desktop"
        }
        (false, false, Some(ActionsKey::Terminal { .. })) => {
            "a POIID and a device ID are for a key with the role of an Actions terminal"
        }
    };
    Err(AdminError::Refused(problem.to_owned()))
}

pub(super) fn listed(facts: &ActionsFacts) -> ListedActions {
    match facts {
        ActionsFacts::Desktop { groups, .. } => {
            let groups = groups.as_slice().iter().map(|group| group.id().to_owned()).collect();
            ListedActions::Desktop { groups }
        }
        ActionsFacts::Terminal(terminal) => ListedActions::Terminal {
            group: terminal.group.id().to_owned(),
            poi_id: terminal.poi.as_str().to_owned(),
            device_id: terminal.device.as_str().to_owned(),
        },
    }
}

fn is_among(merchants: &[String], merchant: &MerchantCode) -> bool {
    merchants.iter().any(|known| known == merchant.as_str())
}

fn full_name(group: &Group) -> String {
    match group.place() {
        Place::Store { merchant, store } => format!("{merchant}/{store}"),
        _ => group.id().to_owned(),
    }
}

fn no_group(company: &str, text: &str) -> AdminError {
    AdminError::Missing(format!(
        "company account {company} has no group {text}: a group is a store, or a merchant account without stores"
    ))
}

impl From<SecretsError> for AdminError {
    fn from(error: SecretsError) -> AdminError {
        AdminError::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Location;
    use crate::config::Config;
    use crate::store::KeyHash;

    const DESKTOP: &[Role] = &[Role::ActionsDesktop];
    const TERMINAL: &[Role] = &[Role::ActionsTerminal];

    /// A company with the stores `ACME_EU/AMS`, `ACME_EU/PAR` and `ACME_UK/AMS`, and a merchant account without stores.
    async fn installation() -> (tempfile::TempDir, Admin) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let admin = Admin::open(&config).await.unwrap();
        admin.create_company("ACME").await.unwrap();
        for merchant in ["ACME_EU", "ACME_UK", "ACME_US"] {
            admin.create_merchant_account("ACME", merchant).await.unwrap();
        }
        for (merchant, store) in [("ACME_EU", "AMS"), ("ACME_EU", "PAR"), ("ACME_UK", "AMS")] {
            admin.create_store(merchant, store).await.unwrap();
        }
        (dir, admin)
    }

    fn new<'a>(roles: &'a [Role], merchants: &'a [String]) -> NewKey<'a> {
        NewKey { company: "ACME", merchants, roles, description: None }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn poi(text: &str) -> PoiId {
        PoiId::parse(text).unwrap()
    }

    async fn facts(admin: &Admin, shown: &ShownCredential) -> ActionsFacts {
        let key = KeyHash(shown.api_key.sha256());
        admin.store.credential_by_key(key).await.unwrap().unwrap().actions.unwrap()
    }

    #[tokio::test]
    async fn a_desktop_signs_with_a_secret_that_only_its_gateway_reads() {
        let (dir, admin) = installation().await;
        let groups = texts(&["PAR", "ACME_US", "ACME_UK/AMS"]);
        let desktop = ActionsKey::Desktop { groups: &groups, api_secret: None };
        let shown = admin.create_actions_credential(new(DESKTOP, &[]), desktop).await.unwrap();
        let secret = shown.api_secret.clone().unwrap();
        let ActionsFacts::Desktop { groups, secret: sealed } = facts(&admin, &shown).await else {
            panic!("it is a desktop's")
        };
        let ids: Vec<_> = groups.as_slice().iter().map(Group::id).collect();
        assert_eq!(ids, ["PAR", "ACME_US", "AMS"]);
        let id = crate::store::CredentialId::parse(&shown.id).unwrap();
        assert_eq!(admin.secrets.open_api_secret(&id, &sealed).await.unwrap(), secret);
        let listed = admin.credentials("ACME").await.unwrap();
        let expected = ListedActions::Desktop { groups: texts(&["PAR", "ACME_US", "AMS"]) };
        assert_eq!(listed[0].actions, Some(expected));
        // Closed, so that all of it is in the files.
        drop(admin);
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let needle = secret.reveal().as_bytes();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }

    #[tokio::test]
    async fn a_demo_gives_its_desktop_the_secret_that_it_had() {
        let (_dir, admin) = installation().await;
        let (groups, secret) = (texts(&["PAR"]), ApiSecret::fresh());
        let desktop = ActionsKey::Desktop { groups: &groups, api_secret: Some(&secret) };
        let (key, password) = (ApiKey::fresh(), Password::fresh());
        let shown = admin
            .create_actions_credential_with(new(DESKTOP, &[]), desktop, key.clone(), password)
            .await
            .unwrap();
        assert_eq!((shown.api_secret, shown.api_key), (Some(secret), key));
    }

    #[tokio::test]
    async fn a_terminal_is_added_to_the_fleet_with_its_key() {
        let (_dir, admin) = installation().await;
        let merchants = texts(&["ACME_EU"]);
        let poi_id = poi("ACT1-1");
        // ACME_UK has an AMS, too, which is out of reach.
        let terminal = |device_id| ActionsKey::Terminal {
            group: "AMS",
            poi: &poi_id,
            device_id,
            metadata: Some(r#"{"lane":"4"}"#),
        };
        let shown =
            admin.create_actions_credential(new(TERMINAL, &merchants), terminal("TERM-001")).await.unwrap();
        assert_eq!(shown.api_secret, None);
        let at = Location::Store { merchant: "ACME_EU", store: "AMS" };
        assert_eq!(admin.elsewhere("ACME", &poi_id, at).await.unwrap(), None);
        let ActionsFacts::Terminal(kept) = facts(&admin, &shown).await else { panic!("it is a terminal's") };
        assert_eq!((kept.metadata.as_str(), kept.device.as_str()), (r#"{"lane":"4"}"#, "TERM-001"));
        let again = admin.create_actions_credential(new(TERMINAL, &merchants), terminal("TERM-002")).await;
        let Err(AdminError::AlreadyExists(text)) = again else { panic!("{again:?}") };
        assert_eq!(text, "API credential of Actions terminal ACT1-1 already exists");
    }

    #[tokio::test]
    async fn what_cannot_be_made_is_refused_with_the_way_out() {
        let (_dir, admin) = installation().await;
        let poi_id = poi("ACT1-1");
        let refused = async |roles: &[Role], actions: ActionsKey<'_>| {
            let made = admin.create_actions_credential(new(roles, &[]), actions).await;
            made.unwrap_err().to_string()
        };
        let terminal =
            ActionsKey::Terminal { group: "PAR", poi: &poi_id, device_id: "TERM-001", metadata: None };
        let desktop_of = async |groups: &[&str]| {
            refused(DESKTOP, ActionsKey::Desktop { groups: &texts(groups), api_secret: None }).await
        };
        assert!(desktop_of(&["AMS"]).await.ends_with("name it as ACME_EU/AMS or ACME_UK/AMS"));
        assert!(desktop_of(&["ACME_EU"]).await.contains("has no group ACME_EU: a group is a store"));
        assert!(desktop_of(&["NYC"]).await.contains("company account ACME has no group NYC"));
        assert_eq!(desktop_of(&["ACME_EU/NYC"]).await, "there is no store NYC of merchant account ACME_EU");
        assert_eq!(desktop_of(&[]).await, "a desktop needs a group");
        assert_eq!(
            desktop_of(&["ACME_EU/AMS", "ACME_UK/AMS"]).await,
            "two groups are called AMS: make a key for each"
        );
        let card = ActionsKey::Terminal {
            group: "PAR",
            poi: &poi_id,
            device_id: "TERM-001",
            metadata: Some(r#"{"card":"4111111111111111"}"#),
        };
        assert_eq!(refused(TERMINAL, card).await, "metadata must not hold card data");
        // A role and what it is for go together.
        for (roles, actions) in [
            (DESKTOP, terminal),
            (TERMINAL, ActionsKey::Desktop { groups: &texts(&["PAR"]), api_secret: None }),
            (&[Role::ActionsDesktop, Role::ActionsTerminal], terminal),
            (&[Role::TerminalApi], terminal),
        ] {
            let text = refused(roles, actions).await;
            assert!(text.contains("a key"), "{text}");
        }
        for roles in [DESKTOP, TERMINAL] {
            let bare = admin.create_credential(new(roles, &[])).await;
            assert!(matches!(bare, Err(AdminError::Refused(_))), "{bare:?}");
        }
        assert_eq!(admin.credentials("ACME").await.unwrap(), []);
        assert_eq!(admin.store.terminal(&poi_id).await.unwrap(), None);
    }
}
