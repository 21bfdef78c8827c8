//! A tiny builder of logs: one terminal, one till, and the messages that they exchange.

use std::time::Duration;

use judge::{Event, Figure, Log, Outcome, Row, Verdict, What, judge};
use serde_json::{Value, json};

pub(crate) const POI: &str = "V400m-1";
pub(crate) const TILL: &str = "TILL-1";
/// The only link, unless a story speaks of another.
pub(crate) const LINK: u64 = 1;

pub(crate) const NOT_DELIVERED: &str = "message=Failed+to+send+message+to+POI.+There+may+be+a+network+issue+or+it+may+not+have+the+websocket+connected.";
pub(crate) const NO_RESPONSE: &str = "message=Did+not+receive+a+response+from+the+POI.";

/// A log that grows, 100 ms with each event.
#[derive(Default)]
pub(crate) struct Story {
    log: Log,
    at: Duration,
    calls: Vec<Value>,
}

/// One call: its number, from 1.
pub(crate) type Call = u64;

impl Story {
    pub(crate) fn new() -> Story {
        Story::default()
    }

    pub(crate) fn event(&mut self, what: What) -> &mut Story {
        self.at += Duration::from_millis(100);
        self.log.events.push(Event { at: self.at, what });
        self
    }

    pub(crate) fn pass(&mut self, seconds: u64) -> &mut Story {
        self.at += Duration::from_secs(seconds);
        self
    }

    /// A POS sends this, and it arrives.
    pub(crate) fn send(&mut self, path: &'static str, request: Value) -> Call {
        let call = self.send_unseen(path, request);
        self.event(What::Arrived { call });
        call
    }

    /// A POS sends this, and nobody sees whether it arrives.
    pub(crate) fn send_unseen(&mut self, path: &'static str, request: Value) -> Call {
        let body = request.to_string().into();
        self.calls.push(request);
        let call = self.calls.len() as u64;
        self.event(What::Asked { call, path, wait: Duration::from_secs(150), body });
        call
    }

    pub(crate) fn pay(&mut self, service: &str, transaction: &str) -> Call {
        self.send("/sync", payment(service, transaction))
    }

    pub(crate) fn ask(&mut self, service: &str, about: &str) -> Call {
        self.send("/sync", status(service, about))
    }

    fn request(&self, call: Call) -> &Value {
        &self.calls[usize::try_from(call).unwrap() - 1]
    }

    pub(crate) fn deliver(&mut self, delivery: &str, call: Call) -> &mut Story {
        self.deliver_on(LINK, delivery, call)
    }

    pub(crate) fn deliver_on(&mut self, link: u64, delivery: &str, call: Call) -> &mut Story {
        let message = self.request(call).clone();
        let frame = json!({"action":"deliver","deliveryId":delivery,"timeLeftMs":145_000,"message":message});
        self.down(link, frame)
    }

    pub(crate) fn down(&mut self, link: u64, frame: Value) -> &mut Story {
        self.event(What::ToTerminal { poi: POI.into(), link, frame: frame.to_string().into() })
    }

    pub(crate) fn up(&mut self, frame: Value) -> &mut Story {
        self.up_on(LINK, frame)
    }

    pub(crate) fn up_on(&mut self, link: u64, frame: Value) -> &mut Story {
        self.event(What::FromTerminal { poi: POI.into(), link: Some(link), frame: frame.to_string().into() })
    }

    pub(crate) fn hello(&mut self, link: u64, resume: &[&str]) -> &mut Story {
        self.up_on(link, json!({"action":"hello","attempt":link,"resume":resume}));
        self.down(link, json!({"action":"welcome"}))
    }

    pub(crate) fn received(&mut self, delivery: &str) -> &mut Story {
        self.up(json!({"action":"received","deliveryId":delivery}))
    }

    pub(crate) fn result(&mut self, delivery: &str, response: &Value) -> &mut Story {
        self.up(json!({"action":"result","deliveryId":delivery,"message":response}))
    }

    pub(crate) fn indeterminate(&mut self, delivery: &str) -> &mut Story {
        self.up(json!({"action":"indeterminate","deliveryId":delivery,"reason":"restarted"}))
    }

    pub(crate) fn recorded(&mut self, delivery: &str) -> &mut Story {
        self.down(LINK, json!({"action":"recorded","deliveryId":delivery}))
    }

    pub(crate) fn recorded_with_problem(&mut self, delivery: &str) -> &mut Story {
        self.down(LINK, json!({"action":"recorded","deliveryId":delivery,"problem":"odd"}))
    }

    /// The card is charged for this call's request.
    pub(crate) fn execute(&mut self, delivery: &str, call: Call) -> &mut Story {
        let request = &self.request(call)["SaleToPOIRequest"];
        let header = &request["MessageHeader"];
        let kind = match header["MessageCategory"].as_str() {
            Some("Reversal") => json!({"reversal":{"of":"T1"}}),
            _ => json!("payment"),
        };
        let transaction = &request["PaymentRequest"]["SaleData"]["SaleTransactionID"]["TransactionID"];
        let execution = json!({"delivery":delivery,"kind":kind,"service":header["ServiceID"],"sale":header["SaleID"],
            "saleTransaction":transaction,"poiTransaction":"T1","amount":10,"currency":"EUR","at":0});
        self.event(What::Executed { poi: POI.into(), execution: execution.to_string().into() })
    }

    pub(crate) fn tell(&mut self, call: Call, answer: &Value) -> &mut Story {
        self.tell_text(call, 200, &answer.to_string())
    }

    pub(crate) fn tell_ok(&mut self, call: Call) -> &mut Story {
        self.tell_text(call, 200, "ok")
    }

