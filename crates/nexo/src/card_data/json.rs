//! Well-formed JSON: its members by name, its texts and its numbers.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::issuer::is_card_number;
use super::names::{Name, name};
use super::text::{self, DATA_MARK, Edit, NUMBER_MARK, holds_something};
use super::view::{Coding, View};
use super::work::Reading;

/// Whether a text is a JSON object or array.
pub(super) fn is_json_container(text: &[u8]) -> bool {
    let first = text.iter().find(|b| !b.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'[')) && is_json(text)
}

/// Whether a text is JSON of any kind.
pub(super) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// What has to go from well-formed JSON. It stays well-formed.
pub(super) fn edits(text: &[u8], reading: Reading<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    if !reading.looks_at(text.len()) {
        return edits;
    }
    // What the latest member's name says; an array's values have its name.
    let mut named = Name::Free;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                let inner = at + 1..at + 1 + string_length(&text[at + 1..]);
                at = (inner.end + 1).min(text.len());
                let value = at + blanks(&text[at..]);
                if text.get(value) != Some(&b':') {
                    texts(text, inner, named, reading, &mut edits);
                    continue;
                }
                named = name_of(&text[inner.clone()]);
                // Somebody may have put a number where a name belongs.
                texts(text, inner, named, reading, &mut edits);
                at = value + 1;
                if named == Name::CardData {
                    let start = at + blanks(&text[at..]);
                    at = start + value_length(&text[start..]);
                    if holds_something(&text[start..at]) {
                        edits.push(Edit::new(start..at, &quoted(DATA_MARK)));
                    }
                }
            }
            b'0'..=b'9' | b'-' => {
                let end = at + value_length(&text[at..]);
                if named != Name::Reference && is_card_number_of(&text[at..end]) {
                    edits.push(Edit::new(at..end, &quoted(NUMBER_MARK)));
                }
                at = end;
            }
            b'}' => {
                named = Name::Free;
                at += 1;
            }
            _ => at += 1,
        }
    }
    edits
}

/// What has to go from the text between two quotes.
fn texts(json: &[u8], inner: Range<usize>, named: Name, reading: Reading<'_>, edits: &mut Vec<Edit>) {
    let raw = &json[inner.clone()];
    match View::of(raw, Coding::Json) {
        None => edits.extend(text::edits(raw, named, reading).into_iter().map(|edit| Edit {
            range: inner.start + edit.range.start..inner.start + edit.range.end,
            with: super::view::escaped(&edit.with, Coding::Json),
        })),
        Some(view) => edits.extend(text::edits(&view.text, named, reading).into_iter().map(|edit| {
            let range = view.place(&edit.range);
            Edit { range: inner.start + range.start..inner.start + range.end, with: view.write(&edit.with) }
        })),
    }
}

fn name_of(raw: &[u8]) -> Name {
    View::of(raw, Coding::Json).map_or_else(|| name(raw), |view| name(&view.text))
}

/// A mark as a JSON string.
pub(super) fn quoted(mark: &str) -> String {
    format!("\"{mark}\"")
}

/// Whether a number is a card number: a whole one, or one that lost its point to zeros or an exponent.
fn is_card_number_of(number: &[u8]) -> bool {
    let number = number.strip_prefix(b"-").unwrap_or(number);
    let (mantissa, exponent) = match number.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&number[..at], std::str::from_utf8(&number[at + 1..]).ok().and_then(|e| e.parse().ok())),
        None => (number, Some(0_usize)),
    };
    let Some(exponent) = exponent else { return false };
    let digits: Vec<u8> = mantissa.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect();
    let whole = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let (before, after) = digits.split_at(whole);
    match exponent {
        0 => after.iter().all(|digit| *digit == 0) && is_card_number(before),
        _ => after.len() == exponent && is_card_number(&digits),
    }
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// The length of a text up to its closing quote, or to the end where there is none.
pub(super) fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of an object or array with its brackets, or to the end where they do not close.
pub(super) fn container_length(text: &[u8]) -> usize {
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at += string_length(&text[at.min(text.len())..]) + 1,
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.len()
}

fn value_length(text: &[u8]) -> usize {
    match text.first() {
        Some(b'"') => (string_length(&text[1..]) + 2).min(text.len()),
        Some(b'{' | b'[') => container_length(text),
        _ => {
            let is_end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b']' | b'}');
            text.iter().position(is_end).unwrap_or(text.len())
        }
    }
}
