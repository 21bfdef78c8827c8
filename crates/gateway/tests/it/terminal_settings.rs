//! Settings of each level over the Management API, and what they switch.

use gateway::Role;
use serde_json::{Value, json};

use crate::support::{
    COMPANY, DIALECTS, MERCHANT, OTHER_COMPANY, OTHER_MERCHANT, POI, Sale, TestGateway, failure, payment,
    request, status_of,
};

const OF_COMPANY: &str = "/v3/companies/TEST_COMPANY/terminalSettings";
const OF_MERCHANT: &str = "/v3/merchants/TEST_MERCHANT/terminalSettings";
const OF_STORE: &str = "/v3/merchants/TEST_MERCHANT/stores/STORE_A/terminalSettings";
const OF_TERMINAL: &str = "/v3/terminals/V400m-324688179/terminalSettings";
const LEVELS: [&str; 4] = [OF_COMPANY, OF_MERCHANT, OF_STORE, OF_TERMINAL];

async fn operator(gateway: &TestGateway) -> Sale<'_> {
    gateway.sale_with(COMPANY, &[], &[Role::TerminalSettings]).await
}

async fn holds(operator: &Sale<'_>, path: &str) -> Value {
    let heard = operator.get(path).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    heard.json()
}

async fn set(operator: &Sale<'_>, path: &str, change: Value) -> Value {
    let heard = operator.call("PATCH", path, change).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    heard.json()
}

