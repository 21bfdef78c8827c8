//! Actions terminals, plain and acknowledging, paid by a POS that speaks nexo: the same promises by other words.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::actions_terminal::{ACTIONS_POI, ActionsTerminal, terminal_key};
use crate::desktop::{Desktop, desktop_key};
use crate::support::{
    Heard, NO_RESPONSE, NOT_DELIVERED, SOON, TestGateway, failure, payment, request, status_of,
};

/// Silence ends within 40 s; a busy machine may be far slower.
const QUIET_MAX: Duration = Duration::from_secs(150);

fn success() -> (String, String) {
    ("Success".into(), String::new())
}

async fn gateway() -> (TestGateway, String) {
    let gateway = TestGateway::new().await;
    let key = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    (gateway, key)
}

/// What a POS hears of a payment, while this is done at the terminal.
async fn pay(gateway: &TestGateway, service_id: &str, at_the_terminal: impl Future<Output = ()>) -> Heard {
    let sale = gateway.sale().await;
    let (heard, ()) = tokio::join!(sale.sync(payment(ACTIONS_POI, service_id, "10.99")), at_the_terminal);
    heard
}

/// What a POS hears when it asks what became of that payment.
async fn status(gateway: &TestGateway, service_id: &str, of: &str) -> Value {
    gateway.sale().await.sync(status_of(ACTIONS_POI, service_id, of)).await.json()
}

#[tokio::test]
async fn a_plain_terminal_is_paid_as_the_page_says_it() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    let heard = pay(&gateway, "S1", async {
        let asked = terminal.next("paymentRequest").await;
        let expected =
            json!({"transactionId": "S1", "amount": "10.99", "currency": "EUR", "paymentMethod": "CARD"});
        assert_eq!(asked["paymentRequest"], expected);
        terminal.answer(&asked, "SUCCESS").await;
    })
    .await;
    assert_eq!(heard.outcome(), success(), "{}", heard.text());
    let told = heard.json();
    let body = &told["SaleToPOIResponse"]["PaymentResponse"];
    assert_eq!(body["PaymentResult"]["PaymentAcquirerData"]["ApprovalCode"], "AUTH1", "{told}");

    // One ledger: it can be looked up, and is not paid again.
    let found = status(&gateway, "S2", "S1").await;
    let repeated = &found["SaleToPOIResponse"]["TransactionStatusResponse"]["RepeatedMessageResponse"];
    assert_eq!(repeated["RepeatedResponseMessageBody"]["PaymentResponse"], *body, "{found}");
    let again = gateway.sale().await.sync(payment(ACTIONS_POI, "S1", "10.99")).await;
    assert_eq!((again.repeated, again.body), (true, heard.body));
}

#[tokio::test]
async fn a_terminal_says_how_a_payment_ended_in_its_own_words() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    for (service_id, status, outcome) in [
        ("S1", "FAILED", failure("Refusal")),
        ("S2", "CANCELLED", failure("Cancel")),
        ("S3", "SUCCESS", success()),
    ] {
        let heard = pay(&gateway, service_id, async {
            let asked = terminal.next("paymentRequest").await;
            terminal.answer(&asked, "PENDING").await; // It is no end.
            terminal.answer(&asked, status).await;
        })
        .await;
        assert_eq!(heard.outcome(), outcome, "{status}: {}", heard.text());
    }
}

#[tokio::test]
async fn an_acknowledging_terminal_forgets_a_result_when_it_is_recorded() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::resume(&gateway, &key, &[]).await;
    let heard = pay(&gateway, "S1", async {
        let asked = terminal.next("paymentRequest").await;
        terminal.send(json!({"action": "paymentReceived", "transactionId": "S1"})).await;
        terminal.answer(&asked, "SUCCESS").await;
        let recorded = terminal.next("paymentRecorded").await;
        assert_eq!(recorded["transactionId"], "S1");
        assert!(recorded.get("problem").is_none(), "{recorded}");
    })
    .await;
    assert_eq!(heard.outcome(), success());

    // It says the same again, as after a recorded that got lost: that is no problem, and another result is one.
    let mut terminal = ActionsTerminal::resume(&gateway, &key, &["S1"]).await;
    let response = |status: &str| {
        let response = json!({"transactionId": "S1", "status": status, "authorizationCode": "AUTH1"});
        json!({"action": "paymentResponse", "paymentResponse": response})
    };
    terminal.send(response("SUCCESS")).await;
    assert!(terminal.next("paymentRecorded").await.get("problem").is_none());
    terminal.send(response("FAILED")).await;
    assert!(terminal.next("paymentRecorded").await.get("problem").is_some());
}

