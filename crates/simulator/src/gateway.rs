//! The simulated gateway process: everything around the desks that is a shell in the real one (sockets, calls, timers), with
//! the real desks, the real end of each link, and the real decisions of the ledger inside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use judge::What;
use nexo::{Kept, Request};
use relay::exchange::{
    Arrival, Asks, Call, Desk, EXCHANGES_MAX, Effect, Heard, LinkOrder, ReplyMode, Report, Source, Standing,
};
use relay::ledger::{Caller, Digest, LedgerFacts, Op, Told};
use relay::{
    CallId, CloseReason, ConnectionId, DeliveryId, ExchangeId, GatewayLink, Heartbeat, JournalId, LinkAction,
    Now, Placement, ResultMessage, Settings, ToGateway, ToTerminal, Welcome,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::actions::{self, Ports, Pursuits};
use crate::answer;
use crate::network::{Arrived, Break, ConnectionNumber, End, Packet};
use crate::store::{Boarding, Done, Job};
use crate::tally::Count;
use crate::world::{Event, Owner, START, World, poi_id};

/// How long a terminal may take to read what is written to it, as in the real gateway.
pub(crate) const WRITE_MAX: Duration = Duration::from_secs(10);

/// How long a maintenance call waits for its results to be on disk, as in the real gateway.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// The most that a desk's timer may be late, as in the real gateway.
const TICK: Duration = Duration::from_millis(5);

/// The most sockets of one terminal at once, as in the real gateway.
pub(crate) const LINKS_MAX: usize = 8;

/// What a gateway's process holds in memory; gone when it dies.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    pub(crate) is_alive: bool,
    /// When this life began, by its own clock.
    started: Duration,
    /// Counts its lives, so that what an earlier one had planned does not reach a later one.
    pub(crate) life: u32,
    desks: Vec<Counter>,
    sessions: BTreeMap<ConnectionNumber, Session>,
    pub(crate) ports: Ports,
    pub(crate) pursuits: Pursuits,
    calls: BTreeMap<CallId, Waiting>,
    hand_ins: BTreeMap<CallId, (ConnectionNumber, DeliveryId)>,
    upkeeps: BTreeMap<ConnectionNumber, Upkeep>,
    pub(crate) last_call: u64,
}

#[derive(Debug)]
struct Counter {
    desk: Desk,
    /// The earliest time for which the schedule will look at it.
    armed: Option<Duration>,
}

/// One socket of a terminal.
#[derive(Debug)]
struct Session {
    desk: usize,
    id: ConnectionId,
    link: GatewayLink,
    token: String,
    blocked_since: Option<Duration>,
    armed: Option<Duration>,
}

/// A call whose answer is still to come.
#[derive(Debug)]
struct Waiting {
    connection: ConnectionNumber,
    call: usize,
    desk: usize,
    request: Request,
    mode: ReplyMode,
}

/// A maintenance call whose results are on their way to the disk.
#[derive(Debug, Default)]
struct Upkeep {
    waits_for: usize,
    recorded: Vec<(DeliveryId, Option<String>)>,
}

/// What a terminal's maintenance call says, as the real gateway reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MaintenanceCall<'a> {
    #[serde(default, borrow)]
    results: Vec<HandedIn<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HandedIn<'a> {
    delivery_id: DeliveryId,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    indeterminate: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BoardCall {
    boarding_code: String,
    journal_id: JournalId,
}

impl World {
    pub(crate) fn gateway_now(&self) -> Now {
        let since = self.schedule.now();
        Now { mono: START + since, wall: self.wall(self.gateway_skew_ms) }
    }

    /// What the ledger as a whole can prove: there is no restore here.
    fn facts(&self) -> LedgerFacts {
        LedgerFacts { complete_since: self.ledger_since, restored: None }
    }

    pub(crate) fn gateway_starts(&mut self) {
        if self.gateway.is_alive {
            return;
        }
        self.note(None, "the gateway starts");
        let now = self.gateway_now();
        let facts = self.facts();
        let nobody = self.sites.len();
        let desk = |terminal| {
            let standing = if terminal == nobody { Standing::Unknown } else { Standing::Known };
            Desk::new(poi_id(terminal), standing, facts, EXCHANGES_MAX, now.mono)
        };
        self.gateway.is_alive = true;
        self.gateway.started = now.mono;
        // The last one is that of a terminal that there is not.
        self.gateway.desks =
            (0..=nobody).map(|terminal| Counter { desk: desk(terminal), armed: None }).collect();
        // As the store is asked again at each start.
        self.commit_what_waits();
        self.resume_chases();
    }

