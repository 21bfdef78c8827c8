//! What the two ends call a request: a transaction and a desktop over there, a delivery in here.

use std::fmt::Write as _;

use nexo::{PoiId, ServiceId};
use relay::DeliveryId;
use relay::actions::{TransactionId, service_id_of};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// The longest `desktopId` that is taken, in bytes: an ID of any gateway, and nothing that fills a journal.
pub(super) const DESKTOP_MAX: usize = 256;

/// What the frames of the Actions dialect call a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Asked {
    /// A `paymentRequest`.
    Payment {
        /// Its `transactionId`.
        #[serde(serialize_with = "write", deserialize_with = "read")]
        transaction: TransactionId,
        /// Its `desktopId`.
        desktop: Box<str>,
    },
    /// A `voidRequest`.
    Void {
        /// The payment's `transactionId`.
        #[serde(serialize_with = "write", deserialize_with = "read")]
        transaction: TransactionId,
        /// Its `desktopId`.
        desktop: Box<str>,
    },
}

/// The delivery that a desktop's `paymentRequest` is: the same for the same two names, whenever and however often it comes.
pub fn delivery_of(desktop: &str, transaction: &TransactionId) -> DeliveryId {
    named("d_pay-", &[desktop.as_bytes(), transaction.as_str().as_bytes()])
}

/// The delivery that the `voidRequest` of this number for this payment is.
pub(super) fn void_of(desktop: &str, transaction: &TransactionId, number: u64) -> DeliveryId {
    named("d_void-", &[desktop.as_bytes(), transaction.as_str().as_bytes(), &number.to_be_bytes()])
}

/// The ServiceID of a delivery: the same for the same, as T8 wants it.
pub(super) fn service_of(delivery: &DeliveryId) -> ServiceId {
    service_id_of(delivery.as_str(), &unnamed())
}

/// Stands for a transaction that has no name.
#[expect(clippy::expect_used, reason = "one letter")]
pub(super) fn unnamed() -> TransactionId {
    TransactionId::parse("-").expect("a name")
}

/// A terminal's name, made of the first 32 bits of SHA-256 over its key: so little says nothing about it.
#[expect(clippy::expect_used, reason = "letters, digits and '-'")]
pub(super) fn name_of(key: &str) -> PoiId {
    let digest = Sha256::digest(key.as_bytes());
    let first = digest.iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    PoiId::parse(&format!("actions-terminal-{first:08x}")).expect("a POIID")
}

/// `prefix` and the first 128 bits of SHA-256 over the parts.
#[expect(clippy::expect_used, reason = "letters, digits, '-' and '_', and short enough")]
fn named(prefix: &str, parts: &[&[u8]]) -> DeliveryId {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps apart what would be the same text one after the other.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = String::from(prefix);
    for byte in hash.finalize().iter().take(16) {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    DeliveryId::parse(&text).expect("an ID")
}

fn write<S: Serializer>(transaction: &TransactionId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(transaction.as_str())
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TransactionId, D::Error> {
    let text = String::deserialize(deserializer)?;
    TransactionId::parse(&text).ok_or_else(|| de::Error::custom("no transaction ID"))
}
