//! Writes down what was seen, in the order of time, as the judge wants to have it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use judge::{Event, Log, Outcome, Row, What};
use relay::terminal::Execution;

/// One run's witness. What it is told happens now.
#[derive(Debug)]
pub(crate) struct Witness {
    started: Instant,
    /// The same moment by the clock that terminals date what they do by, since 1970.
    started_wall: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// None for what turned out not to have happened.
    events: Vec<Option<Event>>,
    calls: u64,
    links: Vec<Link>,
}

/// One WebSocket of a terminal, as the wire between saw it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) poi: String,
    /// When the terminal connected.
    pub(crate) opened: Duration,
    /// When the terminal's `hello` was passed on.
    pub(crate) hello: Option<Duration>,
    /// When the gateway had welcomed the terminal.
    pub(crate) welcomed: Option<Duration>,
    /// When it broke or was closed, for whichever end first.
    pub(crate) ended: Option<Duration>,
    /// From when on an end may have been noticed late, because the wire did not read for a while.
    pub(crate) stalled: Option<Duration>,
}

/// A frame that is about to be passed on.
#[derive(Debug)]
pub(crate) struct Passing(usize);

impl Witness {
    pub(crate) fn new() -> Witness {
        let started_wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Witness { started: Instant::now(), started_wall, seen: Mutex::default() }
    }

    /// Since the beginning of the run.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A POS begins to send a request. Returns the call's name.
    pub(crate) fn asked(&self, path: &'static str, wait: Duration, body: &str) -> u64 {
        let mut seen = self.seen();
        seen.calls += 1;
        let call = seen.calls;
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.push(&mut seen, What::Asked { call, path, wait, body });
        call
    }

    /// A POS has read a whole answer.
    pub(crate) fn heard(&self, call: u64, status: u16, body: Bytes) {
        let mut seen = self.seen();
        self.push(&mut seen, What::Told { call, status, body });
        self.push(&mut seen, What::Heard { call });
    }

    /// A call is over for its POS without an answer.
    pub(crate) fn ended(&self, call: u64) {
        self.push(&mut self.seen(), What::Ended { call });
    }

    /// The gateway has written this to a link, whether or not it gets any further.
    pub(crate) fn sent_to_terminal(&self, poi: &str, link: u64, frame: Vec<u8>) {
        let what = What::ToTerminal { poi: poi.to_owned(), link, frame: frame.into() };
        self.push(&mut self.seen(), what);
    }

    /// This is about to be passed on to the gateway, which may have read it before anybody can say so.
    pub(crate) fn sent_by_terminal(&self, poi: &str, link: Option<u64>, frame: Vec<u8>) -> Passing {
        let what = What::FromTerminal { poi: poi.to_owned(), link, frame: frame.into() };
        Passing(self.push(&mut self.seen(), what))
    }

    /// It was not passed on whole after all.
    pub(crate) fn not_passed(&self, passing: Passing) {
        self.seen().events[passing.0] = None;
    }

    pub(crate) fn note(&self, poi: Option<&str>, text: impl Into<String>) {
        let what = What::Note { poi: poi.map(str::to_owned), text: text.into() };
        self.push(&mut self.seen(), what);
    }

    /// From here on nothing is broken any more.
    pub(crate) fn at_rest(&self) {
        self.push(&mut self.seen(), What::AtRest);
    }

    /// A terminal has opened a WebSocket. Returns the link's name.
    pub(crate) fn link_opened(&self, poi: &str) -> u64 {
        let mut seen = self.seen();
        let (poi, opened) = (poi.to_owned(), self.now());
        let link = Link { poi, opened, hello: None, welcomed: None, ended: None, stalled: None };
        seen.links.push(link);
        u64::try_from(seen.links.len() - 1).expect("a number of links")
    }

    pub(crate) fn link_says_hello(&self, link: u64) {
        self.link(link, |link, now| link.hello = link.hello.or(Some(now)));
    }

    pub(crate) fn link_welcomed(&self, link: u64) {
        self.link(link, |link, now| link.welcomed = Some(now));
    }

