//! The load of the Actions API: desktops that ask for payments, and terminals that take them. One thread, as in
//! [`Load`](super::Load), and as little work as possible.
//!
//! It checks each answer: a success, of a payment that this very desktop has asked for, once.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;

use super::socket::{Socket, home_of};
use super::{OPENING_MAX, PATIENCE, READ_MAX};
use crate::poll::Poll;
use crate::statistics::Latencies;
use crate::wire;

/// How a client of the Actions API presents itself.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) api_key: String,
    pub(crate) role: Role,
}

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Asks the terminal of this number for payments.
    Desktop { terminal: usize },
    /// Exactly the page.
    PlainTerminal,
    /// Says `resume` and `paymentReceived`.
    AcknowledgingTerminal,
}

/// What a window of payments came to.
#[derive(Debug)]
pub(crate) struct Paid {
    pub(crate) succeeded: u64,
    /// Ends of another kind, by their code.
    pub(crate) others: BTreeMap<String, u64>,
    /// Ends that reached a desktop which had not asked, or that came again.
    pub(crate) misdirected: u64,
    /// From the moment at which each payment was to be asked for until its end reached its desktop.
    pub(crate) latencies: Latencies,
    pub(crate) took: Duration,
}

/// Desktops and terminals of one server.
pub(crate) struct ActionsLoad {
    address: SocketAddr,
    poll: Poll,
    ready: Vec<u64>,
    scratch: Vec<u8>,
    out: Vec<u8>,
    connections: Vec<Connection>,
    connected: usize,
    /// Answers that terminals have yet to send, after everything else of the round was read.
    owed: Vec<(usize, Vec<u8>)>,
    /// Payments under way: who asked, and when it was due.
    asked: HashMap<Vec<u8>, (usize, Instant)>,
    /// Made so far.
    transactions: u64,
    paid: Paid,
    /// How many terminals are online, of each list that came.
    lists: Vec<usize>,
}

struct Connection {
    socket: Socket,
    role: Role,
    /// The upgrade was answered.
    is_open: bool,
    number: usize,
    partial: Vec<u8>,
}

impl ActionsLoad {
    /// Nobody yet.
    pub(crate) fn new(address: SocketAddr) -> Result<ActionsLoad> {
        Ok(ActionsLoad {
            address,
            poll: Poll::new()?,
            ready: Vec::new(),
            scratch: vec![0; READ_MAX],
            out: Vec::new(),
            connections: Vec::new(),
            connected: 0,
            owed: Vec::new(),
            asked: HashMap::new(),
            transactions: 0,
            paid: Paid::new()?,
            lists: Vec::new(),
        })
    }

    /// Connects all of these, and returns when each has its `101`; how long that took.
    pub(crate) fn connect(&mut self, clients: &[Client]) -> Result<Duration> {
        let started = Instant::now();
        let first = self.connections.len();
        while self.connected < first + clients.len() {
            while self.connections.len() - self.connected < OPENING_MAX {
                let Some(client) = clients.get(self.connections.len() - first) else { break };
                self.open(client)?;
            }
            self.pump(Duration::from_millis(100))?;
            ensure!(started.elapsed() < PATIENCE, "{} clients are connected after a minute", self.connected);
        }
        Ok(started.elapsed())
    }

