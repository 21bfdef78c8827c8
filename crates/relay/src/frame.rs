//! The frames of the terminal link, `tillgate.link.v1`: one JSON object per WebSocket text frame, member `action`.
//!
//! A POS message inside a frame travels byte for byte: it is sliced out of the frame and spliced in, never re-written.
//! Unknown actions and members are ignored. The format is described for terminal vendors in `docs/terminal-link.md`.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use nexo::PoiId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::id::{ChangeId, ConnectionId, DeliveryId, IdError, JournalId, ProcessId};
use crate::link_token::LinkToken;

/// The WebSocket subprotocol that both ends must name.
pub const SUBPROTOCOL: &str = "tillgate.link.v1";

/// The most deliveries that one `hello` may resume; a terminal with more first hands results in by maintenance.
pub const RESUME_MAX: usize = 256;

/// The highest `attempt`: what databases keep in a signed 64-bit integer.
pub(crate) const ATTEMPT_MAX: u64 = i64::MAX as u64;

/// What a frame may be longer than the POS message in it, in bytes.
pub const FRAME_OVERHEAD: usize = 8 * 1024;

/// The longest POS message by default, in bytes.
pub const BODY_LIMIT: usize = 128 * 1024;

/// The longest telemetry object, in bytes: it is held in memory for every terminal.
pub const DEVICE_MAX: usize = 4 * 1024;

/// What is kept of a text for people (`reason`, `problem`), in bytes.
pub const REASON_MAX: usize = 256;

/// The longest name that an [`ToGateway::Unknown`] action keeps, in bytes.
const UNKNOWN_MAX: usize = 64;

/// A frame from the terminal.
#[derive(Clone, Debug, PartialEq)]
pub enum ToGateway {
    /// The first frame of a link.
    Hello(Box<Hello>),
    /// The delivery is stored in the terminal's journal (T4).
    Received(DeliveryId),
    /// What became of a delivery.
    Result(DeliveryId, ResultMessage),
    /// The terminal had the delivery and can't find out what became of it (T6).
    Indeterminate(DeliveryId, String),
    /// An event or display notification for the POS; with an ID it wants to be `recorded`.
    Notify(Option<DeliveryId>, Bytes),
    /// Changed telemetry: the `device` object as it came.
    Device(Bytes),
    /// These settings are in force now.
    Applied(u64),
    /// The configuration that this change is about is removed.
    ConfigRemoved(ChangeId),
    /// The new token is stored, so the former one may end.
    TokenStored,
    /// An action that this version doesn't know or has no use for: ignored and counted.
    Unknown(String),
}

/// What a `result` frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultMessage {
    /// `{"SaleToPOIResponse":{…}}`, byte for byte.
    Message(Bytes),
    /// No message: how Abort and InputUpdate end (E20).
    Empty,
    /// The response was over the body limit; its length in bytes.
    TooLarge(u64),
}

/// A frame to the terminal.
#[derive(Clone, Debug, PartialEq)]
pub enum ToTerminal {
    /// The first frame: the terminal is present from here on.
    Welcome(Box<Welcome>),
    /// A request of a POS.
    Deliver(Deliver),
    /// The result (or notification) is on the gateway's disk: forget it.
    Recorded {
        /// Which one.
        delivery: DeliveryId,
        /// Why it could not be used, when it could not (E15).
        problem: Option<String>,
    },
    /// Settings that have changed, and where the terminal stands.
    Settings(Box<ChangedSettings>),
    /// The terminal is being moved elsewhere: it forgets its configuration and says so.
    RemoveConfig(ChangeId),
    /// What the terminal proves itself with from its next connect on.
    NewToken(LinkToken),
    /// An action that this version doesn't know: ignored.
    Unknown(String),
}

/// How a terminal opens a link (E14, T1–T3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Always 1.
    pub link_version: u32,
    /// The journal that this terminal was boarded with.
    pub journal_id: JournalId,
    /// Raised and synced in the journal before every connect (T2).
    pub attempt: u64,
    /// This run of the terminal's program.
    pub process_id: ProcessId,
    /// What the device shows as its software, for example `Virtual_OS 1.4.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<String>,
    /// `android` or `non-android`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Deliveries that are stored and not yet `recorded`; at most [`RESUME_MAX`].
    #[serde(default)]
    pub resume: Vec<DeliveryId>,
    /// Telemetry, flat members, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Telemetry>,
}

