//! Virtual terminals against a gateway that the test plays, over real sockets and a real disk.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod actions;
mod fleet;
mod gateway;

use std::path::Path;
use std::time::{Duration, Instant};

use gateway::{CODE, Gateway, POI, within};
use nexo::{EncryptionKey, ErrorCondition, Nonce, Passphrase, PoiId, Request, ResultCode};
use relay::{CloseReason, ProcessId, ResultMessage, ToGateway};
use serde_json::json;
use virtual_terminal::{Config, Handle, JournalError, Secret, StartError, State, VirtualTerminal};

/// Longer than any test: whoever waits for this card never gets it.
const NEVER: Duration = Duration::from_secs(3600);

fn config(gateway: &Gateway, dir: &Path) -> Config {
    let mut config = Config::new(&gateway.url, dir, PoiId::parse(POI).unwrap());
    config.boarding_code = Some(Secret::new(CODE));
    config.cardholder = Duration::from_millis(10);
    config
}

async fn start(gateway: &Gateway, dir: &Path) -> Handle {
    VirtualTerminal::start(config(gateway, dir)).await.unwrap()
}

/// A terminal at which no card is ever presented.
async fn start_waiting(gateway: &Gateway, dir: &Path) -> Handle {
    VirtualTerminal::start(Config { cardholder: NEVER, ..config(gateway, dir) }).await.unwrap()
}

async fn reaches(terminal: &Handle, wanted: impl Fn(&State) -> bool) -> State {
    let mut state = terminal.state();
    within("such a state", state.wait_for(|state| wanted(state))).await.unwrap().clone()
}

fn message(category: &str, service: &str, body: &str) -> String {
    format!(
        r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"{service}","SaleID":"POS1","POIID":"{POI}"}},"{category}Request":{body}}}}}"#
    )
}

fn payment(service: &str) -> String {
    message(
        "Payment",
        service,
        r#"{"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.99}}}"#,
    )
}

fn result(response: &nexo::Response) -> ResultCode {
    response.outcome().unwrap().result
}

#[tokio::test]
async fn a_new_terminal_boards_connects_and_pays() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, hello) = gateway.welcomed().await;
    assert_eq!(gateway.boardings()[0]["poiId"], POI);
    assert_eq!(gateway.boardings()[0]["journalId"], hello.journal_id.as_str());
    assert_eq!((hello.attempt, hello.resume.len()), (1, 0));
    assert_eq!(hello.platform.as_deref(), Some("non-android"));
    assert!(hello.device.unwrap().0.get().contains(r#""printerStatus":"OK""#));
    reaches(&terminal, |state| *state == State::Online).await;

    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    let response = link.response(&paid).await;
    assert_eq!(result(&response), ResultCode::Success);
    let executed = terminal.executed_payments();
    assert_eq!(executed.len(), 1);
    assert_eq!(executed[0].service.as_ref().unwrap().as_str(), "1");
    link.record(&paid).await;

    let diagnosis = link.deliver("d_2", message("Diagnosis", "2", "{}")).await;
    link.received(&diagnosis).await;
    let text = link.response(&diagnosis).await.outcome().unwrap().additional_response.unwrap();
    assert!(text.contains("storeId=STORE_AMS"), "{text}");

    let closed = tokio::spawn(link.closed());
    terminal.stop().await;
    assert_eq!(closed.await.unwrap(), 1000);
    assert_eq!(virtual_terminal::executions(dir.path()).unwrap(), executed);
}

#[tokio::test]
async fn a_cut_link_loses_nothing_and_runs_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    gateway.stop_recording();
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, first) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    drop(link);

    let (mut link, second) = gateway.welcomed().await;
    assert!(second.attempt > first.attempt);
    assert_eq!(second.resume, std::slice::from_ref(&paid));
    assert_eq!((&second.journal_id, &second.process_id), (&first.journal_id, &first.process_id));
    let response = link.response(&paid).await;
    assert_eq!(result(&response), ResultCode::Success);
    // Not recorded: it comes again over the next link, also after a restart.
    terminal.unplug().await;
    drop(link);

    let terminal = start(&gateway, dir.path()).await;
    let (mut link, third) = gateway.welcomed().await;
    assert!(third.attempt > second.attempt);
    assert_ne!(third.process_id, first.process_id);
    assert_eq!((third.journal_id, third.resume), (first.journal_id, vec![paid.clone()]));
    assert_eq!(link.response(&paid).await.bytes(), response.bytes());

    // The same ServiceID under another delivery is answered from memory.
    let again = link.deliver("d_2", payment("1")).await;
    link.received(&again).await;
    assert_eq!(link.response(&again).await.bytes(), response.bytes());
    for delivery in [&paid, &again] {
        link.record(delivery).await;
    }
    // What comes behind a `recorded` is answered after it was taken.
    let status = message(
        "TransactionStatus",
        "3",
        r#"{"MessageReference":{"MessageCategory":"Payment","ServiceID":"1"}}"#,
    );
    let asked = link.deliver("d_3", status).await;
    link.received(&asked).await;
    assert_eq!(result(&link.response(&asked).await), ResultCode::Success);
    assert_eq!(terminal.executed_payments().len(), 1);
    link.record(&asked).await;
    drop(link);
    let (_link, hello) = gateway.link().await;
    assert_eq!(hello.resume, []);
    assert_eq!(gateway.boardings().len(), 1);
    terminal.stop().await;
}

