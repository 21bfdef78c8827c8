//! Payments of desktops: begun, followed to their end, and told.
//!
//! One task follows each transaction that has no end yet; what it does is decided by [`Pursuit`](relay::actions::Pursuit), and
//! what became of the money by the ledger, under the transaction's ServiceID. What there is to tell is on disk first, and then
//! owed to the desktop until it was handed over: see [`tell`].
//!
//! What stays true: a transaction is followed by one task at most, and by one at all times from its beginning to its end,
//! but while the gateway is down.

mod begin;
mod chase;
mod end;
mod read;
mod recover;
pub(crate) mod tell;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relay::ConnectionId;
use relay::actions::TransactionId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desktops::{Desktops, Held};
use crate::exchange::Exchanges;
use crate::presence::Presence;
use crate::store::actions::{Edition, TransactionSeq};
use crate::store::{CredentialId, Pending, Store};

pub(crate) use begin::{Beginning, Followed, NotBegun, PaymentOf};

/// Connections that may wait for one transaction beside the one that has begun it: as many as there may be calls for one
/// exchange. A further one is told when it asks again.
const ASKERS_MAX: usize = 16;

/// How long until a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// All payments of desktops that have no end yet.
#[derive(Debug)]
pub(crate) struct Payments {
    store: Arc<dyn Store>,
    exchanges: Arc<Exchanges>,
    presence: Arc<Presence>,
    desktops: Arc<Desktops>,
    tasks: TaskTracker,
    /// No new ones are begun.
    draining: CancellationToken,
    /// Nothing is followed any more.
    stopped: CancellationToken,
    per_key: u32,
    followed: Mutex<InHand>,
    /// Told whenever a name is let go of.
    name_freed: Notify,
    /// How many have a desktop that waits for them.
    waited_for: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct InHand {
    transactions: HashMap<TransactionSeq, InHandOne>,
    /// Never 0.
    of_key: HashMap<CredentialId, u32>,
    /// Names under which something is being begun or looked up.
    names: HashSet<Name>,
}

/// What a payment is called, and by whom.
type Name = (CredentialId, TransactionId);

/// Holds a name: until this is dropped nobody else begins, joins or takes up a payment of that name. So what one call has
/// begun is followed, and sent, before another one can find it in the store.
#[derive(Debug)]
struct NameHeld {
    payments: Arc<Payments>,
    name: Name,
}

/// A transaction that a task follows.
#[derive(Debug)]
struct InHandOne {
    /// The connections that wait for it.
    askers: Vec<ConnectionId>,
    /// The latest edition of what there is to tell.
    news: watch::Sender<Edition>,
}

/// A desktop waits for a result; dropping it is the end of that.
#[derive(Debug)]
struct Waits(watch::Sender<usize>);

impl Payments {
    /// Follows nothing yet. Of any one credential `per_key` transactions may be open at once. None is begun once it is
    /// `draining`, and none is followed once it is `stopped`.
    #[expect(clippy::too_many_arguments, reason = "called once, where everything is wired together")]
    pub(crate) fn new(
        store: Arc<dyn Store>,
        exchanges: Arc<Exchanges>,
        presence: Arc<Presence>,
        desktops: Arc<Desktops>,
        tasks: TaskTracker,
        draining: CancellationToken,
        stopped: CancellationToken,
        per_key: u32,
    ) -> Arc<Payments> {
        let (followed, waited_for) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(Payments {
            store,
            exchanges,
            presence,
            desktops,
            tasks,
            draining,
            stopped,
            per_key,
            followed,
            name_freed: Notify::new(),
            waited_for,
        })
    }

    /// The desktops that are told.
    pub(crate) fn desktops(&self) -> &Arc<Desktops> {
        &self.desktops
    }

    /// Returns when no desktop waits for a result any more: each was told, or was told that its outcome is not known yet.
    pub(crate) async fn settled(&self) {
        // It can't end before this does.
        let _ = self.waited_for.subscribe().wait_for(|count| *count == 0).await;
    }

    /// A desktop waits until this is dropped.
    fn wait(&self) -> Arc<Held> {
        self.waited_for.send_modify(|count| *count = count.saturating_add(1));
        Arc::new(Waits(self.waited_for.clone()))
    }

    /// Writes until it is written; none when the gateway stops first.
    async fn keep<T>(&self, mut write: impl FnMut() -> Pending<T>) -> Option<T> {
        let mut has_failed = false;
        loop {
            match write().await {
                Ok(answer) => return Some(answer),
                Err(error) if !has_failed => {
                    tracing::error!(%error, "a transaction can't be kept or read; it is tried until it can");
                    has_failed = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = self.stopped.cancelled() => return None,
            }
        }
    }

    /// Waits until nobody holds this name, and holds it.
    async fn hold(self: &Arc<Self>, credential: &CredentialId, id: &TransactionId) -> NameHeld {
        let name = (credential.clone(), id.clone());
        loop {
            // Made before it is looked, so that no letting go is missed.
            let freed = self.name_freed.notified();
            if self.in_hand().names.insert(name.clone()) {
                return NameHeld { payments: self.clone(), name };
            }
            freed.await;
        }
    }

    fn in_hand(&self) -> MutexGuard<'_, InHand> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InHand {
    fn count(&mut self, credential: &CredentialId) {
        let count = self.of_key.entry(credential.clone()).or_default();
        *count = count.saturating_add(1);
    }

    fn uncount(&mut self, credential: &CredentialId) {
        match self.of_key.get_mut(credential) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.of_key.remove(credential)),
        }
    }
}

impl Drop for NameHeld {
    fn drop(&mut self) {
        self.payments.in_hand().names.remove(&self.name);
        self.payments.name_freed.notify_waiters();
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
