//! How an answer is written in the dialect of the Cloud device API: HTTP 200 with the terminal's bytes, `ok`, a Reject event or
//! a Failure response; and RFC 7807 for what was not taken.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use nexo::{DecodeError, ErrorCondition, RejectReason, Request};
use relay::WallMs;
use relay::exchange::{Answer, Heard, ReplyMode};

use super::super::take::Refused;
use super::super::{SaleApi, message};
use super::{Instance, Refusal};
use crate::exchange::NotTaken;
use crate::http::problem::Problem;
use crate::ids;

/// What a response says for a device that is not there. Source: a fixture of the official Java and Node libraries.
const NOT_REACHABLE: &str = "Terminal is not reachable";

/// Writes what a desk answered to `request`.
pub(super) fn write(
    request: &Request,
    mode: ReplyMode,
    heard: Heard,
    instance: &Instance,
    now: WallMs,
) -> Response {
    match heard.answer {
        Answer::Response(message) => message::json(message),
        Answer::Ok => message::ok(),
        Answer::NotDelivered => match mode {
            ReplyMode::Sync => {
                let exchange = heard.exchange.map(|exchange| (exchange, now));
                message::failure(request, ErrorCondition::UNREACHABLE_HOST, NOT_REACHABLE, exchange, now)
            }
            // Clients read what is not `ok` as an event.
            ReplyMode::Async => message::rejected(request, RejectReason::NotDelivered, now),
        },
        Answer::NoResponse => message::rejected(request, RejectReason::NoResponse, now),
        Answer::Failure { condition, message, exchange } => match mode {
            ReplyMode::Sync => message::failure(request, condition, &message, exchange, now),
            ReplyMode::Async => message::failure_event(request, &condition, &message, now),
        },
        Answer::Status(status) => message::status(request, status, now),
        Answer::TryAgain => problem(try_again(), instance, now),
        Answer::TooMany => problem(too_many(message::TOO_MANY_OF_TERMINAL), instance, now),
    }
}

/// Writes why a call was not answered as asked.
pub(super) fn refused(refusal: &Refusal, instance: &Instance, now: WallMs) -> Response {
    let detail = sentence(refusal);
    let problem = match refusal {
        Refusal::Refused(Refused::Unreadable {
            error: error @ DecodeError::ServiceId { header, service_id, sale_transaction_id },
            ..
        }) => {
            let transaction = sale_transaction_id.as_deref();
            return message::bad_service_id(header, service_id, transaction, error, now);
        }
        Refusal::Refused(Refused::Denied(denied)) => Problem::from(denied.clone()),
        Refusal::Refused(Refused::Body(error)) => Problem::new(error.status(), detail),
        Refusal::Refused(Refused::Unreadable { .. }) | Refusal::Path(_) | Refusal::Query(_) => {
            Problem::new(StatusCode::BAD_REQUEST, detail)
        }
        Refusal::Refused(Refused::NotTaken(NotTaken::OutOfScope))
        | Refusal::NoMerchant(_)
        | Refusal::OutOfScope => Problem::forbidden(detail),
        Refusal::Refused(Refused::NotTaken(NotTaken::TooMany)) => too_many(message::TOO_MANY_OF_KEY),
        Refusal::Refused(Refused::NotTaken(NotTaken::Store(error))) => {
            tracing::error!(%error, "a call was refused because the store can't be read");
            try_again()
        }
        Refusal::NoStore(store) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).invalid_field(
            "store",
            store,
            "expected a store of this merchant account",
        ),
        Refusal::Elsewhere { device, merchant } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "{detail} Nothing was sent; this says nothing about an earlier request with the same ServiceID. Name the \
                 merchant account that the device is at."
            ),
        )
        .invalid_field("merchantAccount", merchant, "expected the merchant account that the device is at")
        .invalid_field("deviceId", device, "expected a device of this merchant account"),
        Refusal::OtherDevice { device, poi } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .invalid_field("deviceId", device, "expected the POIID of the message")
            .invalid_field("MessageHeader.POIID", poi, "expected the device of the path"),
    };
    self::problem(problem, instance, now)
}

/// The path is there, for another method; the router adds `Allow`.
pub(super) fn other_method(State(api): State<Arc<SaleApi>>, instance: Instance) -> Response {
    let detail = "This path takes other methods; the header Allow lists them.";
    problem(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail), &instance, api.now())
}

fn try_again() -> Problem {
    Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, message::TRY_AGAIN)
}

fn too_many(of_what: &'static str) -> Problem {
    Problem::try_again(StatusCode::TOO_MANY_REQUESTS, of_what)
}

fn problem(problem: Problem, instance: &Instance, now: WallMs) -> Response {
    let request_id = ids::request_id(now);
    tracing::debug!(request.id = request_id, status = problem.status().as_u16(), "a device call was refused");
    problem.published(instance.path(), request_id).into_response()
}

/// The refusal's own text as a sentence.
fn sentence(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_store_that_is_down_is_503_and_the_service_id_stays_good() {
        let bytes = br#"{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"P1","SaleID":"TILL-1","POIID":"V400m-1"}}}"#;
        let request = Request::parse(bytes::Bytes::from_static(bytes)).unwrap();
        let heard = Heard { answer: Answer::TryAgain, repeated: false, exchange: None };
        let instance = Instance::from_static("/v1/merchants/M/devices/V400m-1/sync?a=1");
        let response = write(&request, ReplyMode::Sync, heard, &instance, WallMs(0));
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&error["status"], &error["errorCode"]), (&503.into(), &"00_503".into()));
        assert_eq!(error["instance"], "/v1/merchants/M/devices/V400m-1/sync");
        assert!(error["detail"].as_str().unwrap().contains("with the same ServiceID"), "{error}");
    }
}
