//! The Actions page of the specification, message by message and error by error, as raw frames.

use tokio_tungstenite::tungstenite::Message;

use crate::actions_wire::{ActionsSocket, COMPANY, OTHER_COMPANY, desktop_key, settled, store, terminal_key};
use crate::gateway_process::GatewayProcess;

const MERCHANT: &str = "SHOP_ACTIONS";
const OTHER_MERCHANT: &str = "OTHER_ACTIONS";

/// Two stores of one company, and one of another that has the same code as the first.
async fn with_stores() -> GatewayProcess {
    let gateway = GatewayProcess::start().await;
    for (company, merchant, code) in
        [(COMPANY, MERCHANT, "AMS"), (COMPANY, MERCHANT, "UTR"), (OTHER_COMPANY, OTHER_MERCHANT, "AMS")]
    {
        store(&gateway, company, merchant, code).await;
    }
    gateway
}

fn payment(terminal_id: &str, transaction_id: &str) -> String {
    format!(
        r#"{{"action":"payment","terminalId":"{terminal_id}","paymentRequest":{{"transactionId":"{transaction_id}","amount":"99.99","currency":"USD","paymentMethod":"CARD","products":[{{"id":"PROD-001","name":"Widget","price":"99.99","quantity":1}}],"customerInfo":{{"customerId":"CUST-123","email":"customer@example.com"}},"metadata":{{"orderId":"ORD-12345"}}}}}}"#
    )
}

const SUCCESS: &str = r#"{"action":"paymentResponse","paymentResponse":{"transactionId":"TXN-1","status":"SUCCESS","authorizationCode":"AUTH1","timestamp":"2026-11-20T08:15:09.000Z"}}"#;