#[tokio::test]
async fn a_plain_terminal_that_comes_back_in_mid_payment_still_tells_its_result() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    let heard = pay(&gateway, "S1", async {
        let asked = terminal.next("paymentRequest").await;
        drop(terminal);
        let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
        terminal.answer(&asked, "SUCCESS").await;
        terminal.send(json!({"action": "ping"})).await;
        terminal.next("pong").await;
    })
    .await;
    assert_eq!(heard.outcome(), success(), "{}", heard.text());
}

#[tokio::test]
async fn an_acknowledging_terminal_that_comes_back_has_the_payment_or_proves_that_it_never_had() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::resume(&gateway, &key, &[]).await;
    let heard = pay(&gateway, "S1", async {
        let asked = terminal.next("paymentRequest").await;
        terminal.send(json!({"action": "paymentReceived", "transactionId": "S1"})).await;
        drop(terminal);
        let mut terminal = ActionsTerminal::resume(&gateway, &key, &["S1"]).await;
        terminal.answer(&asked, "SUCCESS").await;
        terminal.next("paymentRecorded").await;
    })
    .await;
    assert_eq!(heard.outcome(), success(), "{}", heard.text());

    let mut terminal = ActionsTerminal::resume(&gateway, &key, &[]).await;
    let heard = pay(&gateway, "S2", async {
        terminal.next("paymentRequest").await;
        drop(terminal);
        let _terminal = ActionsTerminal::resume(&gateway, &key, &[]).await;
    })
    .await;
    assert_eq!(heard.reject(), NOT_DELIVERED);

    // What it said to have, and has no more, nobody can tell: a person has to look.
    let mut terminal = ActionsTerminal::resume(&gateway, &key, &[]).await;
    let heard = pay(&gateway, "S3", async {
        terminal.next("paymentRequest").await;
        terminal.send(json!({"action": "paymentReceived", "transactionId": "S3"})).await;
        // The gateway has read it when it answers what came after it.
        terminal.send(json!({"action": "ping"})).await;
        terminal.next("pong").await;
        drop(terminal);
        let _terminal = ActionsTerminal::resume(&gateway, &key, &[]).await;
    })
    .await;
    assert_eq!(heard.reject(), NO_RESPONSE);
}

#[tokio::test]
async fn a_restarted_gateway_takes_the_result_of_what_it_sent_before() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    let till = gateway.key_for(&[crate::support::Dialect::Classic]).await;
    let sale = gateway.sale_with_key(&till);
    let (_, asked) =
        tokio::join!(sale.sync_for(1, payment(ACTIONS_POI, "S1", "10.99")), terminal.next("paymentRequest"));
    drop(terminal);
    let gateway = gateway.restarted().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    terminal.answer(&asked, "SUCCESS").await;
    terminal.send(json!({"action": "ping"})).await;
    terminal.next("pong").await;
    let again = gateway.sale_with_key(&till).sync(payment(ACTIONS_POI, "S1", "10.99")).await;
    assert_eq!(again.outcome(), success(), "{}", again.text());
}

#[tokio::test]
async fn a_second_socket_of_a_terminal_takes_the_firsts_place() {
    let (gateway, key) = gateway().await;
    let mut first = ActionsTerminal::connect(&gateway, &key).await;
    let mut second = ActionsTerminal::connect(&gateway, &key).await;
    assert_eq!(first.next("forceDisconnect").await["reason"], "REPLACED_BY_NEW_CONNECTION");
    assert_eq!(first.closed().await, 4409);
    let heard = pay(&gateway, "S1", async {
        let asked = second.next("paymentRequest").await;
        second.answer(&asked, "SUCCESS").await;
    })
    .await;
    assert_eq!(heard.outcome(), success());
}

#[tokio::test]
async fn two_terminals_are_paid_side_by_side() {
    let (gateway, key) = gateway().await;
    let other_key = terminal_key(&gateway, "ACT1-000000002", "TERM-002").await;
    let mut one = ActionsTerminal::connect(&gateway, &key).await;
    let mut other = ActionsTerminal::connect(&gateway, &other_key).await;
    let sale = gateway.sale().await;
    let at_the_terminals = async {
        let (asked, asked_too) = (one.next("paymentRequest").await, other.next("paymentRequest").await);
        assert_eq!(asked["paymentRequest"]["amount"], "1.25");
        assert_eq!(asked_too["paymentRequest"]["amount"], "2.5");
        other.answer(&asked_too, "FAILED").await;
        one.answer(&asked, "SUCCESS").await;
    };
    let (heard, heard_too, ()) = tokio::join!(
        sale.sync(payment(ACTIONS_POI, "S1", "1.25")),
        sale.sync(payment("ACT1-000000002", "S1", "2.5")),
        at_the_terminals
    );
    assert_eq!((heard.outcome(), heard_too.outcome()), (success(), failure("Refusal")));
}

