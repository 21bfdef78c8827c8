//! A gateway for one terminal, played by the test: HTTP and WebSocket over loopback, with no rule of its own.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use relay::actions::FromClient;
use relay::{
    CloseReason, ConnectionId, Deliver, DeliveryId, Heartbeat, Hello, Placement, ResultMessage, SUBPROTOCOL,
    Settings, ToGateway, ToTerminal, Welcome,
};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

pub(crate) const POI: &str = "V400m-324688179";
pub(crate) const TOKEN: &str = "token-of-the-test";
pub(crate) const CODE: &str = "code-of-the-test";

/// A test that waits for longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) struct Gateway {
    pub(crate) url: String,
    links: mpsc::Receiver<Link>,
    desk: Arc<Mutex<Desk>>,
    task: tokio::task::JoinHandle<()>,
}

/// What the gateway was asked, and what it is to answer.
#[derive(Default)]
struct Desk {
    boardings: Vec<Value>,
    maintenance: Vec<Value>,
    refusals: VecDeque<String>,
    recording: bool,
    /// What maintenance answers besides, or instead.
    told: Map<String, Value>,
    /// The token, once it is another than the first one.
    token: Option<String>,
    upgrades: usize,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    pub(crate) async fn start() -> Gateway {
        Gateway::listen(None).await
    }

