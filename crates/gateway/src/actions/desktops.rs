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

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use relay::ConnectionId;
use relay::actions::TransactionId;
use tokio::sync::Notify;

use crate::store::actions::{ActionsDeviceId, Edition, Group, TransactionSeq};
use crate::store::{CompanyCode, CredentialId};

/// Frames that may wait for one desktop: when all terminals of a group that is as large as one answer of a list come back at
/// once, each brings a handful. A desktop that reads takes them in a moment.
const FRAMES_MAX: usize = 4_096;

/// Bytes that may wait for one desktop: a hundred results with long receipts. News for a group are kept once for all of it.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Results that may be due to one desktop. Each is a payment that it has asked for; no till has as many at once.
const DUE_MAX: usize = 4_096;

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

/// The right to tell one edition of a transaction. [`Desktops::release`] ends it.
#[derive(Clone, Debug)]
struct Claim {
    connection: ConnectionId,
    edition: Edition,
    /// The desktop has it: it stays claimed until that is in the store, whatever becomes of the connection.
    has_arrived: bool,
}

/// Why the gateway ends a desktop's connection that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Its queue is full.
    TooSlow,
    /// Another connection of the same identity has taken its place.
    Replaced,
}

/// One connection of a desktop, from its upgrade to its end. Dropping it is the departure.
#[derive(Debug)]
pub(crate) struct DesktopHandle {
    desktops: Arc<Desktops>,
    entry: Arc<Entry>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: HashMap<ConnectionId, Arc<Entry>>,
    /// In the order in which they were opened; never empty.
    identities: HashMap<Identity, Vec<Arc<Entry>>>,
    /// Never empty.
    groups: HashMap<(CompanyCode, Group), HashMap<ConnectionId, Arc<Entry>>>,
    claims: HashMap<TransactionSeq, Claim>,
}

#[derive(Debug)]
struct Entry {
    desktop: Desktop,
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
        let queue = Queue { is_behind: desktop.identity.device.is_some(), ..Queue::default() };
        let entry = Arc::new(Entry { desktop, queue: Mutex::new(queue), wake: Notify::new() });
        let mut inner = lock(&self.inner);
        let earlier = match self.per_identity {
            PerIdentity::One => inner.identities.get(&entry.desktop.identity).cloned().unwrap_or_default(),
            PerIdentity::Any => Vec::new(),
        };
        for earlier in &earlier {
            inner.remove(earlier);
        }
        inner.insert(&entry);
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
            lock(&self.inner).groups.get(&key).into_iter().flat_map(HashMap::values).cloned().collect();
        for entry in entries {
            entry.push(frame.clone());
        }
    }

    /// Whether any desktop is connected for this group.
    pub(crate) fn has_group(&self, company: &CompanyCode, group: &Group) -> bool {
        lock(&self.inner).groups.contains_key(&(company.clone(), group.clone()))
    }

    /// Whether this connection stands.
    pub(crate) fn is_here(&self, connection: &ConnectionId) -> bool {
        lock(&self.inner).connections.contains_key(connection)
    }

    /// Something is owed to this desktop: its newest connection is told, for an older one may be dead without anybody knowing it
    /// yet; and those of `askers` that are here. Of a desktop without a device ID those alone. With none at all it waits in the
    /// store.
    pub(crate) fn owe(&self, desktop: &Identity, askers: &[ConnectionId], due: &Due) {
        let mut told = Vec::new();
        let inner = lock(&self.inner);
        let newest = match desktop.device {
            Some(_) => inner.identities.get(desktop).and_then(|entries| entries.last()).cloned(),
            None => None,
        };
        let mut is_owed = newest.is_none();
        for entry in askers.iter().filter_map(|asker| inner.connections.get(asker)) {
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
        let entry = lock(&self.inner).connections.get(connection).cloned();
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
        let mut inner = lock(&self.inner);
        let is_anothers = asker.is_some_and(|asker| {
            asker != connection && inner.connections.contains_key(asker) && !inner.is_newer(connection, asker)
        });
        let is_claimed = inner.claims.get(&transaction).is_some_and(|claim| {
            let may_take = !claim.has_arrived && inner.is_newer(connection, &claim.connection);
            claim.edition > edition || (claim.edition == edition && !may_take)
        });
        if is_anothers || is_claimed {
            return false;
        }
        let claim = Claim { connection: connection.clone(), edition, has_arrived: false };
        inner.claims.insert(transaction, claim);
        true
    }

    /// The desktop has what was claimed.
    pub(crate) fn note_arrived(&self, transaction: TransactionSeq, edition: Edition) {
        if let Some(claim) = lock(&self.inner).claims.get_mut(&transaction)
            && claim.edition == edition
        {
            claim.has_arrived = true;
        }
    }

    /// What was claimed is in the store as told, or will not be told.
    pub(crate) fn release(&self, transaction: TransactionSeq, edition: Edition) {
        let mut inner = lock(&self.inner);
        if inner.claims.get(&transaction).is_some_and(|claim| claim.edition == edition) {
            inner.claims.remove(&transaction);
        }
    }
}

