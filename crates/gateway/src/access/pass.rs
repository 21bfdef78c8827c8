//! Leave to stay: a connection that outlives the request which opened it ends soon after its key.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{KeyHash, Store};

/// How often each key with an open connection is looked up: a connection outlives its key by no more than this and the time that
/// the looks take. Keys are revoked by other processes, so nobody tells.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// The keys with open connections.
#[derive(Debug)]
pub(crate) struct Passes {
    store: Arc<dyn Store>,
    open: Mutex<HashMap<KeyHash, Open>>,
}

#[derive(Debug)]
struct Open {
    ended: CancellationToken,
    holders: usize,
}

/// One connection's right to stay. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Pass {
    passes: Arc<Passes>,
    key: KeyHash,
    ended: CancellationToken,
}

impl Passes {
    /// None yet; keys are looked up in `store`.
    pub(crate) fn new(store: Arc<dyn Store>) -> Passes {
        Passes { store, open: Mutex::default() }
    }

    /// A connection has opened with this key.
    pub(crate) fn open(self: &Arc<Self>, key: KeyHash) -> Pass {
        let mut open = lock(&self.open);
        let entry = open.entry(key).or_insert_with(|| Open { ended: CancellationToken::new(), holders: 0 });
        entry.holders += 1;
        Pass { passes: self.clone(), key, ended: entry.ended.clone() }
    }

    /// Looks all of them up, again and again. Never returns.
    pub(crate) async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let keys: Vec<_> = lock(&self.open).keys().copied().collect();
        for key in keys {
            // A store that can't be read says nothing about a key.
            if let Ok(None) = self.store.credential_by_key(key).await
                && let Some(open) = lock(&self.open).get(&key)
            {
                open.ended.cancel();
            }
        }
    }
}

impl Pass {
    /// Returns when the key has ended. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = lock(&self.passes.open);
        if let Some(entry) = open.get_mut(&self.key) {
            entry.holders -= 1;
            if entry.holders == 0 {
                open.remove(&self.key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::admin::{Admin, NewKey};
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::secrets::Secrets;

    #[tokio::test]
    async fn a_pass_ends_with_its_key_and_with_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let clock = Clock::start();
        let store = crate::serve::open_store(&config, clock).await.unwrap();
        let admin = Admin::new(store.clone(), clock, Arc::new(Secrets::new(&config)));
        admin.create_company("ACME").await.unwrap();
        let new = NewKey { company: "ACME", merchants: &[], roles: &[Role::TerminalApi], description: None };
        let one = admin.create_credential(new).await.unwrap();
        let other = admin.create_credential(new).await.unwrap();
        let passes = Arc::new(Passes::new(store));
        let held = [&one, &one, &other].map(|shown| passes.open(KeyHash(shown.api_key.sha256())));
        let ended = || held.each_ref().map(|pass| pass.ended.is_cancelled());
        passes.look().await;
        assert_eq!(ended(), [false, false, false]);
        admin.revoke_credential(&one.id).await.unwrap();
        passes.look().await;
        assert_eq!(ended(), [true, true, false]);
        held[0].ended().await;
        drop(held);
        assert!(lock(&passes.open).is_empty());
    }
}
