//! A till: it sells, is impatient, asks, calls off, repeats, and acts on what it is told, as Sale systems do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::violations::{Kind, Violation};
use super::witness::Witness;
use crate::dice::Dice;

/// How long a till waits where it does not say so, as the gateway does (E11).
const WAIT: Duration = Duration::from_secs(150);

/// Between a hang-up of a nervous till and its next call: fewer fit into the time in which that is noticed than may
/// wait at once.
const REPEAT_EVERY: Duration = Duration::from_millis(220);

/// Between two questions about one request.
const PAUSE_MS: u64 = 60;

/// Requests for one sale, before the customer leaves.
const ATTEMPTS_MAX: usize = 40;

/// Questions about one request, before a person is called.
const QUESTIONS_MAX: usize = 100;

/// How often *no response* is heard before a person is called.
const NO_RESPONSES_MAX: usize = 3;

/// How long the last word is asked for again, where a connection breaks.
const LAST_WORD_TRIES: usize = 10;

/// What tills did, of all of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sales: AtomicUsize,
    pub(crate) payments: AtomicUsize,
    pub(crate) repeats: AtomicUsize,
    pub(crate) hang_ups: AtomicUsize,
    pub(crate) questions: AtomicUsize,
    pub(crate) aborts: AtomicUsize,
    pub(crate) asyncs: AtomicUsize,
    pub(crate) paid: AtomicUsize,
}

/// One till at one terminal.
#[derive(Debug)]
pub(crate) struct Till {
    pub(crate) sale_id: String,
    pub(crate) poi: String,
    pub(crate) base_url: String,
    pub(crate) key: String,
    pub(crate) witness: Arc<Witness>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) dice: Dice,
    pub(crate) manner: Manner,
    pub(crate) http: reqwest::Client,
    /// Before each of its ServiceIDs, for those of a terminal's tills must not be the same.
    pub(crate) number: usize,
    /// All ServiceIDs of payments, with the bodies that they stand in.
    pub(crate) paid_with: Vec<(String, String)>,
    /// The number of the last ServiceID.
    pub(crate) last: u32,
}

/// How a till behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Does everything now and then.
    Lively,
    /// Hangs up at once, and repeats the same request again and again until its slow customer has paid: as often as may be
    /// without that its calls are many at once, should the gateway be slow to notice that it has hung up.
    Nervous,
}

/// What an answer says about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Paid.
    Success,
    /// The payment's own failure, or one of the gateway's: nothing was paid with this ServiceID, and nothing will be.
    Failure,
    /// Reject: it never got there.
    NotDelivered,
    /// Reject: nobody knows yet.
    NoResponse,
    InProgress,
    NotFound,
    /// The terminal has it.
    Ok,
    /// Another HTTP status than 200: nothing about any payment.
    Refused,
    /// The connection broke, or the till hung up.
    Nothing,
}

/// What became of one request, as far as its till can tell.
enum End {
    Paid,
    Denied,
    ForAPerson,
}

impl Told {
    fn denies(self) -> bool {
        matches!(self, Told::Failure | Told::NotDelivered | Told::NotFound)
    }
}

