//! How a request went: the object `Response` that stands in every response's body.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// The object `Response` of a response's body.
///
/// ```json
/// {"Result":"Failure","ErrorCondition":"Busy","AdditionalResponse":"message=In%20use"}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `Response`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResponseOutcome {
    /// Whether it succeeded.
    pub result: ResultCode,
    /// Why it did not; present unless `result` is `Success`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_condition: Option<ErrorCondition>,
    /// More about it, to be read with [`AdditionalResponse`](crate::AdditionalResponse).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_response: Option<String>,
}

impl ResponseOutcome {
    /// `Success`, with nothing to add.
    pub fn success() -> Self {
        Self { result: ResultCode::Success, error_condition: None, additional_response: None }
    }

    /// `Failure` for the given reason, with nothing to add.
    pub fn failure(condition: ErrorCondition) -> Self {
        Self { result: ResultCode::Failure, error_condition: Some(condition), additional_response: None }
    }

    /// The same with an `AdditionalResponse`, already encoded.
    #[must_use]
    pub fn with_additional(mut self, additional_response: impl Into<String>) -> Self {
        self.additional_response = Some(additional_response.into());
        self
    }

    /// `message=<text>` as `AdditionalResponse`, blanks written as `+`; none for an empty text.
    #[must_use]
    pub(crate) fn with_message(mut self, message: &str) -> Self {
        self.additional_response = (!message.is_empty()).then(|| {
            form_urlencoded::Serializer::new(String::new()).append_pair("message", message).finish()
        });
        self
    }
}

/// `Result`: whether a request succeeded.
///
/// Source: nexo Sale to POI protocol 3.0, `Response.Result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResultCode {
    /// Done as asked.
    Success,
    /// Done in part; the body says which.
    Partial,
    /// Not done.
    Failure,
}

words! {
    /// `ErrorCondition`: why a request failed. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `Response.ErrorCondition`.
    ErrorCondition {
        ABORTED = "Aborted",
        BUSY = "Busy",
        CANCEL = "Cancel",
        DEVICE_OUT = "DeviceOut",
        IN_PROGRESS = "InProgress",
        INSERTED_CARD = "InsertedCard",
        INVALID_CARD = "InvalidCard",
        LOGGED_OUT = "LoggedOut",
        MESSAGE_FORMAT = "MessageFormat",
        NOT_ALLOWED = "NotAllowed",
        NOT_FOUND = "NotFound",
        PAYMENT_RESTRICTION = "PaymentRestriction",
        REFUSAL = "Refusal",
        UNAVAILABLE_DEVICE = "UnavailableDevice",
        UNAVAILABLE_SERVICE = "UnavailableService",
        UNREACHABLE_HOST = "UnreachableHost",
        WRONG_PIN = "WrongPIN",
    }
}

/// The body of every response that says only how it went, such as `EnableServiceResponse` or `PrintResponse`.
///
/// Source: Terminal API, `EnableServiceResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlainResponse {
    /// How it went.
    pub response: ResponseOutcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_written_without_what_it_does_not_have() {
        assert_eq!(serde_json::to_string(&ResponseOutcome::success()).unwrap(), r#"{"Result":"Success"}"#);
        assert_eq!(
            serde_json::to_string(&ResponseOutcome::failure(ErrorCondition::BUSY).with_additional("a=b"))
                .unwrap(),
            r#"{"Result":"Failure","ErrorCondition":"Busy","AdditionalResponse":"a=b"}"#
        );
    }

    #[test]
    fn a_message_is_form_encoded_with_plus_for_blanks() {
        let outcome = ResponseOutcome::failure(ErrorCondition::BUSY).with_message("50% of a&b=c+d");
        assert_eq!(outcome.additional_response.as_deref(), Some("message=50%25+of+a%26b%3Dc%2Bd"));
        assert_eq!(ResponseOutcome::success().with_message("").additional_response, None);
    }
}
