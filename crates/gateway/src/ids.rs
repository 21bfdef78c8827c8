//! Fresh identifiers and secrets: the only place of this crate that draws random numbers.
//!
//! Identifiers carry a prefix that says what they name, and sort by the millisecond in which they were made (UUID version
//! 7). They are no secrets. Secrets have 256 random bits, are shown once, and are kept as SHA-256 only: with that many
//! bits there is nothing to guess, so a slow hash would cost time and win nothing. The one that has to be had again
//! ([`ApiSecret`]) is sealed by `secrets.rs`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nexo::ServiceId;
use relay::actions::TransactionId;
use relay::{CallId, ChangeId, ConnectionId, DeliveryId, ExchangeId, NodeId, WallMs};
use sha2::{Digest as _, Sha256};

use crate::store::fleet_store::{StoreId, TokenId};

/// A new exchange: `x_` and 32 hex digits.
pub(crate) fn exchange_id(now: WallMs) -> ExchangeId {
    named("x_", now, ExchangeId::parse)
}

/// A new attempt to deliver: `d_` and 32 hex digits.
pub(crate) fn delivery_id(now: WallMs) -> DeliveryId {
    named("d_", now, DeliveryId::parse)
}

/// A new socket of a terminal: `c_` and 32 hex digits.
pub(crate) fn connection_id(now: WallMs) -> ConnectionId {
    named("c_", now, ConnectionId::parse)
}

/// A new running gateway: 32 hex digits.
pub(crate) fn node_id(now: WallMs) -> NodeId {
    named("", now, NodeId::parse)
}

/// An HTTP request that was refused, so that its answer can be found again in the log: 32 hex digits.
pub(crate) fn request_id(now: WallMs) -> String {
    text("", now)
}

/// A new API credential: `ws_` and ten letters and digits, short enough to be read out.
pub(crate) fn credential_name() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let symbols = random::<10>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    symbols.into_iter().fold("ws_".to_owned(), |name, symbol| name + symbol.encode_utf8(&mut [0; 4]))
}

/// A ServiceID of a request of the gateway's own: ten letters and digits, of which no two in 48 h are alike.
pub(crate) fn service_id() -> ServiceId {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let text: String =
        random::<10>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).iter().collect();
    #[expect(clippy::expect_used, reason = "ten letters and digits")]
    ServiceId::parse(&text).expect("a ServiceID")
}

/// What a desktop's payment is called that came without a name: a UUID of version 7, as its API recommends.
pub(crate) fn transaction_name(now: WallMs) -> TransactionId {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random()).into_uuid();
    #[expect(clippy::expect_used, reason = "36 characters")]
    TransactionId::parse(&uuid.to_string()).expect("a name")
}

/// A new assignment of one terminal: `as_` and 32 hex digits.
pub(crate) fn change_id(now: WallMs) -> ChangeId {
    named("as_", now, ChangeId::parse)
}

/// What a terminal's token is called in lists: `tk_` and 32 hex digits.
pub(crate) fn token_id(now: WallMs) -> TokenId {
    named("tk_", now, TokenId::parse)
}

/// A new store: `ST` and 22 hex digits, in capitals as such IDs are.
pub(crate) fn store_id() -> StoreId {
    let digits = random::<11>().iter().fold("ST".to_owned(), |text, byte| text + &format!("{byte:02X}"));
    #[expect(clippy::expect_used, reason = "24 letters and digits")]
    StoreId::parse(&digits).expect("a store ID")
}

/// What the webhook of an assignment carries as its PSP reference, though no payment is behind it: `NO_PSP_REF_` and 16
/// digits.
pub(crate) fn assignment_psp_reference() -> String {
    format!("NO_PSP_REF_{:016}", u64::from_le_bytes(random()) % 10_000_000_000_000_000)
}

/// The permanent terminal ID of a terminal that came without one: eight digits.
pub(crate) fn permanent_terminal_id() -> String {
    format!("{:08}", u64::from_le_bytes(random()) % 100_000_000)
}

/// Numbers calls. Unique within the process.
#[derive(Debug, Default)]
pub(crate) struct CallIds(AtomicU64);

impl CallIds {
    /// The next number.
    pub(crate) fn next(&self) -> CallId {
        CallId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// `N` random bytes of the operating system's generator.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "a system without randomness can make no secret, and must not go on"
    )]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// SHA-256 of a secret: what is kept of it, and what it is looked up by.
pub(crate) fn sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

macro_rules! secret {
    ($(#[$doc:meta])* $vis:vis $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        $vis struct $name(Box<str>);

        impl $name {
            /// A new one, of 256 random bits.
            $vis fn fresh() -> Self {
                $name(format!(concat!($prefix, "{}"), URL_SAFE_NO_PAD.encode(random::<32>())).into())
            }

            /// One that was shown before; whether it is still good only the store knows.
            $vis fn from_text(text: &str) -> Self {
                $name(text.into())
            }

            /// The secret itself, to be shown once or sent.
            $vis fn reveal(&self) -> &str {
                &self.0
            }

            /// What is kept of it.
            $vis fn sha256(&self) -> [u8; 32] {
                sha256(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret!(
    /// An API key, as a Sale system sends it in `x-api-key`: `tg_key_` and 43 URL-safe characters.
    pub ApiKey,
    "tg_key_"
);
secret!(
    /// The password of an API credential for HTTP Basic: `tg_pass_` and 43 URL-safe characters.
    pub Password,
    "tg_pass_"
);
secret!(
    /// What a desktop of the Actions API signs HTTP requests with: `tg_secret_` and 43 URL-safe characters, all of which are
    /// the key of the HMAC. Kept sealed, since a signature can't be checked with less.
    pub ApiSecret,
    "tg_secret_"
);
secret!(
    /// What a terminal shows after boarding: `tg_term_` and 43 URL-safe characters.
    pub(crate) TerminalToken,
    "tg_term_"
);

fn named<T, E: fmt::Debug>(prefix: &str, now: WallMs, parse: impl FnOnce(&str) -> Result<T, E>) -> T {
    #[expect(clippy::expect_used, reason = "a short prefix and 32 hex digits fit every ID")]
    parse(&text(prefix, now)).expect("a prefix and 32 hex digits are an ID")
}

fn text(prefix: &str, now: WallMs) -> String {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random()).into_uuid();
    format!("{prefix}{}", uuid.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallMs = WallMs(1_795_166_102_118);

    #[test]
    fn an_id_says_what_it_names_and_sorts_by_the_time_it_was_made() {
        let (first, second) = (exchange_id(NOW), exchange_id(WallMs(NOW.0 + 1)));
        assert!(first.as_str().starts_with("x_"));
        assert_eq!(first.as_str().len(), 34);
        assert!(first < second);
        assert!(delivery_id(NOW).as_str().starts_with("d_"));
        assert!(connection_id(NOW).as_str().starts_with("c_"));
        assert_eq!(node_id(NOW).as_str().len(), 32);
        assert_ne!(exchange_id(NOW), exchange_id(NOW));
    }

    #[test]
    fn a_secret_is_long_random_and_never_printed() {
        let (one, other) = (ApiKey::fresh(), ApiKey::fresh());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), "tg_key_".len() + 43);
        assert_eq!(format!("{one:?}"), "ApiKey(..)");
        assert_eq!(one.sha256(), ApiKey::from_text(one.reveal()).sha256());
    }

    #[test]
    fn the_hash_of_a_secret_is_sha_256() {
        let hex: String = sha256("abc").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn calls_are_numbered() {
        let calls = CallIds::default();
        assert_ne!(calls.next(), calls.next());
    }
}
