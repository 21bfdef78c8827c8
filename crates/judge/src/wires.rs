//! The sockets of Actions terminals: what was written to them and read from them, beside what passed between them and their
//! desks.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::run::Index;

/// What was seen on the sockets of Actions terminals.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    /// Their terminals.
    terminals: HashSet<String>,
    /// Those whose terminal acknowledges.
    acknowledging: HashSet<u64>,
    /// When which payment was written: terminal, `desktopId`, `transactionId`.
    payments: HashMap<(String, String, String), Vec<Index>>,
    /// Transactions of which a terminal has said that it can't tell.
    unknown: HashSet<(String, String)>,
}

impl Wires {
    /// A frame to a terminal.
    pub(crate) fn down(&mut self, at: Index, poi: &str, frame: &[u8]) {
        self.terminals.insert(poi.to_owned());
        let Ok(value) = serde_json::from_slice::<Value>(frame) else { return };
        if value["action"] == "paymentRequest" {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let payment =
                (poi.to_owned(), text(&value["desktopId"]), text(&value["paymentRequest"]["transactionId"]));
            self.payments.entry(payment).or_default().push(at);
        }
    }

    /// A frame from a terminal.
    pub(crate) fn up(&mut self, poi: &str, socket: u64, frame: &[u8]) {
        self.terminals.insert(poi.to_owned());
        let Ok(value) = serde_json::from_slice::<Value>(frame) else { return };
        let answer = match value["action"].as_str() {
            Some("resume") => {
                self.acknowledging.insert(socket);
                return;
            }
            Some("paymentResponse" | "paymentComplete") => &value["paymentResponse"],
            Some("voidResponse") => &value,
            _ => return,
        };
        if answer["status"] == "UNKNOWN" {
            let transaction = answer["transactionId"].as_str().unwrap_or_default();
            self.unknown.insert((poi.to_owned(), transaction.to_owned()));
        }
    }

    /// Whether this is the socket of a terminal that does not acknowledge: what it says once may be lost on the way, and
    /// it may not be able to say it again (E26).
    pub(crate) fn is_plain(&self, poi: &str, socket: u64) -> bool {
        self.terminals.contains(poi) && !self.acknowledging.contains(&socket)
    }

    /// Whether this is the socket of an Actions terminal that acknowledges.
    pub(crate) fn is_acknowledging(&self, socket: u64) -> bool {
        self.acknowledging.contains(&socket)
    }

    /// Whether a terminal has said itself that it can't tell what became of this transaction.
    pub(crate) fn is_unknown(&self, poi: &str, transaction: &str) -> bool {
        self.unknown.contains(&(poi.to_owned(), transaction.to_owned()))
    }

    /// Each time that a payment was written after the first: terminal, `transactionId`.
    pub(crate) fn written_again(&self) -> impl Iterator<Item = (Index, &str, &str)> {
        self.payments.iter().flat_map(|((poi, _, transaction), writes)| {
            writes.iter().skip(1).map(move |at| (*at, poi.as_str(), transaction.as_str()))
        })
    }
}
