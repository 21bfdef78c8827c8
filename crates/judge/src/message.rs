//! Reads Sale to POI messages with the judge's own eyes: only what it judges by, and nothing of it by the types of those it
//! judges.

use serde_json::Value;

/// A message, as far as it could be read.
#[derive(Debug)]
pub(crate) enum Message {
    /// `{"SaleToPOIRequest":{…}}` other than an event.
    Request(Request),
    /// `{"SaleToPOIResponse":{…}}`.
    Response(Response),
    /// `{"SaleToPOIRequest":{…}}` with an `EventNotification`.
    Event(Event),
    /// Anything else.
    Unreadable,
}

/// `MessageHeader`; a member that is missing is an empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) class: String,
    pub(crate) category: String,
    pub(crate) message_type: String,
    pub(crate) service: String,
    pub(crate) sale: String,
    pub(crate) poi: String,
    pub(crate) device: String,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) header: Header,
    /// What somebody wants to be paid, or to be given back, once.
    pub(crate) intention: Option<Intention>,
    /// Of a TransactionStatus or an Abort: what it is about.
    pub(crate) reference: Option<Reference>,
    /// Of a TransactionStatus: only the terminal can answer it.
    pub(crate) reprint: bool,
}

/// What is wanted once, whatever ServiceIDs it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Intention {
    /// SaleID: who wants it.
    pub(crate) sale: String,
    /// For a reversal: TransactionID of the payment's POITransactionID.
    pub(crate) reversal_of: Option<String>,
    /// TransactionID of the SaleTransactionID.
    pub(crate) transaction: Option<String>,
}

impl Intention {
    /// As a violation names it.
    pub(crate) fn label(&self) -> String {
        match (&self.reversal_of, &self.transaction) {
            (Some(of), Some(transaction)) => format!("{transaction} (reversal of {of})"),
            (Some(of), None) => format!("reversal of {of}"),
            (None, transaction) => transaction.clone().unwrap_or_default(),
        }
    }
}

/// `MessageReference`, completed from the header of the message that it stands in.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) poi: String,
    pub(crate) service: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) sale: Option<String>,
    pub(crate) device: Option<String>,
}

impl Reference {
    /// Whether what it says fits a request of this SaleID and category.
    pub(crate) fn means(&self, sale: &str, category: &str) -> bool {
        self.sale.as_deref().is_none_or(|named| named == sale)
            && self.category.as_deref().is_none_or(|named| named == category)
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) header: Header,
    /// Nothing of it can be read but the header.
    pub(crate) encrypted: bool,
    pub(crate) result: Says,
    /// `ErrorCondition`, or an empty text.
    pub(crate) condition: String,
    /// TransactionID of the SaleTransactionID that it repeats.
    pub(crate) transaction: Option<String>,
    /// Of a TransactionStatus: the response that it found.
    pub(crate) repeated: Option<Box<Response>>,
}

/// `Response.Result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// `Success` or `Partial`: it ran.
    Success,
    Failure,
    /// Anything else, or nothing.
    Nothing,
}

/// An event, of which a Reject is one.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) header: Header,
    pub(crate) reject: Option<Reject>,
}

/// What a Reject says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reject {
    /// `Failed to send message to POI…`
    NotDelivered,
    /// `Did not receive a response from the POI.`
    NoResponse,
    /// What would have been a Failure response: its ErrorCondition.
    Refused(String),
    /// Any other text.
    Other(String),
}

/// The categories whose ServiceID starts at most one attempt: those of E4.
pub(crate) fn is_money(category: &str) -> bool {
    matches!(
        category,
        "Payment" | "Reversal" | "StoredValue" | "CardAcquisition" | "EnableService" | "Reconciliation"
    )
}

/// The categories that charge a card or give money back.
pub(crate) fn is_charge(category: &str) -> bool {
    matches!(category, "Payment" | "Reversal")
}

/// The categories that end without a response.
pub(crate) fn ends_empty(category: &str) -> bool {
    matches!(category, "Abort" | "InputUpdate")
}

/// The categories of class `Device`, whose DeviceID belongs to the identity.
pub(crate) fn is_of_device(category: &str) -> bool {
    matches!(
        category,
        "Display"
            | "Input"
            | "InputUpdate"
            | "Print"
            | "Sound"
            | "PIN"
            | "Transmit"
            | "CardReaderInit"
            | "CardReaderAPDU"
            | "CardReaderPowerOff"
    )
}

