//! What a client sends: one JSON object per WebSocket text frame, member `action`.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::client_error::ClientError;
use super::json::{Members, Object, text_of, written};
use super::transaction::{PaymentStatus, TransactionId};
use crate::frame::RESUME_MAX;
use crate::id::JournalId;

/// A frame from a desktop or a terminal.
///
/// Members that a frame does not know are ignored; a member that it knows may stand there once; `null` is as good as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// A desktop asks for the terminals of its groups. Source: the page, "getTerminals".
    ///
    /// ```json
    /// {"action":"getTerminals"}
    /// ```
    GetTerminals,
    /// A desktop asks for a payment. Source: the page, "payment".
    ///
    /// ```json
    /// {"action":"payment","terminalId":"TERM-001","paymentRequest":{"transactionId":"T-5001","amount":"12.50","currency":"EUR"}}
    /// ```
    Payment {
        /// A deviceId, or else the ID of a connection.
        terminal_id: Box<str>,
        /// The object, byte for byte: to be read by [`PaymentAsk::read`](super::PaymentAsk::read).
        payment_request: Bytes,
    },
    /// Answered by `pong`. Source: the page, "ping / pong".
    ///
    /// ```json
    /// {"action":"ping"}
    /// ```
    Ping,
    /// A sign of life, which nobody answers. Ours: the page has it from the gateway only.
    Pong,
    /// A terminal that acknowledges: its first frame. Ours.
    ///
    /// ```json
    /// {"action":"resume","journalId":"j_5f","transactionIds":["T-5001"],"desktopIds":["c_02"],"voidTransactionIds":[],"voidDesktopIds":[]}
    /// ```
    Resume(Resume),
    /// A terminal that acknowledges has stored a `paymentRequest`, and may begin. Ours.
    ///
    /// ```json
    /// {"action":"paymentReceived","transactionId":"T-5001"}
    /// ```
    PaymentReceived(TransactionId),
    /// What became of a payment. Ours, for the page leaves it open; `paymentComplete` is taken as the same.
    ///
    /// ```json
    /// {"action":"paymentResponse","desktopId":"c_01","paymentResponse":{"transactionId":"T-5001","status":"SUCCESS","authorizationCode":"AUTH1"}}
    /// ```
    PaymentResponse {
        /// As it came with the `paymentRequest`; may be left out as long as the `transactionId` alone tells which one is meant.
        desktop_id: Option<Box<str>>,
        /// The answer.
        response: TerminalAnswer,
    },
    /// A terminal that acknowledges has stored a `voidRequest`, and may begin. Ours.
    ///
    /// ```json
    /// {"action":"voidReceived","transactionId":"T-5001","desktopId":"c_01"}
    /// ```
    VoidReceived {
        /// The payment.
        transaction: TransactionId,
        /// As it came with the `voidRequest`; see [`VoidAnswer::desktop_id`].
        desktop_id: Option<Box<str>>,
    },
    /// What became of a void. Ours.
    ///
    /// ```json
    /// {"action":"voidResponse","transactionId":"T-5001","desktopId":"c_01","status":"FAILED","errorMessage":"Already settled"}
    /// ```
    VoidResponse(VoidAnswer),
}

/// What a terminal that acknowledges has, told before anything else. Ours (E14, E26).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// `journalId`: made by the terminal together with the storage that it remembers transactions in. Another one than before
    /// says that what it had is lost.
    pub journal: JournalId,
    /// `transactionIds`: payments that it has stored and that are not yet `paymentRecorded`; at most 256.
    pub payments: Vec<TransactionId>,
    /// `desktopIds`: what came as `desktopId` with each of these, in the same order. May be left out; then two payments of one
    /// name can't be told apart, and one that never came may end unknown.
    pub desktops: Option<Vec<Box<str>>>,
    /// `voidTransactionIds`: the payments whose voids it has stored and that are not yet `voidRecorded`; at most 256. Where
    /// it is left out, `transactionIds` name voids too.
    pub voids: Option<Vec<TransactionId>>,
    /// `voidDesktopIds`: what came as `desktopId` with each of these voids, by the rule of `desktopIds`.
    pub void_desktops: Option<Vec<Box<str>>>,
}

/// What a terminal says became of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalAnswer {
    /// Which payment.
    pub transaction: TransactionId,
    /// How it went.
    pub status: PaymentStatus,
    /// The object `paymentResponse`, byte for byte.
    pub raw: Bytes,
}

