//! Keeps connected terminals as the fleet wants them: told of their settings and of what is to become of them, and without a link
//! where they may have none.
//!
//! Whoever changes something calls [`Keeper::look_at`] or [`Keeper::look_at_all`] afterwards; the keeper reads each terminal anew and
//! tells its desk what is so now. Telling the same twice does nothing, so it may be called too often, and what is missed by a terminal that
//! is not connected it learns with its next `welcome` or maintenance call.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nexo::PoiId;
use relay::{ChangedSettings, CloseReason, Placement};
use tokio::sync::Notify;

use super::{Directory, Settings};
use crate::presence::Presence;
use crate::store::fleet_store::{EffectiveSettings, PendingState};
use crate::store::{Store, StoreCode, StoreError, Terminal};

/// How long to wait after the store could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks after the links of connected terminals. See the [module](self).
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    presence: Arc<Presence>,
    /// Each terminal once, however often it changed, so there are never more than terminals that were connected.
    due: Mutex<HashSet<PoiId>>,
    some: Notify,
    changes: AtomicU64,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn Store>, directory: Arc<Directory>, presence: Arc<Presence>) -> Keeper {
        let (due, some, changes) = (Mutex::default(), Notify::new(), AtomicU64::new(0));
        Keeper { store, directory, presence, due, some, changes }
    }

    /// Something about this terminal has changed.
    pub(crate) fn look_at(&self, poi: &PoiId) {
        // Counted first: a socket that is not attached yet sees the count, one that is will be looked at.
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.directory.forget(poi);
        if self.presence.has_links(poi) {
            self.put([poi.clone()]);
        }
    }

    /// Something about many terminals has changed. Only those that are connected are looked at, however large the fleet is.
    pub(crate) fn look_at_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.directory.forget_all();
        self.put(self.presence.with_links());
    }

    /// This terminal was read before something changed, or has to be told something besides its `welcome`.
    pub(crate) fn look_again_at(&self, poi: &PoiId) {
        self.put([poi.clone()]);
    }

    /// How often anything has changed while this node ran: a terminal that was read before is to be looked at again if this has
    /// changed by the time that its socket is attached.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Looks at whatever settings are changed for, for ever: by this process, or by another.
    pub(crate) async fn follow(&self, settings: &Settings) {
        loop {
            let mut watch = match settings.watch().await {
                Ok(watch) => watch,
                Err(error) => {
                    tracing::error!(%error, "changes of settings can't be followed; tried again");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            loop {
                match watch.next().await.only() {
                    Some(poi) => self.look_at(poi),
                    None => self.look_at_all(),
                }
            }
        }
    }

    /// Looks at whatever is due, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            let due = std::mem::take(&mut *self.due());
            if due.is_empty() {
                self.some.notified().await;
                continue;
            }
            let mut failed = Vec::new();
            for poi in due {
                if let Err(error) = self.look(&poi).await {
                    tracing::error!(%error, poi.id = %poi, "a terminal can't be read; tried again");
                    failed.push(poi);
                }
            }
            if !failed.is_empty() {
                tokio::time::sleep(AGAIN).await;
                self.put(failed);
            }
        }
    }

    async fn look(&self, poi: &PoiId) -> Result<(), StoreError> {
        let presence = &self.presence;
        let terminal = self.store.terminal(poi).await?;
        let Some(terminal) = terminal.filter(|terminal| terminal.retired.is_none()) else {
            presence.close_down(poi, &CloseReason::NotInStore);
            return Ok(());
        };
        if let Some(reason) = may_have_no_link(&terminal) {
            presence.close_down(poi, &reason);
            return Ok(());
        }
        if terminal.boarded.is_none() {
            // A socket of an Actions terminal may be about to board it; a link that was welcomed has lost its token.
            presence.close_down_present(poi, &CloseReason::BoardAgain);
            return Ok(());
        }
        presence.reopen(poi);
        presence.settings(poi, changed_settings(&terminal));
        match &terminal.pending {
            Some(pending) if pending.state == PendingState::AwaitingTerminal => {
                presence.remove_config(poi, pending.change.clone());
                if pending.told.is_none() && presence.has_links(poi) {
                    let now = presence.clock().now().wall;
                    self.store.note_assignment_told(&pending.change, now).await?;
                }
            }
            _ => presence.removal_over(poi),
        }
        Ok(())
    }

    fn put(&self, terminals: impl IntoIterator<Item = PoiId>) {
        self.due().extend(terminals);
        self.some.notify_one();
    }

    fn due(&self) -> MutexGuard<'_, HashSet<PoiId>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a terminal may have no link, if it may not.
fn may_have_no_link(terminal: &Terminal) -> Option<CloseReason> {
    if !terminal.place.is_in_store() {
        Some(CloseReason::NotInStore)
    } else if !terminal.settings.web_sockets_enabled {
        Some(CloseReason::WebSocketsDisabled)
    } else {
        None
    }
}

/// Where a terminal stands, as it is told; none in inventory.
pub(crate) fn placement(terminal: &Terminal) -> Option<Placement> {
    let merchant = terminal.place.merchant().filter(|_| terminal.place.is_in_store())?;
    Some(Placement {
        poi_id: terminal.poi.clone(),
        merchant_account: merchant.as_str().to_owned(),
        store: terminal.place.store().map(StoreCode::to_string),
    })
}

/// Its settings, as it is told them.
pub(crate) fn told_settings(settings: &EffectiveSettings) -> relay::Settings {
    relay::Settings {
        revision: settings.revision,
        web_sockets_enabled: settings.web_sockets_enabled,
        terminal_api_enabled: settings.terminal_api_enabled,
        display_label: settings.display_label.clone(),
    }
}

fn changed_settings(terminal: &Terminal) -> ChangedSettings {
    ChangedSettings { settings: told_settings(&terminal.settings), terminal: placement(terminal) }
}
