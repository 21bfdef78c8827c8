//! The store's replies on their way back to the desks.
//!
//! The store answers many ops at once, when their transaction is on disk. One task takes them all to their desks, so that a
//! commit wakes one task and not one for each op. There are never more of them than ops that the store has taken, which its
//! lanes bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use relay::exchange::OpId;
use relay::ledger::{LedgerError, Reply};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Counter, Presence, lock};
use crate::store::LedgerAnswer;

#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: Mutex<Vec<Replied>>,
    some: Notify,
}

#[derive(Debug)]
struct Replied {
    counter: Arc<Counter>,
    op: OpId,
    reply: Result<Reply, LedgerError>,
}

impl Replies {
    /// Brings the reply to this op back to its desk. The desk is kept until then, also when it has left the map.
    pub(super) fn answer(self: &Arc<Self>, counter: &Arc<Counter>, op: OpId) -> LedgerAnswer {
        let (replies, counter) = (self.clone(), counter.clone());
        LedgerAnswer::call(move |reply| replies.put(Replied { counter, op, reply }))
    }

    fn put(&self, replied: Replied) {
        let mut waiting = lock(&self.waiting);
        let first = waiting.is_empty();
        waiting.push(replied);
        drop(waiting);
        if first {
            self.some.notify_one();
        }
    }
}

/// Runs until the node stops: then nobody waits for a desk any more.
pub(super) fn spawn(presence: &Arc<Presence>, stopped: CancellationToken) {
    let (weak, replies) = (Arc::downgrade(presence), presence.replies.clone());
    presence.tasks.spawn(async move {
        let mut taken = Vec::new();
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                () = replies.some.notified() => {}
            }
            std::mem::swap(&mut taken, &mut *lock(&replies.waiting));
            let Some(presence) = weak.upgrade() else { return };
            for Replied { counter, op, reply } in taken.drain(..) {
                // A desk that panics must not take the replies of all others with it.
                let brought = AssertUnwindSafe(|| presence.ledger_replied(&counter, op, reply));
                if catch_unwind(brought).is_err() {
                    tracing::error!(
                        "a desk panicked over a reply of the ledger; its exchanges may stay open"
                    );
                }
            }
        }
    });
}
