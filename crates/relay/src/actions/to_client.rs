//! What a client gets: one JSON object per WebSocket text frame, member `action`; only an error has none.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client_error::{ClientError, ErrorKind};
use super::json::{Members, Object, RawJson, written};
use super::transaction::TransactionId;
use crate::frame::shortened;
use crate::id::ConnectionId;
use crate::presence::Status;

/// The member `version` of what is pushed.
const VERSION: &str = "v1";

/// What is kept of a text for people, in bytes.
const TEXT_MAX: usize = 256;

/// A frame to a desktop or a terminal. Times are RFC 3339 in UTC with milliseconds:
/// [`WallMs::to_rfc3339`](crate::WallMs::to_rfc3339).
#[derive(Clone, Debug, PartialEq)]
pub enum ToClient {
    /// The answer to `getTerminals`. Source: the page, "getTerminals".
    ///
    /// ```json
    /// {"action":"terminalsResponse","terminals":[{"connectionId":"c_01","deviceId":"TERM-001","connectedAt":"…","lastActivity":"…",
    ///   "status":"online","metadata":{}}],"timestamp":"2026-11-20T08:15:00.000Z"}
    /// ```
    TerminalsResponse {
        /// The terminals of the caller's groups.
        terminals: Vec<TerminalInfo>,
        /// Now.
        timestamp: String,
    },
    /// A payment, for a terminal. Source: the page, "Message Sent to Terminal".
    ///
    /// ```json
    /// {"action":"paymentRequest","desktopId":"c_02","paymentRequest":{"transactionId":"T-5001","amount":"12.50"},
    ///  "timestamp":"2026-11-20T08:15:01.000Z"}
    /// ```
    PaymentRequest {
        /// The connection of the desktop that asked; to be repeated in the answer.
        desktop_id: Box<str>,
        /// The desktop's own object, byte for byte.
        payment_request: Bytes,
        /// Now.
        timestamp: String,
    },
    /// What became of a payment, for a desktop.
    PaymentComplete(Box<PaymentComplete>),
    /// A terminal's result is on the gateway's disk: forget it. Only to a terminal that acknowledges. Ours.
    ///
    /// ```json
    /// {"action":"paymentRecorded","transactionId":"T-5001","desktopId":"c_02","problem":"differs from the recorded result"}
    /// ```
    PaymentRecorded {
        /// Which payment's.
        transaction: TransactionId,
        /// What it came with, where that is known: tells two payments of one name apart.
        desktop_id: Option<Box<str>>,
        /// Why it could not be used, when it could not (E15).
        problem: Option<String>,
    },
    /// Undo a payment, for a terminal that acknowledges (E25). Ours.
    ///
    /// ```json
    /// {"action":"voidRequest","transactionId":"T-5001","desktopId":"c_02","timestamp":"2026-11-20T08:20:00.000Z"}
    /// ```
    VoidRequest {
        /// The payment.
        transaction: TransactionId,
        /// What that came with: tells two payments of one name apart.
        desktop_id: Box<str>,
        /// Now.
        timestamp: String,
    },
    /// The same as `paymentRecorded`, of a void's result. Ours.
    ///
    /// ```json
    /// {"action":"voidRecorded","transactionId":"T-5001","desktopId":"c_02"}
    /// ```
    VoidRecorded {
        /// The payment that was to be voided.
        transaction: TransactionId,
        /// What the `voidRequest` came with, where that is known.
        desktop_id: Option<Box<str>>,
        /// Why it could not be used, when it could not.
        problem: Option<String>,
    },
    /// A terminal came or went, for the desktops of its group.
    TerminalStatusUpdate(Box<TerminalStatusUpdate>),
    /// A payment that succeeded too late was undone (E25), for its desktop.
    PaymentVoided(Box<PaymentVoided>),
    /// The connection is about to be closed, and should not be opened again at once. Source of its name: sibling page
    /// "Connecting"; its members are ours.
    ///
    /// ```json
    /// {"action":"forceDisconnect","reason":"REPLACED_BY_NEW_CONNECTION","timestamp":"2026-11-20T08:15:00.000Z"}
    /// ```
    ForceDisconnect {
        /// Why, in one word.
        reason: Cow<'static, str>,
        /// Now.
        timestamp: String,
    },
    /// The answer to `ping`, or unasked, to see whether a quiet client is there. Source: the page, "ping / pong".
    ///
    /// ```json
    /// {"action":"pong","timestamp":"2026-11-20T08:15:00.000Z"}
    /// ```
    Pong {
        /// Now.
        timestamp: String,
    },
    /// A frame could not be carried out.
    Error(ClientError),
    /// An action that this version doesn't know: a client ignores it.
    Unknown(String),
}

