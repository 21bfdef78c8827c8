//! One run: everything that there is, and what happens next.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use judge::{Log, Outcome, Row, What};
use nexo::PoiId;
use relay::WallMs;
use relay::ledger;

use crate::actions::{Desktop, Errand, Mix, Void, credential_of};
use crate::chance::Chance;
use crate::gateway::Gateway;
use crate::network::{Break, ConnectionNumber, End, Network, Packet};
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::store::{Done, Store};
use crate::tally::{Count, Tally};
use crate::terminal::Site;
use crate::till::{Call, Till};

/// The reading of every monotonic clock at the beginning.
pub(crate) const START: Duration = Duration::from_secs(1000);

/// The wall clock at the beginning.
const WALL: WallMs = WallMs(1_800_000_000_000);

/// Longer than any run takes while things go wrong.
const TROUBLES_MAX: Duration = Duration::from_secs(3 * 3600);

/// How long everybody may take to come to rest once nothing goes wrong any more: a terminal's longest pause, a POS's
/// longest wait, and questions after it.
const REST_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) schedule: Schedule<Event>,
    pub(crate) chance: Chance,
    pub(crate) plan: Plan,
    pub(crate) network: Network,
    /// Whose each connection is.
    pub(crate) owners: Vec<Owner>,
    pub(crate) store: Store,
    pub(crate) stalled_until: Duration,
    /// Counts the moods of the disk, so that one does not end with an earlier one.
    pub(crate) mood_number: u64,
    pub(crate) gateway: Gateway,
    pub(crate) gateway_skew_ms: i64,
    /// Since when the ledger is complete.
    pub(crate) ledger_since: WallMs,
    pub(crate) sites: Vec<Site>,
    pub(crate) tills: Vec<Till>,
    pub(crate) desktops: Vec<Desktop>,
    /// Which delivery a frame for an Actions terminal carries, by terminal: the terminal itself never learns it.
    pub(crate) errands: HashMap<(usize, Errand), String>,
    pub(crate) calls: Vec<Call>,
    /// So many of the next answers to POS may be cut.
    pub(crate) lose_answers: u32,
    pub(crate) lose_dials: u32,
    /// Nothing goes wrong any more.
    pub(crate) is_quiet: bool,
    pub(crate) log: Log,
    pub(crate) tally: Tally,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A POS's.
    Call(usize),
    /// A terminal's link, of this life of its process.
    Link {
        site: usize,
        life: u32,
        attempt: u64,
    },
    /// A desktop's.
    Desktop(usize),
    /// An Actions terminal's socket.
    Port {
        site: usize,
        life: u32,
    },
    Board {
        site: usize,
        life: u32,
    },
    Maintenance {
        site: usize,
        life: u32,
    },
    /// Somebody's who has no business here.
    Stranger {
        site: usize,
    },
}

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something may have arrived at this end.
    Look(ConnectionNumber, End),
    Desk(usize, u32),
    Session(ConnectionNumber, u32),
    SessionTimer(ConnectionNumber, u32),
    MaintenanceDue(ConnectionNumber, u32),
    PortLooks(ConnectionNumber, u32),
    PortTimer(ConnectionNumber, u32),
    Pursuit(usize, u32),
    ChangeAgain(u64, u32),
    Desktop(usize),
    DesktopReads(usize),
    Commit(u32),
    Replies(u32, Vec<Done>),
    GatewayStarts,
    MoodPasses(u64),
    Terminal(usize, u32),
    Plain(usize, u32),
    Synced(usize, u32),
    TerminalStarts(usize),
    Till(usize, u64),
    HangUp(usize),
    AbortFor(usize, String),
    Peek(usize, String),
    Clash(usize, String),
    LateCopy(&'static str, Bytes),
    DialTakesTooLong(ConnectionNumber),
    Trouble,
}

/// What is left of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) log: Log,
    pub(crate) tally: Tally,
    /// How long it took, in its own time.
    pub(crate) lasted: Duration,
    /// What did not come right by itself once nothing went wrong any more; nothing, if all is well.
    pub(crate) unrest: Option<String>,
}

