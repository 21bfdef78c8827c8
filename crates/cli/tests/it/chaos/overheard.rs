//! What a wire can tell of a terminal's connections: the frames of a link, and the results of a maintenance call.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::Terminal;
use super::witness::Passing;
use crate::websocket::{asks_for_websocket, frame_length, is_close, text_of};

/// What a terminal sends on one connection.
#[derive(Debug)]
pub(crate) struct Upstream {
    terminal: Option<Terminal>,
    link: LinkName,
    stage: Stage,
    buffer: Vec<u8>,
}

/// What the gateway sends on one connection.
#[derive(Debug)]
pub(crate) struct Downstream {
    terminal: Option<Terminal>,
    link: LinkName,
    stage: Stage,
    buffer: Vec<u8>,
}

/// A link's name, once a connection has turned out to be one.
#[derive(Clone, Debug)]
pub(crate) struct LinkName {
    terminal: Option<Terminal>,
    name: Arc<Mutex<Option<u64>>>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Frames,
    /// An HTTP request with a body of this length.
    Body(usize),
    /// Nothing more is of interest.
    Over,
}

impl LinkName {
    fn get(&self) -> Option<u64> {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) {
        let terminal = self.terminal.as_ref();
        let name = terminal.map(|terminal| terminal.witness.link_opened(&terminal.poi));
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// From here on its end may be noticed late.
    pub(crate) fn stalls(&self) {
        if let (Some(terminal), Some(link)) = (&self.terminal, self.get()) {
            terminal.witness.link_stalls(link);
        }
    }

    /// If it was a link, it is none any more.
    pub(crate) fn ended(&self) {
        if let (Some(terminal), Some(link)) = (&self.terminal, self.get()) {
            terminal.witness.link_ended(link);
        }
    }
}

impl Upstream {
    pub(crate) fn new(terminal: Option<Terminal>) -> Upstream {
        let stage = if terminal.is_some() { Stage::Head } else { Stage::Over };
        let link = LinkName { terminal: terminal.clone(), name: Arc::default() };
        Upstream { terminal, link, stage, buffer: Vec::new() }
    }

    pub(crate) fn link(&self) -> LinkName {
        self.link.clone()
    }

    /// These bytes are about to be passed on: what is whole with them may have been read by the gateway from here on.
    pub(crate) fn passing(&mut self, bytes: &[u8]) -> Vec<Passing> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
        if self.stage == Stage::Head {
            let Some(head) = take_head(&mut self.buffer) else { return Vec::new() };
            self.stage = if asks_for_websocket(&head) {
                self.link.opened();
                Stage::Frames
            } else {
                body_of_maintenance(&head).map_or(Stage::Over, Stage::Body)
            };
        }
        let Some(terminal) = &self.terminal else { return Vec::new() };
        match self.stage {
            Stage::Frames => {
                let frames = take_frames(&mut self.buffer, &self.link).into_iter();
                let link = self.link.get();
                // It is the first that a terminal says.
                if let (Some(link), 1..) = (link, frames.len()) {
                    terminal.witness.link_says_hello(link);
                }
                frames.map(|frame| terminal.witness.sent_by_terminal(&terminal.poi, link, frame)).collect()
            }
            Stage::Body(length) if self.buffer.len() >= length => {
                self.stage = Stage::Over;
                let frames = results_of(&self.buffer[..length]).into_iter();
                frames.map(|frame| terminal.witness.sent_by_terminal(&terminal.poi, None, frame)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// They were not passed on as a whole.
    pub(crate) fn not_passed(&mut self, passing: Vec<Passing>) {
        if let Some(terminal) = &self.terminal {
            passing.into_iter().for_each(|passing| terminal.witness.not_passed(passing));
        }
    }
}

impl Downstream {
    pub(crate) fn new(terminal: Option<Terminal>, link: LinkName) -> Downstream {
        let stage = if terminal.is_some() { Stage::Head } else { Stage::Over };
        Downstream { terminal, link, stage, buffer: Vec::new() }
    }

    /// The gateway has written these bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Over {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.stage == Stage::Head {
            let Some(head) = take_head(&mut self.buffer) else { return };
            self.stage = if head.starts_with(b"HTTP/1.1 101 ") { Stage::Frames } else { Stage::Over };
        }
        let (Stage::Frames, Some(terminal), Some(link)) = (self.stage, &self.terminal, self.link.get())
        else {
            return;
        };
        for frame in take_frames(&mut self.buffer, &self.link) {
            if action_of(&frame).as_deref() == Some("welcome") {
                terminal.witness.link_welcomed(link);
            }
            terminal.witness.sent_to_terminal(&terminal.poi, link, frame);
        }
    }
}

/// Takes an HTTP head off the front, once all of it is there.
fn take_head(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    Some(buffer.drain(..end).collect())
}

/// Takes whole frames off the front; the texts of those that have one. A link ends with the close frame of either end, though
/// its socket may stay for a while.
fn take_frames(buffer: &mut Vec<u8>, link: &LinkName) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    while let Some(length) = frame_length(buffer) {
        let frame: Vec<u8> = buffer.drain(..length).collect();
        if is_close(&frame) {
            link.ended();
        }
        texts.extend(text_of(&frame));
    }
    texts
}

/// How long the body is, if this is the head of a maintenance call.
fn body_of_maintenance(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines();
    lines.next()?.contains("/terminal/v1/maintenance").then_some(())?;
    lines.find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()
}

/// Results that were handed in by maintenance, as frames of a link.
fn results_of(body: &[u8]) -> Vec<Vec<u8>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        results: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reported {
        indeterminate: Option<String>,
    }
    let body: Body<'_> = serde_json::from_slice(body).expect("a terminal sends JSON");
    let frames = body.results.into_iter().map(|result| {
        let reported: Reported = serde_json::from_str(result.get()).expect("a result as documented");
        let members = result.get().trim_start().trim_start_matches('{');
        match reported.indeterminate {
            None => format!("{{\"action\":\"result\",{members}"),
            Some(_) => {
                let members = members.replacen("\"indeterminate\":", "\"reason\":", 1);
                format!("{{\"action\":\"indeterminate\",{members}")
            }
        }
    });
    frames.map(String::into_bytes).collect()
}

fn action_of(frame: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Members {
        action: String,
    }
    serde_json::from_slice::<Members>(frame).ok().map(|members| members.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_maintenance_read_as_frames() {
        let body = br#"{"journalId":"j_1","results":[{"deliveryId":"d_1","message":{"SaleToPOIResponse": {}}},{"deliveryId":"d_2","indeterminate":"restarted"}]}"#;
        let frames: Vec<_> = results_of(body).into_iter().map(|f| String::from_utf8(f).unwrap()).collect();
        assert_eq!(
            frames,
            [
                r#"{"action":"result","deliveryId":"d_1","message":{"SaleToPOIResponse": {}}}"#,
                r#"{"action":"indeterminate","deliveryId":"d_2","reason":"restarted"}"#,
            ]
        );
    }

    #[test]
    fn a_head_tells_a_maintenance_call_and_its_length() {
        let head =
            b"POST /terminal/v1/maintenance HTTP/1.1\r\nhost: a\r\nContent-Length: 17\r\n\r\nrest".to_vec();
        let mut buffer = head.clone();
        let head = take_head(&mut buffer).unwrap();
        assert_eq!((body_of_maintenance(&head), buffer.as_slice()), (Some(17), &b"rest"[..]));
        assert_eq!(body_of_maintenance(b"GET /terminal/v1/link HTTP/1.1\r\n\r\n"), None);
    }
}
