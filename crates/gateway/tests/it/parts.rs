//! A terminal takes a part of what was asked for: money was taken, and it is no success.

use serde_json::{Value, json};

use crate::actions_http::Signer;
use crate::actions_terminal::{ActionsTerminal, terminal_key};
use crate::desktop::Desktop;
use crate::support::{COMPANY, TestGateway};

#[tokio::test]
async fn a_part_is_told_as_failed_with_what_was_charged_over_the_socket_and_over_http() {
    let gateway = TestGateway::new().await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let mut desktop = Desktop::connect(&gateway, &signer.key, Some("till-1")).await;
    let plain = terminal_key(&gateway, "ACT1-000000001", "PLAIN").await;
    let plain = ActionsTerminal::connect(&gateway, &plain).await;
    let acknowledging = terminal_key(&gateway, "ACT1-000000002", "ACKNOWLEDGING").await;
    let acknowledging = ActionsTerminal::resume(&gateway, &acknowledging, &[]).await;
    for (name, mut terminal) in [("PLAIN", plain), ("ACKNOWLEDGING", acknowledging)] {
        let asked = json!({"transactionId": name, "amount": "12.50", "currency": "EUR"});
        let frame = json!({"action": "payment", "terminalId": name, "paymentRequest": asked});
        desktop.send(&frame.to_string()).await;
        let request = terminal.next("paymentRequest").await;
        if name == "ACKNOWLEDGING" {
            terminal.send(json!({"action": "paymentReceived", "transactionId": name})).await;
        }
        let part = json!({"transactionId": name, "status": "SUCCESS", "amount": "5.00"});
        let response =
            json!({"action": "paymentResponse", "desktopId": request["desktopId"], "paymentResponse": part});
        terminal.send(response).await;

        let told = desktop.next().await;
        assert_eq!(told["late"], Value::Null, "{told}");
        let response = &told["paymentResponse"];
        assert_eq!((&response["status"], &response["amount"]), (&json!("FAILED"), &json!("5.00")), "{told}");
        assert_eq!(response["errorCode"], "PARTIAL_APPROVAL", "{told}");
        let posted = signer.post(&format!("/v1/terminals/{name}/payments"), &asked).await;
        assert_eq!((posted.status, &posted.body["status"]), (200, &json!("FAILED")), "{posted:?}");
        assert_eq!(&posted.body["paymentResponse"], response);
        let shown = signer.get(&format!("/v1/transactions/{name}")).await;
        assert_eq!((&shown.body["status"], &shown.body["response"]), (&json!("FAILED"), response));
        assert!(shown.body["completedAt"].is_string(), "{shown:?}");
        // Nobody was told that it is not known: it is not given back behind the shop, which may take the rest.
        if name == "ACKNOWLEDGING" {
            terminal.next("paymentRecorded").await;
        }
        terminal.send(json!({"action": "ping"})).await;
        let frame = terminal.frame().await;
        assert_eq!(frame["action"], "pong", "{frame}");
    }
    gateway.stop().await;
}
