//! `POST /v3/terminals/{terminalId}/boardingCode`: a code to type at a terminal, so that it may connect.
//!
//! Ours; the Management API has no such call. Answers `201`:
//! `{"boardingCode":"7KQ2M-XR9TD","expiresAt":"2026-11-21T09:15:00.000Z"}`. The code is shown this once, and ends any
//! earlier code of the terminal.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nexo::PoiId;
use serde::Serialize;

use super::ManagementApi;
use crate::access::Role;
use crate::clock::rfc3339;
use crate::fleet::NoCode;
use crate::http::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    boarding_code: String,
    expires_at: String,
}

pub(super) async fn make(
    State(api): State<Arc<ManagementApi>>,
    Path(terminal_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match try_make(&api, &terminal_id, &headers).await {
        // The code must stay in no cache on the way.
        Ok(made) => (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn try_make(api: &ManagementApi, terminal_id: &str, headers: &HeaderMap) -> Result<Made, Problem> {
    let caller =
        api.access.authenticate(headers).await.and_then(|c| c.require(Role::TerminalActionsWrite))?;
    // What can't be a POIID is no terminal's.
    let poi = PoiId::parse(terminal_id).map_err(|_| Problem::from(NoCode::Unknown))?;
    let made = api.boarding.make_code_for(&caller, &poi).await?;
    Ok(Made { boarding_code: made.code.reveal(), expires_at: rfc3339(made.expires) })
}

impl From<NoCode> for Problem {
    fn from(error: NoCode) -> Problem {
        match error {
            // The same for a terminal of another company: nobody learns which POIIDs exist.
            NoCode::Unknown => Problem::not_found("There is no such terminal in this company."),
            NoCode::OutOfScope => {
                Problem::forbidden("The API credential may not use the merchant account of this terminal.")
            }
            NoCode::InInventory(place) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!(
                    "The terminal is in inventory ({place}). Assign it first: to a store, or to a merchant account \
                     that represents one."
                ),
            ),
            NoCode::ActionsTerminal => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The terminal is an Actions terminal: it connects with its API key, and is not boarded with a code.",
            ),
            NoCode::Store(error) => {
                tracing::error!(%error, "no boarding code, because the store failed");
                Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, "No code was made. Try again.")
            }
        }
    }
}
