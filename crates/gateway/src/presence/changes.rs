//! Which terminals came or went, for whoever tells others of it.

use std::collections::HashSet;
use std::sync::Mutex;

use nexo::PoiId;
use relay::{Epoch, Now, Status};
use tokio::sync::Notify;

use super::lock;

/// Terminals whose connection changed since somebody last looked. Each is in it once, however often it changed, so there are
/// never more than terminals that were connected.
#[derive(Debug, Default)]
pub(super) struct Changes {
    waiting: Mutex<HashSet<PoiId>>,
    some: Notify,
}

impl Changes {
    pub(super) fn put(&self, poi: &PoiId) {
        let mut waiting = lock(&self.waiting);
        let first = waiting.is_empty();
        waiting.insert(poi.clone());
        drop(waiting);
        if first {
            self.some.notify_one();
        }
    }

    /// All of them, in order of their POIIDs; waits until there are any. Cancel safe.
    pub(super) async fn next(&self) -> Vec<PoiId> {
        loop {
            let taken = std::mem::take(&mut *lock(&self.waiting));
            if !taken.is_empty() {
                let mut taken: Vec<_> = taken.into_iter().collect();
                taken.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
                return taken;
            }
            self.some.notified().await;
        }
    }
}

/// How a terminal's connection stood when it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Noted {
    #[default]
    Offline,
    Reconnecting,
    /// Under this takeover: a terminal that came back at once has another connection.
    Online(Epoch),
}

impl Noted {
    pub(super) fn of(presence: &relay::Presence, now: Now) -> Noted {
        match (presence.route(), presence.status(now)) {
            (Some(lease), _) => Noted::Online(lease.epoch),
            (None, Status::Reconnecting) => Noted::Reconnecting,
            (None, _) => Noted::Offline,
        }
    }
}
