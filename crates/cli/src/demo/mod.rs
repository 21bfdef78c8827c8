//! `tillgate demo`: a gateway with a small fleet of virtual terminals, ready for a first payment.

mod fleet;
mod keys;
mod ready_file;
mod screen;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use gateway::{Config, Running};
use tempfile::TempDir;
use virtual_terminal::{Handle, State};

pub(crate) use ready_file::ReadyFile;

use crate::port;
use crate::settings::raise_open_files;
use crate::signals::{AT_ONCE, Farewell, Signals};

/// How long the terminals may take to connect before something is plainly wrong.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Who ends a demo does not want to wait for a cardholder.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Run a gateway with virtual terminals, to try everything out.
///
/// Needs nothing: it makes a company with terminals, stores and API keys on temporary data, connects its virtual terminals,
/// and prints what to paste for a first payment. Nothing in it moves real money. Ctrl-C ends it and removes the data; a second
/// Ctrl-C ends it at once.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where to listen on 127.0.0.1; 0 takes any free port
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// Write URL, keys and terminals there as JSON, once all is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Keep the data there, for the next demo [default: temporary]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Where a demo keeps its data. What is temporary goes when this is dropped.
enum Data {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Data {
    fn path(&self) -> &Path {
        match self {
            Data::Kept(path) => path,
            Data::Temporary(dir) => dir.path(),
        }
    }

    fn remove_if_temporary(self) {
        if let Data::Temporary(dir) = self {
            let path = dir.path().to_owned();
            if let Err(error) = dir.close() {
                eprintln!("{} was not removed: {error}", path.display());
            }
        }
    }
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let mut signals = Signals::listen()?;
        if let Err(error) = raise_open_files() {
            tracing::warn!("{error:#}");
        }
        let data = match &self.data_dir {
            Some(dir) => Data::Kept(dir.clone()),
            None => Data::Temporary(
                tempfile::Builder::new()
                    .prefix("tillgate-demo-")
                    .tempdir()
                    .context("can't make a temporary directory; name one with --data-dir")?,
            ),
        };
        let config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            data_dir: data.path().to_owned(),
            drain_max: DRAIN_MAX,
            ..Config::default()
        };
        let running =
            gateway::start(config).await.map_err(|error| port::explain(error, "tillgate demo --port 0"))?;
        let mut terminals = Vec::new();
        let opened = tokio::select! {
            opened = self.open(&running, data.path(), &mut terminals) => opened,
            () = signals.next() => bail!("ended before it was ready"),
        };
        let served = match opened {
            Ok(ready) => {
                screen::print(&ready, &data, self.ready_file.as_deref(), started.elapsed())?;
                signals.next().await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        let ready_file = self.ready_file.as_deref().filter(|_| served.is_ok());
        let farewell = signals.unless_again(close(running, terminals, ready_file)).await;
        data.remove_if_temporary();
        served.map(|()| match farewell {
            Farewell::Done => ExitCode::SUCCESS,
            Farewell::CutShort => ExitCode::from(AT_ONCE),
        })
    }

    /// Makes the fleet, connects it, and writes the ready file when that is done.
    async fn open(
        &self,
        running: &Running,
        dir: &Path,
        terminals: &mut Vec<Handle>,
    ) -> anyhow::Result<ReadyFile> {
        let admin = running.admin();
        let url = format!("http://{}", running.http_address());
        let api_keys = keys::make(admin, dir).await?;
        fleet::make(admin).await?;
        let entries = fleet::connect(admin, &url, dir, terminals).await?;
        for (handle, entry) in terminals.iter().zip(entries.iter().filter(|entry| entry.boarded)) {
            connected(handle, &entry.poi_id).await?;
        }
        let ready = ReadyFile {
            base_url: url,
            api_keys,
            company_account: fleet::COMPANY.to_owned(),
            merchant_accounts: fleet::MERCHANTS.map(str::to_owned).to_vec(),
            stores: fleet::STORES.map(str::to_owned).to_vec(),
            terminals: entries,
        };
        if let Some(file) = &self.ready_file {
            ready.write(file)?;
        }
        Ok(ready)
    }
}

async fn connected(handle: &Handle, poi: &str) -> anyhow::Result<()> {
    let mut state = handle.state();
    let settled = state
        .wait_for(|state| matches!(state, State::Online | State::Stopped { .. } | State::Replaced { .. }));
    let settled =
        tokio::time::timeout(CONNECT_MAX, settled).await.map(|state| state.map(|state| state.clone()));
    match settled {
        Ok(Ok(State::Online)) => Ok(()),
        Ok(Ok(State::Stopped { why })) => bail!("virtual terminal {poi} stopped: {why}"),
        Ok(Ok(State::Replaced { .. })) => {
            bail!("another program is virtual terminal {poi}: is there a second demo on this data?")
        }
        Ok(Ok(_) | Err(_)) => bail!("virtual terminal {poi} ended by itself"),
        Err(_) => bail!("virtual terminal {poi} did not connect within {} s", CONNECT_MAX.as_secs()),
    }
}

/// Ends everything in good order.
async fn close(running: Running, terminals: Vec<Handle>, ready_file: Option<&Path>) {
    if let Some(file) = ready_file {
        // What it says is no longer so.
        if let Err(error) = std::fs::remove_file(file) {
            tracing::debug!(%error, "the ready file was not removed");
        }
    }
    // The gateway first: its terminals are needed for as long as requests are under way, and hear that it stops.
    running.stop().await;
    for terminal in terminals {
        terminal.stop().await;
    }
}
