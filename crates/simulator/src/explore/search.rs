//! Breadth first through all states, so that the first violation found is one of the shortest.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::thread;
use std::time::{Duration, Instant};

use super::invariant::{Invariant, Violation};
use super::log::Log;
use super::step::{FAULTS, Step};
use super::world::{Budget, Weakness, World};

/// States that are worked on before what was found is put together: enough to keep threads busy, few enough to hold.
const BLOCK: usize = 8192;

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// POS calls on a path.
    pub(crate) calls: u8,
    /// Faults on a path.
    pub(crate) faults: u8,
    /// Jumps of time on a path, before the state at its end is brought to rest.
    pub(crate) ticks: u8,
    /// Whether payments that do not wait for the end are among the calls.
    pub(crate) asynchronous: bool,
    /// Whether approvals show a card number, which the ledger may not keep.
    pub(crate) card_data: bool,
    /// Whether the terminal is absent at the start, rather than welcomed.
    pub(crate) absent: bool,
    /// What the world does worse than it may.
    pub(crate) weakness: Weakness,
    /// Threads that work on it; the result is the same for any number of them.
    pub(crate) threads: usize,
    /// The deliberate fault that is in the code under test.
    #[cfg(feature = "faults")]
    pub(crate) fault: Option<relay::fault::Fault>,
}

