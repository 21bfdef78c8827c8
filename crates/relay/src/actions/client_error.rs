//! What a client hears of a frame that can't be carried out, and how many of them it may send.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::shortened;
use crate::time::Now;

/// Errors within [`ERRORS_WITHIN`] that close a connection: a client that is wrong this often does not read its answers.
pub const ERRORS_MAX: usize = 20;

/// See [`ERRORS_MAX`].
pub const ERRORS_WITHIN: Duration = Duration::from_secs(10);

/// What is repeated of a client's own word in an error, in bytes.
const WORD_MAX: usize = 64;

/// An error as a client reads it. The connection stays open.
///
/// ```json
/// {"error":"Bad Request","message":"terminalId is required"}
/// ```
/// Source: the page, "Error Response Format" and "Common Errors". Texts that it does not have are of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.as_str())]
pub struct ClientError {
    /// Member `error`.
    pub kind: ErrorKind,
    /// Member `message`.
    pub message: Cow<'static, str>,
}

/// The word in an error's member `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The frame can't be carried out as it is.
    BadRequest,
    /// What it names is not there.
    NotFound,
    /// It is there, and not for this client.
    Forbidden,
    /// The gateway's own fault.
    InternalServerError,
    /// A limit, which others of the same key may have used up. Written as `Bad Request`: the page has no word for it.
    OverLimit,
}

impl ErrorKind {
    const ALL: [ErrorKind; 4] =
        [ErrorKind::BadRequest, ErrorKind::NotFound, ErrorKind::Forbidden, ErrorKind::InternalServerError];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::BadRequest | ErrorKind::OverLimit => "Bad Request",
            ErrorKind::NotFound => "Not Found",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::InternalServerError => "Internal Server Error",
        }
    }

    /// Reads the word. What is over a limit reads as a bad request.
    pub fn parse(text: &str) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl ClientError {
    /// Malformed, or JSON that is no object.
    pub const INVALID_JSON: ClientError =
        ClientError::fixed(ErrorKind::BadRequest, "Invalid JSON in message body");
    /// The `terminalId` has the form of a connection's ID, and there is no such connection (any more).
    pub const CONNECTION_NOT_FOUND: ClientError =
        ClientError::fixed(ErrorKind::NotFound, "Connection not found");
    /// The `terminalId` names a device that is not connected, or nothing at all.
    pub const TERMINAL_NOT_FOUND: ClientError =
        ClientError::fixed(ErrorKind::NotFound, "Terminal connection not found");
    /// A terminal asks for the list.
    pub const ONLY_DESKTOPS_LIST: ClientError =
        ClientError::fixed(ErrorKind::Forbidden, "Only desktop devices can request terminal list");
    /// A terminal sends `payment`.
    pub const ONLY_DESKTOPS_PAY: ClientError =
        ClientError::fixed(ErrorKind::Forbidden, "Only desktop devices can request payments");
    /// The `terminalId` names a terminal of another group of the same company.
    pub const OTHER_GROUP: ClientError =
        ClientError::fixed(ErrorKind::Forbidden, "Cannot send message to connection in different group");
    /// The gateway can't carry it out now.
    pub const FAILED: ClientError =
        ClientError::fixed(ErrorKind::InternalServerError, "Failed to process message");

    const fn fixed(kind: ErrorKind, message: &'static str) -> ClientError {
        ClientError { kind, message: Cow::Borrowed(message) }
    }

    /// `Bad Request` with this text.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> ClientError {
        ClientError { kind: ErrorKind::BadRequest, message: message.into() }
    }

    /// A limit says no; the text has the limit's name.
    pub fn over_limit(message: impl Into<Cow<'static, str>>) -> ClientError {
        ClientError { kind: ErrorKind::OverLimit, message: message.into() }
    }

    /// `Bad Request`: `<member> is required`.
    pub fn required(member: &str) -> ClientError {
        ClientError::bad_request(format!("{member} is required"))
    }

    /// A desktop sends what only a terminal may: `Only terminal devices can send <action>`.
    pub fn only_terminals(action: &str) -> ClientError {
        ClientError {
            kind: ErrorKind::Forbidden,
            message: format!("Only terminal devices can send {action}").into(),
        }
    }

    /// `Not Found`: `Transaction not found`, for a terminal that speaks of one that it was never sent.
    pub(super) const TRANSACTION_NOT_FOUND: ClientError =
        ClientError::fixed(ErrorKind::NotFound, "Transaction not found");

    pub(super) fn unknown_action(action: &str) -> ClientError {
        ClientError::bad_request(format!("Unknown action: {}", shortened(action, WORD_MAX)))
    }
}

/// Counts one client's errors: the twentieth within ten seconds closes its connection (1008). What is no error of its own is
/// not counted: what the gateway can't do, and what others of the same key have used up.
#[derive(Clone, Debug, Default)]
pub struct ErrorPace {
    at: VecDeque<Duration>,
}

impl ErrorPace {
    /// One more error. Whether it is one too many.
    pub fn is_exhausted_by(&mut self, now: Now, error: &ClientError) -> bool {
        if matches!(error.kind, ErrorKind::InternalServerError | ErrorKind::OverLimit) {
            return false;
        }
        while self.at.front().is_some_and(|at| now.mono.saturating_sub(*at) >= ERRORS_WITHIN) {
            self.at.pop_front();
        }
        self.at.push_back(now.mono);
        self.at.len() >= ERRORS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallMs;

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), wall: WallMs(0) }
    }

    #[test]
    fn the_twentieth_error_within_ten_seconds_is_one_too_many() {
        let mut pace = ErrorPace::default();
        for error in 0..19 {
            assert!(!pace.is_exhausted_by(at(error * 526), &ClientError::INVALID_JSON), "{error}");
        }
        assert!(pace.is_exhausted_by(at(9_999), &ClientError::INVALID_JSON));
    }

    #[test]
    fn what_is_no_error_of_the_clients_is_not_counted() {
        let mut pace = ErrorPace::default();
        for _ in 0..100 {
            assert!(!pace.is_exhausted_by(at(0), &ClientError::FAILED));
            assert!(!pace.is_exhausted_by(at(0), &ClientError::over_limit("limit")));
        }
        for _ in 0..19 {
            assert!(!pace.is_exhausted_by(at(1), &ClientError::TERMINAL_NOT_FOUND));
        }
        assert!(pace.is_exhausted_by(at(1), &ClientError::TERMINAL_NOT_FOUND));
    }

    #[test]
    fn a_client_that_is_wrong_less_often_stays() {
        let mut pace = ErrorPace::default();
        for error in 0..1000 {
            assert!(!pace.is_exhausted_by(at(error * 527), &ClientError::INVALID_JSON), "{error}");
        }
    }

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::parse("Teapot"), None);
    }
}