/// The name of a terminal.
pub(crate) fn poi_id(terminal: usize) -> PoiId {
    let name = format!("V400m-{}", 300 + terminal);
    // A model and a number are what a POIID is made of.
    #[expect(clippy::expect_used, reason = "the text above is a POIID")]
    PoiId::parse(&name).expect("a POIID")
}

/// Runs one seed.
pub(crate) fn run(seed: u64, mix: Mix) -> Run {
    let mut world = World::new(seed, mix);
    world.open_shop();
    world.live_until(TROUBLES_MAX, World::all_is_sold);
    let mut unrest = world.come_to_rest();
    world.log(What::AtRest);
    world.last_questions();
    world.live(Duration::from_secs(60));
    unrest = unrest.or_else(|| world.last_sales());
    world.live(Duration::from_secs(200));
    world.write_ledger_down();
    Run { lasted: world.schedule.now(), log: world.log, tally: world.tally, unrest }
}

impl World {
    fn new(seed: u64, mix: Mix) -> World {
        let mut chance = Chance::of(seed);
        let plan = Plan::draw(&mut chance, mix);
        let desktops = plan.desktops.iter();
        let desktops = desktops.map(|(site, says_who)| Desktop::new(*site, *says_who, plan.sales)).collect();
        let sites = plan.kinds.iter().enumerate().map(|(site, kind)| Site::new(site, *kind)).collect();
        let tills = (0..plan.tills).map(|till| Till::new(till, till % plan.terminals, plan.sales)).collect();
        World {
            schedule: Schedule::new(),
            chance,
            plan,
            network: Network::default(),
            owners: Vec::new(),
            store: Store::default(),
            stalled_until: Duration::ZERO,
            mood_number: 0,
            gateway: Gateway::default(),
            gateway_skew_ms: 0,
            ledger_since: WALL.minus(Duration::from_secs(365 * 24 * 3600)),
            sites,
            tills,
            desktops,
            errands: HashMap::new(),
            calls: Vec::new(),
            lose_answers: 0,
            lose_dials: 0,
            is_quiet: false,
            log: Log::default(),
            tally: Tally::default(),
        }
    }

    fn open_shop(&mut self) {
        self.gateway_starts();
        for site in 0..self.sites.len() {
            self.new_boarding_code(site);
            self.schedule.after(Duration::ZERO, Event::TerminalStarts(site));
        }
        for till in 0..self.tills.len() {
            let opens = self.chance.millis(0, 4000);
            let turn = self.tills[till].turn();
            self.schedule.after(opens, Event::Till(till, turn));
        }
        for desktop in 0..self.desktops.len() {
            self.schedule.after(Duration::ZERO, Event::Desktop(desktop));
        }
        let first = self.chance.between(Duration::ZERO, self.plan.calm);
        self.schedule.after(first, Event::Trouble);
    }

    pub(crate) fn live(&mut self, time: Duration) {
        self.live_until(time, |_| false);
    }

    /// Lives for this long, or until something is so. Says whether it is.
    pub(crate) fn live_until(&mut self, time: Duration, is_so: impl Fn(&World) -> bool) -> bool {
        let until = self.schedule.now() + time;
        while !is_so(self) {
            let Some(event) = self.schedule.next(until) else { return false };
            self.happens(event);
        }
        true
    }

