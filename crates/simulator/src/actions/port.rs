//! The gateway's end of an Actions terminal's socket: the real [`Port`] between the simulated network and the real desk,
//! driven as its documentation asks for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use judge::What;
use relay::actions::{self, Known, Opening, Port, PortOrder, PortSetup, ToClient, TransactionId};
use relay::exchange::{Arrival, LinkOrder, Report, Source};
use relay::ledger::{LedgerError, Outcome};
use relay::{
    CloseReason, ConnectionId, Heartbeat, JournalId, Placement, ProcessId, Settings, ToGateway, ToTerminal,
    WallMs, Welcome,
};
use serde_json::Value;
use virtual_terminal::Asked;

use super::transactions::Transaction;
use crate::gateway::{LINKS_MAX, WRITE_MAX};
use crate::network::{ConnectionNumber, End, Packet};
use crate::store::{Job, Mood, Store};
use crate::tally::Count;
use crate::world::{Event, START, World, poi_id};

/// How long a socket may be silent before it is pinged, and then until it is closed.
const SILENCE: Duration = Duration::from_secs(30);
const PONG_WAIT: Duration = Duration::from_secs(10);

/// How long a probe waits.
const PROBE_WAIT: Duration = Duration::from_secs(5);

/// The most that a look into the ledger takes while the disk is well.
const READ_MAX: Duration = Duration::from_millis(20);

/// All of a gateway's process.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) sessions: BTreeMap<ConnectionNumber, Session>,
    /// The highest attempt that was given, by terminal.
    attempts: BTreeMap<usize, u64>,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) desk: usize,
    pub(crate) id: ConnectionId,
    port: Port,
    process: ProcessId,
    attempt: u64,
    /// What can't be written before the terminal reads.
    unwritten: Option<PortOrder>,
    /// The names of the looks that are out, oldest first.
    looks: VecDeque<Vec<TransactionId>>,
    /// A `hello` that waits for its journal to be on disk.
    opening: Option<Opening>,
    blocked_since: Option<Duration>,
    armed: Option<Duration>,
    heard: Duration,
    pinged: Option<Duration>,
    probe_until: Option<Duration>,
    read_was_held: bool,
}

/// A terminal's journal on its way to the disk.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) terminal: usize,
    pub(crate) journal: JournalId,
    pub(crate) at: WallMs,
    pub(crate) connection: ConnectionNumber,
}

impl Session {
    /// Whether its socket is not to be read from now.
    pub(crate) fn is_held(&self) -> bool {
        self.blocked_since.is_some() || !self.port.takes_frames()
    }

    fn due(&self) -> Duration {
        let silent = match self.pinged {
            Some(pinged) => pinged + PONG_WAIT,
            None => self.heard + SILENCE,
        };
        [self.port.poll_timeout(), self.probe_until].into_iter().flatten().fold(silent, Duration::min)
    }
}

/// A terminal's API key.
pub(crate) fn key_of(site: usize) -> String {
    format!("key-{site}")
}

