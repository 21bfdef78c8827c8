//! Messages that only a Sale system and a terminal can read: both know a passphrase, and nobody between them does.
//!
//! ```json
//! {"SaleToPOIResponse":{"MessageHeader":{..},"NexoBlob":"<Base64>","SecurityTrailer":{
//!   "AdyenCryptoVersion":1,"KeyIdentifier":"till-key","KeyVersion":1,"Nonce":"<Base64>","Hmac":"<Base64>"}}}
//! ```
//! The blob is the whole message; the header stands in the clear beside it, to be routed by.
//! Source: Terminal API, "Protect local communications"; the parameters are those of the public client libraries.

use std::fmt;

use aes::Aes256;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize, Serializer};
use sha1::Sha1;
use sha2::Sha256;

use crate::{
    DecodeError, Request, Response,
    compose::json,
    envelope::{Envelope, Kind},
};

/// The only version of the scheme that there is.
const CRYPTO_VERSION: u32 = 1;
const SALT: &[u8] = b"AdyenNexoV1Salt";
const ROUNDS: u32 = 4000;

/// Before what nonces are made of; no message begins like it, for those begin with a brace.
const NONCE_DOMAIN: &[u8] = b"tillgate nonce 1\0";

/// The characters of which a passphrase has at least one.
const SPECIAL: &str = "~!@#$%^&*()_+=}{][;:?.,><";

/// What Sale system and terminal share: a text of at least 12 characters, with a capital letter, a small one, a digit and one
/// of ``~!@#$%^&*()_+=}{][;:?.,><``. `Debug` shows nothing of it.
///
/// Source: Management API, `nexo.encryptionKey.passphrase`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes a text that is strong enough.
    ///
    /// # Errors
    /// [`DecodeError::Value`], which says the rule and nothing of the text.
    pub fn parse(text: &str) -> Result<Passphrase, DecodeError> {
        let has = |which: fn(char) -> bool| text.chars().any(which);
        let strong = text.chars().count() >= 12
            && has(|c| c.is_ascii_uppercase())
            && has(|c| c.is_ascii_lowercase())
            && has(|c| c.is_ascii_digit())
            && has(|c| SPECIAL.contains(c));
        if strong {
            return Ok(Passphrase(text.to_owned()));
        }
        Err(DecodeError::Value {
            member: "passphrase",
            expected: "at least 12 characters with a capital letter, a small letter, a digit and one of \
                       ~!@#$%^&*()_+=}{][;:?.,><",
            came: "something weaker".to_owned(),
        })
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// A shared key by its name and version, ready for use. `Debug` shows name and version only.
///
/// Cloning is cheap enough for a handful; making one costs 16,000 hashes.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    identifier: String,
    version: u32,
    hmac: [u8; 32],
    aes: [u8; 32],
    iv: [u8; 16],
}

/// Sixteen bytes that no other message under the same key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// Why a message was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is in the clear.
    #[error("the message is not encrypted")]
    NotEncrypted,
    /// It names another key, another version of it, or another scheme, in its clear part.
    #[error("the message is encrypted with another key or another version of it")]
    OtherKey,
    /// All else, told as one: what exactly was wrong would help whoever tries out messages.
    #[error("the message can't be decrypted")]
    Unreadable,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityTrailer {
    adyen_crypto_version: u32,
    key_identifier: String,
    key_version: u32,
    nonce: Base64,
    hmac: Base64,
}

struct Base64(Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Base64).map_err(|_| serde::de::Error::custom("expected Base64"))
    }
}

impl EncryptionKey {
    /// Makes the key of a passphrase. Takes about a millisecond.
    pub fn derive(identifier: impl Into<String>, version: u32, passphrase: &Passphrase) -> EncryptionKey {
        let mut material = [0; 80];
        pbkdf2::pbkdf2_hmac::<Sha1>(passphrase.0.as_bytes(), SALT, ROUNDS, &mut material);
        let (mut hmac, mut aes, mut iv) = ([0; 32], [0; 32], [0; 16]);
        hmac.copy_from_slice(&material[..32]);
        aes.copy_from_slice(&material[32..64]);
        iv.copy_from_slice(&material[64..]);
        EncryptionKey { identifier: identifier.into(), version, hmac, aes, iv }
    }

