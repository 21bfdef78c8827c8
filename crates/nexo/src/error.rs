//! What can be wrong with a message, told apart as far as the answers to it differ.

use crate::{MessageHeader, TransactionIdentification};

/// Why a text could not be read as the Sale to POI message, or the part of one, that it should be.
///
/// Every text says what was expected and what came. None repeats a message's body; of the header only IDs and other
/// short values are shown, shortened where they are long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is empty or holds nothing but white space.
    #[error("expected a Sale to POI message, got an empty body")]
    Empty,
    /// The body is no JSON text, or not UTF-8.
    #[error("expected JSON, got something else")]
    NotJson,
    /// The body is JSON, but its outermost value is no object.
    #[error("expected a JSON object, got another JSON value")]
    NotAnObject,
    /// The message or its `MessageHeader` is missing, incomplete, or could be understood in two ways.
    #[error("{problem}")]
    Header {
        /// What was expected and what came.
        problem: String,
        /// `POIID` as it came, when it was a text that is not empty.
        poi_id: Option<String>,
        /// `SaleID` as it came, when it was a text that is not empty.
        sale_id: Option<String>,
        /// `ServiceID` as it came, when it was a text that is not empty.
        service_id: Option<String>,
        /// `DeviceID` as it came, when it was a text that is not empty.
        device_id: Option<String>,
    },
    /// The header is complete, but its `ServiceID` is not one to ten ASCII letters or digits.
    ///
    /// Enough is known to answer in the request's own category: see
    /// [`FailureResponse::to_json_with_service_id`](crate::FailureResponse::to_json_with_service_id).
    #[error("ServiceID: expected 1 to 10 ASCII letters or digits, got {}", describe(.service_id))]
    ServiceId {
        /// The header without its `ServiceID`.
        header: Box<MessageHeader>,
        /// The `ServiceID` as it came; may be empty.
        service_id: String,
        /// `SaleData.SaleTransactionID` of the request, when readable.
        sale_transaction_id: Option<Box<TransactionIdentification>>,
    },
    /// A single value is outside its range.
    #[error("{member}: expected {expected}, got {came}")]
    Value {
        /// The value's name on the wire.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it was, shortened.
        came: String,
    },
    /// The body of the message's category is absent, encrypted, given twice, or not of the wanted shape.
    #[error("{member}: {problem}")]
    Body {
        /// The wanted member, such as `PaymentRequest`.
        member: String,
        /// What was expected and what came, without the body's own values.
        problem: String,
    },
}

/// Shows a text from outside in an error: quoted, and only its beginning when it is long.
pub(crate) fn describe(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        _ if text.is_empty() => "an empty text".to_owned(),
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and {} bytes more", &text[..end], text.len() - end),
    }
}

/// Says what a body lacked, keeping serde's fixed words and dropping the values it quotes: those may be card data.
pub(crate) fn body_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
    let problem = if text.starts_with("missing field") || text.starts_with("duplicate field") {
        text.to_owned()
    } else if let Some((_, expected)) = text.rsplit_once(", expected ") {
        format!("expected {expected}, got something else")
    } else {
        "does not have the expected shape".to_owned()
    };
    format!("{problem} (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_by_its_beginning() {
        assert_eq!(describe(""), "an empty text");
        assert_eq!(describe("A-1"), "\"A-1\"");
        assert_eq!(describe(&"ä".repeat(41)), format!("{:?} and 2 bytes more", "ä".repeat(40)));
    }

    #[test]
    fn a_body_problem_never_quotes_the_value_that_came() {
        let error = serde_json::from_str::<Vec<u8>>(r#"["4111, expected 1111"]"#).unwrap_err();
        assert_eq!(body_problem(&error), "expected u8, got something else (line 1, column 22)");
    }
}
