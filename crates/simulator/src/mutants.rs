//! Whether deliberate faults are found: each in turn is put into the code under test, and seeds run until one is wrong.

use std::time::Instant;

use relay::fault::Fault;

use crate::actions::Mix;
use crate::campaign::{Campaign, Seen};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) fault: Fault,
    /// How many seeds it took; none if it was not found.
    pub(crate) seeds: Option<u64>,
    pub(crate) seen: Seen,
}

/// Runs up to `seeds_max` seeds for each fault, and prints a line about each. Says whether all were found.
pub(crate) fn run(faults: &[Fault], first_seed: u64, seeds_max: u64, jobs: usize) -> bool {
    println!("{:26} {:>6} {:>8}  first seen as", "fault", "seeds", "seconds");
    let mut missed = 0;
    for fault in faults {
        let begun = Instant::now();
        let found = find(*fault, first_seed, seeds_max, jobs);
        let seeds = found.seeds.map_or_else(|| "missed".to_owned(), |seeds| seeds.to_string());
        missed += u64::from(found.seeds.is_none());
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:26} {seeds:>6} {seconds:>8.1}  {}", found.fault, found.seen.first_wrong());
    }
    println!("{} faults, {missed} missed", faults.len());
    missed == 0
}

fn find(fault: Fault, first_seed: u64, seeds_max: u64, jobs: usize) -> Found {
    let seeds = first_seed..first_seed + seeds_max;
    let terminals = if fault.is_of_actions() { Mix::Actions } else { Mix::Link };
    let campaign =
        Campaign { seeds, terminals, jobs, stops: true, shows_progress: false, fault: Some(fault) };
    let seen = campaign.run();
    Found { fault, seeds: seen.failed().map(|seed| seed - first_seed + 1), seen }
}
