//! Why a link is closed, as close codes and texts.

use std::borrow::Cow;

use crate::frame::{FrameError, shortened};
use crate::id::ProcessId;

/// The text of 4400 for a frame that is no text.
pub(super) const BINARY: &str = "frames must be text, got binary";

/// Why a link is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// 1000: the end has no further use for it.
    Normal,
    /// 1001: the program of this end stops.
    Stopping,
    /// 1009: a frame is longer than the limit.
    TooLarge,
    /// 4400: the other end broke the protocol; the text says how.
    Protocol(String),
    /// 4403 `board-again`: the gateway doesn't know this journal.
    BoardAgain,
    /// 4403 `not-in-store`: the terminal is in inventory, where no terminal works.
    NotInStore,
    /// 4403 `websockets-disabled`: switched off in the settings.
    WebSocketsDisabled,
    /// 4408: nothing was heard for too long.
    Silent,
    /// 4409: a newer link of the same terminal took over.
    Replaced {
        /// The program at the other end of the newer link.
        winner: ProcessId,
    },
    /// 4429: the other end reads too slowly; its queue is full.
    TooSlow,
    /// 4503: this node takes no more links for now.
    Draining,
}

impl CloseReason {
    /// The longest reason that a WebSocket close frame has room for, in bytes.
    pub const TEXT_MAX: usize = 123;

    /// The close code.
    pub fn code(&self) -> u16 {
        match self {
            CloseReason::Normal => 1000,
            CloseReason::Stopping => 1001,
            CloseReason::TooLarge => 1009,
            CloseReason::Protocol(_) => 4400,
            CloseReason::BoardAgain | CloseReason::NotInStore | CloseReason::WebSocketsDisabled => 4403,
            CloseReason::Silent => 4408,
            CloseReason::Replaced { .. } => 4409,
            CloseReason::TooSlow => 4429,
            CloseReason::Draining => 4503,
        }
    }

    /// The reason as it travels, at most [`CloseReason::TEXT_MAX`] bytes. With 4403 it is one of three words, with
    /// 4409 the winner's `processId` and nothing else.
    pub fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            CloseReason::Normal => "done",
            CloseReason::Stopping => "stopping",
            CloseReason::TooLarge => "frame too large",
            CloseReason::Protocol(problem) => shortened(problem, Self::TEXT_MAX),
            CloseReason::BoardAgain => "board-again",
            CloseReason::NotInStore => "not-in-store",
            CloseReason::WebSocketsDisabled => "websockets-disabled",
            CloseReason::Silent => "silent for too long",
            CloseReason::Replaced { winner } => winner.as_str(),
            CloseReason::TooSlow => "too slow a reader",
            CloseReason::Draining => "draining",
        })
    }

    /// What the other end meant by a close frame; none for a code that this protocol doesn't use.
    pub fn from_wire(code: u16, text: &str) -> Option<CloseReason> {
        Some(match (code, text) {
            (1000, _) => CloseReason::Normal,
            (1001, _) => CloseReason::Stopping,
            (1009, _) => CloseReason::TooLarge,
            (4400, _) => CloseReason::Protocol(text.into()),
            (4403, "board-again") => CloseReason::BoardAgain,
            (4403, "not-in-store") => CloseReason::NotInStore,
            // Maintenance calls find out about any other switch.
            (4403, _) => CloseReason::WebSocketsDisabled,
            (4408, _) => CloseReason::Silent,
            (4409, _) => match ProcessId::parse(text) {
                Ok(winner) => CloseReason::Replaced { winner },
                Err(e) => CloseReason::Protocol(format!("4409 must name the winner: {e}")),
            },
            (4429, _) => CloseReason::TooSlow,
            (4503, _) => CloseReason::Draining,
            _ => return None,
        })
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> CloseReason {
        CloseReason::Protocol(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        let winner = ProcessId::parse(&"p".repeat(ProcessId::LENGTH_MAX)).expect("an ID");
        for reason in [
            CloseReason::Normal,
            CloseReason::Stopping,
            CloseReason::TooLarge,
            CloseReason::Protocol("second hello".into()),
            CloseReason::BoardAgain,
            CloseReason::NotInStore,
            CloseReason::WebSocketsDisabled,
            CloseReason::Silent,
            CloseReason::Replaced { winner },
            CloseReason::TooSlow,
            CloseReason::Draining,
        ] {
            assert!(reason.text().len() <= CloseReason::TEXT_MAX);
            assert_eq!(CloseReason::from_wire(reason.code(), &reason.text()), Some(reason));
        }
    }

    #[test]
    fn a_long_problem_is_cut_between_characters() {
        let reason = CloseReason::Protocol("é".repeat(200));
        assert_eq!(reason.text(), "é".repeat(61));
    }

    #[test]
    fn foreign_codes_mean_nothing() {
        assert_eq!(CloseReason::from_wire(1006, ""), None);
        assert!(matches!(CloseReason::from_wire(4409, "no one"), Some(CloseReason::Protocol(_))));
    }
}
