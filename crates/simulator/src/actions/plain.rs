//! A simulated plain Actions terminal: exactly the page, and no more.
//!
//! It carries out what it is sent, one thing at a time, answers once, and remembers nothing when its process has died. Some
//! say *pending* before, some leave out whose payment it was, some say their answer twice, some lose it when the socket
//! breaks under it.

use std::time::Duration;

use bytes::Bytes;
use judge::What;
use serde_json::{Value, json};

use super::port::{Errand, errand_in, key_of};
use crate::network::{Arrived, ConnectionNumber, End, Packet};
use crate::tally::Count;
use crate::world::{Event, Owner, World, poi_id};

/// As the page recommends: a `ping` every 30 s, and 10 s for the `pong`.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);
pub(super) const PONG_WAIT: Duration = Duration::from_secs(10);

/// The longest pause before it connects again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The amount that its host declines.
const DECLINED: &str = "1.24";

/// One run of its process.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    socket: Option<Socket>,
    dial_at: Option<Duration>,
    tries: u32,
    running: Option<Running>,
    /// Answers that no socket was there for.
    unsent: Vec<Bytes>,
    /// The latest answers that it has sent.
    pub(crate) said: Vec<Bytes>,
    armed: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    number: ConnectionNumber,
    is_open: bool,
    heard: Duration,
    pinged: Option<Duration>,
}

#[derive(Debug)]
struct Running {
    transaction: String,
    desktop: String,
    request: Value,
    ends: Duration,
}

impl Plain {
    pub(crate) fn link(&self) -> Option<ConnectionNumber> {
        self.socket.map(|socket| socket.number)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some_and(|socket| socket.is_open)
    }

    fn due(&self) -> Option<Duration> {
        let alive = self.socket.filter(|socket| socket.is_open).map(|socket| match socket.pinged {
            Some(pinged) => pinged + PONG_WAIT,
            None => socket.heard + PING_EVERY,
        });
        let ends = self.running.as_ref().map(|running| running.ends);
        [alive, ends, self.dial_at].into_iter().flatten().min()
    }
}

impl World {
    pub(crate) fn plain_starts(&mut self, site: usize) {
        let it = &mut self.sites[site];
        if it.plain.is_some() {
            return;
        }
        let now = self.schedule.now();
        it.plain = Some(Plain { dial_at: Some(now), ..Plain::default() });
        self.note(Some(site), "the terminal starts");
        self.plain_is_due(site, self.sites[site].life);
    }

    fn plain(&mut self, site: usize) -> Option<&mut Plain> {
        self.sites.get_mut(site).and_then(|site| site.plain.as_mut())
    }

    fn plain_dials(&mut self, site: usize) {
        let life = self.sites[site].life;
        self.plain_hangs_up(site);
        if !self.sessions_of(site).is_empty() {
            self.tally.count(Count::TwoLinks);
        }
        let number = self.open(Owner::Port { site, life });
        let now = self.schedule.now();
        if let Some(plain) = self.plain(site) {
            plain.socket = Some(Socket { number, is_open: false, heard: now, pinged: None });
        }
        let request = Packet::Request("/v1".into(), key_of(site), Bytes::new());
        self.dial(number, &request, Duration::from_secs(15));
    }

    fn plain_hangs_up(&mut self, site: usize) {
        if let Some(socket) = self.plain(site).and_then(|plain| plain.socket.take()) {
            self.client_closes(socket.number);
        }
    }

    /// Its socket has ended; it comes again later.
    pub(crate) fn plain_loses(&mut self, site: usize) {
        self.plain_hangs_up(site);
        let now = self.schedule.now();
        let Some(plain) = self.sites[site].plain.as_mut() else { return };
        plain.tries += 1;
        let pause = Duration::from_millis(250 << plain.tries.min(8)).min(PAUSE_MAX);
        plain.dial_at = Some(now + self.chance.mostly_short(pause));
        self.arm_plain(site);
    }

    /// Something may have arrived.
    pub(crate) fn plain_looks(&mut self, number: ConnectionNumber, site: usize, life: u32) {
        loop {
            let own = self.sites[site].life == life
                && self.sites[site].plain.as_ref().and_then(Plain::link) == Some(number);
            if !own {
                return self.client_closes(number);
            }
            let now = self.schedule.now();
            let packet = match self.network.receive(now, number, End::Client) {
                Ok(Arrived::Packet(packet)) => packet,
                Ok(Arrived::End) => return self.plain_loses(site),
                Err(again) => {
                    if let Some(at) = again {
                        self.schedule.at(at, Event::Look(number, End::Client));
                    }
                    return self.arm_plain(site);
                }
            };
            if let Some(socket) = self.plain(site).and_then(|plain| plain.socket.as_mut()) {
                socket.heard = now;
                socket.pinged = None;
            }
            match packet {
                Packet::Answer(101, _) => self.plain_is_open(site),
                Packet::Answer(..) | Packet::Close(..) => return self.plain_loses(site),
                Packet::Ping => self.send(number, End::Client, &Packet::Pong),
                Packet::Text(frame) => self.plain_reads(site, &frame),
                Packet::Pong | Packet::Request(..) => {}
            }
        }
    }

    fn plain_is_open(&mut self, site: usize) {
        let Some(plain) = self.plain(site) else { return };
        plain.tries = 0;
        if let Some(socket) = &mut plain.socket {
            socket.is_open = true;
        }
        for frame in std::mem::take(&mut plain.unsent) {
            self.plain_says(site, frame);
        }
    }

