//! What a terminal does after a link has ended, or was refused.

use std::time::Duration;

use crate::id::ProcessId;

use super::CloseReason;

/// How a terminal goes on after a link has ended or was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect at once, if the link had stood; by [`Backoff`] else.
    AtOnce,
    /// Connect after a delay that grows.
    Backoff,
    /// Connect after a long delay: a quick one would meet the same refusal.
    Slowly,
    /// WebSockets are switched off: call maintenance every five minutes until it says otherwise.
    Maintenance,
    /// The terminal is in inventory, and its token has ended: hand the results in by maintenance, and wait for a person to assign and
    /// board it.
    NotInStore,
    /// Hand the results in by maintenance, then board with a new code.
    BoardAgain,
    /// Another process is this terminal now: show it, and leave it alone.
    Stop,
}

impl Reconnect {
    /// After a link was closed; none for one that broke off, or was closed with a code of other protocols.
    pub fn after_close(reason: Option<&CloseReason>, own: &ProcessId) -> Reconnect {
        match reason {
            Some(CloseReason::Silent | CloseReason::Draining) => Reconnect::AtOnce,
            Some(CloseReason::Protocol(_)) => Reconnect::Slowly,
            Some(CloseReason::WebSocketsDisabled) => Reconnect::Maintenance,
            Some(CloseReason::NotInStore) => Reconnect::NotInStore,
            Some(CloseReason::BoardAgain) => Reconnect::BoardAgain,
            // Of two links of one process this is the one that it gave up.
            Some(CloseReason::Replaced { winner }) if winner == own => Reconnect::Backoff,
            Some(CloseReason::Replaced { .. }) => Reconnect::Stop,
            Some(
                CloseReason::Normal | CloseReason::Stopping | CloseReason::TooLarge | CloseReason::TooSlow,
            )
            | None => Reconnect::Backoff,
        }
    }

    /// After the upgrade was answered by an HTTP status instead of a 101; `code` is the member of the problem document.
    pub fn after_refusal(status: u16, code: Option<&str>) -> Reconnect {
        match (status, code) {
            (401, _) | (403, Some("board-again")) => Reconnect::BoardAgain,
            (403, Some("websockets-disabled")) => Reconnect::Maintenance,
            (403, Some("not-in-store")) => Reconnect::NotInStore,
            (408 | 429 | 500..=599, _) => Reconnect::Backoff,
            (_, _) => Reconnect::Slowly,
        }
    }
}

/// Delays between attempts to connect: a random part of a bound that doubles from 0.5 s to 30 s.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The bound of the first delay.
    pub const FIRST: Duration = Duration::from_millis(500);
    /// The bound of all later ones.
    pub const LAST: Duration = Duration::from_secs(30);
    /// The bound of [`Reconnect::Slowly`]; half of it is certain.
    pub const SLOWLY: Duration = Duration::from_secs(60);
    /// Between two maintenance calls while WebSockets are switched off.
    pub const MAINTENANCE: Duration = Duration::from_secs(300);
    /// No gateway keeps a terminal away for longer than this.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
    /// A link that stood for this long was no failure.
    pub const STOOD: Duration = Duration::from_secs(10);

    /// A terminal that has not failed yet.
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// A link has ended that stood for `stood`, counted from `welcome`; zero when it was never welcomed.
    pub fn handle_end(&mut self, stood: Duration) {
        if stood >= Self::STOOD {
            self.failures = 0;
        }
    }

    /// How long to wait before the next attempt. `random` is uniform over its whole range; `retry_after` is what the
    /// gateway asked for, and is waited for whatever else is said. None when there is to be no attempt.
    pub fn delay(
        &mut self,
        reconnect: Reconnect,
        retry_after: Option<Duration>,
        random: u64,
    ) -> Option<Duration> {
        let asked = retry_after.unwrap_or_default().min(Self::RETRY_AFTER_MAX);
        let delay = match reconnect {
            Reconnect::AtOnce if self.failures == 0 => {
                self.failures = 1;
                Duration::ZERO
            }
            Reconnect::AtOnce | Reconnect::Backoff => {
                let bound = Self::FIRST.saturating_mul(1 << self.failures.min(16)).min(Self::LAST);
                self.failures = self.failures.saturating_add(1);
                part(bound, random)
            }
            Reconnect::Slowly => {
                self.failures = self.failures.saturating_add(1);
                Self::SLOWLY / 2 + part(Self::SLOWLY / 2, random)
            }
            Reconnect::Maintenance | Reconnect::NotInStore | Reconnect::BoardAgain | Reconnect::Stop => {
                return None;
            }
        };
        Some(asked + delay)
    }
}

