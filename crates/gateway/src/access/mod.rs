//! Who is calling, what that credential may do, and how often.
//!
//! A credential is shown by `x-api-key`, or else by HTTP Basic. It is looked up in the store by SHA-256 and believed for
//! [`FRESH`], counted from before the look-up: so a key that is revoked, by whichever process, stops within that time.

mod caller;
mod pass;
mod rate;
mod role;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use nexo::PoiId;

use crate::clock::Clock;
use crate::ids::sha256;
use crate::limits::Limits;
use crate::store::{Credential, CredentialId, KeyHash, PasswordHash, Store};

pub(crate) use caller::Caller;
pub(crate) use pass::{Pass, Passes};
use rate::{LookUp, Rate};
pub use role::{Role, RoleError};

/// How long a look-up is believed.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// Look-ups that are kept: more credentials than that are hardly in use within one second, and who uses more asks the
/// store more often.
const KEPT_MAX: usize = 10_000;

/// A key, or a user and password, that is longer than this is none of ours.
const SECRET_LENGTH_MAX: usize = 512;

/// Tells who calls.
#[derive(Debug)]
pub(crate) struct Access {
    store: Arc<dyn Store>,
    clock: Clock,
    kept: Mutex<HashMap<[u8; 32], Kept>>,
    rate: Rate<CredentialId>,
    lookups: Rate<CredentialId>,
    lookups_of_terminal: Rate<LookUp>,
    lists: Rate<CredentialId>,
}

/// A credential asks for one thing too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOften {
    /// The limit, as it is called in the configuration.
    pub(crate) limit: &'static str,
    /// It may ask again after this time.
    pub(crate) wait: Duration,
}

#[derive(Debug)]
struct Kept {
    caller: Arc<Caller>,
    /// Monotonic; from before the look-up.
    asked: Duration,
}

/// Why a call is not let in. Each surface writes it in its own way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No credential, or none that we know.
    #[error("no valid credential")]
    Unauthorized,
    /// The credential has not this role.
    #[error("the API credential has not the role \"{0}\"")]
    Forbidden(Role),
    /// The credential asks too often; it may again after this time.
    #[error("too many requests with this API credential (limit requests_per_second)")]
    TooOften(Duration),
    /// The store can't be asked now.
    #[error("credentials can't be checked now")]
    Unavailable,
}

impl Access {
    /// Looks credentials up in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, limits: &Limits) -> Access {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        let by_minute = |limit, requests| Rate::new(limit, requests, minute, requests);
        Access {
            store,
            clock,
            kept: Mutex::default(),
            rate: Rate::new("requests_per_second", limits.requests_per_second, second, limits.requests_burst),
            lookups: by_minute("terminal_lookups_per_minute", limits.terminal_lookups_per_minute),
            lookups_of_terminal: Rate::new(
                "lookups_of_terminal_per_minute",
                limits.lookups_of_terminal_per_minute,
                minute,
                limits.lookups_of_terminal_per_minute,
            ),
            lists: by_minute("terminal_lists_per_minute", limits.terminal_lists_per_minute),
        }
    }

    /// The caller that these headers prove, for one request.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`], [`Denied::TooOften`] or [`Denied::Unavailable`].
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Denied> {
        self.prove(Shown::read(headers).ok_or(Denied::Unauthorized)?).await
    }

    /// The same for a key that came in another place than the header.
    ///
    /// # Errors
    /// As [`Access::authenticate`].
    pub(crate) async fn authenticate_key(&self, key: &str) -> Result<Arc<Caller>, Denied> {
        self.prove(Shown::key(key).ok_or(Denied::Unauthorized)?).await
    }

    async fn prove(&self, shown: Shown) -> Result<Arc<Caller>, Denied> {
        let caller = self.identify(shown).await?;
        self.rate.take(&caller.credential, self.clock.now().mono).map_err(Denied::TooOften)?;
        Ok(caller)
    }

    /// Counts one request more of a caller whose connection stands.
    ///
    /// # Errors
    /// [`Denied::TooOften`].
    pub(crate) fn pace(&self, credential: &CredentialId) -> Result<(), Denied> {
        self.rate.take(credential, self.clock.now().mono).map_err(Denied::TooOften)
    }

    /// Counts one look-up of a terminal, whether it is there or not.
    ///
    /// # Errors
    /// [`TooOften`].
    pub(crate) fn pace_lookup(&self, credential: &CredentialId, poi: &PoiId) -> Result<(), TooOften> {
        let now = self.clock.now().mono;
        let of_terminal = LookUp { credential: credential.clone(), poi: poi.clone() };
        self.lookups_of_terminal
            .take(&of_terminal, now)
            .map_err(|wait| TooOften { limit: "lookups_of_terminal_per_minute", wait })?;
        self.lookups
            .take(credential, now)
            .map_err(|wait| TooOften { limit: "terminal_lookups_per_minute", wait })
    }

    /// Counts one list of terminals.
    ///
    /// # Errors
    /// [`TooOften`].
    pub(crate) fn pace_list(&self, credential: &CredentialId) -> Result<(), TooOften> {
        let now = self.clock.now().mono;
        self.lists.take(credential, now).map_err(|wait| TooOften { limit: "terminal_lists_per_minute", wait })
    }

    async fn identify(&self, shown: Shown) -> Result<Arc<Caller>, Denied> {
        let digest = shown.digest();
        let asked = self.clock.now().mono;
        if let Some(caller) = self.kept(&digest, asked) {
            return Ok(caller);
        }
        let found = match &shown {
            Shown::Key(_) => self.store.credential_by_key(KeyHash(digest)).await,
            Shown::Basic { user, .. } => self.store.credential_by_username(user).await,
        };
        let found = found.map_err(|error| {
            tracing::error!(%error, "a credential can't be looked up");
            Denied::Unavailable
        })?;
        let credential = found.filter(|c| shown.proves(c)).ok_or(Denied::Unauthorized)?;
        let caller = Arc::new(Caller::from(credential));
        self.keep(digest, &caller, asked);
        Ok(caller)
    }

    fn kept(&self, digest: &[u8; 32], now: Duration) -> Option<Arc<Caller>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(digest).filter(|kept| kept.is_fresh(now)).map(|kept| kept.caller.clone())
    }

    /// Strangers are not kept: they could push out those whom we know, and a new key works at once.
    fn keep(&self, digest: [u8; 32], caller: &Arc<Caller>, asked: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, kept| kept.is_fresh(asked));
        }
        if kept.len() < KEPT_MAX {
            kept.insert(digest, Kept { caller: caller.clone(), asked });
        }
    }
}

