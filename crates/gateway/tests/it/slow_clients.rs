//! Clients that are slow, silent, or do not read: each is cut off after the time that its limit names, and not before.

use std::time::{Duration, Instant};

use gateway::{Config, Patience};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{
    DIALECTS, Dialect, MERCHANT, POI, SOON, TestGateway, device_path, payment, self_signed,
};

/// What the limit under test is set to; all others are far away.
const SHORT: Duration = Duration::from_millis(300);

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(600);

const PATIENT: Patience = Patience {
    tls_handshake: LONG,
    header: LONG,
    body_silence: LONG,
    body: LONG,
    unread_body: LONG,
    write_stall: LONG,
};

async fn gateway(patience: Patience) -> TestGateway {
    TestGateway::configured(Config { patience, ..Config::default() }).await
}

async fn connect(gateway: &TestGateway) -> TcpStream {
    TcpStream::connect(gateway.url().strip_prefix("http://").unwrap()).await.unwrap()
}

/// Reads until the gateway closes; how it does that is the system's business.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut heard)).await.expect("the gateway closes");
    String::from_utf8_lossy(&heard).into_owned()
}

/// The head of a payment's request, for a body of `length` bytes.
async fn head(gateway: &TestGateway, dialect: Dialect, length: usize) -> String {
    let path = match dialect {
        Dialect::Classic => "/sync".to_owned(),
        Dialect::CloudDevice => device_path(MERCHANT, POI, "sync"),
    };
    let (host, key) = (gateway.url(), gateway.key_for(&[dialect]).await);
    let host = host.strip_prefix("http://").unwrap();
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_come_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let tls = self_signed(dir.path());
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(tls),
        data_dir: dir.path().join("data"),
        patience: Patience { tls_handshake: SHORT, ..PATIENT },
        ..Config::default()
    };
    let running = gateway::start(config).await.unwrap();
    let started = Instant::now();
    let mut stream = TcpStream::connect(running.tls_address().unwrap()).await.unwrap();
    stream.write_all(&[0x16, 0x03]).await.unwrap(); // The first bytes of one.
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_to_an_end_is_cut_off() {
    let gateway = gateway(Patience { header: SHORT, ..PATIENT }).await;
    let started = Instant::now();
    let mut stream = connect(&gateway).await;
    stream.write_all(b"POST /sync HTTP/1.1\r\nHost: ").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_that_is_kept_open_and_not_used_is_closed() {
    let gateway = gateway(Patience { header: SHORT, ..PATIENT }).await;
    let mut stream = connect(&gateway).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let started = Instant::now();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // A little less, for the request went out before.
    assert!(started.elapsed() >= SHORT - Duration::from_millis(50), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_body_whose_sender_falls_silent_is_refused_in_the_dialects_form() {
    let gateway = gateway(Patience { body_silence: SHORT, ..PATIENT }).await;
    for dialect in DIALECTS {
        let mut stream = connect(&gateway).await;
        let started = Instant::now();
        stream.write_all(head(&gateway, dialect, 1000).await.as_bytes()).await.unwrap();
        stream.write_all(b"{").await.unwrap();
        let heard = read_to_end(&mut stream).await;
        assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
        assert!(heard.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{heard}");
        let code = if dialect == Dialect::Classic { "\"702\"" } else { "\"00_408\"" };
        assert!(heard.contains(code) && heard.contains("paused for more than 0.3 s"), "{heard}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_refused_in_the_dialects_form() {
    let gateway = gateway(Patience { body: SHORT, ..PATIENT }).await;
    for dialect in DIALECTS {
        let mut stream = connect(&gateway).await;
        let head = head(&gateway, dialect, 100_000).await;
        let started = Instant::now();
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let mut heard = Vec::new();
        let drip = async {
            while started.elapsed() < SOON {
                // Once it is refused nobody takes the drops any more.
                if writing.write_all(b" ").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = reading.read_to_end(&mut heard) => {}
            () = drip => {}
        }
        let heard = String::from_utf8_lossy(&heard);
        assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
        assert!(heard.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{heard}");
        assert!(heard.contains("did not come within 0.3 s"), "{heard}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let gateway = gateway(Patience { write_stall: SHORT, ..PATIENT }).await;
    let mut stream = connect(&gateway).await;
    let started = Instant::now();
    // It asks and asks; once every buffer in between is full of answers, nothing moves any more.
    let ask = async {
        while stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok() {}
    };
    timeout(SOON, ask).await.expect("the gateway closes");
    assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn whoever_waits_for_an_answer_is_not_cut_off_by_any_of_these() {
    let short = Patience {
        tls_handshake: SHORT,
        header: SHORT,
        body_silence: SHORT,
        body: SHORT,
        unread_body: SHORT,
        write_stall: SHORT,
    };
    let gateway = gateway(short).await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    for (n, dialect) in DIALECTS.into_iter().enumerate() {
        let sale = gateway.speaker(dialect).await;
        let (heard, ()) = tokio::join!(sale.sync(payment(POI, &format!("P{n}"), "1.00")), async {
            let delivered = terminal.delivered().await;
            terminal.received(&delivered).await;
            // The link, which was a connection like any other, outlives all of them too.
            tokio::time::sleep(SHORT * 4).await;
            terminal.succeed(&delivered).await;
        });
        assert_eq!(heard.outcome().0, "Success");
    }
}
