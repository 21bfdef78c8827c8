//! Connections as both ends see them: bytes that are under way, that arrive in order or not at all, and ends that are noticed
//! late, or never.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::chance::Chance;

/// Names a connection for as long as a run lasts.
pub(crate) type ConnectionNumber = usize;

/// Bytes that may be under way in one direction before its sender has to wait. Real sockets hold more: this is what one
/// message fills.
pub(crate) const WINDOW: usize = 512;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Who has opened the connection: a POS or a terminal.
    Client,
    Gateway,
}

impl End {
    fn other(self) -> End {
        match self {
            End::Client => End::Gateway,
            End::Gateway => End::Client,
        }
    }
}

/// What travels on a connection, framed as a tag, a length and so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// A WebSocket text frame.
    Text(Bytes),
    Ping,
    Pong,
    /// A WebSocket close frame.
    Close(u16, String),
    /// An HTTP request, or the wish to upgrade: its path, what its header says, its body.
    Request(String, String, Bytes),
    /// An HTTP answer.
    Answer(u16, Bytes),
}

/// What one end finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Packet(Packet),
    /// The connection is over for this end.
    End,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Both ends notice soon.
    Reset,
    /// Only this end notices; to the other one it stays open.
    NoticedBy(End),
    /// Neither notices.
    HalfOpen,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    up: Pipe,
    down: Pipe,
    client_open: bool,
    gateway_open: bool,
    /// Nothing that is sent from now on arrives.
    broken: bool,
    /// The bounds of how long bytes are under way.
    latency: (Duration, Duration),
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    under_way: VecDeque<(Duration, Segment)>,
    bytes_under_way: usize,
    /// Segments arrive in order.
    last: Duration,
    arrived: BytesMut,
    /// The receiver reads nothing before this time.
    unread_until: Duration,
}

#[derive(Debug)]
enum Segment {
    Bytes(Bytes),
    End,
}

impl Network {
    pub(crate) fn open(&mut self, latency: (Duration, Duration)) -> ConnectionNumber {
        self.connections.push(Connection {
            up: Pipe::default(),
            down: Pipe::default(),
            client_open: true,
            gateway_open: true,
            broken: false,
            latency,
        });
        self.connections.len() - 1
    }

    pub(crate) fn is_open(&self, number: ConnectionNumber, end: End) -> bool {
        self.connections.get(number).is_some_and(|c| c.is_open(end))
    }

    /// Whether the receiver leaves so much unread that this end has to wait.
    pub(crate) fn is_blocked(&self, number: ConnectionNumber, end: End) -> bool {
        self.connections.get(number).is_some_and(|c| c.pipe(end.other()).bytes_under_way >= WINDOW)
    }

    /// Sends from `end`. Says when the other end has to look, if anything is to arrive.
    pub(crate) fn send(
        &mut self,
        now: Duration,
        chance: &mut Chance,
        number: ConnectionNumber,
        end: End,
        packet: &Packet,
    ) -> Option<Duration> {
        let connection = self.connections.get_mut(number)?;
        if !connection.is_open(end) || connection.broken {
            return None;
        }
        let arrives = now + chance.between(connection.latency.0, connection.latency.1);
        let pipe = connection.pipe_mut(end.other());
        Some(pipe.push(arrives, Segment::Bytes(packet.encode())))
    }

    /// This end is done with the connection. What it has sent still arrives, and then its end.
    pub(crate) fn close(
        &mut self,
        now: Duration,
        chance: &mut Chance,
        number: ConnectionNumber,
        end: End,
    ) -> Option<Duration> {
        let connection = self.connections.get_mut(number)?;
        if !std::mem::replace(connection.open_mut(end), false) {
            return None;
        }
        connection.pipe_mut(end).clear();
        if connection.broken || !connection.is_open(end.other()) {
            return None;
        }
        let arrives = now + chance.between(connection.latency.0, connection.latency.1);
        Some(connection.pipe_mut(end.other()).push(arrives, Segment::End))
    }

