//! What a client hears whose WebSocket is closed by itself, on a raw socket: a library may hide a close that was never answered.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::actions_terminal::{ACTIONS_POI, terminal_key};
use crate::desktop::desktop_key;
use crate::support::{POI, SOON, TestGateway, client};

/// A close with code 1000, masked with zeros.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// The answer: the same code, from a server.
const ANSWER: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

#[tokio::test]
async fn whoever_closes_a_websocket_gets_its_close_back() {
    let gateway = TestGateway::new().await;
    let desktop = desktop_key(&gateway, &["STORE_A"]).await;
    let terminal = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    let boarding = json!({"poiId": POI, "boardingCode": gateway.add(POI).await, "journalId": "j_1"});
    let board = client().post(format!("{}/terminal/v1/board", gateway.url())).json(&boarding);
    let boarded: Value = board.send().await.unwrap().json().await.unwrap();
    let link = format!(
        "Authorization: Bearer {}\r\nSec-WebSocket-Protocol: tillgate.link.v1",
        boarded["token"].as_str().expect("a token")
    );
    for (path, headers) in [
        ("/v1", format!("x-api-key: {desktop}")),
        ("/v1", format!("x-api-key: {terminal}")),
        ("/terminal/v1/link", link),
    ] {
        let mut stream = upgraded(&gateway, path, &headers).await;
        stream.write_all(&CLOSE).await.unwrap();
        let mut heard = Vec::new();
        timeout(SOON, stream.read_to_end(&mut heard)).await.expect("an end").unwrap();
        assert!(heard.ends_with(&ANSWER), "{path}: {heard:x?}");
    }
    gateway.stop().await;
}

async fn upgraded(gateway: &TestGateway, path: &str, headers: &str) -> TcpStream {
    let address = gateway.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(SOON, stream.read_u8()).await.expect("an answer").unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}
