//! Fleet software comes in: the Management API, as far as it goes today.

mod boarding_code;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

use crate::access::Access;
use crate::fleet::Boarding;

/// What the Management API uses.
#[derive(Debug)]
pub(crate) struct ManagementApi {
    pub(crate) access: Arc<Access>,
    pub(crate) boarding: Arc<Boarding>,
}

impl ManagementApi {
    /// Everything below `/v3`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/v3/terminals/{terminal_id}/boardingCode", post(boarding_code::make))
            .with_state(Arc::new(self))
    }
}
