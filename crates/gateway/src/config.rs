//! The settings of `serve`: one TOML file, over which the program lays environment variables and flags.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! data_dir = "/var/lib/tillgate"
//! environment = "live"
//! behind_proxy = ["10.0.0.0/8"]
//! hosts = ["pay.example.com"]
//!
//! [tls]
//! listen = "0.0.0.0:8443"
//! cert = "/etc/tillgate/cert.pem"
//! key = "/etc/tillgate/key.pem"
//!
//! [limits]
//! requests_per_second = 50
//!
//! [actions]
//! origins = ["https://till.example.com"]
//!
//! [terminal_management]
//! v1_booleans = "strings"
//!
//! [secrets]
//! key_file = "/etc/tillgate/secrets.key"
//! ```

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use relay::{BODY_LIMIT, NodeId};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::http::host::HostName;
use crate::http::origin::Origin;
use crate::http::patience::Patience;
use crate::http::peer::Cidr;
use crate::limits::Limits;
use crate::store::fleet_store::V1Booleans;

/// The longest body of a POS request that may be asked for: the protocol of the terminals has frames up to 1 MiB.
const BODY_LIMIT_MAX: usize = 1024 * 1024;

const BODY_LIMITS: RangeInclusive<usize> = 1024..=BODY_LIMIT_MAX;

/// No payment waits longer than 150 s for its answer.
const DRAIN_SECONDS: RangeInclusive<u64> = 0..=300;

/// Under systemd's 90 s, after which a program that is being stopped is killed.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// What a gateway is told before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens for plain HTTP. Anything but loopback needs [`Config::behind_proxy`].
    pub listen: SocketAddr,
    /// HTTPS, if wanted.
    pub tls: Option<Tls>,
    /// Holds `tillgate.db`. Made if absent.
    pub data_dir: PathBuf,
    /// Whether real money is moved.
    pub environment: Environment,
    /// Proxies in front: the only ones whose `X-Forwarded-For` is believed.
    pub behind_proxy: Vec<Cidr>,
    /// Names under which the gateway is called, besides the addresses that it listens at and `localhost`.
    pub hosts: Vec<HostName>,
    /// This gateway's name; made up at each start if none is given.
    pub node: Option<NodeId>,
    /// The longest body of a POS request, in bytes: 1024 to 1048576.
    pub body_limit: usize,
    /// How long requests that are under way may go on when the gateway is told to stop: 0 to 300 s.
    pub drain_max: Duration,
    /// How much any one caller or terminal may have at once.
    pub limits: Limits,
    /// How the Actions API lets clients in.
    pub actions: ActionsSettings,
    /// How the POS Terminal Management API answers.
    pub terminal_management: TerminalManagementSettings,
    /// Holds the key of the secrets that the database keeps sealed. None: `secrets.key` in the data directory, made when it is
    /// needed first.
    pub secrets_key_file: Option<PathBuf>,
    /// How long slow and silent clients are waited for. Not in the file.
    pub patience: Patience,
}

/// HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The certificate chain, PEM, the gateway's own first.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// How the Actions API lets clients in: `[actions]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionsSettings {
    /// Whether a key may come as `?x-api-key=`. Off, for what is in an address is written down by proxies and browsers.
    pub allow_key_in_query: bool,
    /// Web pages whose browsers may connect. None by default.
    pub origins: Vec<Origin>,
    /// Whether a second connection of one desktop ends the first (`forceDisconnect`). Off. That of a terminal always does.
    pub single_connection: bool,
}

/// How the POS Terminal Management API answers: `[terminal_management]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TerminalManagementSettings {
    /// How its versioned paths write booleans where no settings of the fleet say it: `strings` or `booleans`. As the
    /// specification has it they are `"true"` and `"false"`, which clients that are strict about types can't read.
    pub v1_booleans: V1Booleans,
}

impl Default for TerminalManagementSettings {
    fn default() -> TerminalManagementSettings {
        TerminalManagementSettings { v1_booleans: V1Booleans::Strings }
    }
}

/// Whether real money is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// No.
    Test,
    /// Yes.
    Live,
}

impl FromStr for Environment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Environment, &'static str> {
        match text {
            "test" => Ok(Environment::Test),
            "live" => Ok(Environment::Live),
            _ => Err("expected test or live"),
        }
    }
}

/// A configuration that can't be used. The text names the file, the line, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration {}: {problem}. Name another file with --config", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        problem: std::io::Error,
    },
    /// A line that can't be understood.
    #[error("{}, line {line}: {problem}. Correct that line and start again", file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected, and what is there.
        problem: String,
    },
    /// Settings that don't go together, wherever they come from.
    #[error("{0}")]
    Invalid(String),
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            data_dir: "tillgate-data".into(),
            environment: Environment::Test,
            behind_proxy: Vec::new(),
            hosts: Vec::new(),
            node: None,
            body_limit: BODY_LIMIT,
            drain_max: DRAIN_MAX,
            limits: Limits::default(),
            actions: ActionsSettings::default(),
            terminal_management: TerminalManagementSettings::default(),
            secrets_key_file: None,
            patience: Patience::default(),
        }
    }
}

