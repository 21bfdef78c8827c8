use super::answers::{ORPHANS_MAX, orphan};
use super::*;
use crate::actions::service_id_of;
use nexo::Response;

const PLAIN: &str = "j_actions-ws_1";

fn at(seconds: u64) -> Now {
    Now { mono: Duration::from_secs(seconds), wall: crate::WallMs(1_795_166_100_000) }
}

fn journal(text: &str) -> JournalId {
    JournalId::parse(text).expect("an ID")
}

fn delivery(text: &str) -> DeliveryId {
    DeliveryId::parse(text).expect("an ID")
}

fn name(text: &str) -> TransactionId {
    TransactionId::parse(text).expect("a name")
}

fn port(boarded: Option<&str>) -> Port {
    Port::new(
        at(100),
        PortSetup {
            plain_journal: Port::plain_journal("ws_1"),
            boarded: boarded.map(journal),
            merchant_account: "DEMO_MERCHANT_EU".into(),
        },
    )
}

/// A plain terminal that is present since 100 s, of which the ledger knows this.
fn plain(known: Vec<Known>) -> Port {
    let mut port = port(Some(PLAIN));
    orders(&mut port);
    port.handle_found(at(100), known);
    orders(&mut port);
    port.handle_welcome(at(100));
    port
}

/// One that acknowledges, and has this.
fn acknowledging(has: &str, known: Vec<Known>) -> (Port, Opening) {
    let mut port = port(Some("j_1"));
    say(&mut port, 100, &format!(r#"{{"action":"resume","journalId":"j_1",{has}}}"#));
    orders(&mut port);
    port.handle_found(at(100), known);
    let [PortOrder::Hello(opening)] = &orders(&mut port)[..] else { panic!("no hello") };
    port.handle_welcome(at(100));
    (port, opening.clone())
}

fn orders(port: &mut Port) -> Vec<PortOrder> {
    std::iter::from_fn(|| port.poll_order()).collect()
}

/// What a port does, for the eye: frames as they are, the rest in a word.
fn done(port: &mut Port) -> Vec<String> {
    let text = |frame: &Bytes| String::from_utf8(frame.to_vec()).expect("text");
    let word = |order: &PortOrder| match order {
        PortOrder::Look(names) => format!("look {}", names.len()),
        PortOrder::Hello(opening) => format!("hello {}", opening.journal),
        PortOrder::Write(frame, _) => text(&frame.encode()),
        PortOrder::Tell(ToGateway::Received(delivery)) => format!("received {delivery}"),
        PortOrder::Tell(ToGateway::Indeterminate(delivery, _)) => format!("indeterminate {delivery}"),
        PortOrder::Tell(ToGateway::Result(delivery, ResultMessage::Empty)) => format!("empty {delivery}"),
        PortOrder::Tell(ToGateway::Result(delivery, ResultMessage::Message(message))) => {
            let outcome = Response::parse(message.clone()).ok().and_then(|response| response.outcome());
            let word = outcome.map(|outcome| match outcome.error_condition {
                Some(condition) => format!("{:?}/{condition}", outcome.result),
                None => format!("{:?}", outcome.result),
            });
            format!("result {delivery} {}", word.as_deref().unwrap_or("unfit"))
        }
        PortOrder::Tell(other) => format!("{other:?}"),
        PortOrder::CloseForErrors => "close".into(),
    };
    orders(port).iter().map(word).collect()
}

fn say(port: &mut Port, seconds: u64, text: &str) {
    port.handle_text(at(seconds), &Bytes::copy_from_slice(text.as_bytes()));
    find_no_namesakes(port, seconds);
}

/// If the ledger is asked for other payments of an answer's name, it knows none.
fn find_no_namesakes(port: &mut Port, seconds: u64) {
    if matches!(port.looks.front(), Some(LookFor::Namesakes(_))) {
        port.orders.retain(|order| !matches!(order, PortOrder::Look(_)));
        port.handle_found(at(seconds), vec![]);
    }
}

fn message(category: &str, service: &str, body: &str) -> Bytes {
    format!(
        r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"{service}","SaleID":"TILL-04","POIID":"ACT1-1"}},{body}}}}}"#
    )
    .into()
}

fn payment(transaction: &str) -> Bytes {
    let service = service_id_of("ws_1", &name(transaction));
    message(
        "Payment",
        service.as_str(),
        &format!(
            r#""PaymentRequest":{{"SaleData":{{"SaleTransactionID":{{"TransactionID":"{transaction}","TimeStamp":"t"}}}},"PaymentTransaction":{{"AmountsReq":{{"Currency":"EUR","RequestedAmount":10.99}}}}}}"#
        ),
    )
}

