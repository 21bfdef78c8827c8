//! How an answer is written in the classic dialect: the terminal's bytes, `ok`, a Reject event, a Failure response.
//!
//! Source: Terminal API, cloud endpoints `/sync` and `/async`.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nexo::{
    DecodeError, ErrorCondition, FailureResponse, MessageCategory, Reject, RejectReason, Request,
    TransactionIdentification,
};
use relay::WallMs;
use relay::exchange::{Answer, Heard, StatusAnswer};

use crate::clock::rfc3339;
use crate::http::problem::ClassicError;
use crate::ids;

/// Set on an answer that was recorded earlier and is told again (E4).
const REPEATED: HeaderName = HeaderName::from_static("tillgate-repeated");

/// Writes what a desk answered to `request`.
pub(super) fn write(request: &Request, heard: Heard, now: WallMs) -> Response {
    let mut response = written(request, heard.answer, now);
    if heard.repeated {
        response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
    }
    response
}

fn written(request: &Request, answer: Answer, now: WallMs) -> Response {
    match answer {
        Answer::Response(message) => json(message),
        Answer::Ok => ok(),
        Answer::NotDelivered => rejected(request, RejectReason::NotDelivered, now),
        Answer::NoResponse => rejected(request, RejectReason::NoResponse, now),
        Answer::Failure { condition, message, exchange } => {
            let poi_transaction_id =
                exchange.filter(|_| makes_transaction(request)).map(|(exchange, admitted)| {
                    TransactionIdentification {
                        transaction_id: format!("tg.{exchange}"),
                        time_stamp: rfc3339(admitted),
                    }
                });
            json(failure(request, condition, &message, poi_transaction_id, now))
        }
        Answer::Status(status) => self::status(request, status, now),
        Answer::TryAgain => ClassicError::try_again(
            StatusCode::SERVICE_UNAVAILABLE,
            "The request was not taken. Repeat it with the same ServiceID.",
        )
        .into_response(),
        Answer::TooMany => ClassicError::try_again(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests are open for this terminal. Repeat with the same ServiceID.",
        )
        .into_response(),
    }
}

/// One word for what was told, for `told[]`.
pub(super) fn word(heard: &Heard) -> &'static str {
    match &heard.answer {
        Answer::Response(_) if heard.repeated => "response-repeated",
        Answer::Response(_) => "response",
        Answer::Ok => "ok",
        Answer::NotDelivered => "not-delivered",
        Answer::NoResponse => "no-response",
        Answer::Failure { .. } => "failure",
        Answer::Status(StatusAnswer::Found(_)) => "status-found",
        Answer::Status(StatusAnswer::InProgress) => "status-in-progress",
        Answer::Status(StatusAnswer::NotFound) => "status-not-found",
        Answer::TryAgain => "try-again",
        Answer::TooMany => "too-many",
    }
}

/// Writes what is wrong with a body that is no request (E8).
pub(super) fn unreadable(body: &[u8], error: &DecodeError, now: WallMs) -> Response {
    let (reason, poi, sale, service) = match error {
        DecodeError::ServiceId { header, service_id, sale_transaction_id } => {
            let message = format!("{error}. Use a new ServiceID of 1 to 10 letters and digits.");
            let poi_transaction_id =
                (header.category == MessageCategory::PAYMENT).then(|| own_transaction(now));
            let failure = FailureResponse {
                header,
                condition: ErrorCondition::MESSAGE_FORMAT,
                message: &message,
                sale_transaction_id: sale_transaction_id.as_deref(),
                poi_transaction_id,
            };
            return json(failure.to_json_with_service_id(service_id));
        }
        DecodeError::Empty => (RejectReason::EmptyInput, None, None, None),
        DecodeError::NotJson | DecodeError::NotAnObject => (RejectReason::NotAJsonObject, None, None, None),
        DecodeError::Header { poi_id, sale_id, service_id, .. } => {
            (RejectReason::Header, poi_id.as_deref(), sale_id.as_deref(), service_id.as_deref())
        }
        DecodeError::Value { .. } | DecodeError::Body { .. } => (RejectReason::Header, None, None, None),
    };
    json(reject(reason, poi, sale, service, body, now))
}

/// Writes that a body is over the limit.
pub(super) fn too_large(now: WallMs) -> Response {
    json(reject(RejectReason::MessageTooLarge, None, None, None, b"", now))
}

fn rejected(request: &Request, reason: RejectReason, now: WallMs) -> Response {
    let header = request.header();
    let (poi, sale) = (header.poi_id.as_str(), header.sale_id.as_str());
    json(reject(reason, Some(poi), Some(sale), Some(request.service_id().as_str()), request.bytes(), now))
}

fn reject(
    reason: RejectReason,
    poi_id: Option<&str>,
    sale_id: Option<&str>,
    service_id: Option<&str>,
    rejected: &[u8],
    now: WallMs,
) -> Bytes {
    // Up to nine decimal digits, new each time.
    let number = u32::from_le_bytes(ids::random()) % 1_000_000_000;
    let (device_id, time_stamp) = (number.to_string(), rfc3339(now));
    Reject { reason, sale_id, poi_id, service_id, device_id: &device_id, time_stamp: &time_stamp, rejected }
        .to_json()
}

fn failure(
    request: &Request,
    condition: ErrorCondition,
    message: &str,
    poi_transaction_id: Option<TransactionIdentification>,
    now: WallMs,
) -> Bytes {
    let sale_transaction_id = request.sale_transaction_id();
    let failure = FailureResponse {
        header: request.header(),
        condition,
        message,
        sale_transaction_id: sale_transaction_id.as_ref(),
        poi_transaction_id: poi_transaction_id
            .or_else(|| makes_transaction(request).then(|| own_transaction(now))),
    };
    failure.to_json()
}

/// Clients expect SaleData and POIData in every PaymentResponse, also in one that the gateway makes.
fn makes_transaction(request: &Request) -> bool {
    request.header().category == MessageCategory::PAYMENT
}

fn own_transaction(now: WallMs) -> TransactionIdentification {
    let transaction_id = format!("tg.{}", ids::exchange_id(now));
    TransactionIdentification { transaction_id, time_stamp: rfc3339(now) }
}

fn status(request: &Request, status: StatusAnswer, now: WallMs) -> Response {
    let reference = request.message_reference().unwrap_or_default();
    let header = request.header();
    let answer = match &status {
        StatusAnswer::Found(message) => match nexo::Response::parse(message.clone()) {
            Ok(response) => {
                let found = nexo::StatusAnswer::Found { response: &response };
                return json(nexo::transaction_status_response(header, &reference, found));
            }
            // It was checked when it came; a ledger that was changed by hand must not turn into a wrong answer.
            Err(error) => {
                tracing::error!(poi.id = %header.poi_id, %error, "a recorded response can't be read");
                return rejected(request, RejectReason::NoResponse, now);
            }
        },
        StatusAnswer::InProgress => nexo::StatusAnswer::InProgress,
        StatusAnswer::NotFound => nexo::StatusAnswer::NotFound,
    };
    json(nexo::transaction_status_response(header, &reference, answer))
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// Two bytes, no quotes, no newline: client libraries compare exactly.
fn ok() -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], "ok").into_response()
}
