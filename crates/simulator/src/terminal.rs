//! Simulated terminals: the real virtual terminal on a simulated disk, with simulated sockets.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use judge::What;
use nexo::PoiId;
use relay::fault::{self, Fault};
use relay::terminal::JournalEntry;
use relay::{CloseReason, DeliveryId, JournalId, Now, ProcessId};
use virtual_terminal::{
    Action, Actions, Boarded, CallError, DeviceFacts, Dialect, Habit, Machine, MaintenanceAnswer, Platform,
    Record, Refusal, Secret, Setup, State,
};

use crate::actions::{Errand, Kind, Plain, key_of};
use crate::network::{Arrived, Break, ConnectionNumber, End, Packet};
use crate::tally::Count;
use crate::world::{Event, Owner, START, World, poi_id};

/// How long a terminal waits for an upgrade, as in the real program.
const UPGRADE_MAX: Duration = Duration::from_secs(15);

/// The same for its other calls.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Writes of a journal after which it is written anew as a whole.
const COMPACTS_ONCE_IN: usize = 40;

/// Results that are remembered, to be said once more.
const RESULTS_KEPT: usize = 8;

/// One terminal, its journal, and what goes wrong with both.
#[derive(Debug)]
pub(crate) struct Site {
    poi: PoiId,
    pub(crate) kind: Kind,
    pub(crate) machine: Option<Machine>,
    /// In the place of the machine.
    pub(crate) plain: Option<Plain>,
    /// Counts the lives of its process.
    pub(crate) life: u32,
    pub(crate) skew_ms: i64,
    pub(crate) disk: Disk,
    link: Option<Link>,
    /// The last boarding code that was made for it.
    code: String,
    codes: u32,
    armed: Option<Duration>,
    /// A person is on the way.
    help_comes: bool,
    /// Every hello that it has said.
    pub(crate) hellos: Vec<Bytes>,
    /// The latest results that it has said.
    pub(crate) results: Vec<Bytes>,
    /// What the Actions dialect calls its deliveries.
    asked: HashMap<DeliveryId, Errand>,
    /// It finds no network before this time.
    pub(crate) offline_until: Duration,
    /// Its disk at some time.
    pub(crate) image: Option<Vec<Record>>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    number: ConnectionNumber,
    attempt: u64,
}

/// What is on the disk, and what is on its way there. What is written at one time is there or not as a whole.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) stored: Vec<Record>,
    waiting: Vec<Record>,
    waiting_seq: u64,
    rewrites: bool,
    writing: Option<Write>,
    /// No write ends before this time.
    pub(crate) stalled_until: Duration,
    /// The next write fails, and all that follow.
    pub(crate) is_broken: bool,
}

#[derive(Debug)]
struct Write {
    records: Vec<Record>,
    replaces: bool,
    seq: u64,
}

impl Disk {
    fn begin(&mut self, whole: impl FnOnce() -> Vec<Record>) -> bool {
        if self.writing.is_some() || (self.waiting.is_empty() && !self.rewrites) {
            return false;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let replaces = std::mem::take(&mut self.rewrites);
        let records = if replaces { whole() } else { waiting };
        self.writing = Some(Write { records, replaces, seq: self.waiting_seq });
        true
    }

    fn end(&mut self) -> Option<u64> {
        let Write { records, replaces, seq } = self.writing.take()?;
        if replaces {
            self.stored = records;
        } else {
            self.stored.extend(records);
        }
        Some(seq)
    }

    /// The process dies: what was being written is there or not. Says whether anything was.
    fn crash(&mut self, is_written: bool) -> bool {
        let was_busy = self.writing.is_some();
        if is_written {
            self.end();
        }
        let stored = std::mem::take(&mut self.stored);
        *self = Disk { stored, ..Disk::default() };
        was_busy
    }
}

impl Site {
    pub(crate) fn new(terminal: usize, kind: Kind) -> Site {
        Site {
            poi: poi_id(terminal),
            kind,
            machine: None,
            plain: None,
            life: 0,
            skew_ms: 0,
            disk: Disk::default(),
            link: None,
            code: String::new(),
            codes: 0,
            armed: None,
            help_comes: false,
            hellos: Vec::new(),
            results: Vec::new(),
            asked: HashMap::new(),
            offline_until: Duration::ZERO,
            image: None,
        }
    }