/// A terminal's telemetry: a JSON object with flat members, kept as it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Telemetry(pub Box<RawValue>);

impl PartialEq for Telemetry {
    fn eq(&self, other: &Telemetry) -> bool {
        self.0.get() == other.0.get()
    }
}

/// The answer to a `hello` that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// This socket.
    pub connection_id: ConnectionId,
    /// The gateway's clock, RFC 3339 in UTC with milliseconds.
    pub server_time: String,
    /// When silence becomes a ping, and a ping a close.
    pub heartbeat: Heartbeat,
    /// Who the gateway takes this terminal for.
    pub terminal: Placement,
    /// The settings in force.
    pub settings: Settings,
    /// The longest POS message in bytes; a frame may be 8 KiB longer.
    pub body_limit: u32,
}

/// When silence becomes a ping, and a ping a close; both ends keep to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Silence after which an end pings.
    pub interval_seconds: u16,
    /// Further silence after which it closes with 4408.
    pub timeout_seconds: u16,
}

impl Heartbeat {
    /// A half-open socket is found within 40 s (P5).
    pub const DEFAULT: Heartbeat = Heartbeat { interval_seconds: 30, timeout_seconds: 10 };
}

/// Where a terminal stands in the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The terminal.
    pub poi_id: PoiId,
    /// Its merchant account.
    pub merchant_account: String,
    /// Its store; none where the merchant account itself represents one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// Settings as a terminal gets them, with `welcome`, as a frame and from maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Rises with every change.
    pub revision: u64,
    /// Whether the terminal may open a link. A gateway that doesn't say has no such switch.
    #[serde(default = "switched_on")]
    pub web_sockets_enabled: bool,
    /// Whether the gateway passes requests of Sale systems on to it; for people who look at the terminal.
    #[serde(default = "switched_on")]
    pub terminal_api_enabled: bool,
    /// The label in the terminal's status bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_label: Option<String>,
}

/// Those of a terminal that was told none: everything is on, as with a gateway that has no switches.
impl Default for Settings {
    fn default() -> Settings {
        Settings { revision: 0, web_sockets_enabled: true, terminal_api_enabled: true, display_label: None }
    }
}

fn switched_on() -> bool {
    true
}

/// Settings that have changed, as a frame tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedSettings {
    /// The settings in force.
    #[serde(flatten)]
    pub settings: Settings,
    /// Where the terminal stands; always told by this gateway, for it may have been moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Placement>,
}

/// A request on its way to the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// Names this attempt; the result must carry it.
    pub delivery: DeliveryId,
    /// How long the POS will wait, less the time that the answer needs to get back.
    pub time_left_ms: u64,
    /// `{"SaleToPOIRequest":{…}}`, byte for byte.
    pub message: Bytes,
}

