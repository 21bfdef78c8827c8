//! What both ends call a payment, and the words for how it went.

use std::fmt;

use bytes::Bytes;
use nexo::Kept;

use super::json::Object;

/// A `transactionId`: names one payment of one desktop's credential for 48 h, such as `TXN-20240115-001`.
///
/// 1 to 128 characters, none of them a control character. A terminal may have two of the same name, from two desktops.
/// It is a reference, and kept as such: a row of digits in it is no card number. A text that can't be kept even so, such as
/// the track of a card, is none.
/// Source: the page's examples, where it is any text; the bounds are ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(Box<str>);

impl TransactionId {
    /// What one has to be, for error texts.
    pub const EXPECTED: &'static str = "1 to 128 characters without control characters or card data";

    /// Characters. A UUID has 36, and the longest reference of a POS that we know of 80.
    const LENGTH_MAX: usize = 128;

    /// Takes the text of one; none when it can't be one.
    pub fn parse(text: &str) -> Option<TransactionId> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
        (fits && can_be_kept(text)).then(|| TransactionId(text.into()))
    }

    /// The text as it travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As the reference that it is.
fn can_be_kept(text: &str) -> bool {
    let member: Bytes = Object::new().text("transactionId", text).end();
    !Kept::of(&member).is_changed()
}

/// `status` of a `paymentResponse` or `voidResponse`.
///
/// Source: sibling page "Payment response"; `UNKNOWN` is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// Paid.
    Success,
    /// Not paid.
    Failed,
    /// Not paid: the customer or the shop called it off.
    Cancelled,
    /// It runs. Never an end: a terminal that says so is still at work.
    Pending,
    /// Only from a terminal: it had the request and can't find out any more what became of it. Never told to a desktop.
    Unknown,
}

impl PaymentStatus {
    const ALL: [PaymentStatus; 5] = [
        PaymentStatus::Success,
        PaymentStatus::Failed,
        PaymentStatus::Cancelled,
        PaymentStatus::Pending,
        PaymentStatus::Unknown,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentStatus::Success => "SUCCESS",
            PaymentStatus::Failed => "FAILED",
            PaymentStatus::Cancelled => "CANCELLED",
            PaymentStatus::Pending => "PENDING",
            PaymentStatus::Unknown => "UNKNOWN",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<PaymentStatus> {
        PaymentStatus::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_short_text_may_name_a_transaction() {
        for good in [
            "T",
            "TXN 1/a",
            "TXN-20240115-001",
            "0190c5a2-7f3e-7cc1-8d2e-3c5b1e9f0a77",
            "4111111111111111",
            "€ 5 for Zoë",
            &"ä".repeat(128),
        ] {
            assert_eq!(TransactionId::parse(good).expect("a name").as_str(), good);
        }
        let track = ";4111111111111111=25121010000012345678?";
        for bad in ["", "a\nb", "a\0", &"a".repeat(129), track] {
            assert_eq!(TransactionId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in PaymentStatus::ALL {
            assert_eq!(PaymentStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(PaymentStatus::parse("success"), None);
    }
}
