//! What became of a request of ours: a TransactionStatus for it, and what its answers mean.

use bytes::Bytes;
use nexo::{
    MessageCategory, MessageReference, PoiId, Response, ServiceId, TransactionStatusRequest,
    TransactionStatusResponse,
};

use crate::actions::TransactionId;
use crate::actions::payment::{header, sale_id};
use crate::exchange::{Answer, StatusAnswer};

/// A question for the end of a Payment or Reversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub(super) category: MessageCategory,
    pub(super) poi: PoiId,
    pub(super) service: ServiceId,
    /// What the payment is called in its SaleTransactionID.
    pub(super) transaction: TransactionId,
}

impl Question {
    /// The TransactionStatus, `{"SaleToPOIRequest":{…}}`. Each needs a ServiceID that was never used (E5).
    pub fn message(&self, fresh: &ServiceId) -> Bytes {
        let body = TransactionStatusRequest {
            message_reference: Some(MessageReference {
                category: Some(self.category.clone()),
                service_id: Some(self.service.clone()),
                device_id: None,
                sale_id: Some(sale_id()),
                poi_id: Some(self.poi.clone()),
            }),
            ..TransactionStatusRequest::default()
        };
        nexo::request(&header(MessageCategory::TRANSACTION_STATUS, &self.poi, fresh), &body)
    }

    /// What the request itself would have been answered; none while that is not known.
    pub(super) fn what_was_told(&self, answer: &Answer) -> Option<Answer> {
        match answer {
            Answer::Status(StatusAnswer::Found(response)) => Some(Answer::Response(response.clone())),
            Answer::Status(StatusAnswer::NotFound) => Some(Answer::NotDelivered),
            // The ledger does not have the terminal's own words any more, and has asked it (E18).
            Answer::Response(message) => self.repeated_in(message).map(Answer::Response),
            _ => None,
        }
    }

    /// The response that a terminal repeats, if it shows that it is the one that was asked for: some answer with their last
    /// transaction, whatever they were asked. Its own *not found* is none: there was a request.
    fn repeated_in(&self, message: &Bytes) -> Option<Bytes> {
        let response = Response::parse(message.clone()).ok()?;
        let status: TransactionStatusResponse = response.payload().ok()?;
        let repeated = status.repeated_message_response?;
        let body = repeated.repeated_response_message_body;
        let named = repeated.message_header.and_then(|header| header.service_id);
        let sale = body.payment_response.as_ref().and_then(|body| body.sale_data.as_ref());
        let called = sale.map(|sale| sale.sale_transaction_id.transaction_id.as_str());
        let signs = [
            named.map(|named| named == self.service),
            called.map(|called| called == self.transaction.as_str()),
        ];
        if signs.contains(&Some(false)) || !signs.contains(&Some(true)) {
            return None;
        }
        let header = header(self.category.clone(), &self.poi, &self.service);
        if self.category == MessageCategory::REVERSAL {
            return body.reversal_response.map(|body| nexo::response(&header, &body));
        }
        body.payment_response.map(|body| nexo::response(&header, &body))
    }
}
