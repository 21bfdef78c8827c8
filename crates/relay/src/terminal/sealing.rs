//! Encrypted messages at the terminal: opened to be carried out, and answered encrypted with the same key.
//!
//! What stays true: whoever asks in the clear is never told what was encrypted; a request that was encrypted is never
//! answered with a success in the clear; and memory and journal hold both as they travelled.

use bytes::Bytes;
use nexo::{EncryptionKey, OpenError, Request, Response, ResultCode};

use crate::id::DeliveryId;

use super::journal::Outcome;

/// How a message came.
#[derive(Clone, Debug)]
pub(super) enum Opened {
    /// In the clear, or not to be read at all.
    Clear(Bytes),
    /// Encrypted; this is what it says.
    Sealed(Bytes),
    /// Encrypted, and this terminal can't open it.
    Closed(OpenError),
}

impl Opened {
    pub(super) fn of(key: Option<&EncryptionKey>, message: &Bytes) -> Opened {
        let request = match Request::parse(message.clone()) {
            Ok(request) if request.is_encrypted() => request,
            _ => return Opened::Clear(message.clone()),
        };
        match key.map(|key| key.open_request(&request)) {
            Some(Ok(inner)) => Opened::Sealed(inner.bytes().clone()),
            Some(Err(error)) => Opened::Closed(error),
            None => Opened::Closed(OpenError::OtherKey),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        !matches!(self, Opened::Clear(_))
    }

    /// What can be read of `message`: all of it, or what came if it can't be opened.
    pub(super) fn readable<'a>(&'a self, message: &'a Bytes) -> &'a Bytes {
        match self {
            Opened::Clear(readable) | Opened::Sealed(readable) => readable,
            Opened::Closed(_) => message,
        }
    }

    /// Whether this outcome of an earlier request of the same ServiceID may be told to this one, or belongs to another.
    pub(super) fn may_hear(&self, outcome: &Outcome) -> bool {
        let Outcome::Message(message) = outcome else { return true };
        let Ok(response) = Response::parse(message.clone()) else { return true };
        match (self.is_encrypted(), response.is_encrypted()) {
            (true, true) | (false, false) => true,
            (false, true) => false,
            (true, false) => response.outcome().is_some_and(|outcome| outcome.result == ResultCode::Failure),
        }
    }
}

/// Encrypts the answer to a request that this key has opened; leaves any other as it is.
pub(super) fn seal(
    key: Option<&EncryptionKey>,
    delivery: &DeliveryId,
    request: &Bytes,
    outcome: Outcome,
) -> Outcome {
    let (Some(key), Outcome::Message(message)) = (key, &outcome) else { return outcome };
    if !matches!(Opened::of(Some(key), request), Opened::Sealed(_)) {
        return outcome;
    }
    match Response::parse(message.clone()) {
        Ok(response) if response.is_encrypted() => outcome,
        Ok(response) => {
            let nonce = key.nonce_for(delivery.as_str(), message);
            Outcome::Message(key.seal_response(&response, nonce))
        }
        // It could not be encrypted, and must not be told in the clear.
        Err(_) => Outcome::Indeterminate("the response can't be read, and so not be encrypted".into()),
    }
}
