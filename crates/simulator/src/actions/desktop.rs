//! Simulated desktops: each wants its payments, one after the other, and acts on what it is told.

use std::time::Duration;

use bytes::Bytes;
use judge::What;
use serde_json::{Value, json};

use super::plain::{PING_EVERY, PONG_WAIT};
use super::pursuits::credential_of;
use crate::network::{Arrived, ConnectionNumber, End, Packet};
use crate::tally::Count;
use crate::world::{Event, Owner, World, poi_id};

/// How long a desktop waits for the end of a payment before it sends it once more: longer than the gateway ever leaves it
/// without a word.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often it sends the same payment.
const TRIES_MAX: u32 = 8;

#[derive(Debug)]
pub(crate) struct Desktop {
    terminal: usize,
    /// It says who it is when it connects, so that what it has missed is told then.
    pub(crate) has_identity: bool,
    sales: usize,
    socket: Option<ConnectionNumber>,
    is_open: bool,
    heard: Duration,
    pinged: Option<Duration>,
    dials_at: Option<Duration>,
    sale: Option<Sale>,
    armed: Option<Duration>,
}

#[derive(Debug)]
struct Sale {
    transaction: String,
    frame: Bytes,
    tries: u32,
    /// When it is sent, or sent again.
    due: Duration,
}

impl Desktop {
    pub(crate) fn new(terminal: usize, has_identity: bool, sales: usize) -> Desktop {
        Desktop {
            terminal,
            has_identity,
            sales,
            socket: None,
            is_open: false,
            heard: Duration::ZERO,
            pinged: None,
            dials_at: Some(Duration::ZERO),
            sale: None,
            armed: None,
        }
    }

    /// It wants nothing more.
    pub(crate) fn is_done(&self) -> bool {
        self.sales == 0 && self.sale.is_none()
    }

    pub(crate) fn closes(&mut self) {
        self.sales = 0;
    }
}

