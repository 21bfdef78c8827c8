//! `tillgate demo`: a gateway with a small fleet of virtual terminals, ready for a first payment.

mod certificate;
mod encryption_key;
mod fleet;
mod keys;
mod private_file;
mod ready_file;
mod screen;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use gateway::{ActionsSettings, Config, Limits, Running, StartError, Tls};
use tempfile::TempDir;
use virtual_terminal::{Handle, State};

pub(crate) use ready_file::ReadyFile;

use crate::port;
use crate::settings::raise_open_files;
use crate::signals::{AT_ONCE, Farewell, Signals};

/// How long the terminals may take to connect before something is plainly wrong.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Where HTTPS is, unless something else is asked for.
const TLS_PORT: u16 = 8443;

/// Who ends a demo does not want to wait for a cardholder.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Run a gateway with virtual terminals, to try everything out.
///
/// Needs nothing: it makes a company with terminals, stores and API keys on temporary data, connects its virtual terminals,
/// and prints what to paste for a first payment. Nothing in it moves real money. Ctrl-C ends it and removes the data; a second
/// Ctrl-C ends it at once.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where to listen on 127.0.0.1 for HTTP; 0 takes any free port
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// The same for HTTPS [default: 8443, or any free port with --port 0]
    #[arg(long, value_name = "N")]
    tls_port: Option<u16>,
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
        let tls_port = self.tls_port()?;
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
        private_file::create_dir(data.path())
            .map_err(|problem| StartError::DataDir { path: data.path().to_owned(), problem })?;
        let certificate = certificate::prepare(data.path())?;
        let config = Config {
            listen: loopback(self.port),
            tls: Some(Tls { listen: loopback(tls_port), cert: certificate.cert, key: certificate.key }),
            data_dir: data.path().to_owned(),
            drain_max: DRAIN_MAX,
            limits: Limits::default().with_rates_raised(100),
            // "null" is a page that was opened from a file, such as that of examples/actions-pos.
            actions: ActionsSettings {
                allow_key_in_query: true,
                origins: vec!["null".parse()?],
                ..ActionsSettings::default()
            },
            ..Config::default()
        };
        let running = gateway::start(config).await.map_err(|error| {
            let of_tls = matches!(&error, StartError::PortTaken(address) if address.port() == tls_port);
            port::explain(error, if of_tls { "tillgate demo --tls-port 0" } else { "tillgate demo --port 0" })
        })?;
        let mut terminals = Vec::new();
        let opened = tokio::select! {
            opened = self.open(&running, data.path(), certificate.ca, &mut terminals) => opened,
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

    /// Where HTTPS goes: whoever wants any port for the one wants no fixed port for the other.
    fn tls_port(&self) -> anyhow::Result<u16> {
        let port = self.tls_port.unwrap_or(if self.port == 0 { 0 } else { TLS_PORT });
        if port == self.port && port != 0 {
            bail!("port {port} can't be for HTTP and HTTPS both: name another one with --tls-port");
        }
        Ok(port)
    }

    /// Makes the fleet, connects it, and writes the ready file when that is done.
    async fn open(
        &self,
        running: &Running,
        dir: &Path,
        ca_file: PathBuf,
        terminals: &mut Vec<Handle>,
    ) -> anyhow::Result<ReadyFile> {
        let admin = running.admin();
        let url = format!("http://{}", running.http_address());
        let tls_address = running.tls_address().context("HTTPS is not offered")?;
        fleet::make(admin).await?;
        let (api_keys, own_key) = keys::make(admin, dir).await?;
        let shared_key = encryption_key::make(dir)?;
        let mut entries = fleet::connect(admin, &url, dir, &shared_key, terminals).await?;
        entries.extend(fleet::connect_actions(&url, dir, &own_key, terminals).await?);
        for (handle, entry) in terminals.iter().zip(entries.iter().filter(|entry| entry.boarded)) {
            connected(handle, &entry.poi_id).await?;
        }
        let ready = ReadyFile {
            base_url: url,
            tls_base_url: format!("https://{tls_address}"),
            ca_file,
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

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
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