impl Till {
    /// Sells one thing after the other, until the shop closes.
    pub(crate) async fn sell(mut self, mut closed: watch::Receiver<bool>) -> Till {
        let mut number = 0;
        while !*closed.borrow_and_update() {
            number += 1;
            self.counts.sales.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}", self.sale_id);
            self.sell_one(&name, &closed).await;
            if self.dice.one_in(12) {
                self.look_back().await;
            }
        }
        self
    }

    /// Asks about everything that it ever sent, when nothing is broken any more. Says what nobody could be brought to answer.
    pub(crate) async fn have_the_last_word(mut self) -> Vec<Violation> {
        let mut unanswered = Vec::new();
        for (service, body) in std::mem::take(&mut self.paid_with) {
            let repeats = self.dice.one_in(4);
            let mut heard = Told::Nothing;
            for _ in 0..LAST_WORD_TRIES {
                heard = match repeats {
                    true => self.ask("/sync", WAIT, &body).await,
                    false => self.status(&service).await,
                };
                if !matches!(heard, Told::Nothing | Told::Refused) {
                    break;
                }
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
            if matches!(heard, Told::Nothing | Told::Refused) {
                let text = format!("ServiceID {service}: {LAST_WORD_TRIES} times {heard:?}");
                unanswered.push(Violation { kind: Kind::NoLastWord, at: self.witness.now(), text });
            }
        }
        unanswered
    }

    async fn sell_one(&mut self, name: &str, closed: &watch::Receiver<bool>) {
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(name).await {
                End::Paid => {
                    self.counts.paid.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                End::ForAPerson => return,
                // The terminal may be away for a moment, or have another till's customer.
                End::Denied => sleep(Duration::from_millis(self.dice.roll(PAUSE_MS))).await,
            }
            if *closed.borrow() {
                return;
            }
        }
    }

    /// One request with a ServiceID of its own, until it is clear what became of it.
    async fn attempt(&mut self, sale: &str) -> End {
        let service = self.fresh_service();
        let body = self.payment(&service, sale);
        self.paid_with.push((service.clone(), body.clone()));
        self.counts.payments.fetch_add(1, Ordering::Relaxed);
        let mut told = match self.manner {
            Manner::Nervous => self.hang_up_on(&body, 20).await,
            Manner::Lively => match self.dice.roll(10) {
                0 | 1 => self.hang_up_on(&body, 150).await,
                2 => self.while_it_runs(&service, &body, Meanwhile::Abort).await,
                3 => self.while_it_runs(&service, &body, Meanwhile::Ask).await,
                4 => {
                    self.counts.asyncs.fetch_add(1, Ordering::Relaxed);
                    self.ask("/async", WAIT, &body).await
                }
                5 => {
                    let wait = Duration::from_secs(1 + self.dice.roll(8));
                    self.ask("/sync", wait, &body).await
                }
                _ => self.ask("/sync", WAIT, &body).await,
            },
        };
        let mut no_responses = 0;
        for _ in 0..QUESTIONS_MAX {
            match told {
                Told::Success => return End::Paid,
                told if told.denies() => return End::Denied,
                Told::NoResponse => no_responses += 1,
                _ => {}
            }
            if no_responses == NO_RESPONSES_MAX {
                return End::ForAPerson;
            }
            told = self.follow_up(&service, &body).await;
        }
        End::ForAPerson
    }

    /// A till that knows nothing asks, or sends the very same once more: then it gets the answer of the first one.
    async fn follow_up(&mut self, service: &str, body: &str) -> Told {
        if self.manner == Manner::Nervous {
            sleep(REPEAT_EVERY).await;
            self.counts.repeats.fetch_add(1, Ordering::Relaxed);
            return self.hang_up_on(body, 20).await;
        }
        sleep(Duration::from_millis(self.dice.roll(PAUSE_MS))).await;
        match self.dice.roll(6) {
            0 => {
                self.counts.repeats.fetch_add(1, Ordering::Relaxed);
                self.hang_up_on(body, 80).await
            }
            1 | 2 => {
                self.counts.repeats.fetch_add(1, Ordering::Relaxed);
                let wait = Duration::from_secs(1 + self.dice.roll(8));
                self.ask("/sync", wait, body).await
            }
            _ => self.status(service).await,
        }
    }

    /// Asks about something that is long over.
    async fn look_back(&mut self) {
        let count = u64::try_from(self.paid_with.len()).expect("some payments");
        if count == 0 {
            return;
        }
        let at = usize::try_from(self.dice.roll(count)).expect("an index");
        let (service, body) = self.paid_with[at].clone();
        if self.dice.one_in(2) {
            self.status(&service).await;
        } else {
            self.counts.repeats.fetch_add(1, Ordering::Relaxed);
            self.ask("/sync", Duration::from_secs(2), &body).await;
        }
    }

    /// Pays, and does something else before the answer is there. What is heard first is believed.
    async fn while_it_runs(&mut self, service: &str, body: &str, meanwhile: Meanwhile) -> Told {
        let pause = Duration::from_millis(self.dice.roll(60));
        let second = self.second(service, meanwhile);
        let till = &*self;
        let asked = async {
            sleep(pause).await;
            till.send("/sync", WAIT, &second).await
        };
        let paid = till.send("/sync", WAIT, body);
        let mut paid = std::pin::pin!(paid);
        tokio::select! {
            told = &mut paid => told,
            answered = asked => match (meanwhile, answered) {
                // Told that it did not and will not run, a till sends the next one at once.
                (Meanwhile::Ask, told) if told == Told::Success || told.denies() => told,
                // An Abort is answered by a word about itself; the payment ends by its own answer.
                _ => paid.await,
            },
        }
    }

    fn second(&mut self, service: &str, meanwhile: Meanwhile) -> String {
        let counter = match meanwhile {
            Meanwhile::Abort => &self.counts.aborts,
            Meanwhile::Ask => &self.counts.questions,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match meanwhile {
            Meanwhile::Abort => {
                let reference = json!({"MessageCategory": "Payment", "ServiceID": service});
                let abort = json!({"AbortReason": "MerchantAbort", "MessageReference": reference});
                let own = self.fresh_service();
                self.request("Abort", &own, &abort)
            }
            Meanwhile::Ask => self.status_request(service),
        }
    }

    /// Waits for some milliseconds, and hangs up.
    async fn hang_up_on(&mut self, body: &str, below_ms: u64) -> Told {
        let patience = Duration::from_millis(1 + self.dice.roll(below_ms));
        match timeout(patience, self.send("/sync", WAIT, body)).await {
            Ok(told) => told,
            Err(_) => {
                self.counts.hang_ups.fetch_add(1, Ordering::Relaxed);
                Told::Nothing
            }
        }
    }

    async fn status(&mut self, service: &str) -> Told {
        self.counts.questions.fetch_add(1, Ordering::Relaxed);
        let question = self.status_request(service);
        self.ask("/sync", WAIT, &question).await
    }

    async fn ask(&mut self, path: &'static str, wait: Duration, body: &str) -> Told {
        // Nobody waits as long as the gateway lets him: the customer stands there.
        let patience = wait.min(Duration::from_secs(3 + self.dice.roll(9))) + Duration::from_millis(500);
        match timeout(patience, self.send(path, wait, body)).await {
            Ok(told) => told,
            Err(_) => {
                self.counts.hang_ups.fetch_add(1, Ordering::Relaxed);
                Told::Nothing
            }
        }
    }

    /// Sends a request. Dropped before it is over, it hangs up.
    async fn send(&self, path: &'static str, wait: Duration, body: &str) -> Told {
        let mut request = self.http.post(format!("{}{path}", self.base_url)).header("x-api-key", &self.key);
        if wait < WAIT {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let mut call = Open { witness: &self.witness, call: Some(self.witness.asked(path, wait, body)) };
        let Ok(answer) = request.send().await else { return Told::Nothing };
        let status = answer.status().as_u16();
        let Ok(answer) = answer.bytes().await else { return Told::Nothing };
        if let Some(call) = call.call.take() {
            self.witness.heard(call, status, answer.clone());
        }
        if status == 200 { told(&answer) } else { Told::Refused }
    }

    /// One in eight cards is declined, for which test terminals have amounts.
    fn payment(&mut self, service: &str, sale: &str) -> String {
        let amount = if self.dice.one_in(8) { 11.24 } else { 10.99 };
        let sale_data =
            json!({"SaleTransactionID": {"TransactionID": sale, "TimeStamp": "2026-11-20T09:15:00.000Z"}});
        let amounts = json!({"AmountsReq": {"Currency": "EUR", "RequestedAmount": amount}});
        self.request("Payment", service, &json!({"SaleData": sale_data, "PaymentTransaction": amounts}))
    }

    fn status_request(&mut self, service: &str) -> String {
        let reference = json!({"MessageCategory": "Payment", "SaleID": self.sale_id, "ServiceID": service});
        let own = self.fresh_service();
        self.request("TransactionStatus", &own, &json!({"MessageReference": reference}))
    }

    fn fresh_service(&mut self) -> String {
        self.last += 1;
        format!("{}x{}", self.number, self.last)
    }

    fn request(&self, category: &str, service: &str, body: &Value) -> String {
        let header = json!({"ProtocolVersion": "3.0", "MessageClass": "Service", "MessageCategory": category,
            "MessageType": "Request", "ServiceID": service, "SaleID": self.sale_id, "POIID": self.poi});
        let mut request = json!({"MessageHeader": header});
        request[format!("{category}Request")] = body.clone();
        json!({"SaleToPOIRequest": request}).to_string()
    }
}

/// What a till does while its payment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Abort,
    Ask,
}

/// A call that is under way. Whatever ends it, the witness hears of it.
struct Open<'a> {
    witness: &'a Witness,
    call: Option<u64>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.witness.ended(call);
        }
    }
}