    fn happens(&mut self, event: Event) {
        let life = self.gateway.life;
        match event {
            Event::Look(number, End::Gateway) => self.gateway_looks(number),
            Event::Look(number, End::Client) => self.client_looks(number),
            Event::Desk(desk, of) if of == life => self.desk_is_due(desk),
            Event::Session(number, of) if of == life => self.session_turns(number),
            Event::SessionTimer(number, of) if of == life => self.session_is_due(number),
            Event::MaintenanceDue(number, of) if of == life => self.maintenance_ends(number, true),
            Event::PortLooks(number, of) if of == life => self.port_looks(number),
            Event::PortTimer(number, of) if of == life => self.port_is_due(number),
            Event::Pursuit(transaction, of) if of == life => self.pursuit_is_due(transaction),
            Event::ChangeAgain(retry, of) if of == life => self.change_again(retry),
            Event::Commit(of) if of == life => self.batch_ends(),
            Event::Replies(of, done) if of == life => self.replies_arrive(done),
            Event::Desk(..)
            | Event::Session(..)
            | Event::SessionTimer(..)
            | Event::MaintenanceDue(..)
            | Event::PortLooks(..)
            | Event::PortTimer(..)
            | Event::Pursuit(..)
            | Event::ChangeAgain(..)
            | Event::Commit(_)
            | Event::Replies(..) => {}
            Event::GatewayStarts => self.gateway_starts(),
            Event::MoodPasses(number) => self.mood_passes(number),
            Event::Terminal(site, of) => self.terminal_is_due(site, of),
            Event::Desktop(desktop) => self.desktop_is_due(desktop),
            Event::DesktopReads(desktop) => self.desktop_reads(desktop),
            Event::Plain(site, of) => self.plain_is_due(site, of),
            Event::Synced(site, of) => self.journal_is_written(site, of),
            Event::TerminalStarts(site) => self.terminal_starts(site),
            Event::Till(till, turn) => self.till_turns(till, turn),
            Event::HangUp(call) => self.hang_up(call),
            Event::AbortFor(till, service) => self.abort(till, &service),
            Event::Peek(till, service) => self.peek(till, &service),
            Event::Clash(till, service) => self.clash(till, &service),
            Event::LateCopy(path, body) => self.late_copy(path, body),
            Event::DialTakesTooLong(number) => self.dial_takes_too_long(number),
            Event::Trouble => self.trouble_comes(),
        }
    }

    fn client_looks(&mut self, number: ConnectionNumber) {
        match self.owners.get(number).copied() {
            Some(Owner::Call(call)) => self.pos_looks(number, call),
            Some(Owner::Link { site, life, attempt }) => {
                self.terminal_looks(number, site, life, attempt);
                // Whoever writes to it may go on.
                self.schedule.after(Duration::ZERO, Event::Session(number, self.gateway.life));
            }
            Some(Owner::Port { site, life }) => {
                self.plain_looks(number, site, life);
                self.schedule.after(Duration::ZERO, Event::Session(number, self.gateway.life));
            }
            Some(Owner::Desktop(desktop)) => self.desktop_looks(number, desktop),
            Some(Owner::Board { site, life }) => self.board_answered(number, site, life),
            Some(Owner::Maintenance { site, life }) => self.maintenance_answered(number, site, life),
            Some(Owner::Stranger { .. }) | None => {}
        }
    }

    /// Nothing goes wrong any more, and everybody finishes what is under way. Says what does not.
    fn come_to_rest(&mut self) -> Option<String> {
        self.is_quiet = true;
        self.note(None, "from here on nothing goes wrong any more");
        self.heal();
        for till in &mut self.tills {
            till.closes();
        }
        for desktop in &mut self.desktops {
            desktop.closes();
        }
        let is_calm = |world: &World| {
            (0..world.sites.len()).all(|site| world.is_present(site))
                && world.gateway_is_idle()
                && world.pursuits_rest()
        };
        let rested = self.live_until(REST_MAX, |world| is_calm(world) && world.all_is_sold());
        // For those who have hung up: the terminal has to end what it began, and hand it in.
        self.live(Duration::from_secs(400));
        let rested = self.live_until(REST_MAX, is_calm) && rested;
        if rested {
            return None;
        }
        let absent: Vec<_> = (0..self.sites.len()).filter(|site| !self.is_present(*site)).collect();
        let busy = self.tills.iter().filter(|till| !till.is_done()).count();
        Some(format!(
            "no rest is found: terminals {absent:?} are absent, {busy} tills are not done, the gateway is idle: {}",
            self.gateway_is_idle()
        ))
    }

    /// Whether nobody wants to be paid any more.
    fn all_is_sold(&self) -> bool {
        self.tills.iter().all(Till::is_done) && self.desktops.iter().all(Desktop::is_done)
    }

    // Connections.

    pub(crate) fn open(&mut self, owner: Owner) -> ConnectionNumber {
        let number = self.network.open(self.plan.latency);
        self.owners.push(owner);
        if !self.gateway.is_alive {
            // Nobody listens.
            let now = self.schedule.now();
            self.network.close(now, &mut self.chance, number, End::Gateway);
            self.schedule.after(Duration::from_millis(1), Event::Look(number, End::Client));
            self.refuse(number);
        }
        number
    }

