//! The HTTP sibling of the Actions API: a desktop without a socket lists terminals, pays, and looks at transactions.
//!
//! Each request is signed ([`signing`]); a terminal's key opens nothing here. A payment is the same transaction as one over the
//! WebSocket: (credential, `transactionId`) names it for 48 h, whichever way it is asked for.
//!
//! Source: sibling pages of the Actions page; what they leave open is ours, and said to be.

mod error;
mod payments;
mod signing;
mod terminals;
mod transactions;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use nexo::Kept;
use relay::actions::TransactionId;
use serde_json::value::RawValue;

use super::groups_named;
use crate::access::{Access, Caller, Role};
use crate::actions::payments::Payments;
use crate::actions::terminals::Terminals;
use crate::clock::Clock;
use crate::http::body::{self, BodyLimits};
use crate::ids::ApiSecret;
use crate::secrets::Secrets;
use crate::store::Store;
use crate::store::actions::{ActionsFacts, Group};
use error::HttpError;
use signing::Signed;

/// What the HTTP sibling uses.
pub(crate) struct ActionsHttp {
    pub(crate) access: Arc<Access>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) clock: Clock,
    pub(crate) terminals: Arc<Terminals>,
    pub(crate) payments: Arc<Payments>,
    /// Of requests.
    pub(crate) body: BodyLimits,
}

/// A request whose signature is right.
struct Taken {
    caller: Arc<Caller>,
    /// The groups that it is about: the one that `x-group-id` names, or all of its key's.
    groups: Vec<Group>,
    body: Bytes,
    /// For a payment that has none: the same for the same signed request.
    name: TransactionId,
}

impl ActionsHttp {
    /// Its paths.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/v1/terminals", get(terminals::call).fallback(only_get))
            .route("/v1/terminals/{terminalId}/payments", post(payments::call).fallback(only_post))
            .route("/v1/transactions/{transactionId}", get(transactions::call).fallback(only_get))
            .with_state(Arc::new(self))
    }

    /// Reads a request as far as its path does not matter: who makes it, for which groups, and with which body.
    async fn take(&self, request: Request) -> Result<Taken, HttpError> {
        let (parts, body) = request.into_parts();
        let key = text(&parts.headers, "x-api-key").ok_or(HttpError::NoKey)?;
        let caller = self.access.authenticate_key(key).await?.require(Role::ActionsDesktop)?;
        let Some(facts @ ActionsFacts::Desktop { secret, .. }) = &caller.actions else {
            return Err(HttpError::NoDesktop);
        };
        let secret = self.secrets.open_api_secret(&caller.credential, secret).await.map_err(|error| {
            tracing::error!(credential.id = %caller.credential, %error, "a signature can't be checked");
            HttpError::Internal
        })?;
        let (body, name) = self.read(&parts, body, &secret).await?;
        let groups = groups_named(facts, text(&parts.headers, "x-group-id"))?;
        Ok(Taken { caller, groups, body, name })
    }

    /// The body, once its signature is right, and a name that is made of the signature.
    async fn read(
        &self,
        parts: &Parts,
        body: Body,
        secret: &ApiSecret,
    ) -> Result<(Bytes, TransactionId), HttpError> {
        let shown = |name| text(&parts.headers, name).ok_or(HttpError::NotSigned(name));
        let (timestamp, signature) = (shown("x-timestamp")?, shown("x-signature")?);
        let body = body::read(&parts.headers, body, self.body).await?;
        let signed = Signed { method: &parts.method, path: parts.uri.path(), timestamp, body: &body };
        signed.verify(secret, signature, self.clock.now().wall)?;
        Ok((body, signing::name_of(signature)))
    }

    /// The answer of a call, or what was wrong with it.
    fn answer(&self, result: Result<Response, HttpError>) -> Response {
        result.unwrap_or_else(|error| error.at(self.clock.now().wall))
    }
}

/// A header that is there and not empty.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
}

async fn only_get(State(api): State<Arc<ActionsHttp>>) -> Response {
    api.answer(Err(HttpError::OtherMethod("GET, HEAD")))
}

async fn only_post(State(api): State<Arc<ActionsHttp>>) -> Response {
    api.answer(Err(HttpError::OtherMethod("POST")))
}

/// JSON as it is kept.
fn raw(kept: &Kept) -> Result<Box<RawValue>, HttpError> {
    serde_json::from_slice(kept.bytes()).map_err(|error| {
        tracing::error!(%error, "a transaction's JSON can't be read back");
        HttpError::Internal
    })
}
