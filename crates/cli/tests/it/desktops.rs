//! Payments of desktops while their gateway is killed: each is told once, and only to whom it is owed.

use serde_json::{Value, json};

use crate::actions_wire::{ActionsSocket, COMPANY, desktop_key};
use crate::gateway_process::{GatewayProcess, MERCHANT, POI};
use crate::wire_terminal::{Incoming, WireLink, WireTerminal, approved};

#[tokio::test]
async fn a_gateway_that_is_killed_in_mid_payment_tells_the_result_once_to_the_desktop_that_asked() {
    let mut gateway = GatewayProcess::start().await;
    let key = desktop_key(&gateway, COMPANY, &[MERCHANT]).await;
    let code = gateway.boarding_code(POI).await;
    let terminal = WireTerminal::board(&gateway.base_url(), POI, &code, "j_1").await;
    let mut link = terminal.welcomed(1, "p_1").await;
    let mut named = ActionsSocket::open(&gateway, &key, &[("x-device-id", "till-1")]).await;
    let mut nameless = ActionsSocket::open(&gateway, &key, &[]).await;
    named.pay(POI, "T-1").await;
    let first = received(&mut link).await;
    nameless.pay(POI, "T-2").await;
    let second = received(&mut link).await;
    gateway.kill();
    gateway.start_again().await;

    let mut named = ActionsSocket::open(&gateway, &key, &[("x-device-id", "till-1")]).await;
    let mut nameless = ActionsSocket::open(&gateway, &key, &[]).await;
    let mut other = ActionsSocket::open(&gateway, &key, &[("x-device-id", "till-2")]).await;
    // Who has no name asks again, and joins.
    nameless.pay(POI, "T-2").await;
    nameless.has_nothing().await;
    let mut link = terminal.try_connect().await.expect("the link opens");
    let resume = [&first.0, &second.0];
    let hello = json!({"action": "hello", "linkVersion": 1, "journalId": "j_1", "attempt": 2, "processId": "p_2",
        "resume": resume});
    link.send(&hello.to_string()).await;
    for (id, message) in [&first, &second] {
        let response = approved(message);
        link.send(&format!(r#"{{"action":"result","deliveryId":"{id}","message":{response}}}"#)).await;
    }
    assert_eq!(named.completed().await, ("T-1".into(), "SUCCESS".into()));
    assert_eq!(nameless.completed().await, ("T-2".into(), "SUCCESS".into()));

    // Each was told once, whoever comes now, also after a second life.
    for _ in 0..2 {
        for desktop in [&mut named, &mut nameless, &mut other] {
            desktop.has_nothing().await;
        }
        gateway.stop().await;
        gateway.start_again().await;
        named = ActionsSocket::open(&gateway, &key, &[("x-device-id", "till-1")]).await;
        nameless = ActionsSocket::open(&gateway, &key, &[]).await;
        other = ActionsSocket::open(&gateway, &key, &[("x-device-id", "till-2")]).await;
    }
}

/// The next delivery, which the terminal says that it has: its ID and its message.
async fn received(link: &mut WireLink) -> (String, String) {
    loop {
        let Incoming::Frame(text) = link.next().await else { panic!("no delivery") };
        let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
        if frame["action"] == "deliver" {
            let id = frame["deliveryId"].as_str().expect("an ID").to_owned();
            link.send(&json!({"action": "received", "deliveryId": id}).to_string()).await;
            return (id, frame["message"].to_string());
        }
    }
}
