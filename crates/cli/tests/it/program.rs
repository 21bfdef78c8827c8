//! Running the program.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What every wait in these tests is bounded by.
const SOON: Duration = Duration::from_secs(30);

/// The program, with nothing of the developer's own environment that would change it.
pub(crate) fn tillgate() -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TILLGATE_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// The one that was built with these tests, unless a run brings another build of it.
fn program() -> OsString {
    std::env::var_os("TILLGATE_CHAOS_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_tillgate").into())
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    tillgate().args(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A program that runs until it is told to end. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running { child: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    /// With its log in a file.
    pub(crate) fn start_logging(command: &mut Command, log: &Path) -> Running {
        let log = std::fs::File::create(log).unwrap();
        Running { child: command.stdout(Stdio::piped()).stderr(log).spawn().unwrap() }
    }

    /// Waits until `ready` answers something, as long as the program runs.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(found) = ready() {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut text = String::new();
                if let Some(mut stderr) = self.child.stderr.take() {
                    stderr.read_to_string(&mut text).unwrap();
                }
                panic!("ended with {status} before {what}: {text}");
            }
            assert!(Instant::now() < deadline, "no {what} within {SOON:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its output, for whoever reads it as it comes. [`Running::end`] then has none.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end: its status, stdout and stderr.
    pub(crate) fn end(mut self) -> Output {
        let deadline = Instant::now() + SOON;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "still running after {SOON:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut output =
            Output { status: self.child.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_end(&mut output.stdout).unwrap();
        }
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_end(&mut output.stderr).unwrap();
        }
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A demo that is ready.
pub(crate) struct Demo {
    pub(crate) running: Running,
    pub(crate) ready: Value,
    pub(crate) dir: TempDir,
}

impl Demo {
    /// On temporary data of its own, in a directory that can be looked into.
    pub(crate) fn start() -> Demo {
        let dir = tempfile::tempdir().unwrap();
        Demo::start_in(dir, &[])
    }

    pub(crate) fn start_in(dir: TempDir, args: &[&str]) -> Demo {
        let file = dir.path().join("ready.json");
        std::fs::create_dir_all(dir.path().join("tmp")).unwrap();
        let mut command = tillgate();
        command.args(["demo", "--port", "0", "--ready-file"]).arg(&file).args(args);
        let mut running = Running::start(command.env("TMPDIR", dir.path().join("tmp")));
        let ready = running.wait_for("the ready file", || std::fs::read(&file).ok());
        // It is written as a whole, so what is there can be read.
        Demo { running, ready: serde_json::from_slice(&ready).unwrap(), dir }
    }

    pub(crate) fn ready_file(&self) -> PathBuf {
        self.dir.path().join("ready.json")
    }

    /// Where its temporary data is.
    pub(crate) fn temporary(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.dir.path().join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Another command, about this demo.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        tillgate().args(args).arg("--ready-file").arg(self.ready_file()).output().unwrap()
    }
}

pub(crate) fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}
