//! The connections that read: a few, each used by one read at a time, never on an async thread.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect;
use crate::store::{Pending, StoreError};

/// Connections that read. SQLite reads from the page cache in microseconds, so more would only hold more memory.
const READERS: usize = 4;

/// Reads that wait for a connection. A read takes well under a millisecond; a thousand mean that something is wrong,
/// and more of them would only wait longer.
const WAITING_MAX: usize = 1_024;

/// How long reads that were begun may still take when the store is closed: much longer than any does.
const END_MAX: Duration = Duration::from_secs(2);

/// How often they are looked for.
const END_LOOK: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    taken: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Readers, rusqlite::Error> {
        let idle = (0..READERS).map(|_| connect::reading(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Readers {
            idle: Arc::new(Mutex::new(idle)),
            free: Arc::new(Semaphore::new(READERS)),
            taken: Arc::new(Semaphore::new(READERS + WAITING_MAX)),
        })
    }

    /// Runs `work` on a connection of its own, on a thread that may block. When the answer is dropped a read that has
    /// begun still ends, and its connection comes back.
    pub(super) fn read<T, F>(&self, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let idle = Arc::clone(&self.idle);
        let free = Arc::clone(&self.free);
        let taken = Arc::clone(&self.taken);
        Box::pin(async move {
            let waiting = taken.try_acquire_owned().map_err(|_| StoreError::Full)?;
            let permit = free.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            let read = move || Lent::take(idle, permit, waiting).and_then(|lent| lent.run(work));
            tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Closed))
        })
    }
}

impl Drop for Readers {
    /// A read whose answer was dropped still ends: its connection has to be closed too before the last one moves the log into the
    /// database.
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.free.available_permits() < READERS && begun.elapsed() < END_MAX {
            thread::sleep(END_LOOK);
        }
    }
}

/// A connection that finds its way back.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Lent {
    fn take(
        idle: Arc<Mutex<Vec<Connection>>>,
        permit: OwnedSemaphorePermit,
        waiting: OwnedSemaphorePermit,
    ) -> Result<Lent, StoreError> {
        let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match connection {
            Some(connection) => Ok(Lent { connection: Some(connection), idle, _permits: [permit, waiting] }),
            None => Err(StoreError::Closed),
        }
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.connection.as_ref().map_or(Err(StoreError::Closed), work)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
