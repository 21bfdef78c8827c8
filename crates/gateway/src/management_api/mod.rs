//! Fleet software comes in: the Management API, as far as it goes today.

mod boarding_code;
mod terminal_settings;
mod terminals;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::access::Access;
use crate::fleet::{Boarding, Settings, Upkeep};
use crate::http::body::BodyLimits;
use crate::store::fleet_store::V1Booleans;

/// The longest body of a call, in bytes: all that can be set is a tenth of it.
pub(crate) const BODY_MAX: usize = 16 * 1024;

/// What the Management API uses.
#[derive(Debug)]
pub(crate) struct ManagementApi {
    pub(crate) access: Arc<Access>,
    pub(crate) boarding: Arc<Boarding>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) upkeep: Upkeep,
    /// What holds where nothing is set.
    pub(crate) v1_booleans: V1Booleans,
    /// Of every call.
    pub(crate) body: BodyLimits,
}

impl ManagementApi {
    /// Everything below `/v3`.
    pub(crate) fn router(self) -> Router {
        use terminal_settings as settings;
        Router::new()
            .route("/v3/terminals/{terminal_id}/boardingCode", post(boarding_code::make))
            .route("/v3/terminals", post(terminals::add))
            .route("/v3/terminals/{terminal_id}/retire", post(terminals::retire))
            .route("/v3/terminals/{terminal_id}/tokens", get(terminals::tokens))
            .route("/v3/terminals/{terminal_id}/tokens/rotate", post(terminals::rotate))
            .route("/v3/terminals/{terminal_id}/tokens/{token_id}", delete(terminals::revoke))
            .route(
                "/v3/companies/{id}/terminalSettings",
                get(settings::of_company).patch(settings::change_company),
            )
            .route(
                "/v3/merchants/{id}/terminalSettings",
                get(settings::of_merchant).patch(settings::change_merchant),
            )
            .route(
                "/v3/merchants/{id}/stores/{reference}/terminalSettings",
                get(settings::of_merchants_store).patch(settings::change_merchants_store),
            )
            .route("/v3/stores/{id}/terminalSettings", get(settings::of_store).patch(settings::change_store))
            .route(
                "/v3/terminals/{terminal_id}/terminalSettings",
                get(settings::of_terminal).patch(settings::change_terminal),
            )
            .with_state(Arc::new(self))
    }
}
