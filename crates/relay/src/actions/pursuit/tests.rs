use super::*;
use crate::actions::{TransactionId, service_id_of};
use crate::exchange::StatusAnswer;
use nexo::{ErrorCondition, Request};

const BEGUN: WallMs = WallMs(1_795_166_102_118);

fn at(ms: u64) -> Now {
    Now { mono: Duration::from_millis(ms), wall: BEGUN.plus(Duration::from_millis(ms)) }
}

fn ask() -> PaymentAsk {
    let raw = br#"{"transactionId":"T-5001","amount":"12.50","currency":"EUR"}"#;
    PaymentAsk::read(&Bytes::from_static(raw), || panic!("it has a name")).expect("an ask")
}

fn service() -> ServiceId {
    service_id_of("ws_1", &TransactionId::parse("T-5001").expect("a name"))
}

fn poi() -> PoiId {
    PoiId::parse("V400m-1").expect("a POIID")
}

fn begun() -> Pursuit {
    let mut pursuit = Pursuit::begin(at(0), ask(), poi(), service(), BEGUN);
    assert!(matches!(orders(&mut pursuit).as_slice(), [PursuitOrder::Send(_)]));
    pursuit
}

fn resumed(now: Now, resumed: Resumed) -> Pursuit {
    Pursuit::resume(now, ask(), poi(), service(), BEGUN, resumed)
}

fn orders(pursuit: &mut Pursuit) -> Vec<PursuitOrder> {
    std::iter::from_fn(|| pursuit.poll_order()).collect()
}

fn heard(answer: Answer) -> Heard {
    Heard { answer, repeated: false, exchange: None }
}

fn before(answer: Answer) -> Heard {
    Heard { repeated: true, ..heard(answer) }
}

/// A terminal's response; `result` is JSON.
fn response(category: &str, service: &ServiceId, body: &str) -> Bytes {
    format!(
        r#"{{"SaleToPOIResponse":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Response","ServiceID":"{service}","SaleID":"Actions","POIID":"V400m-1"}},"{category}Response":{body}}}}}"#
    )
    .into()
}

const POI_DATA: &str =
    r#""POIData":{"POITransactionID":{"TransactionID":"4yQe001","TimeStamp":"2026-11-20T09:15:09.000Z"}}"#;

fn paid() -> Answer {
    let body = format!(
        r#"{{"Response":{{"Result":"Success"}},{POI_DATA},"PaymentResult":{{"PaymentAcquirerData":{{"ApprovalCode":"A1"}}}}}}"#
    );
    Answer::Response(response("Payment", &service(), &body))
}