impl Config {
    /// Reads a file. Paths in it are relative to the file.
    ///
    /// # Errors
    /// [`ConfigError`]; [`Config::check`] is still to be called, when everything is laid over it.
    pub fn read(file: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|problem| ConfigError::Unreadable { file: file.to_owned(), problem })?;
        Config::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let read: File = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1;
            let problem = error.message().trim_end_matches('.').replace('\n', "; ");
            ConfigError::Line { file: file.to_owned(), line, problem }
        })?;
        let near = file.parent().unwrap_or(Path::new(""));
        let defaults = Config::default();
        Ok(Config {
            listen: read.listen.map_or(defaults.listen, |Address(address)| address),
            tls: read.tls.map(|tls| Tls {
                listen: tls.listen.0,
                cert: near.join(tls.cert),
                key: near.join(tls.key),
            }),
            data_dir: read.data_dir.map_or(defaults.data_dir, |dir| near.join(dir)),
            environment: read.environment.unwrap_or(defaults.environment),
            behind_proxy: read.behind_proxy,
            hosts: read.hosts,
            node: read.node,
            body_limit: read.body_limit.map_or(defaults.body_limit, |BodyLimit(limit)| limit),
            drain_max: read
                .drain_max_seconds
                .map_or(defaults.drain_max, |DrainSeconds(s)| Duration::from_secs(s)),
            limits: read.limits,
            actions: read.actions,
            terminal_management: read.terminal_management,
            secrets_key_file: read.secrets.key_file.map(|file| near.join(file)),
            patience: defaults.patience,
        })
    }

    /// Checks what no single setting can say.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.behind_proxy.is_empty() {
            return Err(ConfigError::Invalid(format!(
                "listen = \"{}\" would take keys and payments over plain HTTP from other machines. Listen on 127.0.0.1, \
                 or offer HTTPS with [tls], or name the proxies that add TLS in behind_proxy = [\"10.0.0.0/8\"]",
                self.listen
            )));
        }
        if !BODY_LIMITS.contains(&self.body_limit) {
            return Err(ConfigError::Invalid(out_of_range("body_limit", &BODY_LIMITS, self.body_limit)));
        }
        if !DRAIN_SECONDS.contains(&self.drain_max.as_secs()) {
            let problem = out_of_range("drain_max_seconds", &DRAIN_SECONDS, self.drain_max.as_secs());
            return Err(ConfigError::Invalid(problem));
        }
        if let Some(problem) = self.limits.problem() {
            return Err(ConfigError::Invalid(problem));
        }
        Ok(())
    }

    /// A name that a gateway may have.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn node_named(name: &str) -> Result<NodeId, ConfigError> {
        NodeId::parse(name).map_err(|error| ConfigError::Invalid(format!("node: {error}")))
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("tillgate.db")
    }
}

fn out_of_range<T: fmt::Display>(name: &str, range: &RangeInclusive<T>, came: T) -> String {
    format!("{name}: expected {} to {}, got {came}", range.start(), range.end())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<Address>,
    tls: Option<TlsTable>,
    data_dir: Option<PathBuf>,
    environment: Option<Environment>,
    #[serde(default)]
    behind_proxy: Vec<Cidr>,
    #[serde(default)]
    hosts: Vec<HostName>,
    node: Option<NodeId>,
    body_limit: Option<BodyLimit>,
    drain_max_seconds: Option<DrainSeconds>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    actions: ActionsSettings,
    #[serde(default)]
    terminal_management: TerminalManagementSettings,
    #[serde(default)]
    secrets: SecretsTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsTable {
    key_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    listen: Address,
    cert: PathBuf,
    key: PathBuf,
}

struct Address(SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || format!("expected an address and a port such as \"127.0.0.1:8080\", got {text:?}");
        text.parse().map(Address).map_err(|_| de::Error::custom(expected()))
    }
}

struct BodyLimit(usize);

impl<'de> Deserialize<'de> for BodyLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = usize::deserialize(deserializer)?;
        let fits = BODY_LIMITS.contains(&limit);
        if fits {
            Ok(BodyLimit(limit))
        } else {
            Err(de::Error::custom(out_of_range("body_limit", &BODY_LIMITS, limit)))
        }
    }
}

struct DrainSeconds(u64);

