//! Texts in Base64 within a text.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose;

/// Shorter runs hold no card number, and no name with a value that would be worth it: 12 bytes.
pub(super) const RUN_MIN: usize = 16;

/// Whether a byte may stand in Base64, in the standard alphabet or the one for URLs.
pub(super) const fn is_base64(byte: u8) -> bool {
    VALUES[byte as usize] < 64
}

/// Each byte's six bits; 64 for those that are none.
const VALUES: [u8; 256] = {
    let mut values = [64; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut index = 0;
    while index < letters.len() {
        #[expect(clippy::cast_possible_truncation, reason = "below 62")]
        {
            values[letters[index] as usize] = index as u8;
        }
        index += 1;
    }
    values[b'+' as usize] = 62;
    values[b'-' as usize] = 62;
    values[b'/' as usize] = 63;
    values[b'_' as usize] = 63;
    values
};

/// So many characters of a run show whether it is a text.
pub(super) const HEAD: usize = 64;

/// Whether a run of Base64 begins as a text does. Encrypted and other binary data is found out within a few bytes, as are
/// words that only look like Base64.
pub(super) fn begins_like_text(run: &[u8]) -> bool {
    let (mut seen, mut odd) = (0, 0);
    for group in run.chunks_exact(4).take(HEAD / 4) {
        for byte in three_bytes(group) {
            seen += 1;
            odd += u32::from(is_odd(byte));
        }
        if odd > 2 + seen / 4 {
            return begins_like_utf8(run);
        }
    }
    true
}

/// Whether a run begins as a text of which most is not ASCII.
fn begins_like_utf8(run: &[u8]) -> bool {
    let mut head = [0; 24];
    for (group, bytes) in run.chunks_exact(4).zip(head.as_chunks_mut().0) {
        *bytes = three_bytes(group);
    }
    let head = &head[..head.len().min(run.len() / 4 * 3)];
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && head.iter().filter(|b| **b < 0x80 && is_odd(**b)).count() <= 1
}

fn three_bytes(group: &[u8]) -> [u8; 3] {
    let bits = group.iter().fold(0, |bits: u32, byte| bits << 6 | u32::from(VALUES[usize::from(*byte)]));
    let [_, a, b, c] = bits.to_be_bytes();
    [a, b, c]
}

/// A byte that is rare in texts; zeros are not, in UTF-16.
fn is_odd(byte: u8) -> bool {
    matches!(byte, 0x01..=0x08 | 0x0B | 0x0C | 0x0E..=0x1F | 0x7F..)
}

/// A run of at least [`RUN_MIN`] characters of Base64, and the lines that follow it.
pub(super) struct Run<'t> {
    /// Without what separates its lines, and without its padding.
    pub(super) chars: Cow<'t, [u8]>,
    /// Where it begins and ends in the text.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Of each line: which of `chars` is its first, and where that stands in the text.
    lines: Vec<(usize, usize)>,
}

impl Run<'_> {
    /// Where it stands in the text.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Where one of `chars` stands in the text.
    pub(super) fn place(&self, index: usize) -> usize {
        let line = self.lines.partition_point(|(first, _)| *first <= index);
        self.lines[..line].last().map_or(self.start, |(first, place)| place + index - first)
    }
}

/// Every run of at least [`RUN_MIN`] characters. A line break, a tab or blanks end none, if more of Base64 follows.
pub(super) fn runs<'t>(text: &'t [u8], mut run: impl FnMut(Run<'t>)) {
    let length = |from: usize| text[from..].iter().take_while(|b| is_base64(**b)).count();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let mut end = start + length(start);
        at = end + 1;
        if end - start < RUN_MIN {
            continue;
        }
        let mut chars = Cow::Borrowed(&text[start..end]);
        let mut lines = vec![(0, start)];
        loop {
            let next = end + text[end..].iter().take_while(|b| is_break(**b)).count();
            let more = length(next);
            if more == 0 {
                break;
            }
            lines.push((chars.len(), next));
            end = next + more;
            chars.to_mut().extend_from_slice(&text[next..end]);
        }
        at = end.max(at);
        run(Run { chars, start, end, lines });
    }
}

/// What may stand between two lines of Base64.
fn is_break(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where in a run Base64 may begin: where a line of some length does, or behind a character that only one alphabet has.
/// No more than four, for those that are a multiple of four apart are read as one.
pub(super) fn starts(run: &Run<'_>, mut start: impl FnMut(usize)) {
    let mut seen = [false; 4];
    for (index, (first, _)) in run.lines.iter().enumerate() {
        let end = run.lines.get(index + 1).map_or(run.chars.len(), |(next, _)| *next);
        starts_in(&run.chars[..end], *first, |at| {
            if !seen[at % 4] && begins_like_text(&run.chars[at..]) {
                seen[at % 4] = true;
                start(at);
            }
        });
        if seen == [true; 4] {
            break;
        }
    }
}

/// Where in a line, which begins at `first`, Base64 may begin.
pub(super) fn starts_in(line: &[u8], first: usize, mut start: impl FnMut(usize)) {
    let Some(last) = line.len().checked_sub(RUN_MIN).filter(|last| first <= *last) else { return };
    start(first);
    let marks = line[first..last].iter().enumerate().filter(|(_, b)| !b.is_ascii_alphanumeric());
    for (mark, _) in marks {
        start(first + mark + 1);
    }
}

/// Decodes what has no padding, in either alphabet. A last character that no whole byte is left for is dropped, as when
/// the text was cut off.
pub(super) fn decode(chars: &[u8]) -> Vec<u8> {
    let mut out = vec![0; chars.len() / 4 * 3 + 3];
    let length = decode_into(chars, &mut out).len();
    out.truncate(length);
    out
}

/// Decodes into `out`, as far as that goes.
pub(super) fn decode_into<'a>(chars: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    let (groups, rest) = chars.as_chunks::<4>();
    let mut length = 0;
    for (group, bytes) in groups.iter().zip(out.as_chunks_mut::<3>().0) {
        *bytes = three_bytes(group);
        length += 3;
    }
    if let (2 | 3, Some(bytes)) = (rest.len(), out.get_mut(length..length + 3)) {
        let mut group = [b'A'; 4];
        group[..rest.len()].copy_from_slice(rest);
        bytes.copy_from_slice(&three_bytes(&group));
        length += rest.len() - 1;
    }
    &out[..length]
}

/// Encodes as `part` was.
pub(super) fn encode_like(part: &[u8], padded: bool, text: &[u8]) -> Vec<u8> {
    let is_url_safe = part.iter().any(|b| matches!(b, b'-' | b'_'));
    let engine = match (is_url_safe, padded) {
        (false, true) => &general_purpose::STANDARD,
        (false, false) => &general_purpose::STANDARD_NO_PAD,
        (true, true) => &general_purpose::URL_SAFE,
        (true, false) => &general_purpose::URL_SAFE_NO_PAD,
    };
    engine.encode(text).into_bytes()
}