#[tokio::test]
async fn the_nearest_setting_wins_and_null_and_an_empty_group_inherit_again() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let operator = operator(&gateway).await;
    for path in LEVELS {
        let on = json!({"webSocketsEnabled": true, "terminalApiEnabled": true});
        assert_eq!(holds(&operator, path).await["connectivity"], on, "{path}");
    }
    // Alternately off and on, from the company down.
    for (index, path) in LEVELS.into_iter().enumerate() {
        let is_on = index % 2 == 1;
        let told = set(&operator, path, json!({"connectivity": {"terminalApiEnabled": is_on}})).await;
        assert_eq!(told["connectivity"], json!({"webSocketsEnabled": true, "terminalApiEnabled": is_on}));
    }
    set(&operator, OF_STORE, json!({"displayLabel": "Till"})).await;
    let terminal = holds(&operator, OF_TERMINAL).await;
    let expected = json!({
        "connectivity": {"webSocketsEnabled": true, "terminalApiEnabled": true}, "displayLabel": "Till"
    });
    assert_eq!(terminal, expected);
    // The terminal's own goes, and the store's off holds; then the store's, and the merchant account's on does.
    let told = set(&operator, OF_TERMINAL, json!({"connectivity": {"terminalApiEnabled": null}})).await;
    assert_eq!(told["connectivity"]["terminalApiEnabled"], false);
    set(&operator, OF_STORE, json!({"connectivity": {}})).await;
    assert_eq!(holds(&operator, OF_TERMINAL).await["connectivity"]["terminalApiEnabled"], true);
    let told = set(&operator, OF_COMPANY, json!({"terminalManagement": {"v1Booleans": "booleans"}})).await;
    assert_eq!(told["terminalManagement"], json!({"v1Booleans": "booleans"}));
    assert_eq!(holds(&operator, OF_STORE).await["terminalManagement"]["v1Booleans"], "booleans");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_name_and_changes_nothing() {
    let gateway = TestGateway::new().await;
    let operator = operator(&gateway).await;
    let change = json!({"connectivity": {"webSocketsEnabled": false}, "nexo": {"nexoEventUrls": {}}});
    let heard = operator.call("PATCH", OF_COMPANY, change).await;
    assert_eq!((heard.status, heard.content_type.as_str()), (422, "application/problem+json"));
    let told = heard.json();
    assert_eq!((&told["status"], &told["errorCode"]), (&json!(422), &json!("00_422")));
    assert_eq!(told["invalidFields"][0]["name"], "nexo", "{told}");
    assert_eq!(holds(&operator, OF_COMPANY).await["connectivity"]["webSocketsEnabled"], true);
    for body in [json!([]), json!("a"), json!(1)] {
        assert_eq!(operator.call("PATCH", OF_COMPANY, body).await.status, 400);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn settings_take_the_role_and_the_scope_and_another_companys_are_not_there() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let change = json!({"connectivity": {"webSocketsEnabled": false}});
    let without = gateway.sale_with(COMPANY, &[], &[Role::TerminalManagementApi]).await;
    let narrow = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalSettings]).await;
    let foreign = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalSettings]).await;
    let nobody = gateway.sale_with_key("nonsense");
    let own = "/v3/merchants/TEST_MERCHANT_2/terminalSettings";
    assert_eq!(narrow.call("PATCH", own, change.clone()).await.status, 200);
    let nothing = foreign.get("/v3/terminals/NoSuch-1/terminalSettings").await;
    for path in LEVELS {
        for method in ["GET", "PATCH"] {
            let heard = without.call(method, path, change.clone()).await;
            assert_eq!(heard.status, 403, "{path}");
            assert!(heard.text().contains("Ask whoever manages"), "{}", heard.text());
            assert_eq!(narrow.call(method, path, change.clone()).await.status, 403, "{path}");
            assert_eq!(nobody.call(method, path, change.clone()).await.status, 401, "{path}");
            let heard = foreign.call(method, path, change.clone()).await;
            assert_eq!((heard.status, &heard.body), (404, &nothing.body), "{path}");
        }
    }
    let operator = operator(&gateway).await;
    for path in LEVELS {
        assert_eq!(holds(&operator, path).await["connectivity"]["webSocketsEnabled"], true, "{path}");
    }
    let no_store = format!("/v3/merchants/{MERCHANT}/stores/NO/terminalSettings");
    for path in [no_store.as_str(), "/v3/stores/ST00/terminalSettings", "/v3/companies/%20/terminalSettings"]
    {
        assert_eq!(operator.get(path).await.body, nothing.body, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn with_the_terminal_api_off_only_what_ran_before_is_answered_in_both_dialects() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let operator = operator(&gateway).await;
    for (n, dialect) in DIALECTS.into_iter().enumerate() {
        let sale = gateway.speaker(dialect).await;
        let (before, barred) = (format!("P{n}"), format!("B{n}"));
        let paid = sale.sync(payment(POI, &before, "10.99")).await;
        assert_eq!(paid.outcome().0, "Success");
        set(&operator, OF_STORE, json!({"connectivity": {"terminalApiEnabled": false}})).await;
        let heard = sale.sync(payment(POI, &barred, "10.99")).await;
        assert_eq!(heard.outcome(), failure("NotAllowed"), "{}", heard.text());
        assert!(heard.text().contains("Terminal+API+is+switched+off"), "{}", heard.text());
        let heard = sale.sync(request("Diagnosis", POI, &format!("D{n}"), json!({}))).await;
        assert_eq!(heard.outcome(), failure("NotAllowed"), "{}", heard.text());
        let again = sale.sync(payment(POI, &before, "10.99")).await;
        assert!(again.repeated && again.body == paid.body, "{}", again.text());
        let status = sale.sync(status_of(POI, &format!("S{n}"), &before)).await;
        assert_eq!(status.outcome().0, "Success", "{}", status.text());
        set(&operator, OF_STORE, json!({"connectivity": {"terminalApiEnabled": null}})).await;
        // Whoever was told that it does not run goes on under a new ServiceID.
        assert_eq!(sale.sync(payment(POI, &barred, "10.99")).await.outcome(), failure("NotAllowed"));
        assert_eq!(sale.sync(payment(POI, &format!("C{n}"), "10.99")).await.outcome().0, "Success");
    }
    gateway.stop().await;
}
