//! The terminal's end of a link.

use std::time::Duration;

use bytes::Bytes;

use crate::frame::{FRAME_OVERHEAD, Heartbeat, ToTerminal};
use crate::time::Now;

use super::keepalive::{Beat, HANDSHAKE_TIMEOUT, Keepalive, LinkAction};
use super::{CloseReason, close};

/// The most that a terminal takes a gateway's `bodyLimit` for, in bytes.
const BODY_LIMIT_MAX: u32 = 1024 * 1024;

/// The terminal's end of one link, from the `hello` to the close.
///
/// After every `handle_*`, drain [`TerminalEnd::poll_action`], then ask [`TerminalEnd::poll_timeout`]. It never asks for
/// a [`LinkAction::Probe`].
#[derive(Debug)]
pub struct TerminalEnd {
    phase: Phase,
    keepalive: Keepalive,
    body_limit: u32,
    ping_due: bool,
}

#[derive(Debug)]
enum Phase {
    AwaitingWelcome { until: Duration },
    Open,
    Closing(CloseReason),
    Closed(CloseReason),
}

impl TerminalEnd {
    /// A link whose `hello` was just sent: it waits [`HANDSHAKE_TIMEOUT`] for `welcome`.
    pub fn new(now: Now) -> TerminalEnd {
        TerminalEnd {
            phase: Phase::AwaitingWelcome { until: now.mono.saturating_add(HANDSHAKE_TIMEOUT) },
            keepalive: Keepalive::new(now, Heartbeat::DEFAULT),
            body_limit: BODY_LIMIT_MAX,
            ping_due: false,
        }
    }

    /// Whether the gateway has sent `welcome` and the link still stands.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// A text frame arrived. The first one is a `welcome`, and only that.
    ///
    /// # Errors
    /// The link has to be closed for this reason; it will not be offered by [`TerminalEnd::poll_action`] again.
    pub fn handle_text(&mut self, now: Now, frame: &Bytes) -> Result<ToTerminal, CloseReason> {
        self.hear(now)?;
        let read = self.read(now, frame);
        if let Err(reason) = &read {
            self.phase = Phase::Closed(reason.clone());
        }
        read
    }

    /// A binary frame arrived: close for the reason that is returned.
    pub fn handle_binary(&mut self, now: Now) -> CloseReason {
        if let Err(reason) = self.hear(now) {
            return reason;
        }
        let reason = CloseReason::Protocol(close::BINARY.into());
        self.phase = Phase::Closed(reason.clone());
        reason
    }

    /// A ping or pong arrived.
    pub fn handle_alive(&mut self, now: Now) {
        // A link that is closed stays so.
        let _ = self.hear(now);
    }

