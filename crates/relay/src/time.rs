//! Time as an argument: no module of this crate reads a clock.

use std::time::Duration;

/// One reading of both clocks, taken at the edge and handed in.
///
/// Order and deadlines follow `mono`; `wall` is only written down for people and for the 48 h rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since an arbitrary start, normally the start of the process.
    pub mono: Duration,
    /// Wall clock.
    pub wall: WallMs,
}

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct WallMs(pub i64);

impl WallMs {
    /// This moment plus `duration`, saturating.
    pub fn plus(self, duration: Duration) -> WallMs {
        WallMs(self.0.saturating_add(millis(duration)))
    }

    /// This moment less `duration`, saturating.
    pub fn minus(self, duration: Duration) -> WallMs {
        WallMs(self.0.saturating_sub(millis(duration)))
    }

    /// As messages write it: `2026-11-20T09:15:02.118Z`.
    pub fn to_rfc3339(self) -> String {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let (year, month, day) = civil(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that a leap day ends one.
fn civil(day: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let day = day.saturating_add(719_468);
    let era = day.div_euclid(DAYS_IN_400_YEARS);
    let in_era = day.rem_euclid(DAYS_IN_400_YEARS);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * in_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, in_year - (153 * march_month + 2) / 5 + 1)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_166_102_118, "2026-11-20T09:15:02.118Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(WallMs(ms).to_rfc3339(), text);
        }
        // No moment makes it overflow.
        assert!(WallMs(i64::MAX).to_rfc3339() > WallMs(i64::MIN).to_rfc3339());
    }
}
