//! What the tills write and read: plain JSON texts, with no type of the code under test.

use bytes::Bytes;
use serde_json::Value;

/// Whose request: SaleID and POIID.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) sale: String,
    pub(crate) poi: String,
}

impl Whose {
    fn request(&self, class: &str, category: &str, ids: &str, body: &str) -> Bytes {
        let Whose { sale, poi } = self;
        format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"{class}","MessageCategory":"{category}","MessageType":"Request",{ids},"SaleID":"{sale}","POIID":"{poi}"}},"{category}Request":{body}}}}}"#
        )
        .into()
    }

    /// What is to be paid for is named by `intention`. `operator` comes back in the response.
    pub(crate) fn payment(&self, service: &str, intention: &str, amount: &str, operator: &str) -> Bytes {
        let body = format!(
            r#"{{"SaleData":{{"OperatorID":"{operator}","SaleTransactionID":{{"TransactionID":"{intention}","TimeStamp":"2026-11-20T09:15:00.000Z"}}}},"PaymentTransaction":{{"AmountsReq":{{"Currency":"EUR","RequestedAmount":{amount}}}}}}}"#
        );
        self.request("Service", "Payment", &format!(r#""ServiceID":"{service}""#), &body)
    }

    pub(crate) fn reversal(&self, service: &str, intention: &str, of: &str) -> Bytes {
        let body = format!(
            r#"{{"OriginalPOITransaction":{{"POITransactionID":{{"TransactionID":"{of}","TimeStamp":"2026-11-20T09:15:00.000Z"}}}},"ReversalReason":"MerchantCancel","SaleData":{{"SaleTransactionID":{{"TransactionID":"{intention}","TimeStamp":"2026-11-20T09:15:00.000Z"}}}}}}"#
        );
        self.request("Service", "Reversal", &format!(r#""ServiceID":"{service}""#), &body)
    }

    /// With `reprint` the terminal is to print the receipt once more.
    pub(crate) fn status(&self, service: &str, about: &Reference, reprint: bool) -> Bytes {
        let body = format!(r#"{{"ReceiptReprintFlag":{reprint},"MessageReference":{}}}"#, about.json());
        self.request("Service", "TransactionStatus", &format!(r#""ServiceID":"{service}""#), &body)
    }

    /// About the last transaction of this Sale system, whichever that was.
    pub(crate) fn status_of_the_last(&self, service: &str) -> Bytes {
        self.request("Service", "TransactionStatus", &format!(r#""ServiceID":"{service}""#), "{}")
    }

    pub(crate) fn abort(&self, service: &str, about: &Reference) -> Bytes {
        let body = format!(r#"{{"AbortReason":"MerchantAbort","MessageReference":{}}}"#, about.json());
        self.request("Service", "Abort", &format!(r#""ServiceID":"{service}""#), &body)
    }

    pub(crate) fn diagnosis(&self, service: &str) -> Bytes {
        self.request(
            "Service",
            "Diagnosis",
            &format!(r#""ServiceID":"{service}""#),
            r#"{"HostDiagnosisFlag":false}"#,
        )
    }

    pub(crate) fn input_update(&self, service: &str, device: &str) -> Bytes {
        let body = r#"{"MessageReference":{"MessageCategory":"Input"},"OutputContent":{"OutputFormat":"Text"},"MenuEntry":[]}"#;
        self.request(
            "Device",
            "InputUpdate",
            &format!(r#""ServiceID":"{service}","DeviceID":"{device}""#),
            body,
        )
    }

    pub(crate) fn display(&self, service: &str, device: &str) -> Bytes {
        self.request(
            "Device",
            "Display",
            &format!(r#""ServiceID":"{service}","DeviceID":"{device}""#),
            r#"{"DisplayOutput":[]}"#,
        )
    }
}

/// A MessageReference; what is none is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) category: Option<String>,
    pub(crate) sale: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) poi: Option<String>,
}

impl Reference {
    pub(crate) fn to(whose: &Whose, category: &str, service: &str) -> Reference {
        Reference {
            category: Some(category.into()),
            sale: Some(whose.sale.clone()),
            service: Some(service.into()),
            poi: None,
        }
    }

    fn json(&self) -> String {
        let members = [
            ("MessageCategory", &self.category),
            ("SaleID", &self.sale),
            ("ServiceID", &self.service),
            ("POIID", &self.poi),
        ];
        let named: Vec<_> = members
            .into_iter()
            .filter_map(|(name, value)| Some(format!(r#""{name}":"{}""#, value.as_ref()?)))
            .collect();
        format!("{{{}}}", named.join(","))
    }
}

/// What a till understands of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Approved; the POITransactionID, by which it can be given back.
    Success(String),
    /// It did not happen, for this ErrorCondition.
    Failure(String),
    /// It never reached the terminal.
    NotDelivered,
    /// Nobody knows yet.
    NoResponse,
    /// A TransactionStatus: it runs.
    InProgress,
    /// A TransactionStatus: the terminal never had it.
    NotFound,
    /// A TransactionStatus that was itself refused.
    Unanswered,
    /// The end comes by webhook, or there is none.
    Ok,
    /// Another HTTP status than 200.
    Status(u16),
    /// The connection has ended without an answer.
    Nothing,
}

impl Heard {
    pub(crate) fn read(status: u16, body: &Bytes) -> Heard {
        if status != 200 {
            return Heard::Status(status);
        }
        if body.as_ref() == b"ok" {
            return Heard::Ok;
        }
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return Heard::Unanswered };
        if let Some(details) = value["SaleToPOIRequest"]["EventNotification"]["EventDetails"].as_str() {
            return match details {
                d if d.starts_with("message=Failed+to+send") => Heard::NotDelivered,
                d if d.starts_with("message=Did+not+receive") => Heard::NoResponse,
                _ => Heard::Failure("Reject".into()),
            };
        }
        let message = &value["SaleToPOIResponse"];
        let Some(status) = message.get("TransactionStatusResponse") else {
            let category = message["MessageHeader"]["MessageCategory"].as_str().unwrap_or_default();
            return Heard::of_response(&message[format!("{category}Response")]);
        };
        match (status["Response"]["Result"].as_str(), status["Response"]["ErrorCondition"].as_str()) {
            (Some("Success"), _) => {
                let repeated = &status["RepeatedMessageResponse"]["RepeatedResponseMessageBody"];
                let response = repeated.as_object().and_then(|body| body.values().next());
                response.map_or(Heard::Unanswered, Heard::of_response)
            }
            (_, Some("InProgress")) => Heard::InProgress,
            (_, Some("NotFound")) => Heard::NotFound,
            _ => Heard::Unanswered,
        }
    }

    fn of_response(response: &Value) -> Heard {
        let transaction = response["POIData"]["POITransactionID"]["TransactionID"].as_str();
        match (response["Response"]["Result"].as_str(), response["Response"]["ErrorCondition"].as_str()) {
            (Some("Success"), _) => Heard::Success(transaction.unwrap_or_default().into()),
            (_, Some(condition)) => Heard::Failure(condition.into()),
            _ => Heard::Unanswered,
        }
    }
}
