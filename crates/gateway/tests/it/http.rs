//! HTTP itself: what any client may send, and what it is told when there is nothing.

use std::time::Duration;

use gateway::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::published_schemas::assert_fits;
use crate::support::{COMPANY, MERCHANT, SOON, TestGateway};

/// Sends bytes as they are, and reads until the gateway closes.
async fn raw(gateway: &TestGateway, request: &str) -> String {
    let mut stream = connect(gateway).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

async fn connect(gateway: &TestGateway) -> TcpStream {
    TcpStream::connect(gateway.url().strip_prefix("http://").unwrap()).await.unwrap()
}

async fn key(gateway: &TestGateway) -> String {
    let roles = [gateway::Role::TerminalApi];
    let new = gateway::NewKey { company: COMPANY, merchants: &[], roles: &roles, description: None };
    gateway.admin().create_credential(new).await.unwrap().api_key.reveal().to_owned()
}

#[tokio::test]
async fn a_chunked_body_and_a_header_in_capitals_are_understood() {
    let gateway = TestGateway::new().await;
    let key = key(&gateway).await;
    let body = json!({ "merchantAccount": MERCHANT }).to_string();
    let (first, second) = body.split_at(7);
    let answer = raw(
        &gateway,
        &format!(
            "POST /connectedTerminals HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        ),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"uniqueTerminalIds":[]}"#), "{answer}");
}

#[tokio::test]
async fn headers_that_clients_send_beside_the_point_are_ignored() {
    let gateway = TestGateway::new().await;
    let key = key(&gateway).await;
    let body = json!({ "merchantAccount": MERCHANT }).to_string();
    for header in [
        "Upgrade: TLS/1.2\r\nConnection: Upgrade, close",
        "UserAgent: till 1.0\r\nContentType: text/plain\r\nConnection: close",
        "Content-Type: text/plain\r\nIdempotency-Key: i-1\r\nConnection: close",
        "Accept: text/html\r\nAccept-Charset: utf-8\r\nCache-Control: no-cache\r\nConnection: close",
    ] {
        let answer = raw(
            &gateway,
            &format!(
                "POST /connectedTerminals HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\n{header}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{header}: {answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let gateway = TestGateway::new().await;
    let key = key(&gateway).await;
    let body = json!({ "merchantAccount": MERCHANT }).to_string();
    let mut stream = connect(&gateway).await;
    let head = format!(
        "POST /connectedTerminals HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; go_on.len()];
    tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), go_on);
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_would_send_too_much_is_told_so_before_it_does() {
    let gateway = TestGateway::new().await;
    let head = "POST /terminal/v1/board HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\
                Connection: close\r\n\r\n";
    let answer = raw(&gateway, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document() {
    let gateway = TestGateway::new().await;
    let get = async |path: &str| reqwest::get(format!("{}{path}", gateway.url())).await.unwrap();
    let nothing = get("/nothing").await;
    assert_eq!(
        (nothing.status().as_u16(), &nothing.headers()["content-type"]),
        (404, &"application/problem+json".parse().unwrap())
    );
    for path in ["/sync", "/async", "/connectedTerminals", "/terminal/v1/board"] {
        let other = get(path).await;
        assert_eq!(
            (other.status().as_u16(), other.headers()["allow"].to_str().unwrap()),
            (405, "POST"),
            "{path}"
        );
        assert_eq!(other.json::<Value>().await.unwrap()["status"], 405);
    }
}

#[tokio::test]
async fn a_call_under_another_name_is_misdirected_on_every_surface_but_not_about_health() {
    let config = Config { hosts: vec!["pay.example.com".parse().unwrap()], ..Config::default() };
    let gateway = TestGateway::configured(config).await;
    let ask = async |method: &str, path: &str, host: &str| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        raw(&gateway, &head).await
    };
    for (method, path) in [
        ("POST", "/sync"),
        ("GET", "/v1/merchants/M/connectedDevices"),
        ("GET", "/terminal/v1/link"),
        ("GET", "/no"),
    ] {
        let answer = ask(method, path, "evil.example.com").await;
        assert!(answer.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{path}: {answer}");
        assert!(answer.contains("\"status\":421"), "{answer}");
        for host in ["pay.example.com", "PAY.example.com:8443", "localhost", "127.0.0.1:1", "[::1]"] {
            let answer = ask(method, path, host).await;
            assert!(!answer.starts_with("HTTP/1.1 421"), "{path} {host}: {answer}");
        }
    }
    let classic = ask("POST", "/sync", "evil.example.com").await;
    assert!(classic.contains("\"errorType\":\"validation\""), "{classic}");
    let path = "/v1/merchants/M/devices/V400m-1/status";
    let device = ask("GET", path, "evil.example.com").await;
    assert!(device.contains("content-type: application/json\r\n"), "{device}");
    let error: Value = serde_json::from_str(device.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_fits("CloudDeviceService-v1", "DefaultErrorResponseEntity", &error);
    assert_eq!((&error["instance"], &error["errorCode"]), (&json!(path), &json!("00_421")));
    assert!(error["requestId"].is_string(), "{error}");
    assert!(ask("GET", "/healthz", "10.1.2.3:8080").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let nameless = raw(&gateway, "GET /no HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(nameless.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{nameless}");
}

#[tokio::test]
async fn a_client_is_told_for_how_long_it_may_keep_its_connection() {
    let gateway = TestGateway::new().await;
    let answer = reqwest::get(format!("{}/healthz", gateway.url())).await.unwrap();
    assert_eq!(answer.headers()["keep-alive"], "timeout=5");
}

#[tokio::test]
async fn operations_can_ask_whether_it_lives_and_is_ready() {
    let gateway = TestGateway::new().await;
    for (path, text) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let answer = reqwest::get(format!("{}{path}", gateway.url())).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, text));
    }
}

#[tokio::test]
async fn a_gateway_that_has_stopped_has_freed_its_port_and_its_database() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().join("data"),
        ..Config::default()
    };
    let running = gateway::start(config.clone()).await.unwrap();
    let taken = Config { listen: running.http_address(), ..config.clone() };
    let error = gateway::start(taken.clone()).await.unwrap_err();
    assert!(matches!(error, gateway::StartError::PortTaken(address) if address == taken.listen), "{error}");
    let before = std::time::Instant::now();
    running.stop().await;
    assert!(before.elapsed() < Duration::from_secs(5), "stopping took {:?}", before.elapsed());
    assert!(!dir.path().join("data/tillgate.db-wal").exists(), "the log was not moved into the database");
    gateway::start(taken).await.unwrap().stop().await;
}
