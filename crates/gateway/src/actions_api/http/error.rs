//! Errors of the HTTP sibling, each with its status and its code.
//!
//! ```json
//! {"code":"TERMINAL_OFFLINE","message":"…","timestamp":"2026-11-20T08:15:00.000Z"}
//! ```
//! An error about a payment that was begun has its `transactionId` besides, and its `paymentResponse` once there is one.
//!
//! Source of the codes: sibling pages of the Actions page, "Error codes". The object, and the codes that are marked so below,
//! are ours: the source shows none.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use relay::WallMs;
use relay::actions::PaymentFailure;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::OtherGroup;
use super::signing::SigningError;
use crate::access::{Denied, Role};
use crate::actions::terminals::NoTarget;
use crate::http::body::BodyError;
use crate::store::StoreError;

/// How long a caller is asked to wait when nothing more exact is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call was not answered as asked. `Display` is the message: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("No API key. Send it in the header x-api-key.")]
    NoKey,
    #[error("The header {0} is missing. Sign each request: x-timestamp and x-signature.")]
    NotSigned(&'static str),
    #[error("This API key is not valid: it was never made, or it was revoked.")]
    BadKey,
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("{0}.")]
    Denied(Denied),
    #[error(
        "This API key is for no desktop of the Actions API. Make one with `tillgate key new --role actions-desktop`."
    )]
    NoDesktop,
    #[error(transparent)]
    OtherGroup(#[from] OtherGroup),
    #[error("The terminal is in a group of your company that this API key may not use.")]
    TerminalOfOtherGroup,
    #[error("No terminal of this API key's groups is called that. GET /v1/terminals lists them.")]
    NoTerminal,
    #[error("No transaction of this API key is called that.")]
    NoTransaction,
    #[error(
        "webhookMode is not possible: this gateway has no webhooks for the Actions API yet. Leave it out and wait for the answer, or look at GET /v1/transactions/{{transactionId}}."
    )]
    NoWebhooks,
    #[error(
        "Another payment of this API key has had this transactionId within the last 48 hours. It was not touched; use a new one."
    )]
    Duplicate,
    #[error(
        "As many payments of this API key are open as may (limit exchanges_per_key). This call has begun nothing; try again later."
    )]
    TooManyOpen,
    #[error("The gateway is stopping. This call has begun nothing; try again in a moment.")]
    Stopping,
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("This path takes {0} only.")]
    OtherMethod(&'static str),
    #[error(
        "The terminal is not connected, and nothing was sent to it. Try again once GET /v1/terminals says online."
    )]
    TerminalOffline,
    #[error("The gateway can't look that up right now. This call has begun nothing; try again.")]
    Unavailable,
    #[error("The gateway has failed. If this was a payment, look at its transaction before you try again.")]
    Internal,
}

impl HttpError {
    /// Status and code.
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoKey | Self::NotSigned(_) | Self::BadKey => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::Signing(SigningError::OtherSignature) => (StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE"),
            Self::Signing(SigningError::NoTimestamp | SigningError::OtherTime { .. }) => {
                (StatusCode::UNAUTHORIZED, "TIMESTAMP_EXPIRED")
            }
            Self::OtherGroup(_) | Self::TerminalOfOtherGroup => (StatusCode::FORBIDDEN, "GROUP_MISMATCH"),
            Self::NoTerminal => (StatusCode::NOT_FOUND, "TERMINAL_NOT_FOUND"),
            Self::TerminalOffline => (StatusCode::SERVICE_UNAVAILABLE, "TERMINAL_OFFLINE"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
            // From here on the codes are ours.
            Self::NoDesktop | Self::Denied(Denied::Unauthorized | Denied::Forbidden(_)) => {
                (StatusCode::FORBIDDEN, "FORBIDDEN")
            }
            Self::NoTransaction => (StatusCode::NOT_FOUND, "TRANSACTION_NOT_FOUND"),
            Self::Duplicate => (StatusCode::CONFLICT, PaymentFailure::DuplicateTransactionId.code()),
            Self::BadRequest(_) | Self::NoWebhooks => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
            Self::Body(error) => match error {
                BodyError::TooLarge { .. } => (error.status(), "BODY_TOO_LARGE"),
                BodyError::Silent { .. } | BodyError::TooSlow { .. } | BodyError::Broken => {
                    (error.status(), "INVALID_REQUEST")
                }
            },
            Self::OtherMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Self::TooManyOpen | Self::Denied(Denied::TooOften(_)) => {
                (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS")
            }
            Self::Unavailable | Self::Stopping | Self::Denied(Denied::Unavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
            }
        }
    }

    /// The answer that says so, written at this moment.
    pub(super) fn at(self, now: WallMs) -> Response {
        let (status, code) = self.code();
        let mut response = Refusal { status, code, message: self.to_string(), begun: None }.at(now);
        let headers = response.headers_mut();
        match self {
            Self::Denied(Denied::TooOften(wait)) => {
                headers.insert(header::RETRY_AFTER, seconds(wait));
            }
            Self::Unavailable | Self::Stopping | Self::TooManyOpen | Self::Denied(Denied::Unavailable) => {
                headers.insert(header::RETRY_AFTER, seconds(RETRY_AFTER));
            }
            Self::OtherMethod(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response
    }
}

/// Why the terminal that is named in the path can't be used.
impl From<NoTarget> for HttpError {
    fn from(why: NoTarget) -> HttpError {
        match why {
            NoTarget::NotConnected => HttpError::TerminalOffline,
            NoTarget::Unknown | NoTarget::NoSuchConnection => HttpError::NoTerminal,
            NoTarget::OtherGroup => HttpError::TerminalOfOtherGroup,
            NoTarget::Store(error) => error.into(),
        }
    }
}

impl From<Denied> for HttpError {
    fn from(denied: Denied) -> HttpError {
        match denied {
            Denied::Unauthorized => HttpError::BadKey,
            Denied::Forbidden(Role::ActionsDesktop) => HttpError::NoDesktop,
            denied => HttpError::Denied(denied),
        }
    }
}

impl From<StoreError> for HttpError {
    fn from(error: StoreError) -> HttpError {
        tracing::error!(%error, "a call of the Actions API can't be answered because of the store");
        HttpError::Unavailable
    }
}

/// An error in its final form.
pub(super) struct Refusal {
    /// Of the answer.
    pub(super) status: StatusCode,
    /// What programs go by.
    pub(super) code: &'static str,
    /// For people.
    pub(super) message: String,
    /// The payment that it is about, if one was begun.
    pub(super) begun: Option<BegunPayment>,
}

/// A payment that was begun and is not, or not simply, paid.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BegunPayment {
    /// By which it is asked for.
    pub(super) transaction_id: String,
    /// What there is to say about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_response: Option<Box<RawValue>>,
}

impl Refusal {
    /// The answer that says so, written at this moment.
    pub(super) fn at(self, now: WallMs) -> Response {
        #[derive(Serialize)]
        struct Form {
            code: &'static str,
            message: String,
            #[serde(flatten)]
            begun: Option<BegunPayment>,
            timestamp: String,
        }

        let Refusal { status, code, message, begun } = self;
        (status, Json(Form { code, message, begun, timestamp: now.to_rfc3339() })).into_response()
    }
}

/// Whole seconds, rounded up.
fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)))
}
