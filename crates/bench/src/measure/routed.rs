//! Requests that are routed to terminals and answered: CPU of each at saturation, latency at a fixed rate.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Scale, start};
use crate::installation::Installation;
use crate::load::Load;
use crate::proc;
use crate::server::Kind;
use crate::statistics::{Latencies, median};

/// The thread that writes the ledger and nothing else while requests are routed. Its CPU is the ledger's share.
pub(crate) const LEDGER_THREAD: &str = "store-writer";

const WARM_UP: Duration = Duration::from_secs(1);

/// What one server needs for a request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Routed {
    pub(crate) server: Kind,
    pub(crate) terminals: usize,
    pub(crate) busy: usize,
    pub(crate) saturation: Saturation,
    pub(crate) latency: Latency,
    /// One minute's load average of the machine when it began.
    pub(crate) load_average: String,
}

/// As many requests as it can take.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Saturation {
    pub(crate) requests_per_s: f64,
    /// Server CPU; the median run's.
    pub(crate) cpu_us_per_request: f64,
    pub(crate) cpu_us_per_request_runs: Vec<f64>,
    /// Of that, what [`LEDGER_THREAD`] used.
    pub(crate) ledger_us_per_request: f64,
    /// How busy the server's core was: at less than 1 the load generator may have been what limited it.
    pub(crate) cores: f64,
    /// CPU by name of thread, of the last run.
    pub(crate) threads_us_per_request: BTreeMap<String, f64>,
}

/// At a fixed rate, open loop; microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) per_s: u32,
    /// Each the median of the runs.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) p99_runs: Vec<f64>,
    /// Of all runs together: share of the requests, and what they did not exceed.
    pub(crate) curve: Vec<(f64, f64)>,
    /// Server CPU at this rate.
    pub(crate) cpu_us_per_request: f64,
}

/// Measures one server.
pub(crate) fn measure(kind: Kind, scale: &Scale, installation: &Installation) -> Result<Routed> {
    let load_average = proc::load_average();
    let (server, target) = start(kind, installation)?;
    let pid = server.pid();
    let mut load = Load::new(target)?;
    load.connect(0..scale.terminals)?;
    load.open_tills(scale.tills)?;
    let saturation = saturate(&mut load, pid, scale)?;
    let latency = at_rate(&mut load, pid, scale)?;
    Ok(Routed {
        server: kind,
        terminals: scale.terminals,
        busy: scale.busy,
        saturation,
        latency,
        load_average,
    })
}

fn saturate(load: &mut Load, pid: u32, scale: &Scale) -> Result<Saturation> {
    load.saturate(scale.busy, WARM_UP)?;
    let (mut rates, mut costs, mut ledger, mut cores) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut threads_us_per_request = BTreeMap::new();
    for _ in 0..scale.runs {
        let (cpu, threads) = (proc::cpu(pid)?, proc::cpu_by_thread(pid)?);
        let window = load.saturate(scale.busy, Duration::from_secs(scale.window_s))?;
        let cpu = (proc::cpu(pid)? - cpu).as_secs_f64();
        let now = proc::cpu_by_thread(pid)?;
        ensure!(window.failed == 0, "{} of {} answers were wrong", window.failed, window.answered);
        let requests = window.answered as f64;
        threads_us_per_request = now
            .iter()
            .map(|(name, time)| {
                let before = threads.get(name).copied().unwrap_or_default();
                (name.clone(), time.saturating_sub(before).as_secs_f64() * 1e6 / requests)
            })
            .collect();
        rates.push(requests / window.took.as_secs_f64());
        costs.push(cpu * 1e6 / requests);
        cores.push(cpu / window.took.as_secs_f64());
        ledger.push(threads_us_per_request.get(LEDGER_THREAD).copied().unwrap_or_default());
    }
    load.drain()?;
    Ok(Saturation {
        requests_per_s: median(rates),
        cpu_us_per_request: median(costs.iter().copied()),
        cpu_us_per_request_runs: costs,
        ledger_us_per_request: median(ledger),
        cores: median(cores),
        threads_us_per_request,
    })
}

fn at_rate(load: &mut Load, pid: u32, scale: &Scale) -> Result<Latency> {
    load.at_rate(scale.rate, scale.busy, WARM_UP)?;
    let mut all = Latencies::new()?;
    let (mut quantiles, mut costs) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
    for _ in 0..scale.runs {
        let cpu = proc::cpu(pid)?;
        let window = load.at_rate(scale.rate, scale.busy, Duration::from_secs(scale.window_s))?;
        ensure!(window.failed == 0, "{} of {} answers were wrong", window.failed, window.answered);
        costs.push((proc::cpu(pid)? - cpu).as_secs_f64() * 1e6 / window.answered as f64);
        for (of, share) in quantiles.iter_mut().zip([0.5, 0.99, 0.999]) {
            of.push(window.latencies.quantile(share));
        }
        all.add(&window.latencies)?;
    }
    let shares = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];
    let [p50, p99, p99_9] = quantiles;
    Ok(Latency {
        per_s: scale.rate,
        p50: median(p50),
        p99: median(p99.iter().copied()),
        p99_9: median(p99_9),
        p99_runs: p99,
        curve: shares.map(|share| (share, all.quantile(share))).to_vec(),
        cpu_us_per_request: median(costs),
    })
}
