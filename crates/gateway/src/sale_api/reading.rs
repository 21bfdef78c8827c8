//! What a Sale system is about to read of an Actions desktop's payment: noted before it is told, so that no success is
//! taken back on which somebody counts, and none is told that is taken back (E25).
//!
//! The ledger's own note of what was told (`told[]`) comes after the telling. For everything else that is early enough.

use bytes::Bytes;
use nexo::{ErrorCondition, MessageCategory, Request, Response, ServiceId};
use relay::WallMs;
use relay::actions;
use relay::exchange::{Answer, Heard, StatusAnswer};

use super::{SaleApi, message};
use crate::access::Caller;
use crate::store::actions::Void;

/// What a Sale system reads in the place of a success that was given back.
const VOIDED: &str = "Nothing is charged. The terminal took the payment, but too late for the desktop that asked for it, so \
                      the gateway has voided it. Use a new ServiceID to charge.";

impl SaleApi {
    /// Notes that `heard` tells how a payment of the Actions API ended, if it does; and puts something else in its place if that
    /// payment is being voided, or was. If that can't be found out the Sale system is told that there is no answer, and may ask
    /// again.
    pub(super) async fn note_reading(&self, caller: &Caller, request: &Request, heard: &mut Heard) {
        let poi = &request.header().poi_id;
        for service in payments_in(request, &heard.answer) {
            let instead = match self.payments.note_read(&caller.company, poi, &service).await {
                Ok(None) => None,
                Ok(Some(found)) => match found.void {
                    Void::None | Void::Failed => None,
                    Void::Pending => Some(being_voided(request)),
                    Void::Done => Some(voided(request, found.facts.request.bytes(), self.now())),
                },
                Err(error) => {
                    tracing::error!(poi.id = %poi, %error, "cannot note that a payment is read, so it is not shown");
                    Some(Answer::NoResponse)
                }
            };
            if let Some(answer) = instead {
                (heard.answer, heard.repeated) = (answer, false);
                return;
            }
        }
    }
}

/// What a payment is answered with that was given back, and a question about it: it has failed. That is what clients take for
/// *not paid*; a question that fails they would ask again. `payment` is the payment's own request.
fn voided(request: &Request, payment: &Bytes, now: WallMs) -> Answer {
    if request.header().category == MessageCategory::PAYMENT {
        let (condition, message) = (ErrorCondition::CANCEL, VOIDED.to_owned());
        return Answer::Failure { condition, message, exchange: None };
    }
    match Request::parse(payment.clone()) {
        Ok(payment) => {
            let failure = message::failure_message(&payment, ErrorCondition::CANCEL, VOIDED, None, now);
            Answer::Status(StatusAnswer::Found(failure))
        }
        Err(_) => {
            tracing::error!("the request of a transaction that was voided can't be read");
            Answer::NoResponse
        }
    }
}

/// What a payment that runs is answered with.
fn being_voided(request: &Request) -> Answer {
    if request.header().category == MessageCategory::PAYMENT {
        Answer::NoResponse
    } else {
        Answer::Status(StatusAnswer::InProgress)
    }
}

/// The ServiceIDs of the payments whose end this answer tells, of those that may be of the Actions API: hardly ever more than
/// one.
fn payments_in(request: &Request, answer: &Answer) -> Vec<ServiceId> {
    let header = request.header();
    if header.category == MessageCategory::PAYMENT {
        let tells = header.sale_id.as_str() == actions::SALE_ID && matches!(answer, Answer::Response(_));
        return header.service_id.clone().filter(|_| tells).into_iter().collect();
    }
    if header.category != MessageCategory::TRANSACTION_STATUS {
        return Vec::new();
    }
    let mut named: Vec<_> =
        request.message_reference().and_then(|named| named.service_id).into_iter().collect();
    match answer {
        Answer::Status(StatusAnswer::Found(_)) => {}
        Answer::Response(message) => {
            let Some(told) = told_by_terminal(message) else { return Vec::new() };
            named.extend(told);
            named.dedup();
        }
        _ => return Vec::new(),
    }
    named
}

