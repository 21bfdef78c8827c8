//! `POST /connectedTerminals`.

use gateway::Role;
use serde_json::json;

use crate::support::{COMPANY, MERCHANT, OTHER_COMPANY, OTHER_MERCHANT, TestGateway};

const POI: &str = "V400m-324688179";

#[tokio::test]
async fn it_lists_who_is_connected_and_asks_one_terminal_itself() {
    let gateway =
        TestGateway::new().await.with_terminal(POI).await.with_terminal("AMS1-000168223606144").await;
    gateway.add("P400Plus-275008565").await;
    let sale = gateway.sale().await;
    let all = json!(["AMS1-000168223606144", POI]);
    assert_eq!(sale.connected(json!({"merchantAccount": MERCHANT})).await, all);
    assert_eq!(sale.connected(json!({"merchantAccount": MERCHANT, "store": "STORE_A"})).await, all);
    assert_eq!(sale.connected(json!({"merchantAccount": MERCHANT, "store": "STORE_B"})).await, json!([]));
    assert_eq!(sale.connected(json!({"merchantAccount": OTHER_MERCHANT})).await, json!([]));
    let one = |id: &str| json!({"merchantAccount": MERCHANT, "uniqueTerminalId": id});
    assert_eq!(sale.connected(one(POI)).await, json!([POI]));
    assert_eq!(sale.connected(one("P400Plus-275008565")).await, json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_the_documented_codes() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    let ask = |question: String| sale.post("/connectedTerminals", question);
    let missing = ask("{}".into()).await;
    assert_eq!(missing.status, 500);
    assert_eq!(
        missing.json(),
        json!({"status": 500, "errorCode": "702", "message": "Required field 'merchantAccount' is null", "errorType": "validation"})
    );
    let broken = ask("{".into()).await;
    assert_eq!((broken.status, broken.json()["errorCode"].as_str()), (400, Some("702")));
    for (question, named) in [
        (json!([MERCHANT]), "an object"),
        (json!({"merchantAccount": [MERCHANT]}), "'merchantAccount'"),
        (json!({"merchantAccount": MERCHANT, "store": 7}), "'store'"),
        (json!({"merchantAccount": MERCHANT, "uniqueTerminalId": {}}), "'uniqueTerminalId'"),
    ] {
        let heard = ask(question.to_string()).await;
        assert_eq!((heard.status, heard.json()["errorCode"].as_str()), (400, Some("702")));
        assert!(heard.json()["message"].as_str().unwrap().contains(named), "{}", heard.text());
    }
    let unset = json!({"merchantAccount": MERCHANT, "store": "", "uniqueTerminalId": null});
    assert_eq!(sale.connected(unset).await, json!([POI]));
    for merchant in ["NO_SUCH", "FOREIGN_MERCHANT"] {
        let heard = ask(json!({"merchantAccount": merchant}).to_string()).await;
        assert_eq!(heard.status, 403);
        assert_eq!(
            heard.json(),
            json!({"status": 403, "errorCode": "901", "message": "Invalid Merchant Account", "errorType": "security"})
        );
    }
    let store = ask(json!({"merchantAccount": MERCHANT, "store": "NO_SUCH"}).to_string()).await;
    let terminal =
        ask(json!({"merchantAccount": MERCHANT, "uniqueTerminalId": "NoSuch-1"}).to_string()).await;
    assert_eq!((store.status, terminal.status), (422, 422));
    assert_eq!(store.body, terminal.body);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_of_another_scope_or_company_sees_nothing() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let elsewhere = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalApi]).await;
    let foreigner = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalApi]).await;
    for sale in [elsewhere, foreigner] {
        let heard = sale.post("/connectedTerminals", json!({"merchantAccount": MERCHANT}).to_string()).await;
        assert_eq!((heard.status, heard.json()["errorCode"].as_str()), (403, Some("901")));
    }
    gateway.stop().await;
}
