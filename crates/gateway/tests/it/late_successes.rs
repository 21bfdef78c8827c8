//! A terminal stays away for longer than its desktop waits, and comes back with the money taken (E25). All of it in one test, for
//! each takes the minute that a terminal may be gone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::actions_http::Signer;
use crate::actions_terminal::{ACTIONS_POI, ActionsTerminal, terminal_key};
use crate::desktop::{Desktop, desktop_key};
use crate::desktops::question;
use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{COMPANY, TestGateway};

/// The minute, and time for a busy machine.
const A_MINUTE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_late_success_is_voided_where_it_can_be_and_told_as_late_where_it_can_not() {
    let gateway = TestGateway::new().await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    tokio::join!(
        on_a_link_terminal(&gateway, &key),
        on_a_link_terminal_that_refuses_to_void(&gateway, &key),
        on_an_acknowledging_terminal(&gateway, &key),
        on_a_plain_terminal(&gateway, &key),
        in_part_on_a_plain_terminal(&gateway),
        declined_on_a_plain_terminal(&gateway, &key),
    );
    gateway.stop().await;
}

async fn on_a_link_terminal(gateway: &TestGateway, key: &str) {
    let mut terminal = ScriptedTerminal::connect(gateway, "V400m-100000001").await;
    let mut desktop = Desktop::connect(gateway, key, Some("till-1")).await;
    desktop.pay("V400m-100000001", "L-1").await;
    let payment = terminal.delivered().await;
    terminal.received(&payment).await;
    let away = terminal.leave();
    is_not_known(&mut desktop, "L-1").await;
    // Who asks again hears the same, and has not read any success by that.
    desktop.pay("V400m-100000001", "L-1").await;
    is_not_known(&mut desktop, "L-1").await;

    let mut terminal = away.back(gateway, &[&payment]).await;
    terminal.respond(&payment, paid()).await;
    let void = terminal.delivered().await;
    let request = &void.message["SaleToPOIRequest"];
    assert_eq!(request["MessageHeader"]["MessageCategory"], "Reversal");
    let original = &request["ReversalRequest"]["OriginalPOITransaction"]["POITransactionID"];
    assert_eq!(original["TransactionID"], "4yQe001", "{request}");
    terminal.received(&void).await;
    // Nothing is told before it is done, whoever asks.
    desktop.pay("V400m-100000001", "L-1").await;
    desktop.has_nothing().await;
    let sale = gateway.sale().await;
    let service = payment.message["SaleToPOIRequest"]["MessageHeader"]["ServiceID"].as_str().unwrap();
    let ask = |n: &str| question("V400m-100000001", n, service);
    let status = sale.sync(ask("VS1")).await.json();
    let status = &status["SaleToPOIResponse"]["TransactionStatusResponse"]["Response"];
    assert_eq!((&status["Result"], &status["ErrorCondition"]), (&json!("Failure"), &json!("InProgress")));
    terminal.respond(&void, json!({"Response": {"Result": "Success"}})).await;
    let told = desktop.next_word(A_MINUTE).await;
    assert_eq!((&told["action"], &told["transactionId"]), (&json!("paymentVoided"), &json!("L-1")), "{told}");
    assert_eq!(told["groupId"], "STORE_A");
    assert!(told["voidedAt"].is_string() && told["voidReason"].is_string(), "{told}");
    desktop.has_nothing().await;
    // It has failed, for whoever asks over the Terminal API too.
    let status = sale.sync(ask("VS2")).await.json();
    let status = &status["SaleToPOIResponse"]["TransactionStatusResponse"];
    let told = &status["RepeatedMessageResponse"];
    assert_eq!(
        (&told["MessageHeader"]["ServiceID"], &status["Response"]["Result"]),
        (&json!(service), &json!("Success"))
    );
    let told = &told["RepeatedResponseMessageBody"]["PaymentResponse"]["Response"];
    assert_eq!((&told["Result"], &told["ErrorCondition"]), (&json!("Failure"), &json!("Cancel")), "{told}");
    assert!(told["AdditionalResponse"].as_str().unwrap().contains("has+voided+it"), "{told}");
    drop(desktop);
    Desktop::connect(gateway, key, Some("till-1")).await.has_nothing().await;
}