#[tokio::test]
async fn what_a_terminal_can_t_do_is_answered_in_its_stead() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    let sale = gateway.sale().await;
    let reversal = json!({"ReversalReason": "MerchantCancel", "OriginalPOITransaction":
        {"POITransactionID": {"TransactionID": "t", "TimeStamp": "2026-11-20T09:15:00.000Z"}}});
    let login = json!({"DateTime": "2026-11-20T09:15:00.000Z", "SaleSoftware": {"ProviderIdentification": "a",
        "ApplicationName": "b", "SoftwareVersion": "1", "CertificationCode": "c"}, "OperatorLanguage": "en"});
    for (category, body) in [("Reversal", reversal), ("Login", login)] {
        let heard = sale.sync(request(category, ACTIONS_POI, &category[..2], body)).await;
        assert_eq!(heard.outcome(), failure("UnavailableService"), "{category}: {}", heard.text());
    }
    let busy = sale.sync(payment(ACTIONS_POI, "S2", "2.00"));
    let heard = pay(&gateway, "S1", async {
        let asked = terminal.next("paymentRequest").await;
        let (busy, ()) = tokio::join!(busy, async {});
        assert_eq!(busy.outcome(), failure("Busy"), "{}", busy.text());
        terminal.answer(&asked, "SUCCESS").await;
    })
    .await;
    assert_eq!(heard.outcome(), success());
}

#[tokio::test]
async fn a_terminal_is_present_as_long_as_its_socket_stands() {
    let (gateway, key) = gateway().await;
    let sale = gateway.sale().await;
    let absent = sale.sync(payment(ACTIONS_POI, "S1", "1.00")).await;
    assert_eq!(absent.reject(), NOT_DELIVERED);
    let question = json!({"merchantAccount": crate::support::MERCHANT});
    assert_eq!(sale.connected(question.clone()).await, json!([]));
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    let connected = terminal.alive_while(sale.connected(question.clone())).await;
    assert_eq!(connected, json!([ACTIONS_POI]));
    drop(terminal);
    // The gateway finds out when it next reads from the socket.
    let gone = async {
        while sale.connected(question.clone()).await != json!([]) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone).await.expect("the terminal is gone");
}

#[tokio::test]
async fn a_frame_that_is_too_long_and_a_gateway_that_stops_end_a_socket() {
    let (gateway, key) = gateway().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    terminal.send_raw(Message::text("x".repeat(131_072 + 8_193))).await;
    assert_eq!(terminal.closed().await, 1009);
    let mut terminal = ActionsTerminal::connect(&gateway, &key).await;
    let ((), code) = tokio::join!(gateway.stop(), terminal.closed());
    assert_eq!(code, 1001);
}

#[tokio::test]
async fn a_quiet_terminal_gets_a_pong_and_stays_if_it_is_alive() {
    let (gateway, key) = gateway().await;
    let other_key = terminal_key(&gateway, "ACT1-000000002", "TERM-002").await;
    let desktop_key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &desktop_key, None).await;
    let started = Instant::now();
    let mut alive = ActionsTerminal::connect(&gateway, &key).await;
    // It reads nothing, so nothing of it answers the ping.
    let mut dead = ActionsTerminal::connect(&gateway, &other_key).await;
    let lost = tokio::spawn(async move { desktop.lost(QUIET_MAX).await });
    let pong = alive.quiet_until("pong", QUIET_MAX).await;
    assert!(pong["timestamp"].is_string(), "{pong}");
    assert!(started.elapsed() >= Duration::from_secs(30), "{:?}", started.elapsed());
    let lost = alive.alive_while(lost).await.unwrap();
    assert_eq!(lost["terminalId"], "TERM-002", "{lost}");
    assert!(started.elapsed() >= Duration::from_secs(40), "{:?}", started.elapsed());
    alive.send(json!({"action": "ping"})).await;
    alive.next("pong").await;
    dead.next("pong").await; // That it did not ask for.
    assert_eq!(dead.closed().await, 4408);
}