#[tokio::test]
async fn a_restart_in_mid_payment_is_indeterminate() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    gateway.stop_recording();
    let terminal = start_waiting(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    // It certainly runs when a second one is told that it does.
    let busy = link.deliver("d_2", message("Diagnosis", "2", "{}")).await;
    link.received(&busy).await;
    assert_eq!(link.response(&busy).await.outcome().unwrap().error_condition, Some(ErrorCondition::BUSY));
    link.record(&busy).await;
    let asked = link.deliver("d_3", message("Diagnosis", "3", "{}")).await;
    link.received(&asked).await;
    link.response(&asked).await;
    terminal.unplug().await;

    let terminal = start(&gateway, dir.path()).await;
    let (mut link, hello) = gateway.welcomed().await;
    assert_eq!(hello.resume, [paid.clone(), asked]);
    assert!(matches!(link.frame().await, ToGateway::Indeterminate(of, _) if of == paid));
    assert_eq!(terminal.executed_payments(), []);
    terminal.stop().await;
}

#[tokio::test]
async fn an_abort_ends_the_payment_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start_waiting(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    let abort = message(
        "Abort",
        "2",
        r#"{"AbortReason":"MerchantAbort","MessageReference":{"MessageCategory":"Payment","ServiceID":"1"}}"#,
    );
    let abort = link.deliver("d_2", abort).await;
    link.received(&abort).await;
    assert_eq!(link.frame().await, ToGateway::Result(abort, ResultMessage::Empty));
    let outcome = link.response(&paid).await.outcome().unwrap();
    assert_eq!(outcome.error_condition, Some(ErrorCondition::ABORTED));
    assert!(outcome.additional_response.unwrap().contains("104"));
    terminal.stop().await;
}

#[tokio::test]
async fn a_terminal_that_stops_ends_its_payment_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start_waiting(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    let stopped = tokio::spawn(terminal.stop());
    let outcome = link.response(&paid).await.outcome().unwrap();
    assert_eq!(outcome.error_condition, Some(ErrorCondition::ABORTED));
    assert_eq!(link.closed().await, 1000);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_journal_directory_has_one_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    gateway.welcomed().await;
    let second = VirtualTerminal::start(config(&gateway, dir.path())).await.unwrap_err();
    assert!(matches!(second, StartError::Journal(JournalError::Locked(_))), "{second}");
    terminal.unplug().await;

    let mut other = config(&gateway, dir.path());
    other.poi_id = PoiId::parse("V400m-1").unwrap();
    let error = VirtualTerminal::start(other).await.unwrap_err();
    assert!(matches!(error, StartError::OtherTerminal { .. }), "{error}");
}

#[tokio::test]
async fn a_lost_journal_is_a_new_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (_, first) = gateway.welcomed().await;
    terminal.unplug().await;
    std::fs::remove_file(dir.path().join("journal.jsonl")).unwrap();

    let without_code = Config { boarding_code: None, ..config(&gateway, dir.path()) };
    let error = VirtualTerminal::start(without_code).await.unwrap_err();
    assert!(matches!(error, StartError::NeedsBoardingCode(_)), "{error}");

    let terminal = start(&gateway, dir.path()).await;
    let (_, second) = gateway.welcomed().await;
    assert_ne!(first.journal_id, second.journal_id);
    assert_eq!(gateway.boardings().len(), 2);
    terminal.stop().await;
}

#[tokio::test]
async fn a_wrong_code_needs_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start().await;
    let wrong = Config { boarding_code: Some(Secret::new("guess")), ..config(&gateway, dir.path()) };
    let terminal = VirtualTerminal::start(wrong).await.unwrap();
    let state = reaches(&terminal, |state| matches!(state, State::Stopped { .. })).await;
    assert_eq!(state, State::Stopped { why: "boarding was refused: wrong boarding code".into() });
    terminal.stop().await;
}

#[tokio::test]
async fn another_process_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (link, _) = gateway.welcomed().await;
    let winner = ProcessId::parse("p_other").unwrap();
    link.close(CloseReason::Replaced { winner: winner.clone() }).await;
    reaches(&terminal, |state| *state == State::Replaced { winner: Some(winner.clone()) }).await;
    assert_eq!(gateway.upgrades(), 1);
    terminal.stop().await;
}

#[tokio::test]
async fn a_terminal_that_has_to_board_again_hands_its_results_in_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    gateway.stop_recording();
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, first) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    link.response(&paid).await;
    link.close(CloseReason::BoardAgain).await;
    let state = reaches(&terminal, |state| matches!(state, State::Stopped { .. })).await;
    assert!(format!("{state:?}").contains("new boarding code"), "{state:?}");
    let handed_in = gateway.maintenance().pop().unwrap();
    assert_eq!(handed_in["journalId"], first.journal_id.as_str());
    assert_eq!(handed_in["results"][0]["deliveryId"], "d_1");
    assert!(handed_in["results"][0]["message"]["SaleToPOIResponse"].is_object());
    terminal.stop().await;

    // With a code it goes on, under the journal that it still has.
    gateway.refuse_link("401 Unauthorized", "", json!({"title": "Unauthorized"}));
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, second) = gateway.welcomed().await;
    assert_eq!(gateway.boardings().len(), 2);
    assert_eq!((second.journal_id, second.resume), (first.journal_id, vec![paid.clone()]));
    link.response(&paid).await;
    terminal.stop().await;
}