/// A frame that can't be read: says what was expected and what came, and never shows what a POS message holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The text is not one JSON object.
    #[error("a frame must be one JSON object, got {0}")]
    NotAnObject(String),
    /// The object does not say what it is.
    #[error("a frame must have a member action, a string, got {0}")]
    NoAction(&'static str),
    /// A member that the action needs is absent or can't be used.
    #[error("{action}: {member} must be {expected}, got {got}")]
    Member {
        /// The action of the frame.
        action: &'static str,
        /// The member's name on the wire.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// The members of a `hello`, `welcome` or `settings` don't fit.
    #[error("{action}: {problem}")]
    Opening {
        /// Which of them.
        action: &'static str,
        /// What the JSON reader says about it.
        problem: String,
    },
}

impl ToGateway {
    /// Reads a text frame from a terminal.
    ///
    /// # Errors
    /// When it is no frame of this protocol. The link is closed with 4400 and the error's text.
    pub fn decode(frame: &Bytes) -> Result<ToGateway, FrameError> {
        let members = Members::read(frame)?;
        Ok(match &*members.action()? {
            "hello" => {
                let hello: Hello = opening("hello", frame)?;
                if hello.link_version != 1 {
                    let got = hello.link_version.to_string();
                    return Err(FrameError::Member {
                        action: "hello",
                        member: "linkVersion",
                        expected: "1",
                        got,
                    });
                }
                if hello.attempt > ATTEMPT_MAX {
                    let problem = format!("attempt is {}, at most {ATTEMPT_MAX}", hello.attempt);
                    return Err(FrameError::Opening { action: "hello", problem });
                }
                if hello.resume.len() > RESUME_MAX {
                    let problem =
                        format!("resume holds {} deliveries, at most {RESUME_MAX}", hello.resume.len());
                    return Err(FrameError::Opening { action: "hello", problem });
                }
                if let Some(device) = &hello.device {
                    check_device("hello", &device.0)?;
                }
                ToGateway::Hello(Box::new(hello))
            }
            "received" => ToGateway::Received(members.delivery("received")?),
            "result" => ToGateway::Result(members.delivery("result")?, members.result(frame)?),
            "indeterminate" => ToGateway::Indeterminate(
                members.delivery("indeterminate")?,
                members.text("indeterminate", "reason", members.reason)?,
            ),
            "notify" => {
                let notification = match members.notification_id {
                    Some(raw) => Some(id("notify", "notificationId", raw, DeliveryId::parse)?),
                    None => None,
                };
                ToGateway::Notify(notification, members.message("notify", frame)?)
            }
            "device" => {
                let Some(device) = members.device else {
                    return Err(absent("device", "device", "an object"));
                };
                check_device("device", device)?;
                ToGateway::Device(frame.slice_ref(device.get().as_bytes()))
            }
            "applied" => ToGateway::Applied(members.number("applied", "revision", members.revision)?),
            "configRemoved" => ToGateway::ConfigRemoved(members.change("configRemoved")?),
            "tokenStored" => ToGateway::TokenStored,
            other => ToGateway::Unknown(shortened(other, UNKNOWN_MAX).into()),
        })
    }

    /// Writes the frame.
    pub fn encode(&self) -> Bytes {
        match self {
            ToGateway::Hello(hello) => tagged("hello", &**hello),
            ToGateway::Received(delivery) => Frame::new("received").id("deliveryId", delivery.as_str()).end(),
            ToGateway::Result(delivery, result) => {
                let frame = Frame::new("result").id("deliveryId", delivery.as_str());
                match result {
                    ResultMessage::Message(message) => frame.raw("message", message).end(),
                    ResultMessage::Empty => frame.end(),
                    ResultMessage::TooLarge(length) => frame.number("tooLarge", *length).end(),
                }
            }
            ToGateway::Indeterminate(delivery, reason) => {
                Frame::new("indeterminate").id("deliveryId", delivery.as_str()).text("reason", reason).end()
            }
            ToGateway::Notify(None, message) => Frame::new("notify").raw("message", message).end(),
            ToGateway::Notify(Some(notification), message) => {
                Frame::new("notify").id("notificationId", notification.as_str()).raw("message", message).end()
            }
            ToGateway::Device(device) => Frame::new("device").raw("device", device).end(),
            ToGateway::Applied(revision) => Frame::new("applied").number("revision", *revision).end(),
            ToGateway::ConfigRemoved(change) => {
                Frame::new("configRemoved").id("changeId", change.as_str()).end()
            }
            ToGateway::TokenStored => Frame::new("tokenStored").end(),
            ToGateway::Unknown(action) => Frame::new("").text("action", action).end(),
        }
    }
}

impl ToTerminal {
    /// Reads a text frame from the gateway.
    ///
    /// # Errors
    /// When it is no frame of this protocol. The terminal closes the link with 4400 and the error's text.
    pub fn decode(frame: &Bytes) -> Result<ToTerminal, FrameError> {
        let members = Members::read(frame)?;
        Ok(match &*members.action()? {
            "welcome" => ToTerminal::Welcome(Box::new(opening("welcome", frame)?)),
            "deliver" => ToTerminal::Deliver(Deliver {
                delivery: members.delivery("deliver")?,
                time_left_ms: members.number("deliver", "timeLeftMs", members.time_left_ms)?,
                message: members.message("deliver", frame)?,
            }),
            "recorded" => ToTerminal::Recorded {
                delivery: members.delivery("recorded")?,
                problem: match members.problem {
                    Some(raw) => Some(members.text("recorded", "problem", Some(raw))?),
                    None => None,
                },
            },
            "settings" => ToTerminal::Settings(Box::new(opening("settings", frame)?)),
            "removeConfig" => ToTerminal::RemoveConfig(members.change("removeConfig")?),
            "newToken" => ToTerminal::NewToken(members.token()?),
            other => ToTerminal::Unknown(shortened(other, UNKNOWN_MAX).into()),
        })
    }

    /// Writes the frame.
    pub fn encode(&self) -> Bytes {
        match self {
            ToTerminal::Welcome(welcome) => tagged("welcome", &**welcome),
            ToTerminal::Deliver(deliver) => Frame::new("deliver")
                .id("deliveryId", deliver.delivery.as_str())
                .number("timeLeftMs", deliver.time_left_ms)
                .raw("message", &deliver.message)
                .end(),
            ToTerminal::Recorded { delivery, problem } => {
                let frame = Frame::new("recorded").id("deliveryId", delivery.as_str());
                match problem {
                    Some(problem) => frame.text("problem", problem).end(),
                    None => frame.end(),
                }
            }
            ToTerminal::Settings(changed) => tagged("settings", &**changed),
            ToTerminal::RemoveConfig(change) => {
                Frame::new("removeConfig").id("changeId", change.as_str()).end()
            }
            ToTerminal::NewToken(token) => Frame::new("newToken").text("token", token.reveal()).end(),
            ToTerminal::Unknown(action) => Frame::new("").text("action", action).end(),
        }
    }
}

/// Every member that some frame knows, unread: one pass finds them wherever they stand, and refuses a second copy.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    action: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    delivery_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    too_large: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    reason: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    notification_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    device: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    revision: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    time_left_ms: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    problem: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    change_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    token: Option<&'a RawValue>,
}