impl Kept {
    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.asked) < FRESH
    }
}

/// What a request shows as its credential.
enum Shown {
    Key(String),
    Basic { user: String, password: String },
}

impl Shown {
    fn read(headers: &HeaderMap) -> Option<Shown> {
        // Some clients send the header empty when they have no key, and a user and password besides.
        if let Some(key) = headers.get("x-api-key").filter(|key| !key.is_empty()) {
            return Shown::key(key.to_str().ok()?);
        }
        let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || value.len() > SECRET_LENGTH_MAX {
            return None;
        }
        let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        Some(Shown::Basic { user: user.to_owned(), password: password.to_owned() })
    }

    fn key(key: &str) -> Option<Shown> {
        (key.len() <= SECRET_LENGTH_MAX).then(|| Shown::Key(key.to_owned()))
    }

    /// What the look-up is kept under. No key contains a blank, so that the two kinds never meet.
    fn digest(&self) -> [u8; 32] {
        match self {
            Shown::Key(key) => sha256(key),
            Shown::Basic { user, password } => sha256(&format!("Basic {user}:{password}")),
        }
    }

    fn proves(&self, credential: &Credential) -> bool {
        match self {
            Shown::Key(_) => true, // It was found by the key.
            Shown::Basic { password, .. } => credential.password == PasswordHash(sha256(password)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Shown::read(&map).map(|shown| match shown {
            Shown::Key(key) => format!("key {key}"),
            Shown::Basic { user, password } => format!("user {user}, password {password}"),
        })
    }

    #[test]
    fn a_key_comes_before_a_user_and_password() {
        let basic = ("authorization", "Basic dXNlcjpwYTpzcw==");
        assert_eq!(read(&[("x-api-key", "tg_key_1"), basic]).unwrap(), "key tg_key_1");
        assert_eq!(read(&[("x-api-key", ""), basic]).unwrap(), "user user, password pa:ss");
        assert_eq!(read(&[basic]).unwrap(), "user user, password pa:ss");
        assert_eq!(
            read(&[("authorization", "basic  dXNlcjpwYTpzcw==")]).unwrap(),
            "user user, password pa:ss"
        );
    }

    #[test]
    fn anything_else_shows_nothing() {
        assert_eq!(read(&[]), None);
        for value in ["Bearer x", "Basic", "Basic ?", "Basic dXNlcg==", "Basic /w=="] {
            assert_eq!(read(&[("authorization", value)]), None, "{value}");
        }
        assert_eq!(read(&[("x-api-key", &"k".repeat(SECRET_LENGTH_MAX + 1))]), None);
    }
}
