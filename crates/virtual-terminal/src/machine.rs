//! Everything that a virtual terminal decides, as one state machine: boarding, links and their hello, maintenance,
//! when to try again, what the device does, and how it stops. The real program and the simulator run this very code.
//!
//! Nothing here does I/O, reads a clock or asks the operating system for random numbers. After every `handle_*` the
//! owner drains [`Machine::poll_action`], carries each action out before it asks for the next one, and calls
//! [`Machine::handle_timeout`] when [`Machine::poll_timeout`] says so. The rules about deliveries (T2-T8) are
//! [`relay::terminal::Terminal`]'s; this machine surrounds it.

mod calls;
mod dialect;
mod fleet;
mod net;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use nexo::{EncryptionKey, PoiId};
use relay::actions::FromClient;
use relay::terminal::{Effect, Execution, JournalEntry, Terminal};
use relay::{Backoff, CloseReason, DeliveryId, JournalId, LinkAction, Now, ProcessId, Settings};

use crate::actions::{Actions, Adapter, Asked, Dialect};
use crate::config::{DeviceFacts, Platform};
use crate::device::{Device, Finish};
use crate::random::Random;
use crate::secret::Secret;

use fleet::{Fleet, Removal};
use net::Net;
use upkeep::Upkeep;

pub use calls::{
    Boarded, CallError, MaintenanceAnswer, RecordedResult, Refusal, RemoveConfig, Report, ReportedResult,
};
pub use record::Record;
pub use state::{Notice, State};

/// How long a terminal that is to stop may take to store what it knows.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Who a terminal is and what it was given, for one run of its program.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The terminal's own name.
    pub poi_id: PoiId,
    /// Which family of devices it belongs to.
    pub platform: Platform,
    /// What it shows as its software.
    pub firmware_version: String,
    /// How long its cardholder takes to present a card.
    pub cardholder: Duration,
    /// The device's own state.
    pub device: DeviceFacts,
    /// Shared with Sale systems that encrypt their messages.
    pub nexo_key: Option<EncryptionKey>,
    /// This run.
    pub process: ProcessId,
    /// For a terminal that is new, or has to board again.
    pub boarding_code: Option<Secret>,
    /// For delays, and for references that only have to look like those of a terminal.
    pub seed: u64,
    /// Which protocol it speaks.
    pub dialect: Dialect,
}

/// What the owner of a machine has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Append this to the journal and report its number by [`Machine::handle_stored`]; what gathers during a write may go
    /// out in the next one together.
    Append {
        /// What to append.
        record: Record,
        /// Appends and rewrites have ascending numbers.
        seq: u64,
    },
    /// Put [`Machine::whole`] in place of the journal and of every append that is not under way yet, and report this
    /// number like that of an append. All actions have to be drained before `whole` is asked: then it holds what they
    /// would have appended, and nothing of that may be appended behind it.
    Rewrite {
        /// Appends and rewrites have ascending numbers.
        seq: u64,
    },
    /// Let go of any older link, and open a new one: the end is [`Machine::handle_opened`].
    Dial {
        /// For [`Machine::handle_opened`].
        attempt: u64,
        /// What the terminal proves itself with: its token, or its API key in the Actions dialect.
        token: Secret,
    },
    /// Send this text frame over the link. If the link does not take it, that is [`Machine::handle_ended`].
    Send(Bytes),
    /// Send a WebSocket ping over the link, likewise.
    Ping,
    /// Close the link for this reason and let go of it, or of the attempt to open one. Nothing more is read from it.
    Close(CloseReason),
    /// Board: the end is [`Machine::handle_boarded`].
    Board {
        /// The boarding code.
        code: Secret,
        /// What the journal is to be named to the gateway.
        journal_id: JournalId,
    },
    /// Call maintenance: the end is [`Machine::handle_maintained`]. There is one call at a time.
    Maintain {
        /// What the terminal proves itself with.
        token: Secret,
        /// What it tells.
        report: Report,
    },
    /// Show what the terminal is doing; the same as [`Machine::state`].
    Show(State),
    /// Tell people that this has happened.
    Tell(Notice),
}

/// A journal and what was given do not make a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It is the journal of another terminal.
    #[error("the journal is that of {found}, not of {wanted}")]
    OtherTerminal {
        /// Whose it is.
        found: PoiId,
        /// Whose it should be.
        wanted: PoiId,
    },
    /// It is the journal of a terminal that speaks the other dialect.
    #[error("the journal is that of a terminal that speaks the other dialect")]
    OtherDialect,
    /// There is no journal with a token, and no code to board with.
    #[error("{0} has not been boarded: it needs a boarding code")]
    NeedsBoardingCode(PoiId),
}

