//! What the gateway costs, beside a raw server and a plain one: `cargo xtask bench`.
//!
//! One run measures all three on one machine, for figures of different runs cannot be compared. `docs/benchmark.md` says
//! what is measured and how to read it.

mod installation;
mod load;
mod measure;
mod messages;
mod plain_server;
mod poll;
mod proc;
mod raw_server;
mod report;
mod server;
mod statistics;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::installation::Installation;
use crate::measure::{Scale, actions, idle, routed, start};
use crate::report::Figures;
use crate::server::{Kind, Product, ServerCore};

#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure, and write the report
    Run(Run),
    /// Be the raw server
    #[command(hide = true)]
    Raw,
    /// Be the plain server
    #[command(hide = true)]
    Plain,
    /// Become another program, on the servers' core
    #[command(hide = true)]
    Pinned {
        core: usize,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Args, Debug)]
struct Run {
    /// Small numbers, to see in a minute whether everything works; its figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Take this measure alone; may be given several times
    #[arg(long, value_name = "MEASURE")]
    only: Vec<Measure>,
    /// Where report, plots and figures go
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
    /// The program to measure [default: tillgate, beside this program]
    #[arg(long, value_name = "FILE")]
    tillgate: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Memory and CPU of links that come, idle and go
    Idle,
    /// The same over TLS
    IdleTls,
    /// CPU and latency of requests
    Routed,
    /// Desktops and terminals of the Actions API
    Actions,
    /// Start of `serve`
    Start,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Run(run) => run.go(),
        Task::Raw => raw_server::run(),
        Task::Plain => plain_server::run(),
        Task::Pinned { core, command } => server::run_pinned(core, &command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    fn go(self) -> Result<()> {
        let started = Instant::now();
        let say = |what: &str| eprintln!("[{:6.1} s] {what}", started.elapsed().as_secs_f64());
        let scale = if self.quick { Scale::QUICK } else { Scale::FULL };
        let wants = |measure| self.only.is_empty() || self.only.contains(&measure);
        raise_open_files()?;
        let mut figures = Figures::new(self.quick, commit());
        let core = ServerCore::choose()?;
        let program = match self.tillgate {
            Some(program) => program,
            None => std::env::current_exe()?.with_file_name("tillgate"),
        };
        say(&format!("boarding {} terminals", scale.terminals_max()));
        let installation = Installation::new(
            Product { core, program, dir: self.out.join("installation") },
            scale.terminals_max(),
        )?;
        for kind in [Kind::Raw, Kind::Plain, Kind::Tillgate, Kind::TillgateTls] {
            let measure = if kind == Kind::TillgateTls { Measure::IdleTls } else { Measure::Idle };
            if wants(measure) {
                let idle = idle::measure(kind, &scale, &installation)
                    .with_context(|| format!("idle links of {}", kind.name()))?;
                say(&format!(
                    "{}: {:.0} bytes per idle link, {:.1} µs per accept, {:.0} accepts/s, memory afterwards {:.1} × base",
                    kind.name(),
                    idle.bytes_per_link,
                    idle.cpu_us_per_accept,
                    idle.accepts_per_s,
                    idle.after_times_base()
                ));
                figures.idle.push(idle);
            }
        }
        for kind in [Kind::Raw, Kind::Plain, Kind::Tillgate] {
            if wants(Measure::Routed) {
                let routed = routed::measure(kind, &scale, &installation)
                    .with_context(|| format!("routed requests of {}", kind.name()))?;
                let (at_most, at_rate) = (&routed.saturation, &routed.latency);
                say(&format!(
                    "{}: {:.1} µs per request at {:.0}/s on {:.2} cores; p50 {:.0}, p99 {:.0}, p99.9 {:.0} µs at {}/s",
                    kind.name(),
                    at_most.cpu_us_per_request,
                    at_most.requests_per_s,
                    at_most.cores,
                    at_rate.p50,
                    at_rate.p99,
                    at_rate.p99_9,
                    at_rate.per_s
                ));
                figures.routed.push(routed);
            }
        }
        if wants(Measure::Actions) {
            let product = Product { dir: self.out.join("actions"), ..installation.product.clone() };
            let found = actions::measure(&product, &scale).context("the Actions API")?;
            say(&format!(
                "Actions API: {} of {} payments at {}/s succeeded; p50 {:.0}, p99 {:.0}, p99.9 {:.0} µs; {:.0} bytes per connection",
                found.succeeded,
                found.succeeded + found.others.values().sum::<u64>(),
                found.payments_per_s,
                found.p50,
                found.p99,
                found.p99_9,
                found.bytes_per_connection
            ));
            figures.actions = Some(found);
            std::fs::remove_dir_all(product.data_dir())?;
        }
        if wants(Measure::Start) {
            let start = start::measure(scale.terminals_max(), &installation)?;
            say(&format!("start of serve: {:.0} ms", start.ms));
            figures.start = Some(start);
        }
        std::fs::remove_dir_all(installation.product.data_dir())?;
        let report = report::write(&figures, &self.out)?;
        say(&format!("written: {}", report.display()));
        Ok(())
    }
}

/// What is measured, if this is a checkout.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let is_changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|text| !text.is_empty());
    if is_changed { format!("{commit}, with changes") } else { commit }
}

/// Each link is a file, here as in the server.
fn raise_open_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
