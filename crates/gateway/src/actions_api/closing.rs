//! Why the gateway closes a socket of the Actions API, and how it says so.

use bytes::Bytes;
use relay::actions::ToClient;
use relay::{CloseReason, WallMs};

use crate::clock::rfc3339;
use crate::http::socket::{Socket, WriteError};

/// Why a socket is closed. Codes are those of the terminals' link, and 1008 for a client that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The client has closed, or is lost.
    Normal,
    /// The gateway stops.
    Stopping,
    /// One bad frame after another.
    Errors,
    /// A frame was longer than may be.
    TooLarge,
    /// Its key was revoked.
    KeyEnded,
    /// WebSockets were switched off for it.
    SwitchedOff,
    /// Nothing was heard of it for too long.
    Silent,
    /// Its own next connection took its place.
    Replaced,
    /// It reads too slowly.
    TooSlow,
    /// It is to connect again in a moment.
    Draining,
}

impl Closing {
    /// The close code.
    pub(super) fn code(self) -> u16 {
        match self {
            Closing::Normal => 1000,
            Closing::Stopping => 1001,
            Closing::Errors => 1008,
            Closing::TooLarge => 1009,
            Closing::KeyEnded | Closing::SwitchedOff => 4403,
            Closing::Silent => 4408,
            Closing::Replaced => 4409,
            Closing::TooSlow => 4429,
            Closing::Draining => 4503,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Closing::Normal => "done",
            Closing::Stopping => "stopping",
            Closing::Errors => "too many errors",
            Closing::TooLarge => "frame too large",
            Closing::KeyEnded => "this API key is not valid any more",
            Closing::SwitchedOff => "WebSockets are switched off for this terminal",
            Closing::Silent => "silent for too long",
            Closing::Replaced => "replaced by a newer connection",
            Closing::TooSlow => "too slow a reader",
            Closing::Draining => "connect again in a moment",
        }
    }

    /// Closes a socket for this reason.
    pub(super) fn close(self, socket: Socket) -> impl Future<Output = ()> + Send {
        self.close_after(None, socket)
    }

    /// The same after a last frame.
    pub(super) fn close_after(
        self,
        last_words: Option<Bytes>,
        socket: Socket,
    ) -> impl Future<Output = ()> + Send {
        socket.close(last_words, self.code(), self.text())
    }
}

/// What a socket is told last when another one of the same client has taken its place.
pub(super) fn displaced(now: WallMs) -> Bytes {
    // From the source.
    let reason = "REPLACED_BY_NEW_CONNECTION".into();
    ToClient::ForceDisconnect { reason, timestamp: rfc3339(now) }.encode()
}

impl From<CloseReason> for Closing {
    fn from(reason: CloseReason) -> Closing {
        match reason {
            CloseReason::Normal => Closing::Normal,
            CloseReason::WebSocketsDisabled => Closing::SwitchedOff,
            // The protocol is between two ends of the gateway here: the client has done nothing wrong.
            CloseReason::Protocol(_) => Closing::Draining,
            CloseReason::Stopping => Closing::Stopping,
            CloseReason::TooLarge => Closing::TooLarge,
            CloseReason::BoardAgain | CloseReason::NotInStore => Closing::KeyEnded,
            CloseReason::Silent => Closing::Silent,
            CloseReason::Replaced { .. } => Closing::Replaced,
            CloseReason::TooSlow => Closing::TooSlow,
            CloseReason::Draining => Closing::Draining,
        }
    }
}

impl From<WriteError> for Closing {
    fn from(error: WriteError) -> Closing {
        CloseReason::from(error).into()
    }
}
