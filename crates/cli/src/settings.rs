//! The configuration that a command works with: the file, environment variables over it, flags over both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use gateway::{Cidr, Config, Environment, HostName, Tls};

use crate::program::quoted;

/// Which installation a command is about.
#[derive(Debug, Args)]
pub(crate) struct Installation {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "TILLGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the database [default: tillgate-data]
    #[arg(long, value_name = "DIR", env = "TILLGATE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Installation {
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        Ok(config)
    }

    /// The configuration of an installation that is there: who asks for something in it wants no new one.
    pub(crate) fn existing(&self) -> anyhow::Result<Config> {
        let config = self.config()?;
        // What can't be looked at is told better by whoever opens it.
        if !config.database().try_exists().unwrap_or(true) {
            let dir = std::path::absolute(&config.data_dir).unwrap_or(config.data_dir);
            bail!(
                "there is no installation in {}. Name its directory with --data-dir or its configuration with --config; \
                 `tillgate init` makes a new one",
                dir.display()
            );
        }
        Ok(config)
    }

    /// The same flags, for a command that is to be run next.
    pub(crate) fn flags(&self) -> String {
        let flag = |name: &str, path: &Option<PathBuf>| {
            path.as_ref()
                .map_or(String::new(), |path| format!(" {name} {}", quoted(&path.display().to_string())))
        };
        flag("--config", &self.config) + &flag("--data-dir", &self.data_dir)
    }
}

/// Everything that can be set for a gateway.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    installation: Installation,
    /// Where to listen for plain HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "TILLGATE_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where to listen for HTTPS
    #[arg(long, value_name = "ADDRESS:PORT", env = "TILLGATE_TLS_LISTEN")]
    tls_listen: Option<SocketAddr>,
    /// Certificate chain for HTTPS (PEM)
    #[arg(long, value_name = "FILE", env = "TILLGATE_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Private key for HTTPS (PEM)
    #[arg(long, value_name = "FILE", env = "TILLGATE_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// test or live [default: test]
    #[arg(long, value_name = "NAME", env = "TILLGATE_ENVIRONMENT")]
    environment: Option<Environment>,
    /// Networks of the proxies in front, separated by commas
    #[arg(long, value_name = "CIDR", env = "TILLGATE_BEHIND_PROXY", value_delimiter = ',')]
    behind_proxy: Option<Vec<Cidr>>,
    /// Names under which the gateway is called, separated by commas; they replace those of the configuration file
    #[arg(long, value_name = "NAME", env = "TILLGATE_HOSTS", value_delimiter = ',')]
    hosts: Option<Vec<HostName>>,
    /// This gateway's name
    #[arg(long, value_name = "NAME", env = "TILLGATE_NODE")]
    node: Option<String>,
    /// Longest body of a POS request in bytes [default: 131072]
    #[arg(long, value_name = "BYTES", env = "TILLGATE_BODY_LIMIT")]
    body_limit: Option<usize>,
    /// How long requests may go on when the gateway is told to stop [default: 60]
    #[arg(long, value_name = "SECONDS", env = "TILLGATE_DRAIN_MAX_SECONDS")]
    drain_max_seconds: Option<u64>,
}

impl Settings {
    pub(crate) fn config(self) -> anyhow::Result<Config> {
        let config = self.installation.config()?;
        let tls = tls(config.tls, self.tls_listen, self.tls_cert, self.tls_key)?;
        let node = self.node.map(|name| Config::node_named(&name)).transpose()?;
        Ok(Config {
            listen: self.listen.unwrap_or(config.listen),
            tls,
            data_dir: config.data_dir,
            environment: self.environment.unwrap_or(config.environment),
            behind_proxy: self.behind_proxy.unwrap_or(config.behind_proxy),
            hosts: self.hosts.unwrap_or(config.hosts),
            node: node.or(config.node),
            body_limit: self.body_limit.unwrap_or(config.body_limit),
            drain_max: self.drain_max_seconds.map_or(config.drain_max, Duration::from_secs),
            limits: config.limits,
            actions: config.actions,
            terminal_management: config.terminal_management,
            secrets_key_file: config.secrets_key_file,
            patience: config.patience,
        })
    }
}

fn tls(
    file: Option<Tls>,
    listen: Option<SocketAddr>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> anyhow::Result<Option<Tls>> {
    let (file_listen, file_cert, file_key) = match file {
        Some(Tls { listen, cert, key }) => (Some(listen), Some(cert), Some(key)),
        None => (None, None, None),
    };
    match (listen.or(file_listen), cert.or(file_cert), key.or(file_key)) {
        (None, None, None) => Ok(None),
        (Some(listen), Some(cert), Some(key)) => Ok(Some(Tls { listen, cert, key })),
        (listen, cert, key) => {
            let missing = [
                ("--tls-listen", listen.is_none()),
                ("--tls-cert", cert.is_none()),
                ("--tls-key", key.is_none()),
            ];
            let missing: Vec<_> = missing.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
            bail!(
                "HTTPS needs all of --tls-listen, --tls-cert and --tls-key; missing: {}",
                missing.join(", ")
            )
        }
    }
}

/// Lets the process hold as many connections as the system allows it; its usual limit is meant for programs with few.
pub(crate) fn raise_open_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
            .context("can't raise the limit of open files")?;
    }
    Ok(())
}
