//! An Actions terminal that does by hand what a test says.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use gateway::{ActionsKey, NewKey, Role};
use nexo::PoiId;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{COMPANY, SOON, TestGateway};

/// The POIID of the usual one.
pub(crate) const ACTIONS_POI: &str = "ACT1-000000001";

/// One socket of an Actions terminal. Dropping it breaks it off.
pub(crate) struct ActionsTerminal {
    socket: WebSocketStream<TcpStream>,
}

/// Makes a key for a terminal in `STORE_A`.
pub(crate) async fn terminal_key(gateway: &TestGateway, poi: &str, device_id: &str) -> String {
    let new = NewKey { company: COMPANY, merchants: &[], roles: &[Role::ActionsTerminal], description: None };
    let poi = PoiId::parse(poi).unwrap();
    let actions = ActionsKey::Terminal { group: "STORE_A", poi: &poi, device_id, metadata: None };
    gateway.admin().create_actions_credential(new, actions).await.unwrap().api_key.reveal().to_owned()
}

impl ActionsTerminal {
    /// Opens a socket.
    pub(crate) async fn open(gateway: &TestGateway, key: &str) -> ActionsTerminal {
        let url = gateway.url();
        let address = url.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}/v1").into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        ActionsTerminal { socket }
    }

    /// Opens a socket of a plain terminal, and returns when the terminal is present.
    pub(crate) async fn connect(gateway: &TestGateway, key: &str) -> ActionsTerminal {
        let mut terminal = ActionsTerminal::open(gateway, key).await;
        terminal.is_present().await;
        terminal
    }

    /// The same for one that acknowledges, which has these transactions.
    pub(crate) async fn resume(gateway: &TestGateway, key: &str, transactions: &[&str]) -> ActionsTerminal {
        let mut terminal = ActionsTerminal::open(gateway, key).await;
        terminal
            .send(json!({"action": "resume", "journalId": "j_test", "transactionIds": transactions}))
            .await;
        terminal.is_present().await;
        terminal
    }

    /// Nothing that it says is answered before it is present.
    async fn is_present(&mut self) {
        self.send(json!({"action": "ping"})).await;
        self.next("pong").await;
    }

    /// The next frame with this action; pings are answered meanwhile.
    pub(crate) async fn next(&mut self, action: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["action"] == action {
                return frame;
            }
        }
    }

    /// The next frame, which must have this action. Until it comes the terminal is quiet.
    pub(crate) async fn quiet_until(&mut self, action: &str, patience: Duration) -> Value {
        let frame = timeout(patience, async {
            loop {
                if let Message::Text(text) = self.socket.next().await.expect("the socket stands").unwrap() {
                    return serde_json::from_str::<Value>(text.as_str()).unwrap();
                }
            }
        });
        let frame = frame.await.expect("a frame");
        assert_eq!(frame["action"], action, "{frame}");
        frame
    }

    /// The text of the next frame with this action.
    pub(crate) async fn next_text(&mut self, action: &str) -> String {
        loop {
            let text = self.text().await;
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["action"] == action {
                return text;
            }
        }
    }

    /// The next text frame.
    pub(crate) async fn frame(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The same as it is written.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            let message =
                timeout(SOON, self.socket.next()).await.expect("a frame").expect("the socket stands");
            if let Message::Text(text) = message.unwrap() {
                return text.as_str().to_owned();
            }
        }
    }

    /// The code of its close, which must come next but for text.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match timeout(SOON, self.socket.next()).await.expect("a close") {
                Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers WebSocket pings until the future has come to its end.
    pub(crate) async fn alive_while<T>(&mut self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return done,
                message = self.socket.next() => drop(message.expect("the socket stands").unwrap()),
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Answers what it was sent.
    pub(crate) async fn answer(&mut self, request: &Value, status: &str) {
        let (desktop, transaction) = (&request["desktopId"], &request["paymentRequest"]["transactionId"]);
        let response = json!({"transactionId": transaction, "status": status, "authorizationCode": "AUTH1"});
        self.send(json!({"action": "paymentResponse", "desktopId": desktop, "paymentResponse": response}))
            .await;
    }
}
