//! The certificate of HTTPS: read when the gateway starts, and again whenever its files change.
//!
//! What stays true: there is always a certificate that its key fits. Files that can't be used change nothing, for whoever
//! replaces two files has them unfit for a moment; when they stay so, that is logged once. A connection keeps the certificate
//! that it began with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::config::Tls;

/// Between two looks at the files. They are read whole, a few KB from the system's cache: times of change have too little
/// resolution on some file systems, and the links that some tools switch have their own.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What keeps TLS from being offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is not there, or is no PEM.
    #[error("cannot read {what} from {}: {problem}", file.display())]
    File {
        /// The certificate chain or the private key.
        what: &'static str,
        /// Which file.
        file: PathBuf,
        /// Why.
        problem: pem::Error,
    },
    /// A certificate and a key that don't go together, or aren't of use.
    #[error("the certificate in {} and its key can't be used: {problem}", file.display())]
    Pair {
        /// The certificate's file.
        file: PathBuf,
        /// Why.
        problem: rustls::Error,
    },
}

/// A certificate, its key, and the files that they come from.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    provider: Arc<CryptoProvider>,
    used: Arc<Used>,
    /// What the files held when `used` was read.
    of_used: Digest,
    failing: Option<Failing>,
}

/// What new connections are shown.
#[derive(Debug)]
struct Used(RwLock<Arc<CertifiedKey>>);

/// Of what both files hold, in place of another copy of the private key.
type Digest = [u8; 32];

/// Files that can't be used, at the last look.
#[derive(Debug)]
struct Failing {
    /// None for files that can't be read.
    digest: Option<Digest>,
    told: bool,
}

/// What a look at the files has found.
#[derive(Debug)]
enum Look {
    /// Nothing new.
    Same,
    /// Another certificate, which is used from here on.
    Replaced,
    /// Files that could not be used at the last look either.
    Unusable(TlsError),
}

impl Certificate {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub(crate) fn load(files: &Tls) -> Result<Certificate, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let content = Content::read(files)?;
        let used = Arc::new(Used(RwLock::new(Arc::new(content.certified_key(files, &provider)?))));
        Ok(Certificate { files: files.clone(), provider, used, of_used: content.digest(), failing: None })
    }

    /// TLS 1.2 and 1.3 for HTTP/1.1, with the certificate that is the latest at each handshake.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|problem| TlsError::Pair { file: self.files.cert.clone(), problem })?
            .with_no_client_auth()
            .with_cert_resolver(self.used.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files until it is told to stop.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let looked = tokio::task::spawn_blocking(move || {
                let found = self.look();
                (self, found)
            });
            let Ok((certificate, found)) = looked.await else {
                tracing::error!(
                    "looking at the certificate's files ended by itself; they are not followed any more"
                );
                return;
            };
            self = certificate;
            match found {
                Look::Same => {}
                Look::Replaced => {
                    tracing::info!(file = %self.files.cert.display(), "new connections get the new certificate");
                }
                Look::Unusable(error) => {
                    tracing::warn!(%error, "the certificate's files have changed and can't be used; the one before stays");
                }
            }
        }
    }

    /// Reads the files, and uses them if they are new and good.
    fn look(&mut self) -> Look {
        let read = Content::read(&self.files);
        let digest = read.as_ref().ok().map(Content::digest);
        if digest == Some(self.of_used) {
            self.failing = None;
            return Look::Same;
        }
        if let Some(failing) = self.failing.as_ref().filter(|failing| failing.digest == digest)
            && failing.told
        {
            return Look::Same;
        }
        let certified = read.and_then(|content| content.certified_key(&self.files, &self.provider));
        match (certified, digest) {
            (Ok(certified), Some(digest)) => {
                *self.used.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                self.of_used = digest;
                self.failing = None;
                Look::Replaced
            }
            (Ok(_), None) => Look::Same, // What was read has a digest.
            (Err(error), digest) => {
                // Only one of two files may have been replaced yet, or half of one.
                let again = self.failing.as_ref().is_some_and(|failing| failing.digest == digest);
                self.failing = Some(Failing { digest, told: again });
                if again { Look::Unusable(error) } else { Look::Same }
            }
        }
    }
}