async fn on_a_link_terminal_that_refuses_to_void(gateway: &TestGateway, key: &str) {
    let mut terminal = ScriptedTerminal::connect(gateway, "V400m-100000002").await;
    let mut desktop = Desktop::connect(gateway, key, Some("till-2")).await;
    desktop.pay("V400m-100000002", "R-1").await;
    let payment = terminal.delivered().await;
    terminal.received(&payment).await;
    let away = terminal.leave();
    is_not_known(&mut desktop, "R-1").await;
    let mut terminal = away.back(gateway, &[&payment]).await;
    terminal.respond(&payment, paid()).await;
    let void = terminal.delivered().await;
    terminal.received(&void).await;
    terminal.respond(&void, json!({"Response": {"Result": "Failure", "ErrorCondition": "Refusal"}})).await;
    is_late(&mut desktop, "R-1").await;
}

async fn on_an_acknowledging_terminal(gateway: &TestGateway, key: &str) {
    let own = terminal_key(gateway, "ACT1-000000002", "TERM-002").await;
    let mut terminal = ActionsTerminal::resume(gateway, &own, &[]).await;
    let mut desktop = Desktop::connect(gateway, key, Some("till-3")).await;
    desktop.pay("TERM-002", "A-1").await;
    terminal.next("paymentRequest").await;
    terminal.send(json!({"action": "paymentReceived", "transactionId": "A-1"})).await;
    drop(terminal);
    is_not_known(&mut desktop, "A-1").await;
    let mut terminal = ActionsTerminal::resume(gateway, &own, &["A-1"]).await;
    terminal.send(success("A-1")).await;
    terminal.next("paymentRecorded").await;
    assert_eq!(terminal.next("voidRequest").await["transactionId"], "A-1");
    terminal.send(json!({"action": "voidReceived", "transactionId": "A-1"})).await;
    terminal.send(json!({"action": "voidResponse", "transactionId": "A-1", "status": "SUCCESS"})).await;
    terminal.next("voidRecorded").await;
    let told = desktop.next_word(A_MINUTE).await;
    assert_eq!((&told["action"], &told["transactionId"]), (&json!("paymentVoided"), &json!("A-1")), "{told}");
    assert_eq!((&told["terminalId"], &told["deviceId"]), (&json!("TERM-002"), &json!("TERM-002")));
}

async fn on_a_plain_terminal(gateway: &TestGateway, key: &str) {
    let own = terminal_key(gateway, ACTIONS_POI, "TERM-001").await;
    let mut terminal = ActionsTerminal::connect(gateway, &own).await;
    let mut desktop = Desktop::connect(gateway, key, Some("till-4")).await;
    desktop.pay("TERM-001", "P-1").await;
    terminal.next("paymentRequest").await;
    drop(terminal);
    is_not_known(&mut desktop, "P-1").await;
    let mut terminal = ActionsTerminal::connect(gateway, &own).await;
    terminal.send(success("P-1")).await;
    is_late(&mut desktop, "P-1").await;
}

/// What was told as not known is told as declined when that is known.
async fn declined_on_a_plain_terminal(gateway: &TestGateway, key: &str) {
    let own = terminal_key(gateway, "ACT1-000000004", "TERM-004").await;
    let mut terminal = ActionsTerminal::connect(gateway, &own).await;
    let mut desktop = Desktop::connect(gateway, key, Some("till-6")).await;
    desktop.pay("TERM-004", "D-1").await;
    terminal.next("paymentRequest").await;
    drop(terminal);
    is_not_known(&mut desktop, "D-1").await;
    let mut terminal = ActionsTerminal::connect(gateway, &own).await;
    let declined = json!({"transactionId": "D-1", "status": "FAILED", "errorCode": "NO_FUNDS"});
    terminal.send(json!({"action": "paymentResponse", "paymentResponse": declined})).await;
    let told = desktop.next_word(A_MINUTE).await;
    let response = &told["paymentResponse"];
    assert_eq!(
        (&response["status"], &response["errorCode"]),
        (&json!("FAILED"), &json!("NO_FUNDS")),
        "{told}"
    );
    assert_eq!(told["late"], Value::Null, "{told}");
}

