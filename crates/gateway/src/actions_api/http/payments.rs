//! `POST /v1/terminals/{terminalId}/payments`: a payment, and its end in the same HTTP response if that comes within 90 s.
//!
//! The body is a `paymentRequest`. One without `transactionId` gets a name that is made of its signature: so the same signed
//! request sent twice, as HTTP clients do when a connection breaks, is one payment.
//!
//! ```json
//! {"transactionId":"T-5001","status":"SUCCESS","paymentResponse":{…},"timestamp":"…"}
//! ```
//! `status` is that of the `paymentResponse`; or `VOIDED`, without one, for a payment that was taken back since. What did not
//! even begin at its terminal is an error, and so is what has no end yet (`TIMEOUT`).
//!
//! Source: sibling pages of the Actions page, "Create payment". Which ends are errors is ours.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nexo::Kept;
use relay::WallMs;
use relay::actions::{ClientError, PaymentAsk, PaymentFailure};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::error::{BegunPayment, HttpError, Refusal};
use super::{ActionsHttp, Taken, raw};
use crate::actions::payments::{Beginning, Followed, NotBegun, PaymentOf};
use crate::actions::terminals::Target;
use crate::store::StoreError;
use crate::store::actions::{Edition, Transaction, TransactionStatus, Void};

/// How long an answer is waited for. From the source.
const WAIT: Duration = Duration::from_secs(90);

/// Begins it, or joins the one that it repeats, and waits for its end.
pub(super) async fn call(
    State(api): State<Arc<ActionsHttp>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    api.answer(pay(&api, path, request).await)
}

