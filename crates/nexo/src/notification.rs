//! What a terminal tells a POS unasked.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    DecodeError, MessageHeader,
    envelope::{Envelope, Kind, trimmed},
    request::{body_in, payload},
};

/// An event or a display message as it came from a terminal: its header parsed, its bytes kept.
///
/// ```json
/// {"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Event",..},"EventNotification":{..}}}
/// ```
/// Its `ServiceID` is that of the request it concerns, and absent when it concerns none.
/// `Debug` shows the header and the length, never the body.
/// Source: Terminal API, event and display notifications.
#[derive(Clone)]
pub struct Notification {
    header: MessageHeader,
    bytes: Bytes,
    body: Option<Bytes>,
    is_encrypted: bool,
}

impl Notification {
    /// Reads `{"SaleToPOIRequest":{..}}` from a terminal. White space around it is dropped, everything inside is
    /// untouched. A `ServiceID` that no request could have had is left out of [`header`](Self::header).
    ///
    /// # Errors
    /// [`DecodeError::Empty`], [`DecodeError::NotJson`], [`DecodeError::NotAnObject`] or [`DecodeError::Header`].
    pub fn parse(message: Bytes) -> Result<Self, DecodeError> {
        let bytes = trimmed(&message)?;
        let envelope = Envelope::open(&bytes, Kind::Request)?;
        let body = body_in(&envelope, &bytes, &envelope.header.category.request_member());
        Ok(Self { is_encrypted: envelope.is_encrypted(), header: envelope.header, body, bytes })
    }

    /// The header, in the clear also when the body is encrypted.
    pub fn header(&self) -> &MessageHeader {
        &self.header
    }

    /// The whole message, `{"SaleToPOIRequest":..}`, byte for byte as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the body is encrypted for the POS alone (`NexoBlob`).
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Reads the body: [`EventNotification`](crate::EventNotification) for an event.
    ///
    /// # Errors
    /// [`DecodeError::Body`] when the body is absent, encrypted, there twice, or not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        payload(self.body.as_ref(), self.header.category.request_member(), self.is_encrypted)
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("header", &self.header)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventNotification, EventToNotify, MessageClass, Reject, RejectReason};

    #[test]
    fn an_event_that_concerns_no_request_has_no_service_id() {
        let text = r#"{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Event","MessageCategory":"Event","MessageType":"Notification","DeviceID":"7","SaleID":"TILL-04","POIID":"V400m-1"},"EventNotification":{"TimeStamp":"2026-11-20T09:15:02.118Z","EventToNotify":"Shutdown","EventDetails":"a=b","MaintenanceRequiredFlag":false}}}"#;
        let notification = Notification::parse(text.into()).unwrap();
        assert_eq!(notification.header().class, MessageClass::Event);
        assert_eq!(notification.header().service_id, None);
        assert_eq!(notification.bytes(), text);
        let event: EventNotification = notification.payload().unwrap();
        assert_eq!(event.event_to_notify, EventToNotify::SHUTDOWN);
        assert_eq!(
            crate::request(notification.header(), &event),
            text.replace(r#","MaintenanceRequiredFlag":false"#, "")
        );
    }

    #[test]
    fn a_reject_event_is_read_by_a_client() {
        let reject = Reject {
            reason: RejectReason::NoResponse,
            sale_id: None,
            poi_id: None,
            service_id: None,
            device_id: "7",
            time_stamp: "t",
            rejected: b"x",
        };
        let event: EventNotification = Notification::parse(reject.to_json()).unwrap().payload().unwrap();
        assert_eq!(event.event_to_notify, EventToNotify::REJECT);
        assert_eq!(event.event_details.as_deref(), Some(RejectReason::NoResponse.event_details().as_ref()));
    }
}
