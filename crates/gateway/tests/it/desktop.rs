//! A desktop of the Actions API: frames in and out, and nothing else.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use gateway::{ActionsKey, NewKey, Role, ShownCredential};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{COMPANY, SOON, TestGateway};

/// One connection. Dropping it breaks it off.
pub(crate) struct Desktop {
    socket: WebSocketStream<TcpStream>,
}

/// A key for desktops of these groups.
pub(crate) async fn desktop_key(gateway: &TestGateway, groups: &[&str]) -> String {
    desktop_credential(gateway, COMPANY, groups).await.api_key.reveal().to_owned()
}

/// The same of any company, with its name and its secret.
pub(crate) async fn desktop_credential(
    gateway: &TestGateway,
    company: &str,
    groups: &[&str],
) -> ShownCredential {
    let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
    let new = NewKey { company, merchants: &[], roles: &[Role::ActionsDesktop], description: None };
    let actions = ActionsKey::Desktop { groups: &groups, api_secret: None };
    gateway.admin().create_actions_credential(new, actions).await.unwrap()
}

impl Desktop {
    /// Connects; with a device ID it has an identity.
    pub(crate) async fn connect(gateway: &TestGateway, key: &str, device: Option<&str>) -> Desktop {
        let address = gateway.url().strip_prefix("http://").unwrap().to_owned();
        let mut request = format!("ws://{address}/v1").into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        if let Some(device) = device {
            request.headers_mut().insert("x-device-id", device.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Desktop { socket }
    }

    /// Sends this text.
    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Asks for a payment of 12.50 under this name.
    pub(crate) async fn pay(&mut self, terminal: &str, transaction: &str) {
        self.pay_amount(terminal, transaction, "12.50").await;
    }

    /// Asks for a payment of this amount.
    pub(crate) async fn pay_amount(&mut self, terminal: &str, transaction: &str, amount: &str) {
        let request = json!({"transactionId": transaction, "amount": amount, "currency": "EUR",
            "paymentMethod": "CARD", "metadata": {"orderId": "5001"}});
        let frame = json!({"action": "payment", "terminalId": terminal, "paymentRequest": request});
        self.send(&frame.to_string()).await;
    }

    /// Returns once something was written to it, which stays unread.
    pub(crate) async fn until_written(&self) {
        timeout(SOON, self.socket.get_ref().peek(&mut [0])).await.expect("something is written").unwrap();
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        self.next_or_close().await.unwrap_or_else(|closed| panic!("closed: {closed:?}"))
    }

    /// The next frame that tells of a terminal's coming or going.
    pub(crate) async fn change(&mut self) -> Value {
        self.change_within(SOON).await
    }

    /// The next change that is a terminal's loss.
    pub(crate) async fn lost(&mut self, patience: Duration) -> Value {
        loop {
            let change = self.change_within(patience).await;
            if change["status"] == "reconnecting" {
                return change;
            }
        }
    }

    async fn change_within(&mut self, patience: Duration) -> Value {
        loop {
            let message =
                timeout(patience, self.socket.next()).await.expect("a frame").expect("the socket stands");
            let Message::Text(text) = message.unwrap() else { continue };
            let frame: Value = serde_json::from_str(text.as_str()).unwrap();
            if frame["action"] == "terminalStatusUpdate" {
                return frame;
            }
        }
    }

    /// The next frame that does not tell of a terminal's coming or going, or the code and reason with which the connection was
    /// closed.
    pub(crate) async fn next_or_close(&mut self) -> Result<Value, Option<(u16, String)>> {
        self.next_within(SOON).await
    }

    /// The same, for what takes its time; a `pong` that it has not asked for is left out.
    pub(crate) async fn next_word(&mut self, patience: Duration) -> Value {
        loop {
            let frame =
                self.next_within(patience).await.unwrap_or_else(|closed| panic!("closed: {closed:?}"));
            if frame["action"] != "pong" {
                return frame;
            }
        }
    }

    async fn next_within(&mut self, patience: Duration) -> Result<Value, Option<(u16, String)>> {
        loop {
            match timeout(patience, self.socket.next()).await.expect("a frame or an end") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(text.as_str()).unwrap();
                    if frame["action"] != "terminalStatusUpdate" {
                        return Ok(frame);
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err(Some((close.code.into(), close.reason.as_str().to_owned())));
                }
                _ => return Err(None),
            }
        }
    }

    /// The next frame, which must be a `paymentComplete`: its `paymentResponse`.
    pub(crate) async fn completed(&mut self) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["action"], "paymentComplete", "{frame}");
        frame["paymentResponse"].clone()
    }

    /// Sees that nothing was on its way: the answer to a `ping` comes next.
    pub(crate) async fn has_nothing(&mut self) {
        self.send(r#"{"action":"ping"}"#).await;
        let frame = self.next().await;
        assert_eq!(frame["action"], "pong", "{frame}");
    }
}
