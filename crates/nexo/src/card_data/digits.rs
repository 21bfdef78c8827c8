//! Finds card numbers in a text: digits, in one run, in groups with one separator between two groups, or in groups of a
//! usual size with up to three.

use std::ops::{Range, RangeInclusive};

use super::issuer::{DIGITS_MAX, DIGITS_MIN, is_card_number};

/// How a text writes what it means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Nothing is escaped.
    None,
    /// `%XX` and `\uXXXX` may stand for digits and separators. Reads a little too much into a text, and never too little.
    Any,
}

/// What a place in a text is to a card number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token {
    Digit(u8),
    /// May stand between two groups of digits.
    Separator,
    /// A separator, unless it stands in a clock time.
    Colon,
    Other,
}

/// What stands at `at`, and how many bytes it takes.
pub(super) fn token(text: &[u8], at: usize, escapes: Escapes) -> (Token, usize) {
    let Some(&byte) = text.get(at) else { return (Token::Other, 1) };
    match byte {
        b'0'..=b'9' => (Token::Digit(byte - b'0'), 1),
        b'%' if escapes == Escapes::Any => match hex(text, at + 1, 2) {
            // One character of several bytes.
            Some(code) if code >= 0x80 => (Token::Separator, high_escapes(&text[at..])),
            Some(code) => (of_char(char::from_u32(code).unwrap_or('x')), 3),
            None => (Token::Other, 1),
        },
        b'\\' if escapes == Escapes::Any => backslash(text, at),
        b'&' if text[at..].starts_with(NO_BREAK_SPACE) => (Token::Separator, NO_BREAK_SPACE.len()),
        0..0x80 => (of_char(char::from(byte)), 1),
        // A no-break space in an encoding of one byte per character.
        0xA0 => (Token::Separator, 1),
        _ => match first_char(&text[at..]) {
            Some(char) => (of_char(char), char.len_utf8()),
            None => (Token::Other, 1),
        },
    }
}

/// As pages write it.
pub(super) const NO_BREAK_SPACE: &[u8] = b"&nbsp;";

/// What a backslash begins, or several, where what was escaped has been escaped again.
fn backslash(text: &[u8], at: usize) -> (Token, usize) {
    let count = text[at..].iter().take_while(|b| **b == b'\\').count();
    match text.get(at + count) {
        Some(b'u') => match hex(text, at + count + 1, 4) {
            Some(code) => (char::from_u32(code).map_or(Token::Other, of_char), count + 5),
            None => (Token::Other, count + 1),
        },
        Some(b'/' | b'n' | b'r' | b't' | b'b' | b'f') => (Token::Separator, count + 1),
        _ => (Token::Separator, count),
    }
}

/// How long a row of `%XX` is that are no ASCII.
fn high_escapes(text: &[u8]) -> usize {
    let is_high = |escape: &&[u8]| matches!(escape, [b'%', b'8' | b'9' | b'A'..=b'F' | b'a'..=b'f', _]);
    3 * text.chunks_exact(3).take_while(is_high).count().max(1)
}

fn of_char(char: char) -> Token {
    match char {
        '0'..='9' => Token::Digit(digit_after(char, '0')),
        '\u{FF10}'..='\u{FF19}' => Token::Digit(digit_after(char, '\u{FF10}')),
        '\u{0660}'..='\u{0669}' => Token::Digit(digit_after(char, '\u{0660}')),
        '\u{06F0}'..='\u{06F9}' => Token::Digit(digit_after(char, '\u{06F0}')),
        ':' => Token::Colon,
        '-' | '.' | '_' | '/' | ',' | '+' | '|' | '~' | '\'' | '*' | '#' | '\\' | '(' | ')' => {
            Token::Separator
        }
        // Soft hyphen, middle dot, joiners and blanks of no width, dashes, bullet, minus.
        '\u{AD}'
        | '\u{B7}'
        | '\u{200B}'..='\u{200D}'
        | '\u{2010}'..='\u{2015}'
        | '\u{2022}'
        | '\u{2060}'
        | '\u{2212}'
        | '\u{FEFF}' => Token::Separator,
        _ if char.is_whitespace() => Token::Separator,
        _ => Token::Other,
    }
}

fn digit_after(char: char, zero: char) -> u8 {
    u8::try_from(u32::from(char) - u32::from(zero)).unwrap_or(0)
}

fn first_char(text: &[u8]) -> Option<char> {
    let head = &text[..text.len().min(4)];
    match std::str::from_utf8(head) {
        Ok(text) => text.chars().next(),
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?.chars().next(),
    }
}

/// The number that `count` hexadecimal digits make.
pub(super) fn hex(text: &[u8], at: usize, count: usize) -> Option<u32> {
    let digits = text.get(at..at + count)?;
    digits.iter().try_fold(0, |number, byte| Some(number * 16 + char::from(*byte).to_digit(16)?))
}

