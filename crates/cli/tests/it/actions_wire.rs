//! A client of the Actions API that is nothing but frames: keys, sockets, and what comes on them word for word.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::gateway_process::{GatewayProcess, word};

/// How long the gateway may take for any one frame.
const FRAME_MAX: Duration = Duration::from_secs(20);

/// The company of [`crate::gateway_process`], and another one.
pub(crate) const COMPANY: &str = "SHOP";
pub(crate) const OTHER_COMPANY: &str = "OTHER";

/// One connection. Dropping it breaks it off.
#[derive(Debug)]
pub(crate) struct ActionsSocket {
    socket: WebSocketStream<TcpStream>,
}

/// A key that was just made.
pub(crate) async fn desktop_key(gateway: &GatewayProcess, company: &str, groups: &[&str]) -> String {
    let mut args = vec!["new", "--company", company, "--role", "actions-desktop"];
    args.extend(groups.iter().flat_map(|group| ["--group", group]));
    word(&gateway.run("key", &args).await, "tg_key_").to_owned()
}

/// A terminal of this dialect: its key.
pub(crate) async fn terminal_key(
    gateway: &GatewayProcess,
    company: &str,
    group: &str,
    poi_id: &str,
    device_id: &str,
) -> String {
    let args = ["new", "--company", company, "--role", "actions-terminal", "--group", group];
    let more = ["--poi-id", poi_id, "--device-id", device_id, "--metadata", r#"{"lane":"4"}"#];
    word(&gateway.run("key", &[&args[..], &more[..]].concat()).await, "tg_key_").to_owned()
}

/// A store, which is a group. Its merchant account is made with the first of them.
pub(crate) async fn store(gateway: &GatewayProcess, company: &str, merchant: &str, store: &str) {
    let args = ["--company", company, "--merchant-account", merchant, "--store", store];
    gateway.run("init", &args).await;
}

impl ActionsSocket {
    /// Opens one with these headers besides the key; or else it is refused with this HTTP status.
    pub(crate) async fn try_open(
        gateway: &GatewayProcess,
        key: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<ActionsSocket, u16> {
        let mut request = format!("ws://{}/v1", gateway.address()).into_client_request().expect("a URL");
        for (name, value) in [("x-api-key", key)].iter().chain(headers) {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(ActionsSocket { socket }),
            Err(Error::Http(refusal)) => Err(refusal.status().as_u16()),
            Err(error) => panic!("no connection: {error}"),
        }
    }

    /// Opens one that is not refused.
    pub(crate) async fn open(gateway: &GatewayProcess, key: &str, headers: &[(&'static str, &str)]) -> Self {
        ActionsSocket::try_open(gateway, key, headers).await.expect("the connection opens")
    }

    /// Sends a text frame.
    pub(crate) async fn say(&mut self, frame: &str) {
        self.socket.send(Message::text(frame)).await.expect("the connection stands");
    }

    /// Sends any message.
    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection stands");
    }

    /// The next text frame, as it came; status updates are passed over.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let frame = self.next_of_all().await.unwrap_or_else(|code| panic!("closed with {code}"));
            if !frame.contains(r#""action":"terminalStatusUpdate""#) {
                return frame;
            }
        }
    }

    /// The next text frame of any kind; or the code with which the connection was closed.
    pub(crate) async fn next_of_all(&mut self) -> Result<String, u16> {
        loop {
            match timeout(FRAME_MAX, self.socket.next()).await.expect("a frame or an end") {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(0),
            }
        }
    }

    /// What this frame is answered.
    pub(crate) async fn ask(&mut self, frame: &str) -> String {
        self.say(frame).await;
        self.next().await
    }

    /// Asks for a payment of 12.50 under this name.
    pub(crate) async fn pay(&mut self, terminal: &str, transaction: &str) {
        let request = json!({"transactionId": transaction, "amount": "12.50", "currency": "EUR"});
        let frame = json!({"action": "payment", "terminalId": terminal, "paymentRequest": request});
        self.say(&frame.to_string()).await;
    }

    /// The `transactionId` and `status` of the next frame, which must be a `paymentComplete`.
    pub(crate) async fn completed(&mut self) -> (String, String) {
        let frame: Value = serde_json::from_str(&self.next().await).expect("frames are JSON");
        assert_eq!(frame["action"], "paymentComplete", "{frame}");
        let text = |name: &str| frame["paymentResponse"][name].as_str().unwrap_or_default().to_owned();
        (text("transactionId"), text("status"))
    }

    /// Sees that nothing was on its way: the answer to a `ping` comes next.
    pub(crate) async fn has_nothing(&mut self) {
        let frame = self.ask(r#"{"action":"ping"}"#).await;
        assert!(frame.contains(r#""action":"pong""#), "{frame}");
    }

    /// Waits until its list shows this device as online.
    pub(crate) async fn sees(&mut self, device_id: &str) {
        let shown = async {
            loop {
                let list: Value =
                    serde_json::from_str(&self.ask(r#"{"action":"getTerminals"}"#).await).expect("JSON");
                let terminals = list["terminals"].as_array().expect("a list");
                let is_it = |t: &Value| t["deviceId"] == device_id && t["status"] == "online";
                if terminals.iter().any(is_it) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(FRAME_MAX, shown).await.expect("the terminal comes online");
    }
}

/// The same text with what differs from run to run written as `TIME` and `CONNECTION`.
pub(crate) fn settled(frame: &str) -> String {
    let is_time = |text: &str| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[4] == b'-';
    let settle = |text: &str| match text {
        _ if is_time(text) => "TIME".to_owned(),
        _ if text.starts_with("c_") => "CONNECTION".to_owned(),
        _ => text.to_owned(),
    };
    frame.split('"').map(settle).collect::<Vec<_>>().join("\"")
}