impl World {
    /// An Actions terminal's socket opens.
    pub(crate) fn take_port(&mut self, number: ConnectionNumber, key: &str) {
        let Some(desk) = (0..self.sites.len()).find(|site| key_of(*site) == key) else {
            return self.take_desktop(number, key);
        };
        if self.sessions_of(desk).len() >= LINKS_MAX {
            return self.respond(number, 503, Bytes::new());
        }
        let (Ok(id), Ok(process)) =
            (ConnectionId::parse(&format!("c_{number}")), ProcessId::parse(&format!("p_{number}")))
        else {
            return;
        };
        self.send(number, End::Gateway, &Packet::Answer(101, Bytes::new()));
        let older = self.session_ids_of(desk);
        if !older.is_empty() {
            self.tally.count(Count::Displaced);
        }
        self.at_desk(desk, |desk, now| desk.handle_displaced(now, older, &process));
        let now = self.gateway_now();
        let boarded = self.store.ledger.boarded(&poi_id(desk)).cloned();
        let stored = boarded.as_ref().map_or(0, |boarded| boarded.attempt);
        let given = self.gateway.ports.attempts.entry(desk).or_default();
        *given = stored.max(*given) + 1;
        let setup = PortSetup {
            plain_journal: Port::plain_journal(&key_of(desk)),
            boarded: boarded.map(|boarded| boarded.journal),
            merchant_account: "SHOP_MERCHANT".into(),
        };
        let session = Session {
            desk,
            id,
            port: Port::new(now, setup),
            process,
            attempt: *given,
            unwritten: None,
            looks: VecDeque::new(),
            opening: None,
            blocked_since: None,
            armed: None,
            heard: now.mono,
            pinged: None,
            probe_until: None,
            read_was_held: true,
        };
        self.gateway.ports.sessions.insert(number, session);
        self.port_turns(number);
    }

    fn port(&mut self, number: ConnectionNumber) -> Option<&mut Session> {
        self.gateway.ports.sessions.get_mut(&number)
    }

    /// Something came from the terminal.
    pub(crate) fn port_hears(&mut self, number: ConnectionNumber) {
        let now = self.gateway_now();
        let Some(session) = self.port(number) else { return };
        session.heard = now.mono;
        session.pinged = None;
        if session.probe_until.take().is_some() {
            let (desk, id) = (session.desk, session.id.clone());
            self.at_desk(desk, |desk, now| desk.handle_probe(now, &id, true));
        }
        self.port_turns(number);
    }

    /// A text frame came.
    pub(crate) fn port_reads(&mut self, number: ConnectionNumber, frame: Bytes) {
        let now = self.gateway_now();
        let Some(desk) = self.port(number).map(|session| session.desk) else {
            return self.desktop_says(number, &frame);
        };
        let poi = poi_id(desk).to_string();
        self.log(What::FromActions { poi, link: number as u64, frame: frame.clone() });
        if let Some(session) = self.port(number) {
            session.port.handle_text(now, &frame);
        }
        self.port_hears(number);
    }

    /// Does whatever is due.
    pub(crate) fn port_turns(&mut self, number: ConnectionNumber) {
        loop {
            let instant = self.schedule.now();
            let life = self.gateway.life;
            let is_blocked = self.network.is_blocked(number, End::Gateway);
            let Some(session) = self.port(number) else { return };
            if is_blocked {
                let since = *session.blocked_since.get_or_insert(instant);
                if instant >= since + WRITE_MAX {
                    self.tally.count(Count::TooSlow);
                    self.end_port(number, 4429, "too slow a reader");
                } else {
                    self.schedule.at(since + WRITE_MAX, Event::Session(number, life));
                }
                return;
            }
            session.blocked_since = None;
            if let Some(order) = session.unwritten.take().or_else(|| session.port.poll_order()) {
                self.port_does(number, order);
                continue;
            }
            let (desk, id) = (session.desk, session.id.clone());
            let mut order = None;
            self.at_desk(desk, |desk, now| order = desk.poll_transmit(now, &id));
            match order {
                None => break,
                Some(LinkOrder::Frame(frame)) => self.port_takes(number, frame),
                Some(LinkOrder::Probe) => {
                    let now = self.gateway_now().mono;
                    if let Some(session) = self.port(number) {
                        session.probe_until.get_or_insert(now + PROBE_WAIT);
                        self.send(number, End::Gateway, &Packet::Ping);
                    }
                }
                Some(LinkOrder::Close(reason)) => {
                    let text = reason.text().into_owned();
                    return self.end_port(number, reason.code(), &text);
                }
            }
        }
        let Some(session) = self.port(number) else { return };
        let is_held = session.is_held();
        if std::mem::replace(&mut session.read_was_held, is_held) && !is_held {
            self.schedule.after(Duration::ZERO, Event::Look(number, End::Gateway));
        }
        self.arm_port(number);
    }

