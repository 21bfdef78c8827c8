//! How an answer is written in the classic dialect: HTTP 200 with the terminal's bytes, `ok`, a Reject event or a Failure
//! response; and the classic error object for what was not taken.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use nexo::{RejectReason, Request};
use relay::WallMs;
use relay::exchange::{Answer, Heard};

use super::super::message;
use super::super::take::Refused;
use crate::exchange::NotTaken;
use crate::http::body::BodyError;
use crate::http::problem::{ClassicError, ErrorType};

/// Writes what a desk answered to `request`.
pub(super) fn write(request: &Request, heard: Heard, now: WallMs) -> Response {
    match heard.answer {
        Answer::Response(message) => message::json(message),
        Answer::Ok => message::ok(),
        Answer::NotDelivered => message::rejected(request, RejectReason::NotDelivered, now),
        Answer::NoResponse => message::rejected(request, RejectReason::NoResponse, now),
        Answer::Failure { condition, message, exchange } => {
            message::failure(request, condition, &message, exchange, now)
        }
        Answer::Status(status) => message::status(request, status, now),
        Answer::TryAgain => try_again().into_response(),
        Answer::TooMany => too_many(message::TOO_MANY_OF_TERMINAL).into_response(),
    }
}

/// Writes why a request was not taken.
pub(super) fn refused(refused: &Refused, now: WallMs) -> Response {
    match refused {
        Refused::Denied(denied) => ClassicError::from(denied.clone()).into_response(),
        Refused::Body(BodyError::TooLarge { .. }) => message::too_large(now),
        Refused::Body(error) => ClassicError::from(error.clone()).into_response(),
        Refused::Unreadable { body, error } => message::unreadable(body, error, now),
        Refused::NotTaken(NotTaken::OutOfScope) => {
            ClassicError::forbidden(format!("Not allowed: {}.", NotTaken::OutOfScope)).into_response()
        }
        Refused::NotTaken(NotTaken::TooMany) => too_many(message::TOO_MANY_OF_KEY).into_response(),
        Refused::NotTaken(NotTaken::Store(error)) => {
            tracing::error!(%error, "a request was refused because the store can't be read");
            try_again().into_response()
        }
    }
}

/// The path is there, for another method; the router adds `Allow`.
pub(super) fn other_method() -> ClassicError {
    let message = "This path takes POST only.";
    ClassicError::new(StatusCode::METHOD_NOT_ALLOWED, "000", message, ErrorType::Validation)
}

fn try_again() -> ClassicError {
    ClassicError::try_again(StatusCode::SERVICE_UNAVAILABLE, message::TRY_AGAIN)
}

fn too_many(of_what: &'static str) -> ClassicError {
    ClassicError::try_again(StatusCode::TOO_MANY_REQUESTS, of_what)
}
