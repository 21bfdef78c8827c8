//! Just enough of HTTP/1.1 and WebSocket frames for two ends that know each other.
//!
//! Not for use outside the benchmark: it trusts its peer, knows no fragmented messages and no chunked bodies.

use std::ops::Range;

use anyhow::{Result, ensure};
use memchr::memmem;

/// Opcode of a text frame.
pub(crate) const TEXT: u8 = 1;
/// Opcode of a close frame.
pub(crate) const CLOSE: u8 = 8;
/// Opcode of a ping.
pub(crate) const PING: u8 = 9;
/// Opcode of a pong.
pub(crate) const PONG: u8 = 10;

/// A client must mask what it sends. Any key will do here; one without zero bytes gives the server its usual work.
const MASK: [u8; 4] = [0x9d, 0x3a, 0x71, 0xc6];

/// One whole frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    /// Where its payload is, unmasked in place; the next frame begins at its end.
    pub(crate) payload: Range<usize>,
}

/// The frame that begins at `from`; `None` if it is not all there.
pub(crate) fn next_frame(bytes: &mut [u8], from: usize) -> Result<Option<Frame>> {
    let Some([first, second]) = bytes.get(from..).and_then(|rest| rest.first_chunk()).copied() else {
        return Ok(None);
    };
    ensure!(first & 0x80 != 0, "a fragmented message, which the benchmark does not know");
    let (short, mut at) = (usize::from(second & 0x7f), from + 2);
    let length = match short {
        126 => {
            let Some(length) = bytes.get(at..at + 2).and_then(|b| b.first_chunk::<2>()) else {
                return Ok(None);
            };
            at += 2;
            usize::from(u16::from_be_bytes(*length))
        }
        127 => anyhow::bail!("a frame over 64 KiB, which the benchmark does not know"),
        short => short,
    };
    let mask = if second & 0x80 == 0 {
        None
    } else {
        let Some(mask) = bytes.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).copied() else {
            return Ok(None);
        };
        at += 4;
        Some(mask)
    };
    let payload = at..at + length;
    let Some(body) = bytes.get_mut(payload.clone()) else { return Ok(None) };
    if let Some(mask) = mask {
        apply(mask, body);
    }
    Ok(Some(Frame { opcode: first & 0x0f, payload }))
}

/// Appends a frame as a client sends it. `payload` is one of at most 65,535 bytes.
pub(crate) fn push_client_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    let from = out.len();
    out.extend_from_slice(payload);
    apply(MASK, &mut out[from..]);
}

/// Appends a frame as a server sends it. `payload` is one of at most 65,535 bytes.
pub(crate) fn push_server_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn push_head(out: &mut Vec<u8>, opcode: u8, length: usize, masked: u8) {
    out.push(0x80 | opcode);
    match u8::try_from(length) {
        Ok(short @ 0..126) => out.push(short | masked),
        _ => {
            out.push(126 | masked);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

fn apply(mask: [u8; 4], body: &mut [u8]) {
    let (chunks, rest) = body.as_chunks_mut::<4>();
    for chunk in chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// One whole HTTP message, request or response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HttpMessage {
    /// Up to the empty line.
    pub(crate) head: Range<usize>,
    /// The next message begins at its end.
    pub(crate) body: Range<usize>,
}

/// The HTTP message that `bytes` begin with; `None` if it is not all there.
pub(crate) fn http_message(bytes: &[u8]) -> Result<Option<HttpMessage>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let body_at = end + 4;
    let length = match header(&bytes[..end], b"content-length") {
        None => 0,
        Some(text) => std::str::from_utf8(text)?.parse()?,
    };
    let body = body_at..body_at + length;
    Ok((bytes.len() >= body.end).then_some(HttpMessage { head: 0..end, body }))
}

/// The value of a header; `name` in lower case.
pub(crate) fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// What stands between `before` and the next quotation mark.
pub(crate) fn quoted_after<'a>(bytes: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let rest = bytes.get(memmem::find(bytes, before)? + before.len()..)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_a_client_writes_reads_the_same() {
        for length in [0, 1, 125, 126, 127, 1536, 65_535] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut bytes = vec![b'x'];
            push_client_frame(&mut bytes, TEXT, &payload);
            let total = bytes.len();
            assert_eq!(next_frame(&mut bytes[..total - 1].to_vec(), 1).unwrap(), None);
            let frame = next_frame(&mut bytes, 1).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.end), (TEXT, total));
            assert_eq!(bytes[frame.payload], payload);
        }
    }

    #[test]
    fn a_frame_that_a_server_writes_reads_the_same() {
        let mut bytes = Vec::new();
        push_server_frame(&mut bytes, PONG, b"hello");
        assert_eq!(next_frame(&mut bytes, 0).unwrap(), Some(Frame { opcode: PONG, payload: 2..7 }));
        assert_eq!(bytes, *b"\x8a\x05hello");
    }

    #[test]
    fn an_http_message_is_taken_when_it_is_all_there() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nok and more";
        let message = http_message(text).unwrap().unwrap();
        assert_eq!(&text[message.body.clone()], b"ok");
        assert_eq!(http_message(&text[..message.body.end - 1]).unwrap(), None);
        assert_eq!(header(&text[message.head], b"x"), Some(&b"y"[..]));
    }

    #[test]
    fn a_quoted_text_is_found() {
        assert_eq!(quoted_after(br#"{"A":"1","POIID":"V400m-1"}"#, br#""POIID":""#), Some(&b"V400m-1"[..]));
        assert_eq!(quoted_after(br#"{"A":"1"}"#, br#""POIID":""#), None);
    }
}
