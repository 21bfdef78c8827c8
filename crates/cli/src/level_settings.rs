//! `tillgate settings`: what is set for a company, a merchant account, a store or a terminal.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use gateway::{Admin, Change, SettingsLevel, SettingsPatch, ShownSetting, V1Booleans};
use nexo::PoiId;

use crate::settings::Installation;

/// Show and change terminal settings at a level.
///
/// The nearest one that is set wins: terminal, store, merchant account, company. Works beside a running gateway, on the machine
/// that holds its database; a change is followed within a second or two. Elsewhere use PATCH /v3/…/terminalSettings.
#[derive(Debug, Subcommand)]
pub(crate) enum LevelSettings {
    /// Show what holds at a level, and what is set there
    Show(Show),
    /// Change settings of a level
    Set(Set),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    level: Level,
    #[command(flatten)]
    installation: Installation,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    level: Level,
    /// Whether a terminal may hold a WebSocket to the gateway
    #[arg(long, value_name = "STATE")]
    web_sockets: Option<Switch>,
    /// Whether a POS may reach the terminal
    #[arg(long, value_name = "STATE")]
    terminal_api: Option<Switch>,
    /// What screens and lists call a terminal; empty to inherit it
    #[arg(long, value_name = "TEXT")]
    display_label: Option<String>,
    /// How /v1 of the POS Terminal Management API writes booleans
    #[arg(long, value_name = "ENCODING")]
    v1_booleans: Option<Encoding>,
    #[command(flatten)]
    installation: Installation,
}

/// Which level.
#[derive(Debug, Args)]
struct Level {
    /// Company account
    #[arg(long, value_name = "CODE", conflicts_with_all = ["merchant_account", "terminal"])]
    company: Option<String>,
    /// Merchant account
    #[arg(long, value_name = "CODE", conflicts_with = "terminal")]
    merchant_account: Option<String>,
    /// Store of the merchant account
    #[arg(long, value_name = "CODE", requires = "merchant_account")]
    store: Option<String>,
    /// Terminal
    #[arg(long, value_name = "POIID")]
    terminal: Option<PoiId>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
    Inherit,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encoding {
    Strings,
    Booleans,
    Inherit,
}

impl LevelSettings {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = match self {
            LevelSettings::Show(Show { level, installation }) => {
                let level = level.named()?;
                Admin::open(&installation.existing()?).await?.settings(level).await?
            }
            LevelSettings::Set(Set {
                level,
                installation,
                web_sockets,
                terminal_api,
                display_label,
                v1_booleans,
            }) => {
                let level = level.named()?;
                let patch = SettingsPatch {
                    web_sockets_enabled: switch(web_sockets),
                    terminal_api_enabled: switch(terminal_api),
                    v1_booleans: match v1_booleans {
                        None => Change::Keep,
                        Some(Encoding::Inherit) => Change::Clear,
                        Some(Encoding::Strings) => Change::Set(V1Booleans::Strings),
                        Some(Encoding::Booleans) => Change::Set(V1Booleans::Booleans),
                    },
                    display_label: match display_label {
                        None => Change::Keep,
                        Some(label) if label.is_empty() => Change::Clear,
                        Some(label) => Change::Set(label),
                    },
                };
                if patch == SettingsPatch::default() {
                    bail!("nothing to set. Name a setting, such as --terminal-api on; --help lists them");
                }
                Admin::open(&installation.existing()?).await?.change_settings(level, patch).await?
            }
        };
        for ShownSetting { name, value, is_set_here } in settings {
            println!("{name:<20} {value:<14} {}", if is_set_here { "set here" } else { "inherited" });
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Level {
    fn named(&self) -> anyhow::Result<SettingsLevel<'_>> {
        Ok(match (&self.company, &self.merchant_account, &self.store, &self.terminal) {
            (Some(company), ..) => SettingsLevel::Company(company),
            (None, Some(merchant), Some(store), _) => SettingsLevel::Store { merchant, store },
            (None, Some(merchant), None, _) => SettingsLevel::Merchant(merchant),
            (None, None, _, Some(terminal)) => SettingsLevel::Terminal(terminal),
            (None, None, _, None) => {
                bail!("which level? Name it with --company, --merchant-account (and --store), or --terminal")
            }
        })
    }
}

fn switch(state: Option<Switch>) -> Change<bool> {
    match state {
        None => Change::Keep,
        Some(Switch::Inherit) => Change::Clear,
        Some(Switch::On) => Change::Set(true),
        Some(Switch::Off) => Change::Set(false),
    }
}