/// One virtual terminal.
#[derive(Debug)]
pub struct Machine {
    identity: Identity,
    terminal: Terminal,
    /// None for a terminal of the link.
    actions: Option<Adapter>,
    device: Device,
    random: Random,
    net: Net,
    backoff: Backoff,
    upkeep: Upkeep,
    settings: Settings,
    fleet: Fleet,
    /// WebSockets are switched off for this terminal, by what a refusal, a close or its settings said.
    switched_off: bool,
    /// Maintenance said that they are on, and no link has been welcomed since.
    told_on: bool,
    /// The token opens no link any more. It is kept until there is another: it still hands in results, and a journal
    /// without its token would be a new terminal's (T1).
    must_board: bool,
    /// Set when the terminal is to stop: when it stops waiting for that, on the monotonic clock.
    stopping: Option<Duration>,
    state: State,
    disk: Disk,
    /// When the latest input came.
    now: Now,
    orders: VecDeque<Action>,
}

/// Who a terminal is.
#[derive(Debug)]
struct Identity {
    poi_id: PoiId,
    platform: Platform,
    process: ProcessId,
    journal_id: JournalId,
    token: Option<Secret>,
    boarding_code: Option<Secret>,
}

/// What is under way to the journal.
#[derive(Debug, Default)]
struct Disk {
    /// The number of the latest append or rewrite.
    asked: u64,
    /// Everything up to this number is stored.
    stored: u64,
    /// The numbers of appends, and those that the terminal knows their entries by; both ascend.
    entries: VecDeque<(u64, u64)>,
}

impl Disk {
    fn number(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// The last of the terminal's entries that is stored now, if there is a new one.
    fn set_stored(&mut self, seq: u64) -> Option<u64> {
        self.stored = self.stored.max(seq);
        let mut last = None;
        while let Some((_, entry)) = self.entries.pop_front_if(|(number, _)| *number <= seq) {
            last = Some(entry);
        }
        last
    }

    fn is_settled(&self) -> bool {
        self.stored >= self.asked
    }
}

impl Machine {
    /// A terminal with an empty journal, which is to be named by this ID. Without a boarding code it needs a person.
    pub fn new(now: Now, journal_id: JournalId, setup: Setup) -> Machine {
        let contents = Contents {
            journal_id,
            token: None,
            place: (String::new(), None),
            settings: Settings::default(),
            removal: None,
            entries: Vec::new(),
            asked: BTreeMap::new(),
        };
        Machine::with(now, setup, contents)
    }

    /// A terminal after a restart, from everything in its journal. `fresh` names the journal if there is none to go on
    /// with: a journal and its token share one fate (T1).
    ///
    /// # Errors
    /// When the journal is another terminal's, or when there is neither a token nor a code to board with.
    pub fn restore(
        now: Now,
        fresh: JournalId,
        setup: Setup,
        records: Vec<Record>,
    ) -> Result<Machine, RestoreError> {
        let contents = Contents::of(&setup.poi_id, &setup.dialect, fresh, records)?;
        if setup.dialect == Dialect::Link && contents.token.is_none() && setup.boarding_code.is_none() {
            return Err(RestoreError::NeedsBoardingCode(setup.poi_id));
        }
        Ok(Machine::with(now, setup, contents))
    }

    fn with(now: Now, setup: Setup, contents: Contents) -> Machine {
        let Contents { journal_id, token, place, settings, removal, entries, asked } = contents;
        let (token, actions) = match setup.dialect {
            Dialect::Link => (token, None),
            Dialect::Actions(Actions { key, habit }) => (Some(key), Some(Adapter::new(habit, asked))),
        };
        let mut device = Device::new(setup.device, setup.firmware_version, setup.cardholder);
        (device.merchant_account, device.store) = place;
        let mut machine = Machine {
            identity: Identity {
                poi_id: setup.poi_id,
                platform: setup.platform,
                process: setup.process,
                journal_id,
                token,
                boarding_code: setup.boarding_code,
            },
            terminal: Terminal::restore_with(now, setup.nexo_key, entries),
            actions,
            device,
            random: Random::seeded(setup.seed),
            net: Net::Resting { until: Some(now.mono) },
            backoff: Backoff::new(),
            upkeep: Upkeep::due(now),
            fleet: Fleet::restore(&settings, removal),
            settings,
            switched_off: false,
            told_on: false,
            must_board: false,
            stopping: None,
            state: State::Connecting,
            disk: Disk::default(),
            now,
            orders: VecDeque::new(),
        };
        machine.now_restored(now);
        if machine.identity.token.is_some() {
            machine.rewrite();
        }
        machine
    }

