//! A Sale system that pays, asks, and acts on what it is told; no more and no less than the Terminal API says it may.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::until;

/// Longer than any gateway lets a POS wait.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(155);

/// What a 503 asks for, and how often a POS does it before it gives up.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const REPEATS_MAX: usize = 10;

/// One till, at one terminal.
#[derive(Debug)]
pub(crate) struct Pos {
    http: reqwest::Client,
    base_url: String,
    key: String,
    pub(crate) sale_id: String,
    pub(crate) poi_id: String,
    /// The last ServiceID that was used.
    last: AtomicU32,
}

/// What came back over HTTP, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Marked as the recorded answer of an earlier call.
    pub(crate) repeated: bool,
    /// What its `Retry-After` says.
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

/// What a POS is told about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Approved.
    Success,
    /// It did not happen, for this `ErrorCondition`.
    Failure(String),
    /// Reject: it never reached the terminal.
    NotDelivered,
    /// Reject: nobody knows yet.
    NoResponse,
    /// TransactionStatus only: it still runs.
    InProgress,
    /// TransactionStatus only: the terminal never had it.
    NotFound,
    /// Another HTTP status than 200.
    Status(u16),
    /// The connection broke.
    Nothing,
}

impl Heard {
    /// Whether it says that no money was moved.
    pub(crate) fn denies(&self) -> bool {
        matches!(self, Heard::Failure(_) | Heard::NotDelivered | Heard::NotFound)
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Success => f.write_str("Success"),
            Heard::Failure(condition) => f.write_str(condition),
            Heard::NotDelivered => f.write_str("not delivered"),
            Heard::NoResponse => f.write_str("no response"),
            Heard::InProgress => f.write_str("InProgress"),
            Heard::NotFound => f.write_str("NotFound"),
            Heard::Status(status) => write!(f, "HTTP {status}"),
            Heard::Nothing => f.write_str("nothing"),
        }
    }
}

impl Pos {
    pub(crate) fn new(base_url: &str, key: &str, poi_id: &str) -> Pos {
        Pos {
            http: http_client(),
            base_url: base_url.into(),
            key: key.into(),
            sale_id: "TILL-04".into(),
            poi_id: poi_id.into(),
            last: AtomicU32::new(0),
        }
    }

    /// A ServiceID that was not used before.
    pub(crate) fn fresh_service(&self) -> String {
        format!("s{}", self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Pays 10.99 EUR for this sale, as a request of its own. What the gateway could not take in time is sent again, as
    /// its 503 says.
    pub(crate) async fn pay(&self, service: &str, sale: &str) -> Heard {
        let payment = self.payment(service, sale);
        for _ in 0..REPEATS_MAX {
            match heard(self.send(&payment).await) {
                Heard::Status(503) => tokio::time::sleep(RETRY_AFTER).await,
                heard => return heard,
            }
        }
        Heard::Status(503)
    }

    /// Asks how that payment went, once.
    pub(crate) async fn ask(&self, service: &str) -> Heard {
        heard(self.send(&self.status_request(service)).await)
    }

    /// Asks until the answer is one to act on: also while a gateway starts again.
    pub(crate) async fn ask_until_settled(&self, service: &str, within: Duration) -> Heard {
        until(format!("{service} is settled"), within, async || match self.ask(service).await {
            Heard::InProgress | Heard::Nothing | Heard::Status(503) => None,
            heard => Some(heard),
        })
        .await
    }

    /// The terminals of the merchant account that have a connection.
    pub(crate) async fn connected(&self, merchant_account: &str) -> Option<Vec<String>> {
        self.connected_of(&json!({"merchantAccount": merchant_account})).await
    }

    /// Whether this one terminal answers a ping.
    pub(crate) async fn is_connected(&self, merchant_account: &str) -> Option<bool> {
        let question = json!({"merchantAccount": merchant_account, "uniqueTerminalId": self.poi_id});
        Some(!self.connected_of(&question).await?.is_empty())
    }

    async fn connected_of(&self, question: &Value) -> Option<Vec<String>> {
        let request =
            self.http.post(format!("{}/connectedTerminals", self.base_url)).header("x-api-key", &self.key);
        let answer: Value = request.json(question).send().await.ok()?.json().await.ok()?;
        let ids = answer["uniqueTerminalIds"].as_array()?.iter();
        ids.map(|id| id.as_str().map(str::to_owned)).collect()
    }

    /// Sends a body to `/sync`: the status, and the bytes that came back; nothing if the connection broke.
    pub(crate) async fn send(&self, body: &str) -> Option<(u16, Vec<u8>)> {
        let request = self.http.post(format!("{}/sync", self.base_url)).header("x-api-key", &self.key);
        let response =
            request.header("content-type", "application/json").body(body.to_owned()).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.bytes().await.ok()?.to_vec()))
    }

