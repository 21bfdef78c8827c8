//! The figures that we want to reach, and whether this run reached them.
//!
//! *First* is what must be; *aim* is where we are going. Most are multiples of the raw server in the same run.

use crate::measure::idle::Idle;
use crate::measure::routed::Routed;
use crate::report::Figures;
use crate::server::Kind;

/// One line of the table.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) what: &'static str,
    pub(super) first: String,
    pub(super) aim: String,
    pub(super) measured: String,
    /// What was measured, first and aim, if it can be compared.
    compared: Option<(f64, f64, f64)>,
}

impl Line {
    pub(super) fn verdict(&self) -> &'static str {
        match self.compared {
            None => "–",
            Some((value, _, aim)) if value <= aim => "aim reached",
            Some((value, first, _)) if value <= first => "first reached",
            Some(_) => "**missed**",
        }
    }
}

/// A bound, and how it is written.
#[derive(Clone, Copy, Debug)]
enum Unit {
    TimesRaw,
    TimesBase,
    Bytes,
}

/// All lines, in the order of the budgets.
pub(super) fn lines(figures: &Figures) -> Vec<Line> {
    let routed = |of: fn(&Routed) -> f64| {
        let (ours, raw) = (figures.routed_of(Kind::Tillgate)?, figures.routed_of(Kind::Raw)?);
        Some((of(ours), of(raw)))
    };
    let idle = |kind, of: fn(&Idle) -> f64| figures.idle_of(kind).map(of);
    let accept = |kind| idle(kind, |idle| idle.cpu_us_per_accept);
    let cpu = routed(|r| r.saturation.cpu_us_per_request);
    // The raw server has no ledger, so nothing is taken out of its figure.
    let without_ledger = routed(|r| r.saturation.cpu_us_per_request - r.saturation.ledger_us_per_request);
    let p99 = routed(|r| r.latency.p99);
    let ratio = |both: Option<(f64, f64)>| both.map(|(ours, raw)| ours / raw);
    let mut lines = vec![
        line("server CPU per routed request at saturation", Unit::TimesRaw, 3.5, 2.2, ratio(cpu)),
        line("the same with the ledger's share taken out", Unit::TimesRaw, 2.0, 1.5, ratio(without_ledger)),
        line("p99 at the fixed rate", Unit::TimesRaw, 4.0, 2.0, ratio(p99)),
        line(
            "user-space bytes per idle plain link",
            Unit::Bytes,
            3500.0,
            1000.0,
            idle(Kind::Tillgate, |i| i.bytes_per_link),
        ),
        line(
            "user-space bytes per idle TLS link",
            Unit::Bytes,
            13_000.0,
            9000.0,
            idle(Kind::TillgateTls, |i| i.bytes_per_link),
        ),
        line(
            "server CPU per accepted link",
            Unit::TimesRaw,
            4.0,
            2.0,
            ratio(accept(Kind::Tillgate).zip(accept(Kind::Raw))),
        ),
        line(
            "memory after 3 × all links came and went",
            Unit::TimesBase,
            4.0,
            2.5,
            idle(Kind::Tillgate, Idle::after_times_base),
        ),
    ];
    lines.push(Line {
        what: "1,000,000-terminal list: extra memory, time to first byte",
        first: "4 MB, 50 ms".into(),
        aim: "1 MB, 10 ms".into(),
        measured: "not measured yet (fleet import comes later)".into(),
        compared: None,
    });
    let start = figures.start.as_ref().map(|start| format!("; {:.0} ms with {}", start.ms, start.terminals));
    lines.push(Line {
        what: "start of `serve` with 1,000,000 terminals on file",
        first: "2 s".into(),
        aim: "0.5 s".into(),
        measured: format!("not measured yet (fleet import comes later){}", start.unwrap_or_default()),
        compared: None,
    });
    lines
}

fn line(what: &'static str, unit: Unit, first: f64, aim: f64, measured: Option<f64>) -> Line {
    let written = |value: f64| match unit {
        Unit::TimesRaw => format!("{value:.2} × raw"),
        Unit::TimesBase => format!("{value:.2} × base"),
        Unit::Bytes => format!("{value:.0}"),
    };
    Line {
        what,
        first: written(first),
        aim: written(aim),
        measured: measured.map_or("not measured in this run".into(), written),
        compared: measured.map(|value| (value, first, aim)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_which_bound_was_reached() {
        let verdict = |value| line("x", Unit::Bytes, 3500.0, 1000.0, value).verdict();
        assert_eq!(verdict(Some(1000.0)), "aim reached");
        assert_eq!(verdict(Some(1000.1)), "first reached");
        assert_eq!(verdict(Some(3500.0)), "first reached");
        assert_eq!(verdict(Some(3500.1)), "**missed**");
        assert_eq!(verdict(None), "–");
    }

    #[test]
    fn what_was_not_measured_is_said_so() {
        let figures = Figures::new(true, "unknown".into());
        for line in lines(&figures) {
            assert!(line.measured.starts_with("not measured"), "{line:?}");
            assert_eq!(line.verdict(), "–");
        }
    }
}