    /// The next action; none when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.orders.pop_front() {
                return Some(action);
            }
            if let Some(effect) = self.terminal.poll_effect() {
                self.take_up(effect);
                continue;
            }
            if self.go_on_removing() {
                continue;
            }
            if let Net::Linked { end, .. } = &mut self.net {
                match end.poll_action()? {
                    LinkAction::Ping if self.actions.is_some() => {
                        return Some(Action::Send(FromClient::Ping.encode()));
                    }
                    LinkAction::Ping => return Some(Action::Ping),
                    LinkAction::Close(reason) => self.close(reason),
                    LinkAction::Probe { .. } => {}
                }
            } else {
                return None;
            }
        }
    }

    /// When [`Machine::handle_timeout`] is due, on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let net = if self.stopping.is_some() { self.stopping } else { self.net.due() };
        let upkeep = if self.stopping.is_some() { None } else { self.maintenance_due() };
        [net, self.terminal.poll_timeout(), self.device.poll_timeout(), upkeep].into_iter().flatten().min()
    }

    /// Time has passed; too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.terminal.handle_timeout(now);
        let finish = self.device.handle_timeout(now, &mut self.random);
        self.handle_finish(finish);
        if self.stopping.is_some() {
            return;
        }
        if self.maintenance_due().is_some_and(|due| now.mono >= due) {
            self.maintain();
        }
        match &mut self.net {
            Net::Resting { until: Some(until) } if now.mono >= *until => self.go_online(),
            Net::Linked { end, .. } => end.handle_timeout(now),
            _ => {}
        }
    }

    /// Every append and rewrite up to this number is on disk.
    pub fn handle_stored(&mut self, now: Now, seq: u64) {
        self.now = now;
        if let Some(entry) = self.disk.set_stored(seq) {
            self.terminal.handle_stored(now, entry);
        }
        self.go_on_behind();
    }

    /// The journal can't be written, and will not be any more: the link goes as the terminal asks for it, everything else
    /// at once.
    pub fn handle_store_failed(&mut self, now: Now, why: String) {
        self.now = now;
        self.terminal.handle_store_failed();
        let why = format!("the journal can't be written: {why}");
        match self.net {
            Net::Linked { .. } | Net::Dialing { .. } => {
                tracing::error!(target: "virtual_terminal::state", why, "stopped");
                self.show(State::Stopped { why });
            }
            Net::Resting { .. } | Net::Boarding | Net::Raising => self.halt(why),
        }
    }

    /// The program is about to end: what runs is ended, if it still can be, and what is known is stored. From here on the
    /// owner hands in nothing more that comes from the gateway, but for the end of a maintenance call.
    pub fn handle_stop(&mut self, now: Now) {
        self.now = now;
        if self.stopping.is_none() {
            self.stopping = Some(now.mono.saturating_add(STOP_TIMEOUT));
            self.terminal.handle_stop();
        }
    }

    /// Whether the terminal is to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Whether a terminal that is to stop has done what it can, or has taken too long for it. Its owner closes the link
    /// that still stands with 1000, lets a write that is under way end, and drops this.
    pub fn is_over(&self, now: Now) -> bool {
        self.stopping.is_some_and(|until| {
            let quiet = self.terminal.running().is_none() && self.disk.is_settled();
            quiet || self.terminal.is_broken() || now.mono >= until
        })
    }

    /// Everything that the journal has to hold once all actions are drained, in its shortest form. It may take the place
    /// of all that was appended at any such time, also when no [`Action::Rewrite`] asks for it.
    pub fn whole(&self) -> Vec<Record> {
        let mut records = vec![Record::Journal {
            version: 1,
            journal_id: self.identity.journal_id.clone(),
            poi_id: self.identity.poi_id.clone(),
        }];
        match &self.actions {
            Some(adapter) => {
                records.push(Record::Actions);
                let asked = |(delivery, name): (&DeliveryId, &Asked)| Record::Asked {
                    delivery: delivery.clone(),
                    name: name.clone(),
                };
                records.extend(adapter.names().map(asked));
            }
            None => {
                let token = self.fleet.new_token().or(self.identity.token.as_ref());
                records.extend(token.map(|token| Record::Boarded { token: token.clone() }));
            }
        }
        records.push(self.placed());
        if self.settings != Settings::default() {
            records.push(Record::Settings(self.settings.clone()));
        }
        records.extend(self.fleet.record());
        records.extend(self.terminal.snapshot().into_iter().map(Record::Entry));
        records
    }

    /// Whether a link is open, or was not given up yet.
    pub fn is_linked(&self) -> bool {
        matches!(self.net, Net::Linked { .. })
    }

    /// What the terminal is doing.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The delivery that runs, so that others are answered *busy*.
    pub fn running(&self) -> Option<&DeliveryId> {
        self.terminal.running()
    }

    /// What was done with money in the last 48 h, oldest first.
    pub fn executions(&self) -> &[Execution] {
        self.terminal.executions()
    }

    /// The rules about deliveries, to look at.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// How long the cardholder takes to present a card, from the next request on.
    pub fn set_cardholder(&mut self, cardholder: Duration) {
        self.device.cardholder = cardholder;
    }

    /// Turns what the terminal asks for into actions, or does it.
    fn take_up(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Journal { seq, entry } => {
                let number = self.append(Record::Entry(entry));
                self.disk.entries.push_back((number, seq));
            }
            Effect::Dial { attempt } => self.dial(attempt),
            Effect::Send(frame) => self.send(&frame),
            Effect::Start { delivery, message, .. } => {
                tracing::debug!(delivery = %delivery, "started");
                let executions = self.terminal.executions();
                let finish = self.device.start(now, delivery, message, executions, &mut self.random);
                self.handle_finish(finish);
            }
            Effect::Cancel { delivery, stop } => {
                let finish = self.device.cancel(now, &delivery, stop, &mut self.random);
                self.handle_finish(finish);
            }
            Effect::Close(reason) => self.close(reason),
        }
    }

    fn handle_finish(&mut self, finish: Option<Finish>) {
        if let Some(Finish { delivery, outcome, execution }) = finish {
            tracing::debug!(delivery = %delivery, executed = execution.is_some(), "finished");
            self.terminal.handle_finished(self.now, &delivery, outcome, execution);
        }
    }

    fn append(&mut self, record: Record) -> u64 {
        let seq = self.disk.number();
        self.orders.push_back(Action::Append { record, seq });
        seq
    }

    fn rewrite(&mut self) {
        let seq = self.disk.number();
        self.orders.push_back(Action::Rewrite { seq });
    }

    fn placed(&self) -> Record {
        Record::Placed {
            merchant_account: self.device.merchant_account.clone(),
            store: self.device.store.clone(),
        }
    }

    fn show(&mut self, state: State) {
        if self.state != state {
            self.state = state.clone();
            self.orders.push_back(Action::Show(state));
        }
    }
}