    /// What the desk has for the terminal.
    fn port_takes(&mut self, number: ConnectionNumber, frame: ToTerminal) {
        let now = self.gateway_now();
        let asked = match &frame {
            ToTerminal::Deliver(deliver) => self.asked_by_desktop(&deliver.message),
            _ => None,
        };
        let Some(session) = self.gateway.ports.sessions.get_mut(&number) else { return };
        let (desk, encoded) = (session.desk, frame.encode());
        match frame {
            ToTerminal::Welcome(_) => session.port.handle_welcome(now),
            ToTerminal::Deliver(deliver) => session.port.handle_deliver(now, deliver, asked),
            ToTerminal::Recorded { delivery, problem } => session.port.handle_recorded(&delivery, problem),
            // A terminal of the Actions API knows none of these.
            ToTerminal::Settings(_)
            | ToTerminal::RemoveConfig(_)
            | ToTerminal::NewToken(_)
            | ToTerminal::Unknown(_) => {}
        }
        let poi = poi_id(desk).to_string();
        self.log(What::ToTerminal { poi, link: number as u64, frame: encoded });
    }

    /// Which desktop has asked for this, if one has.
    fn asked_by_desktop(&self, message: &Bytes) -> Option<actions::Asked> {
        let it = transaction_of(&self.store, message)?;
        Some(actions::Asked {
            desktop_id: it.facts.connection.as_str().into(),
            payment_request: it.facts.ask.raw().clone(),
        })
    }

    fn port_does(&mut self, number: ConnectionNumber, order: PortOrder) {
        match order {
            PortOrder::Look(names) => {
                let longest = if self.store.mood == Mood::Well { READ_MAX } else { Duration::from_secs(3) };
                let took = self.chance.mostly_short(longest);
                if let Some(session) = self.port(number) {
                    session.looks.push_back(names);
                    self.schedule.after(took, Event::PortLooks(number, self.gateway.life));
                }
            }
            PortOrder::Hello(opening) => self.port_opens(number, opening),
            PortOrder::Write(frame, delivery) => self.port_writes(number, &frame, delivery),
            PortOrder::Tell(frame) => self.port_tells(number, frame),
            PortOrder::CloseForErrors => self.end_port(number, 1008, "too many errors"),
        }
    }

    /// The ledger is read for the oldest look.
    pub(crate) fn port_looks(&mut self, number: ConnectionNumber) {
        let now = self.gateway_now();
        let fails = matches!(self.store.mood, Mood::Failing | Mood::Flickering) && self.chance.once_in(4);
        let store = &self.store;
        let Some(session) = self.gateway.ports.sessions.get_mut(&number) else { return };
        let Some(names) = session.looks.pop_front() else { return };
        if fails {
            self.tally.count(Count::LookFailed);
            return self.end_port(number, 4503, "the ledger can't be read");
        }
        let poi = poi_id(session.desk);
        let known = store.ledger.records().filter(|record| record.key.poi == poi).filter_map(|record| {
            let message = store.requests.get(&record.delivery)?;
            let is_meant = record.outcome.is_undecided()
                || matches!(record.outcome, Outcome::UnknownFinal(_))
                || { names.iter().any(|name| bears(message, name)) };
            is_meant.then(|| Known {
                delivery: record.delivery.clone(),
                message: message.clone(),
                desktop_id: transaction_of(store, message).map(|it| it.facts.connection.as_str().into()),
                received: record.received,
                standing: (&record.outcome).into(),
            })
        });
        session.port.handle_found(now, known.collect());
        self.port_turns(number);
    }

