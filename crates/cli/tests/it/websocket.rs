//! Just enough of HTTP and WebSocket (RFC 6455) for whoever stands between a terminal and its gateway: heads, and whole text
//! frames, masked or not, without compression.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Reads an HTTP head, and what came with it.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Some((head, rest));
        }
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return None;
        }
    }
}

pub(crate) fn asks_for_websocket(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().any(|line| line.strip_prefix("upgrade:").is_some_and(|value| value.trim() == "websocket"))
}

/// The length of the first frame with its header, once all of it is there.
pub(crate) fn frame_length(buffer: &[u8]) -> Option<usize> {
    let (start, length) = payload(buffer)?;
    (buffer.len() >= start + length).then_some(start + length)
}

/// Where the payload of the first frame begins, and how long it is.
fn payload(buffer: &[u8]) -> Option<(usize, usize)> {
    let second = *buffer.get(1)?;
    let (start, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    Some((start + mask, length))
}

/// Whether this whole frame ends its link.
pub(crate) fn is_close(raw: &[u8]) -> bool {
    raw.first().is_some_and(|first| first & 0x0f == 8)
}

/// What a whole text frame says.
pub(crate) fn text_of(raw: &[u8]) -> Option<Vec<u8>> {
    let (start, length) = payload(raw)?;
    let (fin_and_opcode, text) = (*raw.first()?, raw.get(start..start + length)?);
    if fin_and_opcode & 0x8f != 0x81 {
        return None;
    }
    if raw.get(1)? & 0x80 == 0 {
        return Some(text.to_vec());
    }
    let mask = raw.get(start - 4..start)?;
    Some(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect())
}
