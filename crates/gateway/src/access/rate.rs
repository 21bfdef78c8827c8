//! How often each credential may ask, for anything or for one thing: so many requests on average, and a burst after a pause.
//!
//! All that is kept of an asker is one moment: when its burst will be whole again. Each request moves that moment on by
//! what one request costs; a request that would move it further ahead than a whole burst is one too many. (This is the generic
//! cell rate algorithm, which lets through exactly what a bucket of tokens does.)
//!
//! What stays true: never more than [`KEPT_MAX`] askers are kept for one limit, and those whose burst is whole again leave with the next
//! sweep, which is at most [`SWEEP_PAUSE`] away while anybody asks, unless a line about them was logged lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nexo::PoiId;

use crate::store::CredentialId;

/// Askers that are kept at once. Each asked within the last seconds, so that this many mean far more requests than one
/// node takes; a further one then hears what one that is over its limit hears.
const KEPT_MAX: usize = 100_000;

/// How often those whose burst is whole are put out. A sweep looks at all that are kept, so that it must not come with each
/// request.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// That a credential is over its limit is logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// When each asker may ask again. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Rate<A> {
    /// As it is called in the configuration.
    limit: &'static str,
    /// What one request costs.
    cost: Duration,
    /// What a whole burst costs.
    burst: Duration,
    kept: Mutex<Kept<A>>,
}

/// Who asks, and perhaps what for.
pub(super) trait Asker: Clone + Eq + Hash {
    /// With which credential.
    fn credential(&self) -> &CredentialId;
}

impl Asker for CredentialId {
    fn credential(&self) -> &CredentialId {
        self
    }
}

/// Who looks a terminal up, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LookUp {
    pub(super) credential: CredentialId,
    pub(super) poi: PoiId,
}

impl Asker for LookUp {
    fn credential(&self) -> &CredentialId {
        &self.credential
    }
}

#[derive(Debug)]
struct Kept<A> {
    spent: HashMap<A, Spent>,
    swept_at: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    /// When the burst is whole again.
    whole_at: Duration,
    /// When it was last logged that the credential is over its limit.
    logged_at: Option<Duration>,
}

impl<A: Asker> Rate<A> {
    /// `requests` in each `period`, and `burst` of them at once after a pause.
    pub(super) fn new(limit: &'static str, requests: u32, period: Duration, burst: u32) -> Rate<A> {
        let cost = period / requests.max(1);
        let burst = cost.saturating_mul(burst.max(1));
        Rate {
            limit,
            cost,
            burst,
            kept: Mutex::new(Kept { spent: HashMap::new(), swept_at: Duration::ZERO }),
        }
    }

    /// Lets one request through, or says how long to wait.
    pub(super) fn take(&self, asker: &A, now: Duration) -> Result<(), Duration> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.sweep(now, self.limit);
        let kept = &mut kept.spent;
        let mut spent = kept.get(asker).copied().unwrap_or(Spent { whole_at: now, logged_at: None });
        let whole_at = spent.whole_at.max(now) + self.cost;
        let over = whole_at.saturating_sub(now + self.burst);
        if over > Duration::ZERO {
            if spent.logged_at.is_none_or(|at| now.saturating_sub(at) >= LOG_PAUSE) {
                tracing::warn!(credential.id = %asker.credential(), limit = self.limit, "over a limit");
                spent.logged_at = Some(now);
                kept.insert(asker.clone(), spent);
            }
            return Err(over);
        }
        if kept.len() >= KEPT_MAX && !kept.contains_key(asker) {
            tracing::debug!(limit = self.limit, "too many askers at once");
            return Err(self.cost);
        }
        kept.insert(asker.clone(), Spent { whole_at, ..spent });
        Ok(())
    }
}

impl<A: Eq + Hash> Kept<A> {
    /// Puts out those whose burst is whole, if that was not done just now.
    fn sweep(&mut self, now: Duration, limit: &'static str) {
        if now.saturating_sub(self.swept_at) < SWEEP_PAUSE {
            return;
        }
        let before = self.spent.len();
        self.spent.retain(|_, spent| spent.whole_at > now || spent.logged_lately(now));
        self.swept_at = now;
        if before >= KEPT_MAX {
            tracing::warn!(limit, "too many askers at once");
        }
    }
}

impl Spent {
    fn logged_lately(&self, now: Duration) -> bool {
        self.logged_at.is_some_and(|at| now.saturating_sub(at) < LOG_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate<CredentialId> {
        Rate::new("requests_per_second", per_second, Duration::from_secs(1), burst)
    }

    fn key(name: &str) -> CredentialId {
        CredentialId::parse(name).unwrap()
    }

    #[test]
    fn a_burst_passes_and_the_next_one_is_told_how_long_to_wait() {
        let (rate, now) = (rate(50, 200), Duration::from_secs(1000));
        for n in 0..200 {
            assert_eq!(rate.take(&key("a"), now), Ok(()), "{n}");
        }
        assert_eq!(rate.take(&key("a"), now), Err(Duration::from_millis(20)));
        // Asking too often costs nothing.
        assert_eq!(rate.take(&key("a"), now), Err(Duration::from_millis(20)));
        assert_eq!(rate.take(&key("a"), now + Duration::from_millis(20)), Ok(()));
        assert_eq!(rate.take(&key("a"), now + Duration::from_millis(20)), Err(Duration::from_millis(20)));
    }

    #[test]
    fn fifty_a_second_pass_for_ever_and_a_pause_brings_no_more_than_a_burst() {
        let rate = rate(50, 200);
        for n in 0..5_000 {
            assert_eq!(rate.take(&key("a"), Duration::from_millis(20 * n)), Ok(()), "{n}");
        }
        let later = Duration::from_secs(10_000);
        let passed = (0..1_000).filter(|_| rate.take(&key("a"), later).is_ok()).count();
        assert_eq!(passed, 200);
    }

    #[test]
    fn one_credential_does_not_use_up_anothers_requests() {
        let rate = rate(1, 1);
        assert!(rate.take(&key("a"), Duration::ZERO).is_ok());
        assert!(rate.take(&key("a"), Duration::ZERO).is_err());
        assert!(rate.take(&key("b"), Duration::ZERO).is_ok());
    }

    #[test]
    fn those_whose_burst_is_whole_leave_with_the_next_sweep() {
        let (rate, mut now) = (rate(1, 1), SWEEP_PAUSE);
        for n in 0..1000 {
            assert!(rate.take(&key(&format!("k{n}")), now).is_ok());
        }
        now += SWEEP_PAUSE - Duration::from_millis(1);
        assert!(rate.take(&key("before"), now).is_ok());
        assert_eq!(rate.kept.lock().unwrap().spent.len(), 1001);
        now += Duration::from_millis(1);
        assert!(rate.take(&key("with_it"), now).is_ok());
        assert_eq!(rate.kept.lock().unwrap().spent.len(), 2); // That from just before is not whole yet.
    }

    #[test]
    fn no_more_than_the_limit_are_kept() {
        let (rate, now) = (rate(1, 1), SWEEP_PAUSE);
        for n in 0..KEPT_MAX {
            assert!(rate.take(&key(&format!("k{n}")), now).is_ok());
        }
        assert!(rate.take(&key("one_more"), now).is_err());
        assert!(rate.take(&key("one_more"), now + SWEEP_PAUSE).is_ok());
        assert_eq!(rate.kept.lock().unwrap().spent.len(), 1);
    }
}
