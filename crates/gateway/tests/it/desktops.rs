//! Payments of desktops on terminals of the link: begun, joined, repeated, told, each once and to nobody else.

use futures_util::future::join_all;
use gateway::{ActionsSettings, Config, Limits};
use serde_json::json;

use crate::actions_terminal::{ACTIONS_POI, ActionsTerminal, terminal_key};
use crate::desktop::{Desktop, desktop_key};
use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{POI, SOON, TestGateway, request};

#[tokio::test]
async fn a_payment_on_a_link_terminal_is_told_with_its_authorization_code() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    desktop.send(r#"{"action":"getTerminals"}"#).await;
    let list = desktop.next().await;
    assert_eq!(
        (&list["action"], list["terminals"].as_array().map(Vec::len)),
        (&json!("terminalsResponse"), Some(1))
    );
    let listed = &list["terminals"][0];
    assert_eq!((&listed["deviceId"], &listed["status"]), (&json!(POI), &json!("online")), "{list}");
    desktop.pay(POI, "T-1").await;
    let frame = desktop.next().await;
    assert_eq!(frame["action"], "paymentComplete", "{frame}");
    assert_eq!(frame["connectionId"], listed["connectionId"]);
    assert_eq!((&frame["terminalId"], &frame["deviceId"]), (&json!(POI), &json!(POI)));
    assert_eq!((&frame["groupId"], &frame["version"]), (&json!("STORE_A"), &json!("v1")));
    assert!(frame.get("late").is_none(), "{frame}");
    let told = &frame["paymentResponse"];
    assert_eq!((&told["transactionId"], &told["status"]), (&json!("T-1"), &json!("SUCCESS")));
    assert_eq!((&told["amount"], &told["currency"]), (&json!("12.50"), &json!("EUR")));
    assert_eq!(told["metadata"], json!({"orderId": "5001"}));
    assert!(told["authorizationCode"].as_str().is_some_and(|code| !code.is_empty()), "{told}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_declined_payment_has_failed_and_says_why() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    // The virtual terminal declines by the cents of an amount.
    desktop.pay_amount(POI, "T-1", "11.24").await;
    let told = desktop.completed().await;
    assert_eq!(told["status"], "FAILED", "{told}");
    assert!(told["errorCode"].is_string(), "{told}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_payment_at_a_busy_terminal_is_in_progress_and_the_first_goes_on() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    desktop.pay(POI, "T-1").await;
    let first = terminal.delivered().await;
    terminal.received(&first).await;
    desktop.pay(POI, "T-2").await;
    let second = terminal.delivered().await;
    terminal.received(&second).await;
    terminal.respond(&second, json!({"Response": {"Result": "Failure", "ErrorCondition": "Busy"}})).await;
    let told = desktop.completed().await;
    assert_eq!((&told["transactionId"], &told["status"]), (&json!("T-2"), &json!("FAILED")));
    assert_eq!(told["errorCode"], "PAYMENT_IN_PROGRESS");
    terminal.succeed(&first).await;
    let told = desktop.completed().await;
    assert_eq!((&told["transactionId"], &told["status"]), (&json!("T-1"), &json!("SUCCESS")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_repeat_joins_or_repeats_and_another_body_clashes_without_touching_the_first() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut one = Desktop::connect(&gateway, &key, Some("till-1")).await;
    let mut two = Desktop::connect(&gateway, &key, Some("till-2")).await;
    one.pay(POI, "T-1").await;
    let delivered = terminal.delivered().await;
    terminal.received(&delivered).await;
    two.pay(POI, "T-1").await;
    two.pay_amount(POI, "T-1", "99.00").await;
    let clash = two.completed().await;
    assert_eq!(
        (&clash["status"], &clash["errorCode"]),
        (&json!("FAILED"), &json!("DUPLICATE_TRANSACTION_ID"))
    );
    assert_eq!(clash["amount"], "99.00");
    one.has_nothing().await;
    terminal.succeed(&delivered).await;
    for desktop in [&mut one, &mut two] {
        assert_eq!(desktop.completed().await["status"], "SUCCESS");
    }
    // Once more, now that it has ended: told to whoever asks, and nothing new reaches the terminal.
    two.pay(POI, "T-1").await;
    assert_eq!(two.completed().await["status"], "SUCCESS");
    one.has_nothing().await;
    two.has_nothing().await;
    // Also while the terminal is away.
    drop(terminal);
    let key_of_others = gateway.sale().await;
    until_away(&key_of_others).await;
    one.pay(POI, "T-1").await;
    assert_eq!(one.completed().await["status"], "SUCCESS");
    one.pay(POI, "T-2").await;
    assert_eq!(one.next().await["message"], "Terminal connection not found");
    gateway.stop().await;
}

#[tokio::test]
async fn frames_of_one_connection_are_answered_in_the_order_in_which_they_came() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    for round in 0..5 {
        desktop.pay("NOBODY", "T-0").await;
        desktop.send(r#"{"action":"ping"}"#).await;
        desktop.send(r#"{"action":"getTerminals"}"#).await;
        desktop.send("no JSON").await;
        desktop.pay(POI, &format!("T-{round}-1")).await;
        desktop.pay(POI, &format!("T-{round}-2")).await;
        desktop.pay_amount(POI, &format!("T-{round}-1"), "99.00").await;
        desktop.send(r#"{"action":"ping"}"#).await;
        let mut heard = Vec::new();
        for _ in 0..6 {
            let frame = desktop.next().await;
            let word = [&frame["message"], &frame["paymentResponse"]["errorCode"], &frame["action"]];
            heard.push(word.into_iter().find_map(|word| word.as_str()).unwrap_or_default().to_owned());
        }
        let in_order = [
            "Terminal connection not found",
            "pong",
            "terminalsResponse",
            "Invalid JSON in message body",
            "DUPLICATE_TRANSACTION_ID",
            "pong",
        ];
        assert_eq!(heard, in_order);
        for delivered in [terminal.delivered().await, terminal.delivered().await] {
            terminal.received(&delivered).await;
            terminal.succeed(&delivered).await;
            assert_eq!(desktop.completed().await["status"], "SUCCESS");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn of_two_payments_at_once_the_first_reaches_the_terminal_first() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    for round in 0..10 {
        let names = [format!("T-{round}-1"), format!("T-{round}-2")];
        for name in &names {
            desktop.pay(POI, name).await;
        }
        let both = [terminal.delivered().await, terminal.delivered().await];
        for (delivered, name) in both.into_iter().zip(&names) {
            let sale = &delivered.message["SaleToPOIRequest"]["PaymentRequest"]["SaleData"];
            assert_eq!(sale["SaleTransactionID"]["TransactionID"], name.as_str());
            terminal.received(&delivered).await;
            terminal.succeed(&delivered).await;
            assert_eq!(desktop.completed().await["transactionId"], name.as_str());
        }
    }
    gateway.stop().await;
}

async fn until_away(sale: &crate::support::Sale<'_>) {
    let away = async {
        while sale.connected(json!({"merchantAccount": crate::support::MERCHANT})).await != json!([]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, away).await.expect("the terminal is seen to be away");
}

#[tokio::test]
async fn a_desktop_that_was_gone_hears_its_results_once_and_in_order_when_it_is_back() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, Some("till-1")).await;
    for name in ["T-1", "T-2", "T-3"] {
        desktop.pay(POI, name).await;
    }
    let mut open = Vec::new();
    for _ in 0..3 {
        let delivered = terminal.delivered().await;
        terminal.received(&delivered).await;
        open.push(delivered);
    }
    drop(desktop);
    let mut others = [
        Desktop::connect(&gateway, &key, Some("till-2")).await,
        Desktop::connect(&gateway, &key, None).await,
        Desktop::connect(&gateway, &desktop_key(&gateway, &["STORE_A"]).await, Some("till-1")).await,
    ];
    // The first two come while it is away, in the other order.
    let names = |delivered: &crate::scripted_terminal::Delivered| {
        let data = &delivered.message["SaleToPOIRequest"]["PaymentRequest"]["SaleData"];
        data["SaleTransactionID"]["TransactionID"].as_str().unwrap().to_owned()
    };
    let mut order = Vec::new();
    for delivered in [&open[1], &open[0]] {
        terminal.succeed(delivered).await;
        until_ended(&gateway, &delivered.message).await;
        order.push(names(delivered));
    }
    let mut back = Desktop::connect(&gateway, &key, Some("till-1")).await;
    for name in order {
        assert_eq!(back.completed().await["transactionId"], name);
    }
    // The third comes while it is there again.
    terminal.succeed(&open[2]).await;
    assert_eq!(back.completed().await["transactionId"], names(&open[2]));
    back.has_nothing().await;
    drop(back);
    Desktop::connect(&gateway, &key, Some("till-1")).await.has_nothing().await;
    for other in &mut others {
        other.has_nothing().await;
    }
    gateway.stop().await;
}

/// Asks over the Terminal API how a desktop's payment stands.
pub(crate) fn question(poi: &str, service_id: &str, payment: &str) -> Vec<u8> {
    let reference = json!({"MessageCategory": "Payment", "SaleID": "Actions", "ServiceID": payment});
    request("TransactionStatus", poi, service_id, json!({ "MessageReference": reference }))
}

/// Returns once the ledger has the end of this request.
async fn until_ended(gateway: &TestGateway, message: &serde_json::Value) {
    let header = &message["SaleToPOIRequest"]["MessageHeader"];
    let service = header["ServiceID"].as_str().unwrap();
    let sale = gateway.sale().await;
    let answered = async {
        for n in 0.. {
            let answer = sale.sync(question(POI, &format!("S{n}{}", &service[..4]), service)).await;
            let status = answer.json();
            if status["SaleToPOIResponse"]["TransactionStatusResponse"]["Response"]["Result"] == "Success" {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, answered).await.expect("it ends");
}

#[tokio::test]
async fn a_result_that_was_written_to_a_dead_connection_comes_on_the_next_one() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    // From here on it does as if its network were gone: it reads nothing, answers nothing, and does not end.
    let mut dead = Desktop::connect(&gateway, &key, Some("till-1")).await;
    dead.pay(POI, "T-1").await;
    dead.pay(POI, "T-2").await;
    let (first, second) = (terminal.delivered().await, terminal.delivered().await);
    terminal.received(&first).await;
    terminal.received(&second).await;
    terminal.succeed(&first).await;
    dead.until_written().await;
    let mut next = Desktop::connect(&gateway, &key, Some("till-1")).await;
    let told = next.completed().await;
    assert_eq!(told["status"], "SUCCESS");
    // What comes now comes here, though the other one has asked for it and stands.
    terminal.succeed(&second).await;
    let later = next.completed().await;
    assert_ne!(later["transactionId"], told["transactionId"]);
    next.has_nothing().await;
    // It has shown that it has them: nobody is told once more.
    drop((dead, next));
    Desktop::connect(&gateway, &key, Some("till-1")).await.has_nothing().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_desktop_without_identity_is_told_nothing_later_and_may_ask_again() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    desktop.pay(POI, "T-1").await;
    let delivered = terminal.delivered().await;
    terminal.received(&delivered).await;
    drop(desktop);
    let mut back = Desktop::connect(&gateway, &key, None).await;
    back.has_nothing().await;
    terminal.succeed(&delivered).await;
    until_ended(&gateway, &delivered.message).await;
    back.has_nothing().await;
    back.pay(POI, "T-1").await;
    assert_eq!(back.completed().await["status"], "SUCCESS");
    gateway.stop().await;
}

#[tokio::test]
async fn a_payment_that_was_begun_here_can_be_looked_up_over_sync() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    let mut terminal = ScriptedTerminal::connect(&gateway, "V400m-100000009").await;
    desktop.pay("V400m-100000009", "T-1").await;
    let delivered = terminal.delivered().await;
    let header = &delivered.message["SaleToPOIRequest"]["MessageHeader"];
    assert_eq!(header["SaleID"], "Actions");
    let service = header["ServiceID"].as_str().unwrap().to_owned();
    terminal.received(&delivered).await;
    terminal.succeed(&delivered).await;
    assert_eq!(desktop.completed().await["status"], "SUCCESS");
    let sale = gateway.sale().await;
    let status = sale.sync(question("V400m-100000009", "S1", &service)).await.json();
    let status = &status["SaleToPOIResponse"]["TransactionStatusResponse"];
    assert_eq!(status["Response"]["Result"], "Success", "{status}");
    let told = &status["RepeatedMessageResponse"]["RepeatedResponseMessageBody"]["PaymentResponse"];
    assert_eq!(told["Response"]["Result"], "Success", "{status}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_desktop_that_asks_too_often_hears_so_and_its_connection_stays_open() {
    let limits = Limits { requests_per_second: 1, requests_burst: 4, ..Limits::default() };
    let gateway = TestGateway::configured(Config { limits, ..Config::default() }).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    // More often than one may be wrong: it may have been others of the key who have used it up.
    for _ in 0..40 {
        desktop.send(r#"{"action":"getTerminals"}"#).await;
    }
    let (mut lists, mut errors) = (0, 0);
    for _ in 0..40 {
        let frame = desktop.next().await;
        match frame["message"].as_str() {
            None => lists += 1,
            Some(text) => {
                assert!(text.contains("limit requests_per_second"), "{text}");
                errors += 1;
            }
        }
    }
    // The connection itself was the first request.
    assert!(lists >= 3 && errors >= 21, "{lists} lists, {errors} errors");
    desktop.has_nothing().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_payment_too_many_is_told_with_the_name_of_the_limit() {
    let limits = Limits { exchanges_per_key: 1, ..Limits::default() };
    let gateway = TestGateway::configured(Config { limits, ..Config::default() }).await;
    let own = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    let mut terminal = ActionsTerminal::connect(&gateway, &own).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    desktop.pay("TERM-001", "T-1").await;
    let request = terminal.next("paymentRequest").await;
    for n in 0..25 {
        desktop.pay("TERM-001", &format!("U-{n}")).await;
        let error = desktop.next().await;
        assert_eq!(error["error"], "Bad Request");
        assert!(error["message"].as_str().unwrap().contains("limit exchanges_per_key"), "{error}");
    }
    // Who repeats the one that is open takes no place more, and joins it.
    let mut other = Desktop::connect(&gateway, &key, None).await;
    other.pay("TERM-001", "T-1").await;
    other.has_nothing().await;
    terminal.answer(&request, "SUCCESS").await;
    assert_eq!(desktop.completed().await["status"], "SUCCESS");
    assert_eq!(other.completed().await["status"], "SUCCESS");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_payment_asked_for_by_many_at_once_is_sent() {
    const DESKTOPS: usize = 12;
    let limits = Limits::default().with_rates_raised(100);
    let gateway = TestGateway::configured(Config { limits, ..Config::default() }).await;
    let own = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    let mut terminal = ActionsTerminal::connect(&gateway, &own).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktops = Vec::new();
    for _ in 0..DESKTOPS {
        desktops.push(Desktop::connect(&gateway, &key, None).await);
    }
    // Often enough for another one than the first to hear first that it is on disk.
    for n in 0..60 {
        let name = format!("T-{n}");
        join_all(desktops.iter_mut().map(|desktop| desktop.pay("TERM-001", &name))).await;
        let request = terminal.next("paymentRequest").await;
        terminal.answer(&request, "SUCCESS").await;
        for told in join_all(desktops.iter_mut().map(Desktop::completed)).await {
            assert_eq!(
                (&told["transactionId"], &told["status"]),
                (&json!(name), &json!("SUCCESS")),
                "{told}"
            );
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_connection_displaces_the_first_where_that_is_set() {
    let actions = ActionsSettings { single_connection: true, ..ActionsSettings::default() };
    let gateway = TestGateway::configured(Config { actions, ..Config::default() }).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut first = Desktop::connect(&gateway, &key, Some("till-1")).await;
    let mut other = Desktop::connect(&gateway, &key, Some("till-2")).await;
    let mut second = Desktop::connect(&gateway, &key, Some("till-1")).await;
    let told = first.next().await;
    assert_eq!(
        (&told["action"], &told["reason"]),
        (&json!("forceDisconnect"), &json!("REPLACED_BY_NEW_CONNECTION"))
    );
    assert_eq!(first.next_or_close().await.unwrap_err().expect("a close frame").0, 4409);
    other.has_nothing().await;
    second.has_nothing().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_lets_a_payment_end_and_tells_its_desktop() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    desktop.pay(POI, "T-1").await;
    let delivered = terminal.delivered().await;
    terminal.received(&delivered).await;
    let (stopped, ()) = tokio::join!(tokio::time::timeout(SOON, gateway.stop()), async {
        // From now on nothing new is begun.
        desktop.pay(POI, "T-2").await;
        let told = desktop.next().await;
        assert_eq!(told["message"], "Failed to process message");
        terminal.succeed(&delivered).await;
        assert_eq!(desktop.completed().await["status"], "SUCCESS");
        assert_eq!(desktop.next_or_close().await.unwrap_err().expect("a close frame").0, 1001);
    });
    stopped.expect("it stops");
}

#[tokio::test]
async fn an_actions_terminal_gets_what_the_desktop_wrote_byte_for_byte_and_its_connection() {
    let gateway = TestGateway::new().await;
    let terminal_key = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    let mut terminal = ActionsTerminal::connect(&gateway, &terminal_key).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    let mut other = Desktop::connect(&gateway, &key, None).await;
    let request = r#"{ "transactionId":"T\u002d1", "amount" : 12.50,"currency":"EUR","products":[{"id":"P1","price":"12.50"}]}"#;
    desktop
        .send(&format!(r#"{{"paymentRequest":{request},"terminalId":"TERM-001","action":"payment"}}"#))
        .await;
    let text = terminal.next_text("paymentRequest").await;
    assert!(text.contains(&format!(r#""paymentRequest":{request},"#)), "{text}");
    let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
    let asker = frame["desktopId"].as_str().unwrap();
    assert!(asker.starts_with("c_"), "{text}");
    // Another one meanwhile: the terminal takes one at a time.
    other.pay("TERM-001", "T-2").await;
    let told = other.completed().await;
    assert_eq!((&told["status"], &told["errorCode"]), (&json!("FAILED"), &json!("PAYMENT_IN_PROGRESS")));
    terminal
        .send(json!({"action": "paymentResponse", "desktopId": asker,
            "paymentResponse": {"transactionId": "T-1", "status": "SUCCESS", "authorizationCode": "A1"}}))
        .await;
    let frame = desktop.next().await;
    assert_eq!((&frame["terminalId"], &frame["deviceId"]), (&json!("TERM-001"), &json!("TERM-001")));
    let told = &frame["paymentResponse"];
    assert_eq!((&told["status"], &told["authorizationCode"]), (&json!("SUCCESS"), &json!("A1")));
    other.has_nothing().await;
    // Called off at the terminal.
    desktop.pay("TERM-001", "T-3").await;
    terminal.next("paymentRequest").await;
    terminal
        .send(json!({"action": "paymentResponse", "paymentResponse": {"transactionId": "T-3", "status": "CANCELLED"}}))
        .await;
    assert_eq!(desktop.completed().await["status"], "CANCELLED");
    gateway.stop().await;
}
