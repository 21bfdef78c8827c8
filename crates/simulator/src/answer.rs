//! How the simulated gateway writes what a desk has answered: the classic dialect, as `sale_api` of the gateway writes it.

use bytes::Bytes;
use nexo::{FailureResponse, MessageCategory, Reject, RejectReason, Request, TransactionIdentification};
use relay::WallMs;
use relay::exchange::{Answer, Heard, ReplyMode, StatusAnswer};

/// HTTP status and body.
pub(crate) fn write(
    request: &Request,
    mode: ReplyMode,
    heard: &Heard,
    number: u64,
    now: WallMs,
) -> (u16, Bytes) {
    let body = match &heard.answer {
        Answer::Response(message) => message.clone(),
        Answer::Ok => Bytes::from_static(b"ok"),
        Answer::NotDelivered => rejected(request, RejectReason::NotDelivered, number, now),
        Answer::NoResponse => rejected(request, RejectReason::NoResponse, number, now),
        Answer::Failure { condition, message, exchange } => match mode {
            ReplyMode::Async => rejected(request, RejectReason::Refused { condition, message }, number, now),
            ReplyMode::Sync => {
                let sale_transaction_id = request.sale_transaction_id();
                let transaction_id = match exchange {
                    Some((exchange, _)) => format!("tg.{exchange}"),
                    None => format!("tg.{number}"),
                };
                let own = TransactionIdentification { transaction_id, time_stamp: now.to_rfc3339() };
                let pays = request.header().category == MessageCategory::PAYMENT;
                FailureResponse {
                    header: request.header(),
                    condition: condition.clone(),
                    message,
                    sale_transaction_id: sale_transaction_id.as_ref(),
                    poi_transaction_id: pays.then_some(own),
                }
                .to_json()
            }
        },
        Answer::Status(status) => {
            let reference = request.message_reference().unwrap_or_default();
            let told = |answer| nexo::transaction_status_response(request.header(), &reference, answer);
            match status {
                StatusAnswer::InProgress => told(nexo::StatusAnswer::InProgress),
                StatusAnswer::NotFound => told(nexo::StatusAnswer::NotFound),
                StatusAnswer::Found(message) => match nexo::Response::parse(message.clone()) {
                    Ok(response) => told(nexo::StatusAnswer::Found { response: &response }),
                    Err(_) => rejected(request, RejectReason::NoResponse, number, now),
                },
            }
        }
        Answer::TryAgain => return (503, Bytes::from_static(b"{}")),
        Answer::TooMany => return (429, Bytes::from_static(b"{}")),
    };
    (200, body)
}

fn rejected(request: &Request, reason: RejectReason<'_>, number: u64, now: WallMs) -> Bytes {
    let header = request.header();
    Reject {
        reason,
        sale_id: Some(header.sale_id.as_str()),
        poi_id: Some(header.poi_id.as_str()),
        service_id: Some(request.service_id().as_str()),
        device_id: &number.to_string(),
        time_stamp: &now.to_rfc3339(),
        rejected: request.bytes(),
    }
    .to_json()
}