fn reversal(transaction: &str) -> Bytes {
    let body = format!(
        r#""ReversalRequest":{{"OriginalPOITransaction":{{"POITransactionID":{{"TransactionID":"d_p:c_1/{transaction}","TimeStamp":"t"}}}},"ReversalReason":"MerchantCancel"}}"#
    );
    message("Reversal", "R1", &body)
}

fn known(id: &str, message: Bytes, standing: Standing) -> Known {
    Known { delivery: delivery(id), message, desktop_id: None, received: true, standing }
}

fn deliver(port: &mut Port, seconds: u64, id: &str, message: Bytes) {
    let deliver = Deliver { delivery: delivery(id), time_left_ms: 100_000, message };
    port.handle_deliver(at(seconds), deliver, None);
}

/// Delivers a payment and writes its frame.
fn pay(port: &mut Port, seconds: u64, id: &str, transaction: &str) -> Vec<String> {
    deliver(port, seconds, id, payment(transaction));
    let mut all = done(port);
    port.handle_written(&delivery(id));
    all.extend(done(port));
    all
}

fn answer(transaction: &str, status: &str) -> String {
    format!(
        r#"{{"action":"paymentResponse","paymentResponse":{{"transactionId":"{transaction}","status":"{status}"}}}}"#
    )
}

#[test]
fn a_terminal_that_never_acknowledged_is_plain_at_once() {
    for boarded in [None, Some(PLAIN)] {
        let mut port = port(boarded);
        assert!(!port.takes_frames());
        assert_eq!(orders(&mut port), [PortOrder::Look(vec![])]);
        port.handle_found(at(100), vec![]);
        let opening = Opening { journal: journal(PLAIN), read: boarded.map(journal), resume: vec![] };
        assert_eq!(orders(&mut port), [PortOrder::Hello(opening)]);
        assert!(!port.takes_frames());
        port.handle_welcome(at(100));
        assert!(port.takes_frames() && port.mode == Mode::Plain);
        assert_eq!(port.poll_timeout(), None);
    }
}

#[test]
fn a_terminal_that_has_acknowledged_is_waited_for_five_seconds() {
    let mut port = port(Some("j_1"));
    assert!(port.takes_frames());
    assert_eq!(orders(&mut port), []);
    assert_eq!(port.poll_timeout(), Some(at(105).mono));
    port.handle_timeout(at(104));
    assert_eq!(orders(&mut port), []);
    port.handle_timeout(at(105));
    assert_eq!(orders(&mut port), [PortOrder::Look(vec![])]);
    port.handle_found(at(105), vec![]);
    let opening = Opening { journal: journal(PLAIN), read: Some(journal("j_1")), resume: vec![] };
    assert_eq!(orders(&mut port), [PortOrder::Hello(opening)]);
}

#[test]
fn whatever_else_comes_first_makes_a_plain_terminal_of_it_and_is_heard_once_that_is_present() {
    let mut port = port(Some("j_1"));
    say(&mut port, 101, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), ["look 0"]);
    assert!(!port.takes_frames());
    port.handle_found(at(101), vec![known("d_1", payment("T-1"), Standing::Open)]);
    assert_eq!(done(&mut port), ["hello j_actions-ws_1"]);
    port.handle_welcome(at(101));
    find_no_namesakes(&mut port, 101);
    assert_eq!(done(&mut port), ["result d_1 Success"]);

    let mut port = self::port(Some("j_1"));
    say(&mut port, 101, "{");
    assert_eq!(
        done(&mut port),
        ["look 0", r#"{"error":"Bad Request","message":"Invalid JSON in message body"}"#]
    );
}

