//! The gateway's end of a link.

use std::time::Duration;

use bytes::Bytes;

use crate::frame::{FRAME_OVERHEAD, Heartbeat, ToGateway};
use crate::time::Now;

use super::keepalive::{HANDSHAKE_TIMEOUT, LinkAction, Liveness};
use super::{CloseReason, close};

/// The gateway's end of one link, from the upgrade to the close; small, because most links are idle.
///
/// After every `handle_*` and [`GatewayLink::probe`], drain [`GatewayLink::poll_action`], then ask
/// [`GatewayLink::poll_timeout`].
#[derive(Debug)]
pub struct GatewayLink {
    phase: Phase,
    liveness: Liveness,
    frame_max: u32,
}

#[derive(Debug)]
enum Phase {
    AwaitingHello { until: Duration },
    Open,
    Closing(CloseReason),
    Closed(CloseReason),
}

impl GatewayLink {
    /// A link whose upgrade was just answered: it waits [`HANDSHAKE_TIMEOUT`] for `hello`.
    pub fn new(now: Now, heartbeat: Heartbeat, body_limit: u32) -> GatewayLink {
        GatewayLink {
            phase: Phase::AwaitingHello { until: now.mono.saturating_add(HANDSHAKE_TIMEOUT) },
            liveness: Liveness::new(now, heartbeat),
            frame_max: body_limit.saturating_add(u32::try_from(FRAME_OVERHEAD).unwrap_or(u32::MAX)),
        }
    }

    /// The longest frame that this link takes, in bytes.
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// When anything last arrived, on the monotonic clock.
    pub fn last_activity(&self) -> Duration {
        self.liveness.last_activity()
    }

    /// A text frame arrived. The first one is a `hello`, and only that.
    ///
    /// # Errors
    /// The link has to be closed for this reason; it will not be offered by [`GatewayLink::poll_action`] again.
    pub fn handle_text(&mut self, now: Now, frame: &Bytes) -> Result<ToGateway, CloseReason> {
        self.hear(now)?;
        let read = self.read(frame);
        if let Err(reason) = &read {
            self.shut(reason.clone());
        }
        read
    }

    /// A binary frame arrived: close for the reason that is returned.
    pub fn handle_binary(&mut self, now: Now) -> CloseReason {
        if let Err(reason) = self.hear(now) {
            return reason;
        }
        let reason = CloseReason::Protocol(close::BINARY.into());
        self.shut(reason.clone());
        reason
    }

    /// A ping or pong arrived.
    pub fn handle_alive(&mut self, now: Now) {
        // A link that is closed stays so.
        let _ = self.hear(now);
    }

    /// Asks the terminal for a sign of life, now. Ends in one [`LinkAction::Probe`], which answers every probe that was
    /// asked for until then.
    pub fn probe(&mut self, now: Now) {
        if matches!(self.phase, Phase::Closing(_) | Phase::Closed(_)) {
            self.liveness.probe_in_vain();
        } else {
            self.liveness.probe(now);
        }
    }

