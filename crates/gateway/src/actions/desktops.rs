//! Which desktops are connected, and what is on its way to each of them.
//!
//! Whoever has something to say leaves it in a desktop's queue and goes on; the desktop's own task takes it from there. So
//! a desktop that reads slowly holds nobody up: when its queue is full it is closed.
//!
//! News wait as frames. What became of a payment does not: only that there is something waits ([`Due`]), and the desktop's task
//! reads it from the store when its turn comes. So nothing is lost with a connection, and nobody is told what is no longer so.
//! While it is on its way to a socket it is claimed, so that of two connections of one desktop only one is told; unless the other
//! one is newer, for then the first may be dead without anybody knowing it yet.
//!
//! What stays true: a connection is found by its ID, by its identity and by its groups, or by none of them; and it is in the
//! list exactly as long as its [`DesktopHandle`] lives, unless another took its place before. When one goes that may have
//! had something to tell, the others of its identity look for it.

mod claims;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use relay::ConnectionId;

use crate::store::actions::{ActionsDeviceId, Edition, Group, TransactionSeq};
use crate::store::{CompanyCode, CredentialId};

use claims::Claims;
use queue::Entry;
pub(crate) use queue::{DesktopOrder, Due, Farewell, Held, Owing, Why};

/// All desktops that are connected to this node.
#[derive(Debug)]
pub(crate) struct Desktops {
    per_identity: PerIdentity,
    inner: Mutex<Inner>,
}

/// How many connections one desktop may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PerIdentity {
    /// As many as it opens.
    Any,
    /// One: the next displaces it.
    One,
}

/// Who a desktop is, for longer than its connection. Those that give no device ID are one to [`PerIdentity::One`], and
/// nobody to whom a result could be told later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Its API credential.
    pub(crate) credential: CredentialId,
    /// What it calls itself under that.
    pub(crate) device: Option<ActionsDeviceId>,
}

/// A desktop as it connects.
#[derive(Clone, Debug)]
pub(crate) struct Desktop {
    /// The new connection.
    pub(crate) connection: ConnectionId,
    /// Who it is.
    pub(crate) identity: Identity,
    /// Whose it is.
    pub(crate) company: CompanyCode,
    /// The groups that this connection is for.
    pub(crate) groups: Vec<Group>,
}

/// One connection of a desktop, from its upgrade to its end. Dropping it is the departure.
#[derive(Debug)]
pub(crate) struct DesktopHandle {
    desktops: Arc<Desktops>,
    entry: Arc<Entry>,
}

#[derive(Debug, Default)]
struct Inner {
    open: Open,
    claims: Claims,
}

/// The connections that stand.
#[derive(Debug, Default)]
struct Open {
    connections: HashMap<ConnectionId, Arc<Entry>>,
    /// In the order in which they were opened; never empty.
    identities: HashMap<Identity, Vec<Arc<Entry>>>,
    /// Never empty.
    groups: HashMap<(CompanyCode, Group), HashMap<ConnectionId, Arc<Entry>>>,
}

impl Desktops {
    /// None yet.
    pub(crate) fn new(per_identity: PerIdentity) -> Arc<Desktops> {
        Arc::new(Desktops { per_identity, inner: Mutex::default() })
    }

    /// A desktop has connected. With [`PerIdentity::One`] those of the same identity are told `displaced`, a whole frame, and
    /// closed.
    pub(crate) fn open(
        self: &Arc<Self>,
        desktop: Desktop,
        displaced: impl FnOnce() -> Bytes,
    ) -> DesktopHandle {
        let entry = Arc::new(Entry::new(desktop));
        let mut inner = lock(&self.inner);
        let earlier = match self.per_identity {
            PerIdentity::One => {
                inner.open.identities.get(&entry.desktop.identity).cloned().unwrap_or_default()
            }
            PerIdentity::Any => Vec::new(),
        };
        for earlier in &earlier {
            inner.open.remove(earlier);
        }
        inner.open.insert(&entry);
        drop(inner);
        if !earlier.is_empty() {
            let frame = displaced();
            for earlier in &earlier {
                tracing::info!(
                    credential.id = %earlier.desktop.identity.credential,
                    connection.id = %earlier.desktop.connection,
                    "a desktop was displaced by its own next connection"
                );
                earlier.displace(frame.clone());
            }
        }
        DesktopHandle { desktops: self.clone(), entry }
    }

    /// Leaves a frame for each connection that is for this group.
    pub(crate) fn tell_group(&self, company: &CompanyCode, group: &Group, frame: &Bytes) {
        let key = (company.clone(), group.clone());
        let entries: Vec<_> =
            lock(&self.inner).open.groups.get(&key).into_iter().flat_map(HashMap::values).cloned().collect();
        for entry in entries {
            entry.push(frame.clone());
        }
    }

    /// Whether any desktop is connected for this group.
    pub(crate) fn has_group(&self, company: &CompanyCode, group: &Group) -> bool {
        lock(&self.inner).open.groups.contains_key(&(company.clone(), group.clone()))
    }

    /// Whether this connection stands.
    pub(crate) fn is_here(&self, connection: &ConnectionId) -> bool {
        lock(&self.inner).open.connections.contains_key(connection)
    }