impl World {
    pub(crate) fn desktop_is_due(&mut self, desktop: usize) {
        let now = self.schedule.now();
        self.desktops[desktop].armed = None;
        if self.desktops[desktop].dials_at.is_some_and(|at| at <= now) {
            let it = &mut self.desktops[desktop];
            it.dials_at = None;
            it.is_open = false;
            let number = self.open(Owner::Desktop(desktop));
            self.desktops[desktop].socket = Some(number);
            let request = Packet::Request("/v1".into(), credential_of(desktop), Bytes::new());
            self.send(number, End::Client, &request);
            // Without an answer it tries again.
            self.schedule.after(Duration::from_secs(15), Event::DialTakesTooLong(number));
        }
        let it = &mut self.desktops[desktop];
        if let Some(number) = it.socket.filter(|_| it.is_open) {
            match it.pinged {
                Some(pinged) if now >= pinged + PONG_WAIT => return self.desktop_loses(desktop),
                None if now >= it.heard + PING_EVERY => {
                    it.pinged = Some(now);
                    let ping = Bytes::from_static(br#"{"action":"ping"}"#);
                    self.send(number, End::Client, &Packet::Text(ping));
                }
                _ => {}
            }
        }
        self.desktop_goes_on(desktop);
    }

    fn desktop_goes_on(&mut self, desktop: usize) {
        let now = self.schedule.now();
        let pause = self.chance.mostly_short(self.plan.pause);
        let it = &mut self.desktops[desktop];
        if it.sale.is_none() && it.sales > 0 {
            it.sales -= 1;
            let transaction = format!("T{desktop}-{}", it.sales);
            self.tally.count(Count::Payment);
            self.tally.count(Count::DesktopPayment);
            let amount = if self.chance.once_in(10) { "1.24" } else { "10.99" };
            let it = &mut self.desktops[desktop];
            let frame = json!({"action": "payment", "terminalId": poi_id(it.terminal).as_str(),
                "paymentRequest": {"transactionId": transaction, "amount": amount, "currency": "EUR"}});
            let frame = Bytes::from(frame.to_string());
            it.sale = Some(Sale { transaction, frame, tries: 0, due: now + pause });
        }
        let it = &mut self.desktops[desktop];
        if it.is_open
            && let (Some(sale), Some(number)) = (&mut it.sale, it.socket)
            && sale.due <= now
        {
            sale.tries += 1;
            sale.due = now + PATIENCE;
            if sale.tries > TRIES_MAX {
                it.sale = None;
                self.tally.count(Count::ForAPerson);
                return self.desktop_goes_on(desktop);
            }
            let frame = sale.frame.clone();
            self.log(What::FromDesktop { desktop: credential_of(desktop), frame: frame.clone() });
            self.send(number, End::Client, &Packet::Text(frame));
            if self.chance.once_in(12) {
                let after = self.chance.mostly_short(Duration::from_secs(300));
                self.schedule.after(after, Event::DesktopReads(desktop));
            }
        }
        self.arm_desktop(desktop);
    }

    fn arm_desktop(&mut self, desktop: usize) {
        let now = self.schedule.now();
        let it = &mut self.desktops[desktop];
        let sale = it.sale.as_ref().filter(|_| it.is_open).map(|sale| sale.due);
        let alive = it.is_open.then(|| match it.pinged {
            Some(pinged) => pinged + PONG_WAIT,
            None => it.heard + PING_EVERY,
        });
        let Some(due) = [sale, it.dials_at, alive].into_iter().flatten().min().map(|due| due.max(now)) else {
            return;
        };
        if it.armed.is_none_or(|armed| due < armed || armed < now) {
            it.armed = Some(due);
            self.schedule.at(due, Event::Desktop(desktop));
        }
    }

    pub(crate) fn desktop_looks(&mut self, number: ConnectionNumber, desktop: usize) {
        loop {
            if self.desktops[desktop].socket != Some(number) {
                return self.client_closes(number);
            }
            let now = self.schedule.now();
            let arrived = self.network.receive(now, number, End::Client);
            if arrived.is_ok() {
                self.desktops[desktop].heard = now;
                self.desktops[desktop].pinged = None;
            }
            match arrived {
                Ok(Arrived::Packet(Packet::Answer(101, _))) => {
                    let again = self.chance.once_in(2);
                    let it = &mut self.desktops[desktop];
                    it.is_open = true;
                    // Who was cut off may ask at once; one that says who it is is told anyway.
                    if let Some(sale) = it.sale.as_mut().filter(|sale| sale.tries > 0)
                        && (again || !it.has_identity)
                    {
                        sale.due = now;
                    }
                    self.desktop_goes_on(desktop);
                }
                Ok(Arrived::Packet(Packet::Text(frame))) => self.desktop_hears(desktop, &frame),
                Ok(Arrived::Packet(Packet::Ping)) => self.send(number, End::Client, &Packet::Pong),
                Ok(Arrived::Packet(Packet::Answer(..) | Packet::Close(..)) | Arrived::End) => {
                    return self.desktop_loses(desktop);
                }
                Ok(Arrived::Packet(Packet::Pong | Packet::Request(..))) => {}
                Err(again) => {
                    if let Some(at) = again {
                        self.schedule.at(at, Event::Look(number, End::Client));
                    }
                    return self.arm_desktop(desktop);
                }
            }
        }
    }

    /// Its connection is gone; it comes again.
    pub(crate) fn desktop_loses(&mut self, desktop: usize) {
        let now = self.schedule.now();
        let pause = self.chance.mostly_short(Duration::from_secs(20));
        let it = &mut self.desktops[desktop];
        it.is_open = false;
        it.dials_at = Some(now + Duration::from_millis(200) + pause);
        if let Some(number) = it.socket.take() {
            self.client_closes(number);
        }
        self.arm_desktop(desktop);
    }

    /// It has waited long enough for its connection to open.
    pub(crate) fn desktop_dial_failed(&mut self, desktop: usize, number: ConnectionNumber) {
        let it = &self.desktops[desktop];
        if it.socket == Some(number) && !it.is_open {
            self.desktop_loses(desktop);
        }
    }

    fn desktop_hears(&mut self, desktop: usize, frame: &Bytes) {
        let value: Value = serde_json::from_slice(frame).unwrap_or_default();
        let transaction = match value["action"].as_str() {
            Some("paymentComplete") => value["paymentResponse"]["transactionId"].as_str(),
            Some("paymentVoided") => value["transactionId"].as_str(),
            _ => None,
        };
        let it = &mut self.desktops[desktop];
        if it.sale.as_ref().is_some_and(|sale| Some(sale.transaction.as_str()) == transaction) {
            if value["paymentResponse"]["errorCode"] == "TERMINAL_UNREACHABLE" {
                self.tally.count(Count::ForAPerson);
            }
            self.desktops[desktop].sale = None;
            self.desktop_goes_on(desktop);
        }
    }

    /// A desktop's connection breaks.
    pub(crate) fn break_desktop(&mut self, how: crate::network::Break) -> bool {
        let desktop = self.chance.below(self.desktops.len());
        let Some(number) = self.desktops.get(desktop).and_then(|it| it.socket) else { return false };
        self.sever(number, how);
        if how != crate::network::Break::Reset {
            // It finds out when its pings are not answered.
            self.desktop_loses(desktop);
        }
        true
    }
}