/// What the terminal itself tells of, which is its last transaction if none was named; none unless it tells an end. Read
/// leniently: a Sale system may understand what we would not.
fn told_by_terminal(message: &Bytes) -> Option<Vec<ServiceId>> {
    let body: serde_json::Value = Response::parse(message.clone()).ok()?.payload().ok()?;
    if body.pointer("/Response/Result")? != "Success" {
        return None;
    }
    let service = |place| ServiceId::parse(body.pointer(place)?.as_str()?).ok();
    let places = ["/MessageReference/ServiceID", "/RepeatedMessageResponse/MessageHeader/ServiceID"];
    Some(places.into_iter().filter_map(service).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn services_in(request: &Request, answer: &Answer) -> String {
        payments_in(request, answer).iter().map(ServiceId::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_status_that_tells_an_end_is_a_reading_of_what_it_names() {
        let named = request("TransactionStatus", "TILL-04", r#"{"MessageReference":{"ServiceID":"P1"}}"#);
        let last = request("TransactionStatus", "TILL-04", "{}");
        let found = Answer::Status(StatusAnswer::Found(Bytes::from_static(b"{}")));
        assert_eq!(services_in(&named, &found), "P1");
        let told = answer(r#"{"Response":{"Result":"Success"},"MessageReference":{"ServiceID":"P1"}}"#);
        assert_eq!(services_in(&named, &told), "P1");
        assert_eq!(services_in(&last, &told), "P1");
        let told = answer(r#"{"Response":{"Result":"Success"},"MessageReference":{"ServiceID":"P2"}}"#);
        assert_eq!(services_in(&named, &told), "P1 P2");
        assert_eq!(services_in(&last, &answer(r#"{"Response":{"Result":"Success"}}"#)), "");
        for nothing in [
            Answer::Status(StatusAnswer::InProgress),
            Answer::NoResponse,
            answer(r#"{"Response":{"Result":"Failure","ErrorCondition":"InProgress"}}"#),
        ] {
            assert_eq!(services_in(&named, &nothing), "", "{nothing:?}");
        }
    }

    #[test]
    fn a_payment_that_is_given_back_runs_and_has_failed_then() {
        let payment = request("Payment", "Actions", "{}");
        let question = request("TransactionStatus", "TILL-04", r#"{"MessageReference":{"ServiceID":"S1"}}"#);
        assert_eq!(being_voided(&payment), Answer::NoResponse);
        assert_eq!(being_voided(&question), Answer::Status(StatusAnswer::InProgress));
        let repeat = voided(&payment, payment.bytes(), WallMs(0));
        assert!(
            matches!(&repeat, Answer::Failure { condition, .. } if *condition == ErrorCondition::CANCEL),
            "{repeat:?}"
        );
        let Answer::Status(StatusAnswer::Found(told)) = voided(&question, payment.bytes(), WallMs(0)) else {
            panic!("a response is told");
        };
        let told = Response::parse(told).unwrap();
        assert_eq!(told.header().service_id, payment.header().service_id);
        let outcome = told.outcome().unwrap();
        assert_eq!(
            (outcome.result, outcome.error_condition),
            (nexo::ResultCode::Failure, Some(ErrorCondition::CANCEL))
        );
    }

    #[test]
    fn a_payment_may_be_named_only_in_the_response_that_is_repeated() {
        let last = request("TransactionStatus", "TILL-04", "{}");
        let repeated = r#"{"MessageHeader":{"MessageCategory":"Payment","ServiceID":"P3"},"RepeatedResponseMessageBody":{}}"#;
        let with = |reference: &str| {
            answer(&format!(
                r#"{{"Response":{{"Result":"Success"}},{reference}"RepeatedMessageResponse":{repeated}}}"#
            ))
        };
        assert_eq!(services_in(&last, &with("")), "P3");
        assert_eq!(services_in(&last, &with(r#""MessageReference":{"MessageCategory":"Payment"},"#)), "P3");
    }

    #[test]
    fn of_payments_only_those_of_desktops_are_looked_at() {
        let response = Answer::Response(Bytes::from_static(b"{}"));
        let of = |sale| services_in(&request("Payment", sale, "{}"), &response);
        assert_eq!(of("Actions"), "S1");
        assert_eq!(of("TILL-04"), "");
        assert_eq!(services_in(&request("Payment", "Actions", "{}"), &Answer::NoResponse), "");
        assert_eq!(services_in(&request("Reversal", "Actions", "{}"), &response), "");
    }
}
