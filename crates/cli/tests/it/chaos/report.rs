//! What a run says in the end, and while it goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use judge::{Figures, Log, Outcomes, judge, timeline};
use tokio::task::JoinHandle;

use super::till::Counts;
use super::town::Town;
use super::trouble::Troubles;
use super::violations::{Kind, Violation};

/// Between two lines while a long run goes on.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What payments are counted by, repeats not among them.
const PAYMENTS: &str = "payments, each with its ServiceID";

/// Violations that are shown one by one.
const SHOWN_MAX: usize = 20;

/// The sum of some rounds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rounds: usize,
    took: Duration,
    troubles: Troubles,
    /// By name, in the order of the table: what was broken on the wires, and what tills did.
    counts: BTreeMap<(usize, &'static str), usize>,
    outcomes: Outcomes,
    figures: Figures,
    /// What the judge found, a line each; and the whole story of the first.
    judged: Vec<String>,
    story: Option<String>,
    /// What was found beside.
    found: Vec<Violation>,
}

impl Report {
    /// Of one round that is over.
    pub(crate) fn of(town: &Town, troubles: Troubles, found: Vec<Violation>, log: &Log) -> Report {
        let verdict = judge(log);
        let wires = || town.terminals.iter().map(|terminal| &terminal.wire);
        let broken = |of: fn(&super::wire::Damage) -> &AtomicUsize| {
            wires().map(|wire| read(of(wire.damage()))).sum::<usize>()
        };
        let tills = |of: fn(&super::wire::Damage) -> &AtomicUsize| read(of(town.tills_wire.damage()));
        let Counts { sales, payments, repeats, hang_ups, questions, aborts, asyncs, paid: _ } = &*town.counts;
        let lines = [
            ("terminals' connections reset", broken(|damage| &damage.reset)),
            ("terminals' connections closed", broken(|damage| &damage.closed)),
            ("terminals' connections half open", broken(|damage| &damage.half_open)),
            ("terminals' connections stalled", broken(|damage| &damage.stalled)),
            ("tills' connections reset", tills(|damage| &damage.reset)),
            ("tills' connections closed", tills(|damage| &damage.closed)),
            ("tills' connections half open", tills(|damage| &damage.half_open)),
            ("tills' connections stalled", tills(|damage| &damage.stalled)),
            ("sales", read(sales)),
            (PAYMENTS, read(payments)),
            ("repeats with the same ServiceID", read(repeats)),
            ("hang-ups", read(hang_ups)),
            ("TransactionStatus", read(questions)),
            ("Aborts", read(aborts)),
            ("async calls", read(asyncs)),
        ];
        Report {
            rounds: 1,
            took: town.witness.now(),
            troubles,
            counts: lines.into_iter().enumerate().map(|(at, (name, count))| ((at, name), count)).collect(),
            outcomes: verdict.outcomes,
            figures: verdict.figures,
            judged: verdict.violations.iter().map(ToString::to_string).collect(),
            story: verdict.violations.first().map(|violation| timeline(log, violation)),
            found,
        }
    }

    /// One more round.
    pub(crate) fn add(&mut self, other: Report) {
        self.rounds += other.rounds;
        self.took += other.took;
        self.troubles += other.troubles;
        for (name, count) in other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.outcomes += other.outcomes;
        self.figures += other.figures;
        self.judged.extend(other.judged);
        self.story = self.story.take().or(other.story);
        self.found.extend(other.found);
    }

    pub(crate) fn found_something(&self) -> bool {
        !self.found.is_empty() || !self.figures.is_zero()
    }

    /// One line about it.
    pub(crate) fn in_short(&self) -> String {
        let charged = self.outcomes.get("sales charged once");
        let beside = match self.found.len() {
            0 => String::new(),
            count => format!(", {count} beside"),
        };
        format!("{} payments, {charged} sales charged; {}{beside}", self.payments(), self.figures)
    }

    /// What was found, in words.
    pub(crate) fn found_by(&self) -> String {
        let mut kinds: Vec<_> = self.found.iter().map(|violation| violation.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let judge = (!self.figures.is_zero()).then(|| self.figures.to_string());
        judge.into_iter().chain(kinds.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ")
    }

    /// Payments that were asked for, repeats not counted.
    pub(crate) fn payments(&self) -> usize {
        let line = self.counts.iter().find(|((_, name), _)| *name == PAYMENTS);
        line.map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Troubles {
            gateways_killed,
            terminals_killed,
            gateways_frozen,
            terminals_frozen,
            disks_full,
            links_severed,
            tills_cut_off,
        } = self.troubles;
        let mut line = |name: &str, count: usize| writeln!(f, "{count:>10}  {name}");
        line("gateways killed", gateways_killed)?;
        line("terminals killed", terminals_killed)?;
        line("gateways frozen for a while", gateways_frozen)?;
        line("terminals frozen for a while", terminals_frozen)?;
        line("disks full for a while", disks_full)?;
        line("links broken at a moment", links_severed)?;
        line("all tills cut off", tills_cut_off)?;
        for ((_, name), count) in &self.counts {
            line(name, *count)?;
        }
        write!(f, "{}", self.outcomes)?;
        let found = || self.judged.iter().cloned().chain(self.found.iter().map(ToString::to_string));
        for violation in found().take(SHOWN_MAX) {
            writeln!(f, "{violation}")?;
        }
        if found().count() > SHOWN_MAX {
            writeln!(f, "… and {} more", found().count() - SHOWN_MAX)?;
        }
        if let Some(story) = &self.story {
            writeln!(f, "{story}")?;
        }
        let charged = self.outcomes.get("sales charged once");
        let (payments, rounds, seconds) = (self.payments(), self.rounds, self.took.as_secs_f64());
        writeln!(f, "{payments} payments, {charged} sales charged, in {rounds} rounds of {seconds:.0} s")?;
        write!(f, "{}", self.figures)?;
        for kind in Kind::ALL {
            let count = self.found.iter().filter(|violation| violation.kind == kind).count();
            write!(f, ", {kind} {count}")?;
        }
        Ok(())
    }
}

/// Says every few seconds how far a round is. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Progress(Option<JoinHandle<()>>);

impl Progress {
    pub(crate) fn of(counts: &Arc<Counts>, shows: bool) -> Progress {
        let counts = counts.clone();
        let begun = Instant::now();
        let says = async move {
            loop {
                tokio::time::sleep(SAY_EVERY).await;
                let (payments, paid) = (read(&counts.payments), read(&counts.paid));
                eprintln!("[{:4.0} s] {payments} payments, {paid} paid", begun.elapsed().as_secs_f64());
            }
        };
        Progress(shows.then(|| tokio::spawn(says)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn read(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}
