//! `tillgate init`: from nothing to a gateway that can be served.

use std::process::ExitCode;

use clap::Args;
use gateway::{Admin, AdminError, Location, NewKey, Role};
use nexo::PoiId;

use crate::program::quoted;
use crate::settings::Installation;
use crate::{key, program};

/// Set an installation up: company, merchant account, stores, terminals, first API key.
///
/// May be run again to add more: what is there stays, where it is. The first key is made with the company, and shown once. It is
/// for the whole company: it opens the Terminal API, the Cloud device API and the management calls. `tillgate key new` makes
/// others, which may do less.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Company account, such as ACME
    #[arg(long, value_name = "CODE")]
    company: String,
    /// Merchant account of it, such as ACME_EU
    #[arg(long, value_name = "CODE")]
    merchant_account: String,
    /// Store of the merchant account; without one, the merchant account represents a store itself
    #[arg(long, value_name = "CODE")]
    store: Option<String>,
    /// Terminal to add there; may be repeated
    #[arg(long = "terminal", value_name = "POIID")]
    terminals: Vec<PoiId>,
    #[command(flatten)]
    installation: Installation,
}

impl Init {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.installation.config()?;
        let admin = Admin::open(&config).await?;
        let (company, merchant) = (&self.company, &self.merchant_account);
        let is_new = said("company account", company, admin.create_company(company).await)?;
        if is_new {
            admin.switch_on(company).await?;
            println!("its Terminal API and WebSockets are switched on");
        }
        said("merchant account", merchant, admin.create_merchant_account(company, merchant).await)?;
        if let Some(store) = &self.store {
            said("store", store, admin.create_store(merchant, store).await)?;
        }
        let at = match &self.store {
            Some(store) => Location::Store { merchant, store },
            None => Location::MerchantInStore(merchant),
        };
        for poi in &self.terminals {
            self.add(&admin, poi, at).await?;
        }
        let flags = self.installation.flags();
        if is_new {
            let mut roles = vec![Role::TerminalApi, Role::CloudDeviceApi, Role::TerminalManagementApi];
            roles.extend(Role::MANAGEMENT);
            let first = NewKey { company, merchants: &[], roles: &roles, description: Some("first key") };
            println!();
            key::show(&admin.create_credential(first).await?);
            println!("It is for the whole company, with these roles:");
            roles.iter().for_each(|role| println!("  {role}"));
        }
        println!();
        println!("Next:");
        let program = program::name();
        println!("  {program} serve{flags}");
        let poi = self.terminals.first().map_or("POIID", PoiId::as_str);
        println!("  {program} board {}{flags}", quoted(poi));
        Ok(ExitCode::SUCCESS)
    }

    /// Adds a terminal. One that is elsewhere stays there.
    async fn add(&self, admin: &Admin, poi: &PoiId, at: Location<'_>) -> anyhow::Result<()> {
        let added = admin.add_terminal(&self.company, poi, at).await;
        if matches!(added, Err(AdminError::AlreadyExists(_)))
            && let Some(place) = admin.elsewhere(&self.company, poi, at).await?
        {
            println!("terminal {poi} is somewhere else already, and was not moved: {place}");
            return Ok(());
        }
        let added = match added {
            Err(error @ AdminError::Refused(_)) if self.store.is_none() => {
                let context = format!("terminal {poi} was not added; name its store with --store NAME");
                return Err(anyhow::Error::from(error).context(context));
            }
            added => added,
        };
        said("terminal", poi.as_str(), added)?;
        Ok(())
    }
}

/// Says what became of one step; whether it made something new.
fn said(what: &str, name: &str, made: Result<(), AdminError>) -> anyhow::Result<bool> {
    let is_new = match made {
        Ok(()) => true,
        Err(AdminError::AlreadyExists(_)) => false,
        Err(error) => return Err(error.into()),
    };
    println!("{what} {name} {}", if is_new { "made" } else { "is there already" });
    Ok(is_new)
}