impl<'de> Deserialize<'de> for DrainSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u64::deserialize(deserializer)?;
        if DRAIN_SECONDS.contains(&seconds) {
            Ok(DrainSeconds(seconds))
        } else {
            Err(de::Error::custom(out_of_range("drain_max_seconds", &DRAIN_SECONDS, seconds)))
        }
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format!("{error}, got {text:?}")))
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format!("{error}, got {text:?}")))
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format!("{error}, got {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/etc/tillgate/tillgate.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.body_limit, 131_072);
        config.check().unwrap();
    }

    #[test]
    fn a_file_sets_everything_and_its_paths_are_relative_to_it() {
        let config = parse(
            r#"
            listen = "0.0.0.0:80"
            data_dir = "data"
            environment = "live"
            behind_proxy = ["10.0.0.0/8", "fd00::/8"]
            hosts = ["pay.example.com"]
            node = "node-1"
            body_limit = 262144
            drain_max_seconds = 5
            [tls]
            listen = "[::]:8443"
            cert = "cert.pem"
            key = "/secret/key.pem"
            [limits]
            requests_per_second = 5
            exchanges_per_terminal = 2
            [actions]
            allow_key_in_query = true
            origins = ["https://Till.example.com:443", "null"]
            single_connection = true
            [terminal_management]
            v1_booleans = "booleans"
            [secrets]
            key_file = "secrets.key"
            "#,
        )
        .unwrap();
        config.check().unwrap();
        assert_eq!(config.database(), Path::new("/etc/tillgate/data/tillgate.db"));
        let tls = config.tls.unwrap();
        assert_eq!((tls.cert, tls.key), ("/etc/tillgate/cert.pem".into(), "/secret/key.pem".into()));
        assert_eq!(config.environment, Environment::Live);
        assert_eq!(config.drain_max, Duration::from_secs(5));
        assert_eq!(config.hosts, ["pay.example.com".parse().unwrap()]);
        let expected = Limits { requests_per_second: 5, exchanges_per_terminal: 2, ..Limits::default() };
        assert_eq!(config.limits, expected);
        assert_eq!(config.secrets_key_file, Some("/etc/tillgate/secrets.key".into()));
        let origins = ["https://till.example.com", "null"].map(|origin| origin.parse().unwrap()).to_vec();
        let expected = ActionsSettings { allow_key_in_query: true, origins, single_connection: true };
        assert_eq!(config.actions, expected);
        assert_eq!(config.terminal_management.v1_booleans, V1Booleans::Booleans);
    }

    #[test]
    fn an_error_names_file_line_and_what_was_expected() {
        assert_eq!(
            parse("\nlisten = \"localhost\"\n").unwrap_err(),
            "/etc/tillgate/tillgate.toml, line 2: expected an address and a port such as \"127.0.0.1:8080\", got \
             \"localhost\". Correct that line and start again"
        );
        let unknown = parse("# comment\n\nlisen = \"127.0.0.1:1\"").unwrap_err();
        assert!(unknown.contains("line 3: unknown field `lisen`, expected one of `listen`"), "{unknown}");
        let broken = parse("listen = \"127.0.0.1:1\"\nenvironment =").unwrap_err();
        assert!(broken.contains("line 2: "), "{broken}");
        let network = parse("\nbehind_proxy = [\"10.0.0.0/8\", \"ten\"]").unwrap_err();
        assert!(network.contains("line 2: expected a network such as 10.0.0.0/8"), "{network}");
        let host = parse("hosts = [\"https://pay.example.com\"]").unwrap_err();
        assert!(host.contains("line 1: expected a host name such as pay.example.com"), "{host}");
        let origin = parse("[actions]\norigins = [\"till.example.com\"]").unwrap_err();
        assert!(origin.contains("line 2: expected an origin such as https://till.example.com"), "{origin}");
        let environment = parse("environment = \"prod\"").unwrap_err();
        assert!(
            environment.contains("line 1: unknown variant `prod`, expected `test` or `live`"),
            "{environment}"
        );
        let limit = parse("body_limit = 5").unwrap_err();
        assert!(limit.contains("line 1: body_limit: expected 1024 to 1048576, got 5"), "{limit}");
        let limit = parse("[limits]\nrequests_burst = 3\nexchanges_per_terminal = 0").unwrap_err();
        assert!(limit.contains("line 3: limits.exchanges_per_terminal: expected 1 to 64, got 0"), "{limit}");
    }

    #[test]
    fn plain_http_for_other_machines_needs_a_proxy() {
        let open = Config { listen: "0.0.0.0:8080".parse().unwrap(), ..Config::default() };
        assert!(open.check().unwrap_err().to_string().contains("behind_proxy"), "{open:?}");
        let proxied = Config { behind_proxy: vec!["10.0.0.0/8".parse().unwrap()], ..open };
        proxied.check().unwrap();
    }
}
