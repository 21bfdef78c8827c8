//! The deliberate faults of the Actions API's own machines, each with the harm that it does.

use std::time::Duration;

use bytes::Bytes;
use nexo::{PoiId, ServiceId};
use relay::actions::{
    Known, PaymentAsk, PaymentStanding, Port, PortOrder, PortSetup, Pursuit, PursuitOrder, Standing,
    ToClient, TransactionId, Undo, service_id_of,
};
use relay::exchange::{Answer, Heard, StatusAnswer};
use relay::fault::Fault;
use relay::{Deliver, DeliveryId, JournalId, Now, ToGateway, WallMs};

use crate::faults::breaks;

const BEGUN: WallMs = WallMs(1_795_166_102_118);

fn now() -> Now {
    Now { mono: Duration::from_secs(100), wall: BEGUN }
}

fn ask() -> PaymentAsk {
    let raw = br#"{"transactionId":"T-1","amount":"12.50","currency":"EUR"}"#;
    PaymentAsk::read(&Bytes::from_static(raw), || unreachable!("it has a name")).unwrap()
}

fn service() -> ServiceId {
    service_id_of("ws_1", &TransactionId::parse("T-1").unwrap())
}

fn poi() -> PoiId {
    PoiId::parse("V400m-1").unwrap()
}

fn delivery() -> DeliveryId {
    DeliveryId::parse("d_1").unwrap()
}

fn message() -> Bytes {
    ask().message(&poi(), &service(), BEGUN)
}

/// A port whose terminal is present; `resume` is its first frame, if it says one.
fn port(resume: Option<&str>) -> Port {
    let plain_journal = Port::plain_journal("ws_1");
    let boarded = resume.map_or(plain_journal.clone(), |_| JournalId::parse("j_1").unwrap());
    let setup = PortSetup { plain_journal, boarded: Some(boarded), merchant_account: "SHOP".into() };
    let mut port = Port::new(now(), setup);
    if let Some(resume) = resume {
        say(&mut port, resume);
    }
    port.handle_found(now(), Vec::new());
    port.handle_welcome(now());
    let deliver = Deliver { delivery: delivery(), time_left_ms: 100_000, message: message() };
    port.handle_deliver(now(), deliver, None);
    while port.poll_order().is_some() {}
    port
}

fn say(port: &mut Port, frame: &str) {
    port.handle_text(now(), &Bytes::copy_from_slice(frame.as_bytes()));
}

fn answer(name: &str) -> String {
    format!(
        r#"{{"action":"paymentResponse","paymentResponse":{{"transactionId":"{name}","status":"SUCCESS"}}}}"#
    )
}

fn heard(answer: Answer) -> Heard {
    Heard { answer, repeated: false, exchange: None }
}

/// A pursuit whose desktop was told that the outcome is not known, and what it was told.
fn given_up() -> (Pursuit, String) {
    let mut pursuit = Pursuit::begin(now(), ask(), poi(), service(), BEGUN);
    pursuit.poll_order();
    pursuit.handle_answer(now(), &heard(Answer::NoResponse), Undo::Possible);
    pursuit.poll_order();
    pursuit.handle_answer(now(), &heard(Answer::NoResponse), Undo::Possible);
    let Some(PursuitOrder::Note(PaymentStanding::GivenUp(told))) = pursuit.poll_order() else {
        panic!("it is not given up");
    };
    (pursuit, String::from_utf8(told.payment_response.to_vec()).unwrap())
}

#[test]
fn plain_resumes_nothing() {
    breaks(Fault::PlainResumesNothing, "it may have been written", || {
        let plain_journal = Port::plain_journal("ws_1");
        let boarded = Some(plain_journal.clone());
        let mut port =
            Port::new(now(), PortSetup { plain_journal, boarded, merchant_account: "SHOP".into() });
        port.poll_order();
        let known = Known {
            delivery: delivery(),
            message: message(),
            desktop_id: None,
            received: true,
            standing: Standing::Open,
        };
        port.handle_found(now(), vec![known]);
        let Some(PortOrder::Hello(opening)) = port.poll_order() else { panic!("no hello") };
        assert_eq!(opening.resume, [delivery()], "it may have been written");
    });
}

#[test]
fn recorded_to_port_early() {
    breaks(Fault::RecordedToPortEarly, "is not on disk", || {
        let mut port = port(Some(r#"{"action":"resume","journalId":"j_1","transactionIds":[]}"#));
        say(&mut port, &answer("T-1"));
        while let Some(order) = port.poll_order() {
            let is_early = matches!(order, PortOrder::Write(ToClient::PaymentRecorded { .. }, _));
            assert!(!is_early, "what it forgets is not on disk");
        }
    });
}

#[test]
fn answer_of_any_name() {
    breaks(Fault::AnswerOfAnyName, "of another payment", || {
        let mut port = port(None);
        say(&mut port, &answer("T-9"));
        while let Some(order) = port.poll_order() {
            if let PortOrder::Tell(ToGateway::Result(told, _)) = order {
                assert_ne!(told, delivery(), "it is the answer of another payment");
            }
        }
    });
}

#[test]
fn unknown_is_not_paid() {
    breaks(Fault::UnknownIsNotPaid, "nobody knows", || {
        let (_, told) = given_up();
        assert!(told.contains("TERMINAL_UNREACHABLE"), "nobody knows whether it was charged");
    });
}

#[test]
fn voided_unproved() {
    breaks(Fault::VoidedUnproved, "nobody has proved", || {
        let (mut pursuit, _) = given_up();
        let due = pursuit.poll_timeout().unwrap();
        let later = Now { mono: due, ..now() };
        pursuit.handle_timeout(later);
        pursuit.poll_order();
        let service = service();
        let paid = format!(
            r#"{{"SaleToPOIResponse":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"{service}","SaleID":"Actions","POIID":"V400m-1"}},"PaymentResponse":{{"Response":{{"Result":"Success"}},"POIData":{{"POITransactionID":{{"TransactionID":"p1","TimeStamp":"t"}}}}}}}}}}"#
        );
        let found = Answer::Status(StatusAnswer::Found(paid.into()));
        pursuit.handle_answer(later, &heard(found), Undo::Possible);
        pursuit.poll_order();
        pursuit.handle_ended(later, true);
        let sent = pursuit.poll_order();
        assert!(matches!(sent, Some(PursuitOrder::SendVoid(_))), "nobody has proved that it is voided");
        pursuit.handle_answer(later, &heard(Answer::NoResponse), Undo::Possible);
        assert_eq!(pursuit.poll_order(), None, "nobody has proved that it is voided");
    });
}
