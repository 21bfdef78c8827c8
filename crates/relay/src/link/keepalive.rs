//! Silence, pings and the end of patience; the same at both ends, and for every socket that a gateway serves.

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

/// Whether anybody is there, at the gateway's end of a socket: when silence becomes a ping, a ping a close, and a probe its
/// answer. Anything that arrives is a sign of life.
///
/// After every `handle_*` and [`Liveness::probe`], drain [`Liveness::poll_action`], then ask [`Liveness::poll_timeout`].
#[derive(Debug)]
pub struct Liveness {
    keepalive: Keepalive,
    /// When the probe that is under way has failed.
    probe_until: Option<Duration>,
    ping_due: bool,
    probed: Option<bool>,
    is_dead: bool,
}

impl Liveness {
    /// A socket whose upgrade was just answered.
    pub fn new(now: Now, heartbeat: Heartbeat) -> Liveness {
        Liveness {
            keepalive: Keepalive::new(now, heartbeat),
            probe_until: None,
            ping_due: false,
            probed: None,
            is_dead: false,
        }
    }

    /// When anything last arrived, on the monotonic clock.
    pub fn last_activity(&self) -> Duration {
        self.keepalive.last_heard()
    }

    /// Something arrived, whatever it is.
    pub fn handle_alive(&mut self, now: Now) {
        self.keepalive.hear(now);
        self.end_probe(true);
    }

    /// Asks the other end for a sign of life, now. Ends in one [`LinkAction::Probe`], which answers every probe that was
    /// asked for until then.
    pub fn probe(&mut self, now: Now) {
        if self.probe_until.is_none() {
            self.probe_until = Some(now.mono.saturating_add(PROBE_TIMEOUT));
            self.ping_due = true;
        }
    }

    /// When [`Liveness::handle_timeout`] is due, on the monotonic clock.
    pub fn poll_timeout(&self) -> Duration {
        let due = self.keepalive.due();
        self.probe_until.map_or(due, |until| until.min(due))
    }

    /// Time has passed; too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        self.handle_probe_timeout(now);
        match self.keepalive.handle_timeout(now) {
            Some(Beat::Ping) => self.ping_due = true,
            Some(Beat::Dead) => {
                self.end();
                self.is_dead = true;
            }
            None => {}
        }
    }

    /// The next thing to do; none when all is done for now.
    pub fn poll_action(&mut self) -> Option<LinkAction> {
        if let Some(alive) = self.probed.take() {
            return Some(LinkAction::Probe { alive });
        }
        if std::mem::take(&mut self.is_dead) {
            return Some(LinkAction::Close(CloseReason::Silent));
        }
        std::mem::take(&mut self.ping_due).then_some(LinkAction::Ping)
    }

    /// When the probe that is under way has failed.
    pub(super) fn probe_until(&self) -> Option<Duration> {
        self.probe_until
    }

    pub(super) fn handle_probe_timeout(&mut self, now: Now) {
        if self.probe_until.is_some_and(|until| now.mono >= until) {
            self.end_probe(false);
        }
    }

    /// The socket is being closed: whoever waits for a probe hears that nobody is there.
    pub(super) fn end(&mut self) {
        self.end_probe(false);
        self.ping_due = false;
    }

    /// A probe of a socket that is being closed.
    pub(super) fn probe_in_vain(&mut self) {
        self.probed = Some(false);
    }

    fn end_probe(&mut self, alive: bool) {
        if self.probe_until.take().is_some() {
            self.probed = Some(alive);
        }
    }
}