/// A part that came too late is told alike over the socket, over HTTP, and when the payment is repeated.
async fn in_part_on_a_plain_terminal(gateway: &TestGateway) {
    let own = terminal_key(gateway, "ACT1-000000003", "TERM-003").await;
    let signer = Signer::new(gateway, COMPANY, &["STORE_A"]).await;
    let mut terminal = ActionsTerminal::connect(gateway, &own).await;
    let mut desktop = Desktop::connect(gateway, &signer.key, Some("till-5")).await;
    let asked = json!({"transactionId": "S-1", "amount": "12.50", "currency": "EUR"});
    let payment = json!({"action": "payment", "terminalId": "TERM-003", "paymentRequest": asked}).to_string();
    desktop.send(&payment).await;
    terminal.next("paymentRequest").await;
    drop(terminal);
    is_not_known(&mut desktop, "S-1").await;
    let mut terminal = ActionsTerminal::connect(gateway, &own).await;
    let part = json!({"transactionId": "S-1", "status": "SUCCESS", "amount": "5.00"});
    terminal.send(json!({"action": "paymentResponse", "paymentResponse": part})).await;
    let told = desktop.next_word(A_MINUTE).await;
    let response = &told["paymentResponse"];
    assert_eq!((&response["errorCode"], &response["amount"]), (&json!("PARTIAL_APPROVAL"), &json!("5.00")));
    assert_eq!((&response["status"], &told["late"]), (&json!("FAILED"), &json!(true)), "{told}");
    desktop.send(&payment).await;
    let again = desktop.next_word(A_MINUTE).await;
    assert_eq!((&again["paymentResponse"], &again["late"]), (response, &json!(true)), "{again}");
    let posted = signer.post("/v1/terminals/TERM-003/payments", &asked).await;
    assert_eq!((posted.status, &posted.body["status"]), (200, &json!("FAILED")), "{posted:?}");
    assert_eq!((&posted.body["paymentResponse"], &posted.body["late"]), (response, &json!(true)));
    let shown = signer.get("/v1/transactions/S-1").await;
    assert_eq!((&shown.body["status"], &shown.body["late"]), (&json!("FAILED"), &json!(true)), "{shown:?}");
    assert_eq!(&shown.body["response"], response);
}

/// The desktop hears that nobody knows.
async fn is_not_known(desktop: &mut Desktop, transaction: &str) {
    let told = desktop.next_word(A_MINUTE).await;
    let response = &told["paymentResponse"];
    assert_eq!(
        (&told["action"], &response["transactionId"]),
        (&json!("paymentComplete"), &json!(transaction)),
        "{told}"
    );
    assert_eq!(
        (&response["status"], &response["errorCode"]),
        (&json!("FAILED"), &json!("TERMINAL_UNREACHABLE"))
    );
}

/// The desktop hears that the money was taken after all, and stays taken.
async fn is_late(desktop: &mut Desktop, transaction: &str) {
    let told = desktop.next_word(A_MINUTE).await;
    let response = &told["paymentResponse"];
    assert_eq!(
        (&told["action"], &response["transactionId"]),
        (&json!("paymentComplete"), &json!(transaction)),
        "{told}"
    );
    assert_eq!((&response["status"], &told["late"]), (&json!("SUCCESS"), &json!(true)), "{told}");
    desktop.has_nothing().await;
}

fn paid() -> Value {
    json!({"Response": {"Result": "Success"},
        "POIData": {"POITransactionID": {"TransactionID": "4yQe001", "TimeStamp": "2026-11-20T09:15:09.000Z"}}})
}

fn success(transaction: &str) -> Value {
    json!({"action": "paymentResponse", "paymentResponse": {"transactionId": transaction, "status": "SUCCESS"}})
}