    pub(crate) fn tell_status(&mut self, call: Call, status: u16) -> &mut Story {
        self.tell_text(call, status, "{}")
    }

    pub(crate) fn tell_text(&mut self, call: Call, status: u16, text: &str) -> &mut Story {
        self.event(What::Told { call, status, body: text.to_owned().into() });
        self.event(What::Heard { call })
    }

    /// A Reject with these EventDetails.
    pub(crate) fn reject(&mut self, call: Call, details: &str) -> &mut Story {
        let header = &self.request(call)["SaleToPOIRequest"]["MessageHeader"];
        let header = json!({"MessageClass":"Event","MessageCategory":"Event","MessageType":"Notification",
            "ServiceID":header["ServiceID"],"SaleID":header["SaleID"],"POIID":header["POIID"]});
        let event = json!({"EventToNotify":"Reject","EventDetails":details});
        let body = json!({"SaleToPOIRequest":{"MessageHeader":header,"EventNotification":event}});
        self.tell(call, &body)
    }

    /// A failure in the category of this call, as a gateway or a terminal writes it.
    pub(crate) fn failure_of(&self, call: Call, condition: &str) -> Value {
        self.response_of(call, json!({"Response":{"Result":"Failure","ErrorCondition":condition}}))
    }

    pub(crate) fn success_of(&self, call: Call) -> Value {
        self.response_of(call, json!({"Response":{"Result":"Success"}}))
    }

    /// A status that has found this response.
    pub(crate) fn found(&self, call: Call, response: &Value) -> Value {
        let mut members = response["SaleToPOIResponse"].as_object().unwrap().clone();
        let header = members.remove("MessageHeader");
        self.response_of(
            call,
            json!({"Response":{"Result":"Success"},
                "RepeatedMessageResponse":{"MessageHeader":header,"RepeatedResponseMessageBody":members}}),
        )
    }

    pub(crate) fn response_of(&self, call: Call, body: Value) -> Value {
        let mut header = self.request(call)["SaleToPOIRequest"]["MessageHeader"].clone();
        header["MessageType"] = "Response".into();
        let member = format!("{}Response", header["MessageCategory"].as_str().unwrap());
        json!({"SaleToPOIResponse":{"MessageHeader":header,member:body}})
    }

    pub(crate) fn at_rest(&mut self) -> &mut Story {
        self.event(What::AtRest)
    }

    pub(crate) fn row(&mut self, call: Call, delivery: &str, outcome: Outcome) -> &mut Story {
        self.row_with(call, delivery, outcome, None, false)
    }

    pub(crate) fn answered(&mut self, call: Call, delivery: &str, response: &Value) -> &mut Story {
        self.row_with(call, delivery, Outcome::Answered, Some(response), false)
    }

    pub(crate) fn row_with(
        &mut self,
        call: Call,
        delivery: &str,
        outcome: Outcome,
        response: Option<&Value>,
        webhook: bool,
    ) -> &mut Story {
        let header = &self.request(call)["SaleToPOIRequest"]["MessageHeader"];
        let text = |name: &str| header[name].as_str().unwrap().to_owned();
        let row = Row {
            poi: text("POIID"),
            service: text("ServiceID"),
            sale: text("SaleID"),
            category: text("MessageCategory"),
            delivery: delivery.to_owned(),
            outcome,
            response: response.map(|response| response.to_string().into()),
            webhook,
        };
        self.event(What::Recorded(row))
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn judged(&self) -> Verdict {
        judge(&self.log)
    }

    /// Holds the judge to these violations, in the order of their events, and to no others.
    #[track_caller]
    pub(crate) fn breaks(&self, figures: &[Figure]) -> Verdict {
        let verdict = self.judged();
        let found: Vec<_> = verdict.violations.iter().map(|violation| violation.figure).collect();
        assert_eq!(found, figures, "{:#?}", verdict.violations);
        verdict
    }

    #[track_caller]
    pub(crate) fn breaks_nothing(&self) -> Verdict {
        self.breaks(&[])
    }
}

pub(crate) fn header(category: &str, service: &str) -> Value {
    json!({"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":category,"MessageType":"Request",
        "ServiceID":service,"SaleID":TILL,"POIID":POI})
}

pub(crate) fn payment(service: &str, transaction: &str) -> Value {
    json!({"SaleToPOIRequest":{"MessageHeader":header("Payment", service),"PaymentRequest":{
        "SaleData":{"SaleTransactionID":{"TransactionID":transaction,"TimeStamp":"t"}},
        "PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10}}}}})
}

pub(crate) fn status(service: &str, about: &str) -> Value {
    let reference = json!({"MessageCategory":"Payment","ServiceID":about,"SaleID":TILL});
    json!({"SaleToPOIRequest":{"MessageHeader":header("TransactionStatus", service),
        "TransactionStatusRequest":{"MessageReference":reference}}})
}

pub(crate) fn abort(service: &str, about: &str) -> Value {
    let reference = json!({"MessageCategory":"Payment","ServiceID":about});
    json!({"SaleToPOIRequest":{"MessageHeader":header("Abort", service),
        "AbortRequest":{"AbortReason":"MerchantAbort","MessageReference":reference}}})
}

/// Everything that an undisturbed payment shows, up to its row.
pub(crate) fn paid() -> (Story, Call, Value) {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call).result("d1", &success);
    story.recorded("d1").tell(call, &success);
    (story, call, success)
}

pub(crate) fn reversal(service: &str, of: &str) -> Value {
    let original = json!({"POITransactionID":{"TransactionID":of,"TimeStamp":"t"}});
    json!({"SaleToPOIRequest":{"MessageHeader":header("Reversal", service),
        "ReversalRequest":{"OriginalPOITransaction":original,"ReversalReason":"MerchantCancel"}}})
}
