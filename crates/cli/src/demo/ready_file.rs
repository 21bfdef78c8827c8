//! The ready file: everything about a running demo that a program needs, written once that is so.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What a running demo offers.
///
/// Holds keys: it is written for its owner's eyes only, and as a whole or not at all. More members come as more features do.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadyFile {
    pub(crate) base_url: String,
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
    pub(crate) management: String,
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
        write_private(file, self)
    }
}

/// Writes JSON with mode 0600: whoever reads the file sees the whole of it, or the one before.
pub(super) fn write_private<T: Serialize>(file: &Path, content: &T) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?; // Has mode 0600.
        serde_json::to_writer_pretty(&mut temporary, content)?;
        temporary.write_all(b"\n")?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("can't write {}", file.display()))
}
