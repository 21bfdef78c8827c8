//! A terminal that is nothing but frames: it boards over HTTP, opens links as a test wants them, and answers by hand.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::pos::http_client;

/// How long the gateway may take for any one frame.
const FRAME_MAX: Duration = Duration::from_secs(20);

/// A boarded terminal without a connection.
#[derive(Debug)]
pub(crate) struct WireTerminal {
    base_url: String,
    token: String,
    pub(crate) journal_id: String,
}

/// One link of it.
#[derive(Debug)]
pub(crate) struct WireLink {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

/// What the gateway sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A text frame, as it came.
    Frame(String),
    /// The link was closed with this code and reason.
    Closed(u16, String),
    /// It broke off.
    Broken,
}

impl WireTerminal {
    /// Boards with this journal.
    pub(crate) async fn board(
        base_url: &str,
        poi_id: &str,
        boarding_code: &str,
        journal_id: &str,
    ) -> WireTerminal {
        let body = json!({"poiId": poi_id, "boardingCode": boarding_code, "journalId": journal_id});
        let request = http_client().post(format!("{base_url}/terminal/v1/board")).json(&body);
        let response = request.send().await.expect("the gateway answers");
        assert_eq!(response.status(), 200, "boarding {poi_id}");
        let answer: Value = response.json().await.expect("the answer is JSON");
        let token = answer["token"].as_str().expect("boarding gives a token").to_owned();
        WireTerminal { base_url: base_url.into(), token, journal_id: journal_id.into() }
    }

    /// Opens a socket and says nothing yet; or else it is refused with this HTTP status.
    pub(crate) async fn try_connect(&self) -> Result<WireLink, u16> {
        let address = self.base_url.strip_prefix("http://").expect("plain HTTP");
        let mut request = format!("ws://{address}/terminal/v1/link").into_client_request().expect("a URL");
        let headers = request.headers_mut();
        headers.insert("Authorization", format!("Bearer {}", self.token).parse().expect("a header"));
        headers.insert("Sec-WebSocket-Protocol", "tillgate.link.v1".parse().expect("a header"));
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(WireLink { socket }),
            Err(Error::Http(refusal)) => Err(refusal.status().as_u16()),
            Err(error) => panic!("no link: {error}"),
        }
    }

    /// Opens a socket and says `hello` with this attempt.
    pub(crate) async fn hello(&self, attempt: u64, process_id: &str) -> WireLink {
        let mut link = self.try_connect().await.expect("the link opens");
        let hello = json!({"action": "hello", "linkVersion": 1, "journalId": self.journal_id, "attempt": attempt,
            "processId": process_id, "resume": []});
        link.send(&hello.to_string()).await;
        link
    }

    /// Opens a link and is present.
    pub(crate) async fn welcomed(&self, attempt: u64, process_id: &str) -> WireLink {
        let mut link = self.hello(attempt, process_id).await;
        let Incoming::Frame(welcome) = link.next().await else { panic!("no welcome") };
        assert!(welcome.contains("\"welcome\""), "{welcome}");
        link
    }
}

impl WireLink {
    /// Sends a text frame.
    pub(crate) async fn send(&mut self, frame: &str) {
        self.socket.send(Message::text(frame)).await.expect("the link stands");
    }

    /// What comes next; pings are answered meanwhile.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            let message = timeout(FRAME_MAX, self.socket.next()).await.expect("a frame or an end");
            return match message {
                Some(Ok(Message::Text(text))) => Incoming::Frame(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(close)))) => {
                    Incoming::Closed(close.code.into(), close.reason.as_str().to_owned())
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => Incoming::Broken,
            };
        }
    }

    /// Serves deliveries until the link ends: each is received, and its result is whatever `answer` makes of the message's
    /// very text.
    pub(crate) async fn serve(mut self, mut answer: impl FnMut(&str) -> String) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Deliver<'a> {
            action: String,
            delivery_id: Option<String>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
        }
        while let Incoming::Frame(frame) = self.next().await {
            let deliver: Deliver<'_> = serde_json::from_str(&frame).expect("frames are JSON");
            let (Some(id), Some(message), "deliver") =
                (deliver.delivery_id, deliver.message, &*deliver.action)
            else {
                continue;
            };
            self.send(&format!(r#"{{"action":"received","deliveryId":"{id}"}}"#)).await;
            let message = answer(message.get());
            self.send(&format!(r#"{{"action":"result","deliveryId":"{id}","message":{message}}}"#)).await;
        }
    }
}

/// The response of a payment that is approved, to this request.
pub(crate) fn approved(request: &str) -> String {
    let request = nexo::Request::parse(request.to_owned().into()).expect("a request");
    let header = request.header();
    let header = json!({"ProtocolVersion": "3.0", "MessageClass": "Service", "MessageType": "Response",
        "MessageCategory": header.category.as_str(), "SaleID": header.sale_id.as_str(),
        "ServiceID": request.service_id().as_str(), "POIID": header.poi_id.as_str()});
    let payment = json!({"Response": {"Result": "Success"}});
    json!({"SaleToPOIResponse": {"MessageHeader": header, "PaymentResponse": payment}}).to_string()
}
