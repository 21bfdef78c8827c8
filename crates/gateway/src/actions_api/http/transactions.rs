//! `GET /v1/transactions/{transactionId}`: what became of a payment, whichever way it was asked for.
//!
//! ```json
//! {"transactionId":"T-5001","status":"COMPLETED","request":{…},"response":{…},"createdAt":"…","updatedAt":"…",
//!  "completedAt":"…","serviceId":"0A1B2C3D4E","saleId":"Actions","poiId":"V400m-324688179","timestamp":"…"}
//! ```
//! `status` is `PENDING`, `AWAITING_RECONNECT`, `COMPLETED`, `FAILED`, `CANCELLED` or `VOIDED`. `FAILED` without `completedAt`
//! is not known yet: the terminal has stayed away. `request` and `response` are the `paymentRequest` and `paymentResponse`; what
//! is not there yet is absent.
//!
//! Source: sibling pages of the Actions page, "Get transaction". `serviceId`, `saleId` and `poiId`, by which the payment is
//! looked up over the Terminal API, and `late` and `voidReason` are ours.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use relay::WallMs;
use relay::actions::{self, TransactionId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::HttpError;
use super::{ActionsHttp, raw};
use crate::actions::payments::tell::VOID_REASON;
use crate::store::actions::{Transaction, TransactionStatus, Void};

/// Answers with one of the credential's own. Whoever is shown a success has read it, so that it is not voided any more (E25).
pub(super) async fn call(
    State(api): State<Arc<ActionsHttp>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    api.answer(look(&api, path, request).await)
}

async fn look(
    api: &ActionsHttp,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, HttpError> {
    let taken = api.take(request).await?;
    let id = path.ok().and_then(|Path(id)| TransactionId::parse(&id)).ok_or(HttpError::NoTransaction)?;
    let find = async || api.store.transaction(&taken.caller.credential, &id).await;
    let mut found = find().await?.ok_or(HttpError::NoTransaction)?;
    let now = api.clock.now().wall;
    if found.status == TransactionStatus::Completed
        && found.read.is_none()
        && !api.store.note_transaction_read(found.seq, now).await?
    {
        // It is being voided, maybe since a moment ago.
        found = find().await?.ok_or(HttpError::NoTransaction)?;
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Shown::of(&found, now)?)).into_response())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    transaction_id: String,
    status: &'static str,
    request: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Box<RawValue>>,
    /// A success that came after a `FAILED`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voided_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void_reason: Option<&'static str>,
    service_id: String,
    sale_id: &'static str,
    poi_id: String,
    timestamp: String,
}

impl Shown {
    fn of(transaction: &Transaction, now: WallMs) -> Result<Shown, HttpError> {
        let Transaction { facts, response, updated, completed, late, void, voided, .. } = transaction;
        let shown = Shown {
            transaction_id: facts.id.to_string(),
            status: transaction.told_status().as_str(),
            request: raw(&facts.payment_request)?,
            response: response.as_ref().map(raw).transpose()?,
            late: *late,
            created_at: facts.created.to_rfc3339(),
            updated_at: updated.to_rfc3339(),
            completed_at: completed.map(WallMs::to_rfc3339),
            voided_at: voided.map(WallMs::to_rfc3339),
            void_reason: (*void == Void::Done).then_some(VOID_REASON),
            service_id: facts.service.to_string(),
            sale_id: actions::SALE_ID,
            poi_id: facts.poi.to_string(),
            timestamp: now.to_rfc3339(),
        };
        Ok(match void {
            // Neither a success nor voided: whoever asks is to ask again.
            Void::Pending => Shown {
                status: TransactionStatus::Pending.as_str(),
                response: None,
                late: false,
                completed_at: None,
                ..shown
            },
            Void::None | Void::Done | Void::Failed => shown,
        })
    }
}
