//! A stretch of bad network: TCP connections to the gateway that may be slow, stall, and break at any byte, in the middle of
//! a frame or of a head, by a RST, a FIN or in silence.
//!
//! What becomes of a connection is cast when it is accepted. On a terminal's wire the frames of its links are written down:
//! what the gateway has sent when it was read here, what the terminal has sent when its last byte is about to be passed on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::overheard::{Downstream, LinkName, Upstream};
use super::witness::Witness;
use crate::dice::Dice;
use crate::proxy::Break;

/// What is passed on at once.
const CHUNK: usize = 4096;

/// How far a connection gets that is cut: the shortest breaks in a head, the longest after some payments.
const CUT_AT_MAX: u64 = 48 * 1024;

/// The longest that bytes are on their way, each way.
const LATENCY_MAX_MS: u64 = 6;

/// The longest stall: much shorter than the 10 s after which an end may give up a reader.
const STALL_MAX: Duration = Duration::from_millis(1500);

/// How long a half-open connection keeps its sockets: until both ends have certainly noticed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Stops, and everything that goes through it, when the last one of it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: Arc<JoinSet<()>>,
}

/// What was done to connections.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    pub(crate) reset: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) half_open: AtomicUsize,
    pub(crate) stalled: AtomicUsize,
}

#[derive(Debug)]
struct Shared {
    gateway: SocketAddr,
    dice: Mutex<Dice>,
    weather: watch::Sender<Weather>,
    terminal: Option<Terminal>,
    damage: Damage,
}

/// Whose links are listened to, and who writes down what is heard.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    pub(crate) poi: String,
    pub(crate) witness: Arc<Witness>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// Connections that are accepted now get a fate.
    bad: bool,
    /// How often all connections were broken, and how the last time.
    breaks: usize,
    how: Option<Break>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From whoever connected to the gateway.
    Up,
    Down,
}

/// What becomes of one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// After so many bytes this way it breaks.
    cut: Option<(Way, usize, Break)>,
    /// After so many bytes this way nothing is read for a while.
    stall: Option<(Way, usize, Duration)>,
    slow: bool,
}

impl Wire {
    /// A wire on a port of its own, in fair weather. `terminal` is whose it is, if it is a terminal's.
    pub(crate) async fn lay(gateway: SocketAddr, seed: u64, terminal: Option<Terminal>) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            gateway,
            dice: Mutex::new(Dice(seed)),
            weather: watch::Sender::default(),
            terminal,
            damage: Damage::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, shared.clone()));
        Wire { address, shared, _accepting: Arc::new(accepting) }
    }

    /// What a client is given for the gateway's.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections from here on have a fate, or have none.
    pub(crate) fn set_weather(&self, bad: bool) {
        self.shared.weather.send_modify(|weather| weather.bad = bad);
    }

    /// Breaks every connection that stands. One that is half open already is cleared away.
    pub(crate) fn sever(&self, how: Break) {
        self.shared.weather.send_modify(|weather| {
            weather.breaks += 1;
            weather.how = Some(how);
        });
    }

    pub(crate) fn damage(&self) -> &Damage {
        &self.shared.damage
    }
}