/// `null` is a value that came, not an absent member.
fn as_it_stands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Members<'a> {
    fn read(frame: &'a Bytes) -> Result<Members<'a>, FrameError> {
        // The derived reader would take an array of the members too.
        match frame.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {}
            Some(_) => return Err(FrameError::NotAnObject("something else".into())),
            None => return Err(FrameError::NotAnObject("nothing".into())),
        }
        serde_json::from_slice(frame).map_err(|e| FrameError::NotAnObject(problem(&e)))
    }

    fn action(&self) -> Result<Cow<'a, str>, FrameError> {
        let raw = self.action.ok_or(FrameError::NoAction("nothing"))?;
        string(raw).ok_or(FrameError::NoAction(kind(raw)))
    }

    fn delivery(&self, action: &'static str) -> Result<DeliveryId, FrameError> {
        match self.delivery_id {
            Some(raw) => id(action, "deliveryId", raw, DeliveryId::parse),
            None => Err(absent(action, "deliveryId", "a string")),
        }
    }

    fn change(&self, action: &'static str) -> Result<ChangeId, FrameError> {
        match self.change_id {
            Some(raw) => id(action, "changeId", raw, ChangeId::parse),
            None => Err(absent(action, "changeId", "a string")),
        }
    }

    /// What stands there is a secret, so the error shows nothing of it.
    fn token(&self) -> Result<LinkToken, FrameError> {
        let (action, member, expected) =
            ("newToken", "token", "1-512 printable ASCII characters, none a blank");
        let raw = self.token.ok_or_else(|| absent(action, member, expected))?;
        let token = string(raw).and_then(|text| LinkToken::parse(&text));
        token.ok_or_else(|| FrameError::Member { action, member, expected, got: kind(raw).into() })
    }

    fn message(&self, action: &'static str, frame: &Bytes) -> Result<Bytes, FrameError> {
        let expected = "an object";
        match self.message {
            Some(raw) if raw.get().starts_with('{') => Ok(frame.slice_ref(raw.get().as_bytes())),
            Some(raw) => {
                Err(FrameError::Member { action, member: "message", expected, got: kind(raw).into() })
            }
            None => Err(absent(action, "message", expected)),
        }
    }

    fn result(&self, frame: &Bytes) -> Result<ResultMessage, FrameError> {
        match (self.message, self.too_large) {
            (Some(_), Some(_)) => Err(FrameError::Member {
                action: "result",
                member: "tooLarge",
                expected: "absent beside message",
                got: "both".into(),
            }),
            (Some(_), None) => self.message("result", frame).map(ResultMessage::Message),
            (None, Some(raw)) => self.number("result", "tooLarge", Some(raw)).map(ResultMessage::TooLarge),
            (None, None) => Ok(ResultMessage::Empty),
        }
    }

    fn number(
        &self,
        action: &'static str,
        member: &'static str,
        raw: Option<&RawValue>,
    ) -> Result<u64, FrameError> {
        let expected = "a whole number";
        let raw = raw.ok_or_else(|| absent(action, member, expected))?;
        serde_json::from_str(raw.get()).map_err(|_| {
            let got = if kind(raw) == "a number" { shortened(raw.get(), 24) } else { kind(raw) };
            FrameError::Member { action, member, expected, got: got.into() }
        })
    }

    /// A text for people: kept up to [`REASON_MAX`], because refusing a long one would lose what it goes with.
    fn text(
        &self,
        action: &'static str,
        member: &'static str,
        raw: Option<&RawValue>,
    ) -> Result<String, FrameError> {
        let expected = "a string";
        let raw = raw.ok_or_else(|| absent(action, member, expected))?;
        match string(raw) {
            Some(text) => Ok(shortened(&text, REASON_MAX).into()),
            None => Err(FrameError::Member { action, member, expected, got: kind(raw).into() }),
        }
    }
}

