//! How a payment or a void ended, from the nexo response that the device wrote to the words of the Actions dialect.

use bytes::Bytes;
use nexo::{
    AdditionalResponse, ErrorCondition, PaymentReceipt, PaymentResponse, Response, ResponseOutcome,
    ResultCode, ReversalResponse,
};
use relay::actions::{
    ClientError, FromClient, PaymentStatus, TerminalAnswer, TransactionId, VoidAnswer, error_code_of,
};
use relay::terminal::Outcome;
use serde::{Deserialize, Serialize};

use super::{Asked, Heard};

/// The object `paymentResponse`. The same outcome makes the same bytes, for it may be said more than once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    transaction_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    payment_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    /// As a terminal of the link hands them over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipt_data: Vec<PaymentReceipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

/// What the terminal says about how this has ended.
pub(super) fn frame(asked: &Asked, outcome: &Outcome) -> FromClient {
    match asked {
        Asked::Payment { transaction, desktop } => FromClient::PaymentResponse {
            desktop_id: Some(desktop.clone()),
            response: payment(transaction, outcome),
        },
        Asked::Void { transaction, desktop } => FromClient::VoidResponse(void(transaction, desktop, outcome)),
    }
}

/// A `paymentRequest` that can't be carried out: nothing is stored or run for it. One without a readable name can't be
/// answered.
pub(super) fn refused(desktop: Box<str>, raw: &Bytes, error: &ClientError) -> Heard {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(rename = "transactionId", borrow)]
        name: std::borrow::Cow<'a, str>,
    }
    let named =
        serde_json::from_slice::<Named<'_>>(raw).ok().and_then(|named| TransactionId::parse(&named.name));
    let Some(transaction) = named else {
        tracing::warn!(%error, "ignored a payment that can't be read");
        return Heard::Nothing;
    };
    let mut wire = Wire::new(&transaction, PaymentStatus::Failed);
    wire.error_code = Some(error_code_of(&ErrorCondition::MESSAGE_FORMAT));
    wire.error_message = Some(error.message.to_string());
    let response = wire.answer(&transaction, PaymentStatus::Failed);
    Heard::Answer(FromClient::PaymentResponse { desktop_id: Some(desktop), response })
}

fn payment(transaction: &TransactionId, outcome: &Outcome) -> TerminalAnswer {
    let unknown = |why: &str| {
        let mut wire = Wire::new(transaction, PaymentStatus::Unknown);
        wire.error_message = Some(why.into());
        wire.answer(transaction, PaymentStatus::Unknown)
    };
    let body: PaymentResponse = match outcome {
        Outcome::Indeterminate(why) => return unknown(why),
        Outcome::Empty => return unknown("there is no response"),
        Outcome::Message(message) => {
            match Response::parse(message.clone()).and_then(|response| response.payload()) {
                Ok(body) => body,
                Err(_) => return unknown("the stored response can't be read"),
            }
        }
    };
    let status = status_of(&body.response);
    let mut wire = Wire::new(transaction, status);
    let amounts = body.payment_result.as_ref().and_then(|result| result.amounts_resp.as_ref());
    wire.amount = amounts.map(|amounts| amounts.authorized_amount.to_string());
    wire.currency = amounts.and_then(|amounts| amounts.currency.clone());
    wire.authorization_code = body
        .payment_result
        .as_ref()
        .and_then(|result| result.payment_acquirer_data.as_ref())
        .and_then(|acquirer| acquirer.approval_code.clone());
    wire.error_code = body.response.error_condition.as_ref().map(error_code_of);
    if status != PaymentStatus::Success {
        wire.error_message = message_of(&body.response);
    }
    wire.receipt_data = body.payment_receipt;
    wire.timestamp = body.poi_data.map(|data| data.poi_transaction_id.time_stamp);
    wire.answer(transaction, status)
}

fn void(transaction: &TransactionId, desktop: &str, outcome: &Outcome) -> VoidAnswer {
    let (status, message) = match outcome {
        Outcome::Indeterminate(why) => (PaymentStatus::Unknown, Some(why.clone())),
        Outcome::Empty => (PaymentStatus::Unknown, Some("there is no response".into())),
        Outcome::Message(message) => {
            match Response::parse(message.clone()).and_then(|response| response.payload::<ReversalResponse>())
            {
                Ok(body) => match status_of(&body.response) {
                    PaymentStatus::Success => (PaymentStatus::Success, None),
                    status => (status, message_of(&body.response)),
                },
                Err(_) => (PaymentStatus::Unknown, Some("the stored response can't be read".into())),
            }
        }
    };
    VoidAnswer {
        transaction: transaction.clone(),
        desktop_id: Some(desktop.into()),
        status,
        error_message: message.map(Into::into),
    }
}

/// `Partial` is money, too: how much is said beside it.
fn status_of(response: &ResponseOutcome) -> PaymentStatus {
    match (response.result, &response.error_condition) {
        (ResultCode::Success | ResultCode::Partial, _) => PaymentStatus::Success,
        (ResultCode::Failure, Some(condition))
            if [ErrorCondition::CANCEL, ErrorCondition::ABORTED].contains(condition) =>
        {
            PaymentStatus::Cancelled
        }
        (ResultCode::Failure, _) => PaymentStatus::Failed,
    }
}

fn message_of(response: &ResponseOutcome) -> Option<String> {
    match AdditionalResponse::decode(response.additional_response.as_deref()?) {
        AdditionalResponse::Text(text) => Some(text),
        pairs => pairs.value("message").map(str::to_owned),
    }
}

impl<'a> Wire<'a> {
    fn new(transaction: &'a TransactionId, status: PaymentStatus) -> Wire<'a> {
        Wire {
            transaction_id: transaction.as_str(),
            status: status.as_str(),
            amount: None,
            currency: None,
            payment_method: "CARD",
            authorization_code: None,
            error_code: None,
            error_message: None,
            receipt_data: Vec::new(),
            timestamp: None,
        }
    }

    fn answer(&self, transaction: &TransactionId, status: PaymentStatus) -> TerminalAnswer {
        TerminalAnswer {
            transaction: transaction.clone(),
            status,
            // Texts and types with string keys always have a JSON form.
            raw: serde_json::to_vec(self).unwrap_or_default().into(),
        }
    }
}
