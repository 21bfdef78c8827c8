//! The terminal's HTTP calls: boarding, maintenance, and the upgrade of a link.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexo::PoiId;
use relay::{JournalId, SUBPROTOCOL};
use reqwest::header::{AUTHORIZATION, CONNECTION, HeaderMap, RETRY_AFTER, UPGRADE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::actions::Dialect;
use crate::machine::{Boarded, CallError, MaintenanceAnswer, Refusal, Report};
use crate::secret::Secret;
use crate::socket::Socket;

/// From the first byte sent to the last one received.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// From the connect to the 101.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(15);

/// What names the protocol of a link.
const SUBPROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 256 * 1024;

/// A terminal can't begin to talk to its gateway.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The base URL is none, or of another scheme.
    #[error("{0:?} is not an http or https URL")]
    BaseUrl(String),
    /// The CA file can't be read, or holds no certificate.
    #[error("{}: {problem}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// One terminal's way to its gateway.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    base: Url,
    path: LinkPath,
}

/// Where a link is opened, and how the terminal proves itself there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkPath {
    Link,
    Actions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BoardRequest<'a> {
    poi_id: &'a PoiId,
    boarding_code: &'a str,
    journal_id: &'a JournalId,
}

impl Http {
    pub(crate) fn new(base_url: &str, ca_file: Option<&Path>, dialect: &Dialect) -> Result<Http, HttpError> {
        let base = Url::parse(base_url).map_err(|_| HttpError::BaseUrl(base_url.into()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(HttpError::BaseUrl(base_url.into()));
        }
        let mut builder = Client::builder();
        if base.host_str().is_some_and(is_loopback) {
            builder = builder.no_proxy(); // A proxy has another loopback.
        }
        let client = builder
            .tls_backend_preconfigured(tls(base.scheme() == "https", ca_file)?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(UPGRADE_TIMEOUT)
            // Between two maintenance calls lie hours: nothing is worth keeping open.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| HttpError::Tls(error.to_string()))?;
        let path = match dialect {
            Dialect::Link => LinkPath::Link,
            Dialect::Actions(_) => LinkPath::Actions,
        };
        Ok(Http { client, base, path })
    }

    pub(crate) async fn board(
        &self,
        poi_id: &PoiId,
        code: &Secret,
        journal_id: &JournalId,
    ) -> Result<Boarded, CallError> {
        let body = BoardRequest { poi_id, boarding_code: code.reveal(), journal_id };
        let request = self.request(Method::POST, "terminal/v1/board").timeout(CALL_TIMEOUT).json(&body);
        answer(request).await
    }

    pub(crate) async fn maintain(
        &self,
        token: &Secret,
        report: &Report,
    ) -> Result<MaintenanceAnswer, CallError> {
        let request = self
            .request(Method::POST, "terminal/v1/maintenance")
            .timeout(CALL_TIMEOUT)
            .header(AUTHORIZATION, format!("Bearer {}", token.reveal()))
            .json(report);
        answer(request).await
    }

    /// Opens a link; nothing has been said over it yet. `token` is the API key for one of the Actions API.
    pub(crate) async fn connect(&self, token: &Secret) -> Result<Box<Socket>, CallError> {
        let key = generate_key();
        let request = match self.path {
            LinkPath::Link => self
                .request(Method::GET, "terminal/v1/link")
                .header(AUTHORIZATION, format!("Bearer {}", token.reveal()))
                .header(SUBPROTOCOL_HEADER, SUBPROTOCOL),
            LinkPath::Actions => self.request(Method::GET, "v1").header("x-api-key", token.reveal()),
        };
        let request = request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", &key);
        let opening = async {
            let response = request.send().await.map_err(failed)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(CallError::Refused(refusal(response).await));
            }
            let says = |name: &str, value: &str| {
                response.headers().get(name).is_some_and(|header| header.as_bytes() == value.as_bytes())
            };
            if !says("Sec-WebSocket-Accept", &derive_accept_key(key.as_bytes())) {
                return Err(CallError::Failed("the gateway's upgrade does not fit the request".into()));
            }
            if self.path == LinkPath::Link && !says(SUBPROTOCOL_HEADER, SUBPROTOCOL) {
                return Err(CallError::Failed(format!("the gateway does not speak {SUBPROTOCOL}")));
            }
            let upgraded = response.upgrade().await.map_err(failed)?;
            Ok(Box::new(Socket::new(upgraded).await))
        };
        match tokio::time::timeout(UPGRADE_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(CallError::Failed(format!("no upgrade within {} s", UPGRADE_TIMEOUT.as_secs()))),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        self.client.request(method, url)
    }
}

async fn answer<T: for<'de> Deserialize<'de>>(request: RequestBuilder) -> Result<T, CallError> {
    let response = request.send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(CallError::Refused(refusal(response).await));
    }
    let body = body(response).await?;
    // The text of the error names members and types; values that it quotes may be secret.
    serde_json::from_slice(&body)
        .map_err(|error| CallError::Failed(format!("the answer can't be read ({:?})", error.classify())))
}

async fn refusal(response: Response) -> Refusal {
    #[derive(Default, Deserialize)]
    struct Problem {
        code: Option<String>,
        detail: Option<String>,
        title: Option<String>,
        /// In the Actions dialect.
        message: Option<String>,
    }
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let body = body(response).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    Refusal {
        status,
        code: problem.code,
        detail: problem.detail.or(problem.message).or(problem.title),
        retry_after,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u32 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

async fn body(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(CallError::Failed(format!("the answer is longer than {ANSWER_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failed(error: reqwest::Error) -> CallError {
    // What lies at the bottom says more than the layers above it.
    let error = error.without_url();
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    while let Some(next) = wrapped(cause).or_else(|| cause.source()) {
        cause = next;
    }
    CallError::Failed(match cause.downcast_ref() {
        Some(rustls::Error::InvalidMessage(_)) => {
            "the gateway speaks plain HTTP there: try http:// instead of https://".into()
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the gateway's certificate is not from an issuer that is trusted here: name the issuer's own as CA file"
                .into()
        }
        _ => cause.to_string(),
    })
}

/// An I/O error does not call what it wraps its source.
fn wrapped<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    Some(inner)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Without TLS on the way, the certificates of the operating system are not read: a fleet would pay for each.
fn tls(needed: bool, ca_file: Option<&Path>) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Tls(error.to_string()))?;
    let config = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
        None if needed => builder
            .with_platform_verifier()
            .map_err(|error| HttpError::Tls(error.to_string()))?
            .with_no_client_auth(),
        None => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    Ok(config)
}

fn roots(path: &Path) -> Result<RootCertStore, HttpError> {
    let failed = |problem: String| HttpError::CaFile { path: path.to_path_buf(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("holds no certificate".into()));
    }
    Ok(roots)
}
