//! The key that the demo's terminals share with Sale systems which encrypt their messages. It is kept like the API keys.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use nexo::{EncryptionKey, Passphrase};

use super::private_file;
use super::ready_file::SharedKey;

const FILE: &str = "demo-encryption-key.json";

/// Makes the key, or takes that of an earlier demo.
pub(super) fn make(dir: &Path) -> anyhow::Result<SharedKey> {
    let file = dir.join(FILE);
    match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| {
            format!("{} can't be read; remove it, and the demo makes a new key", file.display())
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = SharedKey { identifier: "demo-key".to_owned(), passphrase: passphrase()?, version: 1 };
            private_file::write_json(&file, &key)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
    }
}

impl SharedKey {
    /// Ready for use.
    pub(super) fn derive(&self) -> anyhow::Result<EncryptionKey> {
        let passphrase = Passphrase::parse(&self.passphrase).with_context(|| format!("in {FILE}"))?;
        Ok(EncryptionKey::derive(&self.identifier, self.version, &passphrase))
    }
}

/// 128 random bits behind one of each kind of character that the rule for passphrases demands.
fn passphrase() -> anyhow::Result<String> {
    let random = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    let (high, low) = random.context("the system has no random numbers")?;
    Ok(format!("Tillgate1.{high:016x}{low:016x}"))
}
