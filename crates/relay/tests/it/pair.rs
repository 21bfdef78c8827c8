//! A desk and a terminal with everything between them: sockets, a store, POS calls, and time, all in the test's hands.
//!
//! Whatever happens, the pair itself holds the invariants that need no context, and panics when one is broken: see
//! [`Pair::settle_effects`], [`Pair::told`] and [`Pair::pass`].

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use nexo::{Kept, MessageCategory, PoiId};
use relay::exchange::{
    Answer, Arrival, Asks, Call, Desk, EXCHANGES_MAX, Effect, Heard, LinkOrder, OpId, ReplyMode, Report,
    Source, Standing, StatusAnswer,
};
use relay::ledger::{
    Answered, Caller, EvidenceKind, ExchangeKey, HelloClaim, Lane, LedgerError, LedgerFacts, Op, Outcome,
    Record, Refused, Reply, is_repeatable, may_become,
};
use relay::model::Ledger;
use relay::{
    CallId, ChangeId, CloseReason, ConnectionId, Deliver, DeliveryId, Epoch, ExchangeId, Heartbeat, Hello,
    Now, Placement, ProcessId, ResultMessage, Settings, Status, ToGateway, ToTerminal, WallMs, Welcome,
};

use crate::message::{Ask, POI, digest};
use crate::terminal::{Act, Device};

/// How much later than its POS's time and the time of a commit an answer may come.
const SLACK: Duration = Duration::ZERO;

/// What the store does with the ops it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Prompt,
    /// Nothing moves until the test says so.
    Stalled,
    /// Every transaction fails and leaves nothing behind.
    Failing,
    /// Every transaction is applied, and the gateway is told that it failed.
    FailingLate,
    /// Every fence fails, and nothing else.
    FailingFences,
    /// Every op is refused.
    Full,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: ConnectionId,
    /// Of the terminal's own; none for one that somebody else opened with its journal.
    attempt: Option<u64>,
    up: VecDeque<ToGateway>,
    down: VecDeque<ToTerminal>,
    /// The terminal has not given it up.
    pub(crate) terminal_open: bool,
    /// The gateway has not given it up.
    pub(crate) gateway_open: bool,
    /// `welcome` was read.
    pub(crate) welcomed: bool,
    /// What it said of the settings.
    pub(crate) settings: Option<Settings>,
    pub(crate) closed: Option<CloseReason>,
    probe: Option<Duration>,
}

/// Whether an answer was given before (E4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    Again,
}

