//! The suites, in the order in which they run: the quick ones first.
//!
//! A later suite (browser) is one more variant of [`Suite`] with what it needs and what it runs.

use std::fmt;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::node;
use crate::python;
use crate::report::{Report, Verdict};
use crate::simulate::told_its_commit;
use crate::tally::Tally;
use crate::tool::{self, Tool};
use crate::workspace::{Log, Workspace};

/// About a minute on two cores, in the dev profile.
const SEEDS: &str = "0..2000";

/// The same with Actions terminals and desktops among them: about 15 s more.
const ACTIONS_SEEDS: &str = "0..300";

/// Seeds within which each deliberate fault has to be found.
const MUTANT_SEEDS: &str = "1000";

/// One thing that must hold; `--only` and `--without` take its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The code is formatted as rustfmt would
    Fmt,
    /// Licences, origins and banned crates, as deny.toml says
    Deny,
    /// Clippy and the compiler have no warning
    Clippy,
    /// Unit, property and integration tests
    Tests,
    /// The examples in the documentation run
    Doctests,
    /// The documentation builds without a warning
    Docs,
    /// About a minute of simulated payments, with none wrong
    Simulation,
    /// Each deliberate fault does harm, and the simulator finds those of the rules
    Mutants,
    /// The official Node library and the example of an Actions POS, its page in a browser too, get along with a running demo
    Node,
    /// The official Python library gets along with a running demo
    Python,
}

/// Runs the chosen suites, all of them even if one fails, and prints what came of it. `Ok(true)` if nothing failed.
pub(crate) fn run_all(workspace: &Workspace, chosen: impl Fn(Suite) -> bool) -> Result<bool> {
    ensure!(Suite::all().iter().any(|&suite| chosen(suite)), "these options leave no suite to run");
    let mut report = Report::default();
    for &suite in Suite::all() {
        if !chosen(suite) {
            report.leave_out(suite);
            continue;
        }
        let log = workspace.log(&suite.to_string())?;
        let start = Instant::now();
        let verdict = suite.run(workspace, &log);
        report.add(suite, start.elapsed(), verdict, &log.text()?);
    }
    Ok(report.finish())
}

/// Looks for known vulnerabilities. No suite, because it needs the network and its answer changes from day to day.
pub(crate) fn advisories(workspace: &Workspace) -> Result<bool> {
    let log = workspace.log("advisories")?;
    let passed =
        log.run(tool::cargo_deny(workspace, &log)?.args(["--color", "never", "check", "advisories"]))?;
    print!("{}", log.text()?);
    Ok(passed)
}

impl Suite {
    /// Every suite, in running order.
    pub(crate) fn all() -> &'static [Suite] {
        Suite::value_variants()
    }

    fn needs(self) -> &'static [Tool] {
        match self {
            Suite::Fmt => &[Tool::Rustfmt],
            Suite::Deny => &[Tool::CCompiler],
            Suite::Clippy => &[Tool::Clippy, Tool::CCompiler, Tool::Make],
            Suite::Tests | Suite::Doctests | Suite::Docs | Suite::Simulation | Suite::Mutants => {
                &[Tool::CCompiler, Tool::Make]
            }
            Suite::Node => &[Tool::CCompiler, Tool::Make, Tool::Node, Tool::Chromium],
            Suite::Python => &[Tool::CCompiler, Tool::Make, Tool::Python],
        }
    }

    /// Everything is built with the one dev profile into the one target folder, so that no suite builds again what an
    /// earlier one has built.
    fn run(self, workspace: &Workspace, log: &Log) -> Result<Verdict> {
        for tool in self.needs() {
            tool.ensure(workspace, log)?;
        }
        match self {
            Suite::Fmt => {
                uncounted(log, &mut workspace.cargo(["fmt", "--all", "--check", "--", "--color", "never"]))
            }
            Suite::Deny => {
                let mut deny = tool::cargo_deny(workspace, log)?;
                uncounted(log, deny.args(["--color", "never", "check", "bans", "licenses", "sources"]))
            }
            Suite::Clippy => {
                let arguments =
                    ["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"];
                uncounted(log, &mut workspace.cargo(arguments))
            }
            Suite::Tests if tool::has_nextest(workspace) => {
                let arguments = ["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"];
                counted(log, &mut workspace.cargo(arguments), Tally::of_nextest)
            }
            Suite::Tests => {
                let arguments = ["test", "--workspace", "--tests", "--no-fail-fast"];
                counted(log, &mut workspace.cargo(arguments), Tally::of_cargo_test)
            }
            Suite::Doctests => {
                let arguments = ["test", "--workspace", "--doc", "--no-fail-fast"];
                counted(log, &mut workspace.cargo(arguments), Tally::of_cargo_test)
            }
            Suite::Docs => {
                let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps", "--keep-going"]);
                uncounted(log, doc.env("RUSTDOCFLAGS", "-D warnings"))
            }
            Suite::Simulation => {
                let mut run = workspace.cargo(["run", "--package", "simulator", "--", "run"]);
                if !log.run(told_its_commit(workspace, run.args(["--seeds", SEEDS])))? {
                    return Ok(Verdict::new(false, None));
                }
                let mut mixed = workspace.cargo(["run", "--package", "simulator", "--", "run"]);
                mixed.args(["--terminals", "mixed", "--seeds", ACTIONS_SEEDS]);
                uncounted(log, told_its_commit(workspace, &mut mixed))
            }
            Suite::Mutants => {
                let mut run = workspace.cargo(["run", "--package", "simulator", "--features", "faults"]);
                let found = log.run(run.args(["--", "mutants", "--within", MUTANT_SEEDS]))?;
                // That each fault does harm, and that the same steps without it do none.
                let tests = ["test", "--features", "faults", "--test", "it", "--package"];
                let rules = log.run(workspace.cargo(tests).args(["relay", "--", "faults::"]))?;
                let shell = log.run(workspace.cargo(tests).args(["tillgate", "--", "faults::"]))?;
                Ok(Verdict::new(found && rules && shell, None))
            }
            Suite::Node => node::run(workspace, log),
            Suite::Python => python::run(workspace, log),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => Err(fmt::Error),
        }
    }
}

fn uncounted(log: &Log, command: &mut Command) -> Result<Verdict> {
    Ok(Verdict::new(log.run(command)?, None))
}

fn counted(log: &Log, command: &mut Command, count: impl Fn(&str) -> Option<Tally>) -> Result<Verdict> {
    let passed = log.run(command)?;
    let tally = count(&log.text()?);
    ensure!(tally.is_some() || !passed, "the tests passed, but their summary cannot be read");
    Ok(Verdict::new(passed, tally))
}
