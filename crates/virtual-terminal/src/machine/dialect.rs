//! A machine that speaks the Actions dialect: what its [`Adapter`](crate::actions::Adapter) makes of frames, carried out.

use bytes::Bytes;
use relay::actions::FromClient;
use relay::{CloseReason, Now, Reconnect, TerminalEnd, ToGateway, ToTerminal};

use super::net::{Net, after_error};
use super::{Action, CallError, Machine, Record, Refusal, State};
use crate::actions::{Adapter, Heard, Said, is_replaced};

impl Machine {
    /// The link of this attempt was opened: the gateway has accepted the key. When it has taken the terminal up it says nothing,
    /// so it is asked for a pong.
    pub(super) fn open_actions(&mut self, attempt: u64) {
        let Some(adapter) = &mut self.actions else { return };
        let said = adapter.open(&self.identity.journal_id, &self.terminal);
        let mut end = TerminalEnd::new(self.now);
        let welcome = Adapter::welcome(&self.identity.poi_id);
        let body_limit = welcome.body_limit;
        let opened = end.handle_text(self.now, &ToTerminal::Welcome(Box::new(welcome)).encode());
        self.net = Net::Linked { attempt, end, since: Some(self.now.mono) };
        match opened {
            Ok(_) => {
                self.put(said);
                self.orders.push_back(Action::Send(FromClient::Ping.encode()));
                self.terminal.handle_welcome(attempt, body_limit);
            }
            Err(reason) => self.close(reason),
        }
    }

    /// The gateway did not open a link.
    pub(super) fn refused_by_actions(&mut self, error: &CallError) {
        match error {
            CallError::Refused(Refusal { status: 401, .. }) => {
                self.halt(format!("the gateway does not take this key: {error}"));
            }
            CallError::Refused(Refusal { status: 403, .. }) => {
                self.halt(format!("this key is not for an Actions terminal here: {error}"));
            }
            CallError::Refused(Refusal { status: 404, .. }) => {
                let why = format!("there is no Actions API at this address: {error}");
                self.go_on(Reconnect::Slowly, error.retry_after(), why);
            }
            error => self.go_on(after_error(error), error.retry_after(), format!("no link: {error}")),
        }
    }

    /// A text frame came over the link.
    pub(super) fn hear_actions(&mut self, now: Now, frame: &Bytes) {
        let Some((attempt, end, _)) = self.linked() else { return };
        end.handle_alive(now);
        let Some(adapter) = &mut self.actions else { return };
        let heard = adapter.hear(now, frame, &self.identity.poi_id, &self.terminal);
        if self.state != State::Online && heard != Heard::TakenForDesktop {
            tracing::info!(attempt, "online");
            self.show(State::Online);
        }
        match heard {
            Heard::Deliver(deliver, name) => {
                tracing::debug!(delivery = %deliver.delivery, "delivered");
                if let Some(name) = name {
                    self.append(Record::Asked { delivery: deliver.delivery.clone(), name });
                }
                self.terminal.handle_deliver(now, attempt, deliver);
            }
            Heard::Recorded(delivery, problem) => {
                if let Some(problem) = problem {
                    tracing::warn!(delivery = %delivery, problem, "the gateway could not use a result");
                }
                self.terminal.handle_recorded(now, &delivery);
            }
            Heard::Answer(frame) => self.orders.push_back(Action::Send(frame.encode())),
            Heard::ForcedOff(reason) => self.forced_off(&reason),
            Heard::TakenForDesktop => {
                self.hang_up(attempt);
                self.halt(
                    "this key is a desktop's: a terminal needs one of the role actions-terminal".into(),
                );
            }
            Heard::Nothing => {}
        }
    }

    /// Something is to be said over the link, if one stands.
    pub(super) fn say_in_actions(&mut self, frame: &ToGateway) {
        let Some(adapter) = &mut self.actions else { return };
        if let Net::Linked { .. } = self.net {
            let said = adapter.say(frame, &self.terminal);
            self.put(said);
        }
    }

    fn put(&mut self, said: Said) {
        let Said { frame, given_up } = said;
        self.orders.extend(frame.map(|frame| Action::Send(frame.encode())));
        for delivery in given_up {
            self.terminal.handle_recorded(self.now, &delivery);
        }
    }

    fn hang_up(&mut self, attempt: u64) {
        self.net = Net::Resting { until: None };
        self.terminal.handle_lost(attempt);
        self.orders.push_back(Action::Close(CloseReason::Normal));
    }

    /// The gateway is about to close the connection, and asks not to be called again at once.
    fn forced_off(&mut self, reason: &str) {
        let Net::Linked { attempt, since, .. } = self.net else { return };
        self.hang_up(attempt);
        let stood = since.map(|since| self.now.mono.saturating_sub(since));
        self.backoff.handle_end(stood.unwrap_or_default());
        if is_replaced(reason) {
            self.yield_to(None);
        } else {
            self.wait(Reconnect::Slowly, None, format!("the gateway ended the connection: {reason}"));
        }
    }
}
