//! A server under test: a process of its own, on a core of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// A start that takes longer has failed.
const START_MAX: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// [`crate::raw_server`].
    Raw,
    /// [`crate::plain_server`].
    Plain,
    /// `tillgate serve`, plain links.
    Tillgate,
    /// `tillgate serve`, links over TLS.
    TillgateTls,
}

impl Kind {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Raw => "raw",
            Kind::Plain => "plain",
            Kind::Tillgate => "tillgate",
            Kind::TillgateTls => "tillgate, TLS",
        }
    }
}

/// The server's core; none on a machine that has only one to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerCore(Option<usize>);

impl ServerCore {
    /// Of the cores that this process may use, the first is for the servers. The second is for the load generator, which
    /// from now on stays there.
    pub(crate) fn choose() -> Result<ServerCore> {
        let cores = sched_getaffinity(None).context("cannot ask for cores")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core));
        match (usable.next(), usable.next()) {
            (Some(first), Some(second)) => {
                pin(second)?;
                Ok(ServerCore(Some(first)))
            }
            _ => Ok(ServerCore(None)),
        }
    }
}

/// What is needed to start `tillgate serve`.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) core: ServerCore,
    /// The program.
    pub(crate) program: PathBuf,
    /// Holds the database, certificate and log.
    pub(crate) dir: PathBuf,
}

impl Product {
    /// The directory of the database.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The configuration file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.join("tillgate.toml")
    }

    /// The certificate, and its key beside it.
    pub(crate) fn certificate(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("cert.pem"), self.dir.join("key.pem"))
    }
}

/// A server that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens for what it is measured with.
    pub(crate) address: SocketAddr,
    /// From its start to the moment at which it listened.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts one of the two that are part of this program.
    pub(crate) fn start_own(kind: Kind, core: ServerCore) -> Result<Server> {
        let started = Instant::now();
        let program = std::env::current_exe()?;
        let mut child = on_core(core, &program)?.arg(kind.name()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("{} did not start", kind.name()))?;
        Ok(Server { child, address, started_in: started.elapsed() })
    }

    /// Starts `tillgate serve`.
    pub(crate) fn start_product(product: &Product, kind: Kind) -> Result<Server> {
        let log = product.dir.join("tillgate.log");
        let (certificate, key) = product.certificate();
        let mut command = on_core(product.core, &product.program)?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(product.data_dir());
        command.arg("--config").arg(product.settings());
        if kind == Kind::TillgateTls {
            command.args(["--tls-listen", "127.0.0.1:0", "--tls-cert"]).arg(certificate);
            command.arg("--tls-key").arg(key);
        }
        command.stderr(File::create(&log)?).stdout(Stdio::null());
        let started = Instant::now();
        let mut child = command.spawn().context("cannot start tillgate")?;
        loop {
            if let Some(address) = listening(&log, kind)? {
                return Ok(Server { child, address, started_in: started.elapsed() });
            }
            if let Some(status) = child.try_wait()? {
                bail!("tillgate ended with {status}; see {}", log.display());
            }
            ensure!(
                started.elapsed() < START_MAX,
                "tillgate did not start in {START_MAX:?}; see {}",
                log.display()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the log line that says that it has started.
fn listening(log: &Path, kind: Kind) -> Result<Option<SocketAddr>> {
    let member = if kind == Kind::TillgateTls { "https" } else { "http" };
    for line in BufReader::new(File::open(log)?).lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(&line?) else { continue };
        if line["message"] == "started" {
            let address = line[member].as_str().context("the log does not say where it listens")?;
            return Ok(Some(address.parse()?));
        }
    }
    Ok(None)
}

/// A command that runs on that core, with nothing of ours in its environment.
fn on_core(ServerCore(core): ServerCore, program: &Path) -> Result<Command> {
    let mut command = match core {
        None => Command::new(program),
        Some(core) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("pinned").arg(core.to_string()).arg(program);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TILLGATE_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// Becomes another program, on that core.
pub(crate) fn run_pinned(core: usize, command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no program")?;
    pin(core)?;
    Err(Command::new(program).args(arguments).exec()).context("cannot start the server")
}

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("cannot choose a core")
}