/// `random` / 2^64 of `whole`.
fn part(whole: Duration, random: u64) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(text: &str) -> ProcessId {
        ProcessId::parse(text).expect("an ID")
    }

    #[test]
    fn every_close_has_its_consequence() {
        let own = process("p_own");
        let after =
            |code: u16, text: &str| Reconnect::after_close(CloseReason::from_wire(code, text).as_ref(), &own);
        assert_eq!(after(1000, ""), Reconnect::Backoff);
        assert_eq!(after(1001, ""), Reconnect::Backoff);
        assert_eq!(after(1006, ""), Reconnect::Backoff);
        assert_eq!(after(1009, ""), Reconnect::Backoff);
        assert_eq!(after(4400, "stale hello"), Reconnect::Slowly);
        assert_eq!(after(4403, "board-again"), Reconnect::BoardAgain);
        assert_eq!(after(4403, "not-in-store"), Reconnect::NotInStore);
        assert_eq!(after(4403, "websockets-disabled"), Reconnect::Maintenance);
        assert_eq!(after(4408, ""), Reconnect::AtOnce);
        assert_eq!(after(4409, "p_own"), Reconnect::Backoff);
        assert_eq!(after(4409, "p_other"), Reconnect::Stop);
        assert_eq!(after(4429, ""), Reconnect::Backoff);
        assert_eq!(after(4503, ""), Reconnect::AtOnce);
    }

    #[test]
    fn every_refusal_has_its_consequence() {
        assert_eq!(Reconnect::after_refusal(401, None), Reconnect::BoardAgain);
        assert_eq!(Reconnect::after_refusal(403, Some("board-again")), Reconnect::BoardAgain);
        assert_eq!(Reconnect::after_refusal(403, Some("websockets-disabled")), Reconnect::Maintenance);
        assert_eq!(Reconnect::after_refusal(403, Some("not-in-store")), Reconnect::NotInStore);
        assert_eq!(Reconnect::after_refusal(403, None), Reconnect::Slowly);
        assert_eq!(Reconnect::after_refusal(404, None), Reconnect::Slowly);
        assert_eq!(Reconnect::after_refusal(429, None), Reconnect::Backoff);
        assert_eq!(Reconnect::after_refusal(503, None), Reconnect::Backoff);
    }

    #[test]
    fn delays_double_up_to_30_seconds_and_start_anew_after_a_link_that_stood() {
        let mut backoff = Backoff::new();
        let mut bounds = Vec::new();
        for _ in 0..9 {
            let delay = backoff.delay(Reconnect::Backoff, None, u64::MAX).expect("another attempt");
            bounds.push(delay.as_secs_f64().mul_add(10.0, 0.5).floor() / 10.0);
        }
        assert_eq!(bounds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(backoff.delay(Reconnect::Backoff, None, 0), Some(Duration::ZERO));

        backoff.handle_end(Duration::from_secs(9));
        assert!(backoff.delay(Reconnect::AtOnce, None, u64::MAX) > Some(Duration::from_secs(29)));
        backoff.handle_end(Duration::from_secs(10));
        assert_eq!(backoff.delay(Reconnect::AtOnce, None, u64::MAX), Some(Duration::ZERO));
        assert!(backoff.delay(Reconnect::AtOnce, None, u64::MAX) > Some(Duration::ZERO));
    }

    #[test]
    fn retry_after_is_the_least_delay_and_has_a_limit() {
        let mut backoff = Backoff::new();
        let minute = Duration::from_secs(60);
        assert_eq!(backoff.delay(Reconnect::AtOnce, Some(minute), 0), Some(minute));
        assert_eq!(backoff.delay(Reconnect::Backoff, Some(minute), 0), Some(minute));
        assert_eq!(
            backoff.delay(Reconnect::Slowly, Some(Duration::MAX), 0),
            Some(Backoff::RETRY_AFTER_MAX + Backoff::SLOWLY / 2)
        );
        assert_eq!(backoff.delay(Reconnect::Stop, Some(minute), 0), None);
    }
}