/// What a terminal says became of a void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidAnswer {
    /// Which payment was to be voided.
    pub transaction: TransactionId,
    /// As it came with the `voidRequest`; may be left out as long as the `transactionId` alone tells which payment is meant.
    pub desktop_id: Option<Box<str>>,
    /// How it went: `SUCCESS` if the payment is void now.
    pub status: PaymentStatus,
    /// Why not.
    pub error_message: Option<Box<str>>,
}

impl FromClient {
    /// Reads a text frame.
    ///
    /// # Errors
    /// What the client hears. Checked in this order: JSON, `action`, `terminalId`, `paymentRequest`; of a frame with
    /// several faults the first is told.
    pub fn decode(frame: &Bytes) -> Result<FromClient, ClientError> {
        let members = Members::of(frame, "").ok_or(ClientError::INVALID_JSON)?;
        let own = |raw: &RawValue| frame.slice_ref(raw.get().as_bytes());
        Ok(match &*members.required_text("action")? {
            "getTerminals" => FromClient::GetTerminals,
            "payment" => FromClient::Payment {
                terminal_id: members.required_text("terminalId")?.into(),
                payment_request: own(members.required_object("paymentRequest")?),
            },
            "ping" => FromClient::Ping,
            "pong" => FromClient::Pong,
            "resume" => FromClient::Resume(resume(&members)?),
            "paymentReceived" => FromClient::PaymentReceived(transaction(&members)?),
            "paymentResponse" | "paymentComplete" => {
                let raw = members.required_object("paymentResponse")?;
                FromClient::PaymentResponse {
                    desktop_id: desktop(&members)?,
                    response: TerminalAnswer::read(&own(raw))?,
                }
            }
            "voidReceived" => FromClient::VoidReceived {
                transaction: transaction(&members)?,
                desktop_id: desktop(&members)?,
            },
            "voidResponse" => FromClient::VoidResponse(VoidAnswer {
                transaction: transaction(&members)?,
                desktop_id: desktop(&members)?,
                status: status(&members)?,
                error_message: members.text("errorMessage")?.map(Into::into),
            }),
            other => return Err(ClientError::unknown_action(other)),
        })
    }

    /// Writes the frame.
    pub fn encode(&self) -> Bytes {
        let object = Object::action(self.action());
        match self {
            FromClient::GetTerminals | FromClient::Ping | FromClient::Pong => object,
            FromClient::Payment { terminal_id, payment_request } => {
                object.text("terminalId", terminal_id).raw("paymentRequest", payment_request)
            }
            FromClient::Resume(Resume { journal, payments, desktops, voids, void_desktops }) => {
                let list = |names: &[TransactionId]| {
                    written(&names.iter().map(TransactionId::as_str).collect::<Vec<_>>())
                };
                object
                    .text("journalId", journal.as_str())
                    .raw("transactionIds", &list(payments))
                    .maybe_raw("desktopIds", desktops.as_ref().map(written).as_deref())
                    .maybe_raw("voidTransactionIds", voids.as_deref().map(list).as_deref())
                    .maybe_raw("voidDesktopIds", void_desktops.as_ref().map(written).as_deref())
            }
            FromClient::PaymentReceived(transaction) => object.text("transactionId", transaction.as_str()),
            FromClient::VoidReceived { transaction, desktop_id } => object
                .text("transactionId", transaction.as_str())
                .maybe_text("desktopId", desktop_id.as_deref()),
            FromClient::PaymentResponse { desktop_id, response } => {
                object.maybe_text("desktopId", desktop_id.as_deref()).raw("paymentResponse", &response.raw)
            }
            FromClient::VoidResponse(VoidAnswer { transaction, desktop_id, status, error_message }) => object
                .text("transactionId", transaction.as_str())
                .maybe_text("desktopId", desktop_id.as_deref())
                .text("status", status.as_str())
                .maybe_text("errorMessage", error_message.as_deref()),
        }
        .end()
    }

    /// The member `action`.
    pub fn action(&self) -> &'static str {
        match self {
            FromClient::GetTerminals => "getTerminals",
            FromClient::Payment { .. } => "payment",
            FromClient::Ping => "ping",
            FromClient::Pong => "pong",
            FromClient::Resume(_) => "resume",
            FromClient::PaymentReceived(_) => "paymentReceived",
            FromClient::PaymentResponse { .. } => "paymentResponse",
            FromClient::VoidReceived { .. } => "voidReceived",
            FromClient::VoidResponse(_) => "voidResponse",
        }
    }
}

impl TerminalAnswer {
    /// Reads the object `paymentResponse` of a terminal.
    ///
    /// # Errors
    /// When `transactionId` or `status` is missing or can't be used.
    pub fn read(raw: &Bytes) -> Result<TerminalAnswer, ClientError> {
        let members = Members::of(raw, "paymentResponse.").ok_or(ClientError::INVALID_JSON)?;
        Ok(TerminalAnswer {
            transaction: transaction(&members)?,
            status: status(&members)?,
            raw: raw.clone(),
        })
    }
}

