//! The sockets of Actions terminals: what was written to them and read from them, beside what passed between them and their
//! desks.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::run::Index;

/// What was seen on the sockets of Actions terminals.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    /// Their terminals.
    terminals: HashSet<String>,
    /// When its terminal said on a socket that it acknowledges.
    acknowledging: HashMap<u64, Index>,
    /// When which payment was written: terminal, `desktopId`, `transactionId`.
    payments: HashMap<(String, String, String), Vec<Index>>,
    /// The `paymentRequest`s that desktops have sent, byte for byte.
    asked: HashSet<String>,
    /// Their `transactionId`s.
    names: HashSet<String>,
    /// Those of desktops that were written to a terminal otherwise than they came.
    foreign: Vec<(Index, String, String)>,
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
            let raw = raw_request(frame);
            // A delivery's own name stands there for who is no desktop.
            if payment.1.starts_with("c_") && !raw.is_some_and(|raw| self.asked.contains(raw)) {
                self.foreign.push((at, poi.to_owned(), payment.2.clone()));
            }
            self.payments.entry(payment).or_default().push(at);
        }
    }

    /// A frame from a desktop.
    pub(crate) fn desktop_says(&mut self, frame: &[u8]) {
        let Some(raw) = raw_request(frame) else { return };
        self.asked.insert(raw.to_owned());
        let value: Value = serde_json::from_str(raw).unwrap_or_default();
        self.names.extend(value["transactionId"].as_str().map(str::to_owned));
    }

    /// A frame from a terminal.
    pub(crate) fn up(&mut self, at: Index, poi: &str, socket: u64, frame: &[u8]) {
        self.terminals.insert(poi.to_owned());
        let Ok(value) = serde_json::from_slice::<Value>(frame) else { return };
        let answer = match value["action"].as_str() {
            Some("resume") => {
                self.acknowledging.entry(socket).or_insert(at);
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

    /// Whether this was written to a terminal that does not acknowledge, or had not said so on that socket: what it says once
    /// may be lost on the way, and it may not be able to say it again (E26).
    pub(crate) fn is_plain(&self, poi: &str, socket: u64, at: Index) -> bool {
        self.terminals.contains(poi) && self.acknowledging.get(&socket).is_none_or(|said| *said > at)
    }

    /// When the terminal said on this socket that it acknowledges.
    pub(crate) fn resumed(&self, socket: u64) -> Option<Index> {
        self.acknowledging.get(&socket).copied()
    }

    /// Whether this is the socket of an Actions terminal that acknowledges.
    pub(crate) fn is_acknowledging(&self, socket: u64) -> bool {
        self.acknowledging.contains_key(&socket)
    }

    /// Whether a terminal has said itself that it can't tell what became of this transaction.
    pub(crate) fn is_unknown(&self, poi: &str, transaction: &str) -> bool {
        self.unknown.contains(&(poi.to_owned(), transaction.to_owned()))
    }

    /// Whether this payment never left the gateway for its Actions terminal: then whatever was said about it is the gateway's
    /// own word, and nobody says it again.
    pub(crate) fn never_left(&self, poi: &str, delivery: &str, transaction: Option<&str>) -> bool {
        let is_it = |(of, desktop, name): &(String, String, String)| {
            of == poi
                && (desktop == delivery || desktop.starts_with("c_") && Some(name.as_str()) == transaction)
        };
        self.terminals.contains(poi) && !self.payments.keys().any(is_it)
    }

    /// Whether a desktop has asked for a payment of this name.
    pub(crate) fn was_asked_for(&self, transaction: &str) -> bool {
        self.names.contains(transaction)
    }

    /// Each payment of a desktop that was written otherwise than the desktop has: terminal, `transactionId`.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = (Index, &str, &str)> {
        self.foreign.iter().map(|(at, poi, transaction)| (*at, poi.as_str(), transaction.as_str()))
    }

    /// Each time that a payment was written after the first: terminal, `transactionId`.
    pub(crate) fn written_again(&self) -> impl Iterator<Item = (Index, &str, &str)> {
        self.payments.iter().flat_map(|((poi, _, transaction), writes)| {
            writes.iter().skip(1).map(move |at| (*at, poi.as_str(), transaction.as_str()))
        })
    }
}

/// The member `paymentRequest`, byte for byte.
fn raw_request(frame: &[u8]) -> Option<&str> {
    let members: HashMap<String, &RawValue> = serde_json::from_slice(frame).ok()?;
    members.get("paymentRequest").map(|raw| raw.get())
}