    /// The same over TLS, with a certificate of its own that `ca_file` vouches for.
    pub(crate) async fn start_tls(ca_file: &Path) -> Gateway {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(ca_file, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Gateway::listen(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(tls: Option<tokio_rustls::TlsAcceptor>) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let desk = Arc::new(Mutex::new(Desk { recording: true, ..Desk::default() }));
        let (opened, links) = mpsc::channel(16);
        let shared = Arc::clone(&desk);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, desk, opened) = (tls.clone(), Arc::clone(&shared), opened.clone());
                connections.spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        Some(tls) => Box::new(tls.accept(stream).await.unwrap()),
                        None => Box::new(stream),
                    };
                    serve(stream, &desk, &opened).await;
                });
            }
        });
        Gateway { url, links, desk, task }
    }

    /// The next upgrade is answered with this status instead.
    pub(crate) fn refuse_link(&self, status: &str, headers: &str, body: Value) {
        let body = body.to_string();
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.desk.lock().unwrap().refusals.push_back(answer);
    }

    /// From here on maintenance answers these members, in place of its own.
    pub(crate) fn maintenance_tells(&self, members: Value) {
        let Value::Object(members) = members else { panic!("no members") };
        self.desk.lock().unwrap().told.extend(members);
    }

    /// From here on maintenance says nothing of this.
    pub(crate) fn maintenance_leaves_out(&self, member: &str) {
        self.desk.lock().unwrap().told.remove(member);
    }

    /// From here on this token alone is good.
    pub(crate) fn rotate(&self, token: &str) {
        self.desk.lock().unwrap().token = Some(token.into());
    }

    /// The next maintenance call of which this is true.
    pub(crate) async fn call(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        within("such a maintenance call", async {
            loop {
                if let Some(call) = self.maintenance().into_iter().find(&wanted) {
                    return call;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// From here on maintenance calls are not told `recorded`.
    pub(crate) fn stop_recording(&self) {
        self.desk.lock().unwrap().recording = false;
    }

    pub(crate) fn boardings(&self) -> Vec<Value> {
        self.desk.lock().unwrap().boardings.clone()
    }

    pub(crate) fn maintenance(&self) -> Vec<Value> {
        self.desk.lock().unwrap().maintenance.clone()
    }

    pub(crate) fn upgrades(&self) -> usize {
        self.desk.lock().unwrap().upgrades
    }

    /// The next link of the terminal, with its `hello`.
    pub(crate) async fn link(&mut self) -> (Link, Hello) {
        let mut link = within("a link", self.links.recv()).await.unwrap();
        match link.frame().await {
            ToGateway::Hello(hello) => (link, *hello),
            other => panic!("expected hello, got {other:?}"),
        }
    }

    /// The next link of an Actions terminal; nothing was read from it.
    pub(crate) async fn opened(&mut self) -> Link {
        within("a link", self.links.recv()).await.unwrap()
    }

    /// The next link, welcomed.
    pub(crate) async fn welcomed(&mut self) -> (Link, Hello) {
        let (mut link, hello) = self.link().await;
        link.welcome().await;
        (link, hello)
    }
}

/// The gateway's end of one link.
pub(crate) struct Link(WebSocketStream<Box<dyn Stream>>);

impl Link {
    pub(crate) async fn welcome(&mut self) {
        self.send(ToTerminal::Welcome(Box::new(Welcome {
            connection_id: ConnectionId::parse("c_test").unwrap(),
            server_time: "2026-11-20T09:15:00.000Z".into(),
            heartbeat: Heartbeat::DEFAULT,
            terminal: Placement {
                poi_id: nexo::PoiId::parse(POI).unwrap(),
                merchant_account: "DEMO_MERCHANT_EU".into(),
                store: Some("STORE_AMS".into()),
            },
            settings: Settings { revision: 7, ..Settings::default() },
            body_limit: 131_072,
        })))
        .await;
    }

    pub(crate) async fn deliver(&mut self, delivery: &str, message: String) -> DeliveryId {
        let delivery = DeliveryId::parse(delivery).unwrap();
        let deliver =
            Deliver { delivery: delivery.clone(), time_left_ms: 145_000, message: Bytes::from(message) };
        self.send(ToTerminal::Deliver(deliver)).await;
        delivery
    }

    pub(crate) async fn record(&mut self, delivery: &DeliveryId) {
        self.send(ToTerminal::Recorded { delivery: delivery.clone(), problem: None }).await;
    }

    pub(crate) async fn received(&mut self, delivery: &DeliveryId) {
        assert_eq!(self.frame().await, ToGateway::Received(delivery.clone()));
    }

    pub(crate) async fn response(&mut self, delivery: &DeliveryId) -> nexo::Response {
        match self.frame().await {
            ToGateway::Result(of, ResultMessage::Message(message)) => {
                assert_eq!(of, *delivery);
                nexo::Response::parse(message).unwrap()
            }
            other => panic!("expected a result, got {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: ToTerminal) {
        let text = String::from_utf8(frame.encode().to_vec()).unwrap();
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next frame; that settings are applied is left for [`Link::applied`].
    pub(crate) async fn frame(&mut self) -> ToGateway {
        loop {
            match ToGateway::decode(&self.text().await).unwrap() {
                ToGateway::Applied(_) => {}
                frame => return frame,
            }
        }
    }

    /// Waits until these settings are applied; nothing else may come before.
    pub(crate) async fn applied(&mut self, revision: u64) {
        loop {
            match ToGateway::decode(&self.text().await).unwrap() {
                ToGateway::Applied(applied) if applied == revision => return,
                ToGateway::Applied(_) => {}
                other => panic!("expected applied, got {other:?}"),
            }
        }
    }

    /// The next frame of an Actions terminal; a ping is answered.
    pub(crate) async fn said(&mut self) -> FromClient {
        loop {
            match FromClient::decode(&self.text().await).unwrap() {
                FromClient::Ping => {
                    self.send_text(r#"{"action":"pong","timestamp":"2026-11-20T08:15:00.000Z"}"#).await;
                }
                frame => return frame,
            }
        }
    }

    async fn text(&mut self) -> Bytes {
        loop {
            match within("a frame", self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return text.into(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a frame, got {other:?}"),
            }
        }
    }

    /// Closes with a reason, and waits until the terminal has done the same.
    pub(crate) async fn close(mut self, reason: CloseReason) {
        let frame = CloseFrame { code: reason.code().into(), reason: reason.text().as_ref().into() };
        self.0.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = within("a close", self.0.next()).await {}
    }

    /// The code with which the terminal closes.
    pub(crate) async fn closed(mut self) -> u16 {
        loop {
            match within("a close", self.0.next()).await.unwrap().unwrap() {
                Message::Close(frame) => return frame.unwrap().code.into(),
                Message::Text(text) if text.contains(r#""action":"applied""#) => {}
                Message::Text(text) => panic!("expected a close, got {text}"),
                _ => {}
            }
        }
    }
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} in {PATIENCE:?}"))
}

async fn serve(mut stream: Box<dyn Stream>, desk: &Mutex<Desk>, opened: &mpsc::Sender<Link>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let token = desk.lock().unwrap().token.clone().unwrap_or_else(|| TOKEN.into());
    let authorised = header("authorization") == Some(format!("Bearer {token}"));
    let path = head.split(' ').nth(1).unwrap();
    let answer = match path {
        "/terminal/v1/board" => {
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let right = asked["boardingCode"] == CODE;
            desk.lock().unwrap().boardings.push(asked);
            if right {
                json_answer(
                    "200 OK",
                    &json!({"token": TOKEN, "merchantAccount": "DEMO_MERCHANT_EU", "store": "STORE_AMS"}),
                )
            } else {
                json_answer("403 Forbidden", &json!({"title": "Forbidden", "detail": "wrong boarding code"}))
            }
        }
        "/terminal/v1/maintenance" => {
            assert!(authorised);
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let mut desk = desk.lock().unwrap();
            let results = asked["results"].as_array().unwrap().clone();
            let recorded: Vec<Value> = results
                .iter()
                .filter(|_| desk.recording)
                .map(|result| json!({"deliveryId": result["deliveryId"]}))
                .collect();
            desk.maintenance.push(asked);
            let mut answer = json!({"recorded": recorded, "settings": {"revision": 7}, "actions": [], "nextCallSeconds": 21600});
            answer.as_object_mut().unwrap().extend(desk.told.clone());
            json_answer("200 OK", &answer)
        }
        "/terminal/v1/link" | "/v1" => {
            let is_link = path != "/v1";
            let refusal = {
                let mut desk = desk.lock().unwrap();
                desk.upgrades += 1;
                desk.refusals.pop_front()
            };
            match refusal {
                Some(answer) => answer,
                None => {
                    let protocol = if is_link {
                        assert!(authorised);
                        assert_eq!(header("sec-websocket-protocol").as_deref(), Some(SUBPROTOCOL));
                        format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n")
                    } else {
                        assert_eq!(header("x-api-key").as_deref(), Some(TOKEN));
                        assert_eq!(header("sec-websocket-protocol"), None);
                        String::new()
                    };
                    let accept = derive_accept_key(header("sec-websocket-key").unwrap().as_bytes());
                    let answer = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                    let _ = opened.send(Link(socket)).await;
                    return;
                }
            }
        }
        other => panic!("unknown path {other}"),
    };
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}

fn json_answer(status: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
