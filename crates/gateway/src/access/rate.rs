//! How often each credential may ask: so many requests per second on average, and a burst after a pause.
//!
//! All that is kept of a credential is one moment: when its burst will be whole again. Each request moves that moment on by
//! what one request costs; a request that would move it further ahead than a whole burst is one too many. (This is the generic
//! cell rate algorithm, which lets through exactly what a bucket of tokens does.)
//!
//! What stays true: only credentials whose burst is not whole are kept, and never more than [`KEPT_MAX`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::limits::Limits;
use crate::store::CredentialId;

/// Credentials that are kept at once. Each asked within the last seconds, so that this many mean far more requests than one
/// node takes; a further one then hears what one that is over its limit hears.
const KEPT_MAX: usize = 100_000;

/// That a credential is over its limit is logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// When each credential may ask again. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Rate {
    /// What one request costs.
    cost: Duration,
    /// What a whole burst costs.
    burst: Duration,
    kept: Mutex<HashMap<CredentialId, Spent>>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    /// When the burst is whole again.
    whole_at: Duration,
    /// When it was last logged that the credential is over its limit.
    logged_at: Option<Duration>,
}

impl Rate {
    pub(super) fn new(limits: &Limits) -> Rate {
        let cost = Duration::from_secs(1) / limits.requests_per_second.max(1);
        let burst = cost.saturating_mul(limits.requests_burst.max(1));
        Rate { cost, burst, kept: Mutex::default() }
    }

    /// Lets one request through, or says how long to wait.
    pub(super) fn take(&self, credential: &CredentialId, now: Duration) -> Result<(), Duration> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spent = kept.get(credential).copied().unwrap_or(Spent { whole_at: now, logged_at: None });
        let whole_at = spent.whole_at.max(now) + self.cost;
        let over = whole_at.saturating_sub(now + self.burst);
        if over > Duration::ZERO {
            if spent.logged_at.is_none_or(|at| now.saturating_sub(at) >= LOG_PAUSE) {
                tracing::warn!(credential.id = %credential, limit = "requests_per_second", "over a limit");
                spent.logged_at = Some(now);
                kept.insert(credential.clone(), spent);
            }
            return Err(over);
        }
        if kept.len() >= KEPT_MAX && !kept.contains_key(credential) {
            kept.retain(|_, spent| spent.whole_at > now);
            if kept.len() >= KEPT_MAX {
                tracing::warn!(limit = "credentials at once", "over a limit");
                return Err(self.cost);
            }
        }
        kept.insert(credential.clone(), Spent { whole_at, ..spent });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::new(&Limits { requests_per_second: per_second, requests_burst: burst, ..Limits::default() })
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
    fn only_those_whose_burst_is_not_whole_are_kept_and_no_more_than_the_limit() {
        let rate = rate(1, 1);
        for n in 0..KEPT_MAX {
            assert!(rate.take(&key(&format!("k{n}")), Duration::ZERO).is_ok());
        }
        assert!(rate.take(&key("one_more"), Duration::ZERO).is_err());
        assert!(rate.take(&key("one_more"), Duration::from_secs(2)).is_ok());
        assert_eq!(rate.kept.lock().unwrap().len(), 1);
    }
}
