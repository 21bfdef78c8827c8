//! The raw server: the least that any server on sockets can do.
//!
//! One thread, epoll, one receive and one send per hop, the terminal looked up by a substring. No auth, no ledger, no
//! limits, no JSON. Every figure of a real gateway is told as a multiple of what this one needs on the same machine.
//! A link is `GET /link/POIID`; a request is `POST` with a body that names the POIID; a terminal answers in order.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};

use crate::poll::Poll;
use crate::wire;

/// Read at once: more than any message of the benchmark.
const READ_MAX: usize = 64 * 1024;

/// Serves until it is killed. Prints its address.
pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let listening = listener.as_raw_fd() as u64;
    let mut poll = Poll::new()?;
    poll.add(&listener, listening)?;
    let mut server = Server {
        hasher: RandomState::new(),
        peers: Vec::new(),
        links: HashMap::new(),
        waiting: HashMap::new(),
        partial: HashMap::new(),
        out: Vec::new(),
    };
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_MAX]);
    loop {
        poll.wait(None, &mut ready)?;
        for token in &ready {
            if *token == listening {
                server.accept(&listener, &poll)?;
            } else if let Ok(peer) = usize::try_from(*token)
                && server.serve(peer, &mut scratch).is_err()
            {
                server.drop_peer(peer);
            }
        }
    }
}

struct Server {
    hasher: RandomState,
    /// By the number of its file.
    peers: Vec<Option<OwnedFd>>,
    /// By the hash of the POIID.
    links: HashMap<u64, u32>,
    /// For each link, the clients that wait for its answers, in order. Nothing is kept for an idle link.
    waiting: HashMap<u32, VecDeque<u32>>,
    /// What came in pieces.
    partial: HashMap<u32, Vec<u8>>,
    out: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("cannot accept"),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let number = usize::try_from(socket.as_raw_fd())?;
            poll.add(&socket, number as u64)?;
            if self.peers.len() <= number {
                self.peers.resize_with(number + 1, || None);
            }
            self.peers[number] = Some(socket);
        }
    }

    /// Reads once, and does what there is to do.
    fn serve(&mut self, peer: usize, scratch: &mut [u8]) -> Result<()> {
        let id = u32::try_from(peer)?;
        let kept = self.partial.remove(&id).unwrap_or_default();
        scratch[..kept.len()].copy_from_slice(&kept);
        let socket = self.peers.get(peer).and_then(Option::as_ref).context("no such peer")?;
        let read = rustix::io::read(socket, &mut scratch[kept.len()..])?;
        ensure!(read > 0, "closed");
        let bytes = &mut scratch[..kept.len() + read];
        let mut from = 0;
        while from < bytes.len() {
            let taken = match bytes[from] {
                b'P' => self.request(id, &bytes[from..])?,
                b'G' => self.upgrade(id, &bytes[from..])?,
                _ => self.frame(id, bytes, from)?,
            };
            if taken == 0 {
                self.partial.insert(id, bytes[from..].to_vec());
                break;
            }
            from += taken;
        }
        Ok(())
    }

    /// `POST`: written to the link that the body names.
    fn request(&mut self, from: u32, bytes: &[u8]) -> Result<usize> {
        let Some(message) = wire::http_message(bytes)? else { return Ok(0) };
        let body = &bytes[message.body.clone()];
        let poi = wire::quoted_after(body, b"\"POIID\":\"").context("no POIID")?;
        let link = *self.links.get(&self.hasher.hash_one(poi)).context("no such terminal")?;
        self.waiting.entry(link).or_default().push_back(from);
        self.out.clear();
        wire::push_server_frame(&mut self.out, wire::TEXT, body);
        self.write(link)?;
        Ok(message.body.end)
    }

    /// `GET /link/POIID`: a terminal connects.
    fn upgrade(&mut self, from: u32, bytes: &[u8]) -> Result<usize> {
        let Some(message) = wire::http_message(bytes)? else { return Ok(0) };
        let head = &bytes[message.head];
        let poi = head.strip_prefix(b"GET /link/").and_then(|rest| rest.split(|b| *b == b' ').next());
        self.links.insert(self.hasher.hash_one(poi.context("not a link")?), from);
        let key = wire::header(head, b"sec-websocket-key").context("no key")?;
        let accept = tungstenite::handshake::derive_accept_key(key);
        self.out.clear();
        self.out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ",
        );
        self.out.extend_from_slice(accept.as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.write(from)?;
        Ok(message.body.end)
    }

    /// A terminal answers: written to the client that waits longest for it.
    fn frame(&mut self, from: u32, bytes: &mut [u8], at: usize) -> Result<usize> {
        let Some(frame) = wire::next_frame(bytes, at)? else { return Ok(0) };
        ensure!(frame.opcode == wire::TEXT, "closed");
        let waiting = self.waiting.get_mut(&from).context("an answer to nothing")?;
        let client = waiting.pop_front().context("an answer to nothing")?;
        if waiting.is_empty() {
            self.waiting.remove(&from);
        }
        let body = &bytes[frame.payload.clone()];
        self.out.clear();
        self.out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ");
        self.out.extend_from_slice(body.len().to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
        self.write(client)?;
        Ok(frame.payload.end - at)
    }

    /// One send. The messages are far smaller than a socket's buffer, so that a short write means that the peer is gone.
    fn write(&mut self, to: u32) -> Result<()> {
        let socket = self.peers.get(usize::try_from(to)?).and_then(Option::as_ref).context("no such peer")?;
        let written = rustix::io::write(socket, &self.out)?;
        ensure!(written == self.out.len(), "a peer does not read");
        Ok(())
    }

    /// What names it in `links` is replaced when its terminal comes again.
    fn drop_peer(&mut self, peer: usize) {
        if let Some(slot) = self.peers.get_mut(peer) {
            *slot = None;
        }
        if let Ok(id) = u32::try_from(peer) {
            self.partial.remove(&id);
            self.waiting.remove(&id);
        }
    }
}
