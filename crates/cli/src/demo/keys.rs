//! The demo's API keys. On data that is kept they stay the same, so that whoever pasted one yesterday pays today: the
//! database keeps only hashes, so the keys themselves are in a file beside it, for its owner's eyes only.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use gateway::{Admin, ApiKey, NewKey, Password, Role};
use serde::{Deserialize, Serialize};

use super::fleet;
use super::ready_file::{ApiKeys, write_private};

const FILE: &str = "demo-keys.json";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    terminal_api: Secrets,
    management: Secrets,
}

#[derive(Deserialize, Serialize)]
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

/// Makes the keys, or makes sure that those of an earlier demo are good.
pub(super) async fn make(admin: &Admin, dir: &Path) -> anyhow::Result<ApiKeys> {
    // A key's company has to be there first.
    fleet::unless_there(admin.create_company(fleet::COMPANY).await)?;
    let file = dir.join(FILE);
    let kept = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| {
            format!("{} can't be read; remove it, and the demo makes new keys", file.display())
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let kept = Kept { terminal_api: Secrets::fresh(), management: Secrets::fresh() };
            write_private(&file, &kept)?;
            kept
        }
        Err(error) => return Err(error).with_context(|| format!("can't read {}", file.display())),
    };
    ensure(admin, &kept.terminal_api, &[Role::TerminalApi, Role::TerminalManagementApi], "demo: terminalApi")
        .await?;
    ensure(admin, &kept.management, &Role::MANAGEMENT, "demo: management").await?;
    Ok(ApiKeys { terminal_api: kept.terminal_api.api_key, management: kept.management.api_key })
}

async fn ensure(admin: &Admin, secrets: &Secrets, roles: &[Role], description: &str) -> anyhow::Result<()> {
    let key = ApiKey::from_text(&secrets.api_key);
    if !admin.knows_key(&key).await? {
        let new = NewKey { company: fleet::COMPANY, merchants: &[], roles, description: Some(description) };
        admin.create_credential_with(new, key, Password::from_text(&secrets.password)).await?;
    }
    Ok(())
}