impl Shared {
    fn fate(&self) -> Fate {
        if !self.weather.borrow().bad {
            return Fate::default();
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let way = |dice: &mut Dice| if dice.one_in(2) { Way::Up } else { Way::Down };
        // Half of them early, so that heads and first frames are hit, too.
        let at = |dice: &mut Dice| {
            let below = if dice.one_in(2) { CUT_AT_MAX / 16 } else { CUT_AT_MAX };
            usize::try_from(dice.roll(below)).expect("some bytes")
        };
        let how = |dice: &mut Dice| match dice.roll(16) {
            0 => Break::Swallow,
            1..8 => Break::Reset,
            _ => Break::Close,
        };
        Fate {
            cut: dice.one_in(2).then(|| (way(&mut dice), at(&mut dice), how(&mut dice))),
            stall: dice.one_in(6).then(|| {
                let milliseconds = dice.roll(u64::try_from(STALL_MAX.as_millis()).expect("short"));
                (way(&mut dice), at(&mut dice), Duration::from_millis(milliseconds))
            }),
            slow: dice.one_in(2),
        }
    }

    fn latency(&self) -> Duration {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_millis(dice.roll(LATENCY_MAX_MS))
    }

    fn count(&self, how: Break) {
        let counter = match how {
            Break::Reset => &self.damage.reset,
            Break::Close => &self.damage.closed,
            Break::Swallow => &self.damage.half_open,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(serve(client, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    // Where nobody listens, the client finds its connection closed.
    let Ok(mut gateway) = TcpStream::connect(shared.gateway).await else { return };
    let mut weather = shared.weather.subscribe();
    let severed = weather.borrow_and_update().breaks;
    let mut is_severed =
        async || weather.wait_for(|now| now.breaks > severed).await.ok().and_then(|now| now.how);
    let fate = shared.fate();
    let (_, _) = (client.set_nodelay(true), gateway.set_nodelay(true));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_gateway, mut to_gateway) = gateway.split();
    let mut up = Upstream::new(shared.terminal.clone());
    let mut down = Downstream::new(shared.terminal.clone(), up.link());
    let link = up.link();
    let pump = |way| Pump { way, fate, passed: 0, link: link.clone(), shared: &shared };
    let (how, is_cut) = tokio::select! {
        end = pump(Way::Up).run_up(&mut from_client, &mut to_gateway, &mut up) => end,
        end = pump(Way::Down).run_down(&mut from_gateway, &mut to_client, &mut down) => end,
        how = is_severed() => (how.unwrap_or(Break::Reset), true),
    };
    if is_cut {
        shared.count(how);
    }
    // What the gateway had written already counts as written.
    let mut rest = [0; CHUNK];
    while let Ok(read @ 1..) = from_gateway.try_read(&mut rest) {
        down.read(&rest[..read]);
    }
    link.ended();
    match how {
        Break::Close => {}
        Break::Reset => {
            let (_, _) = (client.set_zero_linger(), gateway.set_zero_linger());
        }
        Break::Swallow => {
            let mut nowhere = (tokio::io::sink(), tokio::io::sink());
            let swallow = async {
                let (_, _) = tokio::join!(
                    tokio::io::copy(&mut from_client, &mut nowhere.0),
                    tokio::io::copy(&mut from_gateway, &mut nowhere.1),
                );
                // An end that gives up tells it to nobody.
                std::future::pending::<()>().await;
            };
            let severed = weather.borrow().breaks;
            tokio::select! {
                _ = timeout(SILENCE_MAX, swallow) => {}
                _ = weather.wait_for(|now| now.breaks > severed) => {}
            }
        }
    }
}

/// One direction of a connection, until it ends or is to break.
struct Pump<'a> {
    way: Way,
    fate: Fate,
    passed: usize,
    link: LinkName,
    shared: &'a Shared,
}

/// How a connection ends, and whether that is our doing.
type End = (Break, bool);

const GONE: End = (Break::Close, false);

impl Pump<'_> {
    async fn run_up(mut self, from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, heard: &mut Upstream) -> End {
        let mut chunk = [0; CHUNK];
        loop {
            let Ok(read @ 1..) = from.read(&mut chunk).await else { return GONE };
            let (pass, then) = self.let_through(read).await;
            let passing = heard.passing(&chunk[..pass]);
            if to.write_all(&chunk[..pass]).await.is_err() {
                heard.not_passed(passing);
                return GONE;
            }
            if let Some(how) = then {
                return (how, true);
            }
        }
    }

    async fn run_down(
        mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        heard: &mut Downstream,
    ) -> End {
        let mut chunk = [0; CHUNK];
        loop {
            let Ok(read @ 1..) = from.read(&mut chunk).await else { return GONE };
            heard.read(&chunk[..read]);
            let (pass, then) = self.let_through(read).await;
            if to.write_all(&chunk[..pass]).await.is_err() {
                return GONE;
            }
            if let Some(how) = then {
                return (how, true);
            }
        }
    }

    /// Waits as long as these bytes are on their way. Says how many of them arrive, and what happens then.
    async fn let_through(&mut self, bytes: usize) -> (usize, Option<Break>) {
        if self.fate.slow {
            sleep(self.shared.latency()).await;
        }
        if let Some((_, _, pause)) =
            self.fate.stall.take_if(|(way, at, _)| *way == self.way && *at <= self.passed + bytes)
        {
            self.shared.damage.stalled.fetch_add(1, Ordering::Relaxed);
            self.link.stalls();
            sleep(pause).await;
        }
        let (pass, then) = match self.fate.cut {
            Some((way, at, how)) if way == self.way && at <= self.passed + bytes => {
                (at - self.passed, Some(how))
            }
            _ => (bytes, None),
        };
        self.passed += pass;
        (pass, then)
    }
}
