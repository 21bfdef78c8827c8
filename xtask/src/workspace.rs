//! Where the workspace is and how commands run in it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a child is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// The checkout that `cargo xtask` was called in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    cargo: OsString,
}

impl Workspace {
    /// Finds the checkout by the variables that Cargo sets for the program it runs.
    pub(crate) fn find() -> Result<Workspace> {
        let manifest_dir =
            std::env::var_os("CARGO_MANIFEST_DIR").context("start this program as `cargo xtask`")?;
        let root = Path::new(&manifest_dir).parent().context("xtask/ has no parent folder")?.to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Ok(Workspace { root, cargo })
    }

    /// A command in the workspace's root, as if typed there: without the variables that `cargo run` set for xtask
    /// itself. Some build scripts watch those, and would build their crate again for every xtask run.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| {
                ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
            }) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_TERM_COLOR", "never");
        command
    }

    /// [`Self::command`] for the Cargo that runs xtask.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.command(&self.cargo);
        command.args(arguments);
        command
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder below `target/` for programs that xtask installs, so that `cargo clean` removes them.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// A file or folder of the checkout.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// That folder below `target/`, made if need be.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join("target").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// An empty log of that name, in `target/xtask/`.
    pub(crate) fn log(&self, name: &str) -> Result<Log> {
        let path = self.folder("xtask")?.join(format!("{name}.log"));
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Log { path, file })
    }
}

/// Takes what commands print: a file, so that a long run can be followed in it, and so that a process which a test
/// leaves behind cannot hold the run up, as it would by holding a pipe open.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Runs the command to its end, with both of its outputs in this log, in order. `Ok(false)` if it reports failure.
    pub(crate) fn run(&self, command: &mut Command) -> Result<bool> {
        Ok(self.start(command)?.wait()?.success())
    }

    /// [`run`](Self::run), but ended with all that it has started, and failed, if it takes longer than this.
    pub(crate) fn run_within(&self, limit: Duration, command: &mut Command) -> Result<bool> {
        let mut child = self.start(command.process_group(0))?;
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            thread::sleep(POLL);
        }
        kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        child.wait()?;
        writeln!(&self.file, "`{}` did not end within {} s", typed(command), limit.as_secs())?;
        Ok(false)
    }

    /// Starts the command, with both of its outputs in this log; whoever calls this has to end it.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Child> {
        eprintln!("$ {}", typed(command));
        let cannot_log = || format!("cannot write {}", self.path.display());
        command
            .stdout(self.file.try_clone().with_context(cannot_log)?)
            .stderr(self.file.try_clone().with_context(cannot_log)?);
        command.spawn().with_context(|| format!("cannot start `{}`", typed(command)))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All that was printed so far.
    pub(crate) fn text(&self) -> Result<String> {
        let bytes = fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The command as one would type it: program by its file name.
fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended_with_what_it_has_started() {
        let workspace = Workspace::find().unwrap();
        let log = workspace.log("hangs").unwrap();
        let start = Instant::now();
        // Its child would hold the log open.
        let mut hangs = workspace.command("sh");
        hangs.args(["-c", "sleep 600 & echo $!; wait"]);
        assert!(!log.run_within(Duration::from_millis(300), &mut hangs).unwrap());
        assert!(start.elapsed() < Duration::from_secs(60));
        let text = log.text().unwrap();
        let (child, told) = text.split_once('\n').unwrap();
        assert_eq!(told, "`sh -c sleep 600 & echo $!; wait` did not end within 0 s\n");
        // It dies a moment after it is killed, and is nobody's child then.
        let state = || fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", state());
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_command_reads_as_it_is_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["clippy", "--", "-D", "warnings"]);
        assert_eq!(typed(&command), "cargo clippy -- -D warnings");
    }
}