#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    pub(crate) key: ExchangeKey,
    pub(crate) deadline: Duration,
    pub(crate) hung_up: bool,
    /// The gateway that had it has crashed.
    pub(crate) lost: bool,
    pub(crate) answer: Option<Answer>,
    pub(crate) turn: Turn,
    pub(crate) exchange: Option<ExchangeId>,
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Now,
    pub(crate) gateway: Desk,
    pub(crate) ledger: Ledger,
    pub(crate) terminal: Device,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) calls: BTreeMap<CallId, Asked>,
    pub(crate) mode: Mode,
    /// The terminal works on what it has by itself.
    pub(crate) works: bool,
    /// The gateway's sockets take what the desk has for them.
    pub(crate) transmits: bool,
    /// The terminal reads what comes.
    pub(crate) reads: bool,
    /// The terminal loses what is delivered without a trace, and answers pings.
    pub(crate) swallows: bool,
    /// The gateway reads what comes.
    pub(crate) hears: bool,
    /// The gateway notices at once when a terminal has given a socket up.
    pub(crate) notices: bool,
    pub(crate) alarms: Vec<DeliveryId>,
    /// What the fleet asked of the terminal, as it read it.
    pub(crate) asked: Vec<ToTerminal>,
    /// What the terminal said to that, as the desk passed it on.
    pub(crate) reported: Vec<String>,
    pub(crate) recorded_for: Vec<(CallId, DeliveryId, Option<String>)>,
    pub(crate) checked: Vec<(CallId, bool)>,
    /// Every delivery that was handed to a socket.
    pub(crate) written: Vec<DeliveryId>,
    pub(crate) facts: LedgerFacts,
    /// Its Terminal API is: payments may not be sent to it, and questions about them may.
    pub(crate) switched_off: bool,
    money: VecDeque<(OpId, Op)>,
    rest: VecDeque<(OpId, Op)>,
    /// Ops of gateways that are no more.
    zombies: VecDeque<Op>,
    /// Applied, and the reply is still to come.
    replies: VecDeque<(OpId, Result<Reply, LedgerError>)>,
    /// Sockets that the desk has something for.
    woken: HashSet<ConnectionId>,
    outcomes: HashMap<DeliveryId, Outcome>,
    keys: HashMap<DeliveryId, ExchangeKey>,
    /// Keys of which a POS was told that they did not run and never will.
    buried: HashSet<ExchangeKey>,
    /// Keys of categories that are never run again, and when they were written.
    spent: HashMap<ExchangeKey, WallMs>,
    next: u64,
    standing: Standing,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        Pair::with(LedgerFacts { complete_since: WallMs(0), restored: None }, Standing::Known)
    }

    pub(crate) fn with(facts: LedgerFacts, standing: Standing) -> Pair {
        let now = Now { mono: Duration::from_secs(1000), wall: WallMs(1_800_000_000_000) };
        let terminal = Device::new("j_1");
        let mut ledger = Ledger::default();
        if standing == Standing::Known {
            ledger.board(poi(), terminal.journal.clone(), now.wall.minus(Duration::from_secs(86_400)));
        }
        Pair {
            now,
            gateway: Desk::new(poi(), standing, facts, EXCHANGES_MAX, now.mono),
            ledger,
            terminal,
            sockets: Vec::new(),
            calls: BTreeMap::new(),
            mode: Mode::Prompt,
            works: true,
            transmits: true,
            reads: true,
            swallows: false,
            hears: true,
            notices: true,
            alarms: Vec::new(),
            asked: Vec::new(),
            reported: Vec::new(),
            recorded_for: Vec::new(),
            checked: Vec::new(),
            written: Vec::new(),
            facts,
            switched_off: false,
            money: VecDeque::new(),
            rest: VecDeque::new(),
            zombies: VecDeque::new(),
            replies: VecDeque::new(),
            woken: HashSet::new(),
            outcomes: HashMap::new(),
            keys: HashMap::new(),
            buried: HashSet::new(),
            spent: HashMap::new(),
            next: 0,
            standing,
        }
    }

    /// A terminal that has just been welcomed.
    pub(crate) fn connected() -> Pair {
        let mut pair = Pair::new();
        pair.arrive();
        assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
        pair
    }

    /// A terminal that is here and has charged the card, and goes on when `works` is set.
    pub(crate) fn paying(service: &str) -> (Pair, CallId) {
        let mut pair = Pair::connected();
        pair.works = false;
        let sent = pair.send(&crate::message::payment(service));
        pair.drive();
        assert!(pair.work() && pair.terminal.is_running());
        (pair, sent)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    // The POS.

    pub(crate) fn send(&mut self, ask: &Ask) -> CallId {
        let number = self.number();
        let id = CallId(number);
        let request = ask.request();
        let header = request.header();
        let key = ExchangeKey::new(
            header.poi_id.clone(),
            header.class,
            header.device_id.clone(),
            request.service_id().clone(),
        );
        let wait = Duration::from_secs(ask.wait_seconds);
        let delivery = delivery(number);
        self.keys.insert(delivery.clone(), key.clone());
        let call = Call {
            id,
            kept: Kept::of(request.bytes()),
            digest: digest(request.bytes()),
            caller: Caller { company: "DEMO".into(), credential: "ws_1".into() },
            exchange: ExchangeId::parse(&format!("x_{number}")).expect("an ID"),
            delivery,
            wait,
            reply: ask.reply,
            asks: ask.asks,
            hold: std::sync::Arc::new(()),
            request,
        };
        let asked = Asked {
            ask: ask.clone(),
            key,
            deadline: self.now.mono + ask.patience(),
            hung_up: false,
            lost: false,
            answer: None,
            turn: Turn::First,
            exchange: None,
        };
        self.calls.insert(id, asked);
        match self.switched_off && !["TransactionStatus", "Abort"].contains(&ask.category) {
            true => self.gateway.handle_barred(self.now, call, "It is switched off."),
            false => self.gateway.handle_call(self.now, call),
        }
        self.settle_effects();
        id
    }

    /// Sends, and lets everything come to rest.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        let sent = self.send(ask);
        self.drive();
        self.answer(sent)
    }

    pub(crate) fn answer(&self, call: CallId) -> Option<Answer> {
        self.calls[&call].answer.clone()
    }

    /// As [`Pair::ask`], and whether the answer was given before.
    pub(crate) fn ask_heard(&mut self, ask: &Ask) -> (Answer, Turn) {
        let sent = self.send(ask);
        self.drive();
        (self.answer(sent).expect("an answer"), self.calls[&sent].turn)
    }

    pub(crate) fn hears_response(&mut self, ask: &Ask, turn: Turn) -> bool {
        matches!(self.ask_heard(ask), (Answer::Response(_), heard) if heard == turn)
    }

    pub(crate) fn heard_response(&self, call: CallId, turn: Turn) -> bool {
        matches!(self.answer(call), Some(Answer::Response(_))) && self.calls[&call].turn == turn
    }

    /// Somebody asks whether the terminal is there.
    pub(crate) fn check(&mut self) {
        let call = CallId(self.number());
        self.gateway.handle_check(self.now, call);
        self.settle_effects();
    }

    pub(crate) fn hang_up(&mut self, call: CallId) {
        if let Some(asked) = self.calls.get_mut(&call) {
            asked.hung_up = true;
        }
        self.gateway.handle_hang_up(call);
        self.settle_effects();
    }

    // The link.

    /// The terminal dials (T2, T3): every older socket is given up, and what was not read from it is dropped. The new
    /// one is the last.
    pub(crate) fn connect(&mut self) -> usize {
        self.terminal_hangs_up();
        self.terminal.connect(self.now);
        self.settle_acts();
        self.sockets.len().saturating_sub(1)
    }

    fn terminal_hangs_up(&mut self) {
        for index in 0..self.sockets.len() {
            self.terminal_closes(index);
        }
    }

    fn terminal_closes(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        socket.down.clear();
        let was_open = std::mem::replace(&mut socket.terminal_open, false);
        if let Some(attempt) = socket.attempt.filter(|_| was_open) {
            self.terminal.lost(self.now, attempt);
            self.settle_acts();
        }
    }

    /// What the terminal wants to do to its link is done.
    pub(crate) fn settle_acts(&mut self) {
        while let Some(act) = self.terminal.act() {
            match act {
                Act::Dial(attempt) => self.dial(attempt),
                Act::Send(frame) => self.say(frame),
                Act::Close => self.terminal_hangs_up(),
            }
        }
    }

    /// The terminal dials, and is heard.
    pub(crate) fn arrive(&mut self) {
        self.connect();
        self.drive();
    }

    fn dial(&mut self, attempt: u64) {
        for socket in &mut self.sockets {
            socket.terminal_open = false;
            socket.down.clear();
        }
        let index = self.dial_beside(attempt);
        self.sockets[index].attempt = Some(attempt);
    }

    /// Somebody says hello with this attempt and the terminal's journal, while its own link stands.
    pub(crate) fn dial_beside(&mut self, attempt: u64) -> usize {
        let number = self.number();
        let hello = Hello {
            link_version: 1,
            journal_id: self.terminal.journal.clone(),
            attempt,
            process_id: ProcessId::parse("p_1").expect("an ID"),
            firmware_version: None,
            platform: None,
            resume: self.terminal.resume(),
            device: None,
        };
        self.sockets.push(Socket {
            id: ConnectionId::parse(&format!("c_{number}")).expect("an ID"),
            attempt: None,
            up: VecDeque::from([ToGateway::Hello(Box::new(hello))]),
            down: VecDeque::new(),
            terminal_open: true,
            gateway_open: true,
            welcomed: false,
            settings: None,
            closed: None,
            probe: None,
        });
        self.sockets.len() - 1
    }

    /// The link is cut: what is on its way is lost, both ways.
    pub(crate) fn cut_link(&mut self) {
        for socket in &mut self.sockets {
            socket.up.clear();
        }
        self.terminal_hangs_up();
        self.notice_all();
    }

    /// The terminal is gone from every socket, and the gateway does not know.
    pub(crate) fn drop_link_silently(&mut self) {
        self.notices = false;
        self.terminal_hangs_up();
    }

    pub(crate) fn notice_all(&mut self) {
        for index in 0..self.sockets.len() {
            if !self.sockets[index].terminal_open {
                self.notice(index);
            }
        }
    }

    /// The gateway sees the end of a socket. What was on its way up may still have been read before.
    pub(crate) fn notice(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        if !std::mem::replace(&mut socket.gateway_open, false) {
            return;
        }
        socket.up.clear();
        socket.probe = None;
        let id = socket.id.clone();
        self.terminal_closes(index);
        let present = self.gateway.presence().lease().map(|l| l.connection.clone());
        self.gateway.handle_gone(self.now, &id);
        if present.as_ref() != Some(&id) {
            let still = self.gateway.presence().lease().map(|l| l.connection.clone());
            assert_eq!(present, still, "a late departure removed a newer link");
        }
        self.settle_effects();
    }

    /// What was delivered and not read yet.
    pub(crate) fn delivers_waiting(&self) -> Vec<&Deliver> {
        let delivers = self.sockets.iter().flat_map(|s| &s.down);
        delivers
            .filter_map(|f| if let ToTerminal::Deliver(deliver) = f { Some(deliver) } else { None })
            .collect()
    }

    pub(crate) fn say(&mut self, frame: ToGateway) {
        let own = |s: &&mut Socket| s.terminal_open && s.welcomed && s.attempt.is_some();
        if let Some(socket) = self.sockets.iter_mut().rfind(own) {
            socket.up.push_back(frame);
        }
    }

    /// A socket takes what the desk has for it, if anything.
    pub(crate) fn transmit(&mut self, index: usize) -> bool {
        let id = self.sockets[index].id.clone();
        if !self.sockets[index].gateway_open || !self.woken.contains(&id) {
            return false;
        }
        let Some(order) = self.gateway.poll_transmit(self.now, &id) else {
            self.woken.remove(&id);
            return false;
        };
        if let LinkOrder::Frame(frame) = &order {
            self.check_frame(&id, frame);
        }
        let until = self.now.mono + Duration::from_secs(5);
        let socket = &mut self.sockets[index];
        match order {
            LinkOrder::Frame(frame) => {
                if socket.terminal_open {
                    socket.down.push_back(frame);
                }
            }
            LinkOrder::Probe => socket.probe = Some(socket.probe.unwrap_or(until)),
            LinkOrder::Close(reason) => {
                socket.closed = Some(reason);
                self.notice(index);
            }
        }
        self.settle_effects();
        true
    }

    /// The gateway reads one frame of a socket.
    pub(crate) fn hear(&mut self, index: usize) -> bool {
        let socket = &mut self.sockets[index];
        if !socket.gateway_open {
            return false;
        }
        let Some(frame) = socket.up.pop_front() else { return false };
        let (now, id) = (self.now, socket.id.clone());
        let source = Source::Link(id.clone());
        match frame {
            ToGateway::Hello(hello) => {
                let arrival = Arrival { welcome: welcome(&id), hello: *hello };
                self.gateway.handle_hello(now, arrival);
            }
            ToGateway::Received(delivery) => self.gateway.handle_received(&id, &delivery),
            ToGateway::Result(delivery, result) => {
                self.gateway.handle_report(now, source, delivery, Report::Result(result));
            }
            ToGateway::Indeterminate(delivery, reason) => {
                self.gateway.handle_report(now, source, delivery, Report::Indeterminate(reason));
            }
            ToGateway::Notify(number, message) => self.gateway.handle_notification(now, &id, number, message),
            ToGateway::Applied(revision) => self.gateway.handle_applied(&id, revision),
            ToGateway::ConfigRemoved(change) => self.gateway.handle_config_removed(&id, change),
            ToGateway::TokenStored => self.gateway.handle_token_stored(&id),
            _ => {}
        }
        self.settle_effects();
        true
    }

    /// The terminal reads one frame of its socket.
    pub(crate) fn read(&mut self, index: usize) -> bool {
        let socket = &mut self.sockets[index];
        if !socket.terminal_open {
            return false;
        }
        let Some(frame) = socket.down.pop_front() else { return false };
        if let ToTerminal::Welcome(welcome) = &frame {
            assert!(!socket.welcomed, "a second welcome");
            socket.welcomed = true;
            socket.settings = Some(welcome.settings.clone());
        }
        let now = self.now;
        let Some(attempt) = socket.attempt else { return true };
        match frame {
            ToTerminal::Welcome(_) => self.terminal.welcome(now, attempt),
            ToTerminal::Deliver(_) if self.swallows => {}
            ToTerminal::Deliver(deliver) => {
                assert!(self.sockets[index].welcomed, "a delivery before the welcome");
                self.terminal.deliver(now, attempt, deliver);
            }
            ToTerminal::Recorded { delivery, .. } => self.terminal.recorded(now, &delivery),
            frame @ (ToTerminal::Settings(_) | ToTerminal::RemoveConfig(_) | ToTerminal::NewToken(_)) => {
                self.asked.push(frame);
            }
            ToTerminal::Unknown(_) => {}
        }
        self.settle_acts();
        true
    }

    /// The terminal goes on with what runs.
    pub(crate) fn work(&mut self) -> bool {
        let before = self.terminal.executions.len();
        let worked = self.terminal.work(self.now);
        self.settle_acts();
        if let Some(execution) = self.terminal.executions.get(before) {
            let key = ExchangeKey { poi: poi(), device: None, service: execution.service.clone() };
            assert!(!self.buried.contains(&key), "{key:?} runs after a POS was told that it never will");
        }
        worked
    }

    /// What the terminal has written gets onto its disk.
    pub(crate) fn sync(&mut self, count: usize) -> bool {
        let synced = self.terminal.sync(self.now, count);
        self.settle_acts();
        synced
    }

    /// A maintenance call with all results that are not recorded.
    pub(crate) fn maintain(&mut self) {
        for result in self.terminal.unrecorded() {
            let call = CallId(self.number());
            let (delivery, report) = match result {
                ToGateway::Result(delivery, result) => (delivery, Report::Result(result)),
                ToGateway::Indeterminate(delivery, reason) => (delivery, Report::Indeterminate(reason)),
                _ => continue,
            };
            self.gateway.handle_report(self.now, Source::Maintenance(call), delivery, report);
            self.settle_effects();
        }
    }

    // The store.

    fn apply_op(&mut self, op: Op) -> Reply {
        let reply = self.ledger.apply(op);
        self.check_outcomes();
        reply
    }

    pub(crate) fn ops_waiting(&self) -> usize {
        self.money.len() + self.rest.len() + self.replies.len()
    }

    /// The store sits on its first op for good.
    pub(crate) fn skip_op(&mut self) {
        self.money.pop_front();
    }

    /// The store runs its next op, of the money lane first; its reply is still to come.
    pub(crate) fn apply_next(&mut self) -> bool {
        let Some((id, op)) = self.money.pop_front().or_else(|| self.rest.pop_front()) else { return false };
        let reply = self.apply_op(op);
        self.replies.push_back((id, Ok(reply)));
        true
    }

    /// The store runs the next op of the lane that may wait.
    pub(crate) fn apply_rest(&mut self) -> bool {
        let Some((id, op)) = self.rest.pop_front() else { return false };
        let reply = self.apply_op(op);
        self.replies.push_back((id, Ok(reply)));
        true
    }

    /// The store's next op fails and leaves nothing behind.
    pub(crate) fn fail_next(&mut self) -> bool {
        let Some((id, _)) = self.money.pop_front().or_else(|| self.rest.pop_front()) else { return false };
        self.replies.push_back((id, Err(LedgerError::Failed)));
        true
    }

    /// The next reply arrives at the desk.
    pub(crate) fn reply_next(&mut self) -> bool {
        let Some((id, reply)) = self.replies.pop_front() else { return false };
        self.gateway.handle_ledger(self.now, id, reply);
        self.settle_effects();
        true
    }

    /// A reply overtakes those before it: ops run in their order, and nothing is promised of their replies.
    pub(crate) fn reply_at(&mut self, index: usize) {
        if let Some(reply) = self.replies.remove(index) {
            self.replies.push_front(reply);
            self.reply_next();
        }
    }

    /// The next reply arrives, as a failure, whatever happened.
    pub(crate) fn reply_next_as_failed(&mut self) -> bool {
        let Some((id, _)) = self.replies.pop_front() else { return false };
        self.gateway.handle_ledger(self.now, id, Err(LedgerError::Failed));
        self.settle_effects();
        true
    }

    fn store_step(&mut self) -> bool {
        match self.mode {
            Mode::Stalled => false,
            Mode::Prompt => self.reply_next() || self.apply_next(),
            Mode::FailingFences if matches!(self.money.front(), Some((_, Op::Fence { .. }))) => {
                self.fail_next()
            }
            Mode::FailingFences => self.reply_next() || self.apply_next(),
            Mode::Failing => self.reply_next() || self.fail_next(),
            Mode::FailingLate => self.reply_next_as_failed() || self.apply_next(),
            Mode::Full => {
                let next = self.money.pop_front().or_else(|| self.rest.pop_front());
                if let Some((id, _)) = next {
                    self.replies.push_back((id, Err(LedgerError::Full)));
                }
                self.reply_next()
            }
        }
    }

    // The fleet.

    /// The terminal may have no link any more.
    pub(crate) fn close_down(&mut self, reason: &CloseReason) {
        let open: Vec<_> = self.sockets.iter().filter(|s| s.gateway_open).map(|s| s.id.clone()).collect();
        self.gateway.handle_closing_down(self.now, open, reason);
        self.settle_effects();
    }

    /// It is assigned to another place.
    pub(crate) fn remove_config(&mut self, change: &str) {
        self.gateway.handle_remove_config(self.now, ChangeId::parse(change).expect("an ID"));
        self.settle_effects();
    }

    /// Nothing is wanted of the terminal any more.
    pub(crate) fn leave_alone(&mut self) {
        self.gateway.handle_removal_over();
        self.gateway.handle_reopened(self.now);
        self.settle_effects();
    }

    // The whole.

    /// Everything that can happen without time passing happens.
    pub(crate) fn drive(&mut self) {
        for _ in 0..100_000 {
            let mut progress = self.store_step();
            for index in 0..self.sockets.len() {
                if self.transmits {
                    progress |= self.transmit(index);
                }
                if self.reads {
                    progress |= self.read(index);
                }
                if self.hears {
                    progress |= self.hear(index);
                }
                let socket = &mut self.sockets[index];
                if socket.probe.is_some() && socket.terminal_open && self.reads && self.hears {
                    socket.probe = None;
                    self.probed(index, true);
                    progress = true;
                }
            }
            if self.works {
                progress |= self.work();
            }
            if self.terminal.syncs {
                progress |= self.sync(usize::MAX);
            }
            if self.notices {
                self.notice_all();
            }
            if !progress {
                return;
            }
        }
        panic!("no rest is found");
    }

    fn probed(&mut self, index: usize, alive: bool) {
        let id = self.sockets[index].id.clone();
        self.gateway.handle_probe(self.now, &id, alive);
        self.settle_effects();
    }

    /// Time passes, and whatever is due happens when it is.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        for _ in 0..100_000 {
            let probes = self.sockets.iter().filter_map(|s| s.probe);
            let due = self.gateway.poll_timeout().into_iter().chain(probes).chain(self.terminal.due()).min();
            let Some(due) = due.filter(|due| *due <= until) else { return self.set_time(until) };
            self.set_time(due.max(self.now.mono));
            for index in 0..self.sockets.len() {
                if self.sockets[index].probe.is_some_and(|at| at <= self.now.mono) {
                    self.sockets[index].probe = None;
                    self.probed(index, false);
                }
            }
            self.terminal.timeout(self.now);
            self.settle_acts();
            self.timeout();
        }
        panic!("a timeout is due again and again");
    }

    pub(crate) fn timeout(&mut self) {
        self.gateway.handle_timeout(self.now);
        self.settle_effects();
        let due = self.gateway.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now.mono), "due at {due:?}, and it is {:?}", self.now.mono);
        for asked in self.calls.values().filter(|a| a.answer.is_none() && !a.hung_up && !a.lost) {
            let at_last = asked.deadline + relay::exchange::COMMIT_WAIT + SLACK;
            assert!(
                self.now.mono <= at_last,
                "{} {} is not answered in time",
                asked.ask.category,
                asked.ask.service
            );
        }
    }

    /// Time passes in small steps with everything driven between them.
    pub(crate) fn live(&mut self, time: Duration) {
        let until = self.now.mono + time;
        self.drive();
        while self.now.mono < until {
            let due = self.gateway.poll_timeout().unwrap_or(until).max(self.now.mono);
            self.pass(due.min(until) - self.now.mono);
            self.drive();
        }
    }

    fn set_time(&mut self, mono: Duration) {
        let wall = self.now.wall.plus(mono - self.now.mono);
        self.now = Now { mono, wall };
    }

    /// A transaction of a gateway that is no more lands after all.
    pub(crate) fn apply_zombie(&mut self) -> bool {
        let Some(op) = self.zombies.pop_front() else { return false };
        self.apply_op(op);
        true
    }

    /// The gateway's process dies and comes back: of the ops that the store had, this many are applied, and the others
    /// are lost, or land later.
    pub(crate) fn crash_gateway(&mut self, applied: usize) {
        for _ in 0..applied {
            let Some((_, op)) = self.money.pop_front().or_else(|| self.rest.pop_front()) else { break };
            self.apply_op(op);
        }
        self.zombies.extend(self.money.drain(..).chain(self.rest.drain(..)).map(|(_, op)| op));
        self.replies.clear();
        self.woken.clear();
        for socket in &mut self.sockets {
            socket.gateway_open = false;
            socket.up.clear();
            socket.probe = None;
        }
        self.terminal_hangs_up();
        for asked in self.calls.values_mut().filter(|a| a.answer.is_none()) {
            asked.lost = true;
        }
        self.gateway = Desk::new(poi(), self.standing, self.facts, EXCHANGES_MAX, self.now.mono);
    }

    /// The ledger goes back to a backup from before all that happened; epochs go above any handed out (E19).
    pub(crate) fn lose_ledger(&mut self) {
        let epoch = self.ledger.epoch(&poi());
        let mut older = Ledger::default();
        older.board(poi(), self.terminal.journal.clone(), WallMs(0));
        std::mem::swap(&mut self.ledger, &mut older);
        while self.ledger.epoch(&poi()) <= epoch {
            self.raise_epoch(self.ledger.epoch(&poi()).map_or(0, |e| e.0) + 1);
        }
        while self.terminal.attempt <= self.ledger.epoch(&poi()).map_or(0, |e| e.0) {
            self.connect();
        }
        self.spent.clear();
    }

    /// Another node has taken a hello of the terminal.
    pub(crate) fn raise_epoch(&mut self, attempt: u64) {
        let claim = HelloClaim {
            poi: poi(),
            journal: self.terminal.journal.clone(),
            attempt,
            firmware_version: None,
            platform: None,
            device: None,
            at: self.now.wall,
        };
        let reply = self.apply_op(Op::TakeHello(Box::new(claim)));
        assert!(matches!(reply, Reply::Raised { .. }));
    }

    pub(crate) fn crash_terminal(&mut self) {
        self.terminal_hangs_up();
        self.terminal.restart(self.now);
    }

    /// The journal is there and empty: no honest terminal has that.
    pub(crate) fn forget_all(&mut self) {
        self.terminal_hangs_up();
        self.terminal.forget_all(self.now);
    }

    /// The journal is another one than the one that was boarded.
    pub(crate) fn lose_journal(&mut self) {
        self.terminal_hangs_up();
        self.terminal.lose_journal(self.now, "j_other");
    }

    pub(crate) fn board_again(&mut self) {
        let number = self.number();
        self.terminal_hangs_up();
        self.terminal.lose_journal(self.now, &format!("j_{number}"));
        self.ledger.board(poi(), self.terminal.journal.clone(), self.now.wall);
    }

    /// Everything is well again, the terminal is here and is heard, and every POS has had its answer.
    pub(crate) fn come_to_rest(&mut self) {
        self.mode = Mode::Prompt;
        self.works = true;
        self.terminal.syncs = true;
        self.transmits = true;
        self.reads = true;
        self.hears = true;
        self.notices = true;
        self.zombies.clear();
        self.leave_alone();
        self.drive();
        self.live(Duration::from_secs(11));
        self.arrive();
        self.live(Duration::from_secs(200));
    }

    /// What is known of the exchange of this ServiceID.
    pub(crate) fn record(&self, service: &str) -> Option<&Record> {
        self.ledger.records().filter(|r| r.key.service.as_str() == service).last()
    }

    pub(crate) fn outcome(&self, service: &str) -> Option<Outcome> {
        self.record(service).map(|r| r.outcome.clone())
    }

    pub(crate) fn key(&self, service: &str) -> ExchangeKey {
        ExchangeKey { poi: poi(), device: None, service: service.parse().expect("a ServiceID") }
    }

    /// How often the money of this sale moved.
    pub(crate) fn charged(&self, intention: &str) -> usize {
        self.terminal.executions.iter().filter(|e| e.intention == intention).count()
    }

    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.gateway.presence().lease().map(|l| l.epoch)
    }

    // What must hold whatever happens.

    pub(crate) fn settle_effects(&mut self) {
        while let Some(effect) = self.gateway.poll_effect() {
            match effect {
                Effect::Store(id, op) => match op.lane() {
                    Lane::Money => self.money.push_back((id, op)),
                    Lane::Rest => self.rest.push_back((id, op)),
                },
                Effect::Answer(call, heard) => self.told(call, heard),
                Effect::Recorded(call, delivery, problem) => {
                    self.check_recorded(&delivery);
                    self.terminal.recorded(self.now, &delivery);
                    self.settle_acts();
                    self.recorded_for.push((call, delivery, problem));
                }
                Effect::Checked(call, alive) => self.checked.push((call, alive)),
                Effect::Wake(connection) => {
                    self.woken.insert(connection);
                }
                Effect::Alarm(delivery, _) => self.alarms.push(delivery),
                Effect::Applied { revision, .. } => self.reported.push(format!("applied {revision}")),
                Effect::ConfigRemoved { change, .. } => self.reported.push(format!("removed {change}")),
                Effect::TokenStored { .. } => self.reported.push("token stored".into()),
            }
        }
    }

    fn told(&mut self, call: CallId, heard: Heard) {
        let Heard { answer, repeated, exchange } = heard;
        let asked = self.calls.get_mut(&call).expect("an answer to a call that was never made");
        assert!(!asked.hung_up, "an answer to a POS that hung up");
        assert!(asked.answer.is_none(), "{call:?} is answered twice: {:?}, then {answer:?}", asked.answer);
        asked.answer = Some(answer.clone());
        asked.turn = if repeated { Turn::Again } else { Turn::First };
        asked.exchange = exchange;
        let (reply, asks) = (asked.ask.reply, asked.ask.asks);
        let one_way = ["Abort", "InputUpdate"].contains(&asked.ask.category);
        let key = asked.key.clone();
        let repeatable = is_repeatable(&MessageCategory::parse(asked.ask.category).expect("a category"));
        let reference = asked.ask.request().message_reference().and_then(|r| r.service_id);
        match answer {
            Answer::Ok if reply == ReplyMode::Async && !one_way => self.check_receipt(&key),
            Answer::Response(_) if reply == ReplyMode::Async => panic!("an end for who did not wait for it"),
            Answer::Response(message) => {
                self.check_response(&key, &message);
                let not_found = nexo::Response::parse(message).is_ok_and(|r| r.is_not_found());
                if let (true, Some(service)) = (not_found, reference) {
                    self.check_not_found(ExchangeKey { device: None, service, ..key });
                }
            }
            // The gateway's own questions hear what is kept, and pass nothing of it on (E24).
            Answer::Status(StatusAnswer::Found(_)) if asks == Asks::LedgerAlone => {}
            Answer::Status(StatusAnswer::Found(message)) => {
                let service = reference.expect("a reference");
                self.check_response(&ExchangeKey { device: None, service, ..key }, &message);
            }
            Answer::Status(StatusAnswer::NotFound) => {
                let service = reference.expect("a reference");
                self.check_not_found(ExchangeKey { device: None, service, ..key });
            }
            Answer::NotDelivered if repeatable => self.bury(key),
            Answer::Failure { condition, exchange: None, .. } if repeatable => {
                assert_eq!(condition, nexo::ErrorCondition::NOT_ALLOWED);
                self.bury(key); // A fence.
            }
            Answer::Failure { condition, .. } if condition == nexo::ErrorCondition::ABORTED => self.bury(key),
            _ => {}
        }
    }

    /// `ok` is told of what the terminal has, and with a webhook owed for it on disk (E21, E22).
    fn check_receipt(&self, key: &ExchangeKey) {
        let record = self.ledger.records().filter(|r| r.key == *key).last().expect("ok without a record");
        assert!(record.webhook, "ok for {key:?}, and no webhook is owed");
        assert!(self.terminal.stored.contains(&record.delivery), "ok for {key:?}, which did not reach");
    }

    /// NotFound is told only with a fence on disk (E16).
    fn check_not_found(&mut self, key: ExchangeKey) {
        assert!(self.ledger.is_fenced(&key), "NotFound for {key:?} without a fence");
        self.bury(key);
    }

    /// A POS was told that this did not run: so it must not have, and must never.
    fn bury(&mut self, key: ExchangeKey) {
        let ran = self.terminal.executions.iter().any(|e| e.service == key.service);
        assert!(!ran, "a POS is told that {key:?} did not run, and it did");
        self.buried.insert(key);
    }

    /// Nobody is told anything in the terminal's name but what the terminal said for that very delivery.
    fn check_response(&self, key: &ExchangeKey, message: &Bytes) {
        let said = self.terminal.responses.iter().find(|(_, said)| said == message);
        let (delivery, _) = said.expect("a response that no terminal gave");
        let own = self.keys.get(delivery) == Some(key);
        // A repeat that a terminal recognised by its ServiceID is given the first one's response (T8).
        let same_service = self.keys.get(delivery).is_some_and(|k| k.service == key.service);
        assert!(own || same_service, "a reply of {delivery} for {key:?}");
    }

    fn check_frame(&mut self, connection: &ConnectionId, frame: &ToTerminal) {
        match frame {
            ToTerminal::Deliver(deliver) => {
                let delivery = &deliver.delivery;
                let record = self.ledger.records().find(|r| r.delivery == *delivery);
                let record = record.expect("written before it was on disk");
                assert!(
                    record.outcome.is_undecided(),
                    "{delivery} is written with outcome {:?}",
                    record.outcome
                );
                let lease = self.gateway.presence().lease().expect("written to a link that is not present");
                assert_eq!(lease.connection, *connection);
                assert_eq!(
                    lease.epoch, record.epoch,
                    "{delivery} is written to a link that it does not belong to"
                );
                assert!(!self.written.contains(delivery), "{delivery} is written twice");
                if is_repeatable(&record.category) {
                    let before = self.spent.insert(record.key.clone(), self.now.wall);
                    let long_ago = self.now.wall.minus(Duration::from_secs(48 * 3600));
                    assert!(before.is_none_or(|at| at <= long_ago), "{:?} is written again", record.key);
                }
                let epoch = self.ledger.epoch(&record.key.poi);
                assert_eq!(Some(lease.epoch), epoch, "{delivery} is written to a link that was taken over");
                self.written.push(delivery.clone());
            }
            ToTerminal::Recorded { delivery, .. } => self.check_recorded(delivery),
            ToTerminal::Welcome(_)
            | ToTerminal::Settings(_)
            | ToTerminal::RemoveConfig(_)
            | ToTerminal::NewToken(_)
            | ToTerminal::Unknown(_) => {}
        }
    }

    /// The terminal forgets a result only when it is on disk (E23).
    fn check_recorded(&self, delivery: &DeliveryId) {
        if let Some(ToGateway::Result(_, ResultMessage::Message(message))) = self.terminal.result(delivery) {
            let said = |m: &Bytes| {
                self.terminal.responses.iter().any(|(d, r)| d == delivery && r == m) || m == message
            };
            let answered = self.ledger.records().any(|r| {
                r.delivery == *delivery
                    && matches!(&r.outcome, Outcome::Answered(Answered::Message(m)) if said(m.bytes()))
            });
            let kept = self.ledger.evidence().iter().any(|(d, e)| d == delivery && said(e.message.bytes()));
            let other =
                self.ledger.evidence().iter().any(|(d, e)| d == delivery && e.kind == EvidenceKind::Misfit);
            assert!(answered || kept || other, "the result of {delivery} is recorded and not on disk");
        }
        let decided = self.ledger.records().any(|r| {
            r.delivery == *delivery && matches!(r.outcome, Outcome::Answered(_) | Outcome::UnknownFinal(_))
        });
        let kept = self.ledger.evidence().iter().any(|(d, _)| d == delivery);
        let notified = delivery.as_str().starts_with("n_");
        assert!(decided || kept || notified, "{delivery} is recorded and not on disk");
    }

    /// An outcome is decided once.
    fn check_outcomes(&mut self) {
        for record in self.ledger.records() {
            let before = self.outcomes.insert(record.delivery.clone(), record.outcome.clone());
            if let Some(before) = before.filter(|before| *before != record.outcome) {
                assert!(may_become(&before, &record.outcome), "{} was {before:?}", record.delivery);
                if matches!(record.outcome, Outcome::NeverReached | Outcome::Refused(_)) {
                    assert!(
                        !self.terminal.stored.contains(&record.delivery),
                        "{} did reach",
                        record.delivery
                    );
                }
            }
            if record.outcome == Outcome::Refused(Refused::Withdrawn) {
                assert!(!self.written.contains(&record.delivery), "{} was written", record.delivery);
            }
        }
    }
}

pub(crate) fn poi() -> PoiId {
    PoiId::parse(POI).expect("a POIID")
}

pub(crate) fn delivery(number: u64) -> DeliveryId {
    DeliveryId::parse(&format!("d_{number}")).expect("an ID")
}

fn welcome(id: &ConnectionId) -> Welcome {
    Welcome {
        connection_id: id.clone(),
        server_time: "2026-11-20T09:15:00.000Z".into(),
        heartbeat: Heartbeat::DEFAULT,
        terminal: Placement { poi_id: poi(), merchant_account: "M".into(), store: None },
        settings: Settings::default(),
        body_limit: 131_072,
    }
}