    fn port_opens(&mut self, number: ConnectionNumber, opening: Opening) {
        let at = self.gateway_now().wall;
        let Some(session) = self.port(number) else { return };
        if !opening.is_new_journal() {
            return self.port_says_hello(number, opening);
        }
        let opened =
            Opened { terminal: session.desk, journal: opening.journal.clone(), at, connection: number };
        session.opening = Some(opening);
        self.submit(Job::Open(opened));
    }

    /// The journal of a terminal is on disk, or is not.
    pub(crate) fn port_opened(&mut self, opened: &Opened, done: Result<(), LedgerError>) {
        let number = opened.connection;
        let Some(opening) = self.port(number).and_then(|session| session.opening.take()) else { return };
        match done {
            Ok(()) => {
                self.port_says_hello(number, opening);
                self.port_turns(number);
            }
            Err(_) => self.end_port(number, 4503, "the journal can't be stored"),
        }
    }

    fn port_says_hello(&mut self, number: ConnectionNumber, opening: Opening) {
        let server_time = self.gateway_now().wall.to_rfc3339();
        let Some(session) = self.gateway.ports.sessions.get(&number) else { return };
        let desk = session.desk;
        let hello = opening.into_hello(session.attempt, session.process.clone());
        let welcome = Welcome {
            connection_id: session.id.clone(),
            server_time,
            heartbeat: Heartbeat::DEFAULT,
            terminal: Placement {
                poi_id: poi_id(desk),
                merchant_account: "SHOP_MERCHANT".into(),
                store: Some("SHOP_STORE".into()),
            },
            settings: Settings::default(),
            body_limit: self.plan.body_limit,
        };
        let frame = ToGateway::Hello(Box::new(hello.clone())).encode();
        self.log(What::FromTerminal { poi: poi_id(desk).to_string(), link: Some(number as u64), frame });
        self.at_desk(desk, |desk, now| desk.handle_hello(now, Arrival { hello, welcome }));
    }

    fn port_writes(
        &mut self,
        number: ConnectionNumber,
        frame: &ToClient,
        delivery: Option<relay::DeliveryId>,
    ) {
        let Some(desk) = self.port(number).map(|session| session.desk) else { return };
        let bytes = frame.encode();
        if let (Some(delivery), Some(errand)) = (&delivery, errand_in(&bytes)) {
            self.errands.insert((desk, errand), delivery.to_string());
        }
        let poi = poi_id(desk).to_string();
        self.log(What::ToActions { poi, link: number as u64, frame: bytes.clone() });
        self.send(number, End::Gateway, &Packet::Text(bytes));
        if let (Some(delivery), Some(session)) = (delivery, self.port(number)) {
            session.port.handle_written(&delivery);
        }
    }

    fn port_tells(&mut self, number: ConnectionNumber, frame: ToGateway) {
        let Some(session) = self.gateway.ports.sessions.get(&number) else { return };
        let (desk, id) = (session.desk, session.id.clone());
        let poi = poi_id(desk).to_string();
        self.log(What::FromTerminal { poi, link: Some(number as u64), frame: frame.encode() });
        let source = Source::Link(id.clone());
        self.at_desk(desk, |desk, now| match frame {
            ToGateway::Received(delivery) => desk.handle_received(&id, &delivery),
            ToGateway::Result(delivery, result) => {
                desk.handle_report(now, source, delivery, Report::Result(result));
            }
            ToGateway::Indeterminate(delivery, reason) => {
                desk.handle_report(now, source, delivery, Report::Indeterminate(reason));
            }
            _ => {}
        });
    }

    fn arm_port(&mut self, number: ConnectionNumber) {
        let now = self.schedule.now();
        let Some(session) = self.port(number) else { return };
        let due = session.due().saturating_sub(START).max(now);
        if session.armed.is_none_or(|armed| due < armed || armed < now) {
            session.armed = Some(due);
            self.schedule.at(due, Event::PortTimer(number, self.gateway.life));
        }
    }