impl Default for Bounds {
    /// The smallest bound that has in it most of what has ever gone wrong here: a few seconds.
    fn default() -> Bounds {
        Bounds {
            calls: 2,
            faults: 1,
            ticks: 1,
            asynchronous: false,
            card_data: false,
            absent: false,
            weakness: Weakness::None,
            threads: 1,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Different states.
    pub(crate) states: usize,
    /// Steps taken between them.
    pub(crate) steps: u64,
    /// The most steps from the start to a state.
    pub(crate) depth: usize,
    /// States in which nothing more was to happen, and which were brought to rest.
    pub(crate) rests: u64,
    /// How often each kind of fault was tried.
    pub(crate) faults: [u64; FAULTS.len()],
    /// All that a path can come to, as fingerprints of what was charged, told and written down in the end.
    pub(crate) ends: HashSet<u128>,
    pub(crate) elapsed: Duration,
    pub(crate) violation: Option<Counterexample>,
}

/// A shortest way to break an invariant.
#[derive(Debug)]
pub(crate) struct Counterexample {
    pub(crate) violation: Violation,
    /// What happened, line by line.
    pub(crate) timeline: Vec<String>,
}

/// Looks at every state within the bounds, or stops at the first violation. `progress` is called once per depth.
pub(crate) fn explore(bounds: Bounds, mut progress: impl FnMut(usize, usize, usize)) -> Outcome {
    let start = Instant::now();
    bounds.switch();
    let first = bounds.first();
    let mut search = Search::new(first.clone());
    let mut frontier = vec![(0, first)];
    let mut depth = 0;
    let mut bad = None;
    while !frontier.is_empty() && bad.is_none() {
        progress(depth, search.states.len(), frontier.len());
        let mut next = Vec::new();
        while !frontier.is_empty() && bad.is_none() {
            let block = frontier.split_off(frontier.len().saturating_sub(BLOCK));
            let found = search.expand(block, bounds);
            bad = search.merge(found, &mut next);
        }
        frontier = next;
        depth += usize::from(!frontier.is_empty());
    }
    Outcome {
        states: search.states.len(),
        steps: search.steps,
        depth,
        rests: search.rests,
        faults: search.faults,
        ends: std::mem::take(&mut search.ends),
        elapsed: start.elapsed(),
        violation: bad.map(|bad| retell(bounds, &search, bad)),
    }
}

impl Bounds {
    fn budget(&self) -> Budget {
        let Bounds { calls, faults, ticks, asynchronous, card_data, .. } = *self;
        Budget { calls, faults, ticks, asynchronous, card_data }
    }

    /// Puts the deliberate fault into the code that this thread runs.
    fn switch(&self) {
        #[cfg(feature = "faults")]
        relay::fault::switch(self.fault);
    }

    fn first(&self) -> World {
        let world = World::absent(self.budget(), self.weakness);
        if self.absent { world } else { world.welcomed() }
    }
}

/// The number of a state, in the order in which states were found.
type Number = u32;

/// A step that breaks an invariant; none when the state breaks it when it is brought to rest.
struct Bad {
    state: Number,
    step: Option<Step>,
}

struct Search {
    visited: HashSet<u128, BuildHasherDefault<First64Bits>>,
    /// How each state was reached first.
    states: Vec<(Number, Option<Step>)>,
    steps: u64,
    rests: u64,
    faults: [u64; FAULTS.len()],
    ends: HashSet<u128>,
}

/// What one thread has found in its share of a block.
#[derive(Default)]
struct Found {
    worlds: Vec<(u128, Number, Step, World)>,
    bad: Option<Bad>,
    steps: u64,
    rests: u64,
    faults: [u64; FAULTS.len()],
    ends: Vec<u128>,
}

impl Search {
    fn new(mut first: World) -> Search {
        let print = first.fingerprint(&mut String::new());
        Search {
            visited: HashSet::from_iter([print]),
            states: vec![(0, None)],
            steps: 0,
            rests: 0,
            faults: Default::default(),
            ends: HashSet::new(),
        }
    }

    /// Takes every step from each of these states.
    fn expand(&self, mut block: Vec<(Number, World)>, bounds: Bounds) -> Vec<Found> {
        let share = block.len().div_ceil(bounds.threads.max(1)).max(1);
        let mut shares = Vec::new();
        while !block.is_empty() {
            let rest = block.split_off(share.min(block.len()));
            shares.push(std::mem::replace(&mut block, rest));
        }
        if shares.len() == 1 {
            return shares.into_iter().map(|share| self.expand_share(share)).collect();
        }
        let work = |share| {
            bounds.switch();
            self.expand_share(share)
        };
        thread::scope(|scope| {
            let workers: Vec<_> = shares.into_iter().map(|share| scope.spawn(move || work(share))).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, Found>| match worker.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            workers.into_iter().map(join).collect()
        })
    }

    fn expand_share(&self, share: Vec<(Number, World)>) -> Found {
        let mut found = Found::default();
        let mut scratch = String::new();
        let log = &mut Log::off();
        for (number, world) in share {
            let options = world.options();
            // Calls, faults and time may come still; but whoever has no more to do may also be left alone for good.
            if options.iter().all(|step| step.is_call() || step.is_tick() || step.fault().is_some()) {
                found.rests += 1;
                match world.clone().come_to_rest(log) {
                    Ok(end) => found.ends.push(end),
                    Err(_) => {
                        found.bad = Some(Bad { state: number, step: None });
                        return found;
                    }
                }
            }
            for step in options {
                found.steps += 1;
                if let Some(fault) = step.fault() {
                    found.faults[fault] += 1;
                }
                let mut next = world.clone();
                if next.take(step, log).is_err() {
                    found.bad = Some(Bad { state: number, step: Some(step) });
                    return found;
                }
                let print = next.fingerprint(&mut scratch);
                if !self.visited.contains(&print) {
                    found.worlds.push((print, number, step, next));
                }
            }
        }
        found
    }

    /// Adds what was found, in its order: so numbers do not depend on how threads run.
    fn merge(&mut self, found: Vec<Found>, next: &mut Vec<(Number, World)>) -> Option<Bad> {
        for share in found {
            self.steps += share.steps;
            self.rests += share.rests;
            for (sum, count) in self.faults.iter_mut().zip(share.faults) {
                *sum += count;
            }
            self.ends.extend(share.ends);
            for (print, parent, step, world) in share.worlds {
                if self.visited.insert(print) {
                    let number = Number::try_from(self.states.len()).unwrap_or(Number::MAX);
                    self.states.push((parent, Some(step)));
                    next.push((number, world));
                }
            }
            if share.bad.is_some() {
                return share.bad;
            }
        }
        None
    }

    /// The steps from the start to a state.
    fn path(&self, mut state: Number) -> Vec<Step> {
        let mut path = Vec::new();
        while let Some((parent, Some(step))) = usize::try_from(state).ok().and_then(|s| self.states.get(s)) {
            path.push(*step);
            state = *parent;
        }
        path.reverse();
        path
    }
}

/// Goes the way to the violation once more, and writes down what happens.
fn retell(bounds: Bounds, search: &Search, bad: Bad) -> Counterexample {
    let mut log = Log::on();
    let mut world = bounds.first();
    let mut result = Ok(());
    for step in search.path(bad.state).into_iter().chain(bad.step) {
        result = world.take(step, &mut log);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| world.come_to_rest(&mut log).map(|_| ()));
    let violation = result.err().unwrap_or_else(|| {
        let what = "the path that broke an invariant did not break it again".into();
        Violation::new(Invariant::NoRest, what)
    });
    log.step(|| format!("VIOLATION: {}: {}", violation.invariant, violation.what));
    Counterexample { violation, timeline: log.into_lines() }
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct First64Bits(u64);

impl Hasher for First64Bits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, print: u128) {
        self.0 = u64::try_from(print >> 64).unwrap_or_default();
    }
}
