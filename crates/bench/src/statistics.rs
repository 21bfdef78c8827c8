//! Medians and latency distributions.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The middle one; of an even number the lower of the two. NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// A request that took longer counts as this long.
const LONGEST: Duration = Duration::from_secs(300);

/// How long requests took, to three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> anyhow::Result<Latencies> {
        let nanos = u64::try_from(LONGEST.as_nanos())?;
        Ok(Latencies(Histogram::new_with_bounds(1, nanos, 3)?))
    }

    /// One more.
    pub(crate) fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In microseconds, what this share of the requests did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        Duration::from_nanos(self.0.value_at_quantile(share)).as_secs_f64() * 1e6
    }

    /// Adds all of another.
    pub(crate) fn add(&mut self, other: &Latencies) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(median([7.0]), 7.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut latencies = Latencies::new().unwrap();
        for micros in 1..=10_000 {
            latencies.note(Duration::from_micros(micros));
        }
        for (share, expected) in [(0.5, 5000.0), (0.99, 9900.0), (0.999, 9990.0)] {
            let found = latencies.quantile(share);
            assert!((found / expected - 1.0).abs() < 0.001, "{share}: {found}");
        }
        let mut twice = latencies.clone();
        twice.add(&latencies).unwrap();
        assert_eq!((latencies.0.len(), twice.0.len()), (10_000, 20_000));
        assert_eq!(twice.quantile(0.5), latencies.quantile(0.5));
    }
}
