//! The messages of this small world, made once: one sale, its payments under successive ServiceIDs, and questions about
//! them.

use std::sync::LazyLock;

use bytes::Bytes;
use nexo::{ErrorCondition, FailureResponse, Kept, PoiId, Request};
use relay::ledger::Digest;
use relay::{CallId, ConnectionId, DeliveryId, ExchangeId, JournalId, ProcessId};
use sha2::Digest as _;

/// The terminal.
const POI: &str = "M-1";

/// A published test card.
const CARD: &str = r#","PaymentResult":{"PaymentInstrumentData":{"CardData":{"PAN":"4111111111111111"}}}"#;

/// The most POS calls of one exploration, and with them the most ServiceIDs of payments. A bit mask of 8 bits holds them.
pub(crate) const CALLS_MAX: u8 = 6;

/// Calls that the explorer makes itself when all has come to rest: a question about each payment, and one more sale.
const CALLS_AT_REST: u8 = CALLS_MAX + 2;

/// A request with what goes with it into the desk.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) request: Request,
    pub(super) kept: Kept,
    pub(super) digest: Digest,
}

/// All of them.
pub(super) struct Script {
    pub(super) poi: PoiId,
    payments: Vec<Prepared>,
    approvals: Vec<Bytes>,
    /// The same with a card number in them.
    approvals_with_card: Vec<Bytes>,
    cancellations: Vec<Bytes>,
    /// By call, then by the payment that it is about.
    questions: Vec<Vec<Prepared>>,
    aborts: Vec<Vec<Prepared>>,
}

pub(super) fn script() -> &'static Script {
    static SCRIPT: LazyLock<Script> = LazyLock::new(Script::new);
    &SCRIPT
}

/// The payment that is made when all has come to rest, to see that the service is as before.
pub(super) const LAST_PAYMENT: u8 = CALLS_MAX;

#[expect(
    clippy::expect_used,
    reason = "fixed texts, which every run parses: a mistake would show in all of them"
)]
impl Script {
    fn new() -> Script {
        let payments: Vec<_> = (0..=LAST_PAYMENT).map(payment).collect();
        let approvals = payments.iter().map(|payment| approval(payment, "")).collect();
        let approvals_with_card = payments.iter().map(|payment| approval(payment, CARD)).collect();
        let cancellations = payments.iter().map(cancellation).collect();
        let about = |category: &'static str, letter: char| {
            let of_call = move |call: u8| (0..CALLS_MAX).map(move |of| reference(category, letter, call, of));
            (0..CALLS_MAX + CALLS_AT_REST).map(|call| of_call(call).collect()).collect()
        };
        Script {
            poi: PoiId::parse(POI).expect("a POIID"),
            payments,
            approvals,
            approvals_with_card,
            cancellations,
            questions: about("TransactionStatus", 'T'),
            aborts: about("Abort", 'A'),
        }
    }

    pub(super) fn payment(&self, service: u8) -> &Prepared {
        &self.payments[usize::from(service)]
    }

    /// What the terminal says when the payment was approved.
    pub(super) fn approval(&self, service: u8, card_data: bool) -> &Bytes {
        let approvals = if card_data { &self.approvals_with_card } else { &self.approvals };
        &approvals[usize::from(service)]
    }

    /// What it says when the payment was called off before the card was there.
    pub(super) fn cancellation(&self, service: u8) -> &Bytes {
        &self.cancellations[usize::from(service)]
    }

    pub(super) fn question(&self, call: u8, of: u8) -> &Prepared {
        &self.questions[usize::from(call)][usize::from(of)]
    }

    pub(super) fn abort(&self, call: u8, of: u8) -> &Prepared {
        &self.aborts[usize::from(call)][usize::from(of)]
    }

    /// Which payment a message is, by its ServiceID.
    pub(super) fn service_of(&self, message: &Bytes) -> Option<u8> {
        let index = self.payments.iter().position(|p| p.request.bytes() == message)?;
        u8::try_from(index).ok()
    }
}

fn payment(service: u8) -> Prepared {
    let sale = if service == LAST_PAYMENT { "last" } else { "sale" };
    let body =
        format!(r#"{{"SaleData":{{"SaleTransactionID":{{"TransactionID":"{sale}","TimeStamp":"t"}}}}}}"#);
    prepare("Payment", &service_name(service), &body)
}

fn reference(category: &str, letter: char, call: u8, of: u8) -> Prepared {
    let reason = if category == "Abort" { r#""AbortReason":"MerchantAbort","# } else { "" };
    let named = service_name(of);
    let body = format!(
        r#"{{{reason}"MessageReference":{{"MessageCategory":"Payment","SaleID":"T1","ServiceID":"{named}"}}}}"#
    );
    prepare(category, &format!("{letter}{call}"), &body)
}

#[expect(clippy::expect_used, reason = "fixed texts")]
fn prepare(category: &str, service: &str, body: &str) -> Prepared {
    let text = format!(
        r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"{service}","SaleID":"T1","POIID":"{POI}"}},"{category}Request":{body}}}}}"#
    );
    let request = Request::parse(text.into()).expect("a request");
    let kept = Kept::of(request.bytes());
    let digest = Digest(sha2::Sha256::digest(kept.bytes()).into());
    Prepared { request, kept, digest }
}

fn approval(payment: &Prepared, more: &str) -> Bytes {
    let service = payment.request.service_id();
    format!(
        r#"{{"SaleToPOIResponse":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"{service}","SaleID":"T1","POIID":"{POI}"}},"PaymentResponse":{{"Response":{{"Result":"Success"}}{more}}}}}}}"#
    )
    .into()
}

fn cancellation(payment: &Prepared) -> Bytes {
    FailureResponse {
        header: payment.request.header(),
        condition: ErrorCondition::ABORTED,
        message: "104 Merchant cancelled.",
        sale_transaction_id: None,
        poi_transaction_id: None,
    }
    .to_json()
}

/// The ServiceID of the sale's first, second, … payment.
pub(super) fn service_name(service: u8) -> String {
    format!("S{}", service + 1)
}

#[expect(clippy::expect_used, reason = "made of letters and digits")]
pub(super) fn delivery_id(call: u8) -> DeliveryId {
    DeliveryId::parse(&format!("d_{call}")).expect("an ID")
}

/// The call that brought a delivery.
pub(super) fn call_of(delivery: &DeliveryId) -> Option<u8> {
    delivery.as_str().strip_prefix("d_")?.parse().ok()
}

#[expect(clippy::expect_used, reason = "made of letters and digits")]
pub(super) fn exchange_id(call: u8) -> ExchangeId {
    ExchangeId::parse(&format!("x_{call}")).expect("an ID")
}

#[expect(clippy::expect_used, reason = "made of letters and digits")]
pub(super) fn journal_id(number: u8) -> JournalId {
    JournalId::parse(&format!("j_{number}")).expect("an ID")
}

#[expect(clippy::expect_used, reason = "made of letters and digits")]
pub(super) fn connection_id(name: &str) -> ConnectionId {
    ConnectionId::parse(name).expect("an ID")
}

pub(super) fn call_id(call: u8) -> CallId {
    CallId(call.into())
}

#[expect(clippy::expect_used, reason = "made of letters and digits")]
pub(super) fn process_id() -> ProcessId {
    ProcessId::parse("p_1").expect("an ID")
}