    /// Its name, which stands in each message in the clear.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Its version, beside the name.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// A nonce for whoever has no random numbers: a keyed hash of the message and of what tells it from an equal one, such as
    /// an ID that is given once. The same message of the same ID gets the same nonce, and so is written byte for byte as it
    /// was before; to all who lack the key it looks random.
    pub fn nonce_for(&self, id: &str, message: &[u8]) -> Nonce {
        let mut hmac = self.hmac();
        for part in [NONCE_DOMAIN, id.as_bytes(), b"\0", message] {
            hmac.update(part);
        }
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&hmac.finalize().into_bytes()[..16]);
        Nonce(nonce)
    }

    /// Encrypts a request. The header stays readable beside it, byte for byte.
    pub fn seal_request(&self, request: &Request, nonce: Nonce) -> Bytes {
        self.seal(Kind::Request, request.bytes(), nonce)
    }

    /// Encrypts a response. The header stays readable beside it, byte for byte.
    pub fn seal_response(&self, response: &Response, nonce: Nonce) -> Bytes {
        self.seal(Kind::Response, response.bytes(), nonce)
    }

    /// Decrypts a request, which then is as it was before it was encrypted.
    ///
    /// # Errors
    /// [`OpenError`]; also when the header in the clear is not the one inside, for somebody has changed it then.
    pub fn open_request(&self, request: &Request) -> Result<Request, OpenError> {
        let plain = self.open(Kind::Request, request.bytes())?;
        let inner = Request::parse(plain).map_err(|_| OpenError::Unreadable)?;
        if inner.header() == request.header() && !inner.is_encrypted() {
            Ok(inner)
        } else {
            Err(OpenError::Unreadable)
        }
    }

    /// Decrypts a response, which then is as it was before it was encrypted.
    ///
    /// Whoever has sent an encrypted request may take [`OpenError::NotEncrypted`] for an error that was told in the clear, and
    /// never for a success: anybody on the way can write one.
    ///
    /// # Errors
    /// As [`EncryptionKey::open_request`].
    pub fn open_response(&self, response: &Response) -> Result<Response, OpenError> {
        let plain = self.open(Kind::Response, response.bytes())?;
        let inner = Response::parse(plain).map_err(|_| OpenError::Unreadable)?;
        if inner.header() == response.header() && !inner.is_encrypted() {
            Ok(inner)
        } else {
            Err(OpenError::Unreadable)
        }
    }

    fn seal(&self, kind: Kind, message: &Bytes, nonce: Nonce) -> Bytes {
        let blob = cbc::Encryptor::<Aes256>::new(&self.aes.into(), &self.iv(nonce).into())
            .encrypt_padded_vec::<Pkcs7>(message);
        let mut hmac = self.hmac();
        hmac.update(message);
        let trailer = SecurityTrailer {
            adyen_crypto_version: CRYPTO_VERSION,
            key_identifier: self.identifier.clone(),
            key_version: self.version,
            nonce: Base64(nonce.0.to_vec()),
            hmac: Base64(hmac.finalize().into_bytes().to_vec()),
        };
        // A `Request` or a `Response` has a header.
        let header = Envelope::open(message, kind).map_or("{}", |envelope| envelope.raw_header.get());
        let mut out = Vec::with_capacity(header.len() + blob.len().div_ceil(3) * 4 + 300);
        for part in [
            b"{\"",
            kind.member().as_bytes(),
            b"\":{\"MessageHeader\":",
            header.as_bytes(),
            b",\"NexoBlob\":",
            &json(&Base64(blob)),
            b",\"SecurityTrailer\":",
            &json(&trailer),
            b"}}",
        ] {
            out.extend_from_slice(part);
        }
        Bytes::from(out)
    }

    fn open(&self, kind: Kind, message: &Bytes) -> Result<Bytes, OpenError> {
        let envelope = Envelope::open(message, kind).map_err(|_| OpenError::Unreadable)?;
        if !envelope.is_encrypted() {
            return Err(OpenError::NotEncrypted);
        }
        let (Some(blob), Some(trailer)) = (envelope.only("NexoBlob"), envelope.only("SecurityTrailer"))
        else {
            return Err(OpenError::Unreadable);
        };
        let Base64(blob) = serde_json::from_str(blob.get()).map_err(|_| OpenError::Unreadable)?;
        let trailer: SecurityTrailer =
            serde_json::from_str(trailer.get()).map_err(|_| OpenError::Unreadable)?;
        if trailer.adyen_crypto_version != CRYPTO_VERSION
            || trailer.key_identifier != self.identifier
            || trailer.key_version != self.version
        {
            return Err(OpenError::OtherKey);
        }
        let nonce = trailer.nonce.0.try_into().map(Nonce).map_err(|_| OpenError::Unreadable)?;
        let plain = cbc::Decryptor::<Aes256>::new(&self.aes.into(), &self.iv(nonce).into())
            .decrypt_padded_vec::<Pkcs7>(&blob);
        // What follows takes as long for wrong padding as for a wrong key.
        let (plain, padded) = match plain {
            Ok(plain) => (plain, true),
            Err(_) => (blob, false),
        };
        let mut hmac = self.hmac();
        hmac.update(&plain);
        let verified = hmac.verify_slice(&trailer.hmac.0).is_ok();
        if padded && verified { Ok(Bytes::from(plain)) } else { Err(OpenError::Unreadable) }
    }

    fn hmac(&self) -> Hmac<Sha256> {
        Hmac::<Sha256>::new(&hmac_block(&self.hmac).into())
    }

    fn iv(&self, Nonce(nonce): Nonce) -> [u8; 16] {
        std::array::from_fn(|index| self.iv[index] ^ nonce[index])
    }
}

