//! A desktop of the Actions API: frames in and out, and nothing else.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// How long the gateway may take for any one frame.
const FRAME_MAX: Duration = Duration::from_secs(20);

/// One connection. Dropping it breaks it off.
pub(crate) struct Desktop {
    socket: WebSocketStream<TcpStream>,
}

impl Desktop {
    /// Connects; with a device ID it has an identity.
    pub(crate) async fn connect(base_url: &str, key: &str, device: Option<&str>) -> Desktop {
        let address = base_url.strip_prefix("http://").expect("plain HTTP");
        let mut request = format!("ws://{address}/v1").into_client_request().expect("a URL");
        request.headers_mut().insert("x-api-key", key.parse().expect("a header"));
        if let Some(device) = device {
            request.headers_mut().insert("x-device-id", device.parse().expect("a header"));
        }
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("it is let in");
        Desktop { socket }
    }

    /// Asks for a payment of 12.50 under this name.
    pub(crate) async fn pay(&mut self, terminal: &str, transaction: &str) {
        let request = json!({"transactionId": transaction, "amount": "12.50", "currency": "EUR"});
        self.send(&json!({"action": "payment", "terminalId": terminal, "paymentRequest": request})).await;
    }

    /// The `transactionId` and `status` of the next frame, which must be a `paymentComplete`.
    pub(crate) async fn completed(&mut self) -> (String, String) {
        let frame = self.next().await;
        assert_eq!(frame["action"], "paymentComplete", "{frame}");
        let text = |name: &str| frame["paymentResponse"][name].as_str().unwrap_or_default().to_owned();
        (text("transactionId"), text("status"))
    }

    /// Sees that nothing was on its way: the answer to a `ping` comes next.
    pub(crate) async fn has_nothing(&mut self) {
        self.send(&json!({"action": "ping"})).await;
        let frame = self.next().await;
        assert_eq!(frame["action"], "pong", "{frame}");
    }

    /// The next frame that does not tell of a terminal's coming or going.
    async fn next(&mut self) -> Value {
        loop {
            let message = timeout(FRAME_MAX, self.socket.next()).await.expect("a frame").expect("it stands");
            let Message::Text(text) = message.expect("it stands") else { continue };
            let frame: Value = serde_json::from_str(text.as_str()).expect("frames are JSON");
            if frame["action"] != "terminalStatusUpdate" {
                return frame;
            }
        }
    }

    async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.expect("it stands");
    }
}
