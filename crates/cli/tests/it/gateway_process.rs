//! A real gateway: `tillgate serve` on a database of its own, at one port for all its lives.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::pos::{Pos, http_client};
use crate::process::{Process, until};
use crate::program::tillgate;

/// The merchant account in which every terminal stands.
pub(crate) const MERCHANT: &str = "SHOP_MERCHANT";

/// The terminals that are in store from the beginning.
pub(crate) const POI: &str = "V400m-324688179";
pub(crate) const OTHER_POI: &str = "P400Plus-275008565";

/// How long a start may take on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(20);

/// Ports below those that the operating system gives to others: one that a gateway has let go of for a restart is still
/// free when it comes back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A gateway with a fleet of terminals that were not boarded yet.
#[derive(Debug)]
pub(crate) struct GatewayProcess {
    process: Option<Process>,
    dir: TempDir,
    address: SocketAddr,
    key: String,
    setup: Setup,
    /// The deliberate fault of a build that has them, from the next start on.
    pub(crate) fault: Option<&'static str>,
}

/// How a gateway is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The terminals that are in store from the beginning.
    pub(crate) terminals: Vec<String>,
    /// What its log tells, as in `RUST_LOG`.
    pub(crate) log: &'static str,
    /// The deliberate fault that it has from the beginning, see [`GatewayProcess::fault`].
    pub(crate) fault: Option<&'static str>,
    /// Where the database is, if not in a temporary directory of its own.
    pub(crate) data_dir: Option<PathBuf>,
    /// The words of a command that starts each of its processes, for a place where they see other files.
    pub(crate) within: Vec<String>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            terminals: [POI, OTHER_POI].map(str::to_owned).to_vec(),
            log: "info,gateway=debug",
            fault: None,
            data_dir: None,
            within: Vec::new(),
        }
    }
}

impl GatewayProcess {
    /// Makes the database and starts the gateway on it.
    pub(crate) async fn start() -> GatewayProcess {
        GatewayProcess::set_up(Setup::default()).await
    }

    /// The same, otherwise than usual.
    pub(crate) async fn set_up(setup: Setup) -> GatewayProcess {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = free_address();
        // One key for a thousand requests on end: how often it may ask is not what these tests are about.
        let limits = [
            "requests_per_second",
            "requests_burst",
            "terminal_lookups_per_minute",
            "lookups_of_terminal_per_minute",
        ];
        let limits: String = limits.iter().map(|limit| format!("{limit} = 100000\n")).collect();
        let data_dir = setup.data_dir.clone().unwrap_or_else(|| "data".into());
        let config = format!("listen = \"{address}\"\ndata_dir = {data_dir:?}\n[limits]\n{limits}");
        std::fs::write(dir.path().join("tillgate.toml"), config).expect("a configuration");
        let mut fleet = ["--company", "SHOP", "--merchant-account", MERCHANT].map(str::to_owned).to_vec();
        fleet.extend(setup.terminals.iter().flat_map(|poi| ["--terminal".to_owned(), poi.clone()]));
        let fault = setup.fault;
        let mut gateway = GatewayProcess { process: None, dir, address, key: String::new(), setup, fault };
        let printed = gateway.run("init", &fleet).await;
        gateway.key = word(&printed, "tg_key_").to_owned();
        gateway.start_again().await;
        gateway
    }

    /// Starts it after it was killed or stopped: on the same database, at the same port.
    pub(crate) async fn start_again(&mut self) {
        let mut process = Process::start("gateway", &mut self.serve(&self.setup.within));
        let (http, ready) = (http_client(), format!("{}/readyz", self.base_url()));
        until("the gateway is ready", START_MAX, async || {
            assert_eq!(process.exit(), None, "the gateway has ended");
            http.get(&ready).send().await.ok().filter(|answer| answer.status() == 200)
        })
        .await;
        self.process = Some(process);
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process().kill();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let process = self.process();
        process.interrupt();
        assert!(process.ended(START_MAX).await.success());
    }

    /// A code for a terminal of the fleet.
    pub(crate) async fn boarding_code(&self, poi_id: &str) -> String {
        let printed = self.run("board", &[poi_id]).await;
        let code = printed.split_whitespace().find(|word| word.len() == 11 && word.as_bytes()[5] == b'-');
        code.unwrap_or_else(|| panic!("no boarding code in {printed}")).to_owned()
    }

    pub(crate) fn pos(&self, poi_id: &str) -> Pos {
        Pos::new(&self.base_url(), &self.key, poi_id)
    }

    /// The API key that its tills use.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its database, for what no answer shows yet. Only to be read.
    pub(crate) fn database(&self) -> PathBuf {
        let data_dir = self.setup.data_dir.clone().unwrap_or_else(|| self.dir.path().join("data"));
        data_dir.join("tillgate.db")
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the gateway was started")
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("tillgate.toml")
    }

    /// Starts it, from within another command, and waits until it has ended by itself.
    pub(crate) fn run_to_end(&self, within: &[String]) -> Output {
        self.serve(within).stdin(Stdio::null()).output().expect("the command can be started")
    }

    fn serve(&self, within: &[String]) -> Command {
        // A file that may grow no more is an error to it then, as on a full disk, and not its end: `Process::limit_files`.
        let unlimited = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
        let words: Vec<_> = within.iter().map(String::as_str).chain(unlimited).collect();
        let mut serve = started_by(&words, &tillgate());
        serve.args(["serve", "--config"]).arg(self.config()).env("RUST_LOG", self.setup.log);
        serve.envs(self.fault.map(|fault| ("TILLGATE_FAULT", fault)));
        serve
    }

    /// Runs another command on the same database, and returns what it printed.
    pub(crate) async fn run(&self, command: &str, args: &[impl AsRef<OsStr>]) -> String {
        let within: Vec<_> = self.setup.within.iter().map(String::as_str).collect();
        let mut run = started_by(&within, &tillgate());
        run.stdin(Stdio::null()).arg(command).args(args).arg("--config").arg(self.config());
        let ran = tokio::task::spawn_blocking(move || run.output()).await.expect("no panic");
        let Output { status, stdout, stderr } = ran.expect("the binary runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{command}: {stderr}");
        stdout.into_owned()
    }
}

/// The same program with the same environment, as the last words of another command.
fn started_by(words: &[&str], program: &Command) -> Command {
    let mut words = words.iter().map(OsStr::new).chain([program.get_program()]);
    let mut command = Command::new(words.next().expect("a program at least"));
    command.args(words);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The word of a text that begins so.
pub(crate) fn word<'a>(text: &'a str, start: &str) -> &'a str {
    let found = text.split_whitespace().find(|word| word.starts_with(start));
    found.unwrap_or_else(|| panic!("no word {start}… in {text}"))
}

/// An address that nobody listens at. Test processes begin at different ones.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(97) % range;
    loop {
        let offset = (first + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % range;
        let port = PORTS.start + u16::try_from(offset).expect("within the range");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
