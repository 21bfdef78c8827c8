//! What the fleet wants of a terminal's link, handed to its desk; and what terminals say about that.
//!
//! A terminal without a socket here has nothing to be told: it learns what holds with its next `welcome` or maintenance call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nexo::PoiId;
use relay::{ChangeId, ChangedSettings, CloseReason, LinkToken, Now};
use tokio::sync::Notify;

use super::{Counter, Inner, Presence, lock};
use crate::store::fleet_store::{Activity, TokenId};

/// What a terminal has said about what the fleet wanted of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// Its configuration is removed, for this change.
    pub(crate) removed: Option<ChangeId>,
    /// This token is stored.
    pub(crate) stored: Option<TokenId>,
}

/// What terminals have said and nobody has taken yet: the latest of each, so there are never more than terminals that were connected.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    waiting: Mutex<HashMap<PoiId, Confirmed>>,
    some: Notify,
}

impl Confirmations {
    pub(super) fn put(&self, poi: &PoiId, add: impl FnOnce(&mut Confirmed)) {
        add(lock(&self.waiting).entry(poi.clone()).or_default());
        self.some.notify_one();
    }

    async fn next(&self) -> Vec<(PoiId, Confirmed)> {
        loop {
            let taken = std::mem::take(&mut *lock(&self.waiting));
            if !taken.is_empty() {
                return taken.into_iter().collect();
            }
            self.some.notified().await;
        }
    }
}

impl Presence {
    /// What terminals have confirmed since it was asked last; waits until there is something. For one task alone. Cancel safe.
    pub(crate) async fn confirmed(&self) -> Vec<(PoiId, Confirmed)> {
        self.confirmations.next().await
    }

    /// A terminal has confirmed this before, which could not be stored. What it has said since counts more.
    pub(crate) fn confirmed_before(&self, poi: &PoiId, before: Confirmed) {
        self.confirmations.put(poi, |said| {
            said.removed = said.removed.take().or(before.removed);
            said.stored = said.stored.take().or(before.stored);
        });
    }

    /// Whether the terminal has any socket here, welcomed or not.
    pub(crate) fn has_links(&self, poi: &PoiId) -> bool {
        let counter = lock(self.shard(poi)).get(poi).cloned();
        counter.is_some_and(|counter| !lock(&counter.inner).links.is_empty())
    }

    /// All terminals with a socket here.
    pub(crate) fn with_links(&self) -> Vec<PoiId> {
        let linked = self.counters().filter_map(|counter| {
            let inner = lock(&counter.inner);
            (!inner.links.is_empty()).then(|| inner.desk.poi().clone())
        });
        linked.collect()
    }

    /// When terminals were last heard of over their links, and last had a transaction, since it was asked last.
    pub(crate) fn activity(&self) -> Vec<Activity> {
        let departed = std::mem::take(&mut *lock(&self.departed));
        let linked = self.counters().filter_map(|counter| lock(&counter.inner).activity());
        departed.into_values().chain(linked).collect()
    }

    /// This activity could not be noted: it is told again with the next.
    pub(crate) fn activity_again(&self, activity: &[Activity]) {
        let mut departed = lock(&self.departed);
        for activity in activity {
            departed.entry(activity.poi.clone()).or_insert_with(|| activity.clone());
        }
    }

    /// A socket is about to end.
    pub(super) fn note_departure(&self, inner: &mut Inner) {
        if let Some(activity) = inner.activity() {
            lock(&self.departed).insert(activity.poi.clone(), activity);
        }
    }

    /// The terminal may have no link any more, for this reason: its sockets end, the present one as soon as nothing is open.
    pub(crate) fn close_down(self: &Arc<Self>, poi: &PoiId, reason: &CloseReason) {
        self.linked(poi, |inner, now| {
            let connections: Vec<_> = inner.links.iter().map(|(connection, _)| connection.clone()).collect();
            inner.desk.handle_closing_down(now, connections, reason);
        });
    }

    /// The same for its welcomed link alone.
    pub(crate) fn close_down_present(self: &Arc<Self>, poi: &PoiId, reason: &CloseReason) {
        self.linked(poi, |inner, now| inner.desk.handle_closing_down(now, [], reason));
    }

    /// It may have one after all.
    pub(crate) fn reopen(self: &Arc<Self>, poi: &PoiId) {
        self.linked(poi, |inner, now| inner.desk.handle_reopened(now));
    }

    /// These settings hold for it; it is told unless it was told them before.
    pub(crate) fn settings(self: &Arc<Self>, poi: &PoiId, changed: ChangedSettings) {
        self.linked(poi, |inner, now| {
            if changed.settings.revision > inner.told_revision {
                inner.told_revision = changed.settings.revision;
                inner.desk.handle_settings(now, changed);
            }
        });
    }

    /// The terminal waits for its settings, whether or not it was told them before.
    pub(crate) fn settings_are_awaited(self: &Arc<Self>, poi: &PoiId) {
        self.linked(poi, |inner, _| inner.told_revision = 0);
    }

    /// It is to remove its configuration, for this change.
    pub(crate) fn remove_config(self: &Arc<Self>, poi: &PoiId, change: ChangeId) {
        self.linked(poi, |inner, now| inner.desk.handle_remove_config(now, change));
    }

    /// It has no configuration to remove any more.
    pub(crate) fn removal_over(self: &Arc<Self>, poi: &PoiId) {
        self.linked(poi, |inner, _| inner.desk.handle_removal_over());
    }

    /// Whether the terminal can be given a token now: it has a link, on which it has confirmed whatever it was given before.
    pub(crate) fn takes_token(&self, poi: &PoiId) -> bool {
        let counter = lock(self.shard(poi)).get(poi).cloned();
        counter.is_some_and(|counter| lock(&counter.inner).takes_token())
    }

    /// Gives it a token of this name for its next connects; false when it takes none now.
    pub(crate) fn new_token(self: &Arc<Self>, poi: &PoiId, token: LinkToken, id: TokenId) -> bool {
        let mut told = false;
        self.linked(poi, |inner, now| {
            told = inner.takes_token();
            if told {
                inner.next_token = Some(id);
                inner.desk.handle_new_token(now, token);
            }
        });
        told
    }

    fn counters(&self) -> impl Iterator<Item = Arc<Counter>> {
        self.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
    }

    /// Runs `input` at the desk of a terminal that has a socket here.
    fn linked(self: &Arc<Self>, poi: &PoiId, input: impl FnOnce(&mut Inner, Now)) {
        let Some(counter) = lock(self.shard(poi)).get(poi).cloned() else { return };
        let inner = lock(&counter.inner);
        if !inner.retired && !inner.links.is_empty() {
            self.run(&counter, inner, input);
        }
    }
}

impl Inner {
    fn takes_token(&self) -> bool {
        self.desk.presence().lease().is_some() && self.next_token.is_none()
    }

    /// When its terminal was last heard of, and last had a transaction, if that has not been noted yet.
    fn activity(&mut self) -> Option<Activity> {
        let last_activity = self.links.iter().map(|(_, wake)| wake.heard()).max()?;
        let last_transaction = self.last_transaction.take();
        let is_news = last_activity > self.activity_noted || last_transaction.is_some();
        self.activity_noted = last_activity;
        is_news.then(|| Activity { poi: self.desk.poi().clone(), last_activity, last_transaction })
    }
}
