//! `tillgate serve`.

use std::process::ExitCode;

use clap::Args;

use crate::port;
use crate::settings::{Settings, raise_open_files};
use crate::signals::{AT_ONCE, Farewell, Signals};

/// Run a gateway.
///
/// Settings come from the configuration file, from environment variables over it, and from flags over both. Logs go to
/// stderr, as JSON unless that is a terminal; RUST_LOG says how much. Ctrl-C or SIGTERM stops it: requests that are under way
/// may finish first. A second one ends it at once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::listen()?;
        if let Err(error) = raise_open_files() {
            tracing::warn!("{error:#}");
        }
        let config = self.settings.config()?;
        let running = gateway::start(config).await.map_err(|error| {
            port::explain(error, "set listen in the configuration, or use --listen 127.0.0.1:0")
        })?;
        if let Ok(false) = running.admin().has_companies().await {
            tracing::warn!("there is no company in this installation yet; `tillgate init` makes one");
        }
        signals.next().await;
        tracing::info!("stopping");
        match signals.unless_again(running.stop()).await {
            Farewell::Done => {
                tracing::info!("stopped");
                Ok(ExitCode::SUCCESS)
            }
            Farewell::CutShort => Ok(ExitCode::from(AT_ONCE)),
        }
    }
}
