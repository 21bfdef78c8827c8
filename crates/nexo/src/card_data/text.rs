//! Free text: names with values, tracks, card numbers, and what stands in it in another coding.

use std::collections::HashSet;
use std::ops::Range;

use super::base64_text;
use super::digits::card_numbers;
use super::json;
use super::names::{Name, name};
use super::track::tracks;
use super::view::{Coding, View, escaped};
use super::work::Reading;

/// What stands where a card number did.
pub(super) const NUMBER_MARK: &str = "[card number removed]";

/// What stands where a track did.
pub(super) const TRACK_MARK: &str = "[track data removed]";

/// What stands where a member's or a key's value did that is card data by its name.
pub(super) const DATA_MARK: &str = "[card data removed]";

/// Longer than any reference: more is not looked at.
const REFERENCE_MAX: usize = 128;

/// A part of a text that goes, and what comes instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) with: Vec<u8>,
}

impl Edit {
    pub(super) fn new(range: Range<usize>, with: &str) -> Edit {
        Edit { range, with: with.as_bytes().to_vec() }
    }
}

/// What has to go from a text whose name says `name`; sorted, and none overlaps another.
pub(super) fn edits(text: &[u8], name: Name, reading: Reading<'_>) -> Vec<Edit> {
    let Some(reading) = reading.of_text(text.len()) else { return Vec::new() };
    if json::is_json_container(text) {
        return json::edits(text, reading);
    }
    if name == Name::Encrypted && !may_be_text(text) {
        return Vec::new();
    }
    if let Some(view) = View::of(text, Coding::Zeros) {
        let found = edits(&view.text, name, reading);
        return found.into_iter().map(|e| Edit { range: view.place(&e.range), ..e }).collect();
    }
    let mut runs = HashSet::new();
    let mut found = Findings::of(text, name);
    if name != Name::Reference {
        base64_text::runs(text, |run| {
            runs.insert((run.start, run.end));
            found.base64(text, &run, reading);
        });
    }
    if is_form(text) {
        for edit in found.edits.iter_mut().chain(&mut found.numbers) {
            edit.with = escaped(&edit.with, Coding::Percent);
        }
    }
    for coding in [Coding::Percent, Coding::Json] {
        if let Some(view) = View::of(text, coding) {
            if !reading.looks_at(view.text.len()) {
                return Vec::new();
            }
            let mut more = Findings::of(&view.text, name);
            if name != Name::Reference {
                base64_text::runs(&view.text, |run| {
                    // Each is read once, in the first coding that shows it so.
                    let source = view.place(&run.range());
                    let is_same = text[source.clone()] == view.text[run.range()]
                        && text.get(source.end) == view.text.get(run.end);
                    if !is_same || runs.insert((source.start, source.end)) {
                        more.base64(&view.text, &run, reading);
                    }
                });
            }
            found.add(more, &view);
        }
    }
    found.into_edits()
}

/// Whether an encrypted member's text is not encrypted after all: no Base64, or that of a text.
fn may_be_text(text: &[u8]) -> bool {
    let is_base64 = |byte: &u8| base64_text::is_base64(*byte) || matches!(byte, b'=' | b'\r' | b'\n');
    !text.iter().all(is_base64) || base64_text::begins_like_text(text)
}

