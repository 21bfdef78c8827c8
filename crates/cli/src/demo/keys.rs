//! The demo's API keys. On data that is kept they stay the same, so that whoever pasted one yesterday pays today: the
//! database keeps only hashes, so the keys themselves are in a file beside it, for its owner's eyes only.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use gateway::{Admin, ApiKey, NewKey, Password, Role};
use serde::{Deserialize, Serialize};

use super::fleet;
use super::private_file;
use super::ready_file::ApiKeys;

const FILE: &str = "demo-keys.json";

/// Payments and terminal management: merchants use one key for both.
const TERMINAL_API: &[Role] = &[Role::TerminalApi, Role::TerminalManagementApi];
const CLOUD_DEVICE: &[Role] = &[Role::CloudDeviceApi];
const MANAGEMENT: &[Role] = &Role::MANAGEMENT;

/// The secrets by the names of their keys. What an older demo kept has fewer; those of a newer one are left alone.
type Kept = BTreeMap<String, Secrets>;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    api_key: String,
    password: String,
}

impl Secrets {
    fn fresh() -> Secrets {
        Secrets {
            api_key: ApiKey::fresh().reveal().to_owned(),
            password: Password::fresh().reveal().to_owned(),
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
}

impl Key {
    const fn new(name: &'static str, roles: &'static [&'static [Role]]) -> Key {
        Key { name, company: fleet::COMPANY, merchant: None, roles }
    }
}

const KEYS: [Key; 5] = [
    Key::new("terminalApi", &[TERMINAL_API]),
    Key::new("cloudDevice", &[CLOUD_DEVICE]),
    Key::new("management", &[MANAGEMENT]),
    Key { merchant: Some(fleet::US), ..Key::new("otherMerchant", &[TERMINAL_API, CLOUD_DEVICE, MANAGEMENT]) },
    Key {
        company: fleet::OTHER_COMPANY,
        ..Key::new("otherCompany", &[TERMINAL_API, CLOUD_DEVICE, MANAGEMENT])
    },
];

/// Makes the keys, or makes sure that those of an earlier demo are good. Their companies and merchant accounts are there.
pub(super) async fn make(admin: &Admin, dir: &Path) -> anyhow::Result<ApiKeys> {
    let file = dir.join(FILE);
    let mut kept = read(&file)?;
    let before = kept.len();
    let secrets = KEYS.map(|key| {
        let secrets = kept.entry(key.name.to_owned()).or_insert_with(Secrets::fresh);
        (key, secrets.clone())
    });
    if kept.len() > before {
        // Before the database has them: what is only there can't be shown again.
        private_file::write_json(&file, &kept)?;
    }
    for (key, secrets) in &secrets {
        ensure(admin, key, secrets).await?;
    }
    let [terminal_api, cloud_device, management, other_merchant, other_company] =
        secrets.map(|(_, secrets)| secrets.api_key);
    Ok(ApiKeys { terminal_api, cloud_device, management, other_merchant, other_company })
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
        admin.create_credential_with(new, api_key, Password::from_text(&secrets.password)).await?;
    }
    Ok(())
}