    /// When [`GatewayLink::handle_timeout`] is due, on the monotonic clock; never for a closed link.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::AwaitingHello { until } => {
                Some(self.liveness.probe_until().map_or(*until, |probe| probe.min(*until)))
            }
            Phase::Open => Some(self.liveness.poll_timeout()),
            Phase::Closing(_) | Phase::Closed(_) => None,
        }
    }

    /// Time has passed; too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        match &self.phase {
            Phase::Open => self.liveness.handle_timeout(now),
            Phase::AwaitingHello { until } if now.mono >= *until => self.close(CloseReason::Silent),
            Phase::AwaitingHello { .. } | Phase::Closing(_) | Phase::Closed(_) => {
                self.liveness.handle_probe_timeout(now);
            }
        }
    }

    /// The next thing to do; none when all is done for now.
    pub fn poll_action(&mut self) -> Option<LinkAction> {
        if let Some(action) = self.liveness.poll_action() {
            if let LinkAction::Close(reason) = &action {
                self.shut(reason.clone());
            }
            return Some(action);
        }
        let Phase::Closing(reason) = &self.phase else { return None };
        let reason = reason.clone();
        self.phase = Phase::Closed(reason.clone());
        Some(LinkAction::Close(reason))
    }

    fn read(&mut self, frame: &Bytes) -> Result<ToGateway, CloseReason> {
        if u32::try_from(frame.len()).map_or(true, |length| length > self.frame_max) {
            return Err(CloseReason::TooLarge);
        }
        let frame = ToGateway::decode(frame)?;
        match (&self.phase, &frame) {
            (Phase::AwaitingHello { .. }, ToGateway::Hello(_)) => self.phase = Phase::Open,
            (Phase::AwaitingHello { .. }, _) => {
                return Err(CloseReason::Protocol("the first frame must be hello".into()));
            }
            (_, ToGateway::Hello(_)) => return Err(CloseReason::Protocol("second hello".into())),
            (_, _) => {}
        }
        Ok(frame)
    }

    fn hear(&mut self, now: Now) -> Result<(), CloseReason> {
        match &self.phase {
            Phase::Closing(reason) | Phase::Closed(reason) => Err(reason.clone()),
            Phase::AwaitingHello { .. } | Phase::Open => {
                self.liveness.handle_alive(now);
                Ok(())
            }
        }
    }

    /// Offers the close to the owner of the socket.
    fn close(&mut self, reason: CloseReason) {
        self.shut(reason.clone());
        self.phase = Phase::Closing(reason);
    }

    /// The owner of the socket has the reason already.
    fn shut(&mut self, reason: CloseReason) {
        self.liveness.end();
        self.phase = Phase::Closed(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallMs;

    const HELLO: &[u8] =
        br#"{"action":"hello","linkVersion":1,"journalId":"j_1","attempt":1,"processId":"p_1"}"#;
    const RECEIVED: &[u8] = br#"{"action":"received","deliveryId":"d_1"}"#;

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: WallMs(0) }
    }

    fn waiting() -> GatewayLink {
        GatewayLink::new(at(100), Heartbeat::DEFAULT, 1024)
    }

    fn open() -> GatewayLink {
        let mut link = waiting();
        link.handle_text(at(100), &Bytes::from_static(HELLO)).expect("a hello");
        link
    }

    /// Runs the clock of a link to `until` and lists what it did.
    fn run(link: &mut GatewayLink, until: u64) -> Vec<(u64, LinkAction)> {
        let mut done = Vec::new();
        while let Some(due) = link.poll_timeout().filter(|due| *due <= at(until).mono) {
            link.handle_timeout(at(due.as_secs()));
            while let Some(action) = link.poll_action() {
                done.push((due.as_secs(), action));
            }
        }
        done
    }

    #[test]
    fn a_link_without_hello_ends_after_ten_seconds() {
        let mut link = waiting();
        link.handle_alive(at(109));
        assert_eq!(run(&mut link, 500), vec![(110, LinkAction::Close(CloseReason::Silent))]);
        assert_eq!(link.poll_timeout(), None);
    }

    #[test]
    fn hello_comes_first_and_once() {
        let mut link = waiting();
        let reason = link.handle_text(at(101), &Bytes::from_static(RECEIVED)).expect_err("refused");
        assert_eq!(reason, CloseReason::Protocol("the first frame must be hello".into()));
        assert_eq!(link.handle_text(at(101), &Bytes::from_static(HELLO)), Err(reason));
        assert_eq!(link.poll_action(), None);

        let mut link = open();
        assert!(link.handle_text(at(101), &Bytes::from_static(RECEIVED)).is_ok());
        assert_eq!(
            link.handle_text(at(102), &Bytes::from_static(HELLO)),
            Err(CloseReason::Protocol("second hello".into()))
        );
    }

    #[test]
    fn a_frame_may_be_8_kib_longer_than_a_message() {
        let frame = |length: usize| {
            let mut text = RECEIVED.to_vec();
            text.resize(length, b' ');
            Bytes::from(text)
        };
        assert!(open().handle_text(at(101), &frame(1024 + 8192)).is_ok());
        assert_eq!(open().handle_text(at(101), &frame(1024 + 8193)), Err(CloseReason::TooLarge));
    }

    #[test]
    fn binary_frames_break_the_protocol() {
        assert_eq!(open().handle_binary(at(101)).code(), 4400);
    }

    #[test]
    fn a_half_open_link_is_found_within_40_seconds() {
        let mut link = open();
        assert_eq!(
            run(&mut link, 500),
            vec![(130, LinkAction::Ping), (140, LinkAction::Close(CloseReason::Silent))]
        );
    }

    #[test]
    fn anything_that_arrives_is_a_sign_of_life() {
        let mut link = open();
        assert_eq!(run(&mut link, 139), vec![(130, LinkAction::Ping)]);
        link.handle_alive(at(139));
        assert_eq!(link.last_activity(), at(139).mono);
        assert_eq!(run(&mut link, 178), vec![(169, LinkAction::Ping)]);
        assert!(link.handle_text(at(178), &Bytes::from_static(RECEIVED)).is_ok());
        assert_eq!(run(&mut link, 207), vec![]);
    }

    #[test]
    fn an_owner_that_was_held_up_still_lets_the_terminal_answer() {
        let mut link = open();
        link.handle_timeout(at(400));
        assert_eq!(link.poll_action(), Some(LinkAction::Ping));
        assert_eq!(link.poll_timeout(), Some(at(410).mono));
    }

    #[test]
    fn probes_share_one_ping_and_one_answer() {
        let mut link = open();
        link.probe(at(105));
        link.probe(at(106));
        assert_eq!(link.poll_action(), Some(LinkAction::Ping));
        assert_eq!(link.poll_action(), None);
        link.handle_alive(at(107));
        assert_eq!(link.poll_action(), Some(LinkAction::Probe { alive: true }));
        assert_eq!(link.poll_action(), None);

        link.probe(at(108));
        assert_eq!(link.poll_action(), Some(LinkAction::Ping));
        assert_eq!(run(&mut link, 113), vec![(113, LinkAction::Probe { alive: false })]);
    }

    #[test]
    fn whoever_probes_a_silent_link_hears_of_its_end_before_it() {
        let mut link = open();
        assert_eq!(run(&mut link, 136), vec![(130, LinkAction::Ping)]);
        link.probe(at(136));
        assert_eq!(link.poll_action(), Some(LinkAction::Ping));
        assert_eq!(
            run(&mut link, 500),
            vec![(140, LinkAction::Probe { alive: false }), (140, LinkAction::Close(CloseReason::Silent))]
        );
        assert_eq!((link.poll_timeout(), link.poll_action()), (None, None));
    }

    #[test]
    fn no_probe_outlives_its_link() {
        let mut link = open();
        link.probe(at(105));
        let _ = link.handle_binary(at(105));
        assert_eq!(link.poll_action(), Some(LinkAction::Probe { alive: true }));
        link.probe(at(106));
        assert_eq!(link.poll_action(), Some(LinkAction::Probe { alive: false }));
        assert_eq!(link.poll_action(), None);
    }

    #[test]
    fn an_idle_link_costs_little() {
        assert!(size_of::<GatewayLink>() <= 128, "{} bytes", size_of::<GatewayLink>());
    }
}