fn refused() -> Answer {
    let body = format!(r#"{{"Response":{{"Result":"Failure","ErrorCondition":"Refusal"}},{POI_DATA}}}"#);
    Answer::Response(response("Payment", &service(), &body))
}

fn partial() -> Answer {
    let body = format!(
        r#"{{"Response":{{"Result":"Partial"}},{POI_DATA},"PaymentResult":{{"AmountsResp":{{"AuthorizedAmount":5.00}}}}}}"#
    );
    Answer::Response(response("Payment", &service(), &body))
}

fn found(answer: Answer) -> Answer {
    let Answer::Response(message) = answer else { panic!("a response") };
    Answer::Status(StatusAnswer::Found(message))
}

fn reversed(count: u32, result: &str) -> Answer {
    let body = format!(r#"{{"Response":{{{result}}},{POI_DATA}}}"#);
    Answer::Response(response("Reversal", &void_service(count), &body))
}

fn void_service(count: u32) -> ServiceId {
    crate::actions::payment::void_service_id_of(&service(), count)
}

/// The ServiceID of the one order, which is a Reversal.
fn void_sent(pursuit: &mut Pursuit) -> ServiceId {
    match orders(pursuit).as_slice() {
        [PursuitOrder::SendVoid(message)] => {
            Request::parse(message.clone()).expect("a request").service_id().clone()
        }
        other => panic!("{other:?}"),
    }
}

/// Lets time pass until the next step, and gives what is ordered then.
fn next(pursuit: &mut Pursuit) -> (Now, Vec<PursuitOrder>) {
    let due = pursuit.poll_timeout().expect("it waits");
    let now = at(u64::try_from(due.as_millis()).expect("not so late"));
    pursuit.handle_timeout(now);
    (now, orders(pursuit))
}

fn is_question(orders: &[PursuitOrder]) -> bool {
    matches!(orders, [PursuitOrder::Ask(_)])
}

/// A payment whose terminal has stayed away, and whose desktop was told so.
fn given_up() -> Pursuit {
    let mut pursuit = begun();
    pursuit.handle_answer(at(90_000), &heard(Answer::NoResponse), Undo::Possible);
    assert!(is_question(&orders(&mut pursuit)));
    pursuit.handle_answer(at(90_001), &heard(Answer::NoResponse), Undo::Possible);
    match orders(&mut pursuit).as_slice() {
        [PursuitOrder::Note(PaymentStanding::GivenUp(told))] => {
            let told = String::from_utf8_lossy(&told.payment_response).into_owned();
            assert!(told.contains(r#""status":"FAILED""#) && told.contains("TERMINAL_UNREACHABLE"), "{told}");
        }
        other => panic!("{other:?}"),
    }
    pursuit
}

#[test]
fn an_answer_is_the_end() {
    for (answer, end) in [
        (paid(), End::Paid(Charge::Whole)),
        (refused(), End::Failed),
        (Answer::NotDelivered, End::Failed),
        (
            Answer::Failure {
                condition: ErrorCondition::ABORTED,
                message: "called off".into(),
                exchange: None,
            },
            End::Cancelled,
        ),
    ] {
        let mut pursuit = begun();
        pursuit.handle_answer(at(3000), &heard(answer), Undo::Possible);
        match orders(&mut pursuit).as_slice() {
            [PursuitOrder::End(ended, _)] => assert_eq!(*ended, end),
            other => panic!("{other:?}"),
        }
        assert!(!pursuit.is_over());
        pursuit.handle_ended(at(3001), false);
        assert!(pursuit.is_over());
    }
}

#[test]
fn a_payment_is_sent_once_and_then_only_asked_for() {
    let mut pursuit = begun();
    pursuit.handle_answer(at(150_000), &heard(Answer::NoResponse), Undo::Possible);
    let mut now = at(150_000);
    let mut ordered = orders(&mut pursuit);
    for _ in 0..1000 {
        assert!(is_question(&ordered), "{ordered:?}");
        pursuit.handle_answer(now, &heard(Answer::Status(StatusAnswer::InProgress)), Undo::Possible);
        orders(&mut pursuit);
        (now, ordered) = next(&mut pursuit);
    }
}

#[test]
fn what_the_ledger_did_not_take_is_tried_again_for_30_s_and_then_asked_for() {
    let mut pursuit = begun();
    let mut sent = 0;
    pursuit.handle_answer(at(2000), &heard(Answer::TryAgain), Undo::Possible);
    loop {
        let (now, orders) = next(&mut pursuit);
        match orders.as_slice() {
            [PursuitOrder::Send(_)] => sent += 1,
            other => panic!("{other:?}"),
        }
        pursuit.handle_answer(now, &heard(Answer::TryAgain), Undo::Possible);
        if now.mono >= RESEND_MAX {
            break;
        }
    }
    assert_eq!(sent, 28);
    assert!(is_question(&orders(&mut pursuit)));
    pursuit.handle_answer(at(31_000), &heard(Answer::Status(StatusAnswer::NotFound)), Undo::Possible);
    match orders(&mut pursuit).as_slice() {
        [PursuitOrder::End(End::Failed, told)] => {
            assert!(String::from_utf8_lossy(&told.payment_response).contains("TERMINAL_OFFLINE"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_restart_a_payment_is_never_sent() {
    for how in [Resumed::Open, Resumed::GivenUp] {
        let mut pursuit = resumed(at(100), how);
        assert!(is_question(&orders(&mut pursuit)));
        pursuit.handle_answer(at(101), &heard(Answer::TryAgain), Undo::Possible);
        assert!(is_question(&next(&mut pursuit).1));
        // It was begun, and the gateway fell over before it was sent: the ledger closes it, and it never runs.
        pursuit.handle_answer(at(102), &heard(Answer::Status(StatusAnswer::NotFound)), Undo::Possible);
        assert!(matches!(orders(&mut pursuit).as_slice(), [PursuitOrder::End(End::Failed, _)]));
    }
}

#[test]
fn a_desktop_hears_of_a_terminal_that_is_away_and_of_its_return() {
    let mut pursuit = begun();
    pursuit.handle_presence(at(1), true);
    assert_eq!(orders(&mut pursuit), []);
    pursuit.handle_presence(at(2), false);
    pursuit.handle_presence(at(3), false);
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Note(PaymentStanding::AwaitsReconnect)]);
    pursuit.handle_presence(at(4), true);
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Note(PaymentStanding::Runs)]);
}

#[test]
fn patience_ends_after_210_s_though_the_payment_runs() {
    let mut pursuit = begun();
    pursuit.handle_answer(at(150_000), &heard(Answer::NoResponse), Undo::Possible);
    assert!(is_question(&orders(&mut pursuit)));
    let running = heard(Answer::Status(StatusAnswer::InProgress));
    let mut given_up_at = None;
    let mut now = at(150_000);
    while given_up_at.is_none() {
        pursuit.handle_answer(now, &running, Undo::Possible);
        if !orders(&mut pursuit).is_empty() {
            given_up_at = Some(now.mono);
        }
        now = next(&mut pursuit).0;
    }
    assert_eq!(given_up_at, Some(PATIENCE));
}

#[test]
fn a_late_failure_just_ends_it() {
    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(refused())), Undo::Possible);
    assert!(matches!(orders(&mut pursuit).as_slice(), [PursuitOrder::End(End::Failed, _)]));
}

#[test]
fn questions_come_slower_and_slower_until_the_terminal_comes() {
    let mut pursuit = given_up();
    let mut last = at(90_001);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let (now, orders) = next(&mut pursuit);
        assert!(is_question(&orders));
        pauses.push((now.mono - last.mono).as_secs());
        last = now;
        pursuit.handle_answer(now, &heard(Answer::NoResponse), Undo::Possible);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    pursuit.handle_presence(last, true);
    assert_eq!(orders(&mut pursuit), []);
    assert_eq!(pursuit.poll_timeout(), Some(last.mono + ASK_PACE));
}

#[test]
fn a_late_success_is_voided() {
    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(paid())), Undo::Possible);
    assert!(matches!(
        orders(&mut pursuit).as_slice(),
        [PursuitOrder::End(End::PaidLateToVoid(Charge::Whole), _)]
    ));
    pursuit.handle_ended(now, true);
    assert_eq!(void_sent(&mut pursuit), void_service(0));
    pursuit.handle_answer(now, &heard(reversed(0, r#""Result":"Success""#)), Undo::Possible);
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Voided(VoidEnd::Done)]);
    assert!(pursuit.is_over());
}

#[test]
fn a_late_success_stays_where_it_was_read_or_cannot_be_undone() {
    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(paid())), Undo::Possible);
    orders(&mut pursuit);
    pursuit.handle_ended(now, false);
    assert!(pursuit.is_over());

    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(paid())), Undo::Impossible);
    assert!(matches!(orders(&mut pursuit).as_slice(), [PursuitOrder::End(End::PaidLate(Charge::Whole), _)]));
}

