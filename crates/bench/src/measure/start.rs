//! How long `tillgate serve` takes to start.

use anyhow::Result;
use serde::Serialize;

use crate::installation::Installation;
use crate::server::{Kind, Server};
use crate::statistics::median;

const RUNS: usize = 5;

/// From the start of the process to the moment at which it listens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Start {
    /// On file.
    pub(crate) terminals: usize,
    /// Median.
    pub(crate) ms: f64,
}

/// Measures it.
pub(crate) fn measure(terminals: usize, installation: &Installation) -> Result<Start> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let server = Server::start_product(&installation.product, Kind::Tillgate)?;
        times.push(server.started_in.as_secs_f64() * 1e3);
    }
    Ok(Start { terminals, ms: median(times) })
}