    pub(crate) fn takes_code(&self, code: &str) -> bool {
        !self.code.is_empty() && self.code == code
    }

    pub(crate) fn link(&self) -> Option<ConnectionNumber> {
        self.link.map(|link| link.number).or_else(|| self.plain.as_ref().and_then(Plain::link))
    }

    /// Whether its process lives.
    pub(crate) fn is_running(&self) -> bool {
        self.machine.is_some() || self.plain.is_some()
    }
}

impl World {
    fn terminal_now(&self, site: usize) -> Now {
        let skew = self.sites.get(site).map_or(0, |site| site.skew_ms);
        Now { mono: START + self.schedule.now(), wall: self.wall(skew) }
    }

    pub(crate) fn new_boarding_code(&mut self, site: usize) {
        let it = &mut self.sites[site];
        it.codes += 1;
        it.code = format!("code-{site}-{}", it.codes);
    }

    pub(crate) fn terminal_starts(&mut self, site: usize) {
        if self.sites[site].kind == Kind::Plain {
            return self.plain_starts(site);
        }
        let now = self.terminal_now(site);
        let seed = self.chance.number();
        let it = &mut self.sites[site];
        it.help_comes = false;
        if it.machine.is_some() {
            return;
        }
        let (Ok(fresh), Ok(process)) = (
            JournalId::parse(&format!("j_{site}_{}", it.life)),
            ProcessId::parse(&format!("p_{site}_{}", it.life)),
        ) else {
            return;
        };
        let code = (!it.code.is_empty()).then(|| Secret::new(it.code.clone()));
        let dialect = match it.kind {
            Kind::Link => Dialect::Link,
            _ => Dialect::Actions(Actions { key: Secret::new(key_of(site)), habit: Habit::Acknowledges }),
        };
        let setup = Setup {
            poi_id: it.poi.clone(),
            dialect,
            platform: Platform::NonAndroid,
            firmware_version: "Virtual_OS 1.4.0".into(),
            cardholder: Duration::ZERO,
            device: DeviceFacts::countertop(&it.poi),
            nexo_key: None,
            process,
            boarding_code: code,
            seed,
        };
        let restored = Machine::restore(now, fresh, setup, read_back(&it.disk.stored));
        match restored {
            Ok(machine) => {
                it.machine = Some(machine);
                it.armed = None;
                self.note(Some(site), "the terminal starts");
                self.terminal_acts(site);
            }
            Err(error) => {
                self.note(Some(site), &format!("the terminal can't start: {error}"));
                self.help(site);
            }
        }
    }

    /// A person comes, with a new boarding code, and starts the terminal again.
    fn help(&mut self, site: usize) {
        if std::mem::replace(&mut self.sites[site].help_comes, true) {
            return;
        }
        let after = self.chance.millis(500, 20_000);
        self.terminal_ends(site, false);
        self.new_boarding_code(site);
        self.schedule.after(after, Event::TerminalStarts(site));
    }