fn transaction(members: &Members<'_>) -> Result<TransactionId, ClientError> {
    let text = members.required_text("transactionId")?;
    TransactionId::parse(&text).ok_or_else(|| members.must_be("transactionId", TransactionId::EXPECTED))
}

fn desktop(members: &Members<'_>) -> Result<Option<Box<str>>, ClientError> {
    let text = members.text("desktopId")?.filter(|text| !text.is_empty());
    Ok(text.map(Cow::into_owned).map(Into::into))
}

fn status(members: &Members<'_>) -> Result<PaymentStatus, ClientError> {
    PaymentStatus::parse(&members.required_text("status")?)
        .ok_or_else(|| members.must_be("status", "SUCCESS, FAILED, CANCELLED, PENDING or UNKNOWN"))
}

fn resume(members: &Members<'_>) -> Result<Resume, ClientError> {
    let journal = journal(members)?;
    let payments =
        transactions(members, "transactionIds")?.ok_or_else(|| ClientError::required("transactionIds"))?;
    let desktops = texts(members, "desktopIds")?;
    if desktops.as_ref().is_some_and(|desktops| desktops.len() != payments.len()) {
        return Err(members.must_be("desktopIds", "as many as transactionIds"));
    }
    let voids = transactions(members, "voidTransactionIds")?;
    let void_desktops = texts(members, "voidDesktopIds")?;
    let names = voids.as_ref().map(Vec::len);
    if void_desktops.as_ref().is_some_and(|desktops| Some(desktops.len()) != names) {
        return Err(members.must_be("voidDesktopIds", "as many as voidTransactionIds"));
    }
    Ok(Resume { journal, payments, desktops, voids, void_desktops })
}

fn texts(members: &Members<'_>, name: &'static str) -> Result<Option<Vec<Box<str>>>, ClientError> {
    let Some(raw) = members.value(name)? else { return Ok(None) };
    let texts = serde_json::from_str(raw.get());
    texts.map(Some).map_err(|_| members.must_be(name, "an array of strings"))
}

fn journal(members: &Members<'_>) -> Result<JournalId, ClientError> {
    JournalId::parse(&members.required_text("journalId")?)
        .map_err(|_| members.must_be("journalId", "1 to 64 letters, digits, '_', '-' and '.'"))
}

