//! The checkpointer: moves the write-ahead log into the database beside the writer, for which each move would be a pause of
//! many commits.
//!
//! It has a connection and a thread of its own. What is written while it works stays in the log; once the log is long all the
//! same, the writer is asked to move the rest itself, which is short by then, and after that the log begins anew.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::connect;

/// How long commits gather before their pages are moved. A page that is written often is moved once in that time, and what
/// gathers at 10,000 exchanges/s, some 25 MB, is written within a fraction of it.
const PACE: Duration = Duration::from_millis(200);

/// Pages in the log (16 MiB) above which the writer moves the rest, so that the log begins anew.
const LOG_PAGES: i64 = 4_096;

/// The thread. Dropping it ends it, in the middle of a move if need be: a move that is not complete loses nothing.
#[derive(Debug)]
pub(super) struct Checkpointer {
    checkpoints: Arc<Checkpoints>,
    thread: Option<JoinHandle<()>>,
}

/// What checkpointer and writer tell each other.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Something was committed since the last move.
    committed: AtomicBool,
    /// The rest is the writer's to move.
    rest_is_due: AtomicBool,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> std::io::Result<Checkpointer> {
        let connection = connect::checkpointing(path).map_err(std::io::Error::other)?;
        let checkpoints = Arc::new(Checkpoints::default());
        let worker = Arc::clone(&checkpoints);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || worker.run(&connection))?;
        Ok(Checkpointer { checkpoints, thread: Some(thread) })
    }

    /// The writer's end.
    pub(super) fn checkpoints(&self) -> Arc<Checkpoints> {
        Arc::clone(&self.checkpoints)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *self.checkpoints.stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.checkpoints.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // It has said why, if it panicked.
        }
    }
}

impl Checkpoints {
    /// The writer has committed. Moves the rest of the log if it is time to.
    pub(super) fn committed(&self, writer: &Connection) {
        if !self.committed.swap(true, Ordering::Relaxed) {
            self.wake.notify_one();
        }
        if self.rest_is_due.swap(false, Ordering::Relaxed)
            && let Err(error) = move_log(writer)
        {
            tracing::warn!(%error, "the database's log could not be moved; it is tried again");
        }
    }

    fn run(&self, connection: &Connection) {
        let mut failing = false;
        while self.wait() {
            match move_log(connection) {
                Ok(pages) => {
                    failing = false;
                    self.rest_is_due.store(pages >= LOG_PAGES, Ordering::Relaxed);
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "the database's log can't be moved; it grows until it can");
                }
                Err(_) => {}
            }
        }
    }

    /// Until commits have gathered. False when it is over.
    fn wait(&self) -> bool {
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopping && !self.committed.load(Ordering::Relaxed) {
            // The writer does not take the lock to say that it has committed, so its word may be missed: looked for once a second.
            stopping = self.wake.wait_timeout(stopping, 5 * PACE).unwrap_or_else(PoisonError::into_inner).0;
        }
        stopping = self
            .wake
            .wait_timeout_while(stopping, PACE, |stopping| !*stopping)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        self.committed.store(false, Ordering::Relaxed);
        !*stopping
    }
}

/// Moves what can be moved without making anybody wait; tells how many pages the log has.
fn move_log(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}
