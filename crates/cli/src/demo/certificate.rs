//! The demo's HTTPS: a CA made on the spot, and a certificate of it for this machine's own loopback.
//!
//! The CA's private key is never stored: it signs one certificate and is gone. So nobody who comes by a trusted CA file of a
//! demo can make a certificate for anything else. On data that is kept both certificates stay, so that whoever trusted them
//! yesterday is served today, until they are about to expire and are made anew together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use super::private_file;

/// What the certificate is for: where a demo listens, by number and by name.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Under the 398 days beyond which some clients refuse a certificate.
const VALID_FOR: Duration = DAY.saturating_mul(365);

/// Clocks of containers and virtual machines may be behind the one that signs.
const VALID_BEFORE: Duration = DAY;

/// A demo that is started runs for hours, seldom for days; in a month it has surely ended.
const RENEW_BEFORE: Duration = DAY.saturating_mul(30);

/// Where the certificates are, all in PEM.
#[derive(Debug)]
pub(super) struct Files {
    /// The CA's certificate: what a client has to trust.
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// Makes the certificates, unless those of an earlier demo are still good.
pub(super) fn prepare(data_dir: &Path) -> anyhow::Result<Files> {
    // Whoever reads the path may stand in another directory.
    let dir = std::path::absolute(data_dir).context("can't tell the current directory")?.join("tls");
    let files = Files { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    let now = SystemTime::now();
    if !files.are_good(now) {
        private_file::create_dir(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        files.make(now)?;
    }
    Ok(files)
}

impl Files {
    /// Whether a client that trusts this CA would be content, today and for a while; whatever stands in the way, there is one
    /// remedy.
    fn are_good(&self, now: SystemTime) -> bool {
        let check = || -> Result<(), Box<dyn std::error::Error>> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let cert = CertificateDer::from_pem_file(&self.cert)?;
            CertifiedKey::from_der(
                vec![cert.clone()],
                PrivateKeyDer::from_pem_file(&self.key)?,
                provider.as_ref(),
            )?;
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&self.ca)?)?;
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build()?;
            for at in [now, now + RENEW_BEFORE] {
                // The CA's own dates are not looked at here; they are the certificate's.
                let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH)?);
                for name in NAMES {
                    verifier.verify_server_cert(&cert, &[], &ServerName::try_from(name)?, &[], at)?;
                }
            }
            Ok(())
        };
        check().is_ok()
    }

    fn make(&self, now: SystemTime) -> anyhow::Result<()> {
        let made = Made::sign(now).context("can't make a certificate for HTTPS")?;
        // The key first and the CA last: cut off in between, they don't fit together and are made again.
        for (file, pem) in [(&self.key, made.key), (&self.cert, made.cert), (&self.ca, made.ca)] {
            private_file::write(file, pem.as_bytes())?;
        }
        Ok(())
    }
}

/// PEM.
struct Made {
    ca: String,
    cert: String,
    key: String,
}

impl Made {
    fn sign(now: SystemTime) -> Result<Made, rcgen::Error> {
        let mut ca = dated(CertificateParams::new([])?, now);
        ca.distinguished_name = named(&format!("Tillgate demo CA, made {}", minute(now)));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];

        let mut leaf = dated(CertificateParams::new(NAMES.map(str::to_owned))?, now);
        leaf.distinguished_name = named("Tillgate demo");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;

        let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let ca_cert = ca.self_signed(&ca_key)?;
        let cert = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
        Ok(Made { ca: ca_cert.pem(), cert: cert.pem(), key: key.serialize_pem() })
    }
}

fn dated(mut params: CertificateParams, now: SystemTime) -> CertificateParams {
    params.not_before = (now - VALID_BEFORE).into();
    params.not_after = (now + VALID_FOR).into();
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::OrganizationName, "Tillgate demo, for tests on this computer only");
    names.push(DnType::CommonName, name);
    names
}

/// `2026-11-20 09:15 UTC`: tells the CA of one demo from another's.
fn minute(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at)
        .map_or_else(|_| "at no known time".to_owned(), |at| at.strftime("%F %R UTC").to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn ca(files: &Files) -> String {
        fs::read_to_string(&files.ca).unwrap()
    }

    #[test]
    fn certificates_are_kept_while_they_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let first = ca(&prepare(dir.path()).unwrap());
        assert_eq!(ca(&prepare(dir.path()).unwrap()), first);
    }

    #[test]
    fn certificates_that_are_about_to_expire_are_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = prepare(dir.path()).unwrap();
        let now = SystemTime::now();
        assert!(files.are_good(now) && files.are_good(now + VALID_FOR - RENEW_BEFORE - DAY));
        files.make(now - VALID_FOR + RENEW_BEFORE - DAY).unwrap();
        let old = ca(&files);
        assert!(!files.are_good(now));
        let files = prepare(dir.path()).unwrap();
        assert!(files.are_good(now) && ca(&files) != old);
    }

    #[test]
    fn files_that_do_not_fit_together_are_made_anew() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let other = prepare(other.path()).unwrap();
        for broken in ["ca", "cert", "key"] {
            let files = prepare(dir.path()).unwrap();
            let (to, from) = match broken {
                "ca" => (&files.ca, &other.ca),
                "cert" => (&files.cert, &other.cert),
                _ => (&files.key, &other.key),
            };
            fs::copy(from, to).unwrap();
            assert!(!files.are_good(SystemTime::now()), "{broken}");
            fs::write(to, "no PEM").unwrap();
            assert!(prepare(dir.path()).unwrap().are_good(SystemTime::now()), "{broken}");
        }
    }
}