impl ResolvesServerCert for Used {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What both files hold. It has no `Debug`: one of them is a private key.
struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    fn read(files: &Tls) -> Result<Content, TlsError> {
        let read = |what, file: &Path| {
            std::fs::read(file).map_err(|error| unreadable(what, file, pem::Error::Io(error)))
        };
        Ok(Content { cert: read(CHAIN, &files.cert)?, key: read(KEY, &files.key)? })
    }

    fn digest(&self) -> Digest {
        let mut digest = Sha256::new();
        for part in [&self.cert, &self.key] {
            digest.update(Sha256::digest(part));
        }
        digest.finalize().into()
    }

    fn certified_key(&self, files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|problem| unreadable(CHAIN, &files.cert, problem))?;
        if chain.is_empty() {
            return Err(unreadable(CHAIN, &files.cert, pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|problem| unreadable(KEY, &files.key, problem))?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|problem| TlsError::Pair { file: files.cert.clone(), problem })
    }
}

const CHAIN: &str = "a certificate chain";
const KEY: &str = "a private key";

fn unreadable(what: &'static str, file: &Path, problem: pem::Error) -> TlsError {
    TlsError::File { what, file: file.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A certificate and its key, in the files.
    fn write(files: &Tls) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(&files.cert, &cert).unwrap();
        fs::write(&files.key, &key).unwrap();
        (cert, key)
    }

    fn files(dir: &Path) -> Tls {
        Tls { listen: "127.0.0.1:0".parse().unwrap(), cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.used.0.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let error = Certificate::load(&files(Path::new("/nowhere"))).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot read a certificate chain from /nowhere/cert.pem: "),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_a_certificate_and_a_key_of_another_one_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let (cert, _) = write(&files);
        write(&files);
        fs::write(&files.cert, "no PEM").unwrap();
        let error = Certificate::load(&files).unwrap_err().to_string();
        assert!(error.starts_with("cannot read a certificate chain from "), "{error}");
        fs::write(&files.cert, cert).unwrap();
        let error = Certificate::load(&files).unwrap_err().to_string();
        assert!(error.contains("and its key can't be used: "), "{error}");
    }

    #[test]
    fn a_pair_that_is_replaced_file_by_file_is_used_once_it_fits_and_nobody_is_alarmed() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        write(&files);
        let mut certificate = Certificate::load(&files).unwrap();
        let before = shown(&certificate);
        assert!(matches!(certificate.look(), Look::Same));

        let old_key = fs::read(&files.key).unwrap();
        let (_, new_key) = write(&files);
        fs::write(&files.key, old_key).unwrap();
        assert!(matches!(certificate.look(), Look::Same));
        assert_eq!(shown(&certificate), before);
        fs::write(&files.key, new_key).unwrap();
        assert!(matches!(certificate.look(), Look::Replaced));
        assert_ne!(shown(&certificate), before);
        assert!(matches!(certificate.look(), Look::Same));
    }

    #[test]
    fn files_that_stay_unusable_are_told_once_and_the_certificate_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let (good, _) = write(&files);
        let mut certificate = Certificate::load(&files).unwrap();
        let before = shown(&certificate);
        for broken in [Some(&good[..good.len() / 2]), Some(""), None] {
            match broken {
                Some(text) => fs::write(&files.cert, text).unwrap(),
                None => fs::remove_file(&files.cert).unwrap(),
            }
            assert!(matches!(certificate.look(), Look::Same), "it may be half written");
            assert!(matches!(certificate.look(), Look::Unusable(TlsError::File { .. })));
            assert!(matches!(certificate.look(), Look::Same), "told once");
            assert_eq!(shown(&certificate), before);
        }
        fs::write(&files.cert, &good).unwrap();
        assert!(matches!(certificate.look(), Look::Same));
        write(&files);
        assert!(matches!(certificate.look(), Look::Replaced));
    }
}