    pub(crate) fn port_is_due(&mut self, number: ConnectionNumber) {
        let now = self.gateway_now();
        let Some(session) = self.port(number) else { return };
        session.armed = None;
        session.port.handle_timeout(now);
        if session.probe_until.is_some_and(|until| now.mono >= until) {
            session.probe_until = None;
            let (desk, id) = (session.desk, session.id.clone());
            self.at_desk(desk, |desk, now| desk.handle_probe(now, &id, false));
        }
        let Some(session) = self.port(number) else { return };
        match session.pinged {
            Some(pinged) if now.mono >= pinged + PONG_WAIT => {
                let reason = CloseReason::Silent;
                return self.end_port(number, reason.code(), &reason.text());
            }
            None if now.mono >= session.heard + SILENCE => {
                session.pinged = Some(now.mono);
                self.send(number, End::Gateway, &Packet::Ping);
            }
            _ => {}
        }
        self.port_turns(number);
    }

    pub(crate) fn end_port(&mut self, number: ConnectionNumber, code: u16, why: &str) {
        let Some(session) = self.gateway.ports.sessions.remove(&number) else { return };
        self.note(Some(session.desk), &format!("socket {number} ends at the gateway: {code} {why}"));
        self.at_desk(session.desk, |desk, now| desk.handle_gone(now, &session.id));
        self.send(number, End::Gateway, &Packet::Close(code, why.to_owned()));
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, number, End::Gateway) {
            self.schedule.at(at, Event::Look(number, End::Client));
        }
    }
}

/// The transaction of which this is the Payment: of this world's desktops no two use a name.
fn transaction_of<'a>(store: &'a Store, message: &Bytes) -> Option<&'a Transaction> {
    let value: Value = serde_json::from_slice(message).ok()?;
    let request = &value["SaleToPOIRequest"];
    if request["MessageHeader"]["SaleID"] != actions::SALE_ID {
        return None;
    }
    let name = request["PaymentRequest"]["SaleData"]["SaleTransactionID"]["TransactionID"].as_str()?;
    store.transactions.0.iter().rfind(|it| it.facts.ask.transaction().as_str() == name)
}

/// Whether a nexo request is about the transaction of this name: a Payment by its SaleTransactionID, a Reversal by the
/// payment that it takes back.
fn bears(message: &Bytes, name: &TransactionId) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(message) else { return false };
    let request = &value["SaleToPOIRequest"];
    let of_sale = &request["PaymentRequest"]["SaleData"]["SaleTransactionID"]["TransactionID"];
    let of_poi = &request["ReversalRequest"]["OriginalPOITransaction"]["POITransactionID"]["TransactionID"];
    let of_poi = of_poi.as_str().and_then(|text| text.split_once('/')).map(|(_, name)| name);
    [of_sale.as_str(), of_poi].contains(&Some(name.as_str()))
}

/// What a terminal is sent to do, as it can tell two of them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Errand {
    Payment { transaction: String, desktop: String },
    Void { transaction: String, desktop: String },
}

impl From<&Asked> for Errand {
    fn from(asked: &Asked) -> Errand {
        match asked {
            Asked::Payment { transaction, desktop } => {
                Errand::Payment { transaction: transaction.to_string(), desktop: desktop.to_string() }
            }
            Asked::Void { transaction, desktop } => {
                Errand::Void { transaction: transaction.to_string(), desktop: desktop.to_string() }
            }
        }
    }
}

/// What a frame for a terminal sends it to do.
pub(crate) fn errand_in(frame: &Bytes) -> Option<Errand> {
    let value: Value = serde_json::from_slice(frame).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value["action"].as_str()? {
        "paymentRequest" => Some(Errand::Payment {
            transaction: text(&value["paymentRequest"]["transactionId"])?,
            desktop: text(&value["desktopId"])?,
        }),
        "voidRequest" => Some(Errand::Void {
            transaction: text(&value["transactionId"])?,
            desktop: text(&value["desktopId"])?,
        }),
        _ => None,
    }
}
