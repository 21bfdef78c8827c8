//! Every choice of a run, from its seed.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// The one source of chance in a run: the same seed gives the same choices, on every machine.
#[derive(Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn of(seed: u64) -> Chance {
        Chance(ChaCha8Rng::seed_from_u64(seed))
    }

    /// 0 up to, but not including, `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }

    /// Once in `times`, on average; never for 0.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// Any time in this range, to the microsecond.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let spread = to.saturating_sub(from).as_micros();
        from + Duration::from_micros(self.0.random_range(0..=u64::try_from(spread).unwrap_or(u64::MAX)))
    }

    /// The same in milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        self.between(Duration::from_millis(from), Duration::from_millis(to))
    }

    /// Any length up to this one, the shorter ones more often: as pauses between things that happen by themselves are.
    pub(crate) fn mostly_short(&mut self, longest: Duration) -> Duration {
        let bound = self.between(Duration::ZERO, longest);
        self.between(Duration::ZERO, bound)
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        among.get(self.below(among.len())).copied()
    }

    /// The index of one of these, each as often as its weight says; none when all are 0.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let sum: u32 = weights.iter().sum();
        if sum == 0 {
            return None;
        }
        let mut left = self.0.random_range(0..sum);
        weights.iter().position(|weight| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        })
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.random()
    }
}