    /// Sends a body to `path`, and waits as long as the gateway lets it, or as `wait_seconds` asks of the gateway.
    ///
    /// # Panics
    /// When the connection breaks.
    pub(crate) async fn call(&self, path: &str, body: &str, wait_seconds: Option<u32>) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.base_url)).header("x-api-key", &self.key);
        if let Some(seconds) = wait_seconds {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        let response = request.header("content-type", "application/json").body(body.to_owned()).send().await;
        let response = response.unwrap_or_else(|error| panic!("no answer to {body}: {error}"));
        let status = response.status().as_u16();
        let repeated = response.headers().get("tillgate-repeated").is_some_and(|mark| mark == "true");
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        Answer { status, repeated, retry_after, text: response.text().await.expect("the answer is whole") }
    }

    /// The bytes of a whole HTTP request to `/sync`, for a test that has the socket in its own hands.
    pub(crate) fn raw_request(&self, body: &str) -> String {
        let host = self.base_url.strip_prefix("http://").expect("plain HTTP");
        let (key, length) = (&self.key, body.len());
        format!(
            "POST /sync HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// A payment request; the same arguments give the same bytes.
    pub(crate) fn payment(&self, service: &str, sale: &str) -> String {
        let sale_data =
            json!({"SaleTransactionID": {"TransactionID": sale, "TimeStamp": "2026-11-20T09:15:00.000Z"}});
        let amounts = json!({"AmountsReq": {"Currency": "EUR", "RequestedAmount": 10.99}});
        self.request("Payment", service, &json!({"SaleData": sale_data, "PaymentTransaction": amounts}))
    }

    /// A TransactionStatus request about a payment, with a ServiceID of its own.
    pub(crate) fn status_request(&self, service: &str) -> String {
        let reference = json!({"MessageCategory": "Payment", "SaleID": self.sale_id, "ServiceID": service});
        self.request("TransactionStatus", &self.fresh_service(), &json!({"MessageReference": reference}))
    }

    /// An Abort of a payment, with a ServiceID of its own.
    pub(crate) fn abort_request(&self, service: &str) -> String {
        let reference = json!({"MessageCategory": "Payment", "SaleID": self.sale_id, "ServiceID": service});
        let abort = json!({"AbortReason": "MerchantAbort", "MessageReference": reference});
        self.request("Abort", &self.fresh_service(), &abort)
    }

    pub(crate) fn request(&self, category: &str, service: &str, body: &Value) -> String {
        let header = json!({"ProtocolVersion": "3.0", "MessageClass": "Service", "MessageCategory": category,
            "MessageType": "Request", "ServiceID": service, "SaleID": self.sale_id, "POIID": self.poi_id});
        let mut request = json!({"MessageHeader": header});
        request[format!("{category}Request")] = body.clone();
        json!({"SaleToPOIRequest": request}).to_string()
    }
}

impl Answer {
    /// What it says about a payment.
    pub(crate) fn heard(&self) -> Heard {
        heard(Some((self.status, self.text.clone().into_bytes())))
    }

    /// The sale that its PaymentResponse is about, or the one that it repeats; none if it has neither.
    pub(crate) fn sale(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.text).expect("an answer is JSON");
        let message = &body["SaleToPOIResponse"];
        let repeated = &message["TransactionStatusResponse"]["RepeatedMessageResponse"];
        let payment = [message, &repeated["RepeatedResponseMessageBody"]].map(|m| &m["PaymentResponse"]);
        let sale = payment.iter().find_map(|p| p["SaleData"]["SaleTransactionID"]["TransactionID"].as_str());
        sale.map(str::to_owned)
    }
}

fn heard(answer: Option<(u16, Vec<u8>)>) -> Heard {
    let body = match answer {
        None => return Heard::Nothing,
        Some((200, body)) => body,
        Some((status, _)) => return Heard::Status(status),
    };
    let body: Value = serde_json::from_slice(&body).expect("an answer is JSON");
    if let Some(event) = body["SaleToPOIRequest"]["EventNotification"].as_object() {
        let details = event["EventDetails"].as_str().expect("a Reject has details");
        return match details {
            d if d.starts_with("message=Failed+to+send") => Heard::NotDelivered,
            d if d.starts_with("message=Did+not+receive") => Heard::NoResponse,
            other => panic!("an unexpected Reject: {other}"),
        };
    }
    let message = &body["SaleToPOIResponse"];
    if let status @ Value::Object(_) = &message["TransactionStatusResponse"] {
        let repeated = &status["RepeatedMessageResponse"]["RepeatedResponseMessageBody"]["PaymentResponse"];
        return match status["Response"]["Result"].as_str() {
            Some("Success") => outcome(repeated),
            _ => outcome(status),
        };
    }
    outcome(&message["PaymentResponse"])
}

fn outcome(response: &Value) -> Heard {
    let response = &response["Response"];
    match (response["Result"].as_str(), response["ErrorCondition"].as_str()) {
        (Some("Success"), _) => Heard::Success,
        (_, Some("InProgress")) => Heard::InProgress,
        (_, Some("NotFound")) => Heard::NotFound,
        (Some("Failure"), Some(condition)) => Heard::Failure(condition.into()),
        _ => panic!("no Response as it should be: {response}"),
    }
}

/// An HTTP client as a POS may have it: it knows no proxy, and waits longer than any gateway lets it wait.
pub(crate) fn http_client() -> reqwest::Client {
    // TLS is not used here, but the client wants it. It may be there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(CLIENT_TIMEOUT).build().expect("an HTTP client")
}