    /// The process dies; its sockets too, one way or the other.
    pub(crate) fn terminal_ends(&mut self, site: usize, is_power_cut: bool) {
        if !self.sites[site].is_running() {
            return;
        }
        self.sites[site].machine = None;
        self.sites[site].plain = None;
        let is_written = self.chance.once_in(2);
        let it = &mut self.sites[site];
        it.life += 1;
        if it.disk.crash(is_written) {
            self.tally.count(match is_written {
                true => Count::TerminalCrashAfterSync,
                false => Count::TerminalCrashBeforeSync,
            });
        }
        self.note(
            Some(site),
            if is_power_cut { "the terminal loses power" } else { "the terminal is killed" },
        );
        self.sites[site].link = None;
        for number in 0..self.owners.len() {
            let own = match self.owners[number] {
                Owner::Link { site: of, .. }
                | Owner::Port { site: of, .. }
                | Owner::Board { site: of, .. }
                | Owner::Maintenance { site: of, .. } => of == site,
                Owner::Call(_) | Owner::Desktop(_) | Owner::Stranger { .. } => false,
            };
            if own && self.network.is_open(number, End::Client) {
                self.sever(
                    number,
                    if is_power_cut { Break::HalfOpen } else { Break::NoticedBy(End::Gateway) },
                );
                self.client_closes(number);
            }
        }
    }

    pub(crate) fn client_closes(&mut self, number: ConnectionNumber) {
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, number, End::Client) {
            self.schedule.at(at, Event::Look(number, End::Gateway));
        }
    }

    /// Hands something to the machine, and carries out what it asks for then.
    fn at_terminal(&mut self, site: usize, input: impl FnOnce(&mut Machine, Now)) {
        let now = self.terminal_now(site);
        if let Some(machine) = self.sites.get_mut(site).and_then(|site| site.machine.as_mut()) {
            input(machine, now);
            self.terminal_acts(site);
        }
    }

    fn terminal_acts(&mut self, site: usize) {
        while let Some(action) =
            self.sites.get_mut(site).and_then(|site| site.machine.as_mut()).and_then(Machine::poll_action)
        {
            self.terminal_does(site, action);
        }
        self.write_journal(site);
        self.arm_terminal(site);
    }