/// One terminal in a list, and in a status update.
///
/// Source: the page, "Response Fields"; sibling page "Terminals" for `terminalId`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalInfo {
    /// Its connection; none while it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    /// The deviceId, or else the connectionId: over HTTP and in status updates only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<String>,
    /// Its stable name; none when it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// When it was connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<String>,
    /// When anything last came from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<String>,
    /// Whether it is there.
    pub status: TerminalPresence,
    /// An object as it was configured. Always there in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RawJson>,
}

/// Whether a terminal is there, as lists say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalPresence {
    /// It is.
    Online,
    /// It was, less than 60 s ago.
    Reconnecting,
    /// It is not.
    Offline,
}

impl From<Status> for TerminalPresence {
    fn from(status: Status) -> TerminalPresence {
        match status {
            Status::Online => TerminalPresence::Online,
            Status::Reconnecting => TerminalPresence::Reconnecting,
            Status::Offline => TerminalPresence::Offline,
        }
    }
}

/// A `terminalStatusUpdate`: a terminal came or went. Source: sibling page "Terminal status".
///
/// ```json
/// {"action":"terminalStatusUpdate","terminalId":"TERM-001","deviceId":"TERM-001","status":"reconnecting",
///  "timestamp":"2026-11-20T08:15:00.000Z","groupId":"STORE_AMS","version":"v1"}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TerminalStatusUpdate {
    /// The deviceId, or else the connectionId.
    pub terminal_id: String,
    /// Its connection, when it has one.
    pub connection_id: Option<ConnectionId>,
    /// Its stable name.
    pub device_id: Option<String>,
    /// What happened.
    pub status: TerminalChange,
    /// The terminal as a list shows it, when it was connected.
    pub terminal_info: Option<TerminalInfo>,
    /// Now.
    pub timestamp: String,
    /// Its group.
    pub group_id: String,
}

/// What happened to a terminal's connection: other words than those of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalChange {
    /// It is there.
    Connected,
    /// It was lost, and may come back within 60 s.
    Reconnecting,
    /// It is gone.
    Disconnected,
}

/// A `paymentComplete`. Source: the page's examples for `paymentResponse`; the rest by analogy with status updates; `late`
/// is ours.
///
/// ```json
/// {"action":"paymentComplete","terminalId":"TERM-001","deviceId":"TERM-001","connectionId":"c_01",
///  "paymentResponse":{"transactionId":"T-5001","status":"SUCCESS","authorizationCode":"AUTH1"},
///  "timestamp":"2026-11-20T08:15:09.000Z","groupId":"STORE_AMS","version":"v1"}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentComplete {
    /// The terminal, as the desktop called it.
    pub terminal_id: String,
    /// Its stable name.
    pub device_id: Option<String>,
    /// Its connection.
    pub connection_id: Option<ConnectionId>,
    /// The object, as [`PaymentOutcome`](super::PaymentOutcome) has it.
    pub payment_response: Bytes,
    /// The desktop was told before that the outcome was not known, and a person has to decide (E25). Written only if so.
    pub late: bool,
    /// Now.
    pub timestamp: String,
    /// The terminal's group.
    pub group_id: Option<String>,
}