impl Inner {
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

impl Entry {
    /// False when nothing more is taken.
    fn push(&self, frame: Bytes) -> bool {
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

    fn push_due(&self, due: Due) {
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
    fn set_behind(&self) {
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

    fn displace(&self, frame: Bytes) {
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

impl DesktopHandle {
    /// Which desktop it is.
    pub(crate) fn desktop(&self) -> &Desktop {
        &self.entry.desktop
    }

    /// Returns when [`next_order`](Self::next_order) may have something. Cancel safe.
    pub(crate) async fn ready(&self) {
        self.entry.wake.notified().await;
    }

    /// The next thing that this socket has to do, if any.
    pub(crate) fn next_order(&self) -> Option<DesktopOrder> {
        let mut queue = lock(&self.entry.queue);
        let Some(frame) = queue.frames.pop_front() else { return queue.farewell.map(DesktopOrder::Close) };
        queue.bytes = queue.bytes.saturating_sub(frame.len());
        if queue.frames.is_empty() {
            queue.frames = VecDeque::new(); // Most desktops are idle.
        }
        Some(DesktopOrder::Frame(frame))
    }

    /// What this socket's task has to look up and tell next, if anything. Wakes like an order.
    pub(crate) fn next_owing(&self) -> Option<Owing> {
        let mut queue = lock(&self.entry.queue);
        if std::mem::take(&mut queue.is_behind) {
            return Some(Owing::All);
        }
        let due = queue.due.pop_front();
        if queue.due.is_empty() {
            queue.due = VecDeque::new();
        }
        due.map(Owing::One)
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
        inner.remove(&self.entry);
        inner.claims.retain(|_, claim| claim.connection != *connection || claim.has_arrived);
        let others = match identity.device {
            Some(_) => inner.identities.get(identity).cloned().unwrap_or_default(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MerchantCode, Place, StoreCode};

    fn group(code: &str) -> Group {
        let (merchant, store) = (MerchantCode::parse("ACME_EU").unwrap(), StoreCode::parse(code).unwrap());
        Group::at(&Place::Store { merchant, store }).unwrap()
    }

    fn company() -> CompanyCode {
        CompanyCode::parse("ACME").unwrap()
    }

    fn desktop(connection: &str, device: Option<&str>, groups: &[&str]) -> Desktop {
        Desktop {
            connection: ConnectionId::parse(connection).unwrap(),
            identity: Identity {
                credential: CredentialId::parse("ws_1").unwrap(),
                device: device.map(|device| ActionsDeviceId::parse(device).unwrap()),
            },
            company: company(),
            groups: groups.iter().map(|code| group(code)).collect(),
        }
    }

    fn open(desktops: &Arc<Desktops>, desktop: Desktop) -> DesktopHandle {
        desktops.open(desktop, || Bytes::from_static(b"displaced"))
    }

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// False when it is not there (any more), or is too slow.
    fn tell(desktops: &Desktops, connection: &ConnectionId, frame: Bytes) -> bool {
        let entry = lock(&desktops.inner).connections.get(connection).cloned();
        entry.is_some_and(|entry| entry.push(frame))
    }

    fn orders(handle: &DesktopHandle) -> Vec<String> {
        std::iter::from_fn(|| match handle.next_order()? {
            DesktopOrder::Frame(frame) => Some(String::from_utf8(frame.to_vec()).unwrap()),
            DesktopOrder::Close(_) => None,
        })
        .collect()
    }

    #[test]
    fn a_frame_reaches_one_connection_or_those_of_a_group() {
        let desktops = Desktops::new(PerIdentity::Any);
        let one = open(&desktops, desktop("c_1", None, &["AMS"]));
        let two = open(&desktops, desktop("c_2", Some("till-2"), &["AMS", "PAR"]));
        let three = open(&desktops, desktop("c_3", Some("till-2"), &["PAR"]));
        assert!(tell(&desktops, &two.desktop().connection, frame("to two")));
        desktops.tell_group(&company(), &group("AMS"), &frame("to AMS"));
        desktops.tell_group(&CompanyCode::parse("OTHER").unwrap(), &group("AMS"), &frame("to others"));
        assert_eq!(orders(&one), ["to AMS"]);
        assert_eq!(orders(&two), ["to two", "to AMS"]);
        assert!(orders(&three).is_empty());
    }

    #[test]
    fn a_desktop_that_has_gone_leaves_nothing_behind() {
        let desktops = Desktops::new(PerIdentity::Any);
        let gone = desktop("c_1", Some("till-1"), &["AMS", "AMS", "PAR"]);
        drop(open(&desktops, gone.clone()));
        assert!(!desktops.is_here(&gone.connection) && !desktops.has_group(&company(), &group("AMS")));
        assert!(!tell(&desktops, &gone.connection, frame("hello")));
        let inner = lock(&desktops.inner);
        assert!(inner.connections.is_empty() && inner.identities.is_empty() && inner.groups.is_empty());
    }

    #[test]
    fn a_slow_reader_is_closed_and_nobody_waits_for_it() {
        let desktops = Desktops::new(PerIdentity::Any);
        let slow = open(&desktops, desktop("c_1", None, &["AMS"]));
        let quick = open(&desktops, desktop("c_2", None, &["AMS"]));
        for _ in 0..FRAMES_MAX {
            desktops.tell_group(&company(), &group("AMS"), &frame("news"));
            assert_eq!(orders(&quick), ["news"]);
        }
        desktops.tell_group(&company(), &group("AMS"), &frame("news"));
        assert_eq!(slow.next_order(), Some(DesktopOrder::Close(Farewell::TooSlow)));
        assert!(!tell(&desktops, &slow.desktop().connection, frame("late")));
        assert_eq!(orders(&quick), ["news"]);
    }

    #[test]
    fn a_queue_is_full_by_its_bytes_too_but_takes_one_frame_of_any_length() {
        let desktops = Desktops::new(PerIdentity::Any);
        let handle = open(&desktops, desktop("c_1", None, &[]));
        let connection = &handle.desktop().connection;
        let long = Bytes::from(vec![b' '; BYTES_MAX + 1]);
        for _ in 0..2 {
            assert!(tell(&desktops, connection, long.clone()));
            assert_eq!(handle.next_order(), Some(DesktopOrder::Frame(long.clone())));
        }
        assert!(tell(&desktops, connection, long) && !tell(&desktops, connection, frame("more")));
        assert_eq!(handle.next_order(), Some(DesktopOrder::Close(Farewell::TooSlow)));
    }

    #[test]
    fn the_next_connection_of_one_identity_displaces_the_first_where_that_is_set() {
        let desktops = Desktops::new(PerIdentity::One);
        let first = open(&desktops, desktop("c_1", Some("till-1"), &["AMS"]));
        let other = open(&desktops, desktop("c_2", Some("till-2"), &["AMS"]));
        tell(&desktops, &first.desktop().connection, frame("unread"));
        let next = open(&desktops, desktop("c_3", Some("till-1"), &["AMS"]));
        assert_eq!(first.next_order(), Some(DesktopOrder::Frame(frame("displaced"))));
        assert_eq!(first.next_order(), Some(DesktopOrder::Close(Farewell::Replaced)));
        drop(first);
        desktops.tell_group(&company(), &group("AMS"), &frame("news"));
        assert_eq!((orders(&other), orders(&next)), (vec!["news".into()], vec!["news".to_string()]));
    }

    #[tokio::test]
    async fn a_socket_is_woken_by_what_is_left_for_it() {
        let desktops = Desktops::new(PerIdentity::Any);
        let handle = open(&desktops, desktop("c_1", None, &["AMS"]));
        tell(&desktops, &handle.desktop().connection, frame("news"));
        handle.ready().await;
        assert_eq!(orders(&handle), ["news"]);
    }
}
