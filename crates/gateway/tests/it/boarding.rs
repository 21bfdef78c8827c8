//! Boarding: from a code that a person made to a token that opens links.

use gateway::{Location, Role};
use nexo::PoiId;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{COMPANY, Heard, MERCHANT, OTHER_COMPANY, OTHER_MERCHANT, TestGateway, client};

const POI: &str = "V400m-324688179";

/// A terminal that shows this code.
async fn board(gateway: &TestGateway, poi: &str, code: &str, journal: &str) -> Heard {
    let body = json!({"poiId": poi, "boardingCode": code, "journalId": journal});
    gateway.sale_with_key("").post("/terminal/v1/board", body.to_string()).await
}

async fn code_for(gateway: &TestGateway, key: &str, poi: &str) -> Heard {
    gateway.sale_with_key(key).post(&format!("/v3/terminals/{poi}/boardingCode"), "").await
}

async fn management_key(gateway: &TestGateway, company: &str, merchants: &[&str], roles: &[Role]) -> String {
    let merchants: Vec<String> = merchants.iter().map(|&m| m.to_owned()).collect();
    let new = gateway::NewKey { company, merchants: &merchants, roles, description: None };
    gateway.admin().create_credential(new).await.unwrap().api_key.reveal().to_owned()
}

/// What `/terminal/v1/maintenance` answers to this token.
async fn maintain(gateway: &TestGateway, token: &str) -> u16 {
    let request = client().post(format!("{}/terminal/v1/maintenance", gateway.url()));
    let request = request.bearer_auth(token).body(json!({"journalId": "j_1"}).to_string());
    request.send().await.unwrap().status().as_u16()
}