#[test]
fn a_part_that_was_charged_late_is_voided_too() {
    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(partial())), Undo::Possible);
    assert!(matches!(
        orders(&mut pursuit).as_slice(),
        [PursuitOrder::End(End::PaidLateToVoid(Charge::Part), _)]
    ));
}

#[test]
fn a_part_that_was_charged_is_no_failure() {
    let mut pursuit = begun();
    pursuit.handle_answer(at(3000), &heard(partial()), Undo::Possible);
    match orders(&mut pursuit).as_slice() {
        [PursuitOrder::End(End::Paid(Charge::Part), told)] => assert_eq!(told.status, PaymentStatus::Failed),
        other => panic!("{other:?}"),
    }
    // Nobody was told that it is not known: whoever hears of the part may go on with the rest.
    pursuit.handle_ended(at(3001), false);
    assert!(pursuit.is_over());

    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(partial())), Undo::Impossible);
    assert!(matches!(orders(&mut pursuit).as_slice(), [PursuitOrder::End(End::PaidLate(Charge::Part), _)]));
}

/// A late success whose void has been sent.
fn voiding() -> (Now, Pursuit) {
    let mut pursuit = given_up();
    let (now, _) = next(&mut pursuit);
    pursuit.handle_answer(now, &heard(found(paid())), Undo::Possible);
    orders(&mut pursuit);
    pursuit.handle_ended(now, true);
    void_sent(&mut pursuit);
    (now, pursuit)
}

