//! API keys: who is let in, and how soon no longer.

use std::time::{Duration, Instant};

use gateway::{Admin, Config, NewKey, Role};
use serde_json::json;

use crate::support::{COMPANY, MERCHANT, OTHER_COMPANY, OTHER_MERCHANT, SOON, TestGateway, client};

const UNAUTHORIZED: &str = r#"{"status":401,"errorCode":"000","message":"HTTP Status Response - Unauthorized","errorType":"security"}"#;

fn question(merchant: &str) -> String {
    json!({ "merchantAccount": merchant }).to_string()
}

#[tokio::test]
async fn a_call_without_a_good_key_is_unauthorized() {
    let gateway = TestGateway::new().await;
    for path in ["/sync", "/connectedTerminals"] {
        let heard = gateway.sale_with_key("tg_key_of_nobody").post(path, question(MERCHANT)).await;
        assert_eq!((heard.status, heard.content_type.as_str()), (401, "application/json"));
        assert_eq!(heard.text(), UNAUTHORIZED);
    }
    let bare = client().post(format!("{}/sync", gateway.url())).send().await.unwrap();
    assert_eq!((bare.status().as_u16(), bare.text().await.unwrap().as_str()), (401, UNAUTHORIZED));
}

#[tokio::test]
async fn the_management_surface_says_unauthorized_as_rfc_7807() {
    let gateway = TestGateway::new().await;
    let heard =
        gateway.sale_with_key("tg_key_of_nobody").post("/v3/terminals/V400m-1/boardingCode", "").await;
    assert_eq!((heard.status, heard.content_type.as_str()), (401, "application/problem+json"));
    assert_eq!(heard.json()["errorCode"], "00_401");
}

#[tokio::test]
async fn user_and_password_open_what_the_key_opens() {
    let gateway = TestGateway::new().await;
    let new = NewKey { company: COMPANY, merchants: &[], roles: &[Role::TerminalApi], description: None };
    let shown = gateway.admin().create_credential(new).await.unwrap();
    assert_eq!(shown.username, format!("{}@Company.{COMPANY}", shown.id));
    let ask = async |password: &str| {
        let request = client().post(format!("{}/connectedTerminals", gateway.url()));
        let request = request.basic_auth(&shown.username, Some(password)).body(question(MERCHANT));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(shown.password.reveal()).await, 200);
    assert_eq!(ask("tg_pass_of_nobody").await, 401);
    assert_eq!(ask(shown.api_key.reveal()).await, 401);
}

#[tokio::test]
async fn a_key_without_the_role_is_forbidden() {
    let gateway = TestGateway::new().await;
    let sale = gateway.sale_with(COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    for path in ["/sync", "/connectedTerminals"] {
        let heard = sale.post(path, question(MERCHANT)).await;
        assert_eq!(heard.status, 403);
        assert_eq!(
            heard.json(),
            json!({"status": 403, "errorCode": "010", "errorType": "security",
                "message": "Not allowed: the API credential has not the role \"Terminal API role\"."})
        );
    }
}

#[tokio::test]
async fn a_key_sees_the_merchant_accounts_of_its_scope_and_company_only() {
    let gateway = TestGateway::new().await;
    let scoped = gateway.sale_with(COMPANY, &[MERCHANT], &[Role::TerminalApi]).await;
    assert_eq!(scoped.post("/connectedTerminals", question(MERCHANT)).await.status, 200);
    let outside = scoped.post("/connectedTerminals", question(OTHER_MERCHANT)).await;
    let foreign = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalApi]).await;
    let theirs = foreign.post("/connectedTerminals", question(MERCHANT)).await;
    let nobodys = foreign.post("/connectedTerminals", question("NO_SUCH_MERCHANT")).await;
    for heard in [outside, theirs, nobodys] {
        assert_eq!((heard.status, heard.json()["errorCode"].as_str()), (403, Some("901")));
    }
}

#[tokio::test]
async fn a_key_that_another_process_made_works_at_once_and_revoked_stops_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().join("data"),
        ..Config::default()
    };
    let running = gateway::start(config.clone()).await.unwrap();
    // As the command line does: the same database, opened once more.
    let other = Admin::open(&config).await.unwrap();
    other.create_company(COMPANY).await.unwrap();
    other.switch_on(COMPANY).await.unwrap();
    other.create_merchant_account(COMPANY, MERCHANT).await.unwrap();
    let new = NewKey { company: COMPANY, merchants: &[], roles: &[Role::TerminalApi], description: None };
    let shown = other.create_credential(new).await.unwrap();
    let url = format!("http://{}/connectedTerminals", running.http_address());
    let client = client();
    let ask = async || {
        let request = client.post(&url).header("x-api-key", shown.api_key.reveal()).body(question(MERCHANT));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);

    other.revoke_credential(&shown.id).await.unwrap();
    let revoked = Instant::now();
    let mut last_good = Duration::ZERO;
    while ask().await == 200 {
        last_good = revoked.elapsed();
        assert!(last_good < SOON, "the key is still good");
    }
    // An answer may be written a moment after the key was looked at.
    assert!(last_good < Duration::from_millis(1500), "good for {last_good:?}");
    running.stop().await;
}