/// The latest digits of a text, and where its groups begin.
pub(super) struct Chain {
    /// A ring: the digit that came as number `n` stands at `n % RING`.
    values: [u8; RING],
    places: [usize; RING],
    begins_group: [bool; RING],
    /// Digits since the last break.
    count: usize,
    /// Digits in the present group.
    in_group: usize,
    /// Digits in the group before.
    group_before: usize,
    /// Separators since the latest digit.
    separators: usize,
    /// Where the digits begin that the present group may be taken together with.
    floor: usize,
    /// Where the chain ended, if its last group may be a card number with something else right behind it.
    pub(super) ended_in: Option<usize>,
}

const RING: usize = 32;

/// Separators between two groups: ` - ` and the like.
pub(super) const SEPARATORS_MAX: usize = 3;

/// Groups between which more than one separator may stand: those in which people write card numbers. With others, too
/// many lists of amounts and of dates would be taken for one.
const GROUP: RangeInclusive<usize> = 3..=6;

impl Chain {
    pub(super) fn new() -> Chain {
        Chain {
            values: [0; RING],
            places: [0; RING],
            begins_group: [false; RING],
            count: 0,
            in_group: 0,
            group_before: 0,
            separators: 0,
            floor: 0,
            ended_in: None,
        }
    }

    fn push(&mut self, digit: u8, place: usize) {
        let slot = self.count % RING;
        self.values[slot] = digit;
        self.places[slot] = place;
        self.begins_group[slot] = self.in_group == 0;
        self.count += 1;
        self.in_group += 1;
    }

    /// The card numbers that end with the present group, by where they begin.
    fn end_group(&mut self, mut found: impl FnMut(usize)) {
        // A wide gap is one only between two groups of a usual size.
        if self.separators > 1 && !GROUP.contains(&self.in_group) {
            self.floor = self.count - self.in_group;
        }
        let count = self.count - self.floor;
        if self.in_group > 0 && count >= DIGITS_MIN {
            for length in DIGITS_MIN..=DIGITS_MAX.min(count) {
                let first = (self.count - length) % RING;
                if self.begins_group[first] && self.is_card_number(length) {
                    found(self.places[first]);
                }
            }
        }
        self.group_before = self.in_group;
        self.in_group = 0;
        self.separators = 1;
    }

    fn is_card_number(&self, length: usize) -> bool {
        let mut digits = [0; DIGITS_MAX];
        for (index, digit) in digits[..length].iter_mut().enumerate() {
            *digit = self.values[(self.count - length + index) % RING];
        }
        is_card_number(&digits[..length])
    }

    fn cut(&mut self) {
        self.count = 0;
        self.in_group = 0;
        self.group_before = 0;
        self.separators = 0;
        self.floor = 0;
        self.ended_in = None;
    }

    /// Reads on from `at` until the chain ends: too many separators, or anything else. `found` gets each card number's place.
    /// Returns where to go on.
    pub(super) fn read(
        &mut self,
        text: &[u8],
        mut at: usize,
        escapes: Escapes,
        mut found: impl FnMut(Range<usize>),
    ) -> usize {
        self.cut();
        loop {
            let (token, length) = token(text, at, escapes);
            match token {
                Token::Digit(digit) => self.push(digit, at),
                Token::Separator | Token::Colon if self.in_group == 0 && self.may_be_wide() => {
                    self.separators += 1;
                }
                _ if self.in_group == 0 => return at + length,
                Token::Colon if self.is_clock(text, at + length) => {
                    let hours = self.in_group == 2;
                    self.end_group(|start| found(start..at));
                    return at + length + if hours { minutes(&text[at + length..]) } else { 0 };
                }
                Token::Separator | Token::Colon => self.end_group(|start| found(start..at)),
                Token::Other => {
                    self.ended_in = (self.in_group >= DIGITS_MIN).then_some(at);
                    self.end_group(|start| found(start..at));
                    return at + length;
                }
            }
            at += length;
        }
    }

    /// Whether one more separator may follow those since the latest digit.
    fn may_be_wide(&self) -> bool {
        self.separators < SEPARATORS_MAX && GROUP.contains(&self.group_before)
    }

    /// Whether the colon before `next` stands beside a group of two digits, as in `09:15:02`.
    fn is_clock(&self, text: &[u8], next: usize) -> bool {
        let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
        self.in_group == 2 || is_digit(next) && is_digit(next + 1) && !is_digit(next + 2)
    }
}

/// The length of what follows a clock's first colon: minutes, perhaps seconds, perhaps a fraction of up to nanoseconds.
fn minutes(text: &[u8]) -> usize {
    let digits =
        |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let mut length = 0;
    while digits(length) == 2 {
        length += 2;
        match (text.get(length), digits(length + 1)) {
            (Some(b':'), 2) => length += 1,
            (Some(b'.' | b','), fraction @ 1..=9) => return length + 1 + fraction,
            _ => return length,
        }
    }
    length
}

