//! What a terminal writes down, as plain data. Where and how is the owner's affair.

use bytes::Bytes;
use nexo::{Amount, MessageHeader, SaleId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::id::DeliveryId;
use crate::time::WallMs;

/// One entry of a journal. Entries are appended in order; those on disk are always the first ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JournalEntry {
    /// The attempt of the latest connect (T2).
    Attempt(u64),
    /// A delivery came (T4).
    Stored {
        /// Which one.
        delivery: DeliveryId,
        /// When it came.
        at: WallMs,
        /// `{"SaleToPOIRequest":{…}}`, byte for byte.
        #[serde(with = "text")]
        message: Bytes,
    },
    /// It is about to be started: from here on it may have happened.
    Started(DeliveryId),
    /// It has ended (T5).
    Finished {
        /// Which one.
        delivery: DeliveryId,
        /// When it ended.
        at: WallMs,
        /// How.
        outcome: Outcome,
        /// What was done with money.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        execution: Option<Execution>,
    },
    /// The gateway has the result on its disk.
    Recorded(DeliveryId),
    /// An encrypted answer said that no request has this ServiceID: none of it will be started any more.
    Fenced {
        /// Which one.
        service: ServiceId,
        /// When it was said.
        at: WallMs,
    },
    /// In a compacted journal: a delivery that has ended.
    Remembered {
        /// Which one.
        delivery: DeliveryId,
        /// When it came.
        at: WallMs,
        /// Its header, if it had one that can be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<Box<MessageHeader>>,
        /// How it ended.
        outcome: Outcome,
        /// Whether the gateway has the result on its disk.
        recorded: bool,
    },
    /// In a compacted journal: something that was done with money.
    Executed(Execution),
    /// In a compacted journal: how many approved payments are no longer remembered one by one.
    ExecutedBefore(u64),
}

/// How a delivery has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// With `{"SaleToPOIResponse":{…}}`, byte for byte.
    Message(#[serde(with = "text")] Bytes),
    /// Without a message, as Abort and InputUpdate do.
    Empty,
    /// The terminal can't tell, for this reason (T6).
    Indeterminate(String),
}

/// Something that was done with money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// For which delivery.
    pub delivery: DeliveryId,
    /// What.
    pub kind: ExecutionKind,
    /// The request's ServiceID.
    pub service: Option<ServiceId>,
    /// The Sale system that asked.
    pub sale: SaleId,
    /// TransactionID of the request's SaleTransactionID, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_transaction: Option<String>,
    /// TransactionID of the response's POITransactionID.
    pub poi_transaction: String,
    /// How much, in major units.
    pub amount: Amount,
    /// Three letters, ISO 4217.
    pub currency: String,
    /// When.
    pub at: WallMs,
}

/// What was done with money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutionKind {
    /// A payment was approved.
    Payment,
    /// An earlier payment, or a part of it, was given back.
    Reversal {
        /// TransactionID of that payment's POITransactionID.
        of: String,
    },
}

/// A message inside an entry: a string, for its own line breaks must not end the entry's line.
mod text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, ser};

    pub(super) fn serialize<S: Serializer>(message: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(message).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        String::deserialize(deserializer).map(Bytes::from)
    }
}
