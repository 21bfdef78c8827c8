//! Silence, pings and the end of patience; the same at both ends.

use std::time::Duration;

use crate::frame::Heartbeat;
use crate::time::Now;

use super::CloseReason;

/// From the upgrade to the `hello`, and from the `hello` to the `welcome`; 4408 after it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a probed link may take to give any sign of life.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the owner of the socket has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAction {
    /// Send a WebSocket ping.
    Ping,
    /// The probe is over: whether anything arrived after it was asked for.
    Probe {
        /// Something arrived in time.
        alive: bool,
    },
    /// Send a close frame and let go of the socket. Nothing follows this.
    Close(CloseReason),
}

/// When silence becomes a ping, and a ping a close.
#[derive(Debug)]
pub(super) struct Keepalive {
    heartbeat: Heartbeat,
    heard: Duration,
    pinged: Option<Duration>,
}

pub(super) enum Beat {
    Ping,
    Dead,
}

impl Keepalive {
    pub(super) fn new(now: Now, heartbeat: Heartbeat) -> Keepalive {
        Keepalive { heartbeat, heard: now.mono, pinged: None }
    }

    pub(super) fn hear(&mut self, now: Now) {
        self.heard = now.mono;
        self.pinged = None;
    }

    pub(super) fn last_heard(&self) -> Duration {
        self.heard
    }

    pub(super) fn due(&self) -> Duration {
        // A heartbeat of 0 s would never let the owner rest.
        let seconds = |seconds: u16| Duration::from_secs(u64::from(seconds.max(1)));
        match self.pinged {
            // Counted from the ping: an owner that was held up gives the other end its full time.
            Some(pinged) => pinged.saturating_add(seconds(self.heartbeat.timeout_seconds)),
            None => self.heard.saturating_add(seconds(self.heartbeat.interval_seconds)),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Now) -> Option<Beat> {
        if now.mono < self.due() {
            return None;
        }
        if self.pinged.is_some() {
            return Some(Beat::Dead);
        }
        self.pinged = Some(now.mono);
        Some(Beat::Ping)
    }
}
