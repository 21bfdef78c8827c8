//! Reads what Actions desktops are told.

use serde_json::Value;

use crate::run::Index;

/// What a desktop was told about one of its payments.
#[derive(Debug)]
pub(crate) struct ToldDesktop {
    pub(crate) at: Index,
    pub(crate) transaction: String,
    pub(crate) says: Says,
}

/// What that means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Money was taken.
    Paid,
    /// None was, and none will be: by which words.
    NotPaid(String),
    /// Nobody knows.
    Unknown,
    /// It was taken, and given back.
    Voided,
    /// About another payment of that name, or nothing that is judged.
    Other,
}

/// Reads a frame.
pub(crate) fn read(at: Index, frame: &[u8]) -> Option<ToldDesktop> {
    let value: Value = serde_json::from_slice(frame).ok()?;
    match value["action"].as_str()? {
        "paymentComplete" => {
            let response = &value["paymentResponse"];
            let transaction = response["transactionId"].as_str()?.to_owned();
            Some(ToldDesktop { at, transaction, says: says(response) })
        }
        "paymentVoided" => {
            let transaction = value["transactionId"].as_str()?.to_owned();
            Some(ToldDesktop { at, transaction, says: Says::Voided })
        }
        _ => None,
    }
}

/// What a `paymentResponse` says.
pub(crate) fn says(response: &Value) -> Says {
    let code = response["errorCode"].as_str().unwrap_or_default();
    match response["status"].as_str() {
        Some("SUCCESS") => Says::Paid,
        Some("FAILED") if code == "TERMINAL_UNREACHABLE" => Says::Unknown,
        // That money was taken it says itself, or it speaks of a payment that never began.
        Some("FAILED") if matches!(code, "PARTIAL_APPROVAL" | "DUPLICATE_TRANSACTION_ID") => Says::Other,
        Some(status @ ("FAILED" | "CANCELLED")) => Says::NotPaid(format!("{status} {code}")),
        _ => Says::Other,
    }
}