    /// Breaks a connection at any byte. Says which end has to look when, and whether a packet was cut in two.
    pub(crate) fn sever(
        &mut self,
        now: Duration,
        chance: &mut Chance,
        number: ConnectionNumber,
        how: Break,
    ) -> (Vec<(End, Duration)>, bool) {
        let mut looks = Vec::new();
        let mut torn = false;
        let Some(connection) = self.connections.get_mut(number).filter(|c| !c.broken) else {
            return (looks, torn);
        };
        connection.broken = true;
        for end in [End::Client, End::Gateway] {
            let notices = match how {
                Break::Reset => true,
                Break::NoticedBy(noticing) => noticing == end,
                Break::HalfOpen => false,
            };
            let pipe = connection.pipe_mut(end);
            torn |= pipe.truncate(chance.below(pipe.bytes_under_way + 1));
            if notices {
                let at = now + chance.mostly_short(Duration::from_millis(100));
                looks.push((end, pipe.push(at, Segment::End)));
            }
        }
        (looks, torn)
    }

    /// Nothing that is under way to this end arrives any more.
    pub(crate) fn drop_under_way(&mut self, number: ConnectionNumber, to: End) {
        if let Some(connection) = self.connections.get_mut(number) {
            connection.pipe_mut(to).clear();
        }
    }

    /// This end reads nothing before `until`.
    pub(crate) fn stall(&mut self, number: ConnectionNumber, end: End, until: Duration) {
        if let Some(connection) = self.connections.get_mut(number) {
            let pipe = connection.pipe_mut(end);
            pipe.unread_until = pipe.unread_until.max(until);
        }
    }

    /// The next thing that has arrived at this end by now; or when to look again, if something is left unread.
    pub(crate) fn receive(
        &mut self,
        now: Duration,
        number: ConnectionNumber,
        end: End,
    ) -> Result<Arrived, Option<Duration>> {
        let Some(connection) = self.connections.get_mut(number).filter(|c| c.is_open(end)) else {
            return Err(None);
        };
        connection.pipe_mut(end).receive(now)
    }
}

impl Connection {
    fn is_open(&self, end: End) -> bool {
        match end {
            End::Client => self.client_open,
            End::Gateway => self.gateway_open,
        }
    }

    fn open_mut(&mut self, end: End) -> &mut bool {
        match end {
            End::Client => &mut self.client_open,
            End::Gateway => &mut self.gateway_open,
        }
    }

    /// The direction that this end reads.
    fn pipe(&self, reader: End) -> &Pipe {
        match reader {
            End::Client => &self.down,
            End::Gateway => &self.up,
        }
    }

    fn pipe_mut(&mut self, reader: End) -> &mut Pipe {
        match reader {
            End::Client => &mut self.down,
            End::Gateway => &mut self.up,
        }
    }
}

impl Pipe {
    fn push(&mut self, arrives: Duration, segment: Segment) -> Duration {
        self.last = self.last.max(arrives);
        if let Segment::Bytes(bytes) = &segment {
            self.bytes_under_way += bytes.len();
        }
        self.under_way.push_back((self.last, segment));
        self.last.max(self.unread_until)
    }

    fn clear(&mut self) {
        *self = Pipe { last: self.last, ..Pipe::default() };
    }

    /// Only so many of the bytes under way still arrive. Says whether the last packet was cut in two.
    fn truncate(&mut self, keep: usize) -> bool {
        let mut left = keep;
        let mut torn = false;
        self.under_way.retain_mut(|(_, segment)| {
            let Segment::Bytes(bytes) = segment else { return true };
            let kept = bytes.len().min(left);
            torn |= kept > 0 && kept < bytes.len();
            bytes.truncate(kept);
            left -= kept;
            kept > 0
        });
        self.bytes_under_way = keep - left;
        torn
    }

    fn receive(&mut self, now: Duration) -> Result<Arrived, Option<Duration>> {
        if now < self.unread_until {
            return Err((!self.under_way.is_empty() || !self.arrived.is_empty()).then_some(self.unread_until));
        }
        loop {
            if let Some(packet) = Packet::decode(&mut self.arrived) {
                return Ok(Arrived::Packet(packet));
            }
            match self.under_way.pop_front() {
                Some((at, segment)) if at > now => {
                    self.under_way.push_front((at, segment));
                    return Err(Some(at));
                }
                Some((_, Segment::Bytes(bytes))) => {
                    self.bytes_under_way -= bytes.len();
                    self.arrived.extend_from_slice(&bytes);
                }
                Some((_, Segment::End)) => return Ok(Arrived::End),
                None => return Err(None),
            }
        }
    }
}

/// Tag and length.
const HEAD: usize = 5;

