//! The answers that a terminal gives without running anything.

use bytes::Bytes;
use nexo::{
    EncryptionKey, ErrorCondition, FailureResponse, MessageCategory, MessageHeader, MessageReference,
    Request, Response, ServiceId, StatusAnswer, TransactionIdentification, transaction_status_response,
};

use crate::id::DeliveryId;
use crate::time::Now;

use super::journal::Outcome;
use super::memory::{Held, Memory, Phase};
use super::sealing::Opened;

/// The refusal of a payment that the POS called off, as terminals word it.
pub(super) const MERCHANT_CANCELLED: &str = "104 Merchant cancelled.";

/// What a request is told that comes too late (T7).
pub(super) const TIME_OVER: &str = "The time for this request was over.";

/// A request to be answered.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) delivery: &'a DeliveryId,
    /// None when it can't be read.
    pub(super) header: Option<&'a MessageHeader>,
    /// `{"SaleToPOIRequest":{…}}`, decrypted.
    pub(super) message: &'a Bytes,
}

/// `Failure`/`Aborted`: it certainly was not started.
pub(super) fn aborted(asked: Asked<'_>, now: Now, text: &str) -> Outcome {
    failure(asked, now, ErrorCondition::ABORTED, text)
}

/// `Failure` in the request's own category, with both transaction IDs where the request has one of its own.
pub(super) fn failure(asked: Asked<'_>, now: Now, condition: ErrorCondition, text: &str) -> Outcome {
    let Some(header) = asked.header else {
        // No response could carry a header that the gateway would take for this one's.
        return Outcome::Indeterminate("the message has no header that can be read".into());
    };
    if !header.category.has_response() {
        return Outcome::Empty;
    }
    let sale_transaction_id =
        Request::parse(asked.message.clone()).ok().and_then(|request| request.sale_transaction_id());
    let poi_transaction_id = sale_transaction_id.as_ref().map(|_| TransactionIdentification {
        transaction_id: asked.delivery.to_string(),
        time_stamp: now.wall.to_rfc3339(),
    });
    let response = FailureResponse {
        header,
        condition,
        message: text,
        sale_transaction_id: sale_transaction_id.as_ref(),
        poi_transaction_id,
    };
    Outcome::Message(response.to_json())
}

/// Whether the Abort that is asked for names the request with this header. What it leaves out of SaleID and POIID is
/// its own.
pub(super) fn abort_names(asked: Asked<'_>, header: &MessageHeader) -> bool {
    let (Some(own), Ok(abort)) = (asked.header, Request::parse(asked.message.clone())) else { return false };
    let Some(reference) = abort.message_reference() else { return false };
    reference.service_id.is_some()
        && reference.service_id == header.service_id
        && reference.category.as_ref().is_none_or(|category| *category == header.category)
        && reference.device_id.as_ref().is_none_or(|device| Some(device) == header.device_id.as_ref())
        && *reference.sale_id.as_ref().unwrap_or(&own.sale_id) == header.sale_id
        && *reference.poi_id.as_ref().unwrap_or(&own.poi_id) == header.poi_id
}

/// What the memory says about the request that a TransactionStatus names, or about the latest of its Sale system.
pub(super) fn transaction_status(
    asked: Asked<'_>,
    now: Now,
    memory: &Memory,
    key: Option<&EncryptionKey>,
    opened: &Opened,
) -> Outcome {
    let status = Request::parse(asked.message.clone()).ok().and_then(|request| request.transaction_status());
    let (Some(header), Some(status)) = (asked.header, status) else {
        return failure(
            asked,
            now,
            ErrorCondition::MESSAGE_FORMAT,
            "The TransactionStatusRequest can't be read.",
        );
    };
    let mut reference = status.message_reference.unwrap_or_default();
    // The ServiceID alone names a request: a wrong SaleID must not turn one that ran into one that was never there.
    let held = match &reference.service_id {
        Some(service) => memory.find_service(service),
        None => memory.find_last(header, reference.category.as_ref()),
    };
    // But its result is not for a till that means another one: the gateway holds its own records against the reference, too.
    if let (Some(service), Some(Held { header: Some(own), .. })) = (&reference.service_id, held)
        && !means(&reference, own)
    {
        let text = format!(
            "ServiceID {service} is a {} of SaleID {}, not what the MessageReference says.",
            own.category, own.sale_id
        );
        return failure(asked, now, ErrorCondition::NOT_ALLOWED, &text);
    }
    if let (None, Some(Held { header: Some(named), .. })) = (&reference.service_id, held) {
        reference = MessageReference {
            category: Some(named.category.clone()),
            service_id: named.service_id.clone(),
            sale_id: Some(named.sale_id.clone()),
            ..reference
        };
    }
    let tell = |answer| Outcome::Message(transaction_status_response(header, &reference, answer));
    match held.map(|held| &held.phase) {
        None | Some(Phase::Finishing(Outcome::Empty) | Phase::Finished(Outcome::Empty)) => {
            tell(StatusAnswer::NotFound)
        }
        Some(Phase::Storing(_) | Phase::Starting(_) | Phase::Running(_)) => tell(StatusAnswer::InProgress),
        Some(Phase::Finishing(Outcome::Message(message)) | Phase::Finished(Outcome::Message(message))) => {
            let Ok(response) = Response::parse(message.clone()) else {
                return Outcome::Indeterminate("the stored response can't be read".into());
            };
            if !response.is_encrypted() {
                return tell(StatusAnswer::Found { response: &response });
            }
            if !opened.is_encrypted() {
                let text = "That request was encrypted: ask with a message that is encrypted with its key.";
                return failure(asked, now, ErrorCondition::NOT_ALLOWED, text);
            }
            match key.map(|key| key.open_response(&response)) {
                Some(Ok(response)) => tell(StatusAnswer::Found { response: &response }),
                _ => Outcome::Indeterminate("the stored response is encrypted with another key".into()),
            }
        }
        // Never NotFound: it may have happened.
        Some(
            Phase::Finishing(Outcome::Indeterminate(reason))
            | Phase::Finished(Outcome::Indeterminate(reason)),
        ) => Outcome::Indeterminate(reason.clone()),
    }
}

/// Whether the request with this header is the one that is meant: a SaleID or category that is named must be its own.
fn means(reference: &MessageReference, own: &MessageHeader) -> bool {
    reference.sale_id.as_ref().is_none_or(|sale| *sale == own.sale_id)
        && reference.category.as_ref().is_none_or(|category| *category == own.category)
}

/// The ServiceID that this answer to a TransactionStatus says was never there.
pub(super) fn not_found_of(request: &Bytes, answer: &Outcome) -> Option<ServiceId> {
    let request = Request::parse(request.clone()).ok()?;
    let Outcome::Message(message) = answer else { return None };
    let tells = request.header().category == MessageCategory::TRANSACTION_STATUS
        && Response::parse(message.clone()).is_ok_and(|response| response.is_not_found());
    request.message_reference().filter(|_| tells)?.service_id
}
