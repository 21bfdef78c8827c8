//! How a request proves that whoever has the `apiSecret` has made it, and made it just now.
//!
//! Three headers: `x-api-key`; `x-timestamp`, a moment in ISO 8601 with a zone, at most five minutes from ours; and
//! `x-signature`, the Base64 of an HMAC-SHA256 under the `apiSecret` of four lines:
//!
//! ```text
//! POST
//! /v1/terminals/TERM-001/payments
//! 2026-11-20T08:15:00.000Z
//! 9a8c…(the SHA-256 of the body in hex; of an empty one e3b0c442…)
//! ```
//! The path is signed as it travels, with its percent escapes and without a query; these endpoints take none. A line feed
//! stands between the lines and not at the end. The timestamp is signed as the header has it.
//!
//! Source: sibling pages of the Actions page, "Authentication". That the query is no part of it is ours.

use std::time::Duration;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use relay::WallMs;
use relay::actions::TransactionId;
use sha2::{Digest as _, Sha256};

use crate::ids::ApiSecret;

/// How far a request's clock may be from ours, either way. From the source.
pub(super) const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// A request, as far as it is signed.
pub(super) struct Signed<'r> {
    /// `GET` or `POST`.
    pub(super) method: &'r Method,
    /// As it travels, without the query.
    pub(super) path: &'r str,
    /// `x-timestamp`.
    pub(super) timestamp: &'r str,
    /// Byte for byte.
    pub(super) body: &'r [u8],
}

/// Why a request counts as nobody's. The texts are for whoever makes the requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SigningError {
    #[error(
        "x-timestamp is no moment in ISO 8601 with a zone, such as 2026-11-20T08:15:00.000Z. Send the time at which you make the \
         request, and sign it as you send it."
    )]
    NoTimestamp,
    #[error(
        "x-timestamp is more than 5 minutes from this gateway's clock, where it is {}. Set your clock, and sign each request anew.",
        ours.to_rfc3339()
    )]
    OtherTime {
        /// What our clock says.
        ours: WallMs,
    },
    #[error(
        "x-signature is not that of this request. It is the Base64 of an HMAC-SHA256 with the apiSecret of four lines: method, \
         path without query as it is sent, x-timestamp, and the SHA-256 of the body in small hex digits."
    )]
    OtherSignature,
}

/// A name for a payment that was given none: whoever sends the same signed request again, means the same payment.
#[expect(clippy::expect_used, reason = "letters, digits and '-', and short enough")]
pub(super) fn name_of(signature: &str) -> TransactionId {
    let digest = Sha256::digest(signature.as_bytes());
    let name = format!("http-{}", hex(digest.first_chunk::<16>().map_or(&[], |part| part)));
    TransactionId::parse(&name).expect("a name")
}

