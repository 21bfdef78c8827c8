//! Terminals are added and retired, and their tokens listed and revoked, over the Management API.

use gateway::Role;
use serde_json::{Value, json};

use crate::support::{
    COMPANY, MERCHANT, NOT_DELIVERED, OTHER_COMPANY, OTHER_MERCHANT, POI, TestGateway, payment,
};

#[tokio::test]
async fn a_terminal_is_added_where_it_may_be_and_retired_for_good() {
    let gateway = TestGateway::new().await;
    let operator = gateway.sale_with(COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    let add = async |body: Value| operator.call("POST", "/v3/terminals", body).await;
    let in_store = json!({
        "id": "V400m-300000001", "merchantId": MERCHANT, "storeReference": "STORE_A", "countryCode": "NL"
    });
    let added = add(in_store.clone()).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let expected = json!({
        "id": "V400m-300000001", "model": "V400m", "serialNumber": "300000001", "countryCode": "NL",
        "assignment": {
            "companyId": COMPANY, "merchantId": MERCHANT, "storeReference": "STORE_A", "status": "deployed"
        }
    });
    assert_eq!(added.json(), expected);
    let inventory = add(json!({"id": "V400m-300000002"})).await.json();
    assert_eq!(inventory["assignment"], json!({"companyId": COMPANY, "status": "inventory"}));
    for (body, status) in [
        (in_store.clone(), 422),
        (json!({"id": "V400m-3", "merchantId": MERCHANT, "inventory": false}), 422),
        (json!({"id": "V400m-3", "merchantId": OTHER_MERCHANT}), 422),
        (json!({"id": "V400m-3", "merchantId": "FOREIGN_MERCHANT", "inventory": true}), 422),
        (json!({"id": "V400m-3", "storeReference": "STORE_A"}), 422),
        (json!({"id": "V400m-3", "countryCode": "nl"}), 422),
        (json!({"id": ""}), 422),
        (json!({"id": "V400m-3", "model": "V400m"}), 400),
        (json!([]), 400),
    ] {
        let heard = add(body.clone()).await;
        assert_eq!(heard.status, status, "{body}: {}", heard.text());
    }
    let retire = "/v3/terminals/V400m-300000001/retire";
    let foreign = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    let narrow = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalActionsWrite]).await;
    assert_eq!(foreign.call("POST", retire, json!({})).await.status, 404);
    assert_eq!(narrow.call("POST", retire, json!({})).await.status, 403);
    assert_eq!(narrow.call("POST", "/v3/terminals", json!({"id": "V400m-4"})).await.status, 403);
    assert_eq!(operator.call("POST", retire, json!({})).await.status, 204);
    assert_eq!(operator.call("POST", retire, json!({})).await.status, 404);
    let again = add(in_store).await;
    assert_eq!(again.status, 422);
    assert!(again.text().contains("retired"), "{}", again.text());
    gateway.stop().await;
}

#[tokio::test]
async fn a_terminal_whose_token_is_revoked_has_to_be_boarded_again() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let operator = gateway.sale_with(COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    let path = format!("/v3/terminals/{POI}/tokens");
    let tokens = operator.get(&path).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let tokens = tokens.json()["data"].clone();
    assert_eq!((tokens.as_array().unwrap().len(), &tokens[0]["status"]), (1, &json!("current")));
    let token = format!("{path}/{}", tokens[0]["id"].as_str().unwrap());
    let foreign = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    assert_eq!(foreign.get(&path).await.status, 404);
    assert_eq!(foreign.call("DELETE", &token, json!({})).await.status, 404);
    assert_eq!(operator.call("DELETE", &format!("{path}/tk_0"), json!({})).await.status, 404);
    assert_eq!(operator.call("DELETE", &token, json!({})).await.status, 204);
    gateway.until_stopped(0).await;
    let sale = gateway.sale().await;
    assert_eq!(sale.sync(payment(POI, "P1", "1.00")).await.reject(), NOT_DELIVERED);
    assert_eq!(operator.get(&path).await.json()["data"][0]["status"], "ended");
    let rotate = operator.call("POST", &format!("{path}/rotate"), json!({})).await;
    assert_eq!(rotate.status, 422, "{}", rotate.text());
    gateway.stop().await;
}
