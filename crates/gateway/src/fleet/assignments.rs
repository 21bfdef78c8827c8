//! Assignments from the call to their end.
//!
//! The rules and the steps are the store's, each in one transaction: `assign` decides, `complete_assignment` ends. This module tells the
//! terminals, does in the background what waits for nobody, and takes what terminals confirm, over their link or by maintenance. What was
//! asked for is in the store, so a gateway that was stopped in between goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use nexo::PoiId;
use relay::ChangeId;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::Keeper;
use crate::access::Caller;
use crate::clock::Clock;
use crate::presence::{Confirmed, Presence};
use crate::store::fleet_store::{Assign, Assigned, Completed, CompletedBy, DueAssignment, TokenId};
use crate::store::{AssignError, Place, Store, StoreError};

/// Assignments that the background work takes up at once.
const AT_ONCE: usize = 256;

/// How often the background work looks by itself: what another process has scheduled, or could not be done for a store that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long to wait before what a terminal has confirmed is stored again.
const CONFIRM_AGAIN: Duration = Duration::from_secs(1);

/// How long a transaction of the background work leaves the store to payments.
const PAUSE: Duration = Duration::from_millis(1);

/// Brings assignments to their end. See the [module](self).
#[derive(Debug)]
pub(crate) struct Assignments {
    store: Arc<dyn Store>,
    presence: Arc<Presence>,
    keeper: Arc<Keeper>,
    clock: Clock,
    tasks: TaskTracker,
    scheduled: Notify,
}

impl Assignments {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        presence: Arc<Presence>,
        keeper: Arc<Keeper>,
        tasks: TaskTracker,
    ) -> Assignments {
        let clock = presence.clock();
        Assignments { store, presence, keeper, clock, tasks, scheduled: Notify::new() }
    }

    /// Assigns terminals, all or none; what becomes of each, in the order in which they were named.
    ///
    /// # Errors
    /// [`AssignError`]; nothing was changed then.
    pub(crate) async fn assign(
        self: &Arc<Self>,
        caller: &Caller,
        terminals: Vec<PoiId>,
        target: Place,
    ) -> Result<Vec<(PoiId, Assigned)>, AssignError> {
        let call = Assign {
            company: caller.company.clone(),
            scope: caller.scope.clone(),
            terminals,
            target: target.clone(),
            by: Some(caller.credential.clone()),
            at: self.clock.now().wall,
        };
        let (this, by) = (self.clone(), caller.credential.clone());
        // In a task of its own: who hangs up in between must not keep the terminals from being told.
        let assigned = self.tasks.spawn(async move {
            let assigned = this.store.assign(call).await?;
            for (poi, result) in &assigned {
                let result = result.as_str();
                tracing::info!(poi.id = %poi, credential.id = %by, to = %target, result, "assigned");
                this.keeper.look_at(poi);
            }
            if assigned.iter().any(|(_, result)| *result == Assigned::Scheduled) {
                this.scheduled.notify_one();
            }
            Ok(assigned)
        });
        assigned.await.unwrap_or(Err(AssignError::Store(StoreError::Closed)))
    }

    /// Does what waits for nobody but the gateway, for ever.
    pub(crate) async fn work(&self) {
        loop {
            match self.work_off().await {
                Ok(0) => {
                    let _ = tokio::time::timeout(LOOK_AGAIN, self.scheduled.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "scheduled assignments can't be done; tried again");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Does what is due now; how many that were.
    async fn work_off(&self) -> Result<usize, StoreError> {
        let due = self.store.due_assignments(AT_ONCE).await?;
        let mut done = 0;
        for DueAssignment { poi, change } in &due {
            // One that can't be done holds up no other.
            match self.complete(poi, change, CompletedBy::Background).await {
                Ok(()) => done += 1,
                Err(error) => {
                    tracing::error!(%error, poi.id = %poi, change.id = %change, "an assignment can't be done; tried again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(done)
    }

    /// Takes what terminals confirm over their links, for ever.
    pub(crate) async fn take_confirmations(&self) {
        loop {
            let mut failed = Vec::new();
            for (poi, Confirmed { removed, stored }) in self.presence.confirmed().await {
                // A terminal says each once on its link, so what can't be stored is kept and tried again.
                let mut again = Confirmed::default();
                if let Some(token) = stored
                    && let Err(error) = self.end_rotation(&poi, &token).await
                {
                    tracing::error!(%error, poi.id = %poi, "that a new token is stored can't be noted; tried again");
                    again.stored = Some(token);
                }
                if let Some(change) = removed
                    && let Err(error) = self.confirmed(&poi, &change).await
                {
                    tracing::error!(%error, poi.id = %poi, change.id = %change, "a confirmation can't be noted; tried again");
                    again.removed = Some(change);
                }
                if again != Confirmed::default() {
                    failed.push((poi, again));
                }
            }
            if !failed.is_empty() {
                tokio::time::sleep(CONFIRM_AGAIN).await;
                failed.into_iter().for_each(|(poi, again)| self.presence.confirmed_before(&poi, again));
            }
        }
    }

    async fn end_rotation(&self, poi: &PoiId, token: &TokenId) -> Result<(), StoreError> {
        if self.store.end_rotation(poi, token, self.clock.now().wall).await? {
            tracing::info!(poi.id = %poi, token.id = %token, "token rotated");
        }
        Ok(())
    }

    /// The terminal has removed its configuration.
    ///
    /// # Errors
    /// [`StoreError`]; it may be done all the same.
    pub(crate) async fn confirmed(&self, poi: &PoiId, change: &ChangeId) -> Result<(), StoreError> {
        self.complete(poi, change, CompletedBy::Terminal).await
    }

    async fn complete(&self, poi: &PoiId, change: &ChangeId, by: CompletedBy) -> Result<(), StoreError> {
        let completed = self.store.complete_assignment(poi, change, by, self.clock.now().wall).await?;
        if let Some(Completed { from, to, again: false, .. }) = &completed {
            tracing::info!(poi.id = %poi, change.id = %change, %from, %to, "assignment complete");
        }
        // Also where there is none any more: whoever has removed its configuration waits for its settings.
        if by == CompletedBy::Terminal {
            self.presence.settings_are_awaited(poi);
        }
        self.keeper.look_at(poi);
        Ok(())
    }
}
