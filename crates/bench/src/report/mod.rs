//! The report: figures as JSON, a table against the budgets, plots.

mod budgets;
mod plots;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::measure::actions::Actions;
use crate::measure::idle::Idle;
use crate::measure::routed::{LEDGER_THREAD, Routed};
use crate::measure::start::Start;
use crate::proc;
use crate::server::Kind;

/// Everything that one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    machine: String,
    commit: String,
    /// Then the figures mean nothing.
    quick: bool,
    pub(crate) idle: Vec<Idle>,
    pub(crate) routed: Vec<Routed>,
    pub(crate) actions: Option<Actions>,
    pub(crate) start: Option<Start>,
}

impl Figures {
    /// Nothing yet.
    pub(crate) fn new(quick: bool, commit: String) -> Figures {
        Figures {
            machine: proc::machine(),
            commit,
            quick,
            idle: Vec::new(),
            routed: Vec::new(),
            actions: None,
            start: None,
        }
    }

    fn idle_of(&self, kind: Kind) -> Option<&Idle> {
        self.idle.iter().find(|idle| idle.server == kind)
    }

    fn routed_of(&self, kind: Kind) -> Option<&Routed> {
        self.routed.iter().find(|routed| routed.server == kind)
    }
}

/// Writes `figures.json`, `report.md` and the plots that there are figures for; where the report is.
pub(crate) fn write(figures: &Figures, dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(dir.join("figures.json"), serde_json::to_string_pretty(figures)?)?;
    let plots = plots::draw(figures, dir)?;
    let report = dir.join("report.md");
    fs::write(&report, markdown(figures, &plots)?)?;
    Ok(report)
}

fn markdown(figures: &Figures, plots: &[&str]) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "# Benchmark\n")?;
    if figures.quick {
        writeln!(text, "**A quick run: it shows that everything works, and its figures mean nothing.**\n")?;
    }
    writeln!(text, "- Machine: {}", figures.machine)?;
    writeln!(text, "- Commit: {}", figures.commit)?;
    writeln!(
        text,
        "- Each server has one core, the load generator the other. Ratios hold within this run; absolute figures move from \
         run to run.\n"
    )?;
    writeln!(text, "## Against the budgets\n")?;
    writeln!(text, "| what | first | aim | measured | verdict |\n|---|---|---|---|---|")?;
    for line in budgets::lines(figures) {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            line.what,
            line.first,
            line.aim,
            line.measured,
            line.verdict()
        )?;
    }
    if !figures.idle.is_empty() {
        idle_table(figures, &mut text)?;
    }
    if !figures.routed.is_empty() {
        routed_tables(figures, &mut text)?;
    }
    if let Some(actions) = &figures.actions {
        actions_table(actions, &mut text)?;
    }
    if !plots.is_empty() {
        writeln!(text, "\n## Plots\n")?;
        for plot in plots {
            writeln!(text, "![{plot}]({plot})")?;
        }
    }
    writeln!(text, "\n## How it was measured\n")?;
    text.push_str(include_str!("how.md"));
    Ok(text)
}

fn idle_table(figures: &Figures, text: &mut String) -> Result<()> {
    writeln!(text, "\n## Links that come, idle and go\n")?;
    writeln!(
        text,
        "| server | links | bytes per idle link | accepts/s | CPU µs per accept (rounds) | memory before | after 3 rounds | × | load |\n\
         |---|---|---|---|---|---|---|---|---|"
    )?;
    for idle in &figures.idle {
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0));
        writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.1} ({}) | {} | {} | {:.1} | {} |",
            idle.server.name(),
            idle.links,
            idle.bytes_per_link,
            idle.accepts_per_s,
            idle.cpu_us_per_accept,
            each(&idle.cpu_us_per_accept_rounds),
            mebibytes(idle.base_bytes),
            mebibytes(idle.after_bytes),
            idle.after_times_base(),
            idle.load_average
        )?;
    }
    Ok(())
}

fn routed_tables(figures: &Figures, text: &mut String) -> Result<()> {
    writeln!(text, "\n## Requests at saturation\n")?;
    writeln!(
        text,
        "| server | requests/s | CPU µs per request (runs) | of that {LEDGER_THREAD} | cores busy | load |\n|---|---|---|---|---|---|"
    )?;
    for routed in &figures.routed {
        let found = &routed.saturation;
        writeln!(
            text,
            "| {} | {:.0} | {:.1} ({}) | {:.1} | {:.2} | {} |",
            routed.server.name(),
            found.requests_per_s,
            found.cpu_us_per_request,
            each(&found.cpu_us_per_request_runs),
            found.ledger_us_per_request,
            found.cores,
            routed.load_average
        )?;
    }
    writeln!(text, "\n## Latency, open loop, µs\n")?;
    writeln!(
        text,
        "| server | requests/s | p50 | p99 (runs) | p99.9 | CPU µs per request |\n|---|---|---|---|---|---|"
    )?;
    for routed in &figures.routed {
        let found = &routed.latency;
        writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} ({}) | {:.0} | {:.1} |",
            routed.server.name(),
            found.per_s,
            found.p50,
            found.p99,
            each(&found.p99_runs),
            found.p99_9,
            found.cpu_us_per_request
        )?;
    }
    Ok(())
}

fn actions_table(found: &Actions, text: &mut String) -> Result<()> {
    writeln!(text, "\n## The Actions API\n")?;
    writeln!(text, "| what | measured |\n|---|---|")?;
    writeln!(text, "| desktops, terminals | {}, {} |", found.desktops, found.terminals)?;
    writeln!(text, "| payments | {}/s for {} s |", found.payments_per_s, found.seconds)?;
    writeln!(text, "| succeeded | {} |", found.succeeded)?;
    for (code, count) in &found.others {
        writeln!(text, "| ended with {code} | {count} |")?;
    }
    writeln!(text, "| p50, p99, p99.9 µs | {:.0}, {:.0}, {:.0} |", found.p50, found.p99, found.p99_9)?;
    writeln!(text, "| CPU µs per payment | {:.1} |", found.cpu_us_per_payment)?;
    writeln!(
        text,
        "| bytes per connection (desktop, terminal) | {:.0} ({:.0}, {:.0}) |",
        found.bytes_per_connection, found.bytes_per_desktop, found.bytes_per_terminal
    )?;
    writeln!(text, "| load | {} |", found.load_average)?;
    Ok(())
}

fn each(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.1}")).collect::<Vec<_>>().join(", ")
}