fn transactions(members: &Members<'_>, name: &str) -> Result<Option<Vec<TransactionId>>, ClientError> {
    let Some(raw) = members.value(name)? else { return Ok(None) };
    let wrong = || members.must_be(name, "an array of transaction IDs");
    let all: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    if all.len() > RESUME_MAX {
        return Err(members.must_be(name, &format!("at most {RESUME_MAX} transaction IDs")));
    }
    let one = |raw: &&RawValue| text_of(raw).and_then(|text| TransactionId::parse(&text));
    all.iter().map(one).collect::<Option<_>>().ok_or_else(wrong).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(text: &str) -> Result<FromClient, ClientError> {
        FromClient::decode(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn told(text: &str) -> String {
        decode(text).expect_err("no frame").to_string()
    }

    fn name(text: &str) -> TransactionId {
        TransactionId::parse(text).expect("a name")
    }

    #[test]
    fn a_payment_is_passed_on_byte_for_byte() {
        let text = r#"{ "paymentRequest" : {"amount" :12.50 , "s":"\u00e9","x":1,"x":2} ,"action":"payment","terminalId":"TERM-001"}"#;
        let frame = Bytes::copy_from_slice(text.as_bytes());
        let Ok(FromClient::Payment { terminal_id, payment_request }) = FromClient::decode(&frame) else {
            panic!("not a payment");
        };
        assert_eq!(&*terminal_id, "TERM-001");
        assert_eq!(payment_request, r#"{"amount" :12.50 , "s":"\u00e9","x":1,"x":2}"#);
        assert!(frame.as_ptr_range().contains(&payment_request.as_ptr()));
    }

    #[test]
    fn the_errors_are_those_of_the_page_in_the_order_of_the_page() {
        const JSON: &str = "Bad Request: Invalid JSON in message body";
        for text in
            ["", " ", "{", "ping", r#"["ping"]"#, "null", "7", r#"{"action":"ping"} {}"#, "{'action':1}"]
        {
            assert_eq!(told(text), JSON, "{text}");
        }
        for text in ["{}", r#"{"action":null}"#, r#"{"action":""}"#] {
            assert_eq!(told(text), "Bad Request: action is required");
        }
        assert_eq!(told(r#"{"action":7}"#), "Bad Request: action must be a string");
        assert_eq!(told(r#"{"action":"Payment"}"#), "Bad Request: Unknown action: Payment");
        for text in [
            r#"{"action":"payment"}"#,
            r#"{"action":"payment","terminalId":null,"paymentRequest":7}"#,
            r#"{"action":"payment","terminalId":""}"#,
        ] {
            assert_eq!(told(text), "Bad Request: terminalId is required");
        }
        for text in [
            r#"{"action":"payment","terminalId":"T"}"#,
            r#"{"action":"payment","terminalId":"T","paymentRequest":null}"#,
        ] {
            assert_eq!(told(text), "Bad Request: paymentRequest is required");
        }
        assert_eq!(
            told(r#"{"action":"payment","terminalId":"T","paymentRequest":"x"}"#),
            "Bad Request: paymentRequest must be an object"
        );
        assert_eq!(
            told(r#"{"action":"payment","terminalId":7,"paymentRequest":{}}"#),
            "Bad Request: terminalId must be a string"
        );
        assert_eq!(
            told(r#"{"action":"payment","terminalId":"T","terminalId":"U","paymentRequest":{}}"#),
            "Bad Request: terminalId must not be given twice"
        );
    }

    #[test]
    fn a_hostile_action_is_shown_by_its_beginning() {
        assert_eq!(
            told(&format!(r#"{{"action":"{}"}}"#, "é".repeat(1000))),
            format!("Bad Request: Unknown action: {}", "é".repeat(32))
        );
    }

    #[test]
    fn a_terminals_errors_are_of_the_same_kind() {
        for (text, message) in [
            (r#"{"action":"paymentReceived"}"#, "transactionId is required"),
            (
                r#"{"action":"paymentReceived","transactionId":"\u0000"}"#,
                "transactionId must be 1 to 128 characters without control characters or card data",
            ),
            (r#"{"action":"paymentResponse"}"#, "paymentResponse is required"),
            (
                r#"{"action":"paymentResponse","paymentResponse":{}}"#,
                "paymentResponse.transactionId is required",
            ),
            (
                r#"{"action":"paymentComplete","paymentResponse":{"transactionId":"T"}}"#,
                "paymentResponse.status is required",
            ),
            (
                r#"{"action":"paymentResponse","paymentResponse":{"transactionId":"T","status":"ok"}}"#,
                "paymentResponse.status must be SUCCESS, FAILED, CANCELLED, PENDING or UNKNOWN",
            ),
            (
                r#"{"action":"paymentResponse","paymentResponse":{"transactionId":"T","status":"SUCCESS","status":"FAILED"}}"#,
                "paymentResponse.status must not be given twice",
            ),
            (r#"{"action":"resume","transactionIds":[]}"#, "journalId is required"),
            (
                r#"{"action":"resume","journalId":"j 1"}"#,
                "journalId must be 1 to 64 letters, digits, '_', '-' and '.'",
            ),
            (r#"{"action":"resume","journalId":"j"}"#, "transactionIds is required"),
            (
                r#"{"action":"resume","journalId":"j","transactionIds":[7]}"#,
                "transactionIds must be an array of transaction IDs",
            ),
            (
                r#"{"action":"resume","journalId":"j","transactionIds":[],"desktopIds":["c"]}"#,
                "desktopIds must be as many as transactionIds",
            ),
            (r#"{"action":"voidResponse","transactionId":"T"}"#, "status is required"),
        ] {
            assert_eq!(told(text), format!("Bad Request: {message}"));
        }
        let many = vec![r#""T""#; RESUME_MAX + 1].join(",");
        assert_eq!(
            told(&format!(r#"{{"action":"resume","journalId":"j","transactionIds":[{many}]}}"#)),
            "Bad Request: transactionIds must be at most 256 transaction IDs"
        );
    }

    #[test]
    fn a_terminals_frames_read_as_documented() {
        assert_eq!(
            decode(
                r#"{"action":"resume","journalId":"j_5f","transactionIds":["T-1","T-2"],"desktopIds":["c_1","c_1"],"voidTransactionIds":[]}"#
            ),
            Ok(FromClient::Resume(Resume {
                journal: JournalId::parse("j_5f").expect("an ID"),
                payments: vec![name("T-1"), name("T-2")],
                desktops: Some(vec!["c_1".into(), "c_1".into()]),
                voids: Some(vec![]),
                void_desktops: None,
            }))
        );
        let raw = r#"{"transactionId":"T-1", "status":"SUCCESS","authorizationCode":"A"}"#;
        for (action, desktop) in [("paymentResponse", r#""desktopId":"c_1","#), ("paymentComplete", "")] {
            assert_eq!(
                decode(&format!(r#"{{"action":"{action}",{desktop}"paymentResponse":{raw}}}"#)),
                Ok(FromClient::PaymentResponse {
                    desktop_id: (!desktop.is_empty()).then(|| "c_1".into()),
                    response: TerminalAnswer {
                        transaction: name("T-1"),
                        status: PaymentStatus::Success,
                        raw: Bytes::from_static(raw.as_bytes()),
                    },
                })
            );
        }
    }

    #[test]
    fn a_desktop_that_sends_a_terminals_frame_hears_which_it_was() {
        let frame = decode(r#"{"action":"paymentReceived","transactionId":"T"}"#).expect("a frame");
        assert_eq!(
            ClientError::only_terminals(frame.action()).to_string(),
            "Forbidden: Only terminal devices can send paymentReceived"
        );
    }

    fn a_name() -> impl Strategy<Value = TransactionId> {
        "[^\\p{Cc}]{1,20}".prop_map(|text| name(&text))
    }

    fn a_status() -> impl Strategy<Value = PaymentStatus> {
        prop_oneof![
            Just(PaymentStatus::Success),
            Just(PaymentStatus::Failed),
            Just(PaymentStatus::Cancelled),
            Just(PaymentStatus::Pending),
            Just(PaymentStatus::Unknown),
        ]
    }

    fn an_answer() -> impl Strategy<Value = TerminalAnswer> {
        (a_name(), a_status(), any::<String>()).prop_map(|(transaction, status, any)| TerminalAnswer {
            raw: Object::new()
                .text("transactionId", transaction.as_str())
                .text("status", status.as_str())
                .text("any", &any)
                .end(),
            transaction,
            status,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(
            frame in prop_oneof![
                Just(FromClient::GetTerminals),
                Just(FromClient::Ping),
                Just(FromClient::Pong),
                (any::<String>().prop_filter("not empty", |t| !t.is_empty()), any::<String>()).prop_map(|(terminal, any)| {
                    FromClient::Payment { terminal_id: terminal.into(), payment_request: Object::new().text("any", &any).end() }
                }),
                ("[A-Za-z0-9_.-]{1,64}", prop::collection::vec(a_name(), 0..4), prop::option::of(prop::collection::vec(a_name(), 0..4)))
                    .prop_map(|(journal, payments, voids)| {
                        let desktops = voids.as_ref().map(|_| payments.iter().map(|name| name.as_str().into()).collect());
                        FromClient::Resume(Resume { journal: JournalId::parse(&journal).expect("an ID"), payments, desktops, void_desktops: voids.as_ref().map(|voids: &Vec<TransactionId>| voids.iter().map(|name| name.as_str().into()).collect()), voids })
                    }),
                a_name().prop_map(FromClient::PaymentReceived),
                (a_name(), proptest::option::of("[a-z]{1,4}")).prop_map(|(transaction, desktop)| FromClient::VoidReceived { transaction, desktop_id: desktop.map(Into::into) }),
                (prop::option::of("[a-z_0-9]{1,9}"), an_answer())
                    .prop_map(|(desktop, response)| FromClient::PaymentResponse { desktop_id: desktop.map(Into::into), response }),
                (a_name(), a_status(), prop::option::of(any::<String>())).prop_map(|(transaction, status, message)| {
                    FromClient::VoidResponse(VoidAnswer { transaction, desktop_id: None, status, error_message: message.map(Into::into) })
                }),
            ]
        ) {
            prop_assert_eq!(FromClient::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn nothing_from_outside_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FromClient::decode(&Bytes::from(bytes));
        }

        #[test]
        fn no_object_panics(
            action in "getTerminals|payment|ping|resume|paymentRe(ceived|sponse)|void(Received|Response)",
            members in prop::collection::vec(
                ("action|terminalId|paymentRe(quest|sponse)|transactionIds?|status|journalId|desktopId", "null|7|\"\"|\"x\"|\\[\\]|\\{\\}|\\[\"\\\\ud800\"\\]|\\{\"status\":\"SUCCESS\",\"transactionId\":\"\\\\u0000\"\\}"),
                0..6,
            ),
        ) {
            let mut text = format!(r#"{{"action":"{action}""#);
            for (name, value) in members {
                text.push_str(&format!(r#","{name}":{value}"#));
            }
            text.push('}');
            if let Err(error) = decode(&text) {
                prop_assert_ne!(error, ClientError::FAILED);
            }
        }
    }
}
