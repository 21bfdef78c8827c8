//! The load: terminals on links, and tills that send requests. One thread, as little work as possible, for it shares the
//! machine with the server that is measured.
//!
//! It checks each answer: status 200, the right ServiceID, success. A server that is quick and wrong has failed.

pub(crate) mod actions;
mod link;
mod socket;
mod till;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use rustls::ClientConfig;

use self::link::{Link, Read};
use self::till::Till;
use crate::messages::{ServiceIds, Template, poi_id};
use crate::poll::Poll;
use crate::statistics::Latencies;

/// Read at once: more than any message of the benchmark.
const READ_MAX: usize = 64 * 1024;

/// Upgrades under way at once. Enough for a server to be busy all the time, and fewer than a listener's backlog.
const OPENING_MAX: usize = 64;

/// Nothing here takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

const LINK: u64 = 1 << 32;
const TILL: u64 = 2 << 32;
const TIMER: u64 = 3 << 32;
const INDEX: u64 = LINK - 1;

/// What a server is spoken to in.
#[derive(Debug)]
pub(crate) enum Dialect {
    /// A link is a WebSocket, a frame is a message: the raw server and the plain one.
    Bare,
    /// `tillgate.link.v1`, and requests with an API key.
    Tillgate {
        /// For `x-api-key`.
        api_key: String,
        /// What each terminal got when it was boarded, in order of their numbers.
        boarded: Vec<Boarded>,
    },
}

/// What a terminal got when it was boarded.
#[derive(Debug)]
pub(crate) struct Boarded {
    pub(crate) token: String,
    pub(crate) journal: String,
}

/// A server to put under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) dialect: Arc<Dialect>,
}

/// What a window of requests came to.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) answered: u64,
    /// Anything but the right answer.
    pub(crate) failed: u64,
    pub(crate) took: Duration,
    /// From the moment at which each request was to be sent.
    pub(crate) latencies: Latencies,
}

/// Terminals and tills of one server.
pub(crate) struct Load {
    target: Target,
    poll: Poll,
    ready: Vec<u64>,
    scratch: Vec<u8>,
    out: Vec<u8>,
    links: Vec<Option<Link>>,
    linked: usize,
    /// Links that ended, and why the last one did.
    lost: (usize, String),
    answer: Template,
    /// Results that terminals have yet to send, after everything else of the round was read.
    owed: Vec<link::Owed>,
    tills: Vec<Till>,
    free: VecDeque<usize>,
    request: Template,
    service_ids: ServiceIds,
    done: Vec<till::Done>,
    /// The terminal that the next request is for.
    turn: usize,
}

impl Load {
    /// Nobody yet.
    pub(crate) fn new(target: Target) -> Result<Load> {
        Ok(Load {
            target,
            poll: Poll::new()?,
            ready: Vec::new(),
            scratch: vec![0; READ_MAX],
            out: Vec::new(),
            links: Vec::new(),
            linked: 0,
            lost: (0, String::new()),
            answer: Template::answer()?,
            owed: Vec::new(),
            tills: Vec::new(),
            free: VecDeque::new(),
            request: Template::request()?,
            service_ids: ServiceIds::default(),
            done: Vec::new(),
            turn: 0,
        })
    }

    /// Connects these terminals, and returns when all are present; how long that took.
    pub(crate) fn connect(&mut self, terminals: Range<usize>) -> Result<Duration> {
        ensure!(self.links.is_empty(), "terminals are connected already");
        let (started, count) = (Instant::now(), terminals.len());
        let mut rest = terminals;
        // Above every earlier attempt of this journal, in this run or in any before.
        let attempt = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        while self.linked < count {
            while self.links.len() - self.linked < OPENING_MAX {
                let Some(number) = rest.next() else { break };
                let link = Link::open(&self.target, number, attempt)?;
                self.poll.add(&link.socket, LINK | self.links.len() as u64)?;
                self.links.push(Some(link));
            }
            self.pump(Duration::from_millis(100))?;
            self.check_links()?;
            ensure!(
                started.elapsed() < PATIENCE,
                "{} of {count} terminals are linked after a minute",
                self.linked
            );
        }
        Ok(started.elapsed())
    }

    /// All terminals drop their connections, as on a power cut.
    pub(crate) fn drop_links(&mut self) {
        self.links.clear();
        self.linked = 0;
    }

