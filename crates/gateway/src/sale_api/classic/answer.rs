//! How an answer is written in the classic dialect: HTTP 200 with the terminal's bytes, `ok`, a Reject event or a Failure
//! response; and the classic error object for what was not taken.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use nexo::{RejectReason, Request};
use relay::WallMs;
use relay::exchange::{Answer, Heard, ReplyMode};

use super::super::message;
use super::super::take::Refused;
use crate::exchange::NotTaken;
use crate::http::body::BodyError;
use crate::http::problem::ClassicError;

/// Writes what a desk answered to `request`.
pub(super) fn write(request: &Request, mode: ReplyMode, heard: Heard, now: WallMs) -> Response {
    match heard.answer {
        Answer::Response(message) => message::json(message),
        Answer::Ok => message::ok(),
        Answer::NotDelivered => message::rejected(request, RejectReason::NotDelivered, now),
        Answer::NoResponse => message::rejected(request, RejectReason::NoResponse, now),
        Answer::Failure { condition, message, exchange } => match mode {
            ReplyMode::Sync => message::failure(request, condition, &message, exchange, now),
            ReplyMode::Async => message::failure_event(request, &condition, &message, now),
        },
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

fn try_again() -> ClassicError {
    ClassicError::try_again(StatusCode::SERVICE_UNAVAILABLE, message::TRY_AGAIN)
}

fn too_many(of_what: &'static str) -> ClassicError {
    ClassicError::try_again(StatusCode::TOO_MANY_REQUESTS, of_what)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn told(answer: Answer) -> (u16, String, String) {
        let bytes = br#"{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"P1","SaleID":"TILL-1","POIID":"V400m-1"}}}"#;
        let request = Request::parse(bytes::Bytes::from_static(bytes)).unwrap();
        let response =
            write(&request, ReplyMode::Sync, Heard { answer, repeated: false, exchange: None }, WallMs(0));
        let retry = response.headers()["retry-after"].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, retry, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_store_that_is_down_is_503_and_the_service_id_stays_good() {
        let body = r#"{"status":503,"errorCode":"000","message":"The request was not taken. Repeat it with the same ServiceID.","errorType":"internal"}"#;
        assert_eq!(told(Answer::TryAgain).await, (503, "1".to_owned(), body.to_owned()));
    }

    #[tokio::test]
    async fn a_terminal_with_too_much_open_is_429_and_the_service_id_stays_good() {
        let (status, retry, body) = told(Answer::TooMany).await;
        assert_eq!((status, retry.as_str()), (429, "1"));
        assert!(
            body.contains("exchanges_per_terminal") && body.contains("with the same ServiceID"),
            "{body}"
        );
    }
}
