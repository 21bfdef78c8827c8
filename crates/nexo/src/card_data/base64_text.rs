//! Texts in Base64 within a text.

use std::ops::Range;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::general_purpose};

/// Shorter runs hold no card number, and no name with a value that would be worth it: 12 bytes.
pub(super) const RUN_MIN: usize = 16;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

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

/// Whether a run of Base64 begins as a text does. Encrypted and other binary data is found out within a few bytes, as are
/// words that only look like Base64.
pub(super) fn begins_like_text(run: &[u8]) -> bool {
    let (mut seen, mut odd) = (0, 0);
    for group in run.chunks_exact(4).take(16) {
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

/// The parts of a run that may be Base64 by themselves: all of it, and what stands between characters that only one
/// alphabet has.
pub(super) fn parts(run: &[u8], mut part: impl FnMut(Range<usize>)) {
    if begins_like_text(run) {
        part(0..run.len());
    }
    let mut split = |is_end: fn(&u8) -> bool| {
        let mut start = 0;
        for piece in run.split(is_end) {
            if piece.len() >= RUN_MIN && piece.len() < run.len() && begins_like_text(piece) {
                part(start..start + piece.len());
            }
            start += piece.len() + 1;
        }
    };
    if run.iter().any(|b| !b.is_ascii_alphanumeric()) {
        split(|byte| matches!(byte, b'-' | b'_'));
        split(|byte| matches!(byte, b'-' | b'_' | b'+' | b'/'));
    }
}

fn engine(part: &[u8]) -> &'static GeneralPurpose {
    if part.iter().any(|b| matches!(b, b'-' | b'_')) { &URL_SAFE } else { &STANDARD }
}

/// The part without a last character that no whole byte is left for, as when the text was cut off.
pub(super) fn whole(part: &[u8]) -> &[u8] {
    if part.len() % 4 == 1 { &part[..part.len() - 1] } else { part }
}

/// Decodes a part without its padding.
pub(super) fn decode(part: &[u8]) -> Option<Vec<u8>> {
    engine(part).decode(whole(part)).ok()
}

/// Decodes a part into `out`, if it fits.
pub(super) fn decode_into<'a>(part: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = engine(part).decode_slice(whole(part), out).ok()?;
    out.get(..length)
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

/// Every run of at least [`RUN_MIN`] characters, without its padding.
pub(super) fn runs(text: &[u8], mut run: impl FnMut(Range<usize>)) {
    let mut at = 0;
    while at < text.len() {
        let length = text[at..].iter().take_while(|b| is_base64(**b)).count();
        if length >= RUN_MIN {
            run(at..at + length);
        }
        at += length + 1;
    }
}
