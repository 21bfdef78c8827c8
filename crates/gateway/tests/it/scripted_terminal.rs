//! A terminal that does by hand what a test says: silent, slow, or gone at the moment that matters.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{SOON, TestGateway, client};

/// One link of a boarded terminal. Dropping it breaks it off.
pub(crate) struct ScriptedTerminal {
    socket: WebSocketStream<TcpStream>,
    token: String,
}

/// One that was boarded and has no link.
pub(crate) struct AwayTerminal {
    token: String,
}

impl AwayTerminal {
    /// The same one, back with these requests that it has not answered.
    pub(crate) async fn back(&self, gateway: &TestGateway, has: &[&Delivered]) -> ScriptedTerminal {
        ScriptedTerminal::hello(gateway, &self.token, 2, has).await
    }
}

/// A request that came over the link.
#[derive(Debug)]
pub(crate) struct Delivered {
    id: String,
    /// `{"SaleToPOIRequest":{…}}`.
    pub(crate) message: Value,
}

impl ScriptedTerminal {
    /// Adds a terminal to `STORE_A`, boards it, and is present.
    pub(crate) async fn connect(gateway: &TestGateway, poi: &str) -> ScriptedTerminal {
        let boarding = json!({"poiId": poi, "boardingCode": gateway.add(poi).await, "journalId": "j_1"});
        let board = client().post(format!("{}/terminal/v1/board", gateway.url())).json(&boarding);
        let boarded: Value = board.send().await.unwrap().json().await.unwrap();
        ScriptedTerminal::hello(gateway, boarded["token"].as_str().expect("a token"), 1, &[]).await
    }

    /// Breaks its link off.
    pub(crate) fn leave(self) -> AwayTerminal {
        AwayTerminal { token: self.token }
    }

    async fn hello(gateway: &TestGateway, token: &str, attempt: u64, has: &[&Delivered]) -> ScriptedTerminal {
        let address = gateway.url().strip_prefix("http://").unwrap().to_owned();
        let mut request = format!("ws://{address}/terminal/v1/link").into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
        request.headers_mut().insert("Sec-WebSocket-Protocol", "tillgate.link.v1".parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let mut terminal = ScriptedTerminal { socket, token: token.to_owned() };
        let resume: Vec<&str> = has.iter().map(|delivered| &*delivered.id).collect();
        terminal
            .send(json!({"action": "hello", "linkVersion": 1, "journalId": "j_1", "attempt": attempt,
                "processId": format!("p_{attempt}"), "resume": resume}))
            .await;
        terminal.next("welcome").await;
        terminal
    }

    /// The next request.
    pub(crate) async fn delivered(&mut self) -> Delivered {
        let frame = self.next("deliver").await;
        Delivered { id: frame["deliveryId"].as_str().unwrap().to_owned(), message: frame["message"].clone() }
    }

    /// Says that it has the request.
    pub(crate) async fn received(&mut self, delivered: &Delivered) {
        self.send(json!({"action": "received", "deliveryId": delivered.id})).await;
    }

    /// Answers it with success, and waits until that is recorded.
    pub(crate) async fn succeed(&mut self, delivered: &Delivered) {
        self.respond(delivered, json!({"Response": {"Result": "Success"}})).await;
    }

    /// Answers it with this body of a response, and waits until that is recorded.
    pub(crate) async fn respond(&mut self, delivered: &Delivered, body: Value) {
        let mut header = delivered.message["SaleToPOIRequest"]["MessageHeader"].clone();
        header["MessageType"] = json!("Response");
        let name = format!("{}Response", header["MessageCategory"].as_str().unwrap());
        self.answer(delivered, json!({"SaleToPOIResponse": {"MessageHeader": header, name: body}})).await;
    }

    /// Answers it with this message, and waits until that is recorded.
    pub(crate) async fn answer(&mut self, delivered: &Delivered, message: Value) {
        self.send(json!({"action": "result", "deliveryId": delivered.id, "message": message})).await;
        self.next("recorded").await;
    }

    /// Hands in a result for a delivery that nobody made, and waits until it is recorded.
    pub(crate) async fn answer_unasked(&mut self, delivery: &str, message: Value) {
        self.send(json!({"action": "result", "deliveryId": delivery, "message": message})).await;
        self.next("recorded").await;
    }

    /// Sends a notification for the POS, and waits until it is recorded.
    pub(crate) async fn notify(&mut self, id: &str, message: Value) {
        self.send(json!({"action": "notify", "notificationId": id, "message": message})).await;
        self.next("recorded").await;
    }

    /// Tells what the device is like now.
    pub(crate) async fn tell_device(&mut self, device: Value) {
        self.send(json!({"action": "device", "device": device})).await;
    }

    /// The next frame with this action; pings are answered meanwhile.
    async fn next(&mut self, action: &str) -> Value {
        loop {
            let message = timeout(SOON, self.socket.next()).await.expect("a frame").expect("the link stands");
            let Message::Text(text) = message.unwrap() else { continue };
            let frame: Value = serde_json::from_str(text.as_str()).unwrap();
            if frame["action"] == action {
                return frame;
            }
        }
    }

    async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }
}
