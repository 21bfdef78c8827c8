//! Looks for a way to be wrong about money: `cargo xtask simulate`.
//!
//! Runs the real `relay` code and the real virtual terminals in a world of its own, in which network, clocks, disks and
//! processes fail in every way that a seed can ask for; `judge` says what came of it. One seed is one run: a few terminals,
//! a few tills, some dozens of sales.

mod actions;
mod answer;
mod aside;
mod campaign;
mod chance;
mod explore;
mod gateway;
mod message;
#[cfg(feature = "faults")]
mod mutants;
mod network;
mod plan;
mod schedule;
mod store;
mod tally;
mod terminal;
mod till;
mod trouble;
mod world;

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum as _};

use crate::actions::Mix;
use crate::campaign::Campaign;

#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run seeds, and judge each run
    Run(Seeds),
    /// Put deliberate faults into the code under test, one after the other, and see that each is found
    #[cfg(feature = "faults")]
    Mutants {
        /// This one only; may be given several times
        #[arg(long)]
        only: Vec<relay::fault::Fault>,
        /// Within how many seeds each has to be found
        #[arg(long, default_value_t = 2000)]
        within: u64,
        #[arg(long, default_value_t = 0)]
        first_seed: u64,
    },
    /// Look at every state of a small world
    Explore(explore::Args),
    /// Run one seed, and print what was seen
    Show {
        seed: u64,
        /// Which terminals there are
        #[arg(long, value_enum, default_value_t)]
        terminals: Mix,
    },
}

#[derive(Args, Debug)]
struct Seeds {
    /// From A up to, but not including, B
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Threads; as many as there are cores unless said
    #[arg(long)]
    jobs: Option<usize>,
    /// Which terminals there are
    #[arg(long, value_enum, default_value_t)]
    terminals: Mix,
    /// Go on after a seed that was wrong
    #[arg(long)]
    keep_going: bool,
    /// Put this deliberate fault into the code under test
    #[cfg(feature = "faults")]
    #[arg(long)]
    fault: Option<relay::fault::Fault>,
}

fn range(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("seeds are A..B, for example 0..1000")?;
    let range = from.trim().parse()?..to.trim().parse()?;
    ensure!(range.start < range.end, "no seeds in {text}");
    Ok(range)
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Run(seeds) => run(&seeds),
        #[cfg(feature = "faults")]
        Task::Mutants { only, within, first_seed } => {
            let faults = if only.is_empty() { relay::fault::Fault::ALL } else { &only };
            Ok(mutants::run(faults, first_seed, within, cores()))
        }
        Task::Explore(args) => Ok(explore::run(&args)),
        Task::Show { seed, terminals } => Ok(show(seed, terminals)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn run(seeds: &Seeds) -> Result<bool> {
    let begun = Instant::now();
    let campaign = Campaign {
        seeds: seeds.seeds.clone(),
        terminals: seeds.terminals,
        jobs: seeds.jobs.unwrap_or_else(cores),
        stops: !seeds.keep_going,
        shows_progress: true,
        #[cfg(feature = "faults")]
        fault: seeds.fault,
    };
    let seen = campaign.run();
    seen.print(begun.elapsed());
    if let Some(seed) = seen.failed() {
        #[cfg(feature = "faults")]
        relay::fault::switch(seeds.fault);
        explain(seed, seeds.terminals);
    }
    println!("{}", seen.figures);
    Ok(seen.failed().is_none())
}

/// What was wrong in this run, and how it came to be.
fn explain(seed: u64, terminals: Mix) {
    let run = world::run(seed, terminals);
    let verdict = judge::judge(&run.log);
    let commit = std::env::var("TILLGATE_COMMIT").unwrap_or_else(|_| "unknown".into());
    println!(
        "seed {seed} of commit {commit} is wrong about money. The same again: cargo xtask simulate --seeds {seed}..{} --terminals {}",
        seed + 1,
        terminals.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    );
    if let Some(unrest) = &run.unrest {
        println!("{unrest}");
    }
    for violation in &verdict.violations {
        println!("{}: {}", violation.figure, violation.text);
    }
    if let Some(first) = verdict.violations.first() {
        println!("{}", judge::timeline(&run.log, first));
    }
}

fn show(seed: u64, terminals: Mix) -> bool {
    let run = world::run(seed, terminals);
    for event in &run.log.events {
        println!("{:>12.3} {}", event.at.as_secs_f64(), in_short(&event.what));
    }
    println!("digest {:016x}", campaign::digest(&run.log));
    true
}

/// One line; messages by their beginning.
fn in_short(what: &judge::What) -> String {
    let mut line = format!("{what:?}");
    if line.len() > 600 {
        line.truncate((0..=600).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run_byte_for_byte() {
        for seed in 0..20 {
            let (first, again) = (world::run(seed, Mix::Mixed), world::run(seed, Mix::Mixed));
            assert!(first.log.events.len() > 20);
            assert!(first.log.events == again.log.events, "seed {seed}");
            assert_eq!(campaign::digest(&first.log), campaign::digest(&again.log));
            assert_eq!(first.tally, again.tally);
        }
        let digest = |seed| campaign::digest(&world::run(seed, Mix::Link).log);
        assert_ne!(digest(1), digest(2));
    }

    #[test]
    fn a_hundred_seeds_are_right_about_money() {
        let seeds = Seeds {
            seeds: 0..100,
            terminals: Mix::Mixed,
            jobs: Some(1),
            keep_going: true,
            #[cfg(feature = "faults")]
            fault: None,
        };
        assert!(run(&seeds).is_ok_and(|is_right| is_right));
    }

    #[test]
    fn seeds_are_a_range() {
        assert!(range("3..7").is_ok_and(|seeds| seeds == (3..7)));
        for bad in ["7", "7..3", "a..b", ""] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