#[test]
fn another_reversal_is_sent_only_when_the_last_one_never_ran() {
    let (now, mut pursuit) = voiding();
    // Nobody knows: it is asked for, never sent anew.
    pursuit.handle_answer(now, &heard(Answer::NoResponse), Undo::Possible);
    let (now, asked) = next(&mut pursuit);
    assert!(matches!(asked.as_slice(), [PursuitOrder::AskVoid(_)]));
    for answer in [
        Answer::NoResponse,
        Answer::Status(StatusAnswer::InProgress),
        Answer::TryAgain,
        Answer::Failure { condition: ErrorCondition::NOT_ALLOWED, message: String::new(), exchange: None },
    ] {
        pursuit.handle_answer(now, &heard(answer), Undo::Possible);
        assert!(matches!(next(&mut pursuit).1.as_slice(), [PursuitOrder::AskVoid(_)]));
    }
    pursuit.handle_answer(now, &heard(Answer::Status(StatusAnswer::NotFound)), Undo::Possible);
    let due = pursuit.poll_timeout().expect("it waits");
    pursuit.handle_timeout(at(u64::try_from(due.as_millis()).expect("not so late")));
    assert_eq!(void_sent(&mut pursuit), void_service(1));
    let busy = reversed(1, r#""Result":"Failure","ErrorCondition":"Busy""#);
    pursuit.handle_answer(now, &heard(busy), Undo::Possible);
    let due = pursuit.poll_timeout().expect("it waits");
    pursuit.handle_timeout(at(u64::try_from(due.as_millis()).expect("not so late")));
    assert_eq!(void_sent(&mut pursuit), void_service(2));
    let refused = reversed(2, r#""Result":"Failure","ErrorCondition":"NotFound""#);
    pursuit.handle_answer(now, &heard(refused), Undo::Possible);
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Voided(VoidEnd::Refused)]);
}

#[test]
fn a_clash_over_the_reversals_service_id_is_asked_about_and_not_taken_for_a_refusal() {
    let (now, mut pursuit) = voiding();
    let clash =
        Answer::Failure { condition: ErrorCondition::NOT_ALLOWED, message: String::new(), exchange: None };
    pursuit.handle_answer(now, &heard(clash), Undo::Possible);
    assert!(matches!(next(&mut pursuit).1.as_slice(), [PursuitOrder::AskVoid(_)]));
    let done = found(reversed(0, r#""Result":"Success""#));
    pursuit.handle_answer(now, &heard(done), Undo::Possible);
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Voided(VoidEnd::Done)]);
}

#[test]
fn a_void_goes_on_after_a_restart_with_the_same_reversals() {
    let (_, before_restart) = voiding();
    let first = before_restart.void_of(&response_in(&paid()).expect("a response"), 0);
    let now = at(500_000);
    let mut pursuit = resumed(now, Resumed::Voiding);
    assert!(is_question(&orders(&mut pursuit)));
    pursuit.handle_answer(now, &heard(found(paid())), Undo::Possible);
    match orders(&mut pursuit).as_slice() {
        [PursuitOrder::SendVoid(message)] => assert_eq!(Some(message), first.as_ref()),
        other => panic!("{other:?}"),
    }
    // Attempts of before are passed over at once.
    pursuit.handle_answer(now, &before(Answer::NotDelivered), Undo::Possible);
    assert_eq!(void_sent(&mut pursuit), void_service(1));
    pursuit.handle_answer(now, &heard(Answer::NotDelivered), Undo::Possible);
    assert_eq!(orders(&mut pursuit), []);
    assert_eq!(pursuit.poll_timeout(), Some(now.mono + ASK_PACE));
}

