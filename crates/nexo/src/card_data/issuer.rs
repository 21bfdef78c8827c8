//! Which digits are a card number: a known issuer's range, a length that it has, and the check digit.
//!
//! Ranges and lengths are those of ISO/IEC 7812 numbers as the schemes publish them, collected from the public table
//! "Payment card number" of Wikipedia (2024). Numbers of fewer than 13 digits (old Maestro) are left out, for too much
//! else looks like them; so is UATP (15 digits that begin with 1), which only airlines take, because clocks that count
//! in milliseconds or microseconds look like it.

/// The fewest digits that are looked at.
pub(super) const DIGITS_MIN: usize = 13;

/// The most digits that ISO/IEC 7812 allows: a longer run is no card number, and none stands within it.
pub(super) const DIGITS_MAX: usize = 19;

struct Range {
    /// The first four digits, from and to.
    from: u16,
    to: u16,
    /// How many digits, from and to.
    shortest: usize,
    longest: usize,
}

const fn range(from: u16, to: u16, shortest: usize, longest: usize) -> Range {
    Range { from, to, shortest, longest }
}

const RANGES: [Range; 19] = [
    range(2200, 2205, 16, 19), // Mir, Borica
    range(2221, 2720, 16, 16), // Mastercard
    range(3000, 3059, 14, 19), // Diners Club
    range(3095, 3095, 14, 19), // Diners Club
    range(3400, 3499, 15, 15), // American Express
    range(3528, 3589, 16, 19), // JCB
    range(3600, 3699, 14, 19), // Diners Club
    range(3700, 3799, 15, 15), // American Express
    range(3800, 3999, 14, 19), // Diners Club, Hipercard
    range(4000, 4999, 13, 13), // Visa, old
    range(4000, 4999, 16, 16), // Visa
    range(4000, 4999, 18, 19), // Visa, long
    range(5000, 5099, 13, 19), // Maestro, Elo, Verve, Dankort, RuPay
    range(5100, 5599, 16, 16), // Mastercard
    range(5600, 6999, 13, 19), // Maestro, Discover, UnionPay, RuPay, Elo, Hipercard, gift cards
    range(8100, 8299, 16, 19), // UnionPay, RuPay
    range(8600, 8600, 16, 16), // Uzcard
    range(9704, 9704, 16, 19), // Napas
    range(9792, 9860, 16, 16), // Troy, Humo
];

/// Whether these digits (values 0 to 9) are a card number.
pub(super) fn is_card_number(digits: &[u8]) -> bool {
    is_issued(digits) && has_check_digit(digits)
}

fn is_issued(digits: &[u8]) -> bool {
    let [a, b, c, d, ..] = *digits else { return false };
    let first = [a, b, c, d].iter().fold(0, |number, digit| number * 10 + u16::from(*digit));
    RANGES
        .iter()
        .any(|r| (r.from..=r.to).contains(&first) && (r.shortest..=r.longest).contains(&digits.len()))
}

/// The formula of Luhn: every second digit from the right counts twice, and the sum ends in 0.
fn has_check_digit(digits: &[u8]) -> bool {
    const TWICE: [u32; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let value = |(index, digit): (usize, &u8)| match index % 2 {
        0 => u32::from(*digit),
        _ => TWICE.get(usize::from(*digit)).copied().unwrap_or(0),
    };
    digits.iter().rev().enumerate().map(value).sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_card(number: &str) -> bool {
        is_card_number(&number.bytes().map(|b| b - b'0').collect::<Vec<_>>())
    }

    #[test]
    fn the_test_numbers_of_every_scheme_are_card_numbers() {
        for number in [
            "4111111111111111",
            "4222222222222",
            "4000000000000000006",
            "5555555555554444",
            "2223000048410010",
            "371449635398431",
            "341111111111111",
            "6011111111111117",
            "6445644564456445",
            "30569309025904",
            "36006666333344",
            "38520000023237",
            "3569990010095841",
            "6243030000000001",
            "8171999927660000",
            "6771798021000008",
            "5000550000000029",
            "2201382000000013",
            "9792030000000000",
            "6062828888666688",
        ] {
            assert!(is_card(number), "{number}");
        }
    }

    #[test]
    fn a_wrong_check_digit_length_or_issuer_makes_none() {
        for number in [
            "4111111111111112",
            "411111111111111",
            "41111111111111111",
            "55555555555544443",
            "8944500000000000006",
            "0000000000000000",
            "1800000000000008",
            "000158215131748",
            "411111111111",
        ] {
            assert!(!is_card(number), "{number}");
        }
    }
}
