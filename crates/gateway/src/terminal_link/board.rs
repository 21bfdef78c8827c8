//! `POST /terminal/v1/board`: a terminal shows the code that was typed into it, and gets its token.
//!
//! `{"poiId":"V400m-324688179","boardingCode":"7KQ2M-XR9TD","journalId":"j_5f.."}` is answered by
//! `{"token":"tg_term_..","merchantAccount":"DEMO_MERCHANT_EU","store":"STORE_AMS"}`; `store` is absent when the merchant
//! account itself represents the store. Source: our own protocol, `docs/terminal-link.md`, "Boarding".

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use nexo::PoiId;
use relay::JournalId;
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::fleet::{Boarding, BoardingCode};
use crate::http::body;
use crate::http::listener::Peer;
use crate::http::patience::Patience;
use crate::http::peer::Proxies;
use crate::http::problem::Problem;
use crate::ids::TerminalToken;
use crate::presence::Presence;
use crate::store::{BoardError, BoardRefused, StoreError, Terminal};

/// Three short texts.
const REQUEST_MAX: usize = 4 * 1024;

/// What boarding uses.
#[derive(Debug)]
pub(crate) struct BoardApi {
    pub(crate) boarding: Arc<Boarding>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) proxies: Proxies,
    /// Boardings that have begun are waited for when the gateway stops.
    pub(crate) tasks: TaskTracker,
    pub(crate) patience: Patience,
}

impl BoardApi {
    /// `/terminal/v1/board`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/terminal/v1/board", post(call)).with_state(Arc::new(self))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    poi_id: PoiId,
    boarding_code: String,
    journal_id: JournalId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
}

async fn call(
    State(api): State<Arc<BoardApi>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let address = api.proxies.client(peer.ip(), &headers);
    match board(&api, address, &headers, body).await {
        // The token must stay in no cache on the way.
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn board(
    api: &Arc<BoardApi>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let bytes = body::read(headers, body, api.patience.for_body(REQUEST_MAX)).await?;
    let request: Request = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("The request can't be read: {error}"))
    })?;
    // In a task of its own: whoever hangs up now must not leave the link of the former token standing.
    let boarding = api.tasks.spawn(take(api.clone(), request, address));
    let (token, terminal) = boarding.await.map_err(|_| BoardError::Store(StoreError::Closed))??;
    Ok(Answer {
        token: token.reveal().to_owned(),
        merchant_account: terminal.place.merchant().map(|m| m.as_str().to_owned()),
        store: terminal.place.store().map(|s| s.as_str().to_owned()),
    })
}

/// Boards the terminal, and ends the link that its former token opened.
async fn take(
    api: Arc<BoardApi>,
    request: Request,
    address: IpAddr,
) -> Result<(TerminalToken, Terminal), BoardError> {
    let code = BoardingCode::typed(&request.boarding_code);
    let boarded = api.boarding.board(&request.poi_id, &code, request.journal_id, address).await?;
    api.presence.token_ended(&request.poi_id);
    Ok(boarded)
}

impl From<BoardError> for Problem {
    fn from(error: BoardError) -> Problem {
        match error {
            BoardError::Refused(refused) => Problem::from(refused),
            BoardError::Store(error) => {
                tracing::error!(%error, "a terminal could not be boarded, because the store failed");
                Problem::try_again(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Not boarded. Try again with the same code.",
                )
            }
        }
    }
}

/// A time for people: never shorter than it is.
fn wait(seconds: u32) -> String {
    match (seconds, seconds.div_ceil(60)) {
        (1, _) => "1 second".to_owned(),
        (..120, _) => format!("{seconds} seconds"),
        (_, minutes) => format!("{minutes} minutes"),
    }
}

impl From<BoardRefused> for Problem {
    fn from(refused: BoardRefused) -> Problem {
        match refused {
            BoardRefused::WrongCode => Problem::forbidden(
                "This is not the terminal's boarding code. Compare code and POIID, or make a new code.",
            )
            .code("wrong-code"),
            BoardRefused::CodeExpired => {
                Problem::forbidden("The boarding code has expired. Make a new one.").code("code-expired")
            }
            BoardRefused::CodeUsed => {
                Problem::forbidden("The boarding code was used already. Make a new one.").code("code-used")
            }
            BoardRefused::Locked { seconds_left } => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "Too many wrong boarding codes for this terminal or from this address. Try again in {}.",
                    wait(seconds_left)
                ),
            )
            .code("locked")
            .retry_after(Duration::from_secs(seconds_left.into())),
            BoardRefused::InInventory => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The terminal is in inventory. Assign it first: to a store, or to a merchant account that represents one.",
            )
            .code("assign-first"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_or_minutes_and_never_too_short() {
        for (seconds, text) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (121, "3 minutes"),
            (900, "15 minutes"),
        ] {
            assert_eq!(wait(seconds), text);
        }
    }
}
