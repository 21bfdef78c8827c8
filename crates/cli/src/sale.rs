//! The Sale system's side of a message: making a request, and reading whatever comes back.

use anyhow::bail;
use bytes::Bytes;
use nexo::{
    AdditionalResponse, EventNotification, MessageCategory, MessageClass, MessageHeader, MessageType,
    Notification, PoiId, Response, SaleId, ServiceId,
};

/// What a gateway answers to a request over `/sync`.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The terminal's response, or one that the gateway made in its place.
    Response(Box<Response>),
    /// It was not delivered, or not answered; the text says which.
    Rejected(String),
}

/// A header with a ServiceID that was not used before.
pub(crate) fn header(category: MessageCategory, sale: &SaleId, poi: &PoiId) -> anyhow::Result<MessageHeader> {
    Ok(MessageHeader {
        protocol_version: Some("3.0".to_owned()),
        class: MessageClass::Service,
        category,
        message_type: MessageType::Request,
        service_id: Some(fresh_service_id()?),
        device_id: None,
        sale_id: sale.clone(),
        poi_id: poi.clone(),
    })
}

/// Ten random letters and digits: 51 bits, for a name that has to be unique for 48 hours and one terminal.
fn fresh_service_id() -> anyhow::Result<ServiceId> {
    const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut random = getrandom::u64()?;
    let mut text = String::new();
    for _ in 0..10 {
        text.push(char::from(ALPHABET[usize::try_from(random % 36)?]));
        random /= 36;
    }
    Ok(ServiceId::parse(&text)?)
}

/// Reads an answer.
pub(crate) fn read(body: Vec<u8>) -> anyhow::Result<Answer> {
    let body = Bytes::from(body);
    if let Ok(response) = Response::parse(body.clone()) {
        return Ok(Answer::Response(Box::new(response)));
    }
    let event = Notification::parse(body).and_then(|event| event.payload::<EventNotification>());
    let Ok(event) = event else { bail!("the gateway's answer is neither a response nor an event") };
    let details = event.event_details.unwrap_or_default();
    let text = AdditionalResponse::decode(&details).value("message").map_or(details.clone(), str::to_owned);
    Ok(Answer::Rejected(text))
}

/// What went wrong, in the terminal's own words if it has some: of `refusalReason` or `message`, or the bare text.
pub(crate) fn reason(additional_response: Option<&str>) -> Option<String> {
    let additional = AdditionalResponse::decode(additional_response?);
    match &additional {
        AdditionalResponse::Text(text) => Some(text.clone()),
        AdditionalResponse::Pairs(_) => {
            let value = additional.value("refusalReason").or_else(|| additional.value("message"));
            value.map(str::to_owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ids_differ() {
        assert_ne!(fresh_service_id().unwrap(), fresh_service_id().unwrap());
    }

    #[test]
    fn a_reason_is_found_in_every_form() {
        assert_eq!(
            reason(Some("refusalReason=210%20Not%20enough%20balance&x=y")).unwrap(),
            "210 Not enough balance"
        );
        assert_eq!(reason(Some("message=Terminal+is+not+reachable")).unwrap(), "Terminal is not reachable");
        assert_eq!(
            reason(Some("101 Shopper cancelled app selection")).unwrap(),
            "101 Shopper cancelled app selection"
        );
        assert_eq!(reason(Some("x=y")), None);
        assert_eq!(reason(None), None);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        assert!(read(b"ok".to_vec()).is_err());
        assert!(read(b"{}".to_vec()).is_err());
    }
}
