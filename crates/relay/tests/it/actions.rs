//! An Actions terminal behind a desk (E26): its port, sockets that are cut, programs that are restarted, a store that stalls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use nexo::{Kept, PoiId, Request, Response, ResultCode};
use proptest::collection::vec;
use proptest::prelude::*;
use relay::actions::{
    FromClient, Known, PaymentStatus, Port, PortOrder, PortSetup, Resume, Standing as KnownStanding,
    TerminalAnswer, ToClient, TransactionId,
};
use relay::exchange::{
    Answer, Arrival, Asks, Call, Desk, EXCHANGES_MAX, Effect, Heard, LinkOrder, OpId, ReplyMode, Report,
    Source, Standing,
};
use relay::ledger::{Answered, Caller, EvidenceKind, LedgerFacts, Op, Outcome, Record};
use relay::model::Ledger;
use relay::{
    CallId, ConnectionId, DeliveryId, ExchangeId, Heartbeat, JournalId, Now, Placement, ProcessId, Settings,
    ToGateway, ToTerminal, WallMs, Welcome,
};

use crate::message::digest;

const POI: &str = "ACT1-000000001";

/// A terminal of this dialect that keeps its rules.
#[derive(Debug)]
struct Terminal {
    acknowledges: bool,
    /// It repeats the `desktopId` in its answers.
    says_desktop: bool,
    journal: u32,
    held: Vec<Held>,
    /// Answers of a plain terminal that found no connection.
    unsent: Vec<Bytes>,
    /// The latest answer of a plain terminal.
    last: Option<Bytes>,
    /// How often each delivery came; a `desktopId` is the delivery's own here, for no desktop has asked.
    came: BTreeMap<DeliveryId, u32>,
    /// The deliveries that were charged.
    charged: BTreeSet<DeliveryId>,
    said_unknown: BTreeSet<DeliveryId>,
}

#[derive(Debug)]
struct Held {
    delivery: DeliveryId,
    name: TransactionId,
    /// None while it runs.
    answer: Option<Bytes>,
}

#[derive(Debug)]
struct Socket {
    id: ConnectionId,
    port: Port,
    up: VecDeque<Bytes>,
    down: VecDeque<Bytes>,
    /// Whether its end at the gateway is open; the terminal's is, if it is the last one and not cut.
    is_open: bool,
}

#[derive(Debug)]
struct World {
    now: Now,
    desk: Desk,
    ledger: Ledger,
    ops: VecDeque<(OpId, Op)>,
    is_stalled: bool,
    sockets: Vec<Socket>,
    is_connected: bool,
    terminal: Terminal,
    /// By ServiceID.
    requests: BTreeMap<String, Bytes>,
    services: BTreeMap<DeliveryId, String>,
    messages: BTreeMap<DeliveryId, Bytes>,
    calls: BTreeMap<CallId, String>,
    /// ServiceIDs of which a POS was told that they did not run.
    buried: BTreeSet<String>,
    answers: Vec<(String, Answer)>,
    next: u64,
    /// An acknowledging terminal was taken for a plain one, or lost what it had.
    is_best_effort: bool,
}

fn poi() -> PoiId {
    PoiId::parse(POI).expect("a POIID")
}

fn desk(now: Now) -> Desk {
    let facts = LedgerFacts { complete_since: WallMs(0), restored: None };
    Desk::new(poi(), Standing::Known, facts, EXCHANGES_MAX, now.mono)
}

