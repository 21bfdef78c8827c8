//! The classic dialect: `POST /sync`, `/async` and `/connectedTerminals`.
//!
//! Source: Terminal API, cloud endpoints.

mod answer;
mod connected_terminals;
mod send;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;

use super::SaleApi;
use crate::access::{Caller, Denied, Role};
use crate::http::problem::ClassicError;

pub(super) fn router() -> Router<Arc<SaleApi>> {
    let other_method = || async { ClassicError::post_only() };
    Router::new()
        .route("/sync", post(send::sync).fallback(other_method))
        .route("/async", post(send::r#async).fallback(other_method))
        .route("/connectedTerminals", post(connected_terminals::call).fallback(other_method))
}

/// Who calls; a key for the newer dialect opens the older one too.
async fn caller(api: &SaleApi, headers: &HeaderMap) -> Result<Arc<Caller>, Denied> {
    let caller = api.access.authenticate(headers).await?;
    caller.require_either(Role::TerminalApi, Role::CloudDeviceApi)
}
