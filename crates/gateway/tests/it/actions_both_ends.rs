//! Desktops and terminals of the Actions API with each other: what a desktop wrote is what a terminal reads, and each desktop
//! knows of the terminals of its groups, and of no others.

use serde_json::{Value, json};

use crate::actions_terminal::{ACTIONS_POI, ActionsTerminal, terminal_key};
use crate::desktop::{Desktop, desktop_credential, desktop_key};
use crate::support::{OTHER_COMPANY, POI, TestGateway};

/// A terminal's key in `STORE_A`, and a desktop's for the same.
async fn installation() -> (TestGateway, String, String) {
    let gateway = TestGateway::new().await;
    let terminal = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    let desktop = desktop_key(&gateway, &["STORE_A"]).await;
    (gateway, terminal, desktop)
}

async fn terminals(desktop: &mut Desktop) -> Value {
    desktop.send(r#"{"action":"getTerminals"}"#).await;
    let answer = desktop.next().await;
    assert_eq!(answer["action"], "terminalsResponse", "{answer}");
    answer["terminals"].clone()
}

#[tokio::test]
async fn a_terminal_reads_what_the_desktop_wrote_byte_for_byte() {
    let (gateway, terminal_key, desktop_key) = installation().await;
    for acknowledges in [false, true] {
        let mut terminal = match acknowledges {
            false => ActionsTerminal::connect(&gateway, &terminal_key).await,
            true => ActionsTerminal::resume(&gateway, &terminal_key, &[]).await,
        };
        let mut desktop = Desktop::connect(&gateway, &desktop_key, Some("till-1")).await;
        let name = format!("T-{acknowledges}");
        let own = format!(
            r#"{{ "transactionId":"{name}", "amount" : 12.50,"currency":"EUR","paymentMethod":"CARD","products":[{{"id":"P1","price":"12.50","quantity":1e0}}] ,"metadata":{{"ünï":"\u00fc"}}}}"#
        );
        desktop
            .send(&format!(r#"{{"action":"payment","terminalId":"TERM-001","paymentRequest":{own}}}"#))
            .await;
        let asked = terminal.text().await;
        assert!(asked.contains(&format!(r#","paymentRequest":{own},"#)), "{asked}");
        let asked: Value = serde_json::from_str(&asked).unwrap();
        assert!(asked["desktopId"].as_str().unwrap().starts_with("c_"), "{asked}");
        if acknowledges {
            terminal.send(json!({"action": "paymentReceived", "transactionId": name})).await;
        }
        terminal.answer(&asked, "SUCCESS").await;
        let told = desktop.completed().await;
        assert_eq!(
            (&told["status"], &told["authorizationCode"]),
            (&json!("SUCCESS"), &json!("AUTH1")),
            "{told}"
        );
        assert_eq!(told["metadata"], json!({"ünï": "ü"}));
        drop(terminal);
    }
}

#[tokio::test]
async fn a_link_that_is_lost_in_mid_payment_is_told_and_the_result_comes_after_it() {
    let (gateway, terminal_key, desktop_key) = installation().await;
    let mut desktop = Desktop::connect(&gateway, &desktop_key, Some("till-1")).await;
    for acknowledges in [false, true] {
        let transactions: &[&str] = if acknowledges { &["T-true"] } else { &[] };
        let mut terminal = match acknowledges {
            false => ActionsTerminal::connect(&gateway, &terminal_key).await,
            true => ActionsTerminal::resume(&gateway, &terminal_key, &[]).await,
        };
        assert_eq!(connected(&mut desktop).await["deviceId"], "TERM-001");
        let name = format!("T-{acknowledges}");
        desktop.pay("TERM-001", &name).await;
        let asked = terminal.next("paymentRequest").await;
        if acknowledges {
            terminal.send(json!({"action": "paymentReceived", "transactionId": name})).await;
        }
        drop(terminal);
        let change = desktop.change().await;
        assert_eq!((&change["status"], &change["terminalId"]), (&json!("reconnecting"), &json!("TERM-001")));
        let mut terminal = match acknowledges {
            false => ActionsTerminal::connect(&gateway, &terminal_key).await,
            true => ActionsTerminal::resume(&gateway, &terminal_key, transactions).await,
        };
        connected(&mut desktop).await;
        terminal.answer(&asked, "SUCCESS").await;
        let told = desktop.completed().await;
        assert_eq!((&told["status"], &told["transactionId"]), (&json!("SUCCESS"), &json!(name)), "{told}");
        drop(terminal);
        assert_eq!(desktop.change().await["status"], "reconnecting");
    }
}

/// The next change that is a terminal's coming.
async fn connected(desktop: &mut Desktop) -> Value {
    let change = desktop.change().await;
    assert_eq!(change["status"], "connected", "{change}");
    assert_eq!(change["terminalInfo"]["connectionId"], change["connectionId"], "{change}");
    change
}

#[tokio::test]
async fn a_desktop_lists_pays_and_hears_of_the_terminals_of_its_groups_only() {
    let (gateway, terminal_key, key) = installation().await;
    let gateway = gateway.with_terminal(POI).await;
    let _terminal = ActionsTerminal::connect(&gateway, &terminal_key).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    let listed = terminals(&mut desktop).await;
    let shown = |of: &Value| (of["deviceId"].clone(), of["status"].clone());
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(shown(&listed[0]), (json!("TERM-001"), json!("online")));
    assert_eq!(shown(&listed[1]), (json!(POI), json!("online")));
    let connections = [&listed[0], &listed[1]].map(|of| of["connectionId"].as_str().unwrap().to_owned());

    // A link terminal is paid by the name of its connection, too.
    desktop.pay(&connections[1], "T-1").await;
    assert_eq!(desktop.completed().await["status"], "SUCCESS");

    let mut next_door = Desktop::connect(&gateway, &desktop_key(&gateway, &["STORE_B"]).await, None).await;
    let abroad = desktop_credential(&gateway, OTHER_COMPANY, &["FOREIGN_MERCHANT"]).await;
    let mut abroad = Desktop::connect(&gateway, abroad.api_key.reveal(), None).await;
    assert_eq!(terminals(&mut next_door).await, json!([]));
    assert_eq!(terminals(&mut abroad).await, json!([]));
    let forbidden = ("Forbidden", "Cannot send message to connection in different group");
    let unknown = ("Not Found", "Terminal connection not found");
    let gone = ("Not Found", "Connection not found");
    for (name, to_neighbour, to_stranger) in [
        ("TERM-001", forbidden, unknown),
        (POI, forbidden, unknown),
        (connections[0].as_str(), forbidden, gone),
        // Nobody keeps a list of the connections of links.
        (connections[1].as_str(), gone, gone),
    ] {
        for (desktop, (error, message)) in [(&mut next_door, to_neighbour), (&mut abroad, to_stranger)] {
            desktop.pay(name, "T-9").await;
            let heard = desktop.next().await;
            assert_eq!(heard, json!({"error": error, "message": message}), "{name}");
        }
    }
}

#[tokio::test]
async fn the_sockets_of_a_key_that_was_revoked_are_closed_and_those_of_others_are_not() {
    let (gateway, terminal_key, key) = installation().await;
    let mut terminal = ActionsTerminal::connect(&gateway, &terminal_key).await;
    let mut desktop = Desktop::connect(&gateway, &key, None).await;
    let mut other = Desktop::connect(&gateway, &desktop_key(&gateway, &["STORE_A"]).await, None).await;
    let listed = gateway.admin().credentials(crate::support::COMPANY).await.unwrap();
    for shown in &listed[..2] {
        gateway.admin().revoke_credential(&shown.id).await.unwrap();
    }
    assert_eq!(terminal.closed().await, 4403);
    assert_eq!(desktop.next_or_close().await.unwrap_err().unwrap().0, 4403);
    other.has_nothing().await;
}
