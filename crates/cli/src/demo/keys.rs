//! The demo's API keys. On data that is kept they stay the same, so that whoever pasted one yesterday pays today: the
//! database keeps only hashes, so the keys themselves are in a file beside it, for its owner's eyes only.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use gateway::{ActionsKey, Admin, ApiKey, ApiSecret, ListedActions, NewKey, Password, Role};
use nexo::PoiId;
use serde::{Deserialize, Serialize};

use super::fleet;
use super::private_file;
use super::ready_file::ApiKeys;

const FILE: &str = "demo-keys.json";

/// Payments and terminal management: merchants use one key for both.
const TERMINAL_API: &[Role] = &[Role::TerminalApi, Role::TerminalManagementApi];
const TERMINAL_MANAGEMENT: &[Role] = &[Role::TerminalManagementApi];
const CLOUD_DEVICE: &[Role] = &[Role::CloudDeviceApi];
const MANAGEMENT: &[Role] = &Role::MANAGEMENT;
const ACTIONS_DESKTOP: &[Role] = &[Role::ActionsDesktop];
const ACTIONS_TERMINAL: &[Role] = &[Role::ActionsTerminal];

/// The secrets by the names of their keys. What an older demo kept has fewer; those of a newer one are left alone.
type Kept = BTreeMap<String, Secrets>;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    api_key: String,
    password: String,
    /// Of a desktop of the Actions API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_secret: Option<String>,
}

impl Secrets {
    fn fresh(key: &Key) -> Secrets {
        let signs = matches!(key.actions, Actions::Desktop(_));
        Secrets {
            api_key: ApiKey::fresh().reveal().to_owned(),
            password: Password::fresh().reveal().to_owned(),
            api_secret: signs.then(|| ApiSecret::fresh().reveal().to_owned()),
        }
    }
}

/// One of the demo's keys.
struct Key {
    /// As in the ready file.
    name: &'static str,
    company: &'static str,
    /// None for the whole company.
    merchant: Option<&'static str>,
    roles: &'static [&'static [Role]],
    actions: Actions,
}

/// What a key is to the Actions API.
enum Actions {
    Nothing,
    /// A desktop of this group.
    Desktop(&'static str),
    Terminal(fleet::ActionsDevice),
}

impl Key {
    const fn new(name: &'static str, roles: &'static [&'static [Role]]) -> Key {
        Key { name, company: fleet::COMPANY, merchant: None, roles, actions: Actions::Nothing }
    }
}

const KEYS: [Key; 9] = [
    Key::new("terminalApi", &[TERMINAL_API]),
    Key::new("cloudDevice", &[CLOUD_DEVICE]),
    Key::new("terminalManagement", &[TERMINAL_MANAGEMENT]),
    Key::new("management", &[MANAGEMENT]),
    Key {
        merchant: Some(fleet::US),
        actions: Actions::Desktop(fleet::US),
        ..Key::new("otherMerchant", &[TERMINAL_API, CLOUD_DEVICE, MANAGEMENT, ACTIONS_DESKTOP])
    },
    Key {
        company: fleet::OTHER_COMPANY,
        actions: Actions::Desktop(fleet::OTHER_MERCHANT),
        ..Key::new("otherCompany", &[TERMINAL_API, CLOUD_DEVICE, MANAGEMENT, ACTIONS_DESKTOP])
    },
    Key { actions: Actions::Desktop(fleet::ACTIONS_GROUP), ..Key::new("actionsDesktop", &[ACTIONS_DESKTOP]) },
    Key {
        actions: Actions::Terminal(fleet::FREE_ACTIONS_DEVICE),
        ..Key::new("actionsTerminal", &[ACTIONS_TERMINAL])
    },
    // Not in the ready file: whoever used it would push the demo's own terminal out.
    Key {
        actions: Actions::Terminal(fleet::OWN_ACTIONS_DEVICE),
        ..Key::new("ownActionsTerminal", &[ACTIONS_TERMINAL])
    },
];

/// Makes the keys, or makes sure that those of an earlier demo are good. Their companies, merchant accounts and stores are
/// there. The second one is for the demo's own Actions terminal.
pub(super) async fn make(admin: &Admin, dir: &Path) -> anyhow::Result<(ApiKeys, String)> {
    let file = dir.join(FILE);
    let mut kept = read(&file)?;
    let before = kept.len();
    let secrets = KEYS.map(|key| {
        let secrets = kept.entry(key.name.to_owned()).or_insert_with(|| Secrets::fresh(&key));
        (key, secrets.clone())
    });
    if kept.len() > before {
        // Before the database has them: what is only there can't be shown again.
        private_file::write_json(&file, &kept)?;
    }
    for (key, secrets) in &secrets {
        ensure(admin, key, secrets).await?;
    }
    let [
        terminal_api,
        cloud_device,
        terminal_management,
        management,
        other_merchant,
        other_company,
        desktop,
        terminal,
        own,
    ] = secrets.map(|(_, secrets)| secrets);
    let keys = ApiKeys {
        terminal_api: terminal_api.api_key,
        cloud_device: cloud_device.api_key,
        terminal_management: terminal_management.api_key,
        management: management.api_key,
        actions_desktop: desktop.api_key,
        actions_desktop_secret: desktop.api_secret.unwrap_or_default(),
        actions_terminal: terminal.api_key,
        other_merchant: other_merchant.api_key,
        other_company: other_company.api_key,
    };
    Ok((keys, own.api_key))
}

fn read(file: &Path) -> anyhow::Result<Kept> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| {
            format!("{} can't be read; remove it, and the demo makes new keys", file.display())
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::new()),
        Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
    }
}

async fn ensure(admin: &Admin, key: &Key, secrets: &Secrets) -> anyhow::Result<()> {
    let api_key = ApiKey::from_text(&secrets.api_key);
    if !admin.knows_key(&api_key).await? {
        let merchants: Vec<String> = key.merchant.into_iter().map(str::to_owned).collect();
        let new = NewKey {
            company: key.company,
            merchants: &merchants,
            roles: &key.roles.concat(),
            description: Some(&format!("demo: {}", key.name)),
        };
        let password = Password::from_text(&secrets.password);
        let api_secret = secrets.api_secret.as_deref().map(ApiSecret::from_text);
        match &key.actions {
            Actions::Nothing => admin.create_credential_with(new, api_key, password).await?,
            Actions::Desktop(group) => {
                let groups = [(*group).to_owned()];
                let desktop = ActionsKey::Desktop { groups: &groups, api_secret: api_secret.as_ref() };
                admin.create_actions_credential_with(new, desktop, api_key, password).await?
            }
            Actions::Terminal(device) => {
                let poi = PoiId::parse(device.poi)?;
                revoke_lost(admin, key.company, &poi).await?;
                let terminal = ActionsKey::Terminal {
                    group: fleet::ACTIONS_GROUP,
                    poi: &poi,
                    device_id: device.device_id,
                    metadata: None,
                };
                admin.create_actions_credential_with(new, terminal, api_key, password).await?
            }
        };
    }
    Ok(())
}

/// A terminal has one key. If the database has another one than the file, nobody has it any more.
async fn revoke_lost(admin: &Admin, company: &str, poi: &PoiId) -> anyhow::Result<()> {
    for listed in admin.credentials(company).await? {
        let is_its =
            matches!(&listed.actions, Some(ListedActions::Terminal { poi_id, .. }) if poi_id == poi.as_str());
        if is_its && listed.revoked.is_none() {
            admin.revoke_credential(&listed.id).await?;
        }
    }
    Ok(())
}
