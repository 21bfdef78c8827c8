//! A small generator for all that need not be secret. Its seed is an argument.

/// SplitMix64: for delays, and for references that only have to look like those of a terminal.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub(crate) fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// Uniform over its whole range.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Capital letters and digits.
    pub(crate) fn reference(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let mut letter = || usize::try_from(self.number() % 32).unwrap_or(0);
        (0..length).map(|_| char::from(ALPHABET[letter()])).collect()
    }
}
