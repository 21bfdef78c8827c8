//! Card data goes through the gateway and stays nowhere (P6), and what was changed for that is not passed off as the
//! original (E24).

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{DIALECTS, NO_RESPONSE, POI, TestGateway, failure, request, status_of};

/// What must not be found later, in each of the forms in which it was said.
#[derive(Default)]
struct Planted {
    seed: u64,
    secrets: Vec<String>,
    references: Vec<String>,
}

impl Planted {
    fn below(&mut self, end: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 29)) % end
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| self.below(10).to_string()).collect()
    }

    /// A Visa, Mastercard or UnionPay number.
    fn card(&mut self) -> String {
        let prefix = ["4", "5412", "62"][usize::try_from(self.below(3)).unwrap()];
        let digits = format!("{prefix}{}", self.digits(15 - prefix.len()));
        let values = digits.bytes().rev().map(|b| u32::from(b - b'0')).enumerate();
        let twice = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
        let sum: u32 = values.map(|(index, digit)| if index % 2 == 0 { twice(digit) } else { digit }).sum();
        format!("{digits}{}", (10 - sum % 10) % 10)
    }

    /// A text with a card number or a track in it, in one of several forms.
    fn text(&mut self) -> String {
        let card = self.card();
        let groups = || [&card[..4], &card[4..8], &card[8..12], &card[12..]];
        let secret = match self.below(4) {
            0 => groups().join(" "),
            1 => groups().join("-"),
            2 => format!(";{card}=2512{}?", self.digits(13)),
            _ => card.clone(),
        };
        let text = match self.below(4) {
            0 => format!("given at the till: {secret}."),
            1 => {
                format!("message={}&x=y", secret.replace(' ', "%20").replace('=', "%3d").replace('?', "%3f"))
            }
            2 => STANDARD.encode(format!(r#"{{"message":"{secret}"}}"#)),
            _ => secret.clone(),
        };
        self.secrets.extend([card, secret, text.clone()]);
        text
    }

    /// A security code that can be looked for: nobody's is so long.
    fn code(&mut self) -> String {
        let code = format!("9{}", self.digits(13));
        self.secrets.push(code.clone());
        code
    }

    fn reference(&mut self) -> String {
        let reference = self.card();
        self.references.push(reference.clone());
        reference
    }

    /// An object full of it.
    fn body(&mut self, texts: usize) -> Value {
        let all: Vec<String> = (0..texts).map(|_| self.text()).collect();
        let (number, code, block) = (self.card(), self.code(), self.code());
        self.secrets.push(number.clone());
        json!({
            "Text": all,
            "Number": number.parse::<u64>().unwrap(),
            "PaymentData": {"CardSecurityCode": code, "PinBlock": {"EncrPinBlock": block}},
            "AdditionalResponse": format!("a=b&cvc={}&pspReference={}", self.code(), self.reference()),
            "SaleTransactionID": {"TransactionID": self.reference(), "TimeStamp": "2026-11-20T09:15:00Z"},
        })
    }
}

/// What was logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn response_to(request: &Value, body: &Value) -> Value {
    let mut header = request["SaleToPOIRequest"]["MessageHeader"].clone();
    header["MessageType"] = json!("Response");
    let mut body = body.clone();
    body["Response"] = json!({"Result": "Success"});
    json!({"SaleToPOIResponse": {"MessageHeader": header, "PaymentResponse": body}})
}

fn files_in(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files_in(&path)),
            false => all.extend(std::fs::read(path).unwrap()),
        }
        all.push(b'\n');
    }
    all
}

/// The needles whose last 13 bytes stand in the haystack: one pass, however many there are.
fn found<'a>(needles: &'a [String], haystack: &[u8]) -> Vec<&'a String> {
    const TAIL: usize = 13;
    let tail = |needle: &'a String| &needle.as_bytes()[needle.len() - TAIL..];
    let tails: HashSet<&[u8]> = needles.iter().map(tail).collect();
    let seen: HashSet<&[u8]> = haystack.windows(TAIL).filter(|window| tails.contains(window)).collect();
    needles.iter().filter(|needle| seen.contains(tail(needle))).collect()
}

