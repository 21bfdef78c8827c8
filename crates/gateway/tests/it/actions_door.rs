//! Who is let in at `GET /v1`, and what the others are told before any 101.

use std::collections::HashMap;
use std::time::Duration;

use gateway::{ActionsSettings, Config, Limits, NewKey, Role};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::actions_terminal::{ACTIONS_POI, terminal_key};
use crate::desktop::{desktop_credential, desktop_key};
use crate::support::{COMPANY, SOON, TestGateway};

/// The answer to an upgrade.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// By their names in small letters.
    headers: HashMap<String, String>,
    /// The member `detail` of the body.
    detail: String,
}

/// Asks for an upgrade with these headers; `query` begins with `?` if it is not empty.
async fn upgrade(gateway: &TestGateway, query: &str, headers: &[(&str, &str)]) -> Answer {
    let usual = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    get(gateway, query, &[&usual, headers].concat()).await
}

async fn get(gateway: &TestGateway, query: &str, headers: &[(&str, &str)]) -> Answer {
    let url = gateway.url();
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let mut head = format!("GET /v1{query} HTTP/1.1\r\nHost: {host}\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let (head, length) = loop {
        let read = timeout(SOON, stream.read_buf(&mut heard)).await.expect("an answer").unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (text.clone(), length.unwrap_or(0));
            }
        }
    };
    let (head, body) = head.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body: Value = serde_json::from_str(&body[..length]).unwrap_or_default();
    Answer { status, headers, detail: body["detail"].as_str().unwrap_or_default().to_owned() }
}

async fn gateway_with(actions: ActionsSettings) -> TestGateway {
    TestGateway::configured(Config { actions, ..Config::default() }).await
}