fn opening<T: DeserializeOwned>(action: &'static str, frame: &Bytes) -> Result<T, FrameError> {
    serde_json::from_slice(frame).map_err(|e| FrameError::Opening { action, problem: problem(&e) })
}

fn id<T>(
    action: &'static str,
    member: &'static str,
    raw: &RawValue,
    parse: fn(&str) -> Result<T, IdError>,
) -> Result<T, FrameError> {
    let expected = "an ID";
    let Some(text) = string(raw) else {
        return Err(FrameError::Member { action, member, expected, got: kind(raw).into() });
    };
    parse(&text).map_err(|e| FrameError::Member { action, member, expected, got: e.to_string() })
}

fn check_device(action: &'static str, raw: &RawValue) -> Result<(), FrameError> {
    let got = if !raw.get().starts_with('{') {
        kind(raw).into()
    } else if raw.get().len() > DEVICE_MAX {
        format!("{} bytes", raw.get().len())
    } else {
        return Ok(());
    };
    Err(FrameError::Member { action, member: "device", expected: "an object of at most 4096 bytes", got })
}

fn absent(action: &'static str, member: &'static str, expected: &'static str) -> FrameError {
    FrameError::Member { action, member, expected, got: "nothing".into() }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<&str>(raw.get()) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) => serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned),
    }
}

fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn problem(error: &serde_json::Error) -> String {
    shortened(&error.to_string(), REASON_MAX).into()
}

/// The first part of a text, cut between two characters.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A frame being written.
struct Frame(BytesMut);

impl Frame {
    /// Begins a frame; without an action its first member follows.
    fn new(action: &'static str) -> Frame {
        let mut buffer = BytesMut::with_capacity(128);
        buffer.put_u8(b'{');
        let frame = Frame(buffer);
        if action.is_empty() { frame } else { frame.raw("action", format!("\"{action}\"").as_bytes()) }
    }

    fn raw(mut self, member: &'static str, json: &[u8]) -> Frame {
        let buffer = &mut self.0;
        buffer.reserve(json.len() + member.len() + 8);
        if buffer.len() > 1 {
            buffer.put_u8(b',');
        }
        buffer.put_u8(b'"');
        buffer.put_slice(member.as_bytes());
        buffer.put_slice(b"\":");
        buffer.put_slice(json);
        self
    }

    fn id(self, member: &'static str, id: &str) -> Frame {
        // No character of an ID needs an escape.
        self.raw(member, format!("\"{id}\"").as_bytes())
    }

    fn number(self, member: &'static str, number: u64) -> Frame {
        self.raw(member, number.to_string().as_bytes())
    }

    fn text(self, member: &'static str, text: &str) -> Frame {
        self.raw(member, &json(text))
    }

    fn end(mut self) -> Bytes {
        self.0.put_u8(b'}');
        self.0.freeze()
    }
}

/// Writes `{"action":…,` and the members of `body`.
fn tagged<T: Serialize>(action: &'static str, body: &T) -> Bytes {
    let body = json(body);
    let mut buffer = BytesMut::with_capacity(body.len() + 24);
    buffer.put_slice(b"{\"action\":\"");
    buffer.put_slice(action.as_bytes());
    buffer.put_slice(b"\",");
    buffer.put_slice(body.get(1..).unwrap_or_default());
    buffer.freeze()
}

