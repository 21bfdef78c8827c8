//! Card numbers, tracks and references to test with: any number of them, and the same ones every time.

/// A generator that needs no crate; `SplitMix64`.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(crate) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + u8::try_from(self.below(10)).unwrap())).collect()
    }

    /// A card number of any scheme.
    pub(crate) fn card(&mut self) -> String {
        let (prefix, length) = self.one_of(&[
            ("4", 16),
            ("4", 13),
            ("4", 19),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("2720", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("644", 16),
            ("65", 19),
            ("300", 14),
            ("36", 14),
            ("38", 16),
            ("3528", 16),
            ("3589", 16),
            ("62", 16),
            ("62", 17),
            ("62", 18),
            ("62", 19),
            ("81", 16),
            ("5018", 13),
            ("5893", 18),
            ("6759", 19),
            ("2201", 16),
        ]);
        let rest = self.digits(length - prefix.len() - 1);
        with_check_digit(format!("{prefix}{rest}"))
    }

    /// One with a separator between its groups, or between all of its digits.
    pub(crate) fn card_in_groups(&mut self) -> String {
        let card = self.card();
        let separator = self.one_of(&[" ", "-", ".", "_", "/", ",", "\u{a0}", "\u{2013}"]);
        let group = self.one_of(&[1, 4, 4, 4, 5, 6]);
        let groups: Vec<_> =
            card.as_bytes().chunks(group).map(|g| String::from_utf8(g.to_vec()).unwrap()).collect();
        groups.join(separator)
    }

    /// A track 1 or 2.
    pub(crate) fn track(&mut self) -> String {
        let card = self.card();
        let data = format!("2{}0{}{}", self.digits(1), 1 + self.below(9), self.digits(13));
        match self.below(3) {
            0 => format!("%B{card}^DOE/JOHN^{data}?"),
            1 => format!(";{card}={data}?"),
            _ => format!("{card}={data}"),
        }
    }
}

/// Appends the check digit of Luhn.
pub(crate) fn with_check_digit(digits: String) -> String {
    let twice = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let values = digits.bytes().rev().map(|b| u32::from(b - b'0')).enumerate();
    let sum: u32 = values.map(|(index, digit)| if index % 2 == 0 { twice(digit) } else { digit }).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}
