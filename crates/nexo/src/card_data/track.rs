//! Tracks by their shape: what a magnetic stripe or a chip gives away, with or without its sentinels.
//!
//! Track 1 is `%B<number>^<name>^<expiry, service code, ..>?`, track 2 `;<number>=<expiry, service code, ..>?`, and a
//! chip writes the latter with `D` for `=` (ISO/IEC 7813; EMV tag 57).

use std::ops::Range;

use super::digits::hex;
use super::issuer::{DIGITS_MAX, DIGITS_MIN, is_card_number};

/// The longest track 1 has 79 characters; a little more is taken for one that was padded.
const TRACK_MAX: usize = 100;

/// Digits behind the separator of a track 2 that are enough to know it: expiry date and service code.
const AFTER_MIN: usize = 7;

/// So many digits behind it make a track of any number, also one that no issuer has.
const AFTER_SURE: usize = 12;

/// Where tracks stand in a text that is written as it is meant.
pub(super) fn tracks(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    let mut end = 0;
    for (at, &byte) in text.iter().enumerate() {
        let track = match byte {
            _ if at < end => None,
            b'^' => track_1(text, at),
            b'=' | b'D' | b'd' => track_2(text, at),
            _ => None,
        };
        if let Some(track) = track {
            end = track.end;
            found(track);
        }
    }
}

/// Whether a run of digits that ends before `at` may belong to a track, for what follows it there.
pub(super) fn may_follow_number(text: &[u8], at: usize) -> bool {
    let char = match text.get(at) {
        Some(b'%') => hex(text, at + 1, 2).and_then(char::from_u32),
        Some(b'\\') if text.get(at + 1) == Some(&b'u') => hex(text, at + 2, 4).and_then(char::from_u32),
        byte => byte.copied().map(char::from),
    };
    matches!(char, Some('^' | '=' | 'D' | 'd'))
}

fn track_1(text: &[u8], caret: usize) -> Option<Range<usize>> {
    let number = digits_before(text, caret);
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&number.len()) {
        return None;
    }
    let mut start = number.start;
    for lead in [b"Bb", b"%%"] {
        if start > 0 && lead.contains(&text[start - 1]) {
            start -= 1;
        }
    }
    let rest = &text[caret..text.len().min(caret + TRACK_MAX)];
    let length = match rest.iter().position(|b| matches!(b, b'?' | b'"' | b'&' | b'\n')) {
        Some(end) if rest[end] == b'?' => end + 1,
        Some(end) => end,
        None => rest.len(),
    };
    // Not in the middle of a character.
    let is_inside = |byte: &&u8| (0x80..0xC0).contains(*byte);
    let rest_of_char = text[caret + length..].iter().take(3).take_while(is_inside).count();
    Some(start..caret + length + rest_of_char)
}

fn track_2(text: &[u8], separator: usize) -> Option<Range<usize>> {
    let number = digits_before(text, separator);
    if number.len() < DIGITS_MIN {
        return None;
    }
    let after = text[separator + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    let has_sentinel = number.start > 0 && text[number.start - 1] == b';' && number.len() <= DIGITS_MAX;
    let is_sure = number.len() <= DIGITS_MAX && after >= AFTER_SURE && is_expiry(&text[separator + 1..]);
    let start = if has_sentinel && after >= 4 {
        number.start - 1
    } else if is_sure {
        number.start
    } else if after >= AFTER_MIN && is_expiry(&text[separator + 1..]) {
        // Behind other digits too, as in a chip's list of tags, lengths and values.
        card_number_before(text, separator)?
    } else {
        return None;
    };
    let mut end = separator + 1 + after;
    if text.get(end) == Some(&b'?') {
        end += 1;
    }
    Some(start..end)
}

fn digits_before(text: &[u8], end: usize) -> Range<usize> {
    let count = text[..end].iter().rev().take_while(|b| b.is_ascii_digit()).count();
    end - count..end
}

/// Year and month.
fn is_expiry(text: &[u8]) -> bool {
    matches!(text, [_, _, b'0', b'1'..=b'9', ..] | [_, _, b'1', b'0'..=b'2', ..])
}

fn card_number_before(text: &[u8], end: usize) -> Option<usize> {
    let digits: Vec<u8> = text[end.saturating_sub(DIGITS_MAX)..end]
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .map(|b| b - b'0')
        .collect();
    let digits: Vec<u8> = digits.into_iter().rev().collect();
    let lengths = DIGITS_MIN..=digits.len();
    let length = lengths.rev().find(|length| is_card_number(&digits[digits.len() - length..]))?;
    Some(end - length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        tracks(text.as_bytes(), |range| all.push(&text[range]));
        all
    }

    #[test]
    fn tracks_are_known_by_their_shape_whatever_their_number() {
        for track in [
            "%B4111111111111111^DOE/JOHN^25121010000012345678?",
            "B4111111111111111^DOE/JOHN^2512101",
            "%B1234567890123456^DOE/JOHN ^25121010000012345678?",
            ";4111111111111111=25121010000012345678?",
            ";1234567890123456=2512?",
            "4111111111111111=25121010000012345678",
            "4111111111111111D25121010000012345678",
            "1234567890123456=25121010000012345678?",
        ] {
            assert_eq!(found(track), [track]);
            assert_eq!(
                found(&format!("read: {track} ok")),
                [if track.ends_with("2101") { format!("{track} ok") } else { track.to_owned() }]
            );
        }
        assert_eq!(found("57114111111111111111D25121010000F"), ["4111111111111111D25121010000"]);
    }

    #[test]
    fn what_only_resembles_a_track_is_none() {
        for text in [
            "8825408195409505=1",
            "1795165200000=2026",
            "a^b^c",
            "12^3^4",
            "8825408195409505D",
            "0f8fad5bd9cb469fa165708677289500",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
