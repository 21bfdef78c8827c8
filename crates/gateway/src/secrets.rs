//! Secrets that have to be had again, such as those that requests are signed with: sealed in the database, under a key that
//! is in a file of its own.
//!
//! What stays true: who has the database alone, or a backup of it, reads none of them; a sealed secret opens for the one that
//! it was sealed for only, so that rows which somebody has exchanged are found out; and a key file is there as a whole or not
//! at all, for its owner's eyes only, and is never written over.
//!
//! The seal is ChaCha20-Poly1305 (RFC 8439): one byte of version, four that name the key, a nonce of twelve random bytes,
//! then the encrypted secret with its tag. So few are ever sealed that random nonces do not meet.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::ids::{self, ApiSecret};
use crate::store::CredentialId;
use crate::store::actions::SealedSecret;

const VERSION: u8 = 1;
const KEY_NAME: usize = 4;
const NONCE: usize = 12;

/// Seals and opens. The key is read when it is needed first, and made then if it is one that we make.
#[derive(Debug)]
pub(crate) struct Secrets {
    file: Arc<Path>,
    /// Whether the operator has named the file: then it is not ours to make.
    is_named: bool,
    key: OnceCell<Key>,
}

/// A secret could not be sealed or opened. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// The key can't be read.
    #[error(
        "cannot read the key of all sealed secrets from {}: {problem}. Restore that file, or name it with key_file in [secrets]",
        file.display()
    )]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        problem: io::Error,
    },
    /// The operator has named a file that is not there.
    #[error(
        "there is no {}, which key_file in [secrets] names. Restore it; or, if nothing was sealed yet, make one: head -c 32 \
         /dev/urandom | base64",
        file.display()
    )]
    Missing {
        /// Which file.
        file: PathBuf,
    },
    /// The file holds something else.
    #[error("{} holds no key: expected 32 bytes in Base64 (44 characters). Restore that file", file.display())]
    NoKey {
        /// Which file.
        file: PathBuf,
    },
    /// The key can't be made.
    #[error("cannot make the key of all sealed secrets in {}: {problem}", file.display())]
    NotMade {
        /// Which file.
        file: PathBuf,
        /// Why.
        problem: io::Error,
    },
    /// It was sealed with a key that is not here.
    #[error("this secret was sealed with another key than that in {}. Restore the key that belongs to the database", file.display())]
    OtherKey {
        /// Which file.
        file: PathBuf,
    },
    /// Somebody has changed it, or it belongs to something else.
    #[error("a sealed secret is damaged, or was put in another's place: make a new one")]
    Damaged,
}

impl Secrets {
    /// Those of the installation that this configuration names.
    pub(crate) fn new(config: &Config) -> Secrets {
        let (file, is_named) = match &config.secrets_key_file {
            Some(file) => (file.clone(), true),
            None => (config.data_dir.join("secrets.key"), false),
        };
        Secrets { file: file.into(), is_named, key: OnceCell::new() }
    }

    /// Seals the secret that this credential signs with.
    ///
    /// # Errors
    /// [`SecretsError`], about the key.
    pub(crate) async fn seal_api_secret(
        &self,
        credential: &CredentialId,
        secret: &ApiSecret,
    ) -> Result<SealedSecret, SecretsError> {
        let key = self.key_to_seal_with().await?;
        key.seal(&of_api_secret(credential), secret.reveal().as_bytes())
    }

    /// Opens the secret that this credential signs with.
    ///
    /// # Errors
    /// [`SecretsError`]; after one about the key it may be tried again once the file is there.
    pub(crate) async fn open_api_secret(
        &self,
        credential: &CredentialId,
        sealed: &SealedSecret,
    ) -> Result<ApiSecret, SecretsError> {
        let opened = self.key_that_is_there().await?.open(&of_api_secret(credential), sealed, &self.file)?;
        let text = String::from_utf8(opened).map_err(|_| SecretsError::Damaged)?;
        Ok(ApiSecret::from_text(&text))
    }

    async fn key_to_seal_with(&self) -> Result<&Key, SecretsError> {
        let (file, is_named) = (self.file.clone(), self.is_named);
        let read_or_make = move || match Key::read(&file) {
            Err(problem) if problem.kind() == ErrorKind::NotFound && is_named => {
                Err(SecretsError::Missing { file: file.to_path_buf() })
            }
            Err(problem) if problem.kind() == ErrorKind::NotFound => make(&file),
            read => read.unwrap_or_else(|problem| Err(unreadable(&file, problem))),
        };
        self.key.get_or_try_init(|| blocking(self.file.clone(), read_or_make)).await
    }