    /// The client of a connection that nobody has taken sees its end.
    fn refuse(&mut self, number: ConnectionNumber) {
        let now = self.schedule.now();
        let (looks, _) = self.network.sever(now, &mut self.chance, number, Break::NoticedBy(End::Client));
        for (end, at) in looks {
            self.schedule.at(at, Event::Look(number, end));
        }
    }

    pub(crate) fn send(&mut self, number: ConnectionNumber, from: End, packet: &Packet) {
        let now = self.schedule.now();
        if let Some(at) = self.network.send(now, &mut self.chance, number, from, packet) {
            let reader = if from == End::Client { End::Gateway } else { End::Client };
            self.schedule.at(at, Event::Look(number, reader));
        }
    }

    pub(crate) fn sever(&mut self, number: ConnectionNumber, how: Break) {
        let now = self.schedule.now();
        let (looks, torn) = self.network.sever(now, &mut self.chance, number, how);
        if torn {
            self.tally.count(Count::FrameTorn);
        }
        for (end, at) in looks {
            self.schedule.at(at, Event::Look(number, end));
        }
    }

    /// The terminal whose connection it is.
    pub(crate) fn site_of(&self, number: ConnectionNumber) -> Option<usize> {
        match self.owners.get(number) {
            Some(
                Owner::Link { site, .. }
                | Owner::Port { site, .. }
                | Owner::Board { site, .. }
                | Owner::Maintenance { site, .. }
                | Owner::Stranger { site },
            ) => Some(*site),
            Some(Owner::Call(_) | Owner::Desktop(_)) | None => None,
        }
    }

    pub(crate) fn poi_of(&self, number: ConnectionNumber) -> String {
        self.site_of(number).map(|site| poi_id(site).to_string()).unwrap_or_default()
    }

    // Whoever watches.

    pub(crate) fn log(&mut self, what: What) {
        self.log.events.push(judge::Event { at: self.schedule.now(), what });
    }

    pub(crate) fn note(&mut self, terminal: Option<usize>, text: &str) {
        let poi = terminal.map(|terminal| poi_id(terminal).to_string());
        self.log(What::Note { poi, text: text.to_owned() });
    }

    pub(crate) fn wall(&self, skew_ms: i64) -> WallMs {
        let now = WALL.plus(self.schedule.now());
        WallMs(now.0 + skew_ms)
    }

    fn write_ledger_down(&mut self) {
        let rows: Vec<_> = self.store.ledger.records().map(row).collect();
        for row in rows {
            self.log(What::Recorded(row));
        }
        let transactions = self.store.transactions.0.iter().map(|it| What::Transaction {
            desktop: credential_of(it.facts.desktop),
            transaction: it.facts.ask.transaction().to_string(),
            status: it.status,
            response: it.response.clone(),
            is_told: it.is_told || !self.desktops[it.facts.desktop].has_identity,
            is_voiding: it.void == Void::Pending,
        });
        for transaction in transactions.collect::<Vec<_>>() {
            self.log(transaction);
        }
    }
}

fn row(record: &ledger::Record) -> Row {
    let response = match &record.outcome {
        ledger::Outcome::Answered(ledger::Answered::Message(kept)) => kept.original().cloned(),
        _ => None,
    };
    Row {
        poi: record.key.poi.to_string(),
        service: record.key.service.to_string(),
        sale: record.sale.to_string(),
        category: record.category.to_string(),
        delivery: record.delivery.to_string(),
        outcome: match &record.outcome {
            ledger::Outcome::Open => Outcome::Open,
            ledger::Outcome::Unknown => Outcome::Unknown,
            ledger::Outcome::Refused(_) => Outcome::Refused,
            ledger::Outcome::NeverReached => Outcome::NeverReached,
            ledger::Outcome::Answered(_) => Outcome::Answered,
            ledger::Outcome::UnknownFinal(_) => Outcome::UnknownFinal,
        },
        response,
        webhook: record.webhook,
    }
}