/// HMAC itself fills a key up with zeros to the length of the hash's block. Of that length from the start, it can't be refused.
fn hmac_block(key: &[u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    block
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey")
            .field("identifier", &self.identifier)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{PlainResponse, ResponseOutcome};

    /// A published example, which keeps no rule for passphrases.
    fn published() -> EncryptionKey {
        EncryptionKey::derive("till-key", 1, &Passphrase("mysupersecretpassphrase".to_owned()))
    }

    const NONCE: Nonce = Nonce([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const PLAIN: &str = r#"{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Diagnosis","MessageType":"Request","ProtocolVersion":"3.0","ServiceID":"A1","SaleID":"POS1","POIID":"V400m-1"},"DiagnosisRequest":{}}}"#;

    fn request(text: &str) -> Request {
        Request::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The example's message with one thing changed.
    fn changed(change: impl FnOnce(&mut Value)) -> Request {
        let sealed = published().seal_request(&request(PLAIN), NONCE);
        let mut message: Value = serde_json::from_slice(&sealed).unwrap();
        change(&mut message["SaleToPOIRequest"]);
        request(&message.to_string())
    }

    #[test]
    fn keys_and_message_are_those_of_the_public_libraries() {
        let key = published();
        assert_eq!(hex(&key.hmac), "633651f2a778f91ef37ca2eae92d2f8e58073b766d26899967dc1202c1444742");
        assert_eq!(hex(&key.aes), "89b3399a5c77fc0c38762ba1529488d19b4daf8360a2ef3f7a0b06d23c89b12a");
        assert_eq!(hex(&key.iv), "17be85c2e52ba327bdce1910f4c2c7de");
        let sealed = key.seal_request(&request(PLAIN), NONCE);
        let message: Value = serde_json::from_slice(&sealed).unwrap();
        let message = &message["SaleToPOIRequest"];
        assert_eq!(
            message["NexoBlob"],
            "gP0vnBpYJLc06akeJiZwNBlFjrp5++STsmoXHGz4jwArAMCtPNVCD4ZZwGKnIb6IWavlOVDE3JO5L/AH4+HN1mRUKsvD4u9IvrkRx74jqKueTlSFqZbjRheE693UPpRqCg2K5rFNQnMD4ABZPSDiXEwB2IDcOLXlUE4o6vpb0Qx+e/Sun4fr8AKGw6UjNAQnh5n1n9kxOSu20Cgie0b8OdQJAyTGByv8Y72zpRoQuHOFPmEGjME50WLav6XN/dD/nLfNfWUea+NL0nDp0Dsd82/III2hxVHotdFO/5IujwU="
        );
        assert_eq!(
            message["SecurityTrailer"],
            json!({
                "AdyenCryptoVersion": 1,
                "KeyIdentifier": "till-key",
                "KeyVersion": 1,
                "Nonce": "AAECAwQFBgcICQoLDA0ODw==",
                "Hmac": "a5qlUSXn8pheYP9Celds1BQ7WPqlQev+8vzsZvZ+EZI=",
            })
        );
        assert_eq!(message["MessageHeader"]["POIID"], "V400m-1");
        assert_eq!(key.open_request(&request(std::str::from_utf8(&sealed).unwrap())).unwrap().bytes(), PLAIN);
    }

    #[test]
    fn a_response_is_sealed_and_opened() {
        let body = PlainResponse { response: ResponseOutcome::success() };
        let plain = Response::parse(crate::response(request(PLAIN).header(), &body)).unwrap();
        let sealed = Response::parse(published().seal_response(&plain, NONCE)).unwrap();
        assert!(sealed.is_encrypted() && sealed.outcome().is_none());
        assert_eq!(published().open_response(&sealed).unwrap().bytes(), plain.bytes());
        assert_eq!(published().open_response(&plain).unwrap_err(), OpenError::NotEncrypted);
    }

    #[test]
    fn whatever_is_changed_is_not_opened_and_nothing_says_what_it_was() {
        let base64 = |bytes: &[u8]| Value::from(STANDARD.encode(bytes));
        for changed in [
            changed(|message| message["NexoBlob"] = base64(&[7; 32])),
            changed(|message| message["NexoBlob"] = base64(&[7; 31])),
            changed(|message| message["NexoBlob"] = base64(&[])),
            changed(|message| message["NexoBlob"] = "not Base64".into()),
            changed(|message| message["SecurityTrailer"]["Nonce"] = base64(&[7; 16])),
            changed(|message| message["SecurityTrailer"]["Nonce"] = base64(&[7; 15])),
            changed(|message| message["SecurityTrailer"]["Hmac"] = base64(&[7; 32])),
            changed(|message| message["SecurityTrailer"]["Hmac"] = base64(&[])),
            changed(|message| message["SecurityTrailer"] = Value::Null),
            changed(|message| message["MessageHeader"]["SaleID"] = "POS2".into()),
            changed(|message| message["MessageHeader"]["MessageCategory"] = "Payment".into()),
        ] {
            assert_eq!(published().open_request(&changed).unwrap_err(), OpenError::Unreadable, "{changed:?}");
        }
    }

    #[test]
    fn another_key_is_told_by_its_name_and_a_wrong_passphrase_is_not() {
        for other in [
            changed(|message| message["SecurityTrailer"]["KeyIdentifier"] = "other".into()),
            changed(|message| message["SecurityTrailer"]["KeyVersion"] = 2.into()),
            changed(|message| message["SecurityTrailer"]["AdyenCryptoVersion"] = 2.into()),
        ] {
            assert_eq!(published().open_request(&other).unwrap_err(), OpenError::OtherKey);
        }
        let wrong = EncryptionKey::derive("till-key", 1, &Passphrase("mysupersecretpassphrasf".to_owned()));
        assert_eq!(wrong.open_request(&changed(|_| ())).unwrap_err(), OpenError::Unreadable);
        assert_eq!(published().open_request(&request(PLAIN)).unwrap_err(), OpenError::NotEncrypted);
    }

    #[test]
    fn a_message_inside_a_message_is_not_opened() {
        let once = published().seal_request(&request(PLAIN), NONCE);
        let twice = published().seal_request(&Request::parse(once).unwrap(), NONCE);
        let twice = Request::parse(twice).unwrap();
        assert_eq!(published().open_request(&twice).unwrap_err(), OpenError::Unreadable);
    }

    #[test]
    fn nonces_differ_for_every_message_and_every_id_and_for_nothing_else() {
        let key = published();
        let nonce = key.nonce_for("d_1", PLAIN.as_bytes());
        assert_eq!(key.nonce_for("d_1", PLAIN.as_bytes()), nonce);
        assert_ne!(key.nonce_for("d_2", PLAIN.as_bytes()), nonce);
        assert_ne!(key.nonce_for("d_1", b"{}"), nonce);
    }

    #[test]
    fn a_passphrase_is_long_and_mixed_and_never_shown() {
        for strong in ["Correct.Hor1", "Correct-Horse_1", "Übergroß.Straße1"] {
            assert!(Passphrase::parse(strong).is_ok(), "{strong}");
        }
        for weak in ["Correct.Ho1", "correct.horse1", "CORRECT.HORSE1", "Correct.Horse", "Correct Horse1"] {
            assert!(Passphrase::parse(weak).is_err(), "{weak}");
        }
        let error = Passphrase::parse("hunter2").unwrap_err().to_string();
        assert!(
            error.starts_with("passphrase: expected at least 12") && !error.contains("hunter2"),
            "{error}"
        );
        let shown = format!("{:?} {:?}", Passphrase::parse("Correct.Horse1").unwrap(), published());
        assert_eq!(shown, r#"Passphrase(..) EncryptionKey { identifier: "till-key", version: 1, .. }"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_message_comes_back_byte_for_byte(text in "[ -~é]{0,200}", nonce: [u8; 16]) {
            let body = json!({ "SaleToPOIRequest": {
                "MessageHeader": serde_json::from_str::<Value>(PLAIN).unwrap()["SaleToPOIRequest"]["MessageHeader"],
                "DiagnosisRequest": { "x": text },
            }});
            let plain = request(&body.to_string());
            let sealed = Request::parse(published().seal_request(&plain, Nonce(nonce))).unwrap();
            let opened = published().open_request(&sealed).unwrap();
            prop_assert_eq!(opened.bytes(), plain.bytes());
        }
    }
}