/// Reads one message.
pub(crate) fn read(bytes: &[u8]) -> Message {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Message::Unreadable };
    if let Some(request) = value.get("SaleToPOIRequest") {
        let Some(header) = request.get("MessageHeader").and_then(header) else { return Message::Unreadable };
        return match request.get("EventNotification") {
            Some(event) => Message::Event(Event { header, reject: reject(event) }),
            None => Message::Request(read_request(request, header)),
        };
    }
    match value.get("SaleToPOIResponse") {
        Some(response) => match response.get("MessageHeader").and_then(header) {
            Some(header) => Message::Response(read_response(response, header)),
            None => Message::Unreadable,
        },
        None => Message::Unreadable,
    }
}

fn header(value: &Value) -> Option<Header> {
    let text = |name: &str| text(value.get(name)).unwrap_or_default();
    value.is_object().then(|| Header {
        class: text("MessageClass"),
        category: text("MessageCategory"),
        message_type: text("MessageType"),
        service: text("ServiceID"),
        sale: text("SaleID"),
        poi: text("POIID"),
        device: text("DeviceID"),
    })
}

fn read_request(request: &Value, header: Header) -> Request {
    let body = request.get(format!("{}Request", header.category));
    let transaction = body.and_then(|body| text(body.pointer("/SaleData/SaleTransactionID/TransactionID")));
    let original =
        body.and_then(|body| text(body.pointer("/OriginalPOITransaction/POITransactionID/TransactionID")));
    let sale = header.sale.clone();
    let intention = match header.category.as_str() {
        "Payment" if transaction.is_some() => Some(Intention { sale, reversal_of: None, transaction }),
        "Reversal" if original.is_some() => Some(Intention { sale, reversal_of: original, transaction }),
        _ => None,
    };
    let reference = body.and_then(|body| body.get("MessageReference")).filter(|named| named.is_object());
    let reference = reference.map(|named| Reference {
        poi: text(named.get("POIID")).unwrap_or_else(|| header.poi.clone()),
        service: text(named.get("ServiceID")),
        category: text(named.get("MessageCategory")),
        sale: text(named.get("SaleID")),
        device: text(named.get("DeviceID")),
    });
    let reprint = body.and_then(|body| body.get("ReceiptReprintFlag")).and_then(Value::as_bool) == Some(true);
    Request { header, intention, reference, reprint }
}

fn read_response(response: &Value, header: Header) -> Response {
    let body = response.get(format!("{}Response", header.category));
    let mut read = body_of(body, header);
    read.encrypted = response.get("NexoBlob").is_some();
    let repeated = body.and_then(|body| body.get("RepeatedMessageResponse"));
    read.repeated = repeated.and_then(|repeated| {
        let header = repeated.get("MessageHeader").and_then(self::header)?;
        let member = format!("{}Response", header.category);
        let members = repeated.get("RepeatedResponseMessageBody");
        Some(Box::new(body_of(members.and_then(|members| members.get(member)), header)))
    });
    read
}

fn body_of(body: Option<&Value>, header: Header) -> Response {
    let at = |pointer: &str| body.and_then(|body| text(body.pointer(pointer)));
    Response {
        header,
        encrypted: false,
        result: match at("/Response/Result").as_deref() {
            Some("Success" | "Partial") => Says::Success,
            Some("Failure") => Says::Failure,
            _ => Says::Nothing,
        },
        condition: at("/Response/ErrorCondition").unwrap_or_default(),
        transaction: at("/SaleData/SaleTransactionID/TransactionID"),
        repeated: None,
    }
}

fn reject(event: &Value) -> Option<Reject> {
    if event.get("EventToNotify").and_then(Value::as_str) != Some("Reject") {
        return None;
    }
    let details = text(event.get("EventDetails")).unwrap_or_default();
    let condition = details.split('&').find_map(|pair| pair.strip_prefix("errorCondition="));
    Some(if details.starts_with("message=Failed+to+send+message") {
        Reject::NotDelivered
    } else if details.starts_with("message=Did+not+receive") {
        Reject::NoResponse
    } else if let Some(condition) = condition {
        Reject::Refused(condition.to_owned())
    } else {
        Reject::Other(details)
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}
