//! Fleet software comes in: the POS Terminal Management API, on its three paths.
//!
//! `/postfmapi/terminal/{operation}` answers with booleans; `/postfmapi/terminal/v1/{operation}` and `/v1/{operation}` write
//! them as texts, unless the settings of the fleet or of the gateway say otherwise. In everything else they are one.
//!
//! Source: POS Terminal Management API. Superseded at its origin by the Management API, which is at `/v3`.

mod answer;
mod assign_terminals;
mod find_terminal;
mod listing;
mod members;
mod stores_under_account;
mod terminal_details;
mod terminals_under_account;
mod wire_bool;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::routing::post;
use bytes::Bytes;

use crate::access::{Access, Caller, Role};
use crate::config::TerminalManagementSettings;
use crate::fleet::{Assignments, Queries};
use crate::http::body;
use crate::http::patience::Patience;
use crate::http::problem::ClassicError;
use wire_bool::Path;

/// What the POS Terminal Management API uses.
pub(crate) struct TerminalManagementApi {
    pub(crate) access: Arc<Access>,
    pub(crate) queries: Queries,
    pub(crate) assignments: Arc<Assignments>,
    pub(crate) settings: TerminalManagementSettings,
    pub(crate) patience: Patience,
    /// Of every operation but assignTerminals, which has a limit of its own.
    pub(crate) body_limit: usize,
}

type Api = State<Arc<TerminalManagementApi>>;

/// Where the operations are, and how booleans are written there.
const PATHS: [(&str, Path); 3] = [
    ("/postfmapi/terminal", Path::Unversioned),
    ("/postfmapi/terminal/v1", Path::Versioned),
    ("/v1", Path::Versioned),
];

impl TerminalManagementApi {
    /// The five operations on all paths.
    pub(crate) fn router(self) -> Router {
        let mut router = Router::new();
        for (prefix, path) in PATHS {
            let other_method = || async { ClassicError::post_only() };
            router = router
                .route(
                    &format!("{prefix}/findTerminal"),
                    post(async move |State(api): Api, headers: HeaderMap, body: Body| {
                        find_terminal::call(&api, path, &headers, body).await.into_response()
                    })
                    .fallback(other_method),
                )
                .route(
                    &format!("{prefix}/getTerminalDetails"),
                    post(async move |State(api): Api, headers: HeaderMap, body: Body| {
                        terminal_details::call(&api, path, &headers, body).await.into_response()
                    })
                    .fallback(other_method),
                )
                .route(
                    &format!("{prefix}/getTerminalsUnderAccount"),
                    post(async |State(api): Api, headers: HeaderMap, body: Body| {
                        terminals_under_account::call(&api, &headers, body).await.into_response()
                    })
                    .fallback(other_method),
                )
                .route(
                    &format!("{prefix}/getStoresUnderAccount"),
                    post(async |State(api): Api, headers: HeaderMap, body: Body| {
                        stores_under_account::call(&api, &headers, body).await.into_response()
                    })
                    .fallback(other_method),
                )
                .route(
                    &format!("{prefix}/assignTerminals"),
                    post(async |State(api): Api, headers: HeaderMap, body: Body| {
                        assign_terminals::call(&api, &headers, body).await.into_response()
                    })
                    .fallback(other_method),
                );
        }
        router.with_state(Arc::new(self))
    }

    /// Who calls, and what was sent: the body only of somebody who may ask.
    async fn take(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<(Arc<Caller>, Bytes), ClassicError> {
        let caller = self.access.authenticate(headers).await?.require(Role::TerminalManagementApi)?;
        let bytes = body::read(headers, body, self.patience.for_body(limit)).await?;
        Ok((caller, bytes))
    }
}