    async fn key_that_is_there(&self) -> Result<&Key, SecretsError> {
        let file = self.file.clone();
        let read = move || Key::read(&file).unwrap_or_else(|problem| Err(unreadable(&file, problem)));
        self.key.get_or_try_init(|| blocking(self.file.clone(), read)).await
    }
}

/// What a credential's secret is sealed together with.
fn of_api_secret(credential: &CredentialId) -> String {
    format!("Actions apiSecret of {credential}")
}

async fn blocking(
    file: Arc<Path>,
    work: impl FnOnce() -> Result<Key, SecretsError> + Send + 'static,
) -> Result<Key, SecretsError> {
    let cut_short = |error: tokio::task::JoinError| unreadable(&file, io::Error::other(error));
    tokio::task::spawn_blocking(work).await.map_err(cut_short)?
}

fn unreadable(file: &Path, problem: io::Error) -> SecretsError {
    SecretsError::Unreadable { file: file.to_owned(), problem }
}

/// Makes a key, unless another process is just making one: then that one counts.
fn make(file: &Path) -> Result<Key, SecretsError> {
    let write = || -> io::Result<()> {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?; // Has mode 0600.
        writeln!(temporary, "{}", STANDARD.encode(ids::random::<32>()))?;
        temporary.as_file().sync_all()?;
        match temporary.persist_noclobber(file) {
            // Whatever is sealed with it must not outlive it.
            Ok(_) => File::open(dir)?.sync_all(),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
        }
    };
    write().map_err(|problem| SecretsError::NotMade { file: file.to_owned(), problem })?;
    Key::read(file).unwrap_or_else(|problem| Err(unreadable(file, problem)))
}

struct Key {
    cipher: ChaCha20Poly1305,
    /// Tells which key it is and nothing of it.
    name: [u8; KEY_NAME],
}

