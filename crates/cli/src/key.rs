//! `tillgate key`: API credentials.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use gateway::{
    ActionsKey, Admin, AdminError, ListedActions, ListedCredential, NewKey, Role, ShownCredential,
};
use nexo::PoiId;

use crate::settings::Installation;
use crate::{clock, paint};

/// Make, list and revoke API keys.
///
/// They work beside a running gateway, on the machine that holds its database. A new key is good at once, and a revoked one
/// stops within a second.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key; it is shown this once
    New(New),
    /// List the keys of a company, without their secrets
    List(List),
    /// End a key for good
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// Company account
    #[arg(long, value_name = "CODE")]
    company: String,
    /// Merchant account that it is for; may be repeated [default: the whole company]
    #[arg(long = "merchant-account", value_name = "CODE")]
    merchants: Vec<String>,
    #[arg(long = "role", value_name = "ROLE", default_value = "terminal-api", value_parser = role, help = role_help())]
    roles: Vec<Role>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    actions: Actions,
    #[command(flatten)]
    installation: Installation,
}

/// What only keys of the Actions API have.
#[derive(Debug, Args)]
#[command(next_help_heading = "For the Actions API")]
struct Actions {
    /// Group: a store, or a merchant account without stores. A desktop may have several. MERCHANT/STORE where two stores have
    /// one code
    #[arg(long = "group", value_name = "CODE")]
    groups: Vec<String>,
    /// The terminal that an actions-terminal key is for. Added to the fleet, at the group, if it is not there
    #[arg(long, value_name = "POIID", requires = "device_id")]
    poi_id: Option<PoiId>,
    /// What desktops call that terminal; unique in its group
    #[arg(long, value_name = "ID", requires = "poi_id")]
    device_id: Option<String>,
    /// What desktops are told about that terminal: a JSON object
    #[arg(long, value_name = "JSON", requires = "poi_id")]
    metadata: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Company account
    #[arg(long, value_name = "CODE")]
    company: String,
    #[command(flatten)]
    installation: Installation,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Its ID, such as ws_4f8k2m9qxr
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    installation: Installation,
}

impl Key {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Key::New(new) => {
                let key = NewKey {
                    company: &new.company,
                    merchants: &new.merchants,
                    roles: &new.roles,
                    description: new.description.as_deref(),
                };
                let actions = new.actions.key()?;
                let admin = Admin::open(&new.installation.existing()?).await?;
                let made = match actions {
                    None => admin.create_credential(key).await,
                    Some(actions) => admin.create_actions_credential(key, actions).await,
                };
                show(&made.map_err(with_next_step)?);
            }
            Key::List(list) => {
                let admin = Admin::open(&list.installation.existing()?).await?;
                let credentials = admin.credentials(&list.company).await.map_err(with_next_step)?;
                if credentials.is_empty() {
                    println!("No keys. Make one with `tillgate key new --company {}`", list.company);
                }
                credentials.iter().for_each(print);
            }
            Key::Revoke(revoke) => {
                let admin = Admin::open(&revoke.installation.existing()?).await?;
                admin.revoke_credential(&revoke.id).await?;
                println!("{} is revoked. Running gateways refuse it within a second.", revoke.id);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Actions {
    /// What the key is to be to the Actions API, if anything.
    fn key(&self) -> anyhow::Result<Option<ActionsKey<'_>>> {
        Ok(match (&self.poi_id, &self.device_id, &self.groups[..]) {
            (Some(poi), Some(device_id), [group]) => {
                let metadata = self.metadata.as_deref();
                Some(ActionsKey::Terminal { group, poi, device_id, metadata })
            }
            (Some(_), Some(_), _) => bail!("a terminal stands at one place: name its group with one --group"),
            (_, _, []) => None,
            (_, _, groups) => Some(ActionsKey::Desktop { groups, api_secret: None }),
        })
    }
}

/// Shows a credential with its secrets.
pub(crate) fn show(credential: &ShownCredential) {
    // What signs can't be checked with a hash.
    let warning = match credential.api_secret {
        None => "Shown this once: only a hash is kept.",
        Some(_) => "Shown this once: a hash is kept, and a sealed copy of the secret.",
    };
    println!("API key   {}", paint::stdout(credential.api_key.reveal(), paint::BOLD));
    println!("User      {}", credential.username);
    println!("Password  {}", credential.password.reveal());
    if let Some(secret) = &credential.api_secret {
        println!("Secret    {}", secret.reveal());
    }
    println!("ID        {}", credential.id);
    println!("{}", paint::stdout(warning, paint::YELLOW));
}

fn print(credential: &ListedCredential) {
    let made = clock::whole_seconds(&credential.created);
    let state = match &credential.revoked {
        None => paint::stdout("good", paint::GREEN).into_owned(),
        Some(at) => format!("{} {}", paint::stdout("revoked", paint::RED), clock::whole_seconds(at)),
    };
    println!("{}  made {made}  {state}", paint::stdout(&credential.id, paint::BOLD));
    if let Some(description) = &credential.description {
        println!("  {description}");
    }
    let scope = credential.merchants.join(", ");
    println!("  for {}", if scope.is_empty() { "the whole company" } else { &scope });
    credential.roles.iter().for_each(|role| println!("  {role}"));
    match &credential.actions {
        None => {}
        Some(ListedActions::Desktop { groups }) => println!("  desktop of {}", groups.join(", ")),
        Some(ListedActions::Terminal { group, poi_id, device_id }) => {
            println!("  terminal {poi_id}, device {device_id} of {group}");
        }
    }
}

fn with_next_step(error: AdminError) -> anyhow::Error {
    match error {
        AdminError::Missing(_) => anyhow::Error::from(error).context(
            "nothing was done; `tillgate init` makes companies and merchant accounts, and --data-dir or --config says which \
             installation is meant",
        ),
        error => error.into(),
    }
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|error| {
        let known = Role::ALL.map(Role::slug).join(", ");
        format!("{error}; there are {known}")
    })
}

fn role_help() -> String {
    let known = Role::ALL.map(Role::slug).join(", ");
    format!("What it may do; may be repeated: {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_role_is_answered_with_the_known_ones() {
        assert_eq!(role("terminal-api"), Ok(Role::TerminalApi));
        assert!(role("terminal").unwrap_err().contains("terminal-actions-write"));
    }
}
