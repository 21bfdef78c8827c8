//! What a Sale system is about to read of an Actions desktop's payment: noted before it is told, so that no success is
//! taken back on which somebody counts (E25).
//!
//! The ledger's own note of what was told (`told[]`) comes after the telling. For everything else that is early enough.

use nexo::{MessageCategory, PoiId, Request, Response, ResultCode, ServiceId, TransactionStatusResponse};
use relay::actions;
use relay::exchange::{Answer, Heard, StatusAnswer};

use super::SaleApi;
use crate::access::Caller;

impl SaleApi {
    /// Notes that `heard` tells how a payment of the Actions API ended, if it does. If that can't be noted the Sale system is
    /// told that there is no answer, and may ask again.
    pub(super) async fn note_reading(&self, caller: &Caller, request: &Request, heard: &mut Heard) {
        let Some((poi, service)) = payment_in(request, &heard.answer) else { return };
        if let Err(error) = self.presence.note_payment_read(&caller.company, &poi, &service).await {
            tracing::error!(poi.id = %poi, %error, "cannot note that a payment is read, so it is not shown");
            heard.answer = Answer::NoResponse;
        }
    }
}

/// The terminal and ServiceID of the payment whose end this answer tells, if it may be one of the Actions API.
fn payment_in(request: &Request, answer: &Answer) -> Option<(PoiId, ServiceId)> {
    let header = request.header();
    if header.category == MessageCategory::PAYMENT {
        let tells = header.sale_id.as_str() == actions::SALE_ID && matches!(answer, Answer::Response(_));
        return tells.then(|| Some((header.poi_id.clone(), header.service_id.clone()?)))?;
    }
    if header.category != MessageCategory::TRANSACTION_STATUS {
        return None;
    }
    let named = match answer {
        Answer::Status(StatusAnswer::Found(_)) => None,
        // The terminal's own answer. Of its last transaction, if none was named.
        Answer::Response(message) => {
            let body: TransactionStatusResponse = Response::parse(message.clone()).ok()?.payload().ok()?;
            if body.response.result != ResultCode::Success {
                return None;
            }
            body.message_reference
        }
        _ => return None,
    };
    let asked = request.message_reference();
    let service = |named: Option<nexo::MessageReference>| named.and_then(|named| named.service_id);
    Some((header.poi_id.clone(), service(asked).or(service(named))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn header(category: &str, sale: &str) -> String {
        format!(
            r#"{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","SaleID":"{sale}","ServiceID":"S1","POIID":"V400m-1"}}"#
        )
    }

    fn request(category: &str, sale: &str, body: &str) -> Request {
        let text = format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{},"{category}Request":{body}}}}}"#,
            header(category, sale)
        );
        Request::parse(text.into()).unwrap()
    }

    fn answer(body: &str) -> Answer {
        let header = header("TransactionStatus", "TILL-04").replace(":\"Request\"", ":\"Response\"");
        Answer::Response(
            format!(
                r#"{{"SaleToPOIResponse":{{"MessageHeader":{header},"TransactionStatusResponse":{body}}}}}"#
            )
            .into(),
        )
    }

    fn service_in(request: &Request, answer: &Answer) -> Option<String> {
        payment_in(request, answer).map(|(poi, service)| format!("{poi} {service}"))
    }

    #[test]
    fn a_status_that_tells_an_end_is_a_reading_of_what_it_names() {
        let named = request("TransactionStatus", "TILL-04", r#"{"MessageReference":{"ServiceID":"P1"}}"#);
        let last = request("TransactionStatus", "TILL-04", "{}");
        let found = Answer::Status(StatusAnswer::Found(Bytes::from_static(b"{}")));
        assert_eq!(service_in(&named, &found).as_deref(), Some("V400m-1 P1"));
        let told = answer(r#"{"Response":{"Result":"Success"},"MessageReference":{"ServiceID":"P2"}}"#);
        assert_eq!(service_in(&named, &told).as_deref(), Some("V400m-1 P1"));
        assert_eq!(service_in(&last, &told).as_deref(), Some("V400m-1 P2"));
        assert_eq!(service_in(&last, &answer(r#"{"Response":{"Result":"Success"}}"#)), None);
        for nothing in [
            Answer::Status(StatusAnswer::InProgress),
            Answer::NoResponse,
            answer(r#"{"Response":{"Result":"Failure","ErrorCondition":"InProgress"}}"#),
        ] {
            assert_eq!(service_in(&named, &nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn of_payments_only_those_of_desktops_are_looked_at() {
        let response = Answer::Response(Bytes::from_static(b"{}"));
        let of = |sale| service_in(&request("Payment", sale, "{}"), &response);
        assert_eq!(of("Actions").as_deref(), Some("V400m-1 S1"));
        assert_eq!(of("TILL-04"), None);
        assert_eq!(service_in(&request("Payment", "Actions", "{}"), &Answer::NoResponse), None);
        assert_eq!(service_in(&request("Reversal", "Actions", "{}"), &response), None);
    }
}