impl Packet {
    fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        let tag = match self {
            Packet::Text(text) => {
                body.extend_from_slice(text);
                0
            }
            Packet::Ping => 1,
            Packet::Pong => 2,
            Packet::Close(code, reason) => {
                body.extend_from_slice(&code.to_be_bytes());
                body.extend_from_slice(reason.as_bytes());
                3
            }
            Packet::Request(path, header, content) => {
                body.extend_from_slice(format!("{path}\n{header}\n").as_bytes());
                body.extend_from_slice(content);
                4
            }
            Packet::Answer(status, content) => {
                body.extend_from_slice(&status.to_be_bytes());
                body.extend_from_slice(content);
                5
            }
        };
        let mut packet = vec![tag];
        packet.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        packet.append(&mut body);
        packet.into()
    }

    /// The first packet, once all of it has arrived.
    fn decode(arrived: &mut BytesMut) -> Option<Packet> {
        let (&tag, rest) = arrived.split_first()?;
        let length = u32::from_be_bytes(*rest.first_chunk()?);
        let length = usize::try_from(length).ok()?;
        if arrived.len() < HEAD + length {
            return None;
        }
        let mut body = arrived.split_to(HEAD + length).freeze();
        body.advance(HEAD);
        let code = |body: &mut Bytes| if body.len() >= 2 { body.get_u16() } else { 0 };
        let line = |body: &mut Bytes| {
            let length = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
            let line = String::from_utf8_lossy(&body.split_to(length)).into_owned();
            body.advance(1.min(body.len()));
            line
        };
        Some(match tag {
            0 => Packet::Text(body),
            1 => Packet::Ping,
            2 => Packet::Pong,
            3 => Packet::Close(code(&mut body), String::from_utf8_lossy(&body).into_owned()),
            4 => Packet::Request(line(&mut body), line(&mut body), body),
            _ => Packet::Answer(code(&mut body), body),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn network() -> (Network, Chance, ConnectionNumber) {
        let mut network = Network::default();
        let number = network.open((SOON, 3 * SOON));
        (network, Chance::of(7), number)
    }

    fn packets() -> [Packet; 6] {
        [
            Packet::Text("{}".into()),
            Packet::Ping,
            Packet::Pong,
            Packet::Close(4408, "silent".into()),
            Packet::Request("/sync".into(), "wait=10".into(), "{\n}".into()),
            Packet::Answer(200, "ok".into()),
        ]
    }

    #[test]
    fn what_is_sent_arrives_in_order_and_then_the_end() {
        let (mut network, mut chance, number) = network();
        for packet in packets() {
            assert!(network.send(Duration::ZERO, &mut chance, number, End::Client, &packet).is_some());
        }
        network.close(Duration::ZERO, &mut chance, number, End::Client);
        assert!(network.receive(Duration::ZERO, number, End::Gateway).is_err());
        for packet in packets() {
            assert_eq!(network.receive(4 * SOON, number, End::Gateway), Ok(Arrived::Packet(packet)));
        }
        assert_eq!(network.receive(4 * SOON, number, End::Gateway), Ok(Arrived::End));
    }

    #[test]
    fn a_connection_breaks_at_any_byte_and_a_torn_packet_never_arrives() {
        let mut torn_ones = 0;
        for seed in 0..200 {
            let (mut network, _, number) = network();
            let mut chance = Chance::of(seed);
            for _ in 0..3 {
                network.send(
                    Duration::ZERO,
                    &mut chance,
                    number,
                    End::Gateway,
                    &Packet::Text("abcdef".into()),
                );
            }
            let (_, torn) = network.sever(Duration::ZERO, &mut chance, number, Break::Reset);
            torn_ones += usize::from(torn);
            let mut arrived = 0;
            while let Ok(Arrived::Packet(packet)) = network.receive(SOON * 1000, number, End::Client) {
                assert_eq!(packet, Packet::Text("abcdef".into()));
                arrived += 1;
            }
            assert!(arrived <= 3 - usize::from(torn));
            assert!(
                network.send(SOON, &mut chance, number, End::Gateway, &Packet::Ping).is_none(),
                "nothing more arrives"
            );
        }
        assert!((100..200).contains(&torn_ones), "{torn_ones}");
    }

    #[test]
    fn half_open_is_noticed_by_nobody() {
        let (mut network, mut chance, number) = network();
        assert_eq!(network.sever(Duration::ZERO, &mut chance, number, Break::HalfOpen), (Vec::new(), false));
        assert!(network.is_open(number, End::Client) && network.is_open(number, End::Gateway));
        assert_eq!(network.receive(SOON * 1000, number, End::Client), Err(None));
    }
}
