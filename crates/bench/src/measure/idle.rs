//! Links that come, idle and go: memory and CPU of each.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Scale, start};
use crate::installation::Installation;
use crate::load::Load;
use crate::proc;
use crate::server::Kind;
use crate::statistics::median;

/// How often all links come and go.
const ROUNDS: usize = 3;

/// For what is done right after the last `welcome`.
const SETTLE: Duration = Duration::from_secs(1);

/// All links have gone long before this.
const GONE_MAX: Duration = Duration::from_secs(60);

/// What one server needs for its links.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) server: Kind,
    pub(crate) links: usize,
    /// Resident memory before the first link.
    pub(crate) base_bytes: u64,
    /// Of the first round: later ones find memory that is there already.
    pub(crate) bytes_per_link: f64,
    /// Median of the rounds.
    pub(crate) accepts_per_s: f64,
    /// Server CPU; median of the rounds.
    pub(crate) cpu_us_per_accept: f64,
    /// Each round, in order.
    pub(crate) cpu_us_per_accept_rounds: Vec<f64>,
    /// Resident memory when all links of all rounds have gone.
    pub(crate) after_bytes: u64,
    /// One minute's load average of the machine when it began.
    pub(crate) load_average: String,
}

/// Measures one server.
pub(crate) fn measure(kind: Kind, scale: &Scale, installation: &Installation) -> Result<Idle> {
    let links = scale.idle_links;
    let count = f64::from(u32::try_from(links)?);
    let load_average = proc::load_average();
    let (server, target) = start(kind, installation)?;
    let pid = server.pid();
    let mut load = Load::new(target)?;
    load.rest(SETTLE)?;
    let base_bytes = proc::resident_memory(pid)?;
    let (private_before, files_before) = (proc::private_memory(pid)?, proc::open_files(pid)?);
    let (mut bytes_per_link, mut rates, mut costs) = (None, Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = proc::cpu(pid)?;
        let took = load.connect(0..links)?;
        let cpu = proc::cpu(pid)? - before;
        rates.push(count / took.as_secs_f64());
        costs.push(cpu.as_secs_f64() * 1e6 / count);
        load.rest(SETTLE)?;
        let held = proc::open_files(pid)?;
        ensure!(held >= files_before + links, "the server holds {held} files only");
        let bytes = u32::try_from(proc::private_memory(pid)?.saturating_sub(private_before))?;
        bytes_per_link.get_or_insert(f64::from(bytes) / count);
        load.drop_links();
        let dropped = Instant::now();
        while proc::open_files(pid)? > files_before + links / 100 {
            ensure!(dropped.elapsed() < GONE_MAX, "the server still holds links after {GONE_MAX:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    std::thread::sleep(Duration::from_secs(scale.settle_s));
    Ok(Idle {
        server: kind,
        links,
        base_bytes,
        bytes_per_link: bytes_per_link.unwrap_or(f64::NAN),
        accepts_per_s: median(rates),
        cpu_us_per_accept: median(costs.iter().copied()),
        cpu_us_per_accept_rounds: costs,
        after_bytes: proc::resident_memory(pid)?,
        load_average,
    })
}

impl Idle {
    /// Memory when all has gone, as a multiple of what it was before.
    pub(crate) fn after_times_base(&self) -> f64 {
        self.after_bytes as f64 / self.base_bytes as f64
    }
}
