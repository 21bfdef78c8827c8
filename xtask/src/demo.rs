//! A running `tillgate demo` for tests of programs that are not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::workspace::{Log, POLL, Workspace};

/// How long a demo may take to get ready: it takes about a second, and a laden machine many times that.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long a demo may take to end. It waits for 3 s itself for what is under way.
const END_MAX: Duration = Duration::from_secs(15);

/// A running `tillgate demo` on ports that were free. It is told to end when this is dropped.
#[derive(Debug)]
pub(crate) struct Demo {
    process: Child,
    ready_file: PathBuf,
    log: Log,
}

impl Demo {
    /// Starts it; returns when it has written `ready_file`. What it says is in the log of that name.
    pub(crate) fn start(workspace: &Workspace, log: &str, ready_file: PathBuf) -> Result<Demo> {
        // One that was killed has left its file behind.
        if ready_file.exists() {
            fs::remove_file(&ready_file)
                .with_context(|| format!("cannot remove {}", ready_file.display()))?;
        }
        let log = workspace.log(log)?;
        // Cargo knows where it has built the program, and becomes that program.
        let mut command =
            workspace.cargo(["run", "--quiet", "--bin", "tillgate", "--", "demo", "--port", "0"]);
        let process = log.start(command.arg("--ready-file").arg(&ready_file))?;
        let mut demo = Demo { process, ready_file, log };
        demo.wait_until_ready()?;
        Ok(demo)
    }

    /// The ready file appears as a whole, once everything is there.
    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.ready_file.exists() {
            if let Some(status) = self.process.try_wait()? {
                bail!("`tillgate demo` ended with {status}:\n{}", self.log.text()?);
            }
            let seconds = READY_MAX.as_secs();
            ensure!(start.elapsed() < READY_MAX, "`tillgate demo` was not ready within {seconds} s");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// What it has written about itself.
    pub(crate) fn ready_file(&self) -> &Path {
        &self.ready_file
    }

    /// Ends it as Ctrl-C does, so that it removes its data.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        ensure!(status, "`tillgate demo` did not end well:\n{}", self.log.text()?);
        Ok(())
    }

    fn end(&mut self) -> Result<bool> {
        let start = Instant::now();
        if self.process.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        }
        while start.elapsed() < END_MAX {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status.success());
            }
            thread::sleep(POLL);
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(false)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("`tillgate demo` was not ended: {error:#}");
        }
    }
}