/// A `paymentVoided` (E25). Source of its name: sibling page "Payment voided"; its members are by analogy with status
/// updates and with the transaction's own record.
///
/// ```json
/// {"action":"paymentVoided","transactionId":"T-5001","terminalId":"TERM-001","deviceId":"TERM-001","voidReason":"…",
///  "voidedAt":"2026-11-20T08:20:09.000Z","timestamp":"2026-11-20T08:20:09.000Z","groupId":"STORE_AMS","version":"v1"}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentVoided {
    /// The payment.
    pub transaction: TransactionId,
    /// The terminal, as the desktop called it.
    pub terminal_id: String,
    /// Its stable name.
    pub device_id: Option<String>,
    /// Why.
    pub void_reason: String,
    /// When.
    pub voided_at: String,
    /// Now.
    pub timestamp: String,
    /// The terminal's group.
    pub group_id: Option<String>,
}

impl ToClient {
    /// Writes the frame.
    pub fn encode(&self) -> Bytes {
        match self {
            ToClient::TerminalsResponse { terminals, timestamp } => Object::action("terminalsResponse")
                .raw("terminals", &written(terminals))
                .text("timestamp", timestamp),
            ToClient::PaymentRequest { desktop_id, payment_request, timestamp } => {
                Object::action("paymentRequest")
                    .text("desktopId", desktop_id)
                    .raw("paymentRequest", payment_request)
                    .text("timestamp", timestamp)
            }
            ToClient::PaymentComplete(complete) => Object::action("paymentComplete")
                .text("terminalId", &complete.terminal_id)
                .maybe_text("deviceId", complete.device_id.as_deref())
                .maybe_text("connectionId", complete.connection_id.as_ref().map(ConnectionId::as_str))
                .raw("paymentResponse", &complete.payment_response)
                .maybe_raw("late", complete.late.then_some(b"true".as_slice()))
                .text("timestamp", &complete.timestamp)
                .maybe_text("groupId", complete.group_id.as_deref())
                .text("version", VERSION),
            ToClient::PaymentRecorded { transaction, desktop_id, problem } => {
                Object::action("paymentRecorded")
                    .text("transactionId", transaction.as_str())
                    .maybe_text("desktopId", desktop_id.as_deref())
                    .maybe_text("problem", problem.as_deref())
            }
            ToClient::VoidRequest { transaction, desktop_id, timestamp } => Object::action("voidRequest")
                .text("transactionId", transaction.as_str())
                .text("desktopId", desktop_id)
                .text("timestamp", timestamp),
            ToClient::VoidRecorded { transaction, desktop_id, problem } => Object::action("voidRecorded")
                .text("transactionId", transaction.as_str())
                .maybe_text("desktopId", desktop_id.as_deref())
                .maybe_text("problem", problem.as_deref()),
            ToClient::TerminalStatusUpdate(update) => Object::action("terminalStatusUpdate")
                .text("terminalId", &update.terminal_id)
                .maybe_text("connectionId", update.connection_id.as_ref().map(ConnectionId::as_str))
                .maybe_text("deviceId", update.device_id.as_deref())
                .raw("status", &written(&update.status))
                .maybe_raw("terminalInfo", update.terminal_info.as_ref().map(written).as_deref())
                .text("timestamp", &update.timestamp)
                .text("groupId", &update.group_id)
                .text("version", VERSION),
            ToClient::PaymentVoided(voided) => Object::action("paymentVoided")
                .text("transactionId", voided.transaction.as_str())
                .text("terminalId", &voided.terminal_id)
                .maybe_text("deviceId", voided.device_id.as_deref())
                .text("voidReason", &voided.void_reason)
                .text("voidedAt", &voided.voided_at)
                .text("timestamp", &voided.timestamp)
                .maybe_text("groupId", voided.group_id.as_deref())
                .text("version", VERSION),
            ToClient::ForceDisconnect { reason, timestamp } => {
                Object::action("forceDisconnect").text("reason", reason).text("timestamp", timestamp)
            }
            ToClient::Pong { timestamp } => Object::action("pong").text("timestamp", timestamp),
            ToClient::Error(ClientError { kind, message }) => {
                Object::new().text("error", kind.as_str()).text("message", message)
            }
            ToClient::Unknown(action) => Object::new().text("action", action),
        }
        .end()
    }