#[tokio::test]
async fn a_switch_leaves_maintenance_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    link.response(&paid).await;
    gateway.maintenance_tells(json!({"settings": {"revision": 8, "webSocketsEnabled": false}}));
    link.close(CloseReason::WebSocketsDisabled).await;
    reaches(&terminal, |state| *state == State::SwitchedOff).await;
    gateway.call(|call| call["results"][0]["deliveryId"] == "d_1").await;
    assert_eq!(gateway.upgrades(), 1, "it does not knock at a door that is closed");
    terminal.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    gateway.refuse_link("503 Service Unavailable", "Retry-After: 1\r\n", json!({"title": "Draining"}));
    let begun = Instant::now();
    let terminal = start(&gateway, dir.path()).await;
    let state = reaches(&terminal, |state| matches!(state, State::Waiting { .. })).await;
    assert_eq!(state, State::Waiting { why: "no link: the gateway answered 503, Draining".into() });
    gateway.welcomed().await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    terminal.stop().await;
}

#[tokio::test]
async fn a_gateway_that_breaks_the_protocol_is_left_with_4400() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    link.send_text(r#"{"action":"deliver","deliveryId":"d_1"}"#).await;
    assert_eq!(link.closed().await, 4400);
    let state = reaches(&terminal, |state| matches!(state, State::Waiting { .. })).await;
    let State::Waiting { why } = state else { unreachable!("it was waited for") };
    assert!(why.contains("timeLeftMs"), "{why}");
    terminal.stop().await;
    assert!(dir.path().join("journal.jsonl").exists());
}

#[tokio::test]
async fn a_gateway_behind_tls_is_trusted_by_its_ca_file() {
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    let mut gateway = Gateway::start_tls(&ca_file).await;
    let trusting = Config { ca_file: Some(ca_file), ..config(&gateway, &dir.path().join("a")) };
    let terminal = VirtualTerminal::start(trusting).await.unwrap();
    let (mut link, _) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    assert_eq!(result(&link.response(&paid).await), ResultCode::Success);
    terminal.stop().await;
}

#[tokio::test]
async fn what_can_not_work_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start().await;
    for (url, ca_file, problem) in [
        ("ftp://127.0.0.1", None, "is not an http or https URL"),
        ("nonsense", None, "is not an http or https URL"),
        ("https://127.0.0.1", Some(dir.path().join("absent.pem")), "absent.pem"),
    ] {
        let wrong = Config { base_url: url.into(), ca_file, ..config(&gateway, dir.path()) };
        let error = VirtualTerminal::start(wrong).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn an_encrypted_payment_is_paid_and_told_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let key = EncryptionKey::derive("till-key", 1, &Passphrase::parse("Correct.Horse1").unwrap());
    let nexo_key = Some(key.clone());
    let terminal = VirtualTerminal::start(Config { nexo_key, ..config(&gateway, dir.path()) }).await.unwrap();
    let (mut link, _) = gateway.welcomed().await;
    let sealed = |message: String| {
        let sealed = key.seal_request(&Request::parse(message.into()).unwrap(), Nonce([7; 16]));
        String::from_utf8(sealed.to_vec()).unwrap()
    };
    let paid = link.deliver("d_1", sealed(payment("1"))).await;
    link.received(&paid).await;
    let response = key.open_response(&link.response(&paid).await).unwrap();
    assert_eq!(result(&response), ResultCode::Success);
    let body: nexo::PaymentResponse = response.payload().unwrap();
    assert_eq!(body.sale_data.unwrap().sale_transaction_id.transaction_id, "27908");
    assert_eq!(terminal.executed_payments().len(), 1);
    link.record(&paid).await;

    let transaction = body.poi_data.unwrap().poi_transaction_id.transaction_id;
    let reversal = format!(
        r#"{{"OriginalPOITransaction":{{"POITransactionID":{{"TransactionID":"{transaction}","TimeStamp":"2026-11-20T09:15:02.118Z"}}}},"ReversalReason":"MerchantCancel"}}"#
    );
    let reversed = link.deliver("d_2", sealed(message("Reversal", "2", &reversal))).await;
    link.received(&reversed).await;
    assert_eq!(result(&key.open_response(&link.response(&reversed).await).unwrap()), ResultCode::Success);
    link.record(&reversed).await;

    let clear = link.deliver("d_3", message("Diagnosis", "3", "{}")).await;
    link.received(&clear).await;
    assert_eq!(
        result(&link.response(&clear).await),
        ResultCode::Success,
        "who asks in the clear is served too"
    );
    terminal.stop().await;
}