#[expect(clippy::expect_used, reason = "text and derived types with string keys always have a JSON form")]
fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("it can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to_gateway(text: &str) -> Result<ToGateway, FrameError> {
        ToGateway::decode(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn delivery(text: &str) -> DeliveryId {
        DeliveryId::parse(text).expect("an ID")
    }

    #[test]
    fn a_message_is_a_slice_of_its_frame() {
        let text = r#"{ "message" : {"a" :1,"a":2.50 , "s":"\u00e9"} ,"action":"deliver","timeLeftMs":145000,"deliveryId":"d_1","x":[1]}"#;
        let frame = Bytes::copy_from_slice(text.as_bytes());
        let ToTerminal::Deliver(deliver) = ToTerminal::decode(&frame).expect("a frame") else {
            panic!("not a delivery");
        };
        assert_eq!(&deliver.message[..], br#"{"a" :1,"a":2.50 , "s":"\u00e9"}"#);
        assert_eq!(deliver.time_left_ms, 145_000);
        assert!(frame.as_ptr_range().contains(&deliver.message.as_ptr()));
    }

    #[test]
    fn a_frame_that_is_none_says_what_came() {
        let told = |text: &str| to_gateway(text).expect_err("no frame").to_string();
        assert_eq!(told("  "), "a frame must be one JSON object, got nothing");
        assert_eq!(told(r#"["received"]"#), "a frame must be one JSON object, got something else");
        assert!(told(r#"{"action":"received""#).starts_with("a frame must be one JSON object, got EOF"));
        assert!(told(r#"{"action":"received"} {}"#).contains("trailing characters"));
        assert_eq!(
            told(r#"{"deliveryId":"d_1"}"#),
            "a frame must have a member action, a string, got nothing"
        );
        assert_eq!(told(r#"{"action":7}"#), "a frame must have a member action, a string, got a number");
        assert_eq!(told(r#"{"action":"received"}"#), "received: deliveryId must be a string, got nothing");
        assert_eq!(
            told(r#"{"action":"received","deliveryId":"d 1"}"#),
            "received: deliveryId must be an ID, got DeliveryId must be 1-64 characters of letters, digits, '_', '-' and '.', got 3 characters"
        );
        assert_eq!(
            told(r#"{"action":"result","deliveryId":"d","message":"x"}"#),
            "result: message must be an object, got a string"
        );
        assert_eq!(
            told(r#"{"action":"result","deliveryId":"d","message":null}"#),
            "result: message must be an object, got null"
        );
        assert_eq!(
            told(r#"{"action":"result","deliveryId":"d","message":{},"tooLarge":1}"#),
            "result: tooLarge must be absent beside message, got both"
        );
        assert_eq!(
            told(r#"{"action":"applied","revision":-1}"#),
            "applied: revision must be a whole number, got -1"
        );
    }

    #[test]
    fn a_known_member_may_stand_once() {
        for text in [
            r#"{"action":"received","deliveryId":"d_1","deliveryId":"d_1"}"#,
            r#"{"action":"received","deliveryId":"d_1","d\u0065liveryId":"d_1"}"#,
            r#"{"action":"hello","linkVersion":1,"journalId":"j","journalId":"j","attempt":1,"processId":"p"}"#,
        ] {
            assert!(to_gateway(text).expect_err("refused").to_string().contains("duplicate field"), "{text}");
        }
        assert_eq!(
            to_gateway(r#"{"action":"received","deliveryId":"d_1","x":1,"x":2}"#),
            Ok(ToGateway::Received(delivery("d_1")))
        );
    }

    #[test]
    fn actions_of_later_versions_are_unknown() {
        for action in ["restart", "restarting", "flash", ""] {
            let text = format!(r#"{{"action":"{action}","deliveryId":7}}"#);
            let frame = Bytes::from(text.into_bytes());
            assert_eq!(ToTerminal::decode(&frame), Ok(ToTerminal::Unknown(action.into())));
            assert_eq!(ToGateway::decode(&frame), Ok(ToGateway::Unknown(action.into())));
        }
        let long = format!(r#"{{"action":"{}"}}"#, "é".repeat(1000));
        assert_eq!(to_gateway(&long), Ok(ToGateway::Unknown("é".repeat(32))));
    }

    #[test]
    fn a_hello_reads_as_documented() {
        let text = r#"{"action":"hello","linkVersion":1,"journalId":"j_5f","attempt":41,"processId":"p_9a","firmwareVersion":"Virtual_OS 1.4.0",
            "platform":"android","resume":["d_01J"],"device":{"batteryLevel":87, "wifiIp":"192.0.2.40"}}"#;
        let frame = to_gateway(text).expect("a frame");
        let ToGateway::Hello(hello) = &frame else { panic!("not a hello") };
        assert_eq!(hello.attempt, 41);
        assert_eq!(hello.resume, vec![delivery("d_01J")]);
        assert_eq!(
            hello.device.as_ref().map(|d| d.0.get()),
            Some(r#"{"batteryLevel":87, "wifiIp":"192.0.2.40"}"#)
        );
        assert_eq!(ToGateway::decode(&frame.encode()), Ok(frame));

        let told = |text: &str| to_gateway(text).expect_err("refused").to_string();
        assert_eq!(
            told(r#"{"action":"hello","linkVersion":2,"journalId":"j","attempt":1,"processId":"p"}"#),
            "hello: linkVersion must be 1, got 2"
        );
        assert!(
            told(r#"{"action":"hello","linkVersion":1,"attempt":1,"processId":"p"}"#)
                .contains("missing field `journalId`")
        );
        let many = vec![r#""d_1""#; RESUME_MAX + 1].join(",");
        assert_eq!(
            told(&format!(
                r#"{{"action":"hello","linkVersion":1,"journalId":"j","attempt":1,"processId":"p","resume":[{many}]}}"#
            )),
            "hello: resume holds 257 deliveries, at most 256"
        );
    }

    #[test]
    fn a_welcome_reads_as_documented() {
        let text = br#"{"action":"welcome","connectionId":"c_7Hq","serverTime":"2026-11-20T09:15:00.000Z","heartbeat":{"intervalSeconds":30,"timeoutSeconds":10},
            "terminal":{"poiId":"V400m-324688179","merchantAccount":"DEMO_MERCHANT_EU","store":"STORE_AMS"},"settings":{"revision":7,"displayLabel":"Till 4"},"bodyLimit":131072}"#;
        let frame = ToTerminal::decode(&Bytes::from_static(text)).expect("a frame");
        let ToTerminal::Welcome(welcome) = &frame else { panic!("not a welcome") };
        assert_eq!(welcome.heartbeat, Heartbeat::DEFAULT);
        assert_eq!(welcome.settings.display_label.as_deref(), Some("Till 4"));
        assert_eq!(ToTerminal::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn settings_read_as_documented_and_a_gateway_without_switches_has_them_on() {
        let read = |text: &str| ToTerminal::decode(&Bytes::copy_from_slice(text.as_bytes()));
        let frame = read(
            r#"{"action":"settings","revision":8,"webSocketsEnabled":false,"terminalApiEnabled":true,"displayLabel":"Till 5",
            "terminal":{"poiId":"V400m-324688179","merchantAccount":"DEMO_MERCHANT_EU","store":"STORE_AMS"}}"#,
        )
        .expect("a frame");
        let ToTerminal::Settings(changed) = &frame else { panic!("no settings") };
        assert!(!changed.settings.web_sockets_enabled && changed.settings.terminal_api_enabled);
        assert_eq!(changed.terminal.as_ref().map(|t| t.merchant_account.as_str()), Some("DEMO_MERCHANT_EU"));
        assert_eq!(ToTerminal::decode(&frame.encode()), Ok(frame));

        let Ok(ToTerminal::Settings(plain)) = read(r#"{"action":"settings","revision":1}"#) else { panic!() };
        assert_eq!(plain.settings, Settings { revision: 1, ..Settings::default() });
        assert_eq!(plain.terminal, None);
        let told = |text: &str| read(text).expect_err("refused").to_string();
        assert!(
            told(r#"{"action":"settings","displayLabel":"Till 5"}"#).contains("missing field `revision`")
        );
        for twice in [r#""revision":1,"revision":2"#, r#""revision":1,"displayLabel":"a","displayLabel":"b""#]
        {
            let text = format!(r#"{{"action":"settings",{twice}}}"#);
            assert!(told(&text).contains("duplicate field"), "{text}");
        }
    }

    #[test]
    fn a_change_has_an_id_and_a_token_is_never_shown() {
        let read = |text: &str| ToTerminal::decode(&Bytes::copy_from_slice(text.as_bytes()));
        let told = |text: &str| read(text).expect_err("refused").to_string();
        assert!(told(r#"{"action":"removeConfig"}"#).ends_with("changeId must be a string, got nothing"));
        assert!(told(r#"{"action":"removeConfig","changeId":"a b"}"#).contains("changeId must be an ID"));
        let expected = "newToken: token must be 1-512 printable ASCII characters, none a blank, got ";
        for (token, got) in [
            (r#""tg_term_SE CRET""#.to_owned(), "a string"),
            (r#""""#.into(), "a string"),
            (format!("\"{}\"", "x".repeat(513)), "a string"),
            ("7".into(), "a number"),
        ] {
            let text = format!(r#"{{"action":"newToken","token":{token}}}"#);
            assert_eq!(told(&text), format!("{expected}{got}"));
        }
        let frame = read(r#"{"action":"newToken","token":"tg_term_SECRET"}"#).expect("a frame");
        assert_eq!(format!("{frame:?}"), "NewToken(14 characters)");
    }

    fn a_change() -> impl Strategy<Value = ChangeId> {
        "[A-Za-z0-9_.-]{1,64}".prop_map(|text| ChangeId::parse(&text).expect("an ID"))
    }

    fn a_placement() -> impl Strategy<Value = Placement> {
        ("[A-Za-z0-9-]{1,20}", any::<String>(), proptest::option::of(any::<String>())).prop_map(
            |(poi, merchant_account, store)| Placement {
                poi_id: PoiId::parse(&poi).expect("a POIID"),
                merchant_account,
                store,
            },
        )
    }

    fn settings_of_any_kind() -> impl Strategy<Value = ChangedSettings> {
        let members = (any::<u64>(), any::<bool>(), any::<bool>(), proptest::option::of(any::<String>()));
        (members, proptest::option::of(a_placement())).prop_map(
            |((revision, web_sockets_enabled, terminal_api_enabled, display_label), terminal)| {
                let settings =
                    Settings { revision, web_sockets_enabled, terminal_api_enabled, display_label };
                ChangedSettings { settings, terminal }
            },
        )
    }

    fn a_delivery() -> impl Strategy<Value = DeliveryId> {
        "[A-Za-z0-9_.-]{1,64}".prop_map(|text| delivery(&text))
    }

    fn a_message() -> impl Strategy<Value = Bytes> {
        any::<String>().prop_map(|text| Bytes::from(json(&std::collections::BTreeMap::from([("any", text)]))))
    }

    fn a_reason() -> impl Strategy<Value = String> {
        any::<String>().prop_map(|text| shortened(&text, REASON_MAX).into())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(
            frame in prop_oneof![
                a_delivery().prop_map(ToGateway::Received),
                (a_delivery(), a_message()).prop_map(|(d, m)| ToGateway::Result(d, ResultMessage::Message(m))),
                a_delivery().prop_map(|d| ToGateway::Result(d, ResultMessage::Empty)),
                (a_delivery(), any::<u64>()).prop_map(|(d, n)| ToGateway::Result(d, ResultMessage::TooLarge(n))),
                (a_delivery(), a_reason()).prop_map(|(d, r)| ToGateway::Indeterminate(d, r)),
                (proptest::option::of(a_delivery()), a_message()).prop_map(|(d, m)| ToGateway::Notify(d, m)),
                a_message().prop_map(ToGateway::Device),
                any::<u64>().prop_map(ToGateway::Applied),
                a_change().prop_map(ToGateway::ConfigRemoved),
                Just(ToGateway::TokenStored),
            ]
        ) {
            // Telemetry has a limit of its own.
            prop_assume!(!matches!(&frame, ToGateway::Device(device) if device.len() > DEVICE_MAX));
            prop_assert_eq!(ToGateway::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn what_the_gateway_writes_reads_the_same(
            frame in prop_oneof![
                (a_delivery(), any::<u64>(), a_message())
                    .prop_map(|(delivery, time_left_ms, message)| ToTerminal::Deliver(Deliver { delivery, time_left_ms, message })),
                (a_delivery(), proptest::option::of(a_reason()))
                    .prop_map(|(delivery, problem)| ToTerminal::Recorded { delivery, problem }),
                settings_of_any_kind().prop_map(|changed| ToTerminal::Settings(Box::new(changed))),
                a_change().prop_map(ToTerminal::RemoveConfig),
                "[!-~]{1,512}"
                    .prop_map(|text| ToTerminal::NewToken(LinkToken::parse(&text).expect("a token"))),
            ]
        ) {
            prop_assert_eq!(ToTerminal::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn nothing_from_outside_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let frame = Bytes::from(bytes);
            let _ = ToGateway::decode(&frame);
            let _ = ToTerminal::decode(&frame);
        }
    }
}
