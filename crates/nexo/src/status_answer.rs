//! Answers to `TransactionStatus` from what is on record.

use bytes::Bytes;

use crate::{
    ErrorCondition, MessageHeader, MessageReference, Response, ResponseOutcome,
    compose::{WireHeader, answer, json},
};

/// What the record says about a request.
#[derive(Debug, Clone, Copy)]
pub enum StatusAnswer<'a> {
    /// It has ended, with this response.
    Found {
        /// The response as the terminal gave it.
        response: &'a Response,
    },
    /// It still runs; ask again later.
    InProgress,
    /// It never reached the terminal; it may be sent again as a new request.
    NotFound,
}

/// Writes the response to a `TransactionStatusRequest` whose header is `request_header`.
///
/// A response that is found is told again byte for byte: `RepeatedMessageResponse` holds its header and, in
/// `RepeatedResponseMessageBody`, every other member of its `SaleToPOIResponse` in order, each value as it came.
/// Source: Terminal API, `TransactionStatusResponse`.
pub fn transaction_status_response(
    request_header: &MessageHeader,
    reference: &MessageReference,
    answer_found: StatusAnswer<'_>,
) -> Bytes {
    let outcome = match answer_found {
        StatusAnswer::Found { .. } => ResponseOutcome::success(),
        StatusAnswer::InProgress => ResponseOutcome::failure(ErrorCondition::IN_PROGRESS)
            .with_message("The request is still in progress. Ask again in a few seconds."),
        StatusAnswer::NotFound => ResponseOutcome::failure(ErrorCondition::NOT_FOUND)
            .with_message("The terminal never received this request. Send it again with a new ServiceID."),
    };
    let mut body = Vec::new();
    body.extend_from_slice(b"{\"Response\":");
    body.extend_from_slice(&json(&outcome));
    body.extend_from_slice(b",\"MessageReference\":");
    body.extend_from_slice(&json(reference));
    if let StatusAnswer::Found { response } = answer_found {
        body.extend_from_slice(b",\"RepeatedMessageResponse\":{\"MessageHeader\":");
        body.extend_from_slice(response.raw_header());
        body.extend_from_slice(b",\"RepeatedResponseMessageBody\":{");
        for (index, (name, value)) in response.members().iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&json(name));
            body.push(b':');
            body.extend_from_slice(value);
        }
        body.extend_from_slice(b"}}");
    }
    body.push(b'}');
    answer(&WireHeader::response_to(request_header), request_header, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageCategory, ServiceId, TransactionStatusResponse};

    fn status_header() -> MessageHeader {
        serde_json::from_str(
            r#"{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"TransactionStatus","MessageType":"Request","ServiceID":"S2","SaleID":"TILL-04","POIID":"V400m-1"}"#,
        )
        .unwrap()
    }

    fn reference() -> MessageReference {
        MessageReference {
            category: Some(MessageCategory::PAYMENT),
            service_id: Some(ServiceId::parse("S1").unwrap()),
            ..MessageReference::default()
        }
    }

    const HEADER: &str = r#"{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"TransactionStatus","MessageType":"Response","ServiceID":"S2","SaleID":"TILL-04","POIID":"V400m-1"}"#;
    const REFERENCE: &str = r#""MessageReference":{"MessageCategory":"Payment","ServiceID":"S1"}"#;

    #[test]
    fn a_stored_response_is_told_again_byte_for_byte() {
        let header = "{ \"POIID\":\"V400m-1\", \"SaleID\":\"T\\u0049LL-04\",\n\"ServiceID\":\"S1\",\"MessageType\":\"Response\",\"MessageClass\":\"Service\",\"MessageCategory\":\"Payment\",\"x\":1e2}";
        let payment = "{\"Response\":{\"Result\":\"Success\"}, \"Amount\": 10.990,\t\"Big\":1e2,\"Name\":\"\\u00e4\\/\", \"Twice\":1,\"Twice\":2 }";
        let stored = format!(
            " {{ \"y\" : 0, \"SaleToPOIResponse\" : {{ \"First\" : [ 1 ] , \"MessageHeader\" : {header} , \"PaymentResponse\" :{payment} }} }}\n"
        );
        let stored = Response::parse(stored.into()).unwrap();
        let answer = transaction_status_response(
            &status_header(),
            &reference(),
            StatusAnswer::Found { response: &stored },
        );
        assert_eq!(
            answer,
            format!(
                r#"{{"SaleToPOIResponse":{HEADER},"TransactionStatusResponse":{{"Response":{{"Result":"Success"}},{REFERENCE},"RepeatedMessageResponse":{{"MessageHeader":{header},"RepeatedResponseMessageBody":{{"First":[ 1 ],"PaymentResponse":{payment}}}}}}}}}}}"#
            )
        );
    }

    #[test]
    fn what_is_told_again_is_read_by_a_client() {
        let stored = r#"{"SaleToPOIResponse":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"S1","SaleID":"TILL-04","POIID":"V400m-1"},"PaymentResponse":{"Response":{"Result":"Failure","ErrorCondition":"Aborted"}}}}"#;
        let stored = Response::parse(stored.into()).unwrap();
        let answer = transaction_status_response(
            &status_header(),
            &reference(),
            StatusAnswer::Found { response: &stored },
        );
        let body: TransactionStatusResponse = Response::parse(answer).unwrap().payload().unwrap();
        let repeated = body.repeated_message_response.unwrap();
        assert_eq!(repeated.message_header.as_ref(), Some(stored.header()));
        let payment = repeated.repeated_response_message_body.payment_response.unwrap();
        assert_eq!(payment.response, stored.outcome().unwrap());
        assert_eq!(body.message_reference, Some(reference()));
    }

    #[test]
    fn a_running_request_is_in_progress() {
        let answer = transaction_status_response(&status_header(), &reference(), StatusAnswer::InProgress);
        assert_eq!(
            answer,
            format!(
                r#"{{"SaleToPOIResponse":{HEADER},"TransactionStatusResponse":{{"Response":{{"Result":"Failure","ErrorCondition":"InProgress","AdditionalResponse":"message=The+request+is+still+in+progress.+Ask+again+in+a+few+seconds."}},{REFERENCE}}}}}}}"#
            )
        );
        assert!(!Response::parse(answer).unwrap().is_not_found());
    }

    #[test]
    fn an_unknown_request_is_not_found() {
        let answer = transaction_status_response(&status_header(), &reference(), StatusAnswer::NotFound);
        assert!(Response::parse(answer).unwrap().is_not_found());
    }
}
