//! Refusals that need no body: their senders hear them, and their connections serve on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway::{Config, Limits, Patience};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::support::{DIALECTS, MERCHANT, POI, SOON, TestGateway, device_path, self_signed};

/// As long as a message may be, nearly.
const LONG_BODY: usize = 120 * 1024;

async fn connect(gateway: &TestGateway) -> TcpStream {
    TcpStream::connect(gateway.url().strip_prefix("http://").unwrap()).await.unwrap()
}

fn head(path: &str, key: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\n{more}\r\n")
}

/// One answer: its head, in small letters. The body is read and dropped.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let read = async {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(heard).unwrap().to_ascii_lowercase();
        let length = head
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split_once("\r\n").unwrap().0.parse().unwrap());
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        head
    };
    timeout(SOON, read).await.expect("an answer")
}

/// Sends the head, and after a while the body.
async fn send_in_two(stream: &mut (impl AsyncWrite + Unpin), head: &str, body: &[u8]) {
    stream.write_all(head.as_bytes()).await.unwrap();
    // Long enough for a gateway that answers at once to have done so.
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(body).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn a_connection_outlives_each_refusal_whose_body_comes_late() {
    let limits = Limits { requests_per_second: 1, requests_burst: 1, ..Limits::default() };
    let gateway = TestGateway::configured(Config { limits, ..Config::default() }).await;
    let (device, length) = (device_path(MERCHANT, POI, "sync"), "Content-Length: 2\r\n");
    for (key, status) in [("tg_key_unknown".to_owned(), "401"), (gateway.key_for(&DIALECTS).await, "429")] {
        let mut stream = connect(&gateway).await;
        // The first ones may pass, and hear that a body of two characters is no message.
        for n in 0..6 {
            let path = if n % 2 == 0 { "/sync" } else { &device };
            send_in_two(&mut stream, &head(path, &key, length), b"{}").await;
            let heard = answer(&mut stream).await;
            assert!(heard.starts_with(&format!("http/1.1 {status} ")) || n == 0, "{heard}");
            assert!(heard.contains("keep-alive: timeout=5\r\n"), "{heard}");
        }
    }
    // Paths that nobody serves, and a name that is not ours.
    let mut stream = connect(&gateway).await;
    for (path, host, status) in
        [("/nothing", "localhost", "404"), ("/healthz", "localhost", "405"), ("/sync", "example.com", "421")]
    {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n");
        send_in_two(&mut stream, &head, b"{}").await;
        let heard = answer(&mut stream).await;
        assert!(heard.starts_with(&format!("http/1.1 {status} ")), "{heard}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_long_body_over_tls_is_heard_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let tls = self_signed(dir.path());
    let cert = tls.cert.clone();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(tls),
        data_dir: dir.path().join("data"),
        ..Config::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let running = gateway::start(config).await.unwrap();
    let connector = TlsConnector::from(Arc::new(trusting(&cert)));
    let request = head("/sync", "tg_key_unknown", &format!("Content-Length: {LONG_BODY}\r\n"));
    for _ in 0..40 {
        let tcp = TcpStream::connect(running.tls_address().unwrap()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.write_all(&vec![b' '; LONG_BODY]).await.unwrap();
            stream.flush().await.unwrap();
            let heard = answer(&mut stream).await;
            assert!(heard.starts_with("http/1.1 401 "), "{heard}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_or_is_far_too_long_ends_its_connection() {
    let patience = Patience { unread_body: Duration::from_millis(200), ..Patience::default() };
    let gateway = TestGateway::configured(Config { patience, ..Config::default() }).await;
    for more in [
        "Content-Length: 9\r\n",
        "Content-Length: 9999999999\r\n",
        "Content-Length: 9\r\nExpect: 100-continue\r\n",
    ] {
        let mut stream = connect(&gateway).await;
        stream.write_all(head("/sync", "tg_key_unknown", more).as_bytes()).await.unwrap();
        let heard = answer(&mut stream).await;
        assert!(heard.starts_with("http/1.1 401 "), "{heard}");
        assert!(heard.contains("connection: close\r\n") && !heard.contains("keep-alive"), "{heard}");
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the gateway closes").unwrap();
        assert_eq!(rest, b"");
    }
}

fn trusting(cert: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}