/// What an answer with status 200 says about the payment that was sent, or asked about.
fn told(answer: &[u8]) -> Told {
    if answer == b"ok" {
        return Told::Ok;
    }
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    if let Some(event) = answer["SaleToPOIRequest"]["EventNotification"].as_object() {
        return match event["EventDetails"].as_str().expect("a Reject has details") {
            details if details.starts_with("message=Failed+to+send") => Told::NotDelivered,
            details if details.starts_with("message=Did+not+receive") => Told::NoResponse,
            details if details.ends_with("errorCondition=InProgress") => Told::InProgress,
            details if details.contains("errorCondition=") => Told::Failure,
            other => panic!("an unexpected Reject: {other}"),
        };
    }
    let message = &answer["SaleToPOIResponse"];
    let status = &message["TransactionStatusResponse"];
    if status.is_null() {
        return outcome(&message["PaymentResponse"]);
    }
    let condition = status["Response"]["ErrorCondition"].as_str();
    match (status["Response"]["Result"].as_str(), condition) {
        (Some("Success"), _) => {
            outcome(&status["RepeatedMessageResponse"]["RepeatedResponseMessageBody"]["PaymentResponse"])
        }
        (_, Some("NotFound")) => Told::NotFound,
        // Whatever else is wrong with the question says nothing about the payment.
        _ => Told::InProgress,
    }
}

fn outcome(response: &Value) -> Told {
    let response = &response["Response"];
    match (response["Result"].as_str(), response["ErrorCondition"].as_str()) {
        (Some("Success"), _) => Told::Success,
        (_, Some("InProgress")) => Told::InProgress,
        (Some("Failure"), Some(_)) => Told::Failure,
        _ => panic!("no Response as it should be: {response}"),
    }
}
