//! Many seeds: on all cores, with progress, and a table of what was seen in the end.

use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use judge::{Figures, Outcomes, Row, Verdict, What};
use sha2::{Digest as _, Sha256};

use crate::actions::Mix;
use crate::tally::{Count, Tally};
use crate::world::{self, Run};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(2);

/// What a campaign has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) runs: u64,
    pub(crate) figures: Figures,
    pub(crate) outcomes: Outcomes,
    pub(crate) tally: Tally,
    /// In the runs' own time.
    pub(crate) lasted: Duration,
    /// Of all runs, whatever their order was.
    pub(crate) digest: u64,
    /// Runs that did not come to rest once nothing went wrong any more, or did not work as before then.
    restless: u64,
    /// The lowest seed that was wrong about money, and what the judge says first about it.
    wrong: Option<(u64, String)>,
}

struct Judged {
    seed: u64,
    verdict: Verdict,
    tally: Tally,
    lasted: Duration,
    unrest: Option<String>,
    digest: u64,
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) seeds: Range<u64>,
    pub(crate) terminals: Mix,
    /// Threads.
    pub(crate) jobs: usize,
    /// It ends soon after the first seed that is wrong.
    pub(crate) stops: bool,
    pub(crate) shows_progress: bool,
    /// The code under test is made wrong in this way.
    #[cfg(feature = "faults")]
    pub(crate) fault: Option<relay::fault::Fault>,
}