impl Key {
    /// The outer error is that of reading.
    fn read(file: &Path) -> io::Result<Result<Key, SecretsError>> {
        let text = std::fs::read_to_string(file)?;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(
                file = %file.display(),
                mode = format_args!("{:o}", mode & 0o777),
                "others than its owner may use the file with the key of all sealed secrets"
            );
        }
        let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(bytes.map(Key::new).ok_or_else(|| SecretsError::NoKey { file: file.to_owned() }))
    }

    fn new(bytes: [u8; 32]) -> Key {
        let mut digest = Sha256::new_with_prefix("name of a tillgate secrets key:");
        digest.update(bytes);
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        Key { cipher: ChaCha20Poly1305::new(&bytes.into()), name: [a, b, c, d] }
    }

    fn seal(&self, owner: &str, secret: &[u8]) -> Result<SealedSecret, SecretsError> {
        let nonce = ids::random::<NONCE>();
        let payload = Payload { msg: secret, aad: owner.as_bytes() };
        // Fails only for texts of many gigabytes.
        let encrypted =
            self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| SecretsError::Damaged)?;
        Ok(SealedSecret([&[VERSION][..], &self.name, &nonce, &encrypted].concat().into()))
    }

    fn open(&self, owner: &str, sealed: &SealedSecret, file: &Path) -> Result<Vec<u8>, SecretsError> {
        let parts = || {
            let (&version, rest) = sealed.0.split_first()?;
            let (name, rest) = rest.split_first_chunk::<KEY_NAME>()?;
            let (nonce, encrypted) = rest.split_first_chunk::<NONCE>()?;
            (version == VERSION).then_some((*name, *nonce, encrypted))
        };
        let (name, nonce, encrypted) = parts().ok_or(SecretsError::Damaged)?;
        if name != self.name {
            return Err(SecretsError::OtherKey { file: file.to_owned() });
        }
        let payload = Payload { msg: encrypted, aad: owner.as_bytes() };
        self.cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| SecretsError::Damaged)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An installation's secrets, as another process would see them.
    fn secrets(dir: &Path, key_file: Option<&str>) -> Secrets {
        let secrets_key_file = key_file.map(|name| dir.join(name));
        Secrets::new(&Config { data_dir: dir.to_owned(), secrets_key_file, ..Config::default() })
    }

    fn id(text: &str) -> CredentialId {
        CredentialId::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_secret_opens_in_another_process_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let secret = ApiSecret::fresh();
        let sealed = secrets(dir.path(), None).seal_api_secret(&id("ws_1"), &secret).await.unwrap();
        let other = secrets(dir.path(), None);
        assert_eq!(other.open_api_secret(&id("ws_1"), &sealed).await.unwrap(), secret);
        let wrong = other.open_api_secret(&id("ws_2"), &sealed).await.unwrap_err();
        assert!(matches!(wrong, SecretsError::Damaged), "{wrong}");
        let again = other.seal_api_secret(&id("ws_1"), &secret).await.unwrap();
        assert_ne!(again, sealed, "nobody sees that two secrets are the same");
    }

    #[tokio::test]
    async fn nothing_of_a_secret_is_in_its_seal_and_a_changed_one_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let (secrets, secret) = (secrets(dir.path(), None), ApiSecret::fresh());
        let sealed = secrets.seal_api_secret(&id("ws_1"), &secret).await.unwrap();
        let text = secret.reveal().as_bytes();
        assert!(text.windows(8).all(|part| !sealed.0.windows(8).any(|window| window == part)));
        for index in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[index] ^= 1;
            secrets.open_api_secret(&id("ws_1"), &changed).await.unwrap_err();
            let cut = SealedSecret(sealed.0[..index].into());
            secrets.open_api_secret(&id("ws_1"), &cut).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn the_key_is_made_when_something_is_sealed_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.key");
        let sealed = SealedSecret([VERSION; 60].into());
        let error = secrets(dir.path(), None).open_api_secret(&id("ws_1"), &sealed).await.unwrap_err();
        assert!(matches!(error, SecretsError::Unreadable { .. }) && !file.exists(), "{error}");
        secrets(dir.path(), None).seal_api_secret(&id("ws_1"), &ApiSecret::fresh()).await.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(STANDARD.decode(text.trim()).unwrap().len(), 32);
        secrets(dir.path(), None).seal_api_secret(&id("ws_2"), &ApiSecret::fresh()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "a key is never written over");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[tokio::test]
    async fn a_gateway_that_runs_already_opens_what_a_key_was_made_for_later() {
        let dir = tempfile::tempdir().unwrap();
        let running = secrets(dir.path(), None);
        let early = SealedSecret([VERSION; 60].into());
        running.open_api_secret(&id("ws_1"), &early).await.unwrap_err();
        let secret = ApiSecret::fresh();
        let sealed = secrets(dir.path(), None).seal_api_secret(&id("ws_1"), &secret).await.unwrap();
        assert_eq!(running.open_api_secret(&id("ws_1"), &sealed).await.unwrap(), secret);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn processes_that_make_a_key_at_once_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let made: Vec<_> = (0..8)
            .map(|_| {
                let secrets = secrets(dir.path(), None);
                tokio::spawn(async move {
                    secrets.seal_api_secret(&id("ws_1"), &ApiSecret::fresh()).await.unwrap()
                })
            })
            .collect();
        let later = secrets(dir.path(), None);
        for sealed in made {
            later.open_api_secret(&id("ws_1"), &sealed.await.unwrap()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_key_file_that_is_of_no_use_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let named = || secrets(dir.path(), Some("named.key"));
        let error = named().seal_api_secret(&id("ws_1"), &ApiSecret::fresh()).await.unwrap_err();
        assert!(matches!(error, SecretsError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("named.key, which key_file in [secrets] names"), "{error}");
        for text in ["", "no key", &STANDARD.encode([7; 31])] {
            std::fs::write(dir.path().join("named.key"), text).unwrap();
            let error = named().seal_api_secret(&id("ws_1"), &ApiSecret::fresh()).await.unwrap_err();
            assert!(matches!(error, SecretsError::NoKey { .. }), "{error}");
        }
        std::fs::write(dir.path().join("named.key"), STANDARD.encode([7; 32])).unwrap();
        let sealed = named().seal_api_secret(&id("ws_1"), &ApiSecret::fresh()).await.unwrap();
        std::fs::write(dir.path().join("named.key"), STANDARD.encode([8; 32])).unwrap();
        let error = named().open_api_secret(&id("ws_1"), &sealed).await.unwrap_err();
        assert!(matches!(error, SecretsError::OtherKey { .. }), "{error}");
        assert_eq!(format!("{:?}", Key::new([7; 32])), "Key(..)");
    }
}
