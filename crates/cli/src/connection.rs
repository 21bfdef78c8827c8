//! Which gateway a command talks to, and talking to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use nexo::PoiId;
use reqwest::{Certificate, Client, StatusCode, Url};
use rustls::CertificateError;
use serde::Deserialize;

use crate::demo::ReadyFile;

/// A gateway, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The gateway [env: TILLGATE_URL]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// API key [env: TILLGATE_API_KEY]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Ready file of a running demo: fills in what is not given otherwise
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A gateway that can be asked.
pub(crate) struct Gateway {
    url: String,
    key: String,
    client: Client,
    /// Of the demo, if one was named.
    pub(crate) ready: Option<ReadyFile>,
}

/// Why there is no answer of use. Each text says what to do.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The gateway took nothing, or was not reached.
    NotTaken(anyhow::Error),
    /// The gateway may have the request.
    NotKnown(anyhow::Error),
}

impl From<CallError> for anyhow::Error {
    fn from(error: CallError) -> anyhow::Error {
        match error {
            CallError::NotTaken(error) | CallError::NotKnown(error) => error,
        }
    }
}

/// An answer that is an error, in either of its forms.
#[derive(Default, Deserialize)]
struct Refusal {
    message: Option<String>,
    detail: Option<String>,
}

impl Connection {
    pub(crate) fn open(self) -> anyhow::Result<Gateway> {
        let ready = self.ready_file.as_deref().map(ReadyFile::read).transpose()?;
        let env = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = self.url.or_else(|| Some(ready.as_ref()?.base_url.clone())).or_else(|| env("TILLGATE_URL"));
        let key = self.key.or_else(|| Some(ready.as_ref()?.api_keys.terminal_api.clone()));
        let key = key.or_else(|| env("TILLGATE_API_KEY"));
        let (url, key) = match (url, key) {
            (Some(url), Some(key)) => (url, key),
            (Some(url), None) => bail!("with which API key at {url}? Give --key, or set TILLGATE_API_KEY"),
            (None, Some(_)) => bail!("which gateway? Give --url, or set TILLGATE_URL"),
            (None, None) => bail!(
                "which gateway, and with which API key? Give --url and --key, or set TILLGATE_URL and TILLGATE_API_KEY, \
                 or name the ready file of a running demo with --ready-file"
            ),
        };
        let parsed = with_scheme(&url)?;
        let of_the_demo = ready.as_ref().filter(|_| parsed.scheme() == "https").map(|ready| &ready.ca_file);
        let ca_file = self.ca_file.as_ref().or(of_the_demo);
        let mut client = Client::builder().connect_timeout(Duration::from_secs(10));
        if parsed.host_str().is_some_and(is_loopback) {
            client = client.no_proxy(); // A proxy has another loopback.
        }
        if let Some(file) = ca_file {
            let pem = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} holds no certificates in PEM", file.display()))?;
            client = client.tls_certs_only(certificates);
        }
        let client = client.build().context("can't set up HTTP")?;
        Ok(Gateway { url: url.trim_end_matches('/').to_owned(), key, client, ready })
    }
}

impl Gateway {
    /// The terminal that was asked for, or else the demo's first one that is boarded.
    pub(crate) fn terminal(&self, asked: Option<PoiId>) -> anyhow::Result<PoiId> {
        if let Some(poi) = asked {
            return Ok(poi);
        }
        let boarded = self.ready.iter().flat_map(|ready| &ready.terminals).find(|terminal| terminal.boarded);
        let boarded = boarded.context("which terminal? Give --poi-id")?;
        Ok(PoiId::parse(&boarded.poi_id)?)
    }

    /// POSTs JSON. An answer with another status than 200 is an error.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>, wait: Duration) -> Result<Vec<u8>, CallError> {
        let request = self.client.post(format!("{}{path}", self.url)).timeout(wait).body(body);
        let request = request.header("x-api-key", &self.key).header("content-type", "application/json");
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.no_answer(&error))?;
        if status == StatusCode::OK { Ok(body.to_vec()) } else { Err(self.refused(path, status, &body)) }
    }

    fn refused(&self, path: &str, status: StatusCode, body: &[u8]) -> CallError {
        let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
        let text = refusal.message.or(refusal.detail).unwrap_or_else(|| "it did not say why".to_owned());
        CallError::NotTaken(match status {
            StatusCode::UNAUTHORIZED => anyhow!(
                "{} does not know this API key. It may be revoked, or another gateway's: `tillgate key list` shows the keys \
                 that are good, and a demo prints its own when it starts",
                self.url
            ),
            StatusCode::NOT_FOUND => {
                anyhow!("{} has nothing at {path}: is it a Tillgate gateway? Check --url", self.url)
            }
            _ => anyhow!("{} refused ({status}): {text}", self.url),
        })
    }

    fn no_answer(&self, error: &reqwest::Error) -> CallError {
        let cause = bottom(error);
        match tls_error(error) {
            Some(rustls::Error::InvalidMessage(_)) => {
                let plain = self.url.replacen("https://", "http://", 1);
                return CallError::NotTaken(anyhow!("{} speaks plain HTTP: try {plain}", self.url));
            }
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return CallError::NotTaken(anyhow!(
                    "the certificate of {} is not from an issuer that is trusted here. Name the issuer's own with --ca-file",
                    self.url
                ));
            }
            Some(rustls::Error::InvalidCertificate(reason)) => {
                return CallError::NotTaken(anyhow!(
                    "the certificate of {} was refused: {}",
                    self.url,
                    refusal_of(reason)
                ));
            }
            _ => {}
        }
        if error.is_connect() || error.is_builder() {
            return CallError::NotTaken(anyhow!(
                "nothing answers at {}: {cause}. Is the gateway running? `tillgate serve` starts one, and `tillgate demo` one \
                 to try",
                self.url
            ));
        }
        CallError::NotKnown(match error.is_timeout() {
            true => anyhow!("{} did not answer in time", self.url),
            false => anyhow!("the connection to {} broke off: {cause}", self.url),
        })
    }
}

/// Why a certificate was refused, and what to do. The library has no words for the commonest reason.
fn refusal_of(reason: &CertificateError) -> String {
    let text = reason.to_string();
    if text.contains("CaUsedAsEndEntity") {
        "it is that of a CA, as a self-signed one that is made in one step mostly is. Let a CA sign one for the gateway, and \
         name the CA's own with --ca-file"
            .to_owned()
    } else {
        text
    }
}

/// What lies at the bottom says more than the layers above it.
fn bottom(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What TLS has to say about it, if it is that.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref() {
            return Some(tls);
        }
        // An I/O error does not call what it wraps its source.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

/// An http or https URL. `localhost:8080` is a URL too, of the scheme `localhost`, and never meant as that.
pub(crate) fn with_scheme(text: &str) -> anyhow::Result<Url> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ if !text.contains("://") => bail!("{text:?} has no scheme: try http://{text}"),
        Ok(url) => bail!("{text:?}: expected http or https, got {}", url.scheme()),
        Err(error) => bail!("{text:?} is no URL: {error}"),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_its_scheme_is_answered_with_one_that_has_it() {
        assert!(with_scheme("http://localhost:8080").is_ok() && with_scheme("https://[::1]/x").is_ok());
        for text in ["localhost:8080", "127.0.0.1:8080", "gateway.example"] {
            let error = with_scheme(text).unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} has no scheme: try http://{text}"));
        }
        assert!(with_scheme("ftp://gateway.example").unwrap_err().to_string().contains("got ftp"));
    }
}