impl Signed<'_> {
    /// Whether `signature` (`x-signature`) is that of the one who has the secret, and fresh.
    ///
    /// # Errors
    /// [`SigningError`].
    pub(super) fn verify(
        &self,
        secret: &ApiSecret,
        signature: &str,
        now: WallMs,
    ) -> Result<(), SigningError> {
        // Looked at before the time, so that a stranger learns nothing of our clock.
        let signature = STANDARD.decode(signature).map_err(|_| SigningError::OtherSignature)?;
        self.mac(secret).verify_slice(&signature).map_err(|_| SigningError::OtherSignature)?;
        let moment = self.timestamp.parse::<jiff::Timestamp>().map_err(|_| SigningError::NoTimestamp)?;
        let skew = Duration::from_millis(moment.as_millisecond().abs_diff(now.0));
        if skew > SKEW_MAX { Err(SigningError::OtherTime { ours: now }) } else { Ok(()) }
    }

    fn mac(&self, secret: &ApiSecret) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("a key");
        for line in [self.method.as_str(), self.path, self.timestamp] {
            mac.update(line.as_bytes());
            mac.update(b"\n");
        }
        mac.update(hex(&Sha256::digest(self.body)).as_bytes());
        mac
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallMs = WallMs(1_795_162_500_000); // 2026-11-20T08:15:00Z
    const TIMESTAMP: &str = "2026-11-20T08:15:00.000Z";
    const BODY: &[u8] = "{\"transactionId\":\"T-5001\",\"amount\":\"12.50\",\"currency\":\"EUR\",\"paymentMethod\":\"CARD\",\"metadata\":{\"note\":\"Käse\"}}".as_bytes();

    fn secret() -> ApiSecret {
        ApiSecret::from_text("tg_secret_dGhpcyBpcyBhIHRlc3QgdmVjdG9yLCBub3QgYSBzZWNyZXQ")
    }

    fn post<'r>(timestamp: &'r str, body: &'r [u8]) -> Signed<'r> {
        Signed { method: &Method::POST, path: "/v1/terminals/TERM-001/payments", timestamp, body }
    }

    fn get(timestamp: &str) -> Signed<'_> {
        Signed { method: &Method::GET, path: "/v1/terminals", timestamp, body: b"" }
    }

    // Made by Python's hmac and hashlib, as docs/actions.md shows.
    const OF_POST: &str = "b60PZiLdEK5VaJZqGeQ31imK4utcdSzckkM+9abwZto=";
    const OF_GET: &str = "DEI+4mFq1YgVqKYBNRVpylDyXX4EnOit4TdR6C/ej7s=";

    #[test]
    fn signatures_of_another_program_are_taken() {
        assert_eq!(post(TIMESTAMP, BODY).verify(&secret(), OF_POST, NOW), Ok(()));
        assert_eq!(get(TIMESTAMP).verify(&secret(), OF_GET, NOW), Ok(()));
    }

    #[test]
    fn whatever_is_changed_makes_it_another_request() {
        let refused = |signed: &Signed<'_>, secret: &ApiSecret, signature: &str| {
            assert_eq!(signed.verify(secret, signature, NOW), Err(SigningError::OtherSignature));
        };
        let other = ApiSecret::from_text("tg_secret_another");
        let signed = post(TIMESTAMP, BODY);
        refused(&signed, &other, OF_POST);
        refused(&signed, &secret(), OF_GET);
        refused(&post("2026-11-20T08:15:01.000Z", BODY), &secret(), OF_POST);
        // The same moment, written otherwise.
        refused(&post("2026-11-20T08:15:00Z", BODY), &secret(), OF_POST);
        refused(&post(TIMESTAMP, b"{}"), &secret(), OF_POST);
        refused(&Signed { method: &Method::GET, ..post(TIMESTAMP, BODY) }, &secret(), OF_POST);
        refused(
            &Signed { path: "/v1/terminals/TERM-002/payments", ..post(TIMESTAMP, BODY) },
            &secret(),
            OF_POST,
        );
        for text in ["", "?", &OF_POST[..43], &OF_POST.to_lowercase(), &format!("{OF_POST}AAAA")] {
            refused(&signed, &secret(), text);
        }
    }

    #[test]
    fn a_request_is_good_for_five_minutes_either_way() {
        let at = |now| post(TIMESTAMP, BODY).verify(&secret(), OF_POST, now);
        let max = 5 * 60 * 1000;
        for now in [NOW.0 - max, NOW.0 + max] {
            assert_eq!(at(WallMs(now)), Ok(()));
        }
        for now in [NOW.0 - max - 1, NOW.0 + max + 1, 0, i64::MAX, i64::MIN] {
            let error = SigningError::OtherTime { ours: WallMs(now) };
            assert_eq!(at(WallMs(now)), Err(error.clone()));
            assert!(error.to_string().contains("more than 5 minutes"));
        }
    }

    #[test]
    fn a_timestamp_is_a_moment_with_a_zone() {
        let verify = |timestamp: &str| {
            let signed = get(timestamp);
            let signature = STANDARD.encode(signed.mac(&secret()).finalize().into_bytes());
            signed.verify(&secret(), &signature, NOW)
        };
        for moment in ["2026-11-20T08:15:00Z", "2026-11-20T09:15:00.123456+01:00", "2026-11-20t08:15:00z"] {
            assert_eq!(verify(moment), Ok(()), "{moment}");
        }
        for text in ["", "1795162500", "2026-11-20", "2026-11-20T08:15:00", "Fri, 20 Nov 2026 08:15:00 GMT"] {
            assert_eq!(verify(text), Err(SigningError::NoTimestamp), "{text}");
        }
    }
}
