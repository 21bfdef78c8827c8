//! Starting a virtual terminal, and the handle to one that runs.

use std::path::PathBuf;

use nexo::PoiId;
use relay::terminal::{Execution, ExecutionKind};
use relay::{JournalId, ProcessId};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Http, HttpError};
use crate::journal::{Journal, JournalError};
use crate::machine::{Machine, Notice, RestoreError, Setup, State};
use crate::names::{self, NoRandomness};
use crate::shell::{Command, Shell, Shown};
use crate::writer::Writer;

/// Notices that wait for whoever looks; a move makes three.
const NOTICES_MAX: usize = 32;

/// A payment terminal in software.
#[derive(Debug)]
pub struct VirtualTerminal;

/// Why a virtual terminal can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal directory can't be used, or another terminal uses it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The directory holds the journal of another terminal.
    #[error("{} holds the journal of {found}, not of {wanted}", dir.display())]
    OtherTerminal {
        /// The directory.
        dir: PathBuf,
        /// Whose journal it is.
        found: PoiId,
        /// Whose it should be.
        wanted: PoiId,
    },
    /// The directory holds the journal of a terminal that speaks the other dialect.
    #[error("{} holds the journal of a terminal that speaks the other dialect", .0.display())]
    OtherDialect(PathBuf),
    /// There is no journal with a token, and no code to board with.
    #[error("{0} has not been boarded: it needs a boarding code")]
    NeedsBoardingCode(PoiId),
    /// The gateway can't be talked to.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No names can be made.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// A virtual terminal that runs. Dropping it is like pulling the plug: the link breaks off without a close.
#[derive(Debug)]
pub struct Handle {
    state: watch::Receiver<State>,
    busy: watch::Receiver<bool>,
    executions: watch::Receiver<Vec<Execution>>,
    notices: broadcast::Sender<Notice>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl VirtualTerminal {
    /// Opens the journal and starts the terminal on the current tokio runtime. Boarding and connecting follow in the
    /// background: see [`Handle::state`].
    ///
    /// # Errors
    /// When the journal directory is in use, damaged or another terminal's, when there is neither a token nor a
    /// boarding code, or when the base URL or the CA file can't be used. Nothing runs then.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        let http = Http::new(&config.base_url, config.ca_file.as_deref(), &config.dialect)?;
        let dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || Journal::open(&dir)).await;
        let (journal, records) = opened.map_err(|error| JournalError::Io {
            path: config.data_dir.clone(),
            error: std::io::Error::other(error),
        })??;
        let clock = Clock::start();
        let setup = Setup {
            poi_id: config.poi_id.clone(),
            platform: config.platform,
            firmware_version: config.firmware_version,
            cardholder: config.cardholder,
            device: config.device,
            nexo_key: config.nexo_key,
            dialect: config.dialect,
            process: process_id()?,
            boarding_code: config.boarding_code,
            seed: names::seed()?,
        };
        let machine =
            Machine::restore(clock.now(), journal_id()?, setup, records).map_err(|error| match error {
                RestoreError::OtherTerminal { found, wanted } => {
                    StartError::OtherTerminal { dir: config.data_dir, found, wanted }
                }
                RestoreError::OtherDialect => StartError::OtherDialect(config.data_dir),
                RestoreError::NeedsBoardingCode(poi_id) => StartError::NeedsBoardingCode(poi_id),
            })?;

        let (state, state_seen) = watch::channel(machine.state().clone());
        let (busy, busy_seen) = watch::channel(false);
        let (executions, executions_seen) = watch::channel(Vec::new());
        let (notices, _) = broadcast::channel(NOTICES_MAX);
        // One is enough: whoever sends a second one waits for the same end.
        let (commands, orders) = mpsc::channel(1);
        let span = tracing::info_span!("terminal", poi.id = %config.poi_id);
        let shown = Shown { state, busy, executions, notices: notices.clone() };
        let shell = Shell::new(config.poi_id, machine, Writer::new(journal), http, clock, shown);
        let task = tokio::spawn(shell.run(orders).instrument(span));
        Ok(Handle {
            state: state_seen,
            busy: busy_seen,
            executions: executions_seen,
            notices,
            commands,
            task,
        })
    }
}

impl Handle {
    /// What the terminal is doing, as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Whether a request runs, so that others are answered *busy*, as it changes.
    pub fn busy(&self) -> watch::Receiver<bool> {
        self.busy.clone()
    }

    /// The payments that were really executed in the last 48 h, oldest first.
    pub fn executed_payments(&self) -> Vec<Execution> {
        let executions = self.executions.borrow();
        executions.iter().filter(|execution| execution.kind == ExecutionKind::Payment).cloned().collect()
    }

    /// Everything that was done with money in the last 48 h, as it changes.
    pub fn executions(&self) -> watch::Receiver<Vec<Execution>> {
        self.executions.clone()
    }

    /// What happens to it from here on, for people; whoever doesn't look misses the oldest.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Ends the terminal in good order: what runs is cancelled if it can be, results are stored, the link is closed
    /// with 1000. The directory is free afterwards.
    pub async fn stop(self) {
        self.end(Command::Stop).await;
    }

    /// Ends the terminal as a power cut does: the link breaks off, and what is not on disk is lost. The directory is
    /// free afterwards.
    pub async fn unplug(self) {
        self.end(Command::Unplug).await;
    }

    async fn end(self, command: Command) {
        // A terminal that has ended by itself takes no command.
        let _ = self.commands.send(command).await;
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the terminal's task did not end by itself");
        }
    }
}

fn journal_id() -> Result<JournalId, StartError> {
    made(JournalId::parse(&names::name("j_")?))
}

fn process_id() -> Result<ProcessId, StartError> {
    made(ProcessId::parse(&names::name("p_")?))
}

#[expect(clippy::expect_used, reason = "two letters and 32 hexadecimal digits are an ID")]
fn made<T>(id: Result<T, relay::IdError>) -> Result<T, StartError> {
    Ok(id.expect("a name that was just made is an ID"))
}