    fn plain_reads(&mut self, site: usize, frame: &Bytes) {
        let Some(Errand::Payment { transaction, desktop }) = errand_in(frame) else { return };
        let value: Value = serde_json::from_slice(frame).unwrap_or_default();
        let request = value["paymentRequest"].clone();
        let now = self.schedule.now();
        let takes = self.chance.between(self.plan.cardholder.0, self.plan.cardholder.1);
        // Nothing tells it when nobody waits any more.
        let takes = if self.chance.once_in(40) && !self.is_quiet {
            self.chance.millis(60_000, 400_000)
        } else {
            takes
        };
        let is_busy = self.sites[site].plain.as_ref().is_some_and(|plain| plain.running.is_some());
        if is_busy {
            let answer = json!({"transactionId": transaction, "status": "FAILED",
                "errorCode": "PAYMENT_IN_PROGRESS", "errorMessage": "busy"});
            return self.plain_answers(site, &desktop, &answer);
        }
        if self.chance.once_in(20) {
            let answer = json!({"transactionId": transaction, "status": "PENDING"});
            self.plain_answers(site, &desktop, &answer);
        }
        if let Some(plain) = self.plain(site) {
            plain.running = Some(Running { transaction, desktop, request, ends: now + takes });
        }
        self.arm_plain(site);
    }

    /// The card was presented, or nobody came.
    fn plain_ends_payment(&mut self, site: usize, running: Running) {
        let Running { transaction, desktop, request, .. } = running;
        let answer = if request["amount"].as_str() == Some(DECLINED) {
            json!({"transactionId": transaction, "status": "FAILED", "errorCode": "INSUFFICIENT_FUNDS"})
        } else if self.chance.once_in(25) && !self.is_quiet {
            json!({"transactionId": transaction, "status": "CANCELLED"})
        } else {
            let errand = Errand::Payment { transaction: transaction.clone(), desktop: desktop.clone() };
            let delivery = self.errands.get(&(site, errand)).cloned().unwrap_or_default();
            let execution = json!({"delivery": delivery, "kind": "payment", "saleTransaction": transaction});
            let poi = poi_id(site).to_string();
            self.log(What::Executed { poi, execution: execution.to_string().into() });
            json!({"transactionId": transaction, "status": "SUCCESS", "amount": request["amount"],
                "currency": request["currency"], "authorizationCode": "AUTH1"})
        };
        self.plain_answers(site, &desktop, &answer);
    }

    fn plain_answers(&mut self, site: usize, desktop: &str, answer: &Value) {
        let action = if self.chance.once_in(3) { "paymentComplete" } else { "paymentResponse" };
        let mut frame = json!({"action": action, "paymentResponse": answer});
        if !self.chance.once_in(4) {
            frame["desktopId"] = desktop.into();
        }
        let frame = Bytes::from(frame.to_string());
        let says_twice = self.chance.once_in(15);
        let forgets = self.chance.once_in(3);
        let Some(plain) = self.plain(site) else { return };
        if plain.is_open() {
            self.plain_says(site, frame.clone());
            if says_twice {
                self.plain_says(site, frame);
            }
        } else if forgets {
            self.tally.count(Count::PlainAnswerLost);
        } else {
            plain.unsent.push(frame);
        }
    }

    fn plain_says(&mut self, site: usize, frame: Bytes) {
        let Some(plain) = self.plain(site) else { return };
        plain.said.push(frame.clone());
        let surplus = plain.said.len().saturating_sub(8);
        plain.said.drain(..surplus);
        if let Some(number) = plain.link() {
            self.send(number, End::Client, &Packet::Text(frame));
        }
    }

    fn arm_plain(&mut self, site: usize) {
        let now = self.schedule.now();
        let life = self.sites[site].life;
        let Some(plain) = self.plain(site) else { return };
        let Some(due) = plain.due().map(|due| due.max(now)) else { return };
        if plain.armed.is_none_or(|armed| due < armed || armed < now) {
            plain.armed = Some(due);
            self.schedule.at(due, Event::Plain(site, life));
        }
    }

    pub(crate) fn plain_is_due(&mut self, site: usize, life: u32) {
        if self.sites[site].life != life {
            return;
        }
        let now = self.schedule.now();
        let Some(plain) = self.plain(site) else { return };
        plain.armed = None;
        if plain.running.as_ref().is_some_and(|running| running.ends <= now)
            && let Some(running) = plain.running.take()
        {
            self.plain_ends_payment(site, running);
        }
        let Some(plain) = self.plain(site) else { return };
        if plain.dial_at.is_some_and(|at| at <= now) {
            plain.dial_at = None;
            self.plain_dials(site);
        }
        let Some(plain) = self.plain(site) else { return };
        if let Some(socket) = plain.socket.as_mut().filter(|socket| socket.is_open) {
            match socket.pinged {
                Some(pinged) if now >= pinged + PONG_WAIT => return self.plain_loses(site),
                None if now >= socket.heard + PING_EVERY => {
                    socket.pinged = Some(now);
                    let number = socket.number;
                    let ping = Bytes::from_static(br#"{"action":"ping"}"#);
                    self.send(number, End::Client, &Packet::Text(ping));
                }
                _ => {}
            }
        }
        self.arm_plain(site);
    }
}