    pub(crate) fn link_stalls(&self, link: u64) {
        self.link(link, |link, now| link.stalled = link.stalled.or(Some(now)));
    }

    pub(crate) fn link_ended(&self, link: u64) {
        self.link(link, |link, now| link.ended = link.ended.or(Some(now)));
    }

    /// Whether a link of this terminal stands, as far as the wire can tell.
    pub(crate) fn is_linked(&self, poi: &str) -> bool {
        self.seen().links.iter().any(|link| link.poi == poi && link.ended.is_none())
    }

    /// All links so far.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.seen().links.clone()
    }

    /// Everything that was seen, with what the terminals did by their own journals, and what the ledger says in the end.
    pub(crate) fn testify(&self, executed: Vec<(String, Execution)>, rows: Vec<Row>) -> Log {
        let mut events: Vec<Event> = self.seen().events.iter().flatten().cloned().collect();
        events.extend(executed.into_iter().map(|(poi, execution)| {
            let at = Duration::from_millis(u64::try_from(execution.at.0).unwrap_or(0));
            let execution = serde_json::to_vec(&execution).expect("as in a journal");
            Event {
                at: at.saturating_sub(self.started_wall),
                what: What::Executed { poi, execution: execution.into() },
            }
        }));
        events.sort_by_key(|event| event.at);
        let at = self.now();
        events.extend(rows.into_iter().map(|row| Event { at, what: What::Recorded(row) }));
        Log { events }
    }

    fn link(&self, link: u64, change: impl FnOnce(&mut Link, Duration)) {
        let mut seen = self.seen();
        let now = self.now();
        change(&mut seen.links[usize::try_from(link).expect("a number of links")], now);
    }

    /// The time is taken under the lock, so that events stand in its order.
    fn push(&self, seen: &mut Seen, what: What) -> usize {
        seen.events.push(Some(Event { at: self.now(), what }));
        seen.events.len() - 1
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exchanges of a ledger, read from its file.
pub(crate) fn rows(database: &Path) -> Vec<Row> {
    let connection = open(database);
    let mut statement = connection
        .prepare(
            "SELECT e.poi_id, e.service_id, e.sale_id, e.category, e.delivery_id, e.outcome, a.message, e.webhook_owed
            FROM exchanges e LEFT JOIN exchange_answers a ON a.exchange = e.seq AND e.outcome = 'answered'
            ORDER BY e.seq",
        )
        .expect("the ledger's tables");
    let rows = statement.query_map([], |row| {
        let outcome: String = row.get(5)?;
        let response: Option<Vec<u8>> = row.get(6)?;
        Ok(Row {
            poi: row.get(0)?,
            service: row.get(1)?,
            sale: row.get(2)?,
            category: row.get(3)?,
            delivery: row.get(4)?,
            outcome: outcome_of(&outcome),
            response: response.map(Bytes::from),
            webhook: row.get(7)?,
        })
    });
    rows.expect("the ledger can be read").map(|row| row.expect("a row as it should be")).collect()
}

/// How many exchanges nobody has decided yet.
pub(crate) fn undecided(database: &Path) -> u32 {
    let count = "SELECT count(*) FROM exchanges WHERE outcome IN ('open', 'unknown')";
    open(database).query_row(count, [], |row| row.get(0)).expect("the ledger can be read")
}

fn open(database: &Path) -> rusqlite::Connection {
    // Read only, and no more: a write-ahead log can only be read by who may write it.
    let connection = rusqlite::Connection::open(database).expect("the database is there");
    connection.pragma_update(None, "query_only", true).expect("a connection can be made to read only");
    connection.busy_timeout(Duration::from_secs(5)).expect("a connection can wait");
    connection
}

fn outcome_of(word: &str) -> Outcome {
    match word {
        "open" => Outcome::Open,
        "unknown" => Outcome::Unknown,
        "refused" => Outcome::Refused,
        "never_reached" => Outcome::NeverReached,
        "answered" => Outcome::Answered,
        "unknown_final" => Outcome::UnknownFinal,
        other => panic!("the ledger has an outcome {other}"),
    }
}
