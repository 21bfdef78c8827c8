//! What waits for one connection of a desktop.
//!
//! Whoever leaves something here never waits. A queue that is full ends, and its connection with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use relay::actions::TransactionId;
use tokio::sync::Notify;

use super::{Desktop, lock};
use crate::store::actions::TransactionSeq;

/// Frames that may wait for one desktop: when all terminals of a group that is as large as one answer of a list come back at
/// once, each brings a handful. A desktop that reads takes them in a moment.
pub(super) const FRAMES_MAX: usize = 4_096;

/// Bytes that may wait for one desktop: a hundred results with long receipts. News for a group are kept once for all of it.
pub(super) const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Results that may be due to one desktop. Each is a payment that it has asked for; no till has as many at once.
const DUE_MAX: usize = 4_096;

/// What a desktop's socket has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DesktopOrder {
    /// Write this text.
    Frame(Bytes),
    /// Close; nothing follows.
    Close(Farewell),
}

/// Something that a desktop is to be told about a transaction, as it stands by then.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// Which transaction.
    pub(crate) transaction: TransactionSeq,
    /// What its desktop calls it.
    pub(crate) id: TransactionId,
    /// What its desktop calls the terminal, where that is known.
    pub(crate) terminal: Option<Box<str>>,
    /// Why it is told.
    pub(crate) why: Why,
    /// Held until it was told: who waits for that before the gateway stops.
    pub(crate) held: Option<Arc<Held>>,
}

/// Why a desktop is told of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is news, and owed once.
    Owed,
    /// This connection has asked for it, be it told before or not.
    Asked,
}

/// See [`Due::held`].
pub(crate) type Held = dyn std::fmt::Debug + Send + Sync;

/// What a desktop's task is to read from the store and tell.
#[derive(Clone, Debug)]
pub(crate) enum Owing {
    /// Everything that is still to be told to its identity, in order.
    All,
    /// This.
    One(Due),
}

/// Why the gateway ends a desktop's connection that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Its queue is full.
    TooSlow,
    /// Another connection of the same identity has taken its place.
    Replaced,
}

/// One connection of a desktop, and what waits for it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Which it is.
    pub(super) desktop: Desktop,
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    due: VecDeque<Due>,
    /// The store may hold something for this identity.
    is_behind: bool,
    /// What comes after the frames; nothing is taken any more.
    farewell: Option<Farewell>,
}

impl Entry {
    /// One for which nothing waits. Whoever has a device ID may have missed something.
    pub(super) fn new(desktop: Desktop) -> Entry {
        let queue = Queue { is_behind: desktop.identity.device.is_some(), ..Queue::default() };
        Entry { desktop, queue: Mutex::new(queue), wake: Notify::new() }
    }

    /// Returns when there may be something for the socket. Cancel safe.
    pub(super) async fn ready(&self) {
        self.wake.notified().await;
    }

    /// The next thing that the socket has to do, if any.
    pub(super) fn next_order(&self) -> Option<DesktopOrder> {
        let mut queue = lock(&self.queue);
        let Some(frame) = queue.frames.pop_front() else { return queue.farewell.map(DesktopOrder::Close) };
        queue.bytes = queue.bytes.saturating_sub(frame.len());
        if queue.frames.is_empty() {
            queue.frames = VecDeque::new(); // Most desktops are idle.
        }
        Some(DesktopOrder::Frame(frame))
    }

    /// What the socket's task has to look up and tell next, if anything.
    pub(super) fn next_owing(&self) -> Option<Owing> {
        let mut queue = lock(&self.queue);
        if std::mem::take(&mut queue.is_behind) {
            return Some(Owing::All);
        }
        let due = queue.due.pop_front();
        if queue.due.is_empty() {
            queue.due = VecDeque::new();
        }
        due.map(Owing::One)
    }

    /// Leaves a frame. False when nothing more is taken.
    pub(super) fn push(&self, frame: Bytes) -> bool {
        let mut queue = lock(&self.queue);
        if queue.farewell.is_some() {
            return false;
        }
        let bytes = queue.bytes.saturating_add(frame.len());
        // One frame always fits, however long.
        if queue.frames.len() >= FRAMES_MAX || (bytes > BYTES_MAX && !queue.frames.is_empty()) {
            self.end_slow(queue);
            return false;
        }
        queue.bytes = bytes;
        queue.frames.push_back(frame);
        drop(queue);
        self.wake.notify_one();
        true
    }

    /// Leaves it to the socket's task to tell this.
    pub(super) fn push_due(&self, due: Due) {
        let mut queue = lock(&self.queue);
        if queue.farewell.is_some() {
            return;
        }
        if queue.due.len() >= DUE_MAX {
            return self.end_slow(queue);
        }
        queue.due.push_back(due);
        drop(queue);
        self.wake.notify_one();
    }

    /// The store may hold something for it.
    pub(super) fn set_behind(&self) {
        lock(&self.queue).is_behind = true;
        self.wake.notify_one();
    }

    fn end_slow(&self, mut queue: MutexGuard<'_, Queue>) {
        let rest = queue.end(Farewell::TooSlow);
        drop(queue);
        drop(rest);
        tracing::warn!(
            credential.id = %self.desktop.identity.credential,
            connection.id = %self.desktop.connection,
            limit = "desktop queue",
            "a desktop reads too slowly"
        );
        self.wake.notify_one();
    }

    /// Another connection has taken its place: it is told so by this frame, and closed.
    pub(super) fn displace(&self, frame: Bytes) {
        let mut queue = lock(&self.queue);
        let mut rest = None;
        if queue.farewell.is_none() {
            rest = Some(queue.end(Farewell::Replaced));
            queue.frames.push_back(frame);
        }
        drop(queue);
        drop(rest);
        self.wake.notify_one();
    }
}

impl Queue {
    /// What waits, which is for nobody any more.
    fn end(&mut self, farewell: Farewell) -> Queue {
        std::mem::replace(self, Queue { farewell: Some(farewell), ..Queue::default() })
    }
}