impl Campaign {
    pub(crate) fn run(&self) -> Seen {
        let next = AtomicU64::new(self.seeds.start);
        let stopped = AtomicBool::new(false);
        // Bounded: whoever runs seeds waits for whoever adds them up.
        let (sender, judged) = mpsc::sync_channel(64);
        let mut seen = Seen::default();
        let begun = Instant::now();
        let mut shown = begun;
        let all = self.seeds.end - self.seeds.start;
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let (sender, next, stopped) = (sender.clone(), &next, &stopped);
                scope.spawn(move || {
                    #[cfg(feature = "faults")]
                    relay::fault::switch(self.fault);
                    while !stopped.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end || sender.send(judge_seed(seed, self.terminals)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for run in judged {
                if let Some(wrong) = run.wrong().filter(|_| self.shows_progress) {
                    eprintln!("\nseed {}: {wrong}", run.seed);
                }
                seen.add(run);
                if seen.wrong.is_some() && self.stops {
                    stopped.store(true, Ordering::Relaxed);
                }
                if self.shows_progress && shown.elapsed() > PROGRESS {
                    shown = Instant::now();
                    show_progress(&seen, all, begun.elapsed());
                }
            }
        });
        if self.shows_progress {
            show_progress(&seen, all, begun.elapsed());
            eprintln!();
        }
        seen
    }
}

fn judge_seed(seed: u64, terminals: Mix) -> Judged {
    let Run { log, tally, lasted, unrest } = world::run(seed, terminals);
    let verdict = judge::judge(&log);
    Judged { seed, verdict, tally, lasted, unrest, digest: digest(&log) }
}

/// A digest of everything that was seen in a run.
pub(crate) fn digest(log: &judge::Log) -> u64 {
    let mut sha = Sha256::new();
    for event in &log.events {
        sha.update(event.at.as_micros().to_be_bytes());
        feed(&mut sha, &event.what);
    }
    sha.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn feed(sha: &mut Sha256, what: &What) {
    let mut put = |tag: u8, number: u64, text: &str, bytes: &[u8]| {
        sha.update([tag]);
        sha.update(number.to_be_bytes());
        sha.update(text.as_bytes());
        sha.update(bytes);
    };
    match what {
        What::Asked { call, path, body, .. } => put(0, *call, path, body),
        What::Arrived { call } => put(1, *call, "", b""),
        What::Told { call, status, body } => put(2, *call, &status.to_string(), body),
        What::Heard { call } => put(3, *call, "", b""),
        What::Ended { call } => put(4, *call, "", b""),
        What::ToTerminal { poi, link, frame } => put(5, *link, poi, frame),
        What::FromTerminal { poi, link, frame } => put(6, link.unwrap_or_default(), poi, frame),
        What::Executed { poi, execution } => put(7, 0, poi, execution),
        What::JournalLost { poi } => put(8, 0, poi, b""),
        What::JournalCopied { poi } => put(9, 0, poi, b""),
        What::Note { text, .. } => put(10, 0, text, b""),
        What::ToDesktop { desktop, frame } => put(18, 0, desktop, frame),
        What::FromDesktop { desktop, frame } => put(19, 0, desktop, frame),
        What::Transaction { desktop, transaction, status, is_told, .. } => {
            put(20, u64::from(*is_told), desktop, transaction.as_bytes());
            put(21, 0, status, b"");
        }
        What::ToActions { poi, link, frame } => put(16, *link, poi, frame),
        What::FromActions { poi, link, frame } => put(17, *link, poi, frame),
        What::AtRest => put(11, 0, "", b""),
        What::Recorded(row) => {
            let Row { poi, service, sale, category, delivery, outcome, response, webhook } = row;
            put(12, u64::from(*webhook), poi, service.as_bytes());
            put(13, 0, sale, category.as_bytes());
            put(14, 0, delivery, format!("{outcome:?}").as_bytes());
            put(15, 0, "", response.as_deref().unwrap_or_default());
        }
    }
}

impl Judged {
    /// What is wrong with the run, in a sentence.
    fn wrong(&self) -> Option<String> {
        let first = self.verdict.violations.first();
        first.map(|first| format!("{}: {}", first.figure, first.text)).or_else(|| self.unrest.clone())
    }
}

impl Seen {
    fn add(&mut self, run: Judged) {
        if let Some(wrong) = run.wrong()
            && self.wrong.as_ref().is_none_or(|(seed, _)| run.seed < *seed)
        {
            self.wrong = Some((run.seed, wrong));
        }
        self.runs += 1;
        self.restless += u64::from(run.unrest.is_some());
        self.figures += run.verdict.figures;
        self.outcomes += run.verdict.outcomes;
        self.tally.add(&run.tally);
        self.lasted += run.lasted;
        self.digest = self.digest.wrapping_add(run.digest);
    }

    /// The lowest seed that was wrong about money, or came to no rest.
    pub(crate) fn failed(&self) -> Option<u64> {
        self.wrong.as_ref().map(|(seed, _)| *seed)
    }

    /// What the judge said first about that.
    #[cfg(feature = "faults")]
    pub(crate) fn first_wrong(&self) -> &str {
        self.wrong.as_ref().map_or("", |(_, text)| text)
    }

    pub(crate) fn payments(&self) -> u64 {
        self.tally.of(Count::Payment)
    }

    /// The tables, and the last line.
    pub(crate) fn print(&self, took: Duration) {
        println!("what went wrong, and how often:");
        for count in Count::ALL {
            println!("  {:9}  {}", self.tally.of(*count), count.text());
        }
        println!("what became of it:");
        for (name, count) in self.outcomes.iter() {
            println!("  {count:9}  {name}");
        }
        let days = self.lasted.as_secs_f64() / 86_400.0;
        println!("{:9}  runs that did not come to rest", self.restless);
        println!(
            "{} payments in {} runs, {days:.0} days of their own time, in {:.1} s: {:.0} payments/s; digest {:016x}",
            self.payments(),
            self.runs,
            took.as_secs_f64(),
            self.payments() as f64 / took.as_secs_f64().max(0.001),
            self.digest
        );
    }
}

fn show_progress(seen: &Seen, all: u64, took: Duration) {
    let rate = seen.payments() as f64 / took.as_secs_f64().max(0.001);
    eprint!("\r{} of {all} seeds, {} payments, {rate:.0}/s, {}   ", seen.runs, seen.payments(), seen.figures);
    // Whoever does not see it misses nothing.
    let _ = std::io::stderr().flush();
}