    /// Lets time pass; pings are answered.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.pump(left)?;
        }
        self.check_links()
    }

    /// Opens so many tills, each with an HTTP connection of its own that it keeps.
    pub(crate) fn open_tills(&mut self, count: usize) -> Result<()> {
        for index in 0..count {
            let till = Till::open(&self.target)?;
            self.poll.add(&till.socket, TILL | index as u64)?;
            self.tills.push(till);
            self.free.push_back(index);
        }
        Ok(())
    }

    /// Every till closes its connection.
    pub(crate) fn close_tills(&mut self) {
        self.tills.clear();
        self.free.clear();
    }

    /// As many requests as there are tills are always under way, in turn to the first `busy` terminals.
    pub(crate) fn saturate(&mut self, busy: usize, time: Duration) -> Result<Window> {
        let started = Instant::now();
        let mut window = Window { answered: 0, failed: 0, took: time, latencies: Latencies::new()? };
        while started.elapsed() < time {
            while let Some(till) = self.free.pop_front() {
                self.ask(till, busy, Instant::now())?;
            }
            self.pump(Duration::from_millis(100))?;
            self.tally(&mut window);
        }
        window.took = started.elapsed();
        Ok(window)
    }

    /// A request every 1/`rate` s, whether or not earlier ones were answered, in turn to the first `busy` terminals. A
    /// latency counts from the moment at which the request was due, so that a server that stalls is not spared.
    pub(crate) fn at_rate(&mut self, rate: u32, busy: usize, time: Duration) -> Result<Window> {
        let mut window = Window { answered: 0, failed: 0, took: time, latencies: Latencies::new()? };
        let pace = Duration::from_secs(1) / rate;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let every = Timespec { tv_sec: 0, tv_nsec: i64::from(pace.subsec_nanos()) };
        let schedule = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &schedule)?;
        self.poll.add(&timer, TIMER)?;
        let started = Instant::now();
        let total = u64::from(rate) * time.as_secs();
        let (mut sent, mut due) = (0, started + pace);
        while window.answered + window.failed < total {
            let now = Instant::now();
            while sent < total && due <= now {
                let Some(till) = self.free.pop_front() else { break };
                self.ask(till, busy, due)?;
                sent += 1;
                due += pace;
            }
            self.pump(Duration::from_millis(100))?;
            // Read, or it would not go off again. It fails if the timer has not gone off.
            let _ = rustix::io::read(&timer, &mut [0; 8]);
            self.tally(&mut window);
            ensure!(started.elapsed() < time + PATIENCE, "{} of {total} answers came", window.answered);
        }
        window.took = started.elapsed();
        Ok(window)
    }

    /// Waits until no request is under way.
    pub(crate) fn drain(&mut self) -> Result<()> {
        let started = Instant::now();
        let mut window = Window { answered: 0, failed: 0, took: PATIENCE, latencies: Latencies::new()? };
        while self.free.len() < self.tills.len() {
            self.pump(Duration::from_millis(100))?;
            self.tally(&mut window);
            ensure!(started.elapsed() < PATIENCE, "requests are still under way after a minute");
        }
        Ok(())
    }

    /// Posts each of these bodies, several at a time; the bodies of the answers, in the same order.
    pub(crate) fn post_all(&mut self, path: &str, bodies: &[String]) -> Result<Vec<Vec<u8>>> {
        self.open_tills(OPENING_MAX)?;
        let mut answers = vec![Vec::new(); bodies.len()];
        let (mut asked, mut answered) = (0, 0);
        let mut of_till = vec![0; OPENING_MAX];
        while answered < bodies.len() {
            while asked < bodies.len() {
                let Some(index) = self.free.pop_front() else { break };
                of_till[index] = asked;
                let body = bodies[asked].as_bytes();
                self.tills[index].post(&self.target, path, body, &mut self.out)?;
                asked += 1;
            }
            self.pump(PATIENCE)?;
            for done in std::mem::take(&mut self.done) {
                let told = String::from_utf8_lossy(&done.body).into_owned();
                ensure!(done.is_ok, "{path} was refused: {told}");
                answers[of_till[done.till]] = done.body;
                answered += 1;
                self.free.push_back(done.till);
            }
        }
        self.close_tills();
        Ok(answers)
    }

    fn ask(&mut self, till: usize, busy: usize, due: Instant) -> Result<()> {
        let poi = poi_id(self.turn);
        self.turn = (self.turn + 1) % busy;
        let service_id = self.service_ids.next();
        let body = self.request.with(&service_id, poi.as_bytes());
        self.tills[till].ask(&self.target, body, service_id, due, &mut self.out)
    }

    fn tally(&mut self, window: &mut Window) {
        for done in self.done.drain(..) {
            self.free.push_back(done.till);
            if done.is_ok {
                window.answered += 1;
                window.latencies.note(done.took);
            } else {
                window.failed += 1;
                if window.failed == 1 {
                    eprintln!("a wrong answer: {}", String::from_utf8_lossy(&done.body));
                }
            }
        }
    }

    fn check_links(&self) -> Result<()> {
        match &self.lost {
            (0, _) => Ok(()),
            (count, why) => bail!("{count} links ended, the last because: {why}"),
        }
    }

    /// Waits for something to happen, and handles all that has.
    fn pump(&mut self, timeout: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(Some(timeout), &mut ready)?;
        for token in &ready {
            let index = usize::try_from(token & INDEX)?;
            match token & !INDEX {
                LINK => self.read_link(index),
                TILL => self.read_till(index)?,
                _ => {} // The timer: it was to wake us, and has.
            }
        }
        self.ready = ready;
        for owed in std::mem::take(&mut self.owed) {
            let Some(Some(link)) = self.links.get_mut(owed.link) else { continue };
            if let Err(error) = link.answer(&owed, &mut self.answer, &mut self.out) {
                self.lose(owed.link, &error);
            }
        }
        Ok(())
    }

    fn read_link(&mut self, index: usize) {
        let Some(Some(link)) = self.links.get_mut(index) else { return };
        match link.read(index, &self.target, &mut self.scratch, &mut self.out, &mut self.owed) {
            Ok(Read::Same) => {}
            Ok(Read::Linked) => self.linked += 1,
            Err(error) => self.lose(index, &error),
        }
    }

    fn lose(&mut self, index: usize, why: &anyhow::Error) {
        self.links[index] = None;
        self.lost.0 += 1;
        self.lost.1 = format!("{why:#}");
    }

    fn read_till(&mut self, index: usize) -> Result<()> {
        let Some(till) = self.tills.get_mut(index) else { return Ok(()) };
        till.read(index, &mut self.scratch, &mut self.done).context("a till's connection broke")
    }
}
