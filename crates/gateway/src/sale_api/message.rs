//! The messages that the gateway answers with by itself, whichever dialect they are told in: Reject events, Failure
//! responses, and what the ledger says about another exchange.
//!
//! Source: Terminal API, answers of the cloud endpoints.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nexo::{
    DecodeError, ErrorCondition, FailureResponse, KeptText, MessageCategory, MessageHeader, Reject,
    RejectReason, Request, TransactionIdentification,
};
use relay::exchange::StatusAnswer;
use relay::{ExchangeId, WallMs};

use crate::clock::rfc3339;
use crate::ids;

/// Set on an answer that was recorded earlier and is told again (E4).
const REPEATED: HeaderName = HeaderName::from_static("tillgate-repeated");

/// What is said with 429. Nothing was taken, so that the ServiceID is as good as before (E7).
pub(super) const TOO_MANY_OF_TERMINAL: &str = "Too many requests are open for this terminal (limit exchanges_per_terminal). Repeat with the same ServiceID.";

/// The same, about the credential's own requests.
pub(super) const TOO_MANY_OF_KEY: &str = "Too many requests of this API credential wait for terminals (limit \
                                          exchanges_per_key). Repeat with the same ServiceID.";

/// What is said with 503.
pub(super) const TRY_AGAIN: &str = "The request was not taken. Repeat it with the same ServiceID.";

/// A message, with HTTP status 200.
pub(super) fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// Two bytes, no quotes, no newline: client libraries compare exactly.
pub(super) fn ok() -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], "ok").into_response()
}

/// Marks an answer as told before.
pub(super) fn mark_repeated(response: &mut Response) {
    response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
}

/// A Reject event about a request that was read.
pub(super) fn rejected(request: &Request, reason: RejectReason<'_>, now: WallMs) -> Response {
    let header = request.header();
    let (poi, sale) = (header.poi_id.as_str(), header.sale_id.as_str());
    json(reject(reason, Some(poi), Some(sale), Some(request.service_id().as_str()), request.bytes(), now))
}

/// A Reject event about a body that is no request: the IDs that could be read, or `N/A`.
pub(super) fn unreadable(body: &[u8], error: &DecodeError, now: WallMs) -> Response {
    let (reason, poi, sale, service) = match error {
        DecodeError::ServiceId { header, service_id, sale_transaction_id } => {
            return bad_service_id(header, service_id, sale_transaction_id.as_deref(), error, now);
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

/// A Reject event about a body over the limit.
pub(super) fn too_large(now: WallMs) -> Response {
    json(reject(RejectReason::MessageTooLarge, None, None, None, b"", now))
}

/// A Failure response about a ServiceID that can't be one (E8): enough is known for a real answer in every dialect.
pub(super) fn bad_service_id(
    header: &MessageHeader,
    service_id: &str,
    sale_transaction_id: Option<&TransactionIdentification>,
    error: &DecodeError,
    now: WallMs,
) -> Response {
    let message = format!("{error}. Use a new ServiceID of 1 to 10 letters and digits.");
    let poi_transaction_id =
        (header.category == MessageCategory::PAYMENT).then(|| transaction(ids::exchange_id(now), now));
    let failure = FailureResponse {
        header,
        condition: ErrorCondition::MESSAGE_FORMAT,
        message: &message,
        sale_transaction_id,
        poi_transaction_id,
    };
    json(failure.to_json_with_service_id(service_id))
}

/// A Failure response in the request's own category; `exchange` is the one that it is about, where there is one.
pub(super) fn failure(
    request: &Request,
    condition: ErrorCondition,
    message: &str,
    exchange: Option<(ExchangeId, WallMs)>,
    now: WallMs,
) -> Response {
    json(failure_message(request, condition, message, exchange, now))
}

/// The same as a message.
pub(super) fn failure_message(
    request: &Request,
    condition: ErrorCondition,
    message: &str,
    exchange: Option<(ExchangeId, WallMs)>,
    now: WallMs,
) -> Bytes {
    // Clients expect SaleData and POIData in every PaymentResponse, also in one that the gateway makes.
    let makes_transaction = request.header().category == MessageCategory::PAYMENT;
    let sale_transaction_id = request.sale_transaction_id();
    let failure = FailureResponse {
        header: request.header(),
        condition,
        message,
        sale_transaction_id: sale_transaction_id.as_ref(),
        poi_transaction_id: makes_transaction.then(|| {
            let (exchange, at) = exchange.unwrap_or_else(|| (ids::exchange_id(now), now));
            transaction(exchange, at)
        }),
    };
    failure.to_json()
}

/// A Failure response for a Sale system that does not wait for a response: its client reads what is not `ok` as an event.
pub(super) fn failure_event(
    request: &Request,
    condition: &ErrorCondition,
    message: &str,
    now: WallMs,
) -> Response {
    rejected(request, RejectReason::Refused { condition, message }, now)
}

/// What the ledger says about the exchange that a TransactionStatus asks for.
pub(super) fn status(request: &Request, status: StatusAnswer, now: WallMs) -> Response {
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
                let error = KeptText::of(&error.to_string());
                tracing::error!(poi.id = %header.poi_id, %error, "a recorded response can't be read");
                return rejected(request, RejectReason::NoResponse, now);
            }
        },
        StatusAnswer::InProgress => nexo::StatusAnswer::InProgress,
        StatusAnswer::NotFound => nexo::StatusAnswer::NotFound,
    };
    json(nexo::transaction_status_response(header, &reference, answer))
}

fn reject(
    reason: RejectReason<'_>,
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

/// `tg.` and an exchange's ID: the prefix says that no terminal made it.
fn transaction(exchange: ExchangeId, at: WallMs) -> TransactionIdentification {
    TransactionIdentification { transaction_id: format!("tg.{exchange}"), time_stamp: rfc3339(at) }
}
