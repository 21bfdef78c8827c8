//! `POST /connectedTerminals`: which terminals have a live connection, from live presence and never from a memory.
//!
//! Source: Terminal API, "Check the cloud connection".

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use nexo::PoiId;
use serde::{Deserialize, Serialize};

use super::SaleApi;
use crate::access::{Caller, Role};
use crate::http::body;
use crate::http::problem::{ClassicError, ErrorType};
use crate::store::{MerchantCode, StoreCode, StoreError};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    #[serde(default)]
    merchant_account: Option<String>,
    #[serde(default)]
    store: Option<String>,
    #[serde(default)]
    unique_terminal_id: Option<String>,
}

/// The POIIDs, sorted; empty is not an error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connected {
    unique_terminal_ids: Vec<PoiId>,
}

/// Lists the connected terminals of a merchant account and its stores, or of one store; one terminal is asked itself.
pub(super) async fn call(State(api): State<Arc<SaleApi>>, headers: HeaderMap, body: Body) -> Response {
    let caller = match api.access.authenticate(&headers).await.and_then(|c| c.require(Role::TerminalApi)) {
        Ok(caller) => caller,
        Err(denied) => return ClassicError::from(denied).into_response(),
    };
    let bytes = match body::read(&headers, body, api.body_limit).await {
        Ok(bytes) => bytes,
        Err(error) => return ClassicError::from(error).into_response(),
    };
    let question: Question = match serde_json::from_slice(&bytes) {
        Ok(question) => question,
        Err(error) => {
            let message = format!("The request can't be read: {error}");
            return ClassicError::new(StatusCode::BAD_REQUEST, "702", message, ErrorType::Validation)
                .into_response();
        }
    };
    match answer(&api, &caller, question).await {
        Ok(Ok(unique_terminal_ids)) => Json(Connected { unique_terminal_ids }).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(error) => {
            tracing::error!(%error, "connected terminals can't be listed because the store can't be read");
            ClassicError::try_again(StatusCode::SERVICE_UNAVAILABLE, "Try again.").into_response()
        }
    }
}

async fn answer(
    api: &SaleApi,
    caller: &Caller,
    question: Question,
) -> Result<Result<Vec<PoiId>, ClassicError>, StoreError> {
    let Some(merchant) = question.merchant_account.filter(|m| !m.is_empty()) else {
        let message = "Required field 'merchantAccount' is null";
        let error =
            ClassicError::new(StatusCode::INTERNAL_SERVER_ERROR, "702", message, ErrorType::Validation);
        return Ok(Err(error));
    };
    let merchant = match MerchantCode::parse(&merchant) {
        Ok(code)
            if caller.may_use_merchant(code.as_str())
                && api.directory.has_merchant(&caller.company, &code).await? =>
        {
            code
        }
        _ => return Ok(Err(ClassicError::invalid_merchant_account())),
    };
    let store = match question.store.as_deref().map(StoreCode::parse) {
        None => None,
        Some(Ok(code)) if api.directory.has_store(&merchant, &code).await? => Some(code),
        Some(_) => return Ok(Err(not_found())),
    };
    let Some(id) = question.unique_terminal_id else {
        let online = |poi: &PoiId| api.presence.is_online(poi);
        return Ok(Ok(api
            .directory
            .terminals_at(&caller.company, &merchant, store.as_ref(), online)
            .await?));
    };
    let Ok(poi) = PoiId::parse(&id) else { return Ok(Err(not_found())) };
    let terminal = api.directory.terminal(&poi).await?.filter(|t| {
        t.company == caller.company
            && t.place.merchant() == Some(&merchant)
            && store.as_ref().is_none_or(|s| t.place.store() == Some(s))
    });
    if terminal.is_none() {
        return Ok(Err(not_found()));
    }
    // One terminal is pinged: the answer is a fact, not a memory.
    Ok(Ok(if api.presence.check(&poi).await { vec![poi] } else { Vec::new() }))
}

/// One text for what is unknown and for what is somebody else's.
fn not_found() -> ClassicError {
    let message = "The store or terminal was not found under this merchant account";
    ClassicError::new(StatusCode::UNPROCESSABLE_ENTITY, "000", message, ErrorType::Validation)
}
