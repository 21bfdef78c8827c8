//! Reads the frames of a terminal's link. A message inside keeps its own bytes, for what counts is whether they are the same.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// What the gateway says to a terminal.
#[derive(Debug)]
pub(crate) enum Down<'a> {
    Welcome,
    Deliver {
        delivery: String,
        message: &'a [u8],
    },
    Recorded {
        delivery: String,
        problem: bool,
    },
    /// Nothing that is judged.
    Other,
}

/// What a terminal says to the gateway.
#[derive(Debug)]
pub(crate) enum Up<'a> {
    Hello {
        journal: String,
        resume: Vec<String>,
    },
    Received {
        delivery: String,
    },
    Result {
        delivery: String,
        said: Said<'a>,
    },
    Indeterminate {
        delivery: String,
    },
    /// A notification; one that is to be `recorded` has an ID.
    Notify {
        id: Option<String>,
    },
    /// Nothing that is judged.
    Other,
}

/// What a `result` holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said<'a> {
    Message(&'a [u8]),
    Empty,
    TooLarge,
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a frame on its way down.
pub(crate) fn down(frame: &[u8]) -> Down<'_> {
    let Some(members) = members(frame) else { return Down::Other };
    let delivery = text(&members, "deliveryId");
    match (text(&members, "action").as_deref(), delivery) {
        (Some("welcome"), _) => Down::Welcome,
        (Some("deliver"), Some(delivery)) => match members.get("message") {
            Some(message) => Down::Deliver { delivery, message: message.get().as_bytes() },
            None => Down::Other,
        },
        (Some("recorded"), Some(delivery)) => {
            Down::Recorded { delivery, problem: members.contains_key("problem") }
        }
        _ => Down::Other,
    }
}

/// Reads a frame on its way up.
pub(crate) fn up(frame: &[u8]) -> Up<'_> {
    let Some(members) = members(frame) else { return Up::Other };
    let delivery = text(&members, "deliveryId");
    match (text(&members, "action").as_deref(), delivery) {
        (Some("hello"), _) => {
            let resume = members.get("resume").and_then(|resume| serde_json::from_str(resume.get()).ok());
            let journal = text(&members, "journalId").unwrap_or_default();
            Up::Hello { journal, resume: resume.unwrap_or_default() }
        }
        (Some("received"), Some(delivery)) => Up::Received { delivery },
        (Some("indeterminate"), Some(delivery)) => Up::Indeterminate { delivery },
        (Some("result"), Some(delivery)) => {
            let said = match members.get("message") {
                Some(message) => Said::Message(message.get().as_bytes()),
                None if members.contains_key("tooLarge") => Said::TooLarge,
                None => Said::Empty,
            };
            Up::Result { delivery, said }
        }
        (Some("notify"), _) => Up::Notify { id: text(&members, "notificationId") },
        _ => Up::Other,
    }
}

/// The pieces of a response that a TransactionStatus has to repeat byte for byte: its header, and its other members.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pieces<'a> {
    header: &'a str,
    /// In the order of their names.
    members: Vec<(String, &'a str)>,
}

/// Takes `{"SaleToPOIResponse":{…}}` apart.
pub(crate) fn pieces_of_response(message: &[u8]) -> Option<Pieces<'_>> {
    let outer = members(message)?;
    let mut inner = members(outer.get("SaleToPOIResponse")?.get().as_bytes())?;
    Some(Pieces { header: inner.remove("MessageHeader")?.get(), members: texts(inner) })
}

/// Takes apart what a TransactionStatusResponse repeats.
pub(crate) fn pieces_repeated(message: &[u8]) -> Option<Pieces<'_>> {
    let outer = members(message)?;
    let response = members(outer.get("SaleToPOIResponse")?.get().as_bytes())?;
    let status = members(response.get("TransactionStatusResponse")?.get().as_bytes())?;
    let repeated = members(status.get("RepeatedMessageResponse")?.get().as_bytes())?;
    let body = members(repeated.get("RepeatedResponseMessageBody")?.get().as_bytes())?;
    Some(Pieces { header: repeated.get("MessageHeader")?.get(), members: texts(body) })
}

fn texts(members: Members<'_>) -> Vec<(String, &str)> {
    members.into_iter().map(|(name, value)| (name, value.get())).collect()
}

fn members(object: &[u8]) -> Option<Members<'_>> {
    serde_json::from_slice(object).ok()
}

fn text(members: &Members<'_>, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}
