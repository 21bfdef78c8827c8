//! The chaos run: real processes that are killed, cut off and starved of disk. What it does is in
//! `crates/cli/tests/it/chaos`; here the program is built that it does it to.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::simulate::told_its_commit;
use crate::workspace::Workspace;

const TEST: &str =
    "chaos::whatever_breaks_at_any_moment_every_sale_is_paid_once_and_nobody_is_told_otherwise";

/// The faults of the gateway's shell, which no simulation of its rules can see.
const SHELL_FAULTS: [&str; 4] =
    ["answer-before-commit", "waiter-not-removed", "wrong-waiter-woken", "epoch-not-passed"];

/// How a run's figures begin, and how the word that a fault was found goes on.
const FIGURES: &str = "executed twice ";
const FOUND: &str = ": found ";

/// What is asked for.
#[derive(Args, Debug)]
pub(crate) struct Chaos {
    /// For how long, in rounds of a minute; with a fault, within what time it has to be found
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    minutes: f64,
    /// Of the first round
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run a gateway with this deliberate fault, until it is found
    #[arg(long, value_name = "NAME", conflicts_with = "faults")]
    fault: Option<String>,
    /// The same for each fault of the gateway's shell, one after the other; ends with a table
    #[arg(long)]
    faults: bool,
}

impl Chaos {
    /// `Ok(false)` if something was found, or a fault was not.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<bool> {
        let faults: Vec<&str> = match &self.fault {
            Some(fault) => vec![fault],
            None if self.faults => SHELL_FAULTS.to_vec(),
            None => Vec::new(),
        };
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let mut build = workspace.cargo(["build", "--package", "tillgate"]);
        let program = if faults.is_empty() {
            build.arg("--release");
            target.join("release/tillgate")
        } else {
            // In a place of its own, so that no such program is ever taken for a real one.
            let apart = target.join("faults");
            build.args(["--features", "faults", "--target-dir"]).arg(&apart);
            apart.join("debug/tillgate")
        };
        if !build.status().context("cannot start Cargo")?.success() {
            return Ok(false);
        }
        let program = workspace.root().join(program);
        if faults.is_empty() {
            let (passed, last_words) = self.test(workspace, &program, None)?;
            last_words.iter().for_each(|line| println!("{line}"));
            return Ok(passed);
        }
        let mut all_found = true;
        let mut table = Vec::new();
        for fault in faults {
            let (found, last_words) = self.test(workspace, &program, Some(fault))?;
            all_found &= found;
            let word = last_words.into_iter().find(|line| line.starts_with(fault));
            table.push(word.unwrap_or_else(|| format!("{fault}: NOT FOUND")));
        }
        table.iter().for_each(|line| println!("{line}"));
        Ok(all_found)
    }

    /// Runs the test, shows what it prints, and returns its last words: the figures, or that a fault was found.
    fn test(
        &self,
        workspace: &Workspace,
        program: &PathBuf,
        fault: Option<&str>,
    ) -> Result<(bool, Vec<String>)> {
        let mut cargo = workspace.cargo(["test", "--quiet", "--package", "tillgate", "--test", "it", "--"]);
        cargo.args(["--exact", "--nocapture", TEST]);
        cargo.env("TILLGATE_CHAOS_PROGRAM", program).env("TILLGATE_CHAOS_MINUTES", self.minutes.to_string());
        cargo.envs(self.seed.map(|seed| ("TILLGATE_TEST_SEED", seed.to_string())));
        cargo.envs(fault.map(|fault| ("TILLGATE_CHAOS_FAULT", fault)));
        told_its_commit(workspace, &mut cargo).stdout(Stdio::piped());
        let mut running = cargo.spawn().context("cannot start Cargo")?;
        let mut last_words = Vec::new();
        for line in running.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
            let line = line.context("cannot read what the test prints")?;
            println!("{line}");
            if line.starts_with(FIGURES)
                || fault.is_some_and(|fault| line.starts_with(&format!("{fault}{FOUND}")))
            {
                last_words.push(line);
            }
        }
        Ok((running.wait().context("the test was lost")?.success(), last_words))
    }
}