/// Writes a text with its edits.
pub(super) fn edited(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 32);
    let mut at = 0;
    for edit in edits {
        out.extend_from_slice(&text[at..edit.range.start]);
        out.extend_from_slice(&edit.with);
        at = edit.range.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// What was found in a text in one of its codings.
#[derive(Default)]
struct Findings {
    edits: Vec<Edit>,
    /// Card numbers, which go unless they stand in a reference.
    numbers: Vec<Edit>,
    references: Vec<Range<usize>>,
}

impl Findings {
    fn of(text: &[u8], name: Name) -> Findings {
        let mut found = Findings::default();
        found.named_values(text);
        found.receipt_line(text);
        tracks(text, |range| found.edits.push(Edit::new(range, TRACK_MARK)));
        if name != Name::Reference {
            card_numbers(text, |range| found.numbers.push(Edit::new(range, NUMBER_MARK)));
        }
        found
    }

    fn add(&mut self, found: Findings, view: &View) {
        let place = |edit: Edit| Edit { range: view.place(&edit.range), with: view.write(&edit.with) };
        self.edits.extend(found.edits.into_iter().map(place));
        self.numbers.extend(found.numbers.into_iter().map(place));
        self.references.extend(found.references.iter().map(|range| view.place(range)));
    }

    /// `name=value`, `"name":"value"`, `name: value` and the like.
    fn named_values(&mut self, text: &[u8]) {
        let mut done = 0;
        for at in memchr::memchr2_iter(b':', b'=', text) {
            if at < done {
                continue;
            }
            match name(name_before(text, at)) {
                Name::CardData => {
                    let range = value_after(text, at, text[at] == b'=');
                    done = range.end;
                    if holds_something(&text[range.clone()]) {
                        self.edits.push(Edit::new(range, DATA_MARK));
                    }
                }
                Name::Reference => {
                    let head = &text[..text.len().min(at + REFERENCE_MAX)];
                    if !matches!(head[at + 1..].trim_ascii_start(), [b'{' | b'[', ..]) {
                        self.references.push(value_after(head, at, false));
                    }
                }
                Name::Encrypted | Name::Free => {}
            }
        }
    }

    /// `name=CVC&value=123&key=cvc`: here `key` and `name` say what `value` is.
    fn receipt_line(&mut self, text: &[u8]) {
        let mut value = None;
        let mut meant = Name::Free;
        let mut start = 0;
        for pair in text.split(|b| *b == b'&') {
            let range = start..start + pair.len();
            start = range.end + 1;
            let Some(equals) = pair.iter().position(|b| *b == b'=') else { continue };
            match pair[..equals].to_ascii_lowercase().as_slice() {
                b"value" => value = Some(range.start + equals + 1..range.end),
                b"key" | b"name" => match name(&pair[equals + 1..]) {
                    Name::CardData => meant = Name::CardData,
                    Name::Reference if meant == Name::Free => meant = Name::Reference,
                    _ => {}
                },
                _ => {}
            }
        }
        match (value, meant) {
            (Some(range), Name::CardData) if holds_something(&text[range.clone()]) => {
                self.edits.push(Edit::new(range, DATA_MARK));
            }
            (Some(range), Name::Reference) => self.references.push(range),
            _ => {}
        }
    }

    /// A text in Base64 stays one: only what is card data in it goes, for the rest helps whoever reads the message.
    fn base64(&mut self, text: &[u8], run: &base64_text::Run<'_>, reading: Reading<'_>) {
        base64_text::starts(run, |start| {
            let chars = &run.chars[start..];
            let Some(reading) = reading.of_base64(chars.len()) else { return };
            let inner = base64_text::decode(chars);
            let found = edits(&inner, Name::Free, reading);
            let Some(first) = found.first() else { return };
            // What stands before it stays as it was written.
            let before = first.range.start / 3;
            let place = run.place(start + 4 * before);
            let padding = text[run.end..].iter().take(2).take_while(|b| **b == b'=').count();
            let is_padded = padding > 0 || chars.len().is_multiple_of(4);
            let left = edited(&inner, &found);
            let with = base64_text::encode_like(&run.chars, is_padded, &left[3 * before..]);
            self.edits.push(Edit { range: place..run.end + padding, with });
        });
    }

    fn into_edits(mut self) -> Vec<Edit> {
        let mut references = self.references;
        references.sort_by_key(|r| r.start);
        // Where the furthest of those ends that begin here or before.
        let mut furthest = 0;
        for reference in &mut references {
            furthest = furthest.max(reference.end);
            reference.end = furthest;
        }
        let is_reference = |range: &Range<usize>| {
            let before = references.partition_point(|r| r.start <= range.start);
            before > 0 && range.end <= references[before - 1].end
        };
        self.edits.extend(self.numbers.into_iter().filter(|edit| !is_reference(&edit.range)));
        disjoint(self.edits)
    }
}

/// Sorts edits, and makes one of those that overlap.
fn disjoint(mut edits: Vec<Edit>) -> Vec<Edit> {
    // Of two that take the same place, the one that was found in the text's own coding comes last.
    edits.sort_by(|a, b| (a.range.start, b.range.end).cmp(&(b.range.start, a.range.end)));
    let mut kept: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
        match kept.last_mut() {
            Some(last) if edit.range.start < last.range.end => {
                if edit.range.end > last.range.end {
                    last.range.end = edit.range.end;
                    if !is_mark(&last.with) {
                        last.with = edit.with;
                    }
                }
            }
            _ => kept.push(edit),
        }
    }
    kept
}

/// Form data: pairs, and nothing that would have to be escaped in it.
fn is_form(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |b| *b == b'=');
    let (key, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // The padding of Base64 has nothing behind it, and a track no letters before it.
    key.iter().any(u8::is_ascii_alphabetic)
        && !matches!(rest, [] | b"=")
        && !text.iter().any(|b| b.is_ascii_whitespace() || b"\"'{}<>;".contains(b))
}

/// What stands before a colon or an equals sign as its name, without quotes.
fn name_before(text: &[u8], at: usize) -> &[u8] {
    let end =
        at - text[..at].iter().rev().take_while(|b| b.is_ascii_whitespace() || b"\"'\\".contains(b)).count();
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(byte);
    let start = end - text[..end].iter().rev().take_while(is_part).count();
    &text[start..end]
}

/// Where the value behind a colon or an equals sign stands, without its quotes. One without quotes ends at a blank, unless
/// it may have blanks.
fn value_after(text: &[u8], at: usize, may_have_blanks: bool) -> Range<usize> {
    let blanks = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let mut start = at + 1;
    start += blanks(start);
    let rest = &text[start..];
    let (skipped, quote): (usize, &[u8]) = match rest {
        [b'\\', b'"', ..] => (2, b"\\\""),
        [b'"', ..] => (1, b"\""),
        [b'\'', ..] => (1, b"'"),
        [b'{' | b'[', ..] => return start..start + json::container_length(rest),
        _ => {
            let is_end = |byte: &u8| match byte {
                b'&' | b'"' | b'\n' | b'\r' | b'\'' => true,
                b',' | b';' | b'}' | b']' => !may_have_blanks,
                byte => byte.is_ascii_whitespace() && !may_have_blanks,
            };
            let length = rest.iter().position(is_end).unwrap_or(rest.len());
            return start..start + length;
        }
    };
    let start = start + skipped;
    let rest = &text[start..];
    let length = match quote {
        b"\"" => json::string_length(rest),
        quote => rest.windows(quote.len()).position(|w| w == quote).unwrap_or(rest.len()),
    };
    start..start + length
}

/// Whether there is anything to remove: a value, and not yet one of our marks.
pub(super) fn holds_something(value: &[u8]) -> bool {
    !matches!(value.trim_ascii(), b"" | b"null" | b"true" | b"false" | b"\"\"" | b"{}" | b"[]")
        && !is_mark(value)
}

/// Whether this is a mark, in whatever coding.
fn is_mark(text: &[u8]) -> bool {
    let text = match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    };
    [NUMBER_MARK, TRACK_MARK, DATA_MARK]
        .iter()
        .any(|mark| text == mark.as_bytes() || text == escaped(mark.as_bytes(), Coding::Percent))
}
