//! One queue of deadlines for all desks, so that an idle terminal needs no timer of its own.
//!
//! A desk is in the queue at most a few times: it is added only for a deadline that is earlier than all those it is in
//! the queue for already, and looked at afresh each time one comes. Late by at most [`TICK`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Counter, Presence, lock};

/// Deadlines that come this close together are served together.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: Mutex<BinaryHeap<Reverse<Deadline>>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Deadline {
    at: Duration,
    counter: Weak<Counter>,
}

impl Timers {
    pub(super) fn arm(&self, at: Duration, counter: &Arc<Counter>) {
        let mut queue = lock(&self.queue);
        let first = queue.peek().is_none_or(|Reverse(first)| at < first.at);
        queue.push(Reverse(Deadline { at, counter: Arc::downgrade(counter) }));
        drop(queue);
        if first {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> Option<Duration> {
        lock(&self.queue).peek().map(|Reverse(first)| first.at)
    }

    fn due(&self, now: Duration) -> Vec<Arc<Counter>> {
        let mut queue = lock(&self.queue);
        let mut due = Vec::new();
        while queue.peek().is_some_and(|Reverse(first)| first.at <= now) {
            due.extend(queue.pop().and_then(|Reverse(first)| first.counter.upgrade()));
        }
        due
    }
}

/// Runs until the node stops.
pub(super) fn spawn(presence: &Arc<Presence>, stopped: CancellationToken) {
    let (weak, timers, clock) = (Arc::downgrade(presence), presence.timers.clone(), presence.clock);
    presence.tasks.spawn(async move {
        loop {
            {
                let Some(presence) = weak.upgrade() else { return };
                for counter in timers.due(clock.now().mono) {
                    presence.wake_up(&counter);
                }
            }
            let sleep = timers.next().map_or(Duration::from_secs(1), |at| {
                at.saturating_sub(clock.now().mono).clamp(TICK, Duration::from_secs(1))
            });
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = timers.earlier.notified() => {}
                () = stopped.cancelled() => {
                    if let Some(presence) = weak.upgrade() {
                        presence.wake_sockets();
                    }
                    return;
                }
            }
        }
    });
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Deadline) -> bool {
        self.at == other.at
    }
}

impl Eq for Deadline {}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Deadline) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deadline {
    fn cmp(&self, other: &Deadline) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