    /// Reads a text frame from the gateway.
    ///
    /// # Errors
    /// What is wrong with it, in the words of [`FromClient::decode`](super::FromClient::decode).
    pub fn decode(frame: &Bytes) -> Result<ToClient, ClientError> {
        let members = Members::of(frame, "").ok_or(ClientError::INVALID_JSON)?;
        let own = |raw: &RawValue| frame.slice_ref(raw.get().as_bytes());
        let timestamp = || required(&members, "timestamp");
        let Some(action) = members.text("action")? else {
            let kind = ErrorKind::parse(&members.required_text("error")?)
                .ok_or_else(|| members.must_be("error", "one of the four kinds"))?;
            return Ok(ToClient::Error(ClientError { kind, message: required(&members, "message")?.into() }));
        };
        Ok(match &*action {
            "terminalsResponse" => ToClient::TerminalsResponse {
                terminals: typed(&members, "terminals")?.ok_or_else(|| ClientError::required("terminals"))?,
                timestamp: timestamp()?,
            },
            "paymentRequest" => ToClient::PaymentRequest {
                desktop_id: required(&members, "desktopId")?.into(),
                payment_request: own(members.required_object("paymentRequest")?),
                timestamp: timestamp()?,
            },
            "paymentComplete" => ToClient::PaymentComplete(Box::new(PaymentComplete {
                terminal_id: required(&members, "terminalId")?,
                device_id: text(&members, "deviceId")?,
                connection_id: typed(&members, "connectionId")?,
                payment_response: own(members.required_object("paymentResponse")?),
                late: typed(&members, "late")?.unwrap_or_default(),
                timestamp: timestamp()?,
                group_id: text(&members, "groupId")?,
            })),
            "paymentRecorded" => ToClient::PaymentRecorded {
                transaction: transaction(&members)?,
                desktop_id: members.text("desktopId")?.map(Into::into),
                problem: problem(&members)?,
            },
            "voidRequest" => {
                let desktop_id = required(&members, "desktopId")?.into();
                ToClient::VoidRequest {
                    transaction: transaction(&members)?,
                    desktop_id,
                    timestamp: timestamp()?,
                }
            }
            "voidRecorded" => {
                let desktop_id = members.text("desktopId")?.map(Into::into);
                let problem = problem(&members)?;
                ToClient::VoidRecorded { transaction: transaction(&members)?, desktop_id, problem }
            }
            "terminalStatusUpdate" => ToClient::TerminalStatusUpdate(Box::new(TerminalStatusUpdate {
                terminal_id: required(&members, "terminalId")?,
                connection_id: typed(&members, "connectionId")?,
                device_id: text(&members, "deviceId")?,
                status: typed(&members, "status")?.ok_or_else(|| ClientError::required("status"))?,
                terminal_info: typed(&members, "terminalInfo")?,
                timestamp: timestamp()?,
                group_id: required(&members, "groupId")?,
            })),
            "paymentVoided" => ToClient::PaymentVoided(Box::new(PaymentVoided {
                transaction: transaction(&members)?,
                terminal_id: required(&members, "terminalId")?,
                device_id: text(&members, "deviceId")?,
                void_reason: required(&members, "voidReason")?,
                voided_at: required(&members, "voidedAt")?,
                timestamp: timestamp()?,
                group_id: text(&members, "groupId")?,
            })),
            "forceDisconnect" => ToClient::ForceDisconnect {
                reason: required(&members, "reason")?.into(),
                timestamp: timestamp()?,
            },
            "pong" => ToClient::Pong { timestamp: timestamp()? },
            other => ToClient::Unknown(shortened(other, TEXT_MAX).into()),
        })
    }
}

fn text(members: &Members<'_>, name: &str) -> Result<Option<String>, ClientError> {
    Ok(members.text(name)?.map(Cow::into_owned))
}

fn required(members: &Members<'_>, name: &str) -> Result<String, ClientError> {
    text(members, name)?.ok_or_else(|| ClientError::required(name))
}

fn transaction(members: &Members<'_>) -> Result<TransactionId, ClientError> {
    let text = members.required_text("transactionId")?;
    TransactionId::parse(&text).ok_or_else(|| members.must_be("transactionId", TransactionId::EXPECTED))
}