    /// The process dies; so do its sockets, one way or another.
    pub(crate) fn gateway_dies(&mut self, is_power_cut: bool) {
        let is_committed = self.chance.once_in(2);
        if self.store.crash(is_committed) {
            self.tally.count(match is_committed {
                true => Count::GatewayCrashAfterCommit,
                false => Count::GatewayCrashBeforeCommit,
            });
        }
        self.note(None, if is_power_cut { "the gateway loses power" } else { "the gateway is killed" });
        for call in self.gateway.calls.values().map(|waiting| waiting.call).collect::<Vec<_>>() {
            self.call_ended(call);
        }
        let life = self.gateway.life + 1;
        let last_call = self.gateway.last_call;
        self.gateway = Gateway { life, last_call, ..Gateway::default() };
        for number in 0..self.owners.len() {
            if self.network.is_open(number, End::Gateway) {
                let how = if is_power_cut { Break::HalfOpen } else { Break::NoticedBy(End::Client) };
                self.sever(number, how);
                let now = self.schedule.now();
                self.network.close(now, &mut self.chance, number, End::Gateway);
            }
        }
    }

    /// Something may have arrived at the gateway.
    pub(crate) fn gateway_looks(&mut self, number: ConnectionNumber) {
        loop {
            // A link that waits for its terminal to read reads nothing itself.
            if self.gateway.sessions.get(&number).is_some_and(|session| session.blocked_since.is_some()) {
                return;
            }
            if self.gateway.ports.sessions.get(&number).is_some_and(actions::Session::is_held) {
                return;
            }
            let now = self.schedule.now();
            match self.network.receive(now, number, End::Gateway) {
                Ok(Arrived::Packet(packet)) => self.gateway_reads(number, packet),
                Ok(Arrived::End) => self.gateway_loses(number),
                Err(again) => {
                    if let Some(at) = again {
                        self.schedule.at(at, Event::Look(number, End::Gateway));
                    }
                    return;
                }
            }
        }
    }

    fn gateway_reads(&mut self, number: ConnectionNumber, packet: Packet) {
        let now = self.gateway_now();
        match packet {
            Packet::Request(path, header, body) => match path.as_str() {
                "/sync" => self.take_call(number, ReplyMode::Sync, &header, body),
                "/async" => self.take_call(number, ReplyMode::Async, &header, body),
                "/link" => self.take_link(number, &header),
                "/v1" => self.take_port(number, &header),
                "/board" => self.take_boarding(number, &body),
                "/maintenance" => self.take_maintenance(number, &header, &body),
                _ => self.respond(number, 404, Bytes::new()),
            },
            Packet::Text(text) => {
                let Some(session) = self.gateway.sessions.get_mut(&number) else {
                    return self.port_reads(number, text);
                };
                let desk = session.desk;
                match session.link.handle_text(now, &text) {
                    Ok(frame) => {
                        let poi = poi_id(desk).to_string();
                        self.log(What::FromTerminal { poi, link: Some(number as u64), frame: text });
                        self.take_frame(number, frame);
                    }
                    Err(reason) => self.end_session(number, &reason),
                }
                self.session_turns(number);
            }
            Packet::Ping => {
                self.send(number, End::Gateway, &Packet::Pong);
                self.gateway_hears(number);
            }
            Packet::Pong => self.gateway_hears(number),
            Packet::Close(..) => self.gateway_loses(number),
            Packet::Answer(..) => {}
        }
    }

    fn gateway_hears(&mut self, number: ConnectionNumber) {
        let now = self.gateway_now();
        if let Some(session) = self.gateway.sessions.get_mut(&number) {
            session.link.handle_alive(now);
            self.session_turns(number);
        } else {
            self.port_hears(number);
        }
    }