impl World {
    fn new(acknowledges: bool, says_desktop: bool) -> World {
        let now = Now { mono: Duration::from_secs(1000), wall: WallMs(1_800_000_000_000) };
        let mut ledger = Ledger::default();
        let journal = if acknowledges { journal(1) } else { Port::plain_journal("ws_1") };
        ledger.board(poi(), journal, now.wall.minus(Duration::from_secs(86_400)));
        World {
            now,
            desk: desk(now),
            ledger,
            ops: VecDeque::new(),
            is_stalled: false,
            sockets: Vec::new(),
            is_connected: false,
            terminal: Terminal {
                acknowledges,
                says_desktop,
                journal: 1,
                held: Vec::new(),
                unsent: Vec::new(),
                last: None,
                came: BTreeMap::new(),
                charged: BTreeSet::new(),
                said_unknown: BTreeSet::new(),
            },
            requests: BTreeMap::new(),
            services: BTreeMap::new(),
            messages: BTreeMap::new(),
            calls: BTreeMap::new(),
            buried: BTreeSet::new(),
            answers: Vec::new(),
            next: 0,
            is_best_effort: !acknowledges,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A POS asks for a payment of this name, under a ServiceID of its own.
    fn ask(&mut self, name: &str, wait_seconds: u64) -> String {
        let service = format!("S{}", self.requests.len());
        let message = format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"{service}","SaleID":"TILL-1","POIID":"{POI}"}},"PaymentRequest":{{"SaleData":{{"SaleTransactionID":{{"TransactionID":"{name}","TimeStamp":"2026-11-20T09:15:00Z"}}}},"PaymentTransaction":{{"AmountsReq":{{"Currency":"EUR","RequestedAmount":10.99}}}}}}}}}}"#
        );
        self.requests.insert(service.clone(), message.into());
        self.send(&service, wait_seconds);
        service
    }

    /// Sends the request of this ServiceID, once more or for the first time.
    fn send(&mut self, service: &str, wait_seconds: u64) {
        let number = self.number();
        let message = self.requests[service].clone();
        let delivery = DeliveryId::parse(&format!("d_{number}")).expect("an ID");
        let call = Call {
            id: CallId(number),
            digest: digest(&message),
            kept: Kept::of(&message),
            request: Request::parse(message.clone()).expect("a request"),
            caller: Caller { company: "C".into(), credential: "ws_1".into() },
            exchange: ExchangeId::parse(&format!("x_{number}")).expect("an ID"),
            delivery: delivery.clone(),
            wait: Duration::from_secs(wait_seconds),
            reply: ReplyMode::Sync,
            asks: Asks::Anybody,
            hold: std::sync::Arc::new(()),
        };
        self.services.insert(delivery.clone(), service.into());
        self.messages.insert(delivery, message);
        self.calls.insert(call.id, service.into());
        self.desk.handle_call(self.now, call);
        self.settle();
    }

    /// Everything that needs no time and no wire.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(effect) = self.desk.poll_effect() {
                moved = true;
                match effect {
                    Effect::Store(id, op) => self.ops.push_back((id, op)),
                    Effect::Answer(call, heard) => self.told(call, heard),
                    Effect::Recorded(..)
                    | Effect::Checked(..)
                    | Effect::Wake(_)
                    | Effect::Alarm(..)
                    | Effect::Applied { .. }
                    | Effect::ConfigRemoved { .. }
                    | Effect::TokenStored { .. } => {}
                }
            }
            while !self.is_stalled
                && let Some((id, op)) = self.ops.pop_front()
            {
                moved = true;
                let reply = self.ledger.apply(op);
                self.desk.handle_ledger(self.now, id, Ok(reply));
            }
            for index in 0..self.sockets.len() {
                while self.serve(index) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// One thing that a socket's task does at the gateway.
    fn serve(&mut self, index: usize) -> bool {
        let now = self.now;
        let socket = &mut self.sockets[index];
        if !socket.is_open {
            return false;
        }
        if let Some(order) = socket.port.poll_order() {
            match order {
                PortOrder::Look(names) => {
                    let known = self.known(&names);
                    self.sockets[index].port.handle_found(now, known);
                }
                PortOrder::Hello(opening) => {
                    if self.terminal.acknowledges && opening.journal == Port::plain_journal("ws_1") {
                        self.is_best_effort = true;
                    }
                    if opening.is_new_journal() {
                        self.ledger.board(poi(), opening.journal.clone(), now.wall);
                    }
                    // The sockets are numbered as they were opened.
                    let process = ProcessId::parse("p_1").expect("an ID");
                    let hello = opening.into_hello(index as u64 + 1, process);
                    let welcome = welcome(&socket.id);
                    self.desk.handle_hello(now, Arrival { hello, welcome });
                }
                PortOrder::Write(frame, delivery) => {
                    socket.down.push_back(frame.encode());
                    if let Some(delivery) = delivery {
                        socket.port.handle_written(&delivery);
                    }
                }
                PortOrder::Tell(frame) => {
                    let source = Source::Link(socket.id.clone());
                    match frame {
                        ToGateway::Received(delivery) => self.desk.handle_received(&socket.id, &delivery),
                        ToGateway::Result(delivery, result) => {
                            self.desk.handle_report(now, source, delivery, Report::Result(result));
                        }
                        ToGateway::Indeterminate(delivery, why) => {
                            self.desk.handle_report(now, source, delivery, Report::Indeterminate(why));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                PortOrder::CloseForErrors => panic!("a terminal that keeps its rules makes no errors"),
            }
            return true;
        }
        match self.desk.poll_transmit(now, &socket.id) {
            None => return false,
            Some(LinkOrder::Frame(ToTerminal::Welcome(_))) => socket.port.handle_welcome(now),
            Some(LinkOrder::Frame(ToTerminal::Deliver(deliver))) => {
                socket.port.handle_deliver(now, deliver, None);
            }
            Some(LinkOrder::Frame(ToTerminal::Recorded { delivery, problem })) => {
                socket.port.handle_recorded(&delivery, problem);
            }
            Some(LinkOrder::Frame(
                ToTerminal::Settings(_)
                | ToTerminal::RemoveConfig(_)
                | ToTerminal::NewToken(_)
                | ToTerminal::Unknown(_),
            )) => {}
            Some(LinkOrder::Probe) => {
                let alive = self.is_connected && index + 1 == self.sockets.len();
                let id = self.sockets[index].id.clone();
                self.desk.handle_probe(now, &id, alive);
            }
            Some(LinkOrder::Close(_)) => self.close(index),
        }
        true
    }

    /// The gateway's end of a socket ends.
    fn close(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        if std::mem::replace(&mut socket.is_open, false) {
            let id = socket.id.clone();
            self.desk.handle_gone(self.now, &id);
            if index + 1 == self.sockets.len() {
                self.is_connected = false;
            }
        }
    }

    /// What the ledger knows of this terminal.
    fn known(&self, names: &[TransactionId]) -> Vec<Known> {
        let name = |message: &Bytes| {
            let request = Request::parse(message.clone()).expect("a request");
            let named = request.sale_transaction_id().expect("a name");
            TransactionId::parse(&named.transaction_id).expect("a name")
        };
        let of = |record: &Record| {
            let message = self.messages[&record.delivery].clone();
            let standing = KnownStanding::from(&record.outcome);
            let wanted = standing != KnownStanding::Settled || names.contains(&name(&message));
            wanted.then(|| {
                let received = record.received;
                Known { delivery: record.delivery.clone(), message, desktop_id: None, received, standing }
            })
        };
        self.ledger.records().filter_map(of).collect()
    }

    /// The terminal opens a socket, and says what it has to say.
    fn connect(&mut self) {
        if self.is_connected {
            return;
        }
        let older: Vec<_> = self.sockets.iter().filter(|s| s.is_open).map(|s| s.id.clone()).collect();
        self.desk.handle_displaced(self.now, older, &ProcessId::parse("p_2").expect("an ID"));
        self.settle();
        for index in 0..self.sockets.len() {
            self.close(index);
        }
        let setup = PortSetup {
            plain_journal: Port::plain_journal("ws_1"),
            boarded: Some(self.boarded()),
            merchant_account: "M".into(),
        };
        let number = self.number();
        self.sockets.push(Socket {
            id: ConnectionId::parse(&format!("c_{number}")).expect("an ID"),
            port: Port::new(self.now, setup),
            up: VecDeque::new(),
            down: VecDeque::new(),
            is_open: true,
        });
        self.is_connected = true;
        if self.terminal.acknowledges {
            let resume = FromClient::Resume(Resume {
                journal: journal(self.terminal.journal),
                payments: self.terminal.held.iter().map(|held| held.name.clone()).collect(),
                desktops: self
                    .terminal
                    .says_desktop
                    .then(|| self.terminal.held.iter().map(|held| held.delivery.as_str().into()).collect()),
                voids: Some(vec![]),
                void_desktops: Some(vec![]),
            });
            self.up(resume.encode());
            let answers: Vec<_> = self.terminal.held.iter().filter_map(|held| held.answer.clone()).collect();
            answers.into_iter().for_each(|answer| self.up(answer));
        } else {
            let unsent = std::mem::take(&mut self.terminal.unsent);
            // What it has said last it says again, whether or not it was heard.
            let last = self.terminal.last.clone().filter(|last| !unsent.contains(last));
            last.into_iter().chain(unsent).for_each(|answer| self.up(answer));
        }
        self.settle();
    }

    /// The journal that the ledger has: the one that a claim is accepted for.
    fn boarded(&self) -> JournalId {
        let mut ledger = self.ledger.clone();
        let claim = |journal: &JournalId| {
            Op::TakeHello(Box::new(relay::ledger::HelloClaim {
                poi: poi(),
                journal: journal.clone(),
                attempt: u64::MAX,
                firmware_version: None,
                platform: None,
                device: None,
                at: self.now.wall,
            }))
        };
        let known = (1..=self.terminal.journal).map(journal).chain([Port::plain_journal("ws_1")]);
        let mut fits =
            known.filter(|j| !matches!(ledger.apply(claim(j)), relay::ledger::Reply::WrongJournal));
        fits.next().expect("a journal")
    }

    fn up(&mut self, frame: Bytes) {
        if self.is_connected
            && let Some(socket) = self.sockets.last_mut()
        {
            socket.up.push_back(frame);
        }
    }

    /// The connection breaks. What is on its way up may still arrive; what is on its way down does not.
    fn cut(&mut self, is_noticed: bool) {
        if !self.is_connected {
            return;
        }
        self.is_connected = false;
        let last = self.sockets.len() - 1;
        self.sockets[last].down.clear();
        if is_noticed {
            self.close(last);
        }
        self.settle();
    }

    /// The gateway reads one frame.
    fn read_up(&mut self) -> bool {
        let now = self.now;
        let Some(socket) = self.sockets.last_mut() else { return false };
        if !socket.is_open || !socket.port.takes_frames() {
            return false;
        }
        let Some(frame) = socket.up.pop_front() else { return false };
        socket.port.handle_text(now, &frame);
        self.settle();
        true
    }

    /// The terminal reads one frame.
    fn read_down(&mut self) -> bool {
        if !self.is_connected {
            return false;
        }
        let Some(frame) = self.sockets.last_mut().and_then(|socket| socket.down.pop_front()) else {
            return false;
        };
        match ToClient::decode(&frame).expect("a frame") {
            ToClient::PaymentRequest { desktop_id, payment_request, .. } => {
                let delivery = DeliveryId::parse(&desktop_id).expect("an ID");
                let name: serde_json::Value = serde_json::from_slice(&payment_request).expect("JSON");
                let name = TransactionId::parse(name["transactionId"].as_str().expect("a text"));
                self.take(delivery, name.expect("a name"));
            }
            ToClient::PaymentRecorded { transaction, desktop_id, problem } => {
                assert_eq!(problem, None, "{transaction}");
                let is_it = |held: &Held| {
                    held.name == transaction
                        && desktop_id.as_ref().is_none_or(|desktop| **desktop == *held.delivery.as_str())
                };
                self.terminal.held.retain(|held| !is_it(held) || held.answer.is_none());
            }
            // What it repeats may be unclear, or about nothing that anybody knows.
            ToClient::Error(_) if !self.terminal.acknowledges => {}
            other => panic!("{other:?}"),
        }
        self.settle();
        true
    }

    fn take(&mut self, delivery: DeliveryId, name: TransactionId) {
        let times = self.terminal.came.entry(delivery.clone()).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{delivery} came twice");
        if self.terminal.acknowledges {
            let same = self.terminal.held.iter().find(|held| held.name == name);
            assert!(same.is_none() || self.is_best_effort, "two of one name: {same:?}");
            self.up(FromClient::PaymentReceived(name.clone()).encode());
        }
        let is_busy = self.terminal.held.iter().any(|held| held.answer.is_none());
        self.terminal.held.push(Held { delivery: delivery.clone(), name, answer: None });
        if is_busy {
            self.answer(&delivery, PaymentStatus::Failed);
        }
    }

    /// The payment that runs ends.
    fn finish(&mut self, is_charged: bool) {
        let Some(held) = self.terminal.held.iter().find(|held| held.answer.is_none()) else { return };
        let delivery = held.delivery.clone();
        if is_charged {
            self.charge(&delivery);
        }
        self.answer(&delivery, if is_charged { PaymentStatus::Success } else { PaymentStatus::Failed });
        self.settle();
    }

    fn charge(&mut self, delivery: &DeliveryId) {
        let service = &self.services[delivery];
        assert!(!self.buried.contains(service), "{service} was said not to have run");
        assert!(self.terminal.charged.insert(delivery.clone()), "{delivery} is charged twice");
    }

    fn answer(&mut self, delivery: &DeliveryId, status: PaymentStatus) {
        let terminal = &mut self.terminal;
        let index = terminal.held.iter().position(|held| held.delivery == *delivery).expect("it has it");
        let transaction = terminal.held[index].name.clone();
        let raw = format!(r#"{{"transactionId":"{transaction}","status":"{}"}}"#, status.as_str());
        let frame = FromClient::PaymentResponse {
            desktop_id: terminal.says_desktop.then(|| delivery.as_str().into()),
            response: TerminalAnswer { transaction, status, raw: raw.into() },
        };
        let frame = frame.encode();
        if terminal.acknowledges {
            terminal.held[index].answer = Some(frame.clone());
        } else {
            terminal.held.remove(index);
            terminal.last = Some(frame.clone());
            if !self.is_connected {
                terminal.unsent.push(frame);
                return;
            }
        }
        self.up(frame);
    }

    /// The terminal's program is killed and started again; what ran may have been charged, or not.
    fn restart_terminal(&mut self, is_charged: bool) {
        self.cut(true);
        let running: Vec<_> = self.terminal.held.iter().filter(|held| held.answer.is_none()).collect();
        let running: Vec<_> = running.into_iter().map(|held| held.delivery.clone()).collect();
        for delivery in running {
            if is_charged {
                self.charge(&delivery);
            }
            if self.terminal.acknowledges {
                self.terminal.said_unknown.insert(delivery.clone());
                self.answer(&delivery, PaymentStatus::Unknown);
            }
        }
        if !self.terminal.acknowledges {
            self.terminal.held.clear();
            self.terminal.unsent.clear();
        }
    }

    /// The terminal loses all that it had stored.
    fn lose_journal(&mut self) {
        self.restart_terminal(false);
        self.terminal.held.clear();
        self.terminal.journal += 1;
        self.is_best_effort = true;
    }

    fn restart_gateway(&mut self, is_committed: bool) {
        for (_, op) in self.ops.drain(..) {
            if is_committed {
                self.ledger.apply(op);
            }
        }
        self.calls.clear();
        self.desk = desk(self.now);
        for socket in &mut self.sockets {
            socket.is_open = false;
        }
        self.is_connected = false;
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        loop {
            let port = self.sockets.last().filter(|s| s.is_open).and_then(|s| s.port.poll_timeout());
            let due = self.desk.poll_timeout().into_iter().chain(port).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.advance(due.max(self.now.mono));
            self.desk.handle_timeout(self.now);
            let now = self.now;
            if let Some(socket) = self.sockets.last_mut().filter(|s| s.is_open) {
                socket.port.handle_timeout(now);
            }
            self.settle();
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Duration) {
        let step = to - self.now.mono;
        self.now = Now { mono: to, wall: self.now.wall.plus(step) };
    }

    fn flow(&mut self) {
        while self.read_up() || self.read_down() {}
    }

    fn was_charged(&self, service: &str) -> bool {
        self.terminal.charged.iter().any(|delivery| self.services[delivery] == service)
    }

    fn told(&mut self, call: CallId, heard: Heard) {
        let service = self.calls.remove(&call).expect("each call is answered once");
        let did_not_run = match &heard.answer {
            Answer::Response(message) => {
                let response = Response::parse(message.clone()).expect("a response");
                let outcome = response.outcome().expect("an outcome");
                if outcome.result == ResultCode::Success {
                    assert!(self.was_charged(&service), "{service} was not charged");
                }
                outcome.result == ResultCode::Failure
            }
            Answer::NotDelivered => true,
            Answer::NoResponse | Answer::TryAgain | Answer::TooMany => false,
            other => panic!("{other:?}"),
        };
        if did_not_run {
            assert!(
                !self.was_charged(&service),
                "{service} was charged, and its POS hears {:?}",
                heard.answer
            );
            self.buried.insert(service.clone());
        }
        self.answers.push((service, heard.answer));
    }

    /// All that is broken is mended, and what can go on does.
    fn rest(&mut self) {
        self.is_stalled = false;
        self.settle();
        for _ in 0..3 {
            self.connect();
            self.flow();
            while self.terminal.held.iter().any(|held| held.answer.is_none()) {
                self.finish(true);
            }
            self.flow();
            self.pass(Duration::from_secs(400));
            self.flow();
        }
        for record in self.ledger.records() {
            assert!(!record.outcome.is_undecided(), "{record:?}");
            let is_charged = self.terminal.charged.contains(&record.delivery);
            match &record.outcome {
                Outcome::Answered(Answered::Message(message)) => {
                    let response = Response::parse(message.bytes().clone()).expect("a response");
                    let outcome = response.outcome().expect("an outcome");
                    assert_eq!(outcome.result == ResultCode::Success, is_charged, "{record:?}");
                }
                Outcome::NeverReached | Outcome::Refused(_) => {
                    assert!(!self.terminal.came.contains_key(&record.delivery), "{record:?}");
                }
                Outcome::UnknownFinal(_) => {
                    let may = self.is_best_effort || self.terminal.said_unknown.contains(&record.delivery);
                    assert!(may, "{record:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        if !self.is_best_effort {
            assert_eq!(self.terminal.held.len(), 0, "{:?}", self.terminal.held);
            let odd = self.ledger.evidence().iter().find(|(_, e)| e.kind != EvidenceKind::Misfit);
            assert!(odd.is_none(), "{odd:?}");
        }
        assert!(self.desk.is_idle(), "{:?}", self.desk);
    }

    fn step(&mut self, kind: u8, choice: u8) {
        match kind {
            0..=15 => {
                let wait = [3, 20, 150][usize::from(choice) % 3];
                // One that acknowledges and does not say which of two it means has no two of one name.
                let name = match self.terminal.says_desktop || !self.terminal.acknowledges {
                    true => ["A", "B", "C", "D", "E"][usize::from(choice / 3) % 5].into(),
                    false => format!("T-{}", self.requests.len()),
                };
                self.ask(&name, wait);
            }
            16..=22 => {
                let services: Vec<_> = self.requests.keys().cloned().collect();
                if !services.is_empty() {
                    let service = services[usize::from(choice) % services.len()].clone();
                    self.send(&service, 30);
                }
            }
            23..=42 => self.flow(),
            43..=54 => drop(self.read_up()),
            55..=66 => drop(self.read_down()),
            67..=78 => self.finish(choice.is_multiple_of(2)),
            79..=84 => self.cut(choice.is_multiple_of(2)),
            85..=100 => self.connect(),
            101..=103 => self.restart_terminal(choice.is_multiple_of(2)),
            104..=106 => self.restart_gateway(choice.is_multiple_of(2)),
            107..=113 => self.pass(Duration::from_secs([1, 6, 30, 70, 200][usize::from(choice) % 5])),
            114..=117 => {
                self.is_stalled = choice.is_multiple_of(2);
                self.settle();
            }
            _ if self.terminal.acknowledges && choice.is_multiple_of(8) => self.lose_journal(),
            _ => {}
        }
    }
}

fn journal(number: u32) -> JournalId {
    JournalId::parse(&format!("j_{number}")).expect("an ID")
}

fn welcome(connection: &ConnectionId) -> Welcome {
    Welcome {
        connection_id: connection.clone(),
        server_time: "2026-11-20T09:15:00.000Z".into(),
        heartbeat: Heartbeat::DEFAULT,
        terminal: Placement { poi_id: poi(), merchant_account: "M".into(), store: None },
        settings: Settings::default(),
        body_limit: 131_072,
    }
}

fn the_answer(world: &World, service: &str) -> Option<(ResultCode, Option<String>)> {
    let (_, answer) = world.answers.iter().rfind(|(s, _)| s == service)?;
    let Answer::Response(message) = answer else { return None };
    let outcome = Response::parse(message.clone()).expect("a response").outcome().expect("an outcome");
    Some((outcome.result, outcome.error_condition.map(|condition| condition.to_string())))
}

fn connected(acknowledges: bool) -> World {
    let mut world = World::new(acknowledges, true);
    world.connect();
    world.flow();
    world
}

#[test]
fn a_payment_on_an_actions_terminal_is_answered_in_nexo() {
    for acknowledges in [false, true] {
        let mut world = connected(acknowledges);
        let paid = world.ask("A", 150);
        world.flow();
        let busy = world.ask("B", 150);
        assert_eq!(the_answer(&world, &busy), Some((ResultCode::Failure, Some("Busy".into()))));
        world.finish(true);
        world.flow();
        assert_eq!(the_answer(&world, &paid), Some((ResultCode::Success, None)));
        let declined = world.ask("B", 150);
        world.flow();
        world.finish(false);
        world.flow();
        assert_eq!(the_answer(&world, &declined), Some((ResultCode::Failure, Some("Refusal".into()))));
        world.rest();
        assert!(world.terminal.held.is_empty());
    }
}

#[test]
fn a_result_after_a_reconnect_is_delivered_by_both_kinds() {
    for acknowledges in [false, true] {
        let mut world = connected(acknowledges);
        let paid = world.ask("A", 150);
        world.flow();
        world.cut(true);
        world.finish(true);
        world.pass(Duration::from_secs(30));
        world.connect();
        world.flow();
        assert_eq!(the_answer(&world, &paid), Some((ResultCode::Success, None)));
        world.rest();
    }
}

#[test]
fn e13_a_plain_terminal_may_think_for_as_long_as_its_customer_does() {
    let mut world = connected(false);
    let paid = world.ask("A", 150);
    world.flow();
    world.pass(Duration::from_secs(140));
    assert!(world.is_connected);
    world.finish(true);
    world.flow();
    assert_eq!(the_answer(&world, &paid), Some((ResultCode::Success, None)));
}

#[test]
fn e26_a_request_that_was_lost_on_its_way_is_unknown_for_a_plain_terminal_and_denied_by_one_that_acknowledges()
 {
    let lose = |acknowledges| {
        let mut world = connected(acknowledges);
        let service = world.ask("A", 150);
        world.cut(true);
        world.connect();
        world.flow();
        (world, service)
    };
    let (world, service) = lose(true);
    assert_eq!(world.answers, [(service, Answer::NotDelivered)]);

    let (mut world, service) = lose(false);
    assert_eq!(world.answers, []);
    world.pass(Duration::from_secs(59));
    let outcome = |world: &World| world.ledger.records().next().map(|record| record.outcome.clone());
    assert!(outcome(&world).is_some_and(|outcome| outcome.is_undecided()));
    world.pass(Duration::from_secs(1));
    assert!(matches!(outcome(&world), Some(Outcome::UnknownFinal(_))), "{:?}", outcome(&world));
    assert_eq!(world.answers, [(service, Answer::NoResponse)]);
}

#[test]
fn e2_after_a_restart_of_the_gateway_the_result_still_finds_its_payment() {
    for acknowledges in [false, true] {
        let mut world = connected(acknowledges);
        let paid = world.ask("A", 150);
        world.flow();
        world.restart_gateway(true);
        world.send(&paid, 150);
        world.connect();
        world.finish(true);
        world.flow();
        assert_eq!(the_answer(&world, &paid), Some((ResultCode::Success, None)));
        world.rest();
    }
}

#[test]
fn e14_a_terminal_that_lost_what_it_had_leaves_its_payment_unknown_for_good() {
    let mut world = connected(true);
    let service = world.ask("A", 150);
    world.flow();
    world.lose_journal();
    world.connect();
    world.flow();
    assert_eq!(world.answers, [(service, Answer::NoResponse)]);
    let record = world.ledger.records().next().expect("a record");
    assert!(matches!(record.outcome, Outcome::UnknownFinal(_)), "{record:?}");
}

#[test]
fn a_terminal_that_acknowledges_for_the_first_time_stays_on_its_socket() {
    let mut world = World::new(true, true);
    world.ledger.board(poi(), Port::plain_journal("ws_1"), world.now.wall);
    world.terminal.journal = 7;
    world.connect();
    // It is present at once, as a plain one; and a payment comes before its `resume` is read.
    let paid = world.ask("A", 150);
    world.flow();
    assert!(world.sockets[0].is_open);
    let boarded = world.ledger.boarded(&poi()).map(|boarded| boarded.journal.clone());
    assert!(Port::has_acknowledged(boarded.as_ref(), &Port::plain_journal("ws_1")), "{boarded:?}");
    world.finish(true);
    world.flow();
    assert_eq!(the_answer(&world, &paid), Some((ResultCode::Success, None)));
    assert!(world.terminal.held.is_empty());
    assert_eq!(world.boarded(), journal(7));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_an_actions_terminal_nobody_is_told_what_is_not_so(
        acknowledges in any::<bool>(),
        says_desktop in any::<bool>(),
        steps in vec((0u8..119, any::<u8>()), 0..120),
    ) {
        let mut world = World::new(acknowledges, says_desktop);
        for (kind, choice) in steps {
            world.step(kind, choice);
        }
        world.rest();
    }
}