#[tokio::test]
async fn a_key_in_the_header_opens_and_none_or_a_wrong_one_is_401() {
    let gateway = TestGateway::new().await;
    for key in
        [desktop_key(&gateway, &["STORE_A"]).await, terminal_key(&gateway, ACTIONS_POI, "TERM-001").await]
    {
        let answer = upgrade(&gateway, "", &[("x-api-key", &key)]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert!(!answer.headers.contains_key("sec-websocket-protocol"), "{answer:?}");
    }
    for (headers, detail) in [
        (&[][..], "No API key. "),
        (&[("x-api-key", "")], "No API key. "),
        (&[("x-api-key", "tg_key_wrong")], "This API key is not valid"),
        (&[("Sec-WebSocket-Protocol", "x-api-key.tg_key_wrong")], "This API key is not valid"),
        (&[("Sec-WebSocket-Protocol", "tillgate.actions.v1")], "No API key. "),
        // A key is what it is; a user and password open other doors.
        (&[("Authorization", "Basic dXNlcjpwYXNz")], "No API key. "),
    ] {
        let answer = upgrade(&gateway, "", headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert!(answer.detail.starts_with(detail), "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_revoked_key_and_a_key_for_something_else_open_nothing() {
    let gateway = TestGateway::new().await;
    let new = NewKey { company: COMPANY, merchants: &[], roles: &[Role::TerminalApi], description: None };
    let till = gateway.admin().create_credential(new).await.unwrap();
    let answer = upgrade(&gateway, "", &[("x-api-key", till.api_key.reveal())]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.detail.contains("for no device of the Actions API"), "{answer:?}");

    let desktop = desktop_credential(&gateway, COMPANY, &["STORE_A"]).await;
    gateway.admin().revoke_credential(&desktop.id).await.unwrap();
    let answer = upgrade(&gateway, "", &[("x-api-key", desktop.api_key.reveal())]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn a_browser_shows_its_key_as_a_subprotocol_and_gets_it_back_only_if_it_must() {
    let origins = vec!["https://till.example.com".parse().unwrap()];
    let gateway = gateway_with(ActionsSettings { origins, ..ActionsSettings::default() }).await;
    let key = format!("x-api-key.{}", desktop_key(&gateway, &["STORE_A"]).await);
    for (offered, answered) in [
        (key.clone(), key.as_str()),
        (format!("{key}, tillgate.actions.v1"), "tillgate.actions.v1"),
        (format!("tillgate.actions.v1,{key}"), "tillgate.actions.v1"),
        (format!("other, {key}"), key.as_str()),
    ] {
        let page = [("Sec-WebSocket-Protocol", offered.as_str()), ("Origin", "https://Till.example.com:443")];
        let answer = upgrade(&gateway, "", &page).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.headers["sec-websocket-protocol"], answered);
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_show_a_key_and_no_page_can_set_the_header() {
    let origins = vec!["https://till.example.com".parse().unwrap()];
    let gateway =
        gateway_with(ActionsSettings { origins, allow_key_in_query: true, ..ActionsSettings::default() })
            .await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let (subprotocol, query) = (format!("x-api-key.{key}"), format!("?x-api-key={key}"));
    let offered = ("Sec-WebSocket-Protocol", subprotocol.as_str());
    for origin in
        ["https://evil.example", "http://till.example.com", "null", "https://till.example.com.evil.example"]
    {
        for answer in [
            upgrade(&gateway, "", &[offered, ("Origin", origin)]).await,
            upgrade(&gateway, &query, &[("Origin", origin)]).await,
        ] {
            assert_eq!(answer.status, 403, "{origin}: {answer:?}");
            assert!(answer.detail.contains("origins in [actions]"), "{answer:?}");
        }
        assert_eq!(upgrade(&gateway, "", &[("x-api-key", &key), ("Origin", origin)]).await.status, 101);
    }
    // What sends no Origin is no browser.
    assert_eq!(upgrade(&gateway, "", &[offered]).await.status, 101);
}

#[tokio::test]
async fn a_key_in_the_address_is_taken_only_where_that_is_allowed() {
    let gateway = TestGateway::new().await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let answer = upgrade(&gateway, &format!("?x-api-key={key}"), &[]).await;
    assert_eq!(answer.status, 401);
    assert!(answer.detail.contains("allow_key_in_query") && !answer.detail.contains(&key), "{answer:?}");

    let gateway =
        gateway_with(ActionsSettings { allow_key_in_query: true, ..ActionsSettings::default() }).await;
    let key = desktop_key(&gateway, &["STORE_A", "STORE_B"]).await;
    assert_eq!(upgrade(&gateway, &format!("?x-api-key={key}"), &[]).await.status, 101);
    for (rest, status) in
        [("x-group-id=STORE_B", 101), ("x-group-id=STORE_C", 403), ("x-device-id=till%201", 400)]
    {
        let query = format!("?x-api-key={key}&{rest}");
        assert_eq!(upgrade(&gateway, &query, &[]).await.status, status, "{rest}");
    }
}

#[tokio::test]
async fn a_group_must_be_one_of_the_keys_and_a_device_the_terminals_own() {
    let gateway = TestGateway::new().await;
    let desktop = desktop_key(&gateway, &["STORE_A", "TEST_MERCHANT_2"]).await;
    let terminal = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    for (key, name, value, status, detail) in [
        (&desktop, "x-group-id", "STORE_A", 101, ""),
        (&desktop, "x-group-id", "TEST_MERCHANT_2", 101, ""),
        (&desktop, "x-group-id", "STORE_B", 403, "Its groups: STORE_A, TEST_MERCHANT_2."),
        (&desktop, "x-group-id", "store_a", 403, "Its groups"),
        (&desktop, "x-device-id", "till-1", 101, ""),
        (&desktop, "x-device-id", "till 1", 400, "visible ASCII characters"),
        (&terminal, "x-group-id", "STORE_A", 101, ""),
        (&terminal, "x-group-id", "STORE_B", 403, "Its groups: STORE_A."),
        (&terminal, "x-device-id", "TERM-001", 101, ""),
        (&terminal, "x-device-id", "TERM-002", 403, "for the terminal TERM-001"),
    ] {
        let answer = upgrade(&gateway, "", &[("x-api-key", key), (name, value)]).await;
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
        assert!(answer.detail.contains(detail), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_to_become_one() {
    let gateway = TestGateway::new().await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    let answer = get(&gateway, "", &[("x-api-key", &key)]).await;
    assert_eq!((answer.status, answer.headers["upgrade"].as_str()), (426, "websocket"));

    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("x-api-key", &key)];
    let nonce = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let old = get(&gateway, "", &[&upgrade[..], &[nonce, ("Sec-WebSocket-Version", "8")]].concat()).await;
    assert_eq!((old.status, old.headers["sec-websocket-version"].as_str()), (426, "13"));
    let keyless = get(&gateway, "", &[&upgrade[..], &[("Sec-WebSocket-Version", "13")]].concat()).await;
    assert_eq!(keyless.status, 400, "{keyless:?}");
}

#[tokio::test]
async fn a_key_that_opens_too_often_is_told_when_it_may_again() {
    let limits = Limits { requests_per_second: 1, requests_burst: 1, ..Limits::default() };
    let gateway = TestGateway::configured(Config { limits, ..Config::default() }).await;
    let key = desktop_key(&gateway, &["STORE_A"]).await;
    assert_eq!(upgrade(&gateway, "", &[("x-api-key", &key)]).await.status, 101);
    // A machine that is slow enough may be let in more than once.
    let too_often = async {
        loop {
            let answer = upgrade(&gateway, "", &[("x-api-key", &key)]).await;
            if answer.status != 101 {
                return answer;
            }
        }
    };
    let answer = timeout(SOON, too_often).await.expect("it opens too often");
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "1"), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(1)).await; // As it was told.
    assert_eq!(upgrade(&gateway, "", &[("x-api-key", &key)]).await.status, 101);
}
