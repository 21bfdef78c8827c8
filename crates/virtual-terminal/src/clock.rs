//! The one place where this crate reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relay::{Now, WallMs};
use tokio::time::Instant;

/// Both clocks of one terminal; its monotonic time begins when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = WallMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX));
        Now { mono: self.start.elapsed(), wall }
    }

    /// When a monotonic time is reached.
    pub(crate) fn instant(self, mono: Duration) -> Instant {
        // What is too far away to be an instant is never reached.
        self.start.checked_add(mono).unwrap_or_else(|| self.start + Duration::from_secs(u64::from(u32::MAX)))
    }
}