    /// When [`TerminalEnd::handle_timeout`] is due, on the monotonic clock; never for a closed link.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::AwaitingWelcome { until } => Some(*until),
            Phase::Open => Some(self.keepalive.due()),
            Phase::Closing(_) | Phase::Closed(_) => None,
        }
    }

    /// Time has passed; too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        match &self.phase {
            Phase::AwaitingWelcome { until } if now.mono >= *until => {
                self.phase = Phase::Closing(CloseReason::Silent);
            }
            Phase::Open => match self.keepalive.handle_timeout(now) {
                Some(Beat::Ping) => self.ping_due = true,
                Some(Beat::Dead) => self.phase = Phase::Closing(CloseReason::Silent),
                None => {}
            },
            Phase::AwaitingWelcome { .. } | Phase::Closing(_) | Phase::Closed(_) => {}
        }
    }

    /// The next thing to do; none when all is done for now.
    pub fn poll_action(&mut self) -> Option<LinkAction> {
        if let Phase::Closing(reason) = &self.phase {
            let reason = reason.clone();
            self.phase = Phase::Closed(reason.clone());
            return Some(LinkAction::Close(reason));
        }
        let open = matches!(self.phase, Phase::Open);
        (std::mem::take(&mut self.ping_due) && open).then_some(LinkAction::Ping)
    }

    fn read(&mut self, now: Now, frame: &Bytes) -> Result<ToTerminal, CloseReason> {
        let frame_max = usize::try_from(self.body_limit).unwrap_or(usize::MAX).saturating_add(FRAME_OVERHEAD);
        if frame.len() > frame_max {
            return Err(CloseReason::TooLarge);
        }
        let frame = ToTerminal::decode(frame)?;
        match (&self.phase, &frame) {
            (Phase::AwaitingWelcome { .. }, ToTerminal::Welcome(welcome)) => {
                self.keepalive = Keepalive::new(now, welcome.heartbeat);
                self.body_limit = welcome.body_limit.min(BODY_LIMIT_MAX);
                self.phase = Phase::Open;
            }
            (Phase::AwaitingWelcome { .. }, _) => {
                return Err(CloseReason::Protocol("the first frame must be welcome".into()));
            }
            (_, ToTerminal::Welcome(_)) => return Err(CloseReason::Protocol("second welcome".into())),
            (_, _) => {}
        }
        Ok(frame)
    }

    fn hear(&mut self, now: Now) -> Result<(), CloseReason> {
        match &self.phase {
            Phase::Closing(reason) | Phase::Closed(reason) => Err(reason.clone()),
            Phase::AwaitingWelcome { .. } | Phase::Open => {
                self.keepalive.hear(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallMs;

    const WELCOME: &[u8] = br#"{"action":"welcome","connectionId":"c_1","serverTime":"2026-11-20T09:15:00.000Z","heartbeat":{"intervalSeconds":3,"timeoutSeconds":2},
        "terminal":{"poiId":"V400m-324688179","merchantAccount":"M"},"settings":{"revision":0},"bodyLimit":4096}"#;
    const RECORDED: &[u8] = br#"{"action":"recorded","deliveryId":"d_1"}"#;

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: WallMs(0) }
    }

    #[test]
    fn welcome_comes_first_and_once() {
        let mut end = TerminalEnd::new(at(0));
        assert_eq!(
            end.handle_text(at(1), &Bytes::from_static(RECORDED)),
            Err(CloseReason::Protocol("the first frame must be welcome".into()))
        );

        let mut end = TerminalEnd::new(at(0));
        assert!(end.handle_text(at(1), &Bytes::from_static(WELCOME)).is_ok());
        assert!(end.is_open());
        assert!(end.handle_text(at(1), &Bytes::from_static(RECORDED)).is_ok());
        assert_eq!(
            end.handle_text(at(1), &Bytes::from_static(WELCOME)),
            Err(CloseReason::Protocol("second welcome".into()))
        );
        assert!(!end.is_open());
    }

    #[test]
    fn a_gateway_that_says_nothing_is_given_up() {
        let mut end = TerminalEnd::new(at(0));
        end.handle_timeout(at(9));
        assert_eq!(end.poll_action(), None);
        end.handle_timeout(at(10));
        assert_eq!(end.poll_action(), Some(LinkAction::Close(CloseReason::Silent)));
        assert_eq!((end.poll_action(), end.poll_timeout()), (None, None));
    }

    #[test]
    fn the_heartbeat_is_the_one_that_welcome_names() {
        let mut end = TerminalEnd::new(at(0));
        assert!(end.handle_text(at(1), &Bytes::from_static(WELCOME)).is_ok());
        assert_eq!(end.poll_timeout(), Some(at(4).mono));
        end.handle_timeout(at(4));
        assert_eq!(end.poll_action(), Some(LinkAction::Ping));
        end.handle_alive(at(5));
        end.handle_timeout(at(8));
        assert_eq!(end.poll_action(), Some(LinkAction::Ping));
        end.handle_timeout(at(10));
        assert_eq!(end.poll_action(), Some(LinkAction::Close(CloseReason::Silent)));
    }
}