    /// The other end is gone.
    fn gateway_loses(&mut self, number: ConnectionNumber) {
        if self.gateway.sessions.contains_key(&number) {
            self.end_session(number, &CloseReason::Normal);
        }
        self.end_port(number, 1000, "gone");
        self.lose_desktop(number);
        let gone = self.gateway.calls.iter().find(|(_, waiting)| waiting.connection == number);
        if let Some((id, desk)) = gone.map(|(id, waiting)| (*id, waiting.desk)) {
            self.gateway.calls.remove(&id);
            self.at_desk(desk, |desk, _| desk.handle_hang_up(id));
        }
        self.gateway.upkeeps.remove(&number);
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, number, End::Gateway) {
            self.schedule.at(at, Event::Look(number, End::Client));
        }
    }

    // Sale systems.

    fn take_call(&mut self, number: ConnectionNumber, reply: ReplyMode, header: &str, body: Bytes) {
        let Some(Owner::Call(call)) = self.owners.get(number).copied() else { return };
        self.log(What::Arrived { call: call as u64 });
        let Ok(request) = Request::parse(body) else {
            return self.tell(number, call, 400, Bytes::new());
        };
        let Some(desk) = (0..=self.sites.len()).find(|site| poi_id(*site) == request.header().poi_id) else {
            return self.tell(number, call, 404, Bytes::new());
        };
        self.gateway.last_call += 1;
        let id = CallId(self.gateway.last_call);
        let (Ok(exchange), Ok(delivery)) =
            (ExchangeId::parse(&format!("x_{}", id.0)), DeliveryId::parse(&format!("d_{}", id.0)))
        else {
            return;
        };
        let kept = Kept::of(request.bytes());
        let wait = header.strip_prefix("wait=").and_then(|seconds| seconds.parse().ok()).unwrap_or(150);
        let asked = Call {
            id,
            digest: Digest(Sha256::digest(kept.bytes()).into()),
            kept,
            caller: Caller { company: "SHOP".into(), credential: "ws_1".into() },
            exchange,
            delivery,
            wait: Duration::from_secs(wait),
            reply,
            asks: Asks::Anybody,
            hold: Arc::new(()),
            request: request.clone(),
        };
        let waiting = Waiting { connection: number, call, desk, request, mode: reply };
        self.gateway.calls.insert(id, waiting);
        self.at_desk(desk, |desk, now| desk.handle_call(now, asked));
    }

    fn answer(&mut self, id: CallId, heard: &Heard) {
        if self.pursuit_hears(id, heard) {
            return;
        }
        let Some(waiting) = self.gateway.calls.remove(&id) else { return };
        let now = self.gateway_now().wall;
        let (status, body) = answer::write(&waiting.request, waiting.mode, heard, id.0, now);
        self.tell(waiting.connection, waiting.call, status, body);
        if let Some(exchange) = heard.exchange.clone() {
            let told = Told { exchange, call: id, what: "told", at: now, written: true };
            self.submit(Job::Note(Op::NoteTold(told)));
        }
        // Whoever has waited takes his name off, whatever he was told.
        self.at_desk(waiting.desk, |desk, _| desk.handle_hang_up(id));
    }

    fn tell(&mut self, number: ConnectionNumber, call: usize, status: u16, body: Bytes) {
        self.log(What::Told { call: call as u64, status, body: body.clone() });
        self.respond(number, status, body);
    }

    pub(crate) fn respond(&mut self, number: ConnectionNumber, status: u16, body: Bytes) {
        self.send(number, End::Gateway, &Packet::Answer(status, body));
        if self.lose_answers > 0 && self.chance.once_in(3) {
            self.lose_answers -= 1;
            self.tally.count(Count::AnswerCut);
            self.sever(number, Break::Reset);
        }
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, number, End::Gateway) {
            self.schedule.at(at, Event::Look(number, End::Client));
        }
    }

    // Desks.

    pub(crate) fn at_desk(&mut self, index: usize, input: impl FnOnce(&mut Desk, Now)) {
        let now = self.gateway_now();
        if let Some(counter) = self.gateway.desks.get_mut(index) {
            let was_present = counter.desk.presence().lease().is_some();
            input(&mut counter.desk, now);
            self.carry_out(index);
            if self.is_present(index) != was_present {
                self.chases_look(index);
            }
        }
    }

    fn carry_out(&mut self, index: usize) {
        while let Some(effect) = self.gateway.desks.get_mut(index).and_then(|c| c.desk.poll_effect()) {
            match effect {
                Effect::Store(id, op) => self.submit(Job::Op { desk: index, id, op }),
                Effect::Answer(call, heard) => self.answer(call, &heard),
                Effect::Recorded(call, delivery, problem) => self.handed_in(call, delivery, problem),
                Effect::Wake(connection) => {
                    let number = connection.as_str().strip_prefix("c_").and_then(|n| n.parse().ok());
                    if let Some(number) = number {
                        let delay = self.chance.mostly_short(Duration::from_millis(3));
                        self.schedule.after(delay, Event::Session(number, self.gateway.life));
                    }
                }
                Effect::Checked(_, alive) => self.tally.count(match alive {
                    true => Count::FoundPresent,
                    false => Count::FoundAbsent,
                }),
                Effect::Alarm(delivery, why) => {
                    self.tally.count(Count::Alarm);
                    self.note(Some(index), &format!("alarm for {delivery}: {why}"));
                }
                // Nothing in this world changes a fleet.
                Effect::Applied { .. } | Effect::ConfigRemoved { .. } | Effect::TokenStored { .. } => {}
            }
        }
        self.arm_desk(index);
    }

    fn arm_desk(&mut self, index: usize) {
        let now = self.gateway_now();
        let facts = self.facts();
        let started = self.gateway.started;
        // As in the real gateway: not the desk of a terminal that still has sockets.
        let is_kept = index == self.sites.len() || !self.sessions_of(index).is_empty();
        let Some(counter) = self.gateway.desks.get_mut(index) else { return };
        let due = match counter.desk.poll_timeout() {
            Some(due) => due,
            None if !counter.desk.is_idle() || counter.desk.presence().lease().is_some() => return,
            None => match counter.desk.presence().forgotten_at() {
                Some(at) if at > now.mono => at,
                Some(_) if is_kept => return,
                Some(_) => {
                    // Nobody needs it; whoever comes finds a new one, as in the real gateway.
                    self.tally.count(Count::DeskForgotten);
                    counter.desk = Desk::new(poi_id(index), Standing::Known, facts, EXCHANGES_MAX, started);
                    return;
                }
                None => return,
            },
        };
        let due = due.saturating_sub(START).max(self.schedule.now());
        if counter.armed.is_none_or(|armed| due < armed) {
            counter.armed = Some(due);
            let late = self.chance.between(Duration::ZERO, TICK);
            self.schedule.at(due + late, Event::Desk(index, self.gateway.life));
        }
    }

    pub(crate) fn desk_is_due(&mut self, index: usize) {
        if let Some(counter) = self.gateway.desks.get_mut(index) {
            counter.armed = None;
        }
        self.at_desk(index, Desk::handle_timeout);
    }

    /// Somebody asks whether the terminal is there.
    pub(crate) fn check(&mut self, index: usize) {
        self.gateway.last_call += 1;
        let call = CallId(self.gateway.last_call);
        self.at_desk(index, |desk, now| desk.handle_check(now, call));
    }

    // The store.

    pub(crate) fn submit(&mut self, job: Job) {
        if let Some(refused) = self.store.submit(job) {
            self.tally.count(Count::QueueFull);
            self.replies_come(vec![refused]);
        }
        self.commit_what_waits();
    }

    fn commit_what_waits(&mut self) {
        if self.store.begin() {
            let took = self.chance.between(self.plan.commit.0, self.plan.commit.1);
            let due = (self.schedule.now() + took).max(self.stalled_until);
            self.schedule.at(due, Event::Commit(self.gateway.life));
        }
    }

    pub(crate) fn batch_ends(&mut self) {
        if self.schedule.now() < self.stalled_until {
            self.schedule.at(self.stalled_until, Event::Commit(self.gateway.life));
            return;
        }
        let done = self.store.commit(&mut self.chance);
        self.replies_come(done);
        self.commit_what_waits();
    }

    fn replies_come(&mut self, done: Vec<Done>) {
        let delay = self.chance.mostly_short(Duration::from_millis(2));
        self.schedule.after(delay, Event::Replies(self.gateway.life, done));
    }

    pub(crate) fn replies_arrive(&mut self, done: Vec<Done>) {
        for done in done {
            match done {
                Done::Op { desk, id, reply } => {
                    if reply.is_err() {
                        self.tally.count(Count::CommitFailed);
                    }
                    self.at_desk(desk, |desk, now| desk.handle_ledger(now, id, reply));
                }
                Done::Note => {}
                Done::Opened(opened, done) => self.port_opened(&opened, done),
                Done::Changed(waiter, change, done) => self.changed(waiter, change, done),
                Done::Boarded(Boarding { terminal, connection, .. }, token) => match token {
                    Some(token) => {
                        // The links that the former token opened end.
                        let former: Vec<_> = self
                            .gateway
                            .sessions
                            .values()
                            .filter(|session| session.desk == terminal && session.token != token)
                            .map(|session| session.id.clone())
                            .collect();
                        self.at_desk(terminal, |desk, now| desk.handle_token_ended(now, former));
                        let body = format!(
                            r#"{{"token":"{token}","merchantAccount":"SHOP_MERCHANT","store":"SHOP_STORE"}}"#
                        );
                        self.respond(connection, 200, body.into());
                    }
                    None => self.respond(connection, 503, Bytes::from_static(b"{}")),
                },
            }
        }
    }

    // Terminals.

    fn take_link(&mut self, number: ConnectionNumber, token: &str) {
        let known = self.store.token(token).filter(|token| !token.ended).map(|token| token.terminal);
        let Some(desk) = known else {
            return self.respond(number, 403, Bytes::from_static(br#"{"code":"board-again"}"#));
        };
        if self.gateway.sessions.values().filter(|session| session.desk == desk).count() >= LINKS_MAX {
            return self.respond(number, 503, Bytes::from_static(b"{}"));
        }
        let Ok(id) = ConnectionId::parse(&format!("c_{number}")) else { return };
        let link = GatewayLink::new(self.gateway_now(), Heartbeat::DEFAULT, self.plan.body_limit);
        let session = Session { desk, id, link, token: token.to_owned(), blocked_since: None, armed: None };
        self.gateway.sessions.insert(number, session);
        self.send(number, End::Gateway, &Packet::Answer(101, Bytes::new()));
        self.session_turns(number);
    }

    fn take_boarding(&mut self, number: ConnectionNumber, body: &Bytes) {
        let Ok(call) = serde_json::from_slice::<BoardCall>(body) else {
            return self.respond(number, 400, Bytes::new());
        };
        let terminal = (0..self.sites.len()).find(|site| self.sites[*site].takes_code(&call.boarding_code));
        let Some(terminal) = terminal else {
            return self.respond(number, 403, Bytes::from_static(b"{}"));
        };
        let boarding =
            Boarding { terminal, journal: call.journal_id, at: self.gateway_now().wall, connection: number };
        self.submit(Job::Board(boarding));
    }

    fn take_maintenance(&mut self, number: ConnectionNumber, token: &str, body: &Bytes) {
        let Some(desk) = self.store.token(token).map(|token| token.terminal) else {
            return self.respond(number, 401, Bytes::from_static(b"{}"));
        };
        let Ok(call) = serde_json::from_slice::<MaintenanceCall<'_>>(body) else {
            return self.respond(number, 400, Bytes::new());
        };
        let mut reports = Vec::new();
        for HandedIn { delivery_id, message, indeterminate } in call.results {
            let report = match (message, indeterminate) {
                (_, Some(reason)) => Report::Indeterminate(reason),
                (Some(message), None) if message.get().len() > self.plan.body_limit as usize => {
                    Report::Result(ResultMessage::TooLarge(message.get().len() as u64))
                }
                (Some(message), None) => {
                    let message = body.slice_ref(message.get().as_bytes());
                    Report::Result(ResultMessage::Message(message))
                }
                (None, None) => Report::Result(ResultMessage::Empty),
            };
            reports.push((delivery_id, report));
        }
        let upkeep = Upkeep { waits_for: reports.len(), recorded: Vec::new() };
        self.gateway.upkeeps.insert(number, upkeep);
        for (delivery, report) in reports {
            self.gateway.last_call += 1;
            let id = CallId(self.gateway.last_call);
            self.gateway.hand_ins.insert(id, (number, delivery.clone()));
            let frame = match &report {
                Report::Result(result) => ToGateway::Result(delivery.clone(), result.clone()),
                Report::Indeterminate(reason) => ToGateway::Indeterminate(delivery.clone(), reason.clone()),
            };
            let poi = poi_id(desk).to_string();
            self.log(What::FromTerminal { poi, link: None, frame: frame.encode() });
            self.at_desk(desk, |desk, now| {
                desk.handle_report(now, Source::Maintenance(id), delivery, report);
            });
        }
        self.schedule.after(RECORD_MAX, Event::MaintenanceDue(number, self.gateway.life));
        self.maintenance_ends(number, false);
    }

    fn handed_in(&mut self, id: CallId, delivery: DeliveryId, problem: Option<String>) {
        let Some((number, _)) = self.gateway.hand_ins.remove(&id) else { return };
        if let Some(desk) = self.site_of(number) {
            self.at_desk(desk, |desk, _| desk.handle_hang_up(id));
        }
        if let Some(upkeep) = self.gateway.upkeeps.get_mut(&number) {
            upkeep.recorded.push((delivery, problem));
        }
        self.maintenance_ends(number, false);
    }

    /// Answers a maintenance call when all is on disk, or its time is over.
    pub(crate) fn maintenance_ends(&mut self, number: ConnectionNumber, is_due: bool) {
        let done = |upkeep: &Upkeep| is_due || upkeep.recorded.len() >= upkeep.waits_for;
        if !self.gateway.upkeeps.get(&number).is_some_and(done) {
            return;
        }
        let Some(upkeep) = self.gateway.upkeeps.remove(&number) else { return };
        self.gateway.hand_ins.retain(|_, (connection, _)| *connection != number);
        let recorded: Vec<_> = upkeep
            .recorded
            .iter()
            .map(|(delivery, problem)| match problem {
                None => serde_json::json!({"deliveryId": delivery}),
                Some(problem) => serde_json::json!({"deliveryId": delivery, "problem": problem}),
            })
            .collect();
        let poi = self.poi_of(number);
        for (delivery, problem) in upkeep.recorded {
            let frame = ToTerminal::Recorded { delivery, problem }.encode();
            self.log(What::ToTerminal { poi: poi.clone(), link: number as u64, frame });
        }
        let body = serde_json::json!({"recorded": recorded, "actions": [], "nextCallSeconds": 21600});
        self.respond(number, 200, body.to_string().into());
    }

    fn take_frame(&mut self, number: ConnectionNumber, frame: ToGateway) {
        let Some(session) = self.gateway.sessions.get(&number) else { return };
        let (index, id) = (session.desk, session.id.clone());
        let source = Source::Link(id.clone());
        match frame {
            ToGateway::Hello(hello) => {
                let welcome = Welcome {
                    connection_id: id,
                    server_time: self.gateway_now().wall.to_rfc3339(),
                    heartbeat: Heartbeat::DEFAULT,
                    terminal: Placement {
                        poi_id: poi_id(index),
                        merchant_account: "SHOP_MERCHANT".into(),
                        store: Some("SHOP_STORE".into()),
                    },
                    settings: Settings::default(),
                    body_limit: self.plan.body_limit,
                };
                self.at_desk(index, |desk, now| desk.handle_hello(now, Arrival { hello: *hello, welcome }));
            }
            ToGateway::Received(delivery) => {
                self.at_desk(index, |desk, _| desk.handle_received(&id, &delivery));
            }
            ToGateway::Result(delivery, result) => self.at_desk(index, |desk, now| {
                desk.handle_report(now, source, delivery, Report::Result(result));
            }),
            ToGateway::Indeterminate(delivery, reason) => self.at_desk(index, |desk, now| {
                desk.handle_report(now, source, delivery, Report::Indeterminate(reason));
            }),
            ToGateway::Notify(notification, message) => self.at_desk(index, |desk, now| {
                desk.handle_notification(now, &id, notification, message);
            }),
            ToGateway::Device(_)
            | ToGateway::Applied(_)
            | ToGateway::ConfigRemoved(_)
            | ToGateway::TokenStored
            | ToGateway::Unknown(_) => {}
        }
    }

    /// A session does whatever is due: as the real one does before it waits again.
    pub(crate) fn session_turns(&mut self, number: ConnectionNumber) {
        if self.gateway.ports.sessions.contains_key(&number) {
            return self.port_turns(number);
        }
        loop {
            let (instant, now) = (self.schedule.now(), self.gateway_now());
            let life = self.gateway.life;
            let Some(session) = self.gateway.sessions.get_mut(&number) else { return };
            if self.network.is_blocked(number, End::Gateway) {
                let since = *session.blocked_since.get_or_insert(instant);
                if instant >= since + WRITE_MAX {
                    self.tally.count(Count::TooSlow);
                    self.end_session(number, &CloseReason::TooSlow);
                } else {
                    self.schedule.at(since + WRITE_MAX, Event::Session(number, life));
                }
                return;
            }
            if session.blocked_since.take().is_some() {
                self.schedule.after(Duration::ZERO, Event::Look(number, End::Gateway));
            }
            if let Some(action) = session.link.poll_action() {
                match action {
                    LinkAction::Ping => self.send(number, End::Gateway, &Packet::Ping),
                    LinkAction::Close(reason) => self.end_session(number, &reason),
                    LinkAction::Probe { alive } => {
                        let (desk, id) = (session.desk, session.id.clone());
                        self.at_desk(desk, |desk, now| desk.handle_probe(now, &id, alive));
                    }
                }
                continue;
            }
            let (desk, id) = (session.desk, session.id.clone());
            let mut order = None;
            self.at_desk(desk, |desk, now| order = desk.poll_transmit(now, &id));
            match order {
                None => break self.arm_session(number),
                Some(LinkOrder::Frame(frame)) => {
                    let frame = frame.encode();
                    let poi = poi_id(desk).to_string();
                    self.log(What::ToTerminal { poi, link: number as u64, frame: frame.clone() });
                    self.send(number, End::Gateway, &Packet::Text(frame));
                }
                Some(LinkOrder::Probe) => {
                    if let Some(session) = self.gateway.sessions.get_mut(&number) {
                        session.link.probe(now);
                    }
                }
                Some(LinkOrder::Close(reason)) => self.end_session(number, &reason),
            }
        }
    }

    fn arm_session(&mut self, number: ConnectionNumber) {
        let now = self.schedule.now();
        let Some(session) = self.gateway.sessions.get_mut(&number) else { return };
        let Some(due) = session.link.poll_timeout() else { return };
        let due = due.saturating_sub(START).max(now);
        if session.armed.is_none_or(|armed| due < armed || armed < now) {
            session.armed = Some(due);
            self.schedule.at(due, Event::SessionTimer(number, self.gateway.life));
        }
    }

    pub(crate) fn session_is_due(&mut self, number: ConnectionNumber) {
        let now = self.gateway_now();
        if let Some(session) = self.gateway.sessions.get_mut(&number) {
            session.armed = None;
            session.link.handle_timeout(now);
            self.session_turns(number);
        }
    }

    fn end_session(&mut self, number: ConnectionNumber, reason: &CloseReason) {
        let Some(session) = self.gateway.sessions.remove(&number) else { return };
        self.note(
            Some(session.desk),
            &format!("link {number} ends at the gateway: {} {}", reason.code(), reason.text()),
        );
        self.at_desk(session.desk, |desk, now| desk.handle_gone(now, &session.id));
        self.send(number, End::Gateway, &Packet::Close(reason.code(), reason.text().into_owned()));
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, number, End::Gateway) {
            self.schedule.at(at, Event::Look(number, End::Client));
        }
    }

    /// Links that stand at the gateway, of this terminal.
    pub(crate) fn sessions_of(&self, terminal: usize) -> Vec<ConnectionNumber> {
        let own = self.gateway.sessions.iter().filter(|(_, session)| session.desk == terminal);
        let ports = self.gateway.ports.sessions.iter().filter(|(_, session)| session.desk == terminal);
        own.map(|(number, _)| *number).chain(ports.map(|(number, _)| *number)).collect()
    }

    /// The same, as the desks name them.
    pub(crate) fn session_ids_of(&self, terminal: usize) -> Vec<ConnectionId> {
        let own = self.gateway.sessions.values().filter(|session| session.desk == terminal);
        let ports = self.gateway.ports.sessions.values().filter(|session| session.desk == terminal);
        own.map(|session| session.id.clone()).chain(ports.map(|session| session.id.clone())).collect()
    }

    /// Whether the terminal is present for the gateway.
    pub(crate) fn is_present(&self, terminal: usize) -> bool {
        self.gateway.desks.get(terminal).is_some_and(|counter| counter.desk.presence().lease().is_some())
    }

    /// Whether nothing is on its way to the disk.
    pub(crate) fn gateway_is_idle(&self) -> bool {
        self.gateway.desks.iter().all(|counter| counter.desk.is_idle())
    }
}