async fn pay(
    api: &ActionsHttp,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, HttpError> {
    let taken = api.take(request).await?;
    let ask = read(&taken)?;
    let Path(called) = path.map_err(|_| HttpError::NoTerminal)?;
    match begin(api, &taken, &called, &ask).await? {
        Beginning::Followed(followed) => {
            let transaction = followed.transaction;
            wait(followed).await;
            let found = api.store.transaction(&taken.caller.credential, ask.transaction()).await;
            let found = found.map_err(lost)?.filter(|found| found.seq == transaction);
            tell(api, &found.ok_or(HttpError::Internal)?).await
        }
        Beginning::Stands(found) => tell(api, &found).await,
        Beginning::Clashes => Err(HttpError::Duplicate),
    }
}

fn read(taken: &Taken) -> Result<PaymentAsk, HttpError> {
    #[derive(Deserialize)]
    struct Mode {
        #[serde(rename = "webhookMode")]
        webhook_mode: Option<bool>,
    }

    // Without the white space around it, as it comes in a frame.
    let body: Box<RawValue> = serde_json::from_slice(&taken.body)
        .map_err(|_| HttpError::BadRequest("The body is no JSON: it is to be a paymentRequest.".into()))?;
    let body = Bytes::copy_from_slice(body.get().as_bytes());
    let ask = PaymentAsk::read(&body, || taken.name.clone())
        .map_err(|ClientError { message, .. }| HttpError::BadRequest(message))?;
    match serde_json::from_slice(&body) {
        Ok(Mode { webhook_mode: None | Some(false) }) => Ok(ask),
        Ok(Mode { webhook_mode: Some(true) }) => Err(HttpError::NoWebhooks),
        Err(_) => Err(HttpError::BadRequest("webhookMode must be true or false, once.".into())),
    }
}

async fn begin(
    api: &ActionsHttp,
    taken: &Taken,
    called: &str,
    ask: &PaymentAsk,
) -> Result<Beginning, HttpError> {
    let caller = &taken.caller;
    let target = api.terminals.resolve(&caller.company, &taken.groups, called).await;
    let refused = match target.and_then(Target::connected) {
        Ok(target) => {
            let payment = PaymentOf {
                caller: caller.clone(),
                // What is missed over HTTP is looked up over HTTP.
                device: None,
                connection: None,
                poi: target.poi,
                called: called.into(),
                group: target.group,
                ask: ask.clone(),
            };
            return Ok(api.payments.begin(payment).await?);
        }
        Err(why) => HttpError::from(why),
    };
    // One that was begun before is told of however its terminal is now.
    api.payments.repeat(caller, None, called, ask).await?.ok_or(refused)
}

/// Until there is something to tell, or the time is over.
async fn wait(followed: Followed) {
    let mut news = followed.news;
    let _ = timeout(WAIT, news.wait_for(|edition| *edition > Edition::default())).await;
}

async fn tell(api: &ActionsHttp, transaction: &Transaction) -> Result<Response, HttpError> {
    let now = api.clock.now().wall;
    let response = transaction.response.as_ref().map(raw).transpose()?;
    let id = transaction.facts.id.to_string();
    let told = |status: &str, payment_response, voided: Option<WallMs>| {
        let paid = Told {
            transaction_id: id.clone(),
            status: status.to_owned(),
            payment_response,
            late: transaction.late && voided.is_none(),
            voided_at: voided.map(WallMs::to_rfc3339),
            timestamp: now.to_rfc3339(),
        };
        ([(header::CACHE_CONTROL, "no-store")], Json(paid)).into_response()
    };
    let refused = |status, code, message: &str, payment_response| {
        let begun = BegunPayment { transaction_id: id.clone(), payment_response };
        Refusal { status, code, message: message.to_owned(), begun: Some(begun) }.at(now)
    };
    let no_end = |payment_response| refused(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", NO_END, payment_response);
    Ok(match (transaction.status, transaction.void) {
        (TransactionStatus::Pending | TransactionStatus::AwaitingReconnect, _) | (_, Void::Pending) => {
            no_end(None)
        }
        (TransactionStatus::Completed, _) => {
            match transaction.read.is_some()
                || api.store.note_transaction_read(transaction.seq, now).await.map_err(lost)?
            {
                true => told(if transaction.in_part { "FAILED" } else { "SUCCESS" }, response, None),
                // A void has begun a moment ago.
                false => no_end(None),
            }
        }
        (TransactionStatus::Cancelled, _) => told("CANCELLED", response, None),
        (TransactionStatus::Voided, _) => told("VOIDED", None, transaction.voided),
        // The desktop is told that it is not known.
        (TransactionStatus::Failed, _) if transaction.completed.is_none() => no_end(response),
        (TransactionStatus::Failed, _) => match transaction.response.as_ref().and_then(why) {
            Some(why @ PaymentFailure::PaymentInProgress) => {
                refused(StatusCode::CONFLICT, why.code(), why.message(), response)
            }
            Some(why @ PaymentFailure::TerminalOffline) => {
                refused(StatusCode::SERVICE_UNAVAILABLE, why.code(), why.message(), response)
            }
            _ => told("FAILED", response, None),
        },
    })
}

/// What is said of a payment that has no end yet.
const NO_END: &str = "The payment was begun, and its end is not known yet. Do not charge again: look at GET \
                      /v1/transactions/{transactionId} until it says how it ended.";

/// It was begun, and can't be looked at.
fn lost(error: StoreError) -> HttpError {
    tracing::error!(%error, "a payment of the Actions API can't be answered because of the store");
    HttpError::Internal
}

/// Why a payment did not begin at its terminal, if it did not. No terminal can give these codes: the gateway does, for a
/// terminal that was not reached, and for one whose condition is *busy*.
fn why(response: &Kept) -> Option<PaymentFailure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Code {
        error_code: String,
    }

    let Code { error_code } = serde_json::from_slice(response.bytes()).ok()?;
    [PaymentFailure::PaymentInProgress, PaymentFailure::TerminalOffline]
        .into_iter()
        .find(|why| why.code() == error_code)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    transaction_id: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_response: Option<Box<RawValue>>,
    /// A success that came after somebody was told that the end is not known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    voided_at: Option<String>,
    timestamp: String,
}

impl From<NotBegun> for HttpError {
    fn from(error: NotBegun) -> HttpError {
        match error {
            NotBegun::TooMany => HttpError::TooManyOpen,
            NotBegun::Stopping => HttpError::Stopping,
            NotBegun::TooLate => HttpError::Unavailable,
            NotBegun::Store(error) => error.into(),
        }
    }
}
