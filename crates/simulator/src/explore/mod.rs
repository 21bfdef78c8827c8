//! Every interleaving of a small world: `cargo xtask explore`.
//!
//! One terminal, one sale and a few POS calls. Under test are relay's own [`Desk`](relay::exchange::Desk),
//! [`Ledger`](relay::model::Ledger) with its `decide_*`, and [`Terminal`](relay::terminal::Terminal), by values of their
//! frames; nothing is a model of them. From the start, every step that is possible is taken from every state, breadth first,
//! so that what is found first is one of the shortest ways to it. Where nothing more is to happen, everything is made well,
//! time passes until nobody waits any more, and then the truth is compared with what can be learnt.
//!
//! # What is covered
//! - The POS pays, and at any time sends any of its payments once more (a repeat, or a copy that was long under way), asks
//!   about it, or calls it off. It takes a new ServiceID only when it was told that the latest one did not run; an older copy
//!   may still come. With `--async` also payments that do not wait for the end,
//!   with `--card-data` approvals that the ledger can't repeat.
//! - Frames travel in order on each socket, and are read one by one. The store applies ops in order within a lane, and
//!   in any order between them. The terminal's disk syncs entry by entry. The card is charged at any time once the device was
//!   told to. The gateway writes a delivery at any time once it may.
//! - Faults, see [`step::Step`]: the link breaks and one end learns of it at any later time, any first part of what was
//!   under way arriving; either end is killed, any first part of its ops or entries being on disk; an op fails, is applied
//!   and reported as failed, finds the queue full, or takes longer than the next deadline; the terminal loses its
//!   journal and is boarded with a new one; an old `hello` comes again; a POS hangs up;
//!   a question overtakes the payment that it is about.
//! - Time stands still but for jumps to the next deadline of desk, terminal or ping: at any time while only the customer, the
//!   POS or a broken link are waited for, and as a fault (*late*) while anything else is under way. So each deadline is
//!   tried before and after everything else. Jumps on a path are bounded; those that bring a state to rest are not.
//!
//! # What is not
//! - Two deadlines come in the order of their lengths, or together if they began at the same moment: events take no time. What
//!   depends on a few milliseconds between two deadlines is the simulator's to find.
//! - The wall clock stands still: nothing here takes 48 hours. No restore of the ledger, no second gateway node, no transaction that
//!   lands after its gateway was killed.
//! - A payment that was started runs to the end or is cancelled; the card is never refused. No encrypted messages, messages of
//!   class Device, maintenance calls, notifications, webhooks or telemetry; no results that don't fit.
//! - Bytes, sockets and heartbeats: `GatewayLink` and `TerminalEnd` are not in it.
//!
//! # How it is kept small
//! Steps that come to the same whenever they are taken make no states of their own. What a socket is told but deliveries is
//! written at once, for it might as well be read late (`World::settle`). Notes that nobody waits for are applied when
//! something reads the ledger, or when a crash or a failure decides (`World::by_itself`). Journal entries that nothing waits
//! for are synced with the next one (`Machine::sync`). Which of the frames under way are lost is decided when the link
//! breaks, not when the other end learns of it. A state is told from another by what its future depends on alone ([`mod@print`]).

mod invariant;
mod link;
mod log;
mod machine;
#[cfg(feature = "faults")]
mod mutants;
mod net;
mod options;
mod pos;
mod print;
mod rest;
mod script;
mod search;
mod step;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod world;

use invariant::Invariant;
use world::Weakness;

pub(crate) use search::{Bounds, Outcome, explore};

/// Options of `explore`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// POS calls on a path
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(script::CALLS_MAX)))]
    calls: u8,
    /// Faults on a path
    #[arg(long, default_value_t = 2)]
    faults: u8,
    /// Jumps of time on a path
    #[arg(long, default_value_t = 1)]
    ticks: u8,
    /// Let the POS send payments that do not wait for the end, too
    #[arg(long = "async")]
    asynchronous: bool,
    /// Let approvals show a card number, which the ledger may not keep
    #[arg(long)]
    card_data: bool,
    /// Begin with a terminal that is not connected
    #[arg(long)]
    absent: bool,
    /// Make the world worse than it may be: something must be found
    #[arg(long, value_enum, default_value_t)]
    weaken: Weakness,
    /// Threads; as many as there are cores unless said
    #[arg(long)]
    jobs: Option<usize>,
    /// Put this deliberate fault into the code under test
    #[cfg(feature = "faults")]
    #[arg(long)]
    fault: Option<relay::fault::Fault>,
    /// Put each deliberate fault into the code under test, one after the other, and say which are found
    #[cfg(feature = "faults")]
    #[arg(long, conflicts_with = "fault")]
    each_fault: bool,
}

impl Args {
    fn bounds(&self) -> Bounds {
        Bounds {
            calls: self.calls,
            faults: self.faults,
            ticks: self.ticks,
            asynchronous: self.asynchronous,
            card_data: self.card_data,
            absent: self.absent,
            weakness: self.weaken,
            threads: self.jobs.unwrap_or_else(crate::cores),
            #[cfg(feature = "faults")]
            fault: self.fault,
        }
    }
}

/// Explores, prints what was found, and says whether that was nothing.
pub(crate) fn run(args: &Args) -> bool {
    let bounds = args.bounds();
    #[cfg(feature = "faults")]
    if args.each_fault {
        return mutants::print_table(bounds);
    }
    let outcome = explore(bounds, |depth, states, new| {
        eprintln!("depth {depth:>3}: {states:>10} states, {new:>8} of them new");
    });
    if let Some(counterexample) = &outcome.violation {
        println!("One of the shortest ways to break an invariant:");
        for line in &counterexample.timeline {
            println!("{line}");
        }
    }
    print(bounds, &outcome);
    outcome.violation.is_none()
}

fn print(bounds: Bounds, outcome: &Outcome) {
    let Bounds { calls, faults, ticks, .. } = bounds;
    let start = if bounds.absent { "absent" } else { "welcomed" };
    let cards = if bounds.card_data { ", card numbers in approvals" } else { "" };
    let modes = if bounds.asynchronous { "waiting or not" } else { "waiting" };
    println!(
        "bounds: {calls} calls ({modes}), {faults} faults, {ticks} jumps of time, terminal {start} at the start{cards}"
    );
    println!("faults tried:");
    for (name, count) in step::FAULTS.iter().zip(outcome.faults).filter(|(_, count)| *count > 0) {
        println!("  {name:26} {count:>10}");
    }
    println!("invariants:");
    for invariant in Invariant::ALL {
        println!("  {invariant}");
    }
    let seconds = outcome.elapsed.as_secs_f64();
    let rate = f64::from(u32::try_from(outcome.states).unwrap_or(u32::MAX)) / seconds;
    println!(
        "{} states, {} steps, depth {}, {} ends of {} kinds, {seconds:.1} s, {rate:.0} states/s",
        outcome.states,
        outcome.steps,
        outcome.depth,
        outcome.rests,
        outcome.ends.len(),
    );
    match &outcome.violation {
        Some(found) => println!("violations 1: {}: {}", found.violation.invariant, found.violation.what),
        None => println!("violations 0"),
    }
}
