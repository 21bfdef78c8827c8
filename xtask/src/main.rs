//! What CI runs, runnable at home with one command: `cargo xtask test`.
//!
//! Nothing is skipped silently: a suite that cannot run fails, unless `--without` leaves it out, and then the run says so.

mod bench;
mod chaos;
mod coverage;
mod demo;
mod node;
mod python;
mod report;
mod simulate;
mod suite;
mod tally;
mod tool;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::chaos::Chaos;
use crate::suite::Suite;
use crate::workspace::Workspace;

/// Checks for the Tillgate workspace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every suite, go on after a failure, and end with `N passed, N failed`
    #[command(visible_alias = "ci")]
    Test(Selection),
    /// Check the dependencies for known vulnerabilities; fetches the RustSec database
    Advisories,
    /// Measure what the gateway costs beside a raw server; writes target/bench/report.md
    Bench(Arguments),
    /// Look for a seed that is wrong about money: `--seeds A..B`; `--help` lists the rest
    Simulate(Arguments),
    /// Put deliberate faults into the code and see that the simulator finds each
    Mutants(Arguments),
    /// Go through every order of events at small size
    Explore(Arguments),
    /// See how much of relay the simulator alone runs through; writes target/coverage/missed.txt
    Coverage {
        /// From A up to, but not including, B
        #[arg(long, value_name = "A..B", default_value = "0..2000")]
        seeds: String,
    },
    /// Break real gateways, terminals and connections while tills go on selling, and judge what everybody was told
    Chaos(Chaos),
}

#[derive(Args, Debug)]
struct Arguments {
    /// Handed on as they are; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Args, Debug)]
struct Selection {
    /// Run this suite alone; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Suite>,
    /// Leave this suite out; may be given several times
    #[arg(long, value_name = "NAME")]
    without: Vec<Suite>,
}

impl Selection {
    /// Was this suite asked for?
    fn includes(&self, suite: Suite) -> bool {
        (self.only.is_empty() || self.only.contains(&suite)) && !self.without.contains(&suite)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `Ok(false)` if something that was checked is not as it should be.
fn run(task: Task) -> Result<bool> {
    let workspace = Workspace::find()?;
    match task {
        Task::Test(selection) => suite::run_all(&workspace, |suite| selection.includes(suite)),
        Task::Advisories => suite::advisories(&workspace),
        Task::Bench(given) => bench::run(&workspace, &given.arguments),
        Task::Simulate(given) => simulate::run(&workspace, "run", &given.arguments),
        Task::Mutants(given) => simulate::run(&workspace, "mutants", &given.arguments),
        Task::Explore(given) => simulate::run(&workspace, "explore", &given.arguments),
        Task::Coverage { seeds } => coverage::run(&workspace, &seeds).map(|()| true),
        Task::Chaos(chaos) => chaos.run(&workspace),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn selection(arguments: &[&str]) -> Result<Selection, clap::Error> {
        match Cli::try_parse_from([&["xtask"], arguments].concat())?.task {
            Task::Test(selection) => Ok(selection),
            other => panic!("parsed as {other:?}: {arguments:?}"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_suite_runs_unless_told_otherwise() {
        let all = selection(&["test"]).unwrap();
        assert!(Suite::all().iter().all(|&suite| all.includes(suite)));
    }

    #[test]
    fn ci_is_another_name_for_test() {
        let ci = selection(&["ci", "--without", "docs"]).unwrap();
        assert!(ci.includes(Suite::Clippy));
        assert!(!ci.includes(Suite::Docs));
    }

    #[test]
    fn without_may_be_repeated_and_wins_over_only() {
        let two = selection(&["test", "--without", "fmt", "--without", "deny"]).unwrap();
        assert!(!two.includes(Suite::Fmt) && !two.includes(Suite::Deny) && two.includes(Suite::Tests));

        let one = selection(&["test", "--only", "fmt", "--only", "docs", "--without", "docs"]).unwrap();
        assert!(one.includes(Suite::Fmt) && !one.includes(Suite::Docs) && !one.includes(Suite::Tests));
    }

    #[test]
    fn what_the_benchmark_takes_is_handed_on() {
        let Task::Bench(bench) =
            Cli::try_parse_from(["xtask", "bench", "--quick", "--only", "idle"]).unwrap().task
        else {
            panic!("no benchmark");
        };
        assert_eq!(bench.arguments, ["--quick", "--only", "idle"]);
    }

    #[test]
    fn an_unknown_suite_is_an_error_that_lists_the_names() {
        let message = selection(&["test", "--without", "nonesuch"]).unwrap_err().to_string();
        assert!(message.contains("nonesuch"), "{message}");
        for suite in Suite::all() {
            assert!(message.contains(&suite.to_string()), "{suite} is not listed in: {message}");
        }
    }
}
