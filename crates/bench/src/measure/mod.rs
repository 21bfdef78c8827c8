//! What is measured, and how.

pub(crate) mod actions;
pub(crate) mod idle;
pub(crate) mod routed;
pub(crate) mod start;

use std::sync::Arc;

use anyhow::Result;

use crate::installation::Installation;
use crate::load::{Dialect, Target};
use crate::server::{Kind, Server};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Links of the idle measure. A process may have 20,000 files open, and a server needs some for itself.
    pub(crate) idle_links: usize,
    /// Terminals that are connected while requests are routed.
    pub(crate) terminals: usize,
    /// How many of them get requests.
    pub(crate) busy: usize,
    /// Tills: requests under way at once at saturation.
    pub(crate) tills: usize,
    /// Seconds of one window.
    pub(crate) window_s: u64,
    /// Of how many runs the median is taken.
    pub(crate) runs: usize,
    /// Requests per second of the latency measure.
    pub(crate) rate: u32,
    /// Seconds after which memory is looked at, once all links have gone. jemalloc gives back what was not used for ten.
    pub(crate) settle_s: u64,
    /// Terminals of the Actions API, and as many desktops.
    pub(crate) actions: usize,
    /// Their payments per second.
    pub(crate) actions_rate: u32,
    /// For so many seconds.
    pub(crate) actions_s: u64,
}

impl Scale {
    /// What the budgets are for.
    pub(crate) const FULL: Scale = Scale {
        idle_links: 19_000,
        terminals: 10_000,
        busy: 1_000,
        tills: 256,
        window_s: 6,
        runs: 3,
        rate: 2_000,
        settle_s: 15,
        actions: 2_000,
        actions_rate: 200,
        actions_s: 60,
    };

    /// Whether everything works, in a minute.
    pub(crate) const QUICK: Scale = Scale {
        idle_links: 1_000,
        terminals: 1_000,
        busy: 100,
        tills: 64,
        window_s: 1,
        runs: 1,
        rate: 500,
        settle_s: 1,
        actions: 200,
        actions_rate: 50,
        actions_s: 2,
    };

    /// How many terminals an installation needs for all measures.
    pub(crate) fn terminals_max(&self) -> usize {
        self.idle_links.max(self.terminals)
    }
}

/// Starts a server; with what it is spoken to.
fn start(kind: Kind, installation: &Installation) -> Result<(Server, Target)> {
    let (server, tls, dialect) = match kind {
        Kind::Raw | Kind::Plain => {
            (Server::start_own(kind, installation.product.core)?, None, Arc::new(Dialect::Bare))
        }
        Kind::Tillgate => {
            (Server::start_product(&installation.product, kind)?, None, installation.dialect.clone())
        }
        Kind::TillgateTls => (
            Server::start_product(&installation.product, kind)?,
            Some(installation.tls.clone()),
            installation.dialect.clone(),
        ),
    };
    let target = Target { address: server.address, tls, dialect };
    Ok((server, target))
}
