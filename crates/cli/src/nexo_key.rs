//! The key that a terminal shares with Sale systems which encrypt their messages, as it is given to a command.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use nexo::{EncryptionKey, Passphrase};

const PASSPHRASE: &str = "TILLGATE_NEXO_PASSPHRASE";

/// No passphrase among the arguments: everybody on the machine can read those.
#[derive(Debug, Args)]
pub(crate) struct NexoKey {
    /// Open encrypted messages that name this key, and answer them encrypted
    #[arg(long, value_name = "ID")]
    nexo_key_identifier: Option<String>,
    /// Version of that key
    #[arg(long, value_name = "N", default_value_t = 1, requires = "nexo_key_identifier")]
    nexo_key_version: u32,
    /// File with that key's passphrase [env: TILLGATE_NEXO_PASSPHRASE, the passphrase itself]
    #[arg(long, value_name = "FILE", requires = "nexo_key_identifier")]
    nexo_passphrase_file: Option<PathBuf>,
}

impl NexoKey {
    pub(crate) fn open(self) -> anyhow::Result<Option<EncryptionKey>> {
        let Some(identifier) = self.nexo_key_identifier else { return Ok(None) };
        let text = match (&self.nexo_passphrase_file, std::env::var(PASSPHRASE)) {
            (Some(file), _) => {
                std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?
            }
            (None, Ok(text)) if !text.is_empty() => text,
            (None, _) => bail!(
                "what is the passphrase of key {identifier}? Name a file that holds it with --nexo-passphrase-file, or set \
                 {PASSPHRASE}"
            ),
        };
        let passphrase = Passphrase::parse(text.trim_end_matches(['\r', '\n']))?;
        Ok(Some(EncryptionKey::derive(identifier, self.nexo_key_version, &passphrase)))
    }
}