/// Where card numbers stand in a text that is written as it is meant. Those that are part of a hash or a UUID are none.
pub(super) fn card_numbers(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    let mut chain = Chain::new();
    let mut at = 0;
    while at < text.len() {
        at = match token(text, at, Escapes::None) {
            (Token::Digit(_), _) => chain.read(text, at, Escapes::None, |range| {
                if !is_in_hash(text, &range) && !is_in_uuid(text, &range) {
                    found(range);
                }
            }),
            (_, length) => at + length,
        };
    }
}

/// The shortest hash in use, MD5, and a UUID without hyphens. Shorter words may be a card number with a letter beside it.
const HASH_MIN: usize = 32;

/// Whether this is part of a long word of hexadecimal digits.
fn is_in_hash(text: &[u8], range: &Range<usize>) -> bool {
    const LOOKED_AT: usize = 128;
    let word = word_around(text, range, LOOKED_AT, |byte| byte.is_ascii_alphanumeric());
    word.len() >= HASH_MIN && word.iter().all(u8::is_ascii_hexdigit)
}

/// Whether this is part of a UUID: 8, 4, 4, 4 and 12 hexadecimal digits.
fn is_in_uuid(text: &[u8], range: &Range<usize>) -> bool {
    const LENGTH: usize = 36;
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let word = word_around(text, range, LENGTH, |byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    word.len() == LENGTH
        && word.iter().enumerate().all(|(index, byte)| match HYPHENS.contains(&index) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// What stands around a range with such bytes, looking no further than `most` to each side.
fn word_around<'t>(text: &'t [u8], range: &Range<usize>, most: usize, is_part: fn(&u8) -> bool) -> &'t [u8] {
    let before = text[..range.start].iter().rev().take(most).take_while(|b| is_part(b)).count();
    let after = text[range.end..].iter().take(most).take_while(|b| is_part(b)).count();
    &text[range.start - before..range.end + after]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        card_numbers(text.as_bytes(), |range| all.push(&text[range]));
        all
    }

    #[test]
    fn a_card_number_is_found_in_one_run_and_in_groups() {
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111.1111.1111",
            "4111_1111_1111_1111",
            "4111/1111/1111/1111",
            "4111:1111:1111:1111",
            "4111\t1111\n1111,1111",
            "4111\u{a0}1111\u{2009}1111\u{2013}1111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "3714 496353 98431",
            "411111111111-1111",
            "４１１１１１１１１１１１１１１１",
            "٤١١١١١١١١١١١١١١١",
            "4111 - 1111 - 1111 - 1111",
            "4111  1111  1111  1111",
            "4111) (1111) (1111) (1111",
            "4111)(1111)(1111)(1111",
            "4111&nbsp;1111&nbsp;1111&nbsp;1111",
            "3714 / 496353 / 98431",
        ] {
            assert_eq!(found(&format!("paid with {number}, thanks")), [number]);
            assert_eq!(found(number), [number]);
        }
    }

    #[test]
    fn another_number_before_or_after_hides_none() {
        let is_within = |text: &str| found(text).iter().any(|f| f.contains("4111 1111 1111 1111"));
        assert!(is_within("12 4111 1111 1111 1111"));
        assert!(is_within("4111 1111 1111 1111 12/26"));
        assert!(is_within("20/11/2026 4111 1111 1111 1111 10.99"));
    }

    #[test]
    fn letters_beside_a_number_hide_none_but_a_hash_and_a_uuid_have_none() {
        for text in [
            "VISA4111111111111111EXP",
            "EC4111111111111111",
            "card 4111111111111111e",
            "de4111111111111111beef",
            "abcdefa4111111111111111abcdefab",
            "abcdefabxabcdefabcdefabcd4111111111111111",
        ] {
            assert_eq!(found(text), ["4111111111111111"], "{text}");
        }
        for text in [
            "abcdefab4111111111111111abcdefab",
            "0f8fad5b-4111-1111-1111-11117728950e",
            "e3b0c44298fc1c1494111111111111111149afbf4c8996fb",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn longer_runs_clocks_serials_and_wide_gaps_make_none() {
        for text in [
            "41111111111111111111",
            "14111111111111111",
            "00004111111111111111111",
            "4111    1111    1111    1111",
            "4111  1111  11111111",
            "411111111111  1111",
            "41  11  11  11  11  11  11  11",
            "S1F2-000158215131748",
            "V400m-324688179",
            "2026-11-20T09:15:02.118Z",
            "2026-11-20 22:21:59.123456789",
            "2026-11-20 09:41:12.123456789",
            "1795165200000",
            "1795165200000000",
            "8944500102198304826",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
