//! The ready file: everything about a running demo that a program needs, written once that is so.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::private_file;

/// What a running demo offers.
///
/// Holds keys: it is written for its owner's eyes only, and as a whole or not at all. More members come as more features do.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadyFile {
    pub(crate) base_url: String,
    pub(crate) tls_base_url: String,
    /// The certificate that a client of `tls_base_url` has to trust, PEM.
    pub(crate) ca_file: PathBuf,
    pub(crate) api_keys: ApiKeys,
    pub(crate) company_account: String,
    pub(crate) merchant_accounts: Vec<String>,
    pub(crate) stores: Vec<String>,
    pub(crate) terminals: Vec<TerminalEntry>,
}

/// API keys by what they are for.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeys {
    pub(crate) terminal_api: String,
    pub(crate) cloud_device: String,
    /// Of the POS Terminal Management API alone; `terminal_api` opens that too.
    pub(crate) terminal_management: String,
    pub(crate) management: String,
    pub(crate) actions_desktop: String,
    /// What requests of that key to the HTTP sibling of the Actions API are signed with.
    pub(crate) actions_desktop_secret: String,
    /// Of a terminal that nobody is yet.
    pub(crate) actions_terminal: String,
    /// Of the same company, for a merchant account that has none of the connected terminals.
    pub(crate) other_merchant: String,
    pub(crate) other_company: String,
}

/// One terminal of the demo.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TerminalEntry {
    pub(crate) poi_id: String,
    pub(crate) kind: String,
    pub(crate) platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    pub(crate) boarded: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boarding_code: Option<String>,
    /// Of one that is connected over the terminal link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_key: Option<SharedKey>,
    /// What desktops of the Actions API call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_id: Option<String>,
}

/// The `kind` of a terminal of the Actions API.
pub(super) const ACTIONS_TERMINAL: &str = "actions-terminal";

/// What Sale systems encrypt their messages for a terminal with, by the names of the Management API.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct SharedKey {
    pub(crate) identifier: String,
    pub(crate) passphrase: String,
    pub(crate) version: u32,
}

impl ReadyFile {
    /// Reads the file of a running demo.
    pub(crate) fn read(file: &Path) -> anyhow::Result<ReadyFile> {
        let text = fs::read(file).with_context(|| {
            format!("can't read {}: is the demo running, and ready? It writes the file then", file.display())
        })?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is no ready file of a demo", file.display()))
    }

    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        private_file::write_json(file, self)
    }
}