/// What a journal says, or a new one begins with (T1).
struct Contents {
    journal_id: JournalId,
    token: Option<Secret>,
    /// Merchant account and store.
    place: (String, Option<String>),
    settings: Settings,
    removal: Option<Removal>,
    entries: Vec<JournalEntry>,
    /// What the Actions dialect calls deliveries.
    asked: BTreeMap<DeliveryId, Asked>,
}

impl Contents {
    fn of(
        wanted: &PoiId,
        dialect: &Dialect,
        fresh: JournalId,
        records: Vec<Record>,
    ) -> Result<Contents, RestoreError> {
        let mut contents = Contents {
            journal_id: fresh.clone(),
            token: None,
            place: (String::new(), None),
            settings: Settings::default(),
            removal: None,
            entries: Vec::new(),
            asked: BTreeMap::new(),
        };
        let speaks_actions = matches!(dialect, Dialect::Actions(_));
        let spoke_actions = records.contains(&Record::Actions);
        if !records.is_empty() && spoke_actions != speaks_actions {
            return Err(RestoreError::OtherDialect);
        }
        for record in records {
            match record {
                Record::Journal { journal_id, poi_id, .. } => {
                    if poi_id != *wanted {
                        return Err(RestoreError::OtherTerminal { found: poi_id, wanted: wanted.clone() });
                    }
                    contents.journal_id = journal_id;
                }
                Record::Boarded { token } => contents.token = Some(token),
                Record::Placed { merchant_account, store } => contents.place = (merchant_account, store),
                Record::Settings(settings) => contents.settings = settings,
                Record::RemoveConfig { change_id } => contents.removal = Some(Removal::asked(change_id)),
                Record::ConfigRemoved { change_id } => {
                    contents.removal = Some(Removal::done(change_id));
                    contents.place = (String::new(), None);
                    contents.settings = fleet::without_config(&contents.settings);
                }
                Record::RemovalOver => contents.removal = None,
                Record::Actions => {}
                Record::Asked { delivery, name } => {
                    contents.asked.insert(delivery, name);
                }
                Record::Entry(entry) => contents.entries.push(entry),
            }
        }
        if !speaks_actions && contents.token.is_none() {
            // Journal and token share one fate: without the one the other is worth nothing.
            contents.journal_id = fresh;
            contents.entries.clear();
        }
        Ok(contents)
    }
}
