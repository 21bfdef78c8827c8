//! POS requests come in: the classic endpoints of the Terminal API.

mod answer;
mod connected_terminals;
mod sync;
mod told_body;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

use crate::access::Access;
use crate::exchange::Exchanges;
use crate::fleet::Directory;
use crate::presence::Presence;

/// What the classic endpoints use.
pub(crate) struct SaleApi {
    pub(crate) access: Arc<Access>,
    pub(crate) exchanges: Exchanges,
    pub(crate) directory: Arc<Directory>,
    pub(crate) presence: Arc<Presence>,
    /// The longest POS message in bytes.
    pub(crate) body_limit: usize,
}

impl SaleApi {
    /// `/sync` and `/connectedTerminals`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/sync", post(sync::call))
            .route("/connectedTerminals", post(connected_terminals::call))
            .with_state(Arc::new(self))
    }
}
