//! The messages that a test sends: requests of a POS, and a terminal's responses.

use std::time::Duration;

use bytes::Bytes;
use nexo::{MessageHeader, Request};
use relay::exchange::{Asks, RECEIPT_WAIT, ReplyMode};
use relay::ledger::Digest;

pub(crate) const POI: &str = "P400Plus-275008565";

/// A request that is being composed.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) category: &'static str,
    pub(crate) service: String,
    pub(crate) sale: String,
    pub(crate) device: Option<String>,
    pub(crate) body: String,
    pub(crate) wait_seconds: u64,
    pub(crate) reply: ReplyMode,
    pub(crate) asks: Asks,
}

impl Ask {
    pub(crate) fn sale(mut self, sale: &str) -> Ask {
        self.sale = sale.into();
        self
    }

    pub(crate) fn wait(mut self, seconds: u64) -> Ask {
        self.wait_seconds = seconds;
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Ask {
        self.body = body.into();
        self
    }

    /// It waits only until the terminal has it.
    pub(crate) fn asynchronous(mut self) -> Ask {
        self.reply = ReplyMode::Async;
        self
    }

    /// The gateway itself asks, about a request of its own.
    pub(crate) fn of_the_gateway(mut self) -> Ask {
        self.asks = Asks::LedgerAlone;
        self
    }

    /// How long its POS waits for an answer.
    pub(crate) fn patience(&self) -> Duration {
        let wait = Duration::from_secs(self.wait_seconds);
        if self.reply == ReplyMode::Async { wait.min(RECEIPT_WAIT) } else { wait }
    }

    /// The body is for the terminal alone.
    pub(crate) fn encrypted(mut self) -> Ask {
        self.body = "NEXO".into();
        self
    }

    pub(crate) fn request(&self) -> Request {
        let class = if self.device.is_some() { "Device" } else { "Service" };
        let device = self.device.as_ref().map_or(String::new(), |d| format!(r#""DeviceID":"{d}","#));
        let (category, service, sale) = (self.category, &self.service, &self.sale);
        let body = match (self.body.as_str(), category) {
            ("NEXO", _) => r#""NexoBlob":"c2VjcmV0","SecurityTrailer":{}"#.into(),
            (body, "InputUpdate") => format!(r#""InputUpdate":{body}"#),
            (body, _) => format!(r#""{category}Request":{body}"#),
        };
        let text = format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"{class}","MessageCategory":"{category}","MessageType":"Request","ServiceID":"{service}",{device}"SaleID":"{sale}","POIID":"{POI}"}},{body}}}}}"#
        );
        Request::parse(text.into()).expect("a request")
    }
}

fn ask(category: &'static str, service: &str, body: String) -> Ask {
    Ask {
        category,
        service: service.into(),
        sale: "TILL-1".into(),
        device: None,
        body,
        wait_seconds: 150,
        reply: ReplyMode::Sync,
        asks: Asks::Anybody,
    }
}

pub(crate) fn payment(service: &str) -> Ask {
    money("Payment", service, service)
}

/// A payment or a reversal for this sale: however often it is sent, it may happen once.
pub(crate) fn money(category: &'static str, service: &str, intention: &str) -> Ask {
    let body = format!(
        r#"{{"SaleData":{{"SaleTransactionID":{{"TransactionID":"{intention}","TimeStamp":"2026-11-20T09:15:00Z"}}}}}}"#
    );
    ask(category, service, body)
}

pub(crate) fn diagnosis(service: &str) -> Ask {
    ask("Diagnosis", service, "{}".into())
}

pub(crate) fn display(service: &str, device: &str) -> Ask {
    Ask { device: Some(device.into()), ..ask("Display", service, "{}".into()) }
}

pub(crate) fn input_update(service: &str, device: &str) -> Ask {
    Ask { device: Some(device.into()), ..ask("InputUpdate", service, "{}".into()) }
}

/// Asks what became of a payment.
pub(crate) fn status(service: &str, of: &str) -> Ask {
    ask("TransactionStatus", service, format!(r#"{{"MessageReference":{}}}"#, reference("Payment", of)))
}

/// The same, and the terminal is to print the receipt again.
pub(crate) fn status_with_receipt(service: &str, of: &str) -> Ask {
    let body = format!(r#"{{"MessageReference":{},"ReceiptReprintFlag":true}}"#, reference("Payment", of));
    ask("TransactionStatus", service, body)
}

/// Asks about whatever the terminal did last.
pub(crate) fn status_of_the_last(service: &str) -> Ask {
    ask("TransactionStatus", service, "{}".into())
}

pub(crate) fn abort(service: &str, of: &str) -> Ask {
    let body =
        format!(r#"{{"AbortReason":"MerchantAbort","MessageReference":{}}}"#, reference("Payment", of));
    ask("Abort", service, body)
}

fn reference(category: &str, service: &str) -> String {
    format!(r#"{{"MessageCategory":"{category}","SaleID":"TILL-1","ServiceID":"{service}"}}"#)
}

/// A terminal's response: `number` makes it one of its kind.
pub(crate) fn response(to: &MessageHeader, condition: Option<&str>, number: u64) -> Bytes {
    let mut header = to.clone();
    header.message_type = nexo::MessageType::Response;
    let header = serde_json::to_string(&header).expect("a header");
    let outcome = match condition {
        None => r#"{"Result":"Success"}"#.to_owned(),
        Some(condition) => format!(r#"{{"Result":"Failure","ErrorCondition":"{condition}"}}"#),
    };
    let category = &to.category;
    format!(
        r#"{{"SaleToPOIResponse":{{"MessageHeader":{header},"{category}Response":{{"Response":{outcome},"n":{number}}}}}}}"#
    )
    .into()
}

/// Not SHA-256, but as good here: different for different requests.
pub(crate) fn digest(message: &[u8]) -> Digest {
    let mut sum = [0u8; 32];
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in message {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    sum[..8].copy_from_slice(&state.to_be_bytes());
    Digest(sum)
}

/// What a terminal may say to a Sale system, and a gateway may not keep.
pub(crate) fn with_card_number(request: &Request) -> Bytes {
    let text = String::from_utf8(response(request.header(), None, 1).to_vec()).expect("a text");
    text.replace(r#""n":1"#, r#""CardData":{"PAN":"4111111111111111"}"#).into()
}