#[tokio::test]
async fn card_data_in_requests_answers_and_notifications_reaches_neither_disk_nor_log() {
    const TEXTS: usize = 60;
    let asked = std::env::var("TILLGATE_CARD_NUMBERS").ok().and_then(|count| count.parse().ok());
    let rounds = asked.unwrap_or(6_000_usize).div_ceil(5 * TEXTS);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Of every thread, the store's and those for blocking work too. Where tests share a process, other tests log here as
    // well, which does no harm.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut planted = Planted::default();
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let mut sale = gateway.sale().await;
    for round in 0..rounds {
        if round % 40 == 39 {
            sale = gateway.sale().await; // No key may ask as often as a whole run does.
        }
        let (asked, answered) = (planted.body(TEXTS), planted.body(TEXTS));
        let message = request("Payment", POI, &format!("R{round}"), asked.clone());
        let (heard, answer) = tokio::join!(sale.sync(message.clone()), async {
            let delivered = terminal.delivered().await;
            assert_eq!(
                delivered.message["SaleToPOIRequest"]["PaymentRequest"], asked,
                "the terminal gets it all"
            );
            let answer = response_to(&delivered.message, &answered);
            terminal.answer(&delivered, answer.clone()).await;
            answer
        });
        assert_eq!(heard.json(), answer, "and so does the POS");
        // Broken off, and with a name in it that is not well-formed.
        let broken = String::from_utf8(message).unwrap().replace(r#""Number":"#, r#""Number""#);
        sale.sync(broken).await.reject();
        let nobody = planted.card();
        planted.secrets.push(nobody.clone());
        sale.sync(request("Payment", &nobody, &format!("U{round}"), planted.body(1))).await;
        terminal.answer_unasked(&format!("d_{round}"), response_to(&json!({}), &planted.body(TEXTS))).await;
        let event = json!({"SaleToPOIRequest": {
            "MessageHeader": {"MessageClass": "Event", "MessageCategory": "Event", "MessageType": "Notification",
                "SaleID": "TILL-1", "POIID": POI},
            "EventNotification": {"EventToNotify": "SaleWakeUp", "TimeStamp": "2026-11-20T09:15:00Z",
                "EventDetails": planted.text(), "More": planted.body(TEXTS)}}});
        terminal.notify(&format!("n_{round}"), event).await;
        terminal
            .tell_device(json!({"wifiSsid": planted.text(), "serialNumber": "S1F2-000158215131748"}))
            .await;
    }
    let data = gateway.data_dir();
    let running = files_in(&data);
    let dir = gateway.end().await;
    let after = files_in(&dir.path().join("data"));
    let logged = log.0.lock().unwrap().clone();
    assert!(!logged.is_empty(), "the log was read");
    for haystack in [&running, &after, &logged] {
        assert_eq!(found(&planted.secrets, haystack), [""; 0]);
    }
    // What only looks like it is all there, but for what was never stored.
    let stored = found(&planted.references, &after).len();
    assert_eq!(stored, planted.references.len() - 2 * rounds, "of {}", planted.references.len());
}

#[tokio::test]
async fn a_changed_answer_is_told_once_and_never_repeated_as_the_original() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let message = request("Payment", POI, "P1", json!({"SaleData": {}}));
        let mut answer = Value::Null;
        let (heard, ()) = tokio::join!(sale.sync(message.clone()), async {
            let delivered = terminal.delivered().await;
            answer = response_to(&delivered.message, &json!({"Card": "4111 1111 1111 1111"}));
            terminal.answer(&delivered, answer.clone()).await;
        });
        assert_eq!(heard.json(), answer);
        // A repeat runs nothing and hears that nobody can say from here.
        assert_eq!(sale.sync(message).await.reject(), NO_RESPONSE);
        // The terminal still has it, and is asked (E18).
        let (status, ()) = tokio::join!(sale.sync(status_of(POI, "S1", "P1")), async {
            let delivered = terminal.delivered().await;
            assert_eq!(delivered.message["SaleToPOIRequest"]["MessageHeader"]["ServiceID"], "S1");
            terminal.succeed(&delivered).await;
        });
        assert_eq!(status.outcome().0, "Success");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_header_that_holds_a_card_number_is_refused_and_not_stored() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await.with_terminal(POI).await;
        let sale = gateway.speaker(dialect).await;
        let usual = String::from_utf8(request("Payment", POI, "P1", json!({}))).unwrap();
        let heard = sale.sync(usual.replace("TILL-1", "4111 1111 1111 1111")).await;
        assert_eq!(heard.outcome(), failure("MessageFormat"));
        assert!(heard.text().contains("SaleID+looks+like+a+card+number"), "{}", heard.text());
        let heard = sale.sync(usual.replace("Payment", "4111111111111111")).await;
        assert!(heard.text().contains("MessageCategory+looks+like+a+card+number"), "{}", heard.text());
        let heard = sale.sync(usual.replace(POI, "4111-1111-1111-1111")).await;
        assert!(!heard.text().contains("Success"), "{}", heard.text());
        let dir = gateway.end().await;
        let kept = files_in(&dir.path().join("data"));
        let secrets = ["4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111"].map(str::to_owned);
        assert_eq!(found(&secrets, &kept), [""; 0]);
    }
}
