//! The only place of this crate that reads clocks. Everything else is handed a [`Now`], or a moment computed from one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relay::{Now, WallMs};
use tokio::time::Instant;

/// Both clocks of this process. Monotonic time counts from [`Clock::start`].
///
/// It follows tokio's clock, so that a test that pauses time pauses this too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// What both clocks show.
    pub(crate) fn now(&self) -> Now {
        Now { mono: self.started.elapsed(), wall: wall() }
    }

    /// The moment at which [`Now::mono`] will read `mono`, to sleep until.
    pub(crate) fn instant(&self, mono: Duration) -> Instant {
        self.started + mono
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-20T09:15:02.118Z`. A moment outside of the years -9999 to 9999 is
/// shown as the nearest one inside.
pub(crate) fn rfc3339(at: WallMs) -> String {
    let nearest = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(nearest);
    format!("{at:.3}")
}

fn wall() -> WallMs {
    // A clock that stands before 1970 has never been set; 0 is as wrong and needs no sign.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(WallMs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(WallMs(1_795_166_102_118)), "2026-11-20T09:15:02.118Z");
        assert!(rfc3339(WallMs(i64::MAX)).starts_with("9999-12-30T"), "{}", rfc3339(WallMs(i64::MAX)));
        assert!(rfc3339(WallMs(i64::MIN)).starts_with("-009999-01-02T"), "{}", rfc3339(WallMs(i64::MIN)));
    }

    #[tokio::test(start_paused = true)]
    async fn monotonic_time_counts_from_the_start_and_can_be_slept_until() {
        let clock = Clock::start();
        tokio::time::sleep_until(clock.instant(Duration::from_secs(7))).await;
        assert_eq!(clock.now().mono, Duration::from_secs(7));
    }
}