#[tokio::test]
async fn every_message_of_the_page_is_answered_word_for_word() {
    let mut gateway = with_stores().await;
    let desktop = desktop_key(&gateway, COMPANY, &["AMS"]).await;
    let terminal = terminal_key(&gateway, COMPANY, "AMS", "ACT1-000000001", "TERM-001").await;
    let mut desktop = ActionsSocket::open(&gateway, &desktop, &[]).await;
    let offline = r#"{"action":"terminalsResponse","terminals":[{"deviceId":"TERM-001","status":"offline","metadata":{"lane":"4"}}],"timestamp":"TIME"}"#;
    assert_eq!(settled(&desktop.ask(r#"{"action":"getTerminals"}"#).await), offline);

    let mut terminal = ActionsSocket::open(&gateway, &terminal, &[]).await;
    desktop.sees("TERM-001").await;
    let pong = r#"{"action":"pong","timestamp":"TIME"}"#;
    assert_eq!(settled(&desktop.ask(r#"{"action":"ping"}"#).await), pong);
    assert_eq!(settled(&terminal.ask(r#"{"action":"ping"}"#).await), pong);
    let online = r#"{"action":"terminalsResponse","terminals":[{"connectionId":"CONNECTION","deviceId":"TERM-001","connectedAt":"TIME","lastActivity":"TIME","status":"online","metadata":{"lane":"4"}}],"timestamp":"TIME"}"#;
    assert_eq!(settled(&desktop.ask(r#"{"action":"getTerminals"}"#).await), online);

    desktop.say(&payment("TERM-001", "TXN-1")).await;
    let asked = r#"{"action":"paymentRequest","desktopId":"CONNECTION","paymentRequest":{"transactionId":"TXN-1","amount":"99.99","currency":"USD","paymentMethod":"CARD","products":[{"id":"PROD-001","name":"Widget","price":"99.99","quantity":1}],"customerInfo":{"customerId":"CUST-123","email":"customer@example.com"},"metadata":{"orderId":"ORD-12345"}},"timestamp":"TIME"}"#;
    assert_eq!(settled(&terminal.next().await), asked);
    terminal.say(SUCCESS).await;
    let complete = r#"{"action":"paymentComplete","terminalId":"TERM-001","deviceId":"TERM-001","connectionId":"CONNECTION","paymentResponse":{"transactionId":"TXN-1","status":"SUCCESS","amount":"99.99","currency":"USD","paymentMethod":"CARD","authorizationCode":"AUTH1","timestamp":"TIME","metadata":{"orderId":"ORD-12345"}},"timestamp":"TIME","groupId":"AMS","version":"v1"}"#;
    assert_eq!(settled(&desktop.next().await), complete);

    // A refusal and a cancellation, the second by the other word that a terminal may use.
    for (name, word, status, more, told) in [
        (
            "TXN-2",
            "paymentResponse",
            "FAILED",
            r#""errorCode":"INSUFFICIENT_FUNDS","errorMessage":"Declined""#,
            r#""errorCode":"INSUFFICIENT_FUNDS","errorMessage":"Declined""#,
        ),
        (
            "TXN-3",
            "paymentComplete",
            "CANCELLED",
            r#""errorMessage":"The customer pressed Stop""#,
            r#""errorCode":"CANCEL","errorMessage":"The customer pressed Stop""#,
        ),
    ] {
        desktop.say(&payment("TERM-001", name)).await;
        terminal.next().await;
        terminal
            .say(&format!(
                r#"{{"action":"{word}","paymentResponse":{{"transactionId":"{name}","status":"{status}",{more}}}}}"#
            ))
            .await;
        let heard = settled(&desktop.next().await);
        let part = format!(
            r#""paymentResponse":{{"transactionId":"{name}","status":"{status}","amount":"99.99","currency":"USD","paymentMethod":"CARD",{told},"timestamp":"TIME","metadata":{{"orderId":"ORD-12345"}}}}"#
        );
        assert!(heard.contains(&part), "{heard}");
    }

    // The same once more is told what became of it, and goes to no terminal; another payment of that name is none.
    assert_eq!(settled(&desktop.ask(&payment("TERM-001", "TXN-1")).await), complete);
    let other = payment("TERM-001", "TXN-1").replace("99.99", "12.50");
    let heard = desktop.ask(&other).await;
    assert!(heard.contains(r#""status":"FAILED""#) && heard.contains("DUPLICATE_TRANSACTION_ID"), "{heard}");
    assert_eq!(settled(&terminal.ask(r#"{"action":"ping"}"#).await), pong);
    gateway.stop().await;
}

#[tokio::test]
async fn every_error_of_the_page_has_its_words_and_leaves_the_connection_open() {
    let mut gateway = with_stores().await;
    let key = desktop_key(&gateway, COMPANY, &["AMS"]).await;
    let terminal_key_of_ams = terminal_key(&gateway, COMPANY, "AMS", "ACT1-000000001", "TERM-001").await;
    terminal_key(&gateway, COMPANY, "AMS", "ACT1-000000002", "TERM-002").await;
    terminal_key(&gateway, COMPANY, "UTR", "ACT1-000000003", "TERM-003").await;
    terminal_key(&gateway, OTHER_COMPANY, "AMS", "ACT1-000000004", "TERM-004").await;
    let mut terminal = ActionsSocket::open(&gateway, &terminal_key_of_ams, &[]).await;
    let mut desktop = ActionsSocket::open(&gateway, &key, &[]).await;
    desktop.sees("TERM-001").await;

    let table = [
        ("{", "Bad Request", "Invalid JSON in message body"),
        ("[]", "Bad Request", "Invalid JSON in message body"),
        ("{}", "Bad Request", "action is required"),
        (r#"{"action":"refund"}"#, "Bad Request", "Unknown action: refund"),
        (r#"{"action":"payment"}"#, "Bad Request", "terminalId is required"),
        (r#"{"action":"payment","paymentRequest":{}}"#, "Bad Request", "terminalId is required"),
        (r#"{"action":"payment","terminalId":"nobody"}"#, "Bad Request", "paymentRequest is required"),
        (
            r#"{"action":"payment","terminalId":"nobody","paymentRequest":{}}"#,
            "Bad Request",
            "paymentRequest.amount is required",
        ),
        (
            r#"{"action":"payment","terminalId":"nobody","paymentRequest":{"amount":"1.00"}}"#,
            "Bad Request",
            "paymentRequest.currency is required",
        ),
        (&payment("nobody", "T"), "Not Found", "Terminal connection not found"),
        (&payment("TERM-002", "T"), "Not Found", "Terminal connection not found"),
        (&payment("c_000000000000", "T"), "Not Found", "Connection not found"),
        (&payment("TERM-003", "T"), "Forbidden", "Cannot send message to connection in different group"),
        (&payment("TERM-004", "T"), "Not Found", "Terminal connection not found"),
        (
            r#"{"action":"paymentReceived","transactionId":"T"}"#,
            "Forbidden",
            "Only terminal devices can send paymentReceived",
        ),
        (
            r#"{"action":"resume","journalId":"j_1","transactionIds":[]}"#,
            "Forbidden",
            "Only terminal devices can send resume",
        ),
    ];
    for (frame, error, message) in table {
        let told = format!(r#"{{"error":"{error}","message":"{message}"}}"#);
        assert_eq!(desktop.ask(frame).await, told, "{frame}");
    }
    for (frame, error, message) in [
        ("{", "Bad Request", "Invalid JSON in message body"),
        ("[]", "Bad Request", "Invalid JSON in message body"),
        ("{}", "Bad Request", "action is required"),
        (r#"{"action":"dance"}"#, "Bad Request", "Unknown action: dance"),
        (r#"{"action":"getTerminals"}"#, "Forbidden", "Only desktop devices can request terminal list"),
        (&payment("TERM-001", "T"), "Forbidden", "Only desktop devices can request payments"),
        (
            r#"{"action":"paymentReceived","transactionId":"T"}"#,
            "Bad Request",
            "resume must be the first message",
        ),
    ] {
        let told = format!(r#"{{"error":"{error}","message":"{message}"}}"#);
        assert_eq!(terminal.ask(frame).await, told, "{frame}");
    }
    let invalid = r#"{"error":"Bad Request","message":"Invalid JSON in message body"}"#;
    for socket in [&mut desktop, &mut terminal] {
        socket.send(Message::binary(b"{}".to_vec())).await;
        assert_eq!(socket.next().await, invalid);
        socket.has_nothing().await;
    }
    desktop.say(&payment("TERM-001", "TXN-1")).await;
    assert!(terminal.next().await.contains("paymentRequest"));
    terminal.say(SUCCESS).await;
    assert_eq!(desktop.completed().await, ("TXN-1".into(), "SUCCESS".into()));

    // The twentieth within ten seconds is one too many.
    for key in [&key, &terminal_key_of_ams] {
        let mut other = ActionsSocket::open(&gateway, key, &[]).await;
        for _ in 0..20 {
            other.say("{").await;
        }
        for _ in 0..20 {
            assert_eq!(other.next().await, invalid);
        }
        assert_eq!(other.next_of_all().await, Err(1008));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_an_internal_error_and_nothing_reaches_the_terminal() {
    let mut gateway = with_stores().await;
    let key = desktop_key(&gateway, COMPANY, &["AMS"]).await;
    let terminal = terminal_key(&gateway, COMPANY, "AMS", "ACT1-000000001", "TERM-001").await;
    let mut terminal = ActionsSocket::open(&gateway, &terminal, &[]).await;
    let mut desktop = ActionsSocket::open(&gateway, &key, &[]).await;
    desktop.sees("TERM-001").await;
    gateway.process().limit_files(Some(0));
    let told = r#"{"error":"Internal Server Error","message":"Failed to process message"}"#;
    assert_eq!(desktop.ask(&payment("TERM-001", "T")).await, told);
    assert!(terminal.ask(r#"{"action":"ping"}"#).await.contains("pong"));
    gateway.process().limit_files(None);
}

#[tokio::test]
async fn neither_groups_nor_companies_reach_each_other() {
    let gateway = with_stores().await;
    let shops = [
        (COMPANY, "AMS", "ACT1-000000001", "TERM-A"),
        (COMPANY, "UTR", "ACT1-000000002", "TERM-U"),
        (OTHER_COMPANY, "AMS", "ACT1-000000003", "TERM-O"),
    ];
    let mut desktops = Vec::new();
    let mut terminals = Vec::new();
    for (company, group, poi_id, device_id) in shops {
        let key = desktop_key(&gateway, company, &[group]).await;
        let mut desktop = ActionsSocket::open(&gateway, &key, &[("x-group-id", group)]).await;
        let other = if group == "AMS" { "UTR" } else { "AMS" };
        let refused = ActionsSocket::try_open(&gateway, &key, &[("x-group-id", other)]).await;
        assert_eq!(refused.err(), Some(403), "{company} {group} asks for {other}");
        let key = terminal_key(&gateway, company, group, poi_id, device_id).await;
        terminals.push(ActionsSocket::open(&gateway, &key, &[]).await);
        desktop.sees(device_id).await;
        desktops.push(desktop);
    }
    for (from, (company, group, ..)) in shops.iter().enumerate() {
        for (to, (to_company, _, _, device_id)) in shops.iter().enumerate() {
            if from == to {
                continue;
            }
            let list = desktops[from].ask(r#"{"action":"getTerminals"}"#).await;
            assert!(!list.contains(device_id), "{company} {group} sees {device_id}: {list}");
            let told = desktops[from].ask(&payment(device_id, "T")).await;
            let (error, message) = match company == to_company {
                true => ("Forbidden", "Cannot send message to connection in different group"),
                false => ("Not Found", "Terminal connection not found"),
            };
            assert_eq!(told, format!(r#"{{"error":"{error}","message":"{message}"}}"#), "to {device_id}");
        }
    }
    for terminal in &mut terminals {
        // Nothing else came meanwhile.
        assert!(terminal.ask(r#"{"action":"ping"}"#).await.contains("pong"));
    }
    // A status update reaches the desktops of its group, and no others.
    drop(terminals.remove(0));
    let update = loop {
        let frame = desktops[0].next_of_all().await.expect("a frame");
        if frame.contains("reconnecting") {
            break frame;
        }
    };
    let expected = r#"{"action":"terminalStatusUpdate","terminalId":"TERM-A","deviceId":"TERM-A","status":"reconnecting","timestamp":"TIME","groupId":"AMS","version":"v1"}"#;
    assert_eq!(settled(&update), expected);
    for desktop in &mut desktops[1..] {
        desktop.say(r#"{"action":"ping"}"#).await;
        loop {
            let frame = desktop.next_of_all().await.expect("a frame");
            assert!(!frame.contains("TERM-A"), "{frame}");
            if frame.contains("pong") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn five_desktops_on_one_key_get_their_own_results_and_nobody_elses() {
    let gateway = with_stores().await;
    let key = desktop_key(&gateway, COMPANY, &["AMS"]).await;
    let (mut desktops, mut terminals) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let device = format!("till-{number}");
        // The last two have no identity of their own.
        let headers: &[(&'static str, &str)] = if number < 3 { &[("x-device-id", &device)] } else { &[] };
        let mut desktop = ActionsSocket::open(&gateway, &key, headers).await;
        let terminal_id = format!("TERM-{number}");
        let poi_id = format!("ACT1-00000001{number}");
        let terminal = terminal_key(&gateway, COMPANY, "AMS", &poi_id, &terminal_id).await;
        terminals.push(ActionsSocket::open(&gateway, &terminal, &[]).await);
        desktop.sees(&terminal_id).await;
        desktops.push(desktop);
    }
    for round in 0..4 {
        for (number, desktop) in desktops.iter_mut().enumerate() {
            let terminal = (number + round) % 5;
            desktop.say(&payment(&format!("TERM-{terminal}"), &format!("T-{round}-{number}"))).await;
        }
        // Answered in another order than they were asked.
        for index in (0..5).rev() {
            let asked = terminals[index].next().await;
            let name = format!("T-{round}-{}", (index + 5 - round) % 5);
            assert!(asked.contains(&name), "{asked}");
            let success = SUCCESS.replace("TXN-1", &name);
            terminals[index].say(&success).await;
        }
        for (number, desktop) in desktops.iter_mut().enumerate() {
            let heard = desktop.next().await;
            assert!(heard.contains(&format!(r#""transactionId":"T-{round}-{number}""#)), "{heard}");
        }
    }
    for desktop in &mut desktops {
        assert!(desktop.ask(r#"{"action":"ping"}"#).await.contains("pong"));
    }
}