    /// Waits until each of these desktops is told by a list that so many terminals of its group are online.
    pub(crate) fn wait_for_terminals(&mut self, desktops: &[usize], each: usize) -> Result<()> {
        let started = Instant::now();
        loop {
            self.lists.clear();
            for desktop in desktops {
                self.write(*desktop, br#"{"action":"getTerminals"}"#)?;
            }
            while self.lists.len() < desktops.len() {
                self.pump(Duration::from_millis(100))?;
                ensure!(started.elapsed() < PATIENCE, "{} lists came in a minute", self.lists.len());
            }
            if self.lists.iter().all(|online| *online == each) {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "terminals are not online after a minute");
        }
    }

    /// A payment every 1/`rate` s from one of these desktops in turn, whether or not earlier ones have ended; returns when all
    /// have.
    pub(crate) fn pay(&mut self, desktops: &[usize], rate: u32, time: Duration) -> Result<Paid> {
        self.paid = Paid::new()?;
        let (started, pace) = (Instant::now(), Duration::from_secs(1) / rate);
        let total = u64::from(rate) * time.as_secs();
        let (mut sent, mut due) = (0_u64, started + pace);
        while sent < total || !self.asked.is_empty() {
            let now = Instant::now();
            while sent < total && due <= now {
                let turn = usize::try_from(sent)? % desktops.len();
                self.ask(desktops[turn], due)?;
                sent += 1;
                due += pace;
            }
            let left = if sent < total { due.saturating_duration_since(Instant::now()) } else { pace };
            self.pump(left)?;
            ensure!(started.elapsed() < time + PATIENCE, "{} payments have no end", self.asked.len());
        }
        self.paid.took = started.elapsed();
        std::mem::replace(&mut self.paid, Paid::new()?).checked()
    }

    /// Lets time pass.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.pump(left)?;
        }
        Ok(())
    }

    fn open(&mut self, client: &Client) -> Result<()> {
        let number = self.connections.len();
        let socket = Socket::connect(self.address, Some(home_of(number)), None)?;
        let device = match client.role {
            Role::Desktop { .. } => format!("x-device-id: bench-{number}\r\n"),
            Role::PlainTerminal | Role::AcknowledgingTerminal => String::new(),
        };
        let upgrade = format!(
            "GET /v1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             x-api-key: {}\r\n{device}\r\n",
            client.api_key
        );
        self.poll.add(&socket, u64::try_from(number)?)?;
        let mut connection =
            Connection { socket, role: client.role, is_open: false, number, partial: Vec::new() };
        ensure!(connection.socket.write(upgrade.as_bytes())?, "the server does not read");
        self.connections.push(connection);
        Ok(())
    }

    fn ask(&mut self, desktop: usize, due: Instant) -> Result<()> {
        let Role::Desktop { terminal } = self.connections[desktop].role else { bail!("not a desktop") };
        self.transactions += 1;
        let transaction = format!("B-{:012}", self.transactions);
        let frame = format!(
            r#"{{"action":"payment","terminalId":"{}","paymentRequest":{{"transactionId":"{transaction}","amount":"10.99","currency":"EUR","paymentMethod":"CARD","products":[{{"id":"P1","name":"Coffee beans","price":"10.99","quantity":1}}],"metadata":{{"orderId":"5001"}}}}}}"#,
            device_id(terminal)
        );
        self.asked.insert(transaction.into_bytes(), (desktop, due));
        self.write(desktop, frame.as_bytes())
    }

    fn write(&mut self, connection: usize, text: &[u8]) -> Result<()> {
        self.connections[connection].write(wire::TEXT, text, &mut self.out)
    }

    fn pump(&mut self, timeout: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(Some(timeout), &mut ready)?;
        for token in &ready {
            self.read(usize::try_from(*token)?).with_context(|| format!("client {token}"))?;
        }
        self.ready = ready;
        for (terminal, answer) in std::mem::take(&mut self.owed) {
            self.write(terminal, &answer)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let connection = &mut self.connections[index];
        let kept = connection.partial.len();
        scratch[..kept].copy_from_slice(&connection.partial);
        connection.partial.clear();
        let read = connection.socket.read(&mut scratch[kept..])?;
        let bytes = &mut scratch[..kept + read];
        let mut from = 0;
        if !connection.is_open
            && let Some(message) = wire::http_message(bytes)?
        {
            from = message.body.end;
            let told = &bytes[..from];
            ensure!(told.starts_with(b"HTTP/1.1 101 "), "refused: {}", String::from_utf8_lossy(told));
            connection.is_open = true;
            self.connected += 1;
            if connection.role == Role::AcknowledgingTerminal {
                let resume = format!(
                    r#"{{"action":"resume","journalId":"j_bench_{}","transactionIds":[]}}"#,
                    connection.number
                );
                connection.write(wire::TEXT, resume.as_bytes(), &mut self.out)?;
            }
        }
        if self.connections[index].is_open {
            while let Some(frame) = wire::next_frame(bytes, from)? {
                from = frame.payload.end;
                let payload = &bytes[frame.payload];
                match frame.opcode {
                    wire::TEXT => self.text(index, payload)?,
                    wire::PING => self.connections[index].write(wire::PONG, payload, &mut self.out)?,
                    wire::PONG => {}
                    _ => bail!("closed: {}", String::from_utf8_lossy(payload)),
                }
            }
        }
        self.connections[index].partial.extend_from_slice(&bytes[from..]);
        self.scratch = scratch;
        Ok(())
    }

    fn text(&mut self, index: usize, text: &[u8]) -> Result<()> {
        let action = wire::quoted_after(text, br#""action":""#)
            .with_context(|| format!("an error: {}", String::from_utf8_lossy(text)))?;
        match action {
            b"paymentRequest" => {
                let desktop = wire::quoted_after(text, br#""desktopId":""#).context("no desktopId")?;
                let transaction = quoted(text, br#""transactionId":""#)?;
                let (desktop, name) =
                    (String::from_utf8_lossy(desktop), String::from_utf8_lossy(&transaction));
                if self.connections[index].role == Role::AcknowledgingTerminal {
                    let received = format!(r#"{{"action":"paymentReceived","transactionId":"{name}"}}"#);
                    self.connections[index].write(wire::TEXT, received.as_bytes(), &mut self.out)?;
                }
                let answer = format!(
                    r#"{{"action":"paymentResponse","desktopId":"{desktop}","paymentResponse":{{"transactionId":"{name}","status":"SUCCESS","authorizationCode":"AUTH1"}}}}"#
                );
                self.owed.push((index, answer.into_bytes()));
            }
            b"paymentComplete" => {
                let transaction = quoted(text, br#""transactionId":""#)?;
                match self.asked.remove(&transaction) {
                    Some((desktop, due)) if desktop == index => self.paid.note(text, due),
                    _ => self.paid.misdirected += 1,
                }
            }
            b"terminalsResponse" => {
                let online = memmem::find_iter(text, br#""status":"online""#).count();
                self.lists.push(online);
            }
            b"terminalStatusUpdate" | b"paymentRecorded" | b"pong" => {}
            other => bail!("an action that nobody expects: {}", String::from_utf8_lossy(other)),
        }
        Ok(())
    }
}

impl Connection {
    fn write(&mut self, opcode: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        wire::push_client_frame(out, opcode, payload);
        ensure!(self.socket.write(out)?, "the server does not read");
        Ok(())
    }
}

impl Paid {
    fn new() -> Result<Paid> {
        Ok(Paid {
            succeeded: 0,
            others: BTreeMap::new(),
            misdirected: 0,
            latencies: Latencies::new()?,
            took: Duration::ZERO,
        })
    }

    fn note(&mut self, text: &[u8], due: Instant) {
        self.latencies.note(due.elapsed());
        if memmem::find(text, br#""status":"SUCCESS""#).is_some() {
            self.succeeded += 1;
        } else {
            let code = wire::quoted_after(text, br#""errorCode":""#).unwrap_or(b"no code");
            *self.others.entry(String::from_utf8_lossy(code).into_owned()).or_default() += 1;
        }
    }

    fn checked(self) -> Result<Paid> {
        ensure!(self.misdirected == 0, "{} ends reached a desktop that was not theirs", self.misdirected);
        Ok(self)
    }
}

/// What desktops call the terminal of this number.
pub(crate) fn device_id(number: usize) -> String {
    format!("TERM-{number:05}")
}

fn quoted(text: &[u8], before: &[u8]) -> Result<Vec<u8>> {
    Ok(wire::quoted_after(text, before).context("a member is missing")?.to_vec())
}