#[test]
fn a_terminal_says_resume_first_or_never() {
    let resume = r#"{"action":"resume","journalId":"j_2","transactionIds":[]}"#;
    let mut port = plain(vec![]);
    say(&mut port, 101, r#"{"action":"ping"}"#);
    say(&mut port, 101, resume);
    for frame in [
        r#"{"action":"paymentReceived","transactionId":"T-1"}"#,
        r#"{"action":"voidReceived","transactionId":"T-1"}"#,
        r#"{"action":"voidResponse","transactionId":"T-1","status":"SUCCESS"}"#,
    ] {
        say(&mut port, 101, frame);
    }
    let error = r#"{"error":"Bad Request","message":"resume must be the first message"}"#;
    assert_eq!(
        done(&mut port),
        [r#"{"action":"pong","timestamp":"2026-11-20T09:15:00.000Z"}"#, error, error, error, error]
    );
    assert_eq!(port.mode, Mode::Plain);
}

#[test]
fn what_is_written_before_the_first_resume_is_resumed_with_it() {
    let mut port = plain(vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    say(&mut port, 100, r#"{"action":"resume","journalId":"j_2","transactionIds":[]}"#);
    assert_eq!(done(&mut port), ["look 0"]);
    port.handle_found(
        at(100),
        vec![known("d_1", payment("T-1"), Standing::Open), known("d_0", payment("T-0"), Standing::Open)],
    );
    let opening =
        Opening { journal: journal("j_2"), read: Some(journal(PLAIN)), resume: vec![delivery("d_1")] };
    assert_eq!(orders(&mut port), [PortOrder::Hello(opening)]);
    port.handle_welcome(at(100));
    assert_eq!(port.mode, Mode::Acknowledging);
    say(&mut port, 101, r#"{"action":"paymentReceived","transactionId":"T-1"}"#);
    say(&mut port, 102, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), ["result d_1 Success"]);
}

#[test]
fn what_a_hello_does_not_name_any_more_is_not_written() {
    let mut port = plain(vec![]);
    say(&mut port, 100, r#"{"action":"resume","journalId":"j_2","transactionIds":[]}"#);
    orders(&mut port);
    port.handle_found(at(100), vec![]);
    assert_eq!(done(&mut port), ["hello j_2"]);
    // The terminal is boarded anew meanwhile, and the desk has not heard of its `hello`.
    assert_eq!(pay(&mut port, 100, "d_1", "T-1"), ["result d_1 Failure/Busy"]);
    port.handle_welcome(at(101));
    assert_eq!(pay(&mut port, 101, "d_2", "T-2").len(), 1);
}

#[test]
fn an_older_payments_answer_that_comes_again_is_not_taken_for_the_open_one_of_that_name() {
    // The older one has ended, so that nobody has told the port of it.
    let mut port = plain(vec![known("d_2", payment("T-1"), Standing::Open)]);
    say(&mut port, 101, &answer("T-1", "CANCELLED").replacen('{', r#"{"desktopId":"d_1","#, 1));
    assert_eq!(
        done(&mut port),
        [
            format!("result {} unfit", orphan(&name("T-1"))).as_str(),
            r#"{"error":"Bad Request","message":"desktopId is not the one that came with this transactionId"}"#
        ]
    );
    say(&mut port, 102, &answer("T-1", "SUCCESS").replacen('{', r#"{"desktopId":"d_2","#, 1));
    assert_eq!(done(&mut port), ["result d_2 Success"]);
}

#[test]
fn a_plain_terminals_journal_is_its_gateways_own() {
    assert_eq!(Port::plain_journal("ws_1"), journal(PLAIN));
    let long = Port::plain_journal(&"w".repeat(100));
    assert_eq!(long.as_str().len(), PLAIN_PREFIX.len() + 32);
    assert_ne!(long, Port::plain_journal(&"w".repeat(101)));

    let mut port = port(Some("j_1"));
    say(&mut port, 101, r#"{"action":"resume","journalId":"j_actions-ws_1","transactionIds":[]}"#);
    assert_eq!(
        done(&mut port),
        ["look 0", r#"{"error":"Bad Request","message":"journalId must not begin with j_actions-"}"#]
    );
}

#[test]
fn a_plain_terminal_has_received_what_was_written_to_it() {
    let mut port = plain(vec![]);
    assert_eq!(
        pay(&mut port, 100, "d_1", "T-1"),
        [
            r#"{"action":"paymentRequest","desktopId":"d_1","paymentRequest":{"transactionId":"T-1","amount":"10.99","currency":"EUR","paymentMethod":"CARD"},"timestamp":"2026-11-20T09:15:00.000Z"}"#,
            "received d_1"
        ]
    );
    port.handle_written(&delivery("d_1"));
    assert_eq!(done(&mut port), [""; 0]);
    say(&mut port, 101, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), ["result d_1 Success"]);
    port.handle_recorded(&delivery("d_1"), None);
    assert_eq!(done(&mut port), [""; 0]);
    assert_eq!(port.poll_timeout(), None);
}

#[test]
fn a_desktops_own_words_reach_the_terminal_as_they_are() {
    let mut port = plain(vec![]);
    let deliver = Deliver { delivery: delivery("d_1"), time_left_ms: 1000, message: payment("T-1") };
    let asked =
        Asked { desktop_id: "c_7".into(), payment_request: Bytes::from_static(br#"{"amount" : 10.99}"#) };
    port.handle_deliver(at(100), deliver, Some(asked));
    assert_eq!(
        done(&mut port),
        [
            r#"{"action":"paymentRequest","desktopId":"c_7","paymentRequest":{"amount" : 10.99},"timestamp":"2026-11-20T09:15:00.000Z"}"#
        ]
    );
}

#[test]
fn what_this_dialect_has_no_words_for_is_answered_in_the_terminals_stead() {
    let status = r#""TransactionStatusRequest":{"MessageReference":{"ServiceID":"1"}}"#;
    let abort = r#""AbortRequest":{"AbortReason":"x"}"#;
    for (message, told) in [
        (message("Abort", "1", abort), "empty d_1"),
        (message("InputUpdate", "1", r#""InputUpdate":{}"#), "empty d_1"),
        (message("Diagnosis", "1", r#""DiagnosisRequest":{}"#), "result d_1 Failure/UnavailableService"),
        (message("TransactionStatus", "1", status), "result d_1 Failure/UnavailableService"),
        (message("Payment", "1", r#""NexoBlob":"AAAA""#), "result d_1 Failure/UnavailableService"),
        (message("Payment", "1", r#""PaymentRequest":{}"#), "result d_1 Failure/MessageFormat"),
        (reversal("T-1"), "result d_1 Failure/UnavailableService"),
    ] {
        let mut port = plain(vec![]);
        deliver(&mut port, 100, "d_1", message);
        assert_eq!(done(&mut port), [told]);
        port.handle_recorded(&delivery("d_1"), None);
        assert_eq!(done(&mut port), [""; 0]);
    }
    let mut port = plain(vec![]);
    let late = Deliver { delivery: delivery("d_1"), time_left_ms: 0, message: payment("T-1") };
    port.handle_deliver(at(100), late, None);
    assert_eq!(done(&mut port), ["result d_1 Failure/Aborted"]);
}

#[test]
fn a_terminal_has_one_payment_at_a_time() {
    let mut port = plain(vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    assert_eq!(pay(&mut port, 259, "d_2", "T-2"), ["result d_2 Failure/Busy"]);
    say(&mut port, 259, &answer("T-1", "FAILED"));
    assert_eq!(done(&mut port), ["result d_1 Failure/Refusal"]);
    assert_eq!(pay(&mut port, 259, "d_3", "T-3").len(), 2);
}

#[test]
fn e26_a_plain_terminals_payment_of_which_nothing_was_heard_for_60_s_ends_unknown() {
    let open = |standing| vec![known("d_1", payment("T-1"), standing)];
    // It comes back with a payment that was written before, and says nothing about it.
    let mut port = plain(open(Standing::Open));
    assert_eq!(port.poll_timeout(), Some(at(160).mono));
    assert_eq!(pay(&mut port, 159, "d_2", "T-2"), ["result d_2 Failure/Busy"]);
    port.handle_timeout(at(159));
    assert_eq!(done(&mut port), [""; 0]);
    port.handle_timeout(at(160));
    assert_eq!(done(&mut port), ["look 0"]);
    port.handle_timeout(at(161));
    assert_eq!(done(&mut port), [""; 0]);
    assert_eq!(port.poll_timeout(), None);
    port.handle_found(at(161), open(Standing::Open));
    assert_eq!(done(&mut port), ["indeterminate d_1"]);
    port.handle_recorded(&delivery("d_1"), None);
    // The next one finds it free, and a late result still belongs to the first.
    assert_eq!(pay(&mut port, 162, "d_3", "T-3").len(), 2);
    say(&mut port, 163, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), ["result d_1 Success"]);

    // One that turned out never to have been written is nobody's to give up.
    for known in [open(Standing::Settled), vec![]] {
        let mut port = plain(open(Standing::Open));
        port.handle_timeout(at(160));
        port.handle_found(at(160), known);
        assert_eq!(done(&mut port), ["look 0"]);
        assert_eq!(port.poll_timeout(), None);
    }
}

#[test]
fn e26_so_does_one_whose_time_is_over_for_60_s() {
    let mut port = plain(vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    assert_eq!(port.poll_timeout(), Some(at(260).mono));
    say(&mut port, 230, &answer("T-1", "PENDING"));
    assert_eq!(done(&mut port), [""; 0]);
    assert_eq!(port.poll_timeout(), Some(at(290).mono));
    port.handle_timeout(at(290));
    port.handle_found(at(290), vec![known("d_1", payment("T-1"), Standing::Open)]);
    assert_eq!(done(&mut port), ["look 0", "indeterminate d_1"]);
}

#[test]
fn no_two_payments_of_one_name_can_be_taken_for_each_other() {
    // While the end of the first is not known there is no second.
    let first =
        Known { desktop_id: Some("c_0".into()), ..known("d_0", payment("T-1"), Standing::UnknownFinal) };
    let mut port = plain(vec![first]);
    assert_eq!(pay(&mut port, 100, "d_1", "T-1"), ["result d_1 Failure/NotAllowed"]);
    say(&mut port, 101, &answer("T-1", "FAILED"));
    assert_eq!(done(&mut port), ["result d_0 Failure/Refusal"]);
    assert_eq!(pay(&mut port, 101, "d_2", "T-1"), ["result d_2 Failure/NotAllowed"]);
    port.handle_recorded(&delivery("d_0"), None);
    // After it there is; then the terminal has to say which one it means.
    assert_eq!(pay(&mut port, 102, "d_3", "T-1").len(), 2);
    say(&mut port, 103, &answer("T-1", "SUCCESS"));
    let evidence = format!("result {} unfit", orphan(&name("T-1")));
    assert_eq!(
        done(&mut port),
        [
            evidence.as_str(),
            r#"{"error":"Bad Request","message":"desktopId is required: this transactionId was used more than once"}"#
        ]
    );
    let with =
        |desktop: &str| answer("T-1", "SUCCESS").replacen('{', &format!(r#"{{"desktopId":"{desktop}","#), 1);
    say(&mut port, 103, &with("c_9"));
    assert_eq!(done(&mut port)[0], evidence);
    say(&mut port, 103, &with("c_0"));
    say(&mut port, 103, &with("d_3"));
    assert_eq!(done(&mut port), ["result d_0 Success", "result d_3 Success"]);
}

#[test]
fn of_two_payments_of_one_name_a_terminal_that_acknowledges_means_the_one_that_it_has_stored() {
    let (mut port, _) = acknowledging(r#""transactionIds":[]"#, vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    say(&mut port, 101, &answer("T-1", "FAILED"));
    port.handle_recorded(&delivery("d_1"), None);
    pay(&mut port, 102, "d_2", "T-1");
    // This may be the first one's once more.
    say(&mut port, 103, &answer("T-1", "FAILED"));
    assert!(done(&mut port)[1].contains("desktopId is required"));
    say(&mut port, 104, r#"{"action":"paymentReceived","transactionId":"T-1"}"#);
    say(&mut port, 105, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), ["received d_2", "result d_2 Success"]);

    // After a reconnect it may be either, until it says which.
    let both =
        vec![known("d_1", payment("T-1"), Standing::Settled), known("d_2", payment("T-1"), Standing::Open)];
    let (_, opening) = acknowledging(r#""transactionIds":["T-1"],"desktopIds":["d_1"]"#, both.clone());
    assert_eq!(opening.resume, []);
    let (_, opening) = acknowledging(r#""transactionIds":["T-1"],"desktopIds":["c_9"]"#, both.clone());
    assert_eq!(opening.resume, [delivery("d_2")]);
    let (mut port, opening) = acknowledging(r#""transactionIds":["T-1"]"#, both);
    assert_eq!(opening.resume, [delivery("d_2")]);
    say(&mut port, 101, &answer("T-1", "FAILED"));
    assert!(done(&mut port)[1].contains("desktopId is required"));
    say(&mut port, 101, &answer("T-1", "FAILED").replacen('{', r#"{"desktopId":"d_1","#, 1));
    assert_eq!(done(&mut port), ["result d_1 Failure/Refusal", "indeterminate d_2"]);
}

#[test]
fn an_answer_with_the_desktop_id_of_another_is_not_taken() {
    let mut port = plain(vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    say(&mut port, 101, &answer("T-1", "SUCCESS").replacen('{', r#"{"desktopId":"c_9","#, 1));
    assert_eq!(
        done(&mut port)[1],
        r#"{"error":"Bad Request","message":"desktopId is not the one that came with this transactionId"}"#
    );
    say(&mut port, 101, &answer("T-1", "SUCCESS").replacen('{', r#"{"desktopId":"d_1","#, 1));
    assert_eq!(done(&mut port), ["result d_1 Success"]);
}

#[test]
fn a_result_of_nothing_that_is_known_is_kept_as_evidence() {
    let evidence = format!("result {} unfit", orphan(&name("T-1")));
    let mut port = plain(vec![]);
    say(&mut port, 100, &answer("T-1", "SUCCESS"));
    assert_eq!(
        done(&mut port),
        [evidence.as_str(), r#"{"error":"Not Found","message":"Transaction not found"}"#]
    );
    let (mut port, _) = acknowledging(r#""transactionIds":["T-1"]"#, vec![]);
    say(&mut port, 100, &answer("T-1", "SUCCESS"));
    say(&mut port, 100, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), [evidence.as_str(), evidence.as_str()]);
    port.handle_recorded(&orphan(&name("T-1")), Some("unknown deliveryId".into()));
    assert_eq!(
        done(&mut port),
        [r#"{"action":"paymentRecorded","transactionId":"T-1","problem":"unknown deliveryId"}"#]
    );
}

#[test]
fn a_terminal_that_acknowledges_says_itself_what_it_has() {
    let all = || {
        vec![
            known("d_1", payment("T-1"), Standing::Open),
            known("d_2", payment("T-2"), Standing::Open),
            known("d_3", payment("T-3"), Standing::Settled),
            known("d_4", reversal("T-1"), Standing::Open),
        ]
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| delivery(id)).collect::<Vec<_>>();
    let (_, opening) = acknowledging(r#""transactionIds":["T-1","T-3"],"voidTransactionIds":[]"#, all());
    assert_eq!(
        opening,
        Opening { journal: journal("j_1"), read: Some(journal("j_1")), resume: ids(&["d_1"]) }
    );
    let (_, opening) = acknowledging(r#""transactionIds":["T-2"],"voidTransactionIds":["T-1"]"#, all());
    assert_eq!(opening.resume, ids(&["d_2", "d_4"]));
    // One that does not tell payments from voids has both.
    let (mut port, opening) = acknowledging(r#""transactionIds":["T-1","T-3"]"#, all());
    assert_eq!(opening.resume, ids(&["d_1", "d_4"]));
    assert_eq!(port.poll_timeout(), None);
    // What is settled is known when it comes again.
    say(&mut port, 101, &answer("T-3", "FAILED"));
    assert_eq!(done(&mut port), ["result d_3 Failure/Refusal"]);
    port.handle_recorded(&delivery("d_3"), None);
    assert_eq!(done(&mut port), [r#"{"action":"paymentRecorded","transactionId":"T-3"}"#]);
}

#[test]
fn a_terminal_that_acknowledges_is_asked_for_and_told_by_name() {
    let mut port = port(Some("j_1"));
    say(
        &mut port,
        101,
        r#"{"action":"resume","journalId":"j_1","transactionIds":["T-1"],"voidTransactionIds":["T-2"]}"#,
    );
    assert_eq!(orders(&mut port), [PortOrder::Look(vec![name("T-1"), name("T-2")])]);

    let (mut port, _) = acknowledging(r#""transactionIds":[]"#, vec![]);
    assert_eq!(pay(&mut port, 100, "d_1", "T-1").len(), 1);
    say(&mut port, 101, r#"{"action":"paymentReceived","transactionId":"T-1"}"#);
    say(&mut port, 101, r#"{"action":"paymentReceived","transactionId":"T-1"}"#);
    assert_eq!(done(&mut port), ["received d_1"]);
    say(&mut port, 101, r#"{"action":"paymentReceived","transactionId":"T-2"}"#);
    assert_eq!(done(&mut port), [r#"{"error":"Not Found","message":"Transaction not found"}"#]);
    // It keeps its answer until it is told, so it may send it twice.
    say(&mut port, 102, &answer("T-1", "SUCCESS"));
    say(&mut port, 102, &answer("T-1", "SUCCESS"));
    assert_eq!(done(&mut port), ["result d_1 Success", "result d_1 Success"]);
    port.handle_recorded(&delivery("d_1"), None);
    port.handle_recorded(&delivery("d_1"), Some("differs".into()));
    assert_eq!(
        done(&mut port),
        [
            r#"{"action":"paymentRecorded","transactionId":"T-1","desktopId":"d_1"}"#,
            r#"{"action":"paymentRecorded","transactionId":"T-1","desktopId":"d_1","problem":"differs"}"#
        ]
    );
}

#[test]
fn a_terminal_that_acknowledges_may_say_that_it_can_not_tell() {
    let (mut port, _) =
        acknowledging(r#""transactionIds":["T-1"]"#, vec![known("d_1", payment("T-1"), Standing::Open)]);
    say(&mut port, 101, &answer("T-1", "UNKNOWN"));
    assert_eq!(done(&mut port), ["indeterminate d_1"]);
    port.handle_recorded(&delivery("d_1"), None);
    assert_eq!(done(&mut port), [r#"{"action":"paymentRecorded","transactionId":"T-1"}"#]);
    // It is known all the same: its result may turn up.
    say(&mut port, 102, &answer("T-1", "FAILED"));
    assert_eq!(done(&mut port), ["result d_1 Failure/Refusal"]);
}

#[test]
fn nothing_is_given_up_for_a_terminal_that_acknowledges() {
    let (mut port, _) = acknowledging(r#""transactionIds":[]"#, vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    assert_eq!(port.poll_timeout(), None);
    port.handle_timeout(at(10_000));
    assert_eq!(done(&mut port), [""; 0]);
    // But it is not locked out either.
    assert_eq!(pay(&mut port, 259, "d_2", "T-2"), ["result d_2 Failure/Busy"]);
    assert_eq!(pay(&mut port, 260, "d_3", "T-3").len(), 1);
}

#[test]
fn a_terminal_that_acknowledges_voids_a_payment() {
    let (mut port, _) = acknowledging(r#""transactionIds":[]"#, vec![]);
    deliver(&mut port, 100, "d_1", reversal("T-1"));
    assert_eq!(
        done(&mut port),
        [
            r#"{"action":"voidRequest","transactionId":"T-1","desktopId":"c_1","timestamp":"2026-11-20T09:15:00.000Z"}"#
        ]
    );
    assert_eq!(pay(&mut port, 100, "d_2", "T-2"), ["result d_2 Failure/Busy"]);
    say(&mut port, 101, r#"{"action":"voidReceived","transactionId":"T-1"}"#);
    assert_eq!(done(&mut port), ["received d_1"]);
    say(&mut port, 102, r#"{"action":"voidResponse","transactionId":"T-1","status":"SUCCESS"}"#);
    assert_eq!(done(&mut port), ["result d_1 Success"]);
    port.handle_recorded(&delivery("d_1"), None);
    assert_eq!(done(&mut port), [r#"{"action":"voidRecorded","transactionId":"T-1","desktopId":"c_1"}"#]);
    // `paymentReceived` says it too.
    deliver(&mut port, 103, "d_3", reversal("T-3"));
    say(&mut port, 103, r#"{"action":"paymentReceived","transactionId":"T-3"}"#);
    assert_eq!(done(&mut port)[1..], ["received d_3"]);
}

#[test]
fn a_success_in_other_money_is_no_answer() {
    let mut port = plain(vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    say(&mut port, 101, &answer("T-1", r#"SUCCESS","currency":"USD"#));
    assert_eq!(done(&mut port), ["result d_1 unfit"]);
}

#[test]
fn a_terminal_hears_the_pages_words_for_what_is_not_its_own() {
    let mut port = plain(vec![]);
    for (frame, error) in [
        (
            r#"{"action":"getTerminals"}"#,
            r#"{"error":"Forbidden","message":"Only desktop devices can request terminal list"}"#,
        ),
        (
            r#"{"action":"payment","terminalId":"T","paymentRequest":{}}"#,
            r#"{"error":"Forbidden","message":"Only desktop devices can request payments"}"#,
        ),
        (r#"{"action":"payment"}"#, r#"{"error":"Bad Request","message":"terminalId is required"}"#),
    ] {
        say(&mut port, 100, frame);
        assert_eq!(done(&mut port), [error]);
    }
    say(&mut port, 100, r#"{"action":"pong"}"#);
    assert_eq!(done(&mut port), [""; 0]);
}

#[test]
fn twenty_errors_within_ten_seconds_close_the_connection() {
    let mut port = plain(vec![]);
    for _ in 0..20 {
        say(&mut port, 100, "{}");
    }
    assert_eq!(done(&mut port).last().map(String::as_str), Some("close"));
    say(&mut port, 100, r#"{"action":"ping"}"#);
    assert_eq!(done(&mut port), [""; 0]);
    assert!(!port.takes_frames());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut port = plain(vec![]);
    for n in 0..1000 {
        let (id, transaction) = (format!("d_{n}"), format!("T-{n}"));
        pay(&mut port, n, &id, &transaction);
        let status = if n % 2 == 0 { "SUCCESS" } else { "UNKNOWN" };
        say(&mut port, n, &answer(&transaction, status));
        port.handle_recorded(&delivery(&id), None);
        orders(&mut port);
    }
    assert_eq!(port.jobs.len(), FINISHED_MAX + GIVEN_UP_MAX);
    for n in 0..1000 {
        port.pace = ErrorPace::default();
        say(&mut port, 1000, &answer(&format!("U-{n}"), "SUCCESS"));
    }
    assert_eq!(port.orphans.len(), 0);
    let (mut port, _) = acknowledging(r#""transactionIds":[]"#, vec![]);
    for n in 0..1000 {
        say(&mut port, 1000, &answer(&format!("U-{n}"), "SUCCESS"));
    }
    assert_eq!(port.orphans.len(), ORPHANS_MAX);
    assert_eq!(orders(&mut port).len(), ORPHANS_MAX);
}

#[test]
fn an_idle_port_costs_little() {
    assert!(size_of::<Port>() <= 360, "{} bytes", size_of::<Port>());
}

#[test]
fn a_plain_terminals_old_answer_is_not_taken_for_a_newer_payment_of_its_name() {
    let say_paid = |port: &mut Port| {
        port.handle_text(at(102), &Bytes::from(answer("T-1", "SUCCESS")));
        assert!(!port.takes_frames(), "what it says next has to wait");
        assert_eq!(done(port), ["look 1"]);
    };
    let unclear = r#"{"error":"Bad Request","message":"desktopId is required: this transactionId was used more than once"}"#;
    let older = |received, standing| Known { received, ..known("d_1", payment("T-1"), standing) };

    // The POS has asked once more; the socket was a new one in between, and the terminal says its last result again.
    let mut port = plain(vec![]);
    pay(&mut port, 101, "d_2", "T-1");
    say_paid(&mut port);
    let own = known("d_2", payment("T-1"), Standing::Open);
    port.handle_found(at(102), vec![older(true, Standing::Settled), own.clone()]);
    let told = done(&mut port);
    assert_eq!(told[1..], [unclear], "{told:?}");
    assert!(told[0].ends_with(" unfit") && !told[0].contains("d_2"), "{told:?}");
    assert!(port.takes_frames());
    // Its own words for it make it clear.
    say(&mut port, 103, &answer("T-1", "SUCCESS").replacen("{", r#"{"desktopId":"d_2","#, 1));
    assert_eq!(done(&mut port), ["result d_2 Success"]);

    // One that was refused before it was written is none that the terminal could mean; nor is one of another name.
    for others in
        [vec![older(false, Standing::Settled)], vec![known("d_0", payment("T-0"), Standing::Settled)], vec![]]
    {
        let mut port = plain(vec![]);
        pay(&mut port, 101, "d_2", "T-1");
        say_paid(&mut port);
        port.handle_found(at(102), others.into_iter().chain([own.clone()]).collect());
        assert_eq!(done(&mut port), ["result d_2 Success"]);
    }

    // What may have been with it is enough.
    let mut port = plain(vec![]);
    pay(&mut port, 101, "d_2", "T-1");
    say_paid(&mut port);
    port.handle_found(at(102), vec![older(false, Standing::UnknownFinal)]);
    assert_eq!(done(&mut port)[1..], [unclear]);
}

#[test]
fn a_void_names_its_payment_by_both_names_and_so_does_its_answer() {
    let of = |desktop: &str, service: &str| {
        let text = String::from_utf8(reversal("T-1").to_vec()).expect("text");
        Bytes::from(text.replace("d_p:c_1/", &format!("d_{desktop}:{desktop}/")).replace("R1", service))
    };
    // What a payment's answer calls it is what its reversal has to name.
    let (mut port, _) = acknowledging(r#""transactionIds":[]"#, vec![]);
    pay(&mut port, 100, "d_1", "T-1");
    say(&mut port, 101, &answer("T-1", "SUCCESS"));
    let [PortOrder::Tell(ToGateway::Result(_, ResultMessage::Message(response)))] = &orders(&mut port)[..]
    else {
        panic!("no result")
    };
    let text = String::from_utf8(response.to_vec()).expect("text");
    assert!(text.contains(r#""POITransactionID":{"TransactionID":"d_1/T-1""#), "{text}");

    // Two payments of one name were taken; both are voided.
    let void = |desktop: Option<&str>| {
        let desktop = desktop.map(|desktop| format!(r#""desktopId":"{desktop}","#)).unwrap_or_default();
        format!(r#"{{"action":"voidResponse","transactionId":"T-1",{desktop}"status":"SUCCESS"}}"#)
    };
    let known = || {
        let has = r#""transactionIds":[],"voidTransactionIds":["T-1"],"voidDesktopIds":["c_1"]"#;
        let first = known("d_3", of("c_1", "R1"), Standing::Open);
        let (port, opening) = acknowledging(has, vec![first, known("d_4", of("c_2", "R2"), Standing::Open)]);
        assert_eq!(opening.resume, [delivery("d_3")], "the other one's void never came");
        port
    };
    let mut port = known();
    say(&mut port, 102, &void(Some("c_2")));
    assert_eq!(done(&mut port), ["result d_4 Success"]);
    say(&mut port, 102, &void(Some("c_1")));
    assert_eq!(done(&mut port), ["result d_3 Success"]);
    for desktop in [None, Some("c_3")] {
        let mut port = known();
        say(&mut port, 102, &void(desktop));
        let told = done(&mut port);
        assert!(told[0].ends_with(" unfit") && told[1].contains("desktopId is"), "{told:?}");
    }
}