#[test]
fn a_payment_is_left_to_people_before_the_ledger_may_forget_it() {
    let late = at(47 * 3_600_000);
    let mut pursuit = resumed(late, Resumed::GivenUp);
    assert_eq!(orders(&mut pursuit), []);
    assert!(pursuit.is_over());

    // Nobody has a word about one that was open while there was no gateway.
    let mut pursuit = resumed(late, Resumed::Open);
    match orders(&mut pursuit).as_slice() {
        [PursuitOrder::Note(PaymentStanding::GivenUp(told))] => {
            assert!(String::from_utf8_lossy(&told.payment_response).contains("TERMINAL_UNREACHABLE"));
        }
        other => panic!("{other:?}"),
    }
    assert!(pursuit.is_over());

    // The money may have been given back.
    let mut pursuit = resumed(late, Resumed::Voiding);
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Voided(VoidEnd::Unknown)]);
    assert!(pursuit.is_over());
}

#[test]
fn a_void_that_nobody_can_answer_for_is_not_asked_about_for_days() {
    let (mut now, mut pursuit) = voiding();
    let unknown = heard(Answer::NoResponse);
    pursuit.handle_answer(now, &unknown, Undo::Possible);
    // While the terminal is away it may still tell.
    pursuit.handle_presence(now, false);
    for _ in 0..20 {
        let asked;
        (now, asked) = next(&mut pursuit);
        assert!(matches!(asked.as_slice(), [PursuitOrder::AskVoid(_)]), "{asked:?}");
        pursuit.handle_answer(now, &unknown, Undo::Possible);
    }
    pursuit.handle_presence(now, true);
    let back = now;
    loop {
        let asked;
        (now, asked) = next(&mut pursuit);
        assert!(matches!(asked.as_slice(), [PursuitOrder::AskVoid(_)]), "{asked:?}");
        pursuit.handle_answer(now, &unknown, Undo::Possible);
        if pursuit.poll_timeout().is_none() {
            break;
        }
    }
    assert_eq!(orders(&mut pursuit), [PursuitOrder::Voided(VoidEnd::Unknown)]);
    let waited = now.mono - back.mono;
    assert!((120..300).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn a_terminals_own_word_about_an_earlier_payment_is_taken() {
    let mut pursuit = given_up();
    let (now, asked) = next(&mut pursuit);
    let [PursuitOrder::Ask(question)] = asked.as_slice() else { panic!("{asked:?}") };
    let fresh = ServiceId::parse("fresh1").expect("an ID");
    let message = String::from_utf8(question.message(&fresh).to_vec()).expect("text");
    assert!(message.contains(r#""MessageReference":{"MessageCategory":"Payment","ServiceID":"#), "{message}");
    let repeated = |header: &str, sale: &str| {
        let body = format!(r#"{{"Response":{{"Result":"Success"}},{sale}{POI_DATA}}}"#);
        format!(
            r#"{{"Response":{{"Result":"Success"}},"RepeatedMessageResponse":{{{header}"RepeatedResponseMessageBody":{{"PaymentResponse":{body}}}}}}}"#
        )
    };
    let header = |service: &str| {
        format!(
            r#""MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"{service}","SaleID":"Actions","POIID":"V400m-1"}},"#
        )
    };
    let sale = |transaction: &str| {
        format!(
            r#""SaleData":{{"SaleTransactionID":{{"TransactionID":"{transaction}","TimeStamp":"2026-11-20T09:15:02.118Z"}}}},"#
        )
    };
    let (ours, other) = (header(service().as_str()), header("other1"));
    for (body, is_end) in [
        (r#"{"Response":{"Result":"Failure","ErrorCondition":"NotFound"}}"#.to_owned(), false),
        (r#"{"Response":{"Result":"Failure","ErrorCondition":"UnavailableService"}}"#.to_owned(), false),
        (repeated(&ours, &sale("T-5001")), true),
        (repeated(&ours, ""), true),
        (repeated("", &sale("T-5001")), true),
        // Its last one, which is somebody else's.
        (repeated(&other, &sale("T-5001")), false),
        (repeated(&ours, &sale("27908")), false),
        (repeated("", &sale("27908")), false),
        (repeated("", ""), false),
    ] {
        let mut pursuit = pursuit.clone();
        let answer = Answer::Response(response("TransactionStatus", &fresh, &body));
        pursuit.handle_answer(now, &heard(answer), Undo::Possible);
        let ended = matches!(
            orders(&mut pursuit).as_slice(),
            [PursuitOrder::End(End::PaidLateToVoid(Charge::Whole), _)]
        );
        assert_eq!(ended, is_end, "{body}");
    }
}
