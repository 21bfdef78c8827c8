//! Which gateway a command talks to, and talking to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use nexo::PoiId;
use reqwest::{Certificate, Client, StatusCode};
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
        let (Some(url), Some(key)) = (url, key) else {
            bail!(
                "which gateway, and with which API key? Give --url and --key, or set TILLGATE_URL and TILLGATE_API_KEY, \
                 or name the ready file of a running demo with --ready-file"
            );
        };
        let parsed = reqwest::Url::parse(&url).with_context(|| format!("{url:?} is no URL"))?;
        let mut client = Client::builder().connect_timeout(Duration::from_secs(10));
        if parsed.host_str().is_some_and(is_loopback) {
            client = client.no_proxy(); // A proxy has another loopback.
        }
        if let Some(file) = &self.ca_file {
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
        if error.is_connect() || error.is_builder() {
            return CallError::NotTaken(anyhow!(
                "nothing answers at {}: {cause}. Is the gateway running? `tillgate demo` starts one",
                self.url
            ));
        }
        CallError::NotKnown(match error.is_timeout() {
            true => anyhow!("{} did not answer in time", self.url),
            false => anyhow!("the connection to {} broke off: {cause}", self.url),
        })
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

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
