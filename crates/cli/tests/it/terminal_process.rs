//! A real terminal: `tillgate terminal` with a journal of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use relay::terminal::Execution;
use tempfile::TempDir;

use crate::process::{Process, until};
use crate::program::tillgate;

/// A terminal that runs, or has run.
#[derive(Debug)]
pub(crate) struct TerminalProcess {
    process: Process,
    data_dir: TempDir,
    url: String,
    poi_id: String,
    /// What every start of it is told besides.
    more: Vec<String>,
    /// From the next start on.
    pub(crate) cardholder_seconds: f64,
}

impl TerminalProcess {
    /// Starts a new terminal, at which a card is presented after `cardholder_seconds`.
    pub(crate) fn start(
        url: &str,
        poi_id: &str,
        boarding_code: &str,
        cardholder_seconds: f64,
    ) -> TerminalProcess {
        let code = ["--boarding-code", boarding_code];
        TerminalProcess::start_with(url, poi_id, Vec::new(), &code, cardholder_seconds)
    }

    /// Starts a terminal of the Actions API; `more` are further arguments.
    pub(crate) fn start_actions(
        url: &str,
        poi_id: &str,
        key: &str,
        more: &[&str],
        cardholder_seconds: f64,
    ) -> TerminalProcess {
        let more = [&["--dialect", "actions", "--key", key], more].concat();
        let more = more.into_iter().map(str::to_owned).collect();
        TerminalProcess::start_with(url, poi_id, more, &[], cardholder_seconds)
    }

    fn start_with(
        url: &str,
        poi_id: &str,
        more: Vec<String>,
        once: &[&str],
        cardholder_seconds: f64,
    ) -> TerminalProcess {
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let process = run(url, poi_id, data_dir.path(), cardholder_seconds, &more, once);
        let (url, poi_id) = (url.into(), poi_id.into());
        TerminalProcess { process, data_dir, url, poi_id, more, cardholder_seconds }
    }

    /// Starts another process with a copy of this one's journal, as whoever restores an old image of a disk does.
    pub(crate) fn start_copy(&self) -> TerminalProcess {
        let TerminalProcess { url, poi_id, more, cardholder_seconds, .. } = self;
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::copy(journal(self.data_dir.path()), journal(data_dir.path()))
            .expect("the journal can be copied");
        let process = run(url, poi_id, data_dir.path(), *cardholder_seconds, more, &[]);
        let (url, poi_id, more) = (url.clone(), poi_id.clone(), more.clone());
        TerminalProcess { process, data_dir, url, poi_id, more, cardholder_seconds: *cardholder_seconds }
    }

    /// Starts it after it was killed, with the same journal.
    pub(crate) fn start_again(&mut self) {
        let data_dir = self.data_dir.path();
        self.process = run(&self.url, &self.poi_id, data_dir, self.cardholder_seconds, &self.more, &[]);
    }

    /// Starts it after its journal was lost.
    pub(crate) fn start_anew(&mut self, boarding_code: Option<&str>) {
        self.data_dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = self.data_dir.path();
        let code = boarding_code.map(|code| ["--boarding-code", code]);
        let once = code.as_ref().map_or(&[][..], |code| code);
        self.process = run(&self.url, &self.poi_id, data_dir, self.cardholder_seconds, &self.more, once);
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it did with money, by its own journal.
    pub(crate) fn executions(&self) -> Vec<Execution> {
        virtual_terminal::executions(self.data_dir.path()).expect("the journal can be read")
    }

    /// Waits until its journal says that a payment has been started and has not ended.
    pub(crate) async fn has_started(&self) {
        until("the payment has started", Duration::from_secs(10), async || {
            let journal = std::fs::read_to_string(journal(self.data_dir.path())).ok()?;
            let last_line = journal.lines().last()?;
            last_line.contains("\"started\"").then_some(())
        })
        .await;
    }
}

fn run(
    url: &str,
    poi_id: &str,
    data_dir: &Path,
    cardholder_seconds: f64,
    more: &[String],
    once: &[&str],
) -> Process {
    let mut command = tillgate();
    command.args([
        "terminal",
        "--url",
        url,
        "--poi-id",
        poi_id,
        "--cardholder-seconds",
        &cardholder_seconds.to_string(),
    ]);
    command.arg("--data-dir").arg(data_dir);
    command.args(more).args(once);
    Process::start(format!("terminal {poi_id}"), command.env("RUST_LOG", "info,virtual_terminal=debug"))
}

fn journal(data_dir: &Path) -> PathBuf {
    data_dir.join("journal.jsonl")
}