/// Kept up to [`TEXT_MAX`], because refusing a long one would lose what it goes with.
fn problem(members: &Members<'_>) -> Result<Option<String>, ClientError> {
    Ok(members.text("problem")?.map(|text| shortened(&text, TEXT_MAX).into()))
}

fn typed<T: for<'de> Deserialize<'de>>(members: &Members<'_>, name: &str) -> Result<Option<T>, ClientError> {
    let Some(raw) = members.value(name)? else { return Ok(None) };
    serde_json::from_str(raw.get()).map(Some).map_err(|_| members.must_be(name, "as documented"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-20T08:15:00.000Z";

    fn name() -> TransactionId {
        TransactionId::parse("T-5001").expect("a name")
    }

    fn terminal() -> TerminalInfo {
        TerminalInfo {
            connection_id: Some(ConnectionId::parse("c_01").expect("an ID")),
            terminal_id: None,
            device_id: Some("TERM-001".into()),
            connected_at: Some(TIME.into()),
            last_activity: Some(TIME.into()),
            status: TerminalPresence::Online,
            metadata: Some(RawJson::default()),
        }
    }

    #[test]
    fn every_frame_is_written_as_documented_and_reads_the_same() {
        for (frame, text) in [
            (
                ToClient::TerminalsResponse { terminals: vec![terminal()], timestamp: TIME.into() },
                r#"{"action":"terminalsResponse","terminals":[{"connectionId":"c_01","deviceId":"TERM-001","connectedAt":"2026-11-20T08:15:00.000Z","lastActivity":"2026-11-20T08:15:00.000Z","status":"online","metadata":{}}],"timestamp":"2026-11-20T08:15:00.000Z"}"#,
            ),
            (
                ToClient::PaymentRequest {
                    desktop_id: "c_02".into(),
                    payment_request: Bytes::from_static(br#"{"amount" : 1.50}"#),
                    timestamp: TIME.into(),
                },
                r#"{"action":"paymentRequest","desktopId":"c_02","paymentRequest":{"amount" : 1.50},"timestamp":"2026-11-20T08:15:00.000Z"}"#,
            ),
            (
                ToClient::PaymentComplete(Box::new(PaymentComplete {
                    terminal_id: "TERM-001".into(),
                    device_id: Some("TERM-001".into()),
                    connection_id: None,
                    payment_response: Bytes::from_static(br#"{"status":"SUCCESS"}"#),
                    late: true,
                    timestamp: TIME.into(),
                    group_id: Some("STORE_AMS".into()),
                })),
                r#"{"action":"paymentComplete","terminalId":"TERM-001","deviceId":"TERM-001","paymentResponse":{"status":"SUCCESS"},"late":true,"timestamp":"2026-11-20T08:15:00.000Z","groupId":"STORE_AMS","version":"v1"}"#,
            ),
            (
                ToClient::PaymentRecorded {
                    transaction: name(),
                    desktop_id: Some("c_02".into()),
                    problem: None,
                },
                r#"{"action":"paymentRecorded","transactionId":"T-5001","desktopId":"c_02"}"#,
            ),
            (
                ToClient::VoidRequest {
                    transaction: name(),
                    desktop_id: "c_02".into(),
                    timestamp: TIME.into(),
                },
                r#"{"action":"voidRequest","transactionId":"T-5001","desktopId":"c_02","timestamp":"2026-11-20T08:15:00.000Z"}"#,
            ),
            (
                ToClient::VoidRecorded {
                    transaction: name(),
                    desktop_id: Some("c_02".into()),
                    problem: Some("why".into()),
                },
                r#"{"action":"voidRecorded","transactionId":"T-5001","desktopId":"c_02","problem":"why"}"#,
            ),
            (
                ToClient::TerminalStatusUpdate(Box::new(TerminalStatusUpdate {
                    terminal_id: "TERM-001".into(),
                    connection_id: None,
                    device_id: Some("TERM-001".into()),
                    status: TerminalChange::Reconnecting,
                    terminal_info: None,
                    timestamp: TIME.into(),
                    group_id: "g-1".into(),
                })),
                r#"{"action":"terminalStatusUpdate","terminalId":"TERM-001","deviceId":"TERM-001","status":"reconnecting","timestamp":"2026-11-20T08:15:00.000Z","groupId":"g-1","version":"v1"}"#,
            ),
            (
                ToClient::PaymentVoided(Box::new(PaymentVoided {
                    transaction: name(),
                    terminal_id: "c_01".into(),
                    device_id: None,
                    void_reason: "late".into(),
                    voided_at: TIME.into(),
                    timestamp: TIME.into(),
                    group_id: None,
                })),
                r#"{"action":"paymentVoided","transactionId":"T-5001","terminalId":"c_01","voidReason":"late","voidedAt":"2026-11-20T08:15:00.000Z","timestamp":"2026-11-20T08:15:00.000Z","version":"v1"}"#,
            ),
            (
                ToClient::ForceDisconnect {
                    reason: "REPLACED_BY_NEW_CONNECTION".into(),
                    timestamp: TIME.into(),
                },
                r#"{"action":"forceDisconnect","reason":"REPLACED_BY_NEW_CONNECTION","timestamp":"2026-11-20T08:15:00.000Z"}"#,
            ),
            (
                ToClient::Pong { timestamp: TIME.into() },
                r#"{"action":"pong","timestamp":"2026-11-20T08:15:00.000Z"}"#,
            ),
            (
                ToClient::Error(ClientError::OTHER_GROUP),
                r#"{"error":"Forbidden","message":"Cannot send message to connection in different group"}"#,
            ),
            (ToClient::Unknown("later".into()), r#"{"action":"later"}"#),
        ] {
            let written = frame.encode();
            assert_eq!(written, text);
            assert_eq!(ToClient::decode(&written), Ok(frame), "{text}");
        }
    }

    #[test]
    fn a_status_update_shows_a_terminal_that_came() {
        let info = TerminalInfo { terminal_id: Some("TERM-001".into()), metadata: None, ..terminal() };
        let frame = ToClient::TerminalStatusUpdate(Box::new(TerminalStatusUpdate {
            terminal_id: "TERM-001".into(),
            connection_id: info.connection_id.clone(),
            device_id: info.device_id.clone(),
            status: TerminalChange::Connected,
            terminal_info: Some(info),
            timestamp: TIME.into(),
            group_id: "g-1".into(),
        }));
        assert_eq!(
            frame.encode(),
            r#"{"action":"terminalStatusUpdate","terminalId":"TERM-001","connectionId":"c_01","deviceId":"TERM-001","status":"connected","terminalInfo":{"connectionId":"c_01","terminalId":"TERM-001","deviceId":"TERM-001","connectedAt":"2026-11-20T08:15:00.000Z","lastActivity":"2026-11-20T08:15:00.000Z","status":"online"},"timestamp":"2026-11-20T08:15:00.000Z","groupId":"g-1","version":"v1"}"#
        );
        assert_eq!(ToClient::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn the_errors_have_the_words_of_the_page() {
        for (error, text) in [
            (
                ClientError::INVALID_JSON,
                r#"{"error":"Bad Request","message":"Invalid JSON in message body"}"#,
            ),
            (
                ClientError::required("terminalId"),
                r#"{"error":"Bad Request","message":"terminalId is required"}"#,
            ),
            (
                ClientError::required("paymentRequest"),
                r#"{"error":"Bad Request","message":"paymentRequest is required"}"#,
            ),
            (ClientError::CONNECTION_NOT_FOUND, r#"{"error":"Not Found","message":"Connection not found"}"#),
            (
                ClientError::TERMINAL_NOT_FOUND,
                r#"{"error":"Not Found","message":"Terminal connection not found"}"#,
            ),
            (
                ClientError::ONLY_DESKTOPS_LIST,
                r#"{"error":"Forbidden","message":"Only desktop devices can request terminal list"}"#,
            ),
            (
                ClientError::FAILED,
                r#"{"error":"Internal Server Error","message":"Failed to process message"}"#,
            ),
        ] {
            assert_eq!(ToClient::Error(error).encode(), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_from_outside_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ToClient::decode(&Bytes::from(bytes));
        }
    }
}
