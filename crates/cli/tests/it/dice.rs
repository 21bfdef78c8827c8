//! Chance that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// Random numbers that a seed repeats (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The seed of this run: another one each time, unless the environment sets it to one that has failed. It is printed.
    pub(crate) fn seed() -> u64 {
        const SEED: &str = "TILLGATE_TEST_SEED";
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().expect("a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs(),
        };
        println!("{SEED}={seed}");
        seed
    }

    /// Below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// One of so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        let sides = u64::try_from(count).expect("few");
        usize::try_from(self.roll(sides)).expect("an index")
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let sides = u64::try_from(of.len()).expect("a short list");
        of[usize::try_from(self.roll(sides)).expect("an index")]
    }
}