fn code(heard: &Heard) -> String {
    heard.json()["boardingCode"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_terminal_in_store_boards_with_a_code_from_the_management_api() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let key = management_key(&gateway, COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    let made = code_for(&gateway, &key, POI).await;
    assert_eq!((made.status, made.content_type.as_str()), (201, "application/json"));
    assert!(made.json()["expiresAt"].as_str().unwrap().ends_with('Z'));

    // As a person types it.
    let typed = code(&made).to_lowercase().replace('-', " ");
    let heard = board(&gateway, POI, &typed, "j_1").await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    let answer = heard.json();
    assert_eq!((&answer["merchantAccount"], &answer["store"]), (&json!(MERCHANT), &json!("STORE_A")));
    assert_eq!(maintain(&gateway, answer["token"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn a_lost_reply_may_be_asked_for_again_and_ends_the_token_before() {
    let gateway = TestGateway::new().await;
    let code = gateway.add(POI).await;
    let first = board(&gateway, POI, &code, "j_1").await.json();
    let again = board(&gateway, POI, &code, "j_1").await;
    assert_eq!(again.status, 200);
    let (first, again) = (first["token"].as_str().unwrap().to_owned(), again.json());
    assert_ne!(first, again["token"].as_str().unwrap());
    assert_eq!(maintain(&gateway, again["token"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn five_wrong_codes_lock_a_terminal_and_an_address() {
    let gateway = TestGateway::new().await;
    let code = gateway.add(POI).await;
    for _ in 0..5 {
        let heard = board(&gateway, POI, "00000-00000", "j_1").await;
        assert_eq!((heard.status, heard.content_type.as_str()), (403, "application/problem+json"));
        assert_eq!(heard.json()["code"], "wrong-code");
    }
    let request = client().post(format!("{}/terminal/v1/board", gateway.url()));
    let body = json!({"poiId": POI, "boardingCode": code, "journalId": "j_1"}).to_string();
    let locked = request.body(body).send().await.unwrap();
    assert_eq!(locked.status().as_u16(), 429);
    let wait: u64 = locked.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    let problem: Value = locked.json().await.unwrap();
    assert_eq!(problem["code"], "locked");

    // The same address, another terminal.
    let other = gateway.add("V400m-100200300").await;
    assert_eq!(board(&gateway, "V400m-100200300", &other, "j_2").await.status, 429);
}

#[tokio::test]
async fn a_wrong_code_and_an_unknown_terminal_are_answered_alike() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let wrong = board(&gateway, POI, "00000-00000", "j_1").await;
    let unknown = board(&gateway, "V400m-000000000", "00000-00000", "j_1").await;
    assert_eq!((wrong.status, wrong.text()), (unknown.status, unknown.text()));
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_by_name() {
    let gateway = TestGateway::new().await;
    let post = async |body: Vec<u8>| gateway.sale_with_key("").post("/terminal/v1/board", body).await;
    let missing = post(json!({"poiId": POI}).to_string().into_bytes()).await;
    assert_eq!(missing.status, 400);
    assert!(missing.json()["detail"].as_str().unwrap().contains("boardingCode"), "{}", missing.text());
    let large = post(vec![b' '; 100_000]).await;
    assert_eq!((large.status, large.json()["errorCode"].as_str()), (413, Some("00_413")));
}

#[tokio::test]
async fn a_terminal_in_inventory_gets_no_code() {
    let gateway = TestGateway::new().await;
    let poi = PoiId::parse(POI).unwrap();
    gateway.admin().add_terminal(COMPANY, &poi, Location::MerchantInventory(MERCHANT)).await.unwrap();
    let key = management_key(&gateway, COMPANY, &[], &[Role::TerminalActionsWrite]).await;
    let heard = code_for(&gateway, &key, POI).await;
    assert_eq!((heard.status, heard.content_type.as_str()), (422, "application/problem+json"));
    assert!(heard.json()["detail"].as_str().unwrap().contains("Assign it first"), "{}", heard.text());
    assert!(gateway.admin().make_boarding_code(&poi).await.is_err());
}

#[tokio::test]
async fn codes_are_made_by_those_who_may() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let write = [Role::TerminalActionsWrite];
    let without_role =
        management_key(&gateway, COMPANY, &[], &[Role::TerminalActionsRead, Role::TerminalApi]).await;
    assert_eq!(code_for(&gateway, &without_role, POI).await.status, 403);
    let out_of_scope = management_key(&gateway, COMPANY, &[OTHER_MERCHANT], &write).await;
    assert_eq!(code_for(&gateway, &out_of_scope, POI).await.status, 403);
    let in_scope = management_key(&gateway, COMPANY, &[MERCHANT], &write).await;
    assert_eq!(code_for(&gateway, &in_scope, POI).await.status, 201);

    // Of another company: as if it did not exist.
    let foreign = management_key(&gateway, OTHER_COMPANY, &[], &write).await;
    let theirs = code_for(&gateway, &foreign, POI).await;
    let nobodys = code_for(&gateway, &foreign, "V400m-000000000").await;
    assert_eq!((theirs.status, theirs.text()), (404, nobodys.text()));
    assert_eq!(nobodys.status, 404);
}

#[tokio::test]
async fn a_terminal_that_is_boarded_again_loses_the_link_of_its_former_token() {
    let gateway = TestGateway::new().await.with_terminal("V400m-1").await;
    let code = gateway.code("V400m-1").await;
    let heard = board(&gateway, "V400m-1", &code, "j_another").await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    gateway.until_stopped(0).await;
    assert_eq!(gateway.sale().await.connected(json!({"merchantAccount": MERCHANT})).await, json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_boarding_whose_terminal_hangs_up_ends_the_former_link_all_the_same() {
    let gateway = TestGateway::new().await.with_terminal("V400m-1").await;
    let code = gateway.code("V400m-1").await;
    let body = json!({"poiId": "V400m-1", "boardingCode": code, "journalId": "j_another"}).to_string();
    let head = format!(
        "POST /terminal/v1/board HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(gateway.url().trim_start_matches("http://")).await.unwrap();
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    drop(socket);
    gateway.until_stopped(0).await;
    gateway.stop().await;
}