    fn terminal_does(&mut self, site: usize, action: Action) {
        let life = self.sites[site].life;
        match action {
            Action::Append { record, seq } => {
                if let Record::Asked { delivery, name } = &record {
                    self.sites[site].asked.insert(delivery.clone(), name.into());
                }
                if let Record::Entry(JournalEntry::Finished { execution: Some(execution), .. }) = &record {
                    // The card was charged when the device decided so, whatever becomes of this entry.
                    let mut execution = execution.clone();
                    // What the terminal calls it is its own affair.
                    if let Some(errand) = self.sites[site].asked.get(&execution.delivery)
                        && let Some(delivery) = self.errands.get(&(site, errand.clone()))
                        && let Ok(delivery) = DeliveryId::parse(delivery)
                    {
                        execution.delivery = delivery;
                    }
                    let execution = serde_json::to_vec(&execution).unwrap_or_default().into();
                    let poi = poi_id(site).to_string();
                    self.log(What::Executed { poi, execution });
                }
                let disk = &mut self.sites[site].disk;
                disk.waiting.push(record);
                disk.waiting_seq = seq;
            }
            Action::Rewrite { seq } => {
                let disk = &mut self.sites[site].disk;
                disk.waiting.clear();
                disk.rewrites = true;
                disk.waiting_seq = seq;
            }
            Action::Dial { attempt, token } => {
                self.hang_up_link(site);
                if !self.sessions_of(site).is_empty() {
                    self.tally.count(Count::TwoLinks);
                }
                let number = self.open(Owner::Link { site, life, attempt });
                self.sites[site].link = Some(Link { number, attempt });
                let path = if self.sites[site].kind == Kind::Link { "/link" } else { "/v1" };
                let request = Packet::Request(path.into(), token.reveal().into(), Bytes::new());
                self.dial(number, &request, UPGRADE_MAX);
            }
            Action::Send(frame) => {
                let it = &mut self.sites[site];
                if frame.starts_with(br#"{"action":"hello""#) {
                    it.hellos.push(frame.clone());
                } else if frame.starts_with(br#"{"action":"result""#)
                    || frame.starts_with(br#"{"action":"paymentResponse""#)
                {
                    it.results.push(frame.clone());
                    let surplus = it.results.len().saturating_sub(RESULTS_KEPT);
                    it.results.drain(..surplus);
                }
                self.say(site, &Packet::Text(frame));
            }
            Action::Ping => self.say(site, &Packet::Ping),
            Action::Close(reason) => {
                self.say(site, &Packet::Close(reason.code(), reason.text().into_owned()));
                self.hang_up_link(site);
            }
            Action::Board { code, journal_id } => {
                let number = self.open(Owner::Board { site, life });
                let body = serde_json::json!({
                    "poiId": poi_id(site), "boardingCode": code.reveal(), "journalId": journal_id,
                });
                let request = Packet::Request("/board".into(), String::new(), body.to_string().into());
                self.dial(number, &request, CALL_MAX);
            }
            Action::Maintain { token, report } => {
                if !report.results.is_empty() {
                    self.tally.count(Count::Maintenance);
                }
                let number = self.open(Owner::Maintenance { site, life });
                let body = serde_json::to_vec(&report).unwrap_or_default().into();
                let request = Packet::Request("/maintenance".into(), token.reveal().into(), body);
                self.dial(number, &request, CALL_MAX);
            }
            Action::Show(State::Stopped { .. } | State::Replaced { .. }) => self.help(site),
            Action::Show(_) | Action::Tell(_) => {}
        }
    }

    /// The terminal lets go of its link: nothing more is read from it (T3).
    fn hang_up_link(&mut self, site: usize) {
        if let Some(Link { number, .. }) = self.sites[site].link.take() {
            if is_read_on() {
                return;
            }
            self.client_closes(number);
        }
    }

    fn say(&mut self, site: usize, packet: &Packet) {
        if let Some(Link { number, .. }) = self.sites[site].link {
            self.send(number, End::Client, packet);
        }
    }

    pub(crate) fn dial(&mut self, number: ConnectionNumber, request: &Packet, within: Duration) {
        let now = self.schedule.now();
        let is_offline =
            self.site_of(number).is_some_and(|site| now < self.sites[site].offline_until && !self.is_quiet);
        if is_offline {
            self.sever(number, Break::HalfOpen);
        } else if self.lose_dials > 0 && !self.is_quiet {
            self.lose_dials -= 1;
            self.tally.count(Count::DialLost);
            self.sever(number, Break::HalfOpen);
        }
        self.send(number, End::Client, request);
        self.schedule.after(within, Event::DialTakesTooLong(number));
    }

    /// No answer yet: the terminal gives the call up.
    pub(crate) fn dial_takes_too_long(&mut self, number: ConnectionNumber) {
        let failed = || CallError::Failed("no answer in time".into());
        if !self.network.is_open(number, End::Client) {
            return;
        }
        match self.owners.get(number).copied() {
            Some(Owner::Link { site, life, attempt }) => {
                let it = &self.sites[site];
                let own = it.life == life && it.link.is_some_and(|link| link.number == number);
                if own && it.machine.as_ref().is_some_and(|machine| !machine.is_linked()) {
                    self.client_closes(number);
                    self.sites[site].link = None;
                    self.at_terminal(site, |machine, now| {
                        machine.handle_opened(now, attempt, Err(failed()));
                    });
                }
            }
            Some(Owner::Port { site, life }) => {
                let plain = self.sites[site].plain.as_ref().filter(|plain| plain.link() == Some(number));
                if self.sites[site].life == life && plain.is_some_and(|plain| !plain.is_open()) {
                    self.plain_loses(site);
                }
            }
            Some(Owner::Board { site, life }) => {
                self.client_closes(number);
                if self.sites[site].life == life {
                    self.at_terminal(site, |machine, now| machine.handle_boarded(now, Err(failed())));
                }
            }
            Some(Owner::Maintenance { site, life }) => {
                self.client_closes(number);
                if self.sites[site].life == life {
                    self.at_terminal(site, |machine, now| machine.handle_maintained(now, Err(failed())));
                }
            }
            Some(Owner::Desktop(desktop)) => self.desktop_dial_failed(desktop, number),
            Some(Owner::Call(_) | Owner::Stranger { .. }) | None => {}
        }
    }

    /// Something may have arrived on a link, at the terminal's end.
    pub(crate) fn terminal_looks(&mut self, number: ConnectionNumber, site: usize, life: u32, attempt: u64) {
        loop {
            let it = &self.sites[site];
            let own = it.life == life && it.link.is_some_and(|link| link.number == number);
            if it.life != life || !(own || is_read_on()) {
                return self.client_closes(number);
            }
            let now = self.schedule.now();
            let packet = match self.network.receive(now, number, End::Client) {
                Ok(Arrived::Packet(packet)) => packet,
                Ok(Arrived::End) if own => return self.link_ends(site, number, None),
                Ok(Arrived::End) => return self.client_closes(number),
                Err(again) => {
                    if let Some(at) = again {
                        self.schedule.at(at, Event::Look(number, End::Client));
                    }
                    return;
                }
            };
            let cardholder = self.chance.between(self.plan.cardholder.0, self.plan.cardholder.1);
            match packet {
                Packet::Text(frame) => self.at_terminal(site, |machine, now| {
                    machine.set_cardholder(cardholder);
                    machine.handle_text(now, frame);
                }),
                Packet::Ping => {
                    self.send(number, End::Client, &Packet::Pong);
                    self.at_terminal(site, |machine, now| machine.handle_alive(now));
                }
                Packet::Pong => self.at_terminal(site, |machine, now| machine.handle_alive(now)),
                Packet::Close(code, text) if own => {
                    return self.link_ends(site, number, CloseReason::from_wire(code, &text));
                }
                Packet::Close(..) | Packet::Request(..) => {}
                Packet::Answer(101, _) => {
                    self.at_terminal(site, |machine, now| machine.handle_opened(now, attempt, Ok(())));
                }
                Packet::Answer(status, body) => {
                    self.client_closes(number);
                    self.sites[site].link = None;
                    let refused = Err(refusal(status, &body));
                    self.at_terminal(site, |machine, now| machine.handle_opened(now, attempt, refused));
                    return;
                }
            }
        }
    }

    fn link_ends(&mut self, site: usize, number: ConnectionNumber, reason: Option<CloseReason>) {
        self.client_closes(number);
        let attempt = self.sites[site].link.take().map(|link| link.attempt);
        self.link_is_over(site, attempt, reason);
    }

    fn link_is_over(&mut self, site: usize, attempt: Option<u64>, reason: Option<CloseReason>) {
        self.at_terminal(site, |machine, now| match (machine.is_linked(), attempt) {
            (true, _) | (false, None) => machine.handle_ended(now, reason),
            (false, Some(attempt)) => {
                let failed = CallError::Failed("the connection broke off".into());
                machine.handle_opened(now, attempt, Err(failed));
            }
        });
    }

    /// The terminal's own socket fails at once, and the gateway hears nothing of it.
    pub(crate) fn change_network(&mut self, site: usize) {
        if let Some(number) = self.sites[site].plain.as_ref().and_then(Plain::link) {
            self.sever(number, Break::HalfOpen);
            return self.plain_loses(site);
        }
        let Some(Link { number, attempt }) = self.sites[site].link.take() else { return };
        if !is_read_on() {
            self.sever(number, Break::HalfOpen);
            self.client_closes(number);
        }
        self.link_is_over(site, Some(attempt), None);
    }

    pub(crate) fn board_answered(&mut self, number: ConnectionNumber, site: usize, life: u32) {
        let Some(answer) = self.call_answered(number) else { return };
        if self.sites[site].life != life {
            return;
        }
        let boarded = answer.and_then(|body| {
            serde_json::from_slice::<Boarded>(&body).map_err(|error| CallError::Failed(error.to_string()))
        });
        self.at_terminal(site, |machine, now| machine.handle_boarded(now, boarded));
    }

    pub(crate) fn maintenance_answered(&mut self, number: ConnectionNumber, site: usize, life: u32) {
        let Some(answer) = self.call_answered(number) else { return };
        if self.sites[site].life != life {
            return;
        }
        let answer = answer.and_then(|body| {
            serde_json::from_slice::<MaintenanceAnswer>(&body)
                .map_err(|error| CallError::Failed(error.to_string()))
        });
        self.at_terminal(site, |machine, now| machine.handle_maintained(now, answer));
    }

    /// The end of a terminal's HTTP call, if it has come.
    fn call_answered(&mut self, number: ConnectionNumber) -> Option<Result<Bytes, CallError>> {
        let now = self.schedule.now();
        let answer = match self.network.receive(now, number, End::Client) {
            Ok(Arrived::Packet(Packet::Answer(200, body))) => Ok(body),
            Ok(Arrived::Packet(Packet::Answer(status, body))) => Err(refusal(status, &body)),
            Ok(Arrived::Packet(_)) => return None,
            Ok(Arrived::End) => Err(CallError::Failed("the connection broke off".into())),
            Err(again) => {
                if let Some(at) = again {
                    self.schedule.at(at, Event::Look(number, End::Client));
                }
                return None;
            }
        };
        self.client_closes(number);
        Some(answer)
    }

    fn write_journal(&mut self, site: usize) {
        let compacts = self.chance.once_in(COMPACTS_ONCE_IN);
        let it = &mut self.sites[site];
        // As a real one does when its journal has grown.
        it.disk.rewrites |= compacts && !it.disk.waiting.is_empty();
        let Some(machine) = &it.machine else { return };
        if it.disk.begin(|| machine.whole()) {
            let life = it.life;
            let took = self.chance.between(self.plan.sync.0, self.plan.sync.1);
            self.schedule.after(took, Event::Synced(site, life));
        }
    }

    pub(crate) fn journal_is_written(&mut self, site: usize, life: u32) {
        let it = &mut self.sites[site];
        if it.life != life {
            return;
        }
        if self.schedule.now() < it.disk.stalled_until {
            let until = it.disk.stalled_until;
            return self.schedule.at(until, Event::Synced(site, life));
        }
        if it.disk.is_broken {
            return self.at_terminal(site, |machine, now| {
                machine.handle_store_failed(now, "no space left".into());
            });
        }
        if let Some(seq) = it.disk.end() {
            self.at_terminal(site, |machine, now| machine.handle_stored(now, seq));
        }
    }

    fn arm_terminal(&mut self, site: usize) {
        let now = self.schedule.now();
        let it = &mut self.sites[site];
        let Some(due) = it.machine.as_ref().and_then(Machine::poll_timeout) else { return };
        let due = due.saturating_sub(START).max(now);
        if it.armed.is_none_or(|armed| due < armed || armed < now) {
            it.armed = Some(due);
            let life = it.life;
            self.schedule.at(due, Event::Terminal(site, life));
        }
    }

    pub(crate) fn terminal_is_due(&mut self, site: usize, life: u32) {
        if self.sites[site].life == life {
            self.sites[site].armed = None;
            self.at_terminal(site, Machine::handle_timeout);
        }
    }
}

/// What is on a disk, as it is read after a restart: the entries are kept as text.
fn read_back(stored: &[Record]) -> Vec<Record> {
    let text = serde_json::to_string(stored).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn refusal(status: u16, body: &Bytes) -> CallError {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    CallError::Refused(Refusal {
        status,
        code: problem["code"].as_str().map(str::to_owned),
        detail: None,
        retry_after: None,
    })
}

/// Whether an older link is still read: no terminal that keeps T3 does that.
fn is_read_on() -> bool {
    fault::is(Fault::HelloWhileOldLinkRead)
}
