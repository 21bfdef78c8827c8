//! What both ends call a payment, and the words for how it went.

use std::fmt;

/// A `transactionId`: names one payment of one desktop's credential for 48 h, such as `TXN-20240115-001`.
///
/// 1 to 128 characters, none of them a control character. A terminal may have two of the same name, from two desktops.
/// Source: the page's examples, where it is any text; the bounds are ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(Box<str>);

impl TransactionId {
    /// What one has to be, for error texts.
    pub(super) const EXPECTED: &'static str = "1 to 128 characters without control characters";

    /// Takes the text of one; none when it can't be one.
    pub fn parse(text: &str) -> Option<TransactionId> {
        let fits = (1..=128).contains(&text.chars().count()) && !text.contains(char::is_control);
        fits.then(|| TransactionId(text.into()))
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
        for good in ["T", "TXN-20240115-001", "€ 5 for Zoë", &"ä".repeat(128)] {
            assert_eq!(TransactionId::parse(good).expect("a name").as_str(), good);
        }
        for bad in ["", "a\nb", &"a".repeat(129)] {
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
