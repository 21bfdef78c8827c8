//! A text with its escapes resolved, and where in the text each byte came from.

use std::ops::Range;

use super::digits::hex;

/// How a text was escaped, and so how something is written into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    /// The inside of a JSON string.
    Json,
    /// Form data or a URL: `%XX`, and `+` for a blank.
    Percent,
    /// Every other byte is zero, as in UTF-16.
    Zeros,
}

/// See the [module](self).
pub(super) struct View {
    pub(super) text: Vec<u8>,
    coding: Coding,
    /// Where each byte of `text` began, and at the end the length of the source.
    places: Vec<usize>,
}

impl View {
    /// Resolves the escapes of `source`; nothing when it has none.
    pub(super) fn of(source: &[u8], coding: Coding) -> Option<View> {
        let has_any = match coding {
            Coding::Json => source.contains(&b'\\'),
            Coding::Percent => source.iter().any(|b| matches!(b, b'%' | b'+')),
            Coding::Zeros => source.contains(&0),
        };
        if !has_any {
            return None;
        }
        let mut view = View {
            text: Vec::with_capacity(source.len()),
            coding,
            places: Vec::with_capacity(source.len() + 1),
        };
        let mut at = 0;
        while let Some(&byte) = source.get(at) {
            at += match (coding, byte) {
                (Coding::Json, b'\\') => view.unescape(source, at),
                (Coding::Percent, b'+') => view.push(at, b" ", 1),
                (Coding::Percent, b'%') => {
                    match hex(source, at + 1, 2).and_then(|code| u8::try_from(code).ok()) {
                        Some(code) => view.push(at, &[code], 3),
                        None => view.push(at, &[byte], 1),
                    }
                }
                (Coding::Zeros, 0) => 1,
                _ => view.push(at, &[byte], 1),
            };
        }
        view.places.push(source.len());
        Some(view)
    }

    fn unescape(&mut self, source: &[u8], at: usize) -> usize {
        let plain = match source.get(at + 1) {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'u') => {
                let Some(code) = hex(source, at + 2, 4) else { return self.push(at, b"\\", 1) };
                let char = match char::from_u32(code) {
                    Some(char) => Some((char, 6)),
                    // Half of a pair: the other half should follow.
                    None => low_half(source, at + 6).and_then(|low| {
                        let code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
                        char::from_u32(code).map(|char| (char, 12))
                    }),
                };
                let (char, length) = char.unwrap_or((char::REPLACEMENT_CHARACTER, 6));
                return self.push(at, char.encode_utf8(&mut [0; 4]).as_bytes(), length);
            }
            _ => return self.push(at, b"\\", 1),
        };
        self.push(at, &[plain], 2)
    }

    fn push(&mut self, at: usize, bytes: &[u8], length: usize) -> usize {
        self.text.extend_from_slice(bytes);
        self.places.extend(bytes.iter().map(|_| at));
        length
    }

    /// Where a part of the resolved text stands in the source.
    pub(super) fn place(&self, range: &Range<usize>) -> Range<usize> {
        let place = |index: usize| self.places.get(index).copied().unwrap_or_default();
        place(range.start)..place(range.end)
    }

    /// Writes something as the source would.
    pub(super) fn write(&self, text: &[u8]) -> Vec<u8> {
        escaped(text, self.coding)
    }
}

/// The second half of a pair of escapes that stand for one character.
fn low_half(source: &[u8], at: usize) -> Option<u32> {
    let is_escape = source.get(at..at + 2) == Some(b"\\u");
    is_escape.then(|| hex(source, at + 2, 4))?.filter(|code| (0xDC00..0xE000).contains(code))
}

/// Writes `text` in this coding.
pub(super) fn escaped(text: &[u8], coding: Coding) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        match (coding, byte) {
            (Coding::Json, b'"' | b'\\') => out.extend([b'\\', byte]),
            (Coding::Json, 0..0x20) => out.extend(format!("\\u{byte:04x}").bytes()),
            (Coding::Percent, _) if !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte) => {
                out.extend(format!("%{byte:02X}").bytes());
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, coding: Coding) -> String {
        String::from_utf8(View::of(source.as_bytes(), coding).unwrap().text).unwrap()
    }

    #[test]
    fn escapes_are_resolved_and_what_is_none_stays() {
        assert_eq!(
            text(r#"\u0034\/\"\\\n\u00e9\ud83d\ude00\ud83d\x\"#, Coding::Json),
            "4/\"\\\né😀\u{fffd}\\x\\"
        );
        assert_eq!(text("a%20b+c%zz%", Coding::Percent), "a b c%zz%");
        assert_eq!(text("4\x001\x00", Coding::Zeros), "41");
        assert!(View::of(b"plain", Coding::Json).is_none());
    }

    #[test]
    fn a_part_of_the_text_is_found_in_its_source() {
        let source = br"x\u00e9\u0034\u0031y";
        let view = View::of(source, Coding::Json).unwrap();
        let at = view.text.windows(2).position(|w| w == b"41").unwrap();
        assert_eq!(view.place(&(at..at + 2)), 7..19);
        assert_eq!(view.place(&(0..view.text.len())), 0..source.len());
    }

    #[test]
    fn what_is_written_is_escaped() {
        assert_eq!(escaped(b"[a b]\"", Coding::Json), b"[a b]\\\"");
        assert_eq!(escaped(b"[a b]", Coding::Percent), b"%5Ba%20b%5D");
    }
}