    /// Something is owed to this desktop: its newest connection is told, for an older one may be dead without anybody knowing it
    /// yet; and those of `askers` that are here. Of a desktop without a device ID those alone. With none at all it waits in the
    /// store.
    pub(crate) fn owe(&self, desktop: &Identity, askers: &[ConnectionId], due: &Due) {
        let mut told = Vec::new();
        let inner = lock(&self.inner);
        let newest = match desktop.device {
            Some(_) => inner.open.identities.get(desktop).and_then(|entries| entries.last()).cloned(),
            None => None,
        };
        let mut is_owed = newest.is_none();
        for entry in askers.iter().filter_map(|asker| inner.open.connections.get(asker)) {
            if newest.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, entry)) {
                continue;
            }
            let why = if is_owed && entry.desktop.identity == *desktop { Why::Owed } else { Why::Asked };
            is_owed &= why != Why::Owed;
            told.push((entry.clone(), why));
        }
        told.extend(newest.map(|entry| (entry, Why::Owed)));
        drop(inner);
        for (entry, why) in told {
            entry.push_due(Due { why, ..due.clone() });
        }
    }

    /// Leaves it to one connection to tell how a transaction stands.
    pub(crate) fn answer(&self, connection: &ConnectionId, due: Due) {
        let entry = lock(&self.inner).open.connections.get(connection).cloned();
        if let Some(entry) = entry {
            entry.push_due(due);
        }
    }

    /// Takes the right to tell this edition of a transaction that `asker` has asked for. False when it is told already, or is
    /// on its way to another connection, or will be since its asker is here. A newer connection of the same desktop takes it
    /// from an older one that has not shown that it has it.
    pub(crate) fn claim(
        &self,
        connection: &ConnectionId,
        asker: Option<&ConnectionId>,
        transaction: TransactionSeq,
        edition: Edition,
    ) -> bool {
        let Inner { open, claims } = &mut *lock(&self.inner);
        let is_newer = |other: &ConnectionId| open.is_newer(connection, other);
        let is_anothers = asker.is_some_and(|asker| {
            asker != connection && open.connections.contains_key(asker) && !is_newer(asker)
        });
        !is_anothers && claims.take(connection, transaction, edition, is_newer)
    }

    /// The desktop has what was claimed.
    pub(crate) fn note_arrived(&self, transaction: TransactionSeq, edition: Edition) {
        lock(&self.inner).claims.note_arrived(transaction, edition);
    }

    /// What was claimed is in the store as told, or will not be told.
    pub(crate) fn release(&self, transaction: TransactionSeq, edition: Edition) {
        lock(&self.inner).claims.release(transaction, edition);
    }
}

impl Open {
    fn insert(&mut self, entry: &Arc<Entry>) {
        let Desktop { connection, identity, company, groups } = &entry.desktop;
        self.connections.insert(connection.clone(), entry.clone());
        self.identities.entry(identity.clone()).or_default().push(entry.clone());
        for group in groups {
            let members = self.groups.entry((company.clone(), group.clone())).or_default();
            members.insert(connection.clone(), entry.clone());
        }
    }

    /// Whether both are connections of one desktop that has a device ID, and `this` was opened later.
    fn is_newer(&self, this: &ConnectionId, that: &ConnectionId) -> bool {
        let Some(identity) = self.connections.get(this).map(|entry| &entry.desktop.identity) else {
            return false;
        };
        let Some(entries) = self.identities.get(identity).filter(|_| identity.device.is_some()) else {
            return false;
        };
        let at = |which: &ConnectionId| entries.iter().position(|entry| entry.desktop.connection == *which);
        matches!((at(this), at(that)), (Some(this), Some(that)) if this > that)
    }

    /// Takes it out wherever it is, if it is.
    fn remove(&mut self, entry: &Arc<Entry>) {
        let Desktop { connection, identity, company, groups } = &entry.desktop;
        if self.connections.remove(connection).is_none() {
            return;
        }
        if let Some(entries) = self.identities.get_mut(identity) {
            entries.retain(|other| !Arc::ptr_eq(other, entry));
            if entries.is_empty() {
                self.identities.remove(identity);
            }
        }
        for group in groups.iter().collect::<HashSet<_>>() {
            let key = (company.clone(), group.clone());
            if let Some(members) = self.groups.get_mut(&key) {
                members.remove(connection);
                if members.is_empty() {
                    self.groups.remove(&key);
                }
            }
        }
    }
}

impl DesktopHandle {
    /// Which desktop it is.
    pub(crate) fn desktop(&self) -> &Desktop {
        &self.entry.desktop
    }

    /// Returns when [`next_order`](Self::next_order) may have something. Cancel safe.
    pub(crate) async fn ready(&self) {
        self.entry.ready().await;
    }

    /// The next thing that this socket has to do, if any.
    pub(crate) fn next_order(&self) -> Option<DesktopOrder> {
        self.entry.next_order()
    }

    /// What this socket's task has to look up and tell next, if anything. Wakes like an order.
    pub(crate) fn next_owing(&self) -> Option<Owing> {
        self.entry.next_owing()
    }

    /// There may be more than was looked up.
    pub(crate) fn look_again(&self) {
        self.entry.set_behind();
    }
}

impl Drop for DesktopHandle {
    fn drop(&mut self) {
        let Desktop { connection, identity, .. } = &self.entry.desktop;
        let mut inner = lock(&self.desktops.inner);
        inner.open.remove(&self.entry);
        inner.claims.leave(connection);
        let others = match identity.device {
            Some(_) => inner.open.identities.get(identity).cloned().unwrap_or_default(),
            None => Vec::new(),
        };
        drop(inner);
        for other in others {
            other.set_behind();
        }
    }
}

/// A panic elsewhere must not take every desktop's messages with it: both maps and queues are whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
