//! The way to a link: boarding, dialling, the hello and the welcome, and how to go on after the end of each.

use std::time::Duration;

use bytes::Bytes;
use relay::{CloseReason, Hello, Now, ProcessId, Reconnect, TerminalEnd, ToGateway, ToTerminal, Welcome};

use super::{Action, Boarded, CallError, Machine, Refusal, State};

/// The terminal's connection, or what stands in for it.
#[derive(Debug)]
pub(super) enum Net {
    /// Nothing, until this time on the monotonic clock; forever when a person is needed.
    Resting {
        until: Option<Duration>,
    },
    Boarding,
    /// The attempt is on its way into the journal.
    Raising,
    Dialing {
        attempt: u64,
    },
    Linked {
        attempt: u64,
        end: TerminalEnd,
        /// When it was welcomed, on the monotonic clock.
        since: Option<Duration>,
    },
}

impl Net {
    pub(super) fn due(&self) -> Option<Duration> {
        match self {
            Net::Resting { until } => *until,
            Net::Linked { end, .. } => end.poll_timeout(),
            Net::Boarding | Net::Raising | Net::Dialing { .. } => None,
        }
    }
}

/// What comes from the gateway. A terminal that is to stop hears none of it, but learns that its link has ended.
impl Machine {
    /// Boarding has ended.
    pub fn handle_boarded(&mut self, now: Now, answer: Result<Boarded, CallError>) {
        self.now = now;
        if self.is_stopping() || !matches!(self.net, Net::Boarding) {
            return;
        }
        match answer {
            Ok(Boarded { token, merchant_account, store }) => {
                tracing::info!(merchant_account, store, "boarded");
                self.identity.token = Some(token);
                self.fleet.begin_anew();
                self.device.is_configured = true;
                self.must_board = false;
                // It works once.
                self.identity.boarding_code = None;
                (self.device.merchant_account, self.device.store) = (merchant_account, store);
                self.rewrite();
                self.call_now();
                self.go_online();
            }
            Err(CallError::Refused(Refusal { status: 401 | 403, detail, .. })) => {
                let detail = detail.unwrap_or_else(|| "the boarding code is not valid".into());
                self.halt(format!("boarding was refused: {detail}"));
            }
            Err(error) => {
                let reconnect = match after_error(&error) {
                    Reconnect::Backoff => Reconnect::Backoff,
                    _ => Reconnect::Slowly,
                };
                self.wait(reconnect, error.retry_after(), format!("not boarded: {error}"));
            }
        }
    }

    /// The link of this attempt was opened, or could not be.
    pub fn handle_opened(&mut self, now: Now, attempt: u64, opened: Result<(), CallError>) {
        self.now = now;
        if self.is_stopping() || !matches!(self.net, Net::Dialing { attempt: current } if current == attempt)
        {
            return;
        }
        match opened {
            Ok(()) if self.actions.is_some() => self.open_actions(attempt),
            Ok(()) => {
                let hello = ToGateway::Hello(Box::new(Hello {
                    link_version: 1,
                    journal_id: self.identity.journal_id.clone(),
                    attempt,
                    process_id: self.identity.process.clone(),
                    firmware_version: Some(self.device.firmware_version.clone()),
                    platform: Some(self.identity.platform.as_str().into()),
                    resume: self.terminal.resume(),
                    device: self.device.telemetry(),
                }));
                self.net = Net::Linked { attempt, end: TerminalEnd::new(now), since: None };
                self.send(&hello);
            }
            Err(error) => {
                self.terminal.handle_lost(attempt);
                if self.actions.is_some() {
                    return self.refused_by_actions(&error);
                }
                self.go_on(after_error(&error), error.retry_after(), format!("no link: {error}"));
            }
        }
    }

    /// A text frame came over the link.
    pub fn handle_text(&mut self, now: Now, frame: Bytes) {
        self.now = now;
        if self.actions.is_some() {
            return self.hear_actions(now, &frame);
        }
        let Some((attempt, end, since)) = self.linked() else { return };
        match end.handle_text(now, &frame) {
            Ok(ToTerminal::Welcome(welcome)) => {
                *since = Some(now.mono);
                self.handle_welcome(attempt, *welcome);
            }
            Ok(ToTerminal::Deliver(deliver)) => {
                tracing::debug!(delivery = %deliver.delivery, time_left_ms = deliver.time_left_ms, "delivered");
                self.terminal.handle_deliver(now, attempt, deliver);
            }
            Ok(ToTerminal::Recorded { delivery, problem }) => {
                if let Some(problem) = problem {
                    tracing::warn!(delivery = %delivery, problem, "the gateway could not use a result");
                }
                self.terminal.handle_recorded(now, &delivery);
            }
            Ok(ToTerminal::Settings(changed)) => self.handle_settings(*changed),
            Ok(ToTerminal::RemoveConfig(change)) => self.handle_remove_config(change),
            Ok(ToTerminal::NewToken(token)) => self.handle_new_token(&token),
            Ok(ToTerminal::Unknown(action)) => tracing::debug!(action, "ignored an action"),
            Err(reason) => self.close(reason),
        }
    }

    /// A binary frame came over the link.
    pub fn handle_binary(&mut self, now: Now) {
        self.now = now;
        if let Some((_, end, _)) = self.linked() {
            let reason = end.handle_binary(now);
            self.close(reason);
        }
    }

    /// A frame came over the link that no gateway may send.
    pub fn handle_too_large(&mut self, now: Now) {
        self.now = now;
        if self.linked().is_some() {
            self.close(CloseReason::TooLarge);
        }
    }

    /// A ping, which is answered already, or a pong came over the link.
    pub fn handle_alive(&mut self, now: Now) {
        self.now = now;
        if let Some((_, end, _)) = self.linked() {
            end.handle_alive(now);
        }
    }

    /// The link has ended from the other end, or broken off: then there is no reason. Its owner has let go of it.
    pub fn handle_ended(&mut self, now: Now, reason: Option<CloseReason>) {
        self.now = now;
        if let Net::Linked { attempt, since, .. } = self.net {
            self.net = Net::Resting { until: None };
            self.terminal.handle_lost(attempt);
            self.after_link(since, reason.as_ref());
        }
    }

    /// The link that is read from.
    pub(super) fn linked(&mut self) -> Option<(u64, &mut TerminalEnd, &mut Option<Duration>)> {
        let reading = !self.is_stopping();
        match &mut self.net {
            Net::Linked { attempt, end, since } if reading => Some((*attempt, end, since)),
            _ => None,
        }
    }

    fn handle_welcome(&mut self, attempt: u64, welcome: Welcome) {
        let Welcome { connection_id, terminal, settings, body_limit, .. } = welcome;
        if terminal.poi_id != self.identity.poi_id {
            let problem = format!("welcomed as {}, not as {}", terminal.poi_id, self.identity.poi_id);
            self.close(CloseReason::Protocol(problem));
            return;
        }
        tracing::info!(connection = %connection_id, attempt, "online");
        self.told_on = false;
        self.confirm_again();
        // What was removed is not taken up again before the gateway has answered that.
        if !self.fleet.is_removing() {
            self.take_settings(settings, Some(terminal));
        }
        self.terminal.handle_welcome(attempt, body_limit);
        self.show(State::Online);
    }
}

/// The steps towards a link, and back.
impl Machine {
    /// Takes the next step towards a link.
    pub(super) fn go_online(&mut self) {
        if self.terminal.is_broken() {
            self.net = Net::Resting { until: None };
        } else if self.identity.token.is_none() || self.must_board {
            self.board();
        } else if !self.settings.web_sockets_enabled && self.actions.is_none() {
            self.rest_switched_off(None);
        } else if self.terminal.is_full() && self.actions.is_none() {
            // More than a hello can name is handed in first.
            let why = "results have to be handed in by maintenance first";
            self.wait(Reconnect::Backoff, None, why.into());
            self.call_now();
        } else {
            self.raise();
        }
    }

    /// Opens a link, once the attempt is stored.
    pub(super) fn raise(&mut self) {
        self.show(State::Connecting);
        self.net = Net::Raising;
        self.terminal.connect();
    }

    /// Opens no link until maintenance says that it may.
    fn rest_switched_off(&mut self, retry_after: Option<Duration>) {
        tracing::info!("WebSockets are switched off for this terminal");
        self.net = Net::Resting { until: None };
        self.switched_off = true;
        self.ask_for_the_switch(retry_after);
        self.show(State::SwitchedOff);
    }

    pub(super) fn board(&mut self) {
        let Some(code) = self.identity.boarding_code.clone() else {
            self.halt("the terminal has to board again: it needs a new boarding code".into());
            return;
        };
        if self.is_stopping() {
            return;
        }
        self.show(State::Boarding);
        self.net = Net::Boarding;
        self.orders.push_back(Action::Board { code, journal_id: self.identity.journal_id.clone() });
    }

    /// The attempt is stored.
    pub(super) fn dial(&mut self, attempt: u64) {
        if self.is_stopping() {
            return;
        }
        let Some(token) = self.identity.token.clone() else { return };
        self.net = Net::Dialing { attempt };
        self.orders.push_back(Action::Dial { attempt, token });
    }

    pub(super) fn send(&mut self, frame: &ToGateway) {
        if self.actions.is_some() {
            self.say_in_actions(frame);
        } else if let Net::Linked { .. } = self.net {
            self.orders.push_back(Action::Send(frame.encode()));
        }
    }

    /// Closes the link from this end.
    pub(super) fn close(&mut self, reason: CloseReason) {
        let (attempt, since) = match self.net {
            Net::Linked { attempt, since, .. } => (attempt, since),
            Net::Dialing { attempt } => (attempt, None),
            Net::Resting { .. } | Net::Boarding | Net::Raising => return,
        };
        self.net = Net::Resting { until: None };
        self.terminal.handle_lost(attempt);
        self.orders.push_back(Action::Close(reason.clone()));
        self.after_link(since, Some(&reason));
    }

    fn after_link(&mut self, since: Option<Duration>, reason: Option<&CloseReason>) {
        if self.terminal.is_broken() {
            return;
        }
        let stood = since.map_or(Duration::ZERO, |since| self.now.mono.saturating_sub(since));
        self.backoff.handle_end(stood);
        let why = match reason {
            Some(reason) => format!("the link was closed: {} {}", reason.code(), reason.text()),
            None => "the link broke off".into(),
        };
        match (Reconnect::after_close(reason, &self.identity.process), reason) {
            (Reconnect::Stop, Some(CloseReason::Replaced { winner })) => self.yield_to(Some(winner.clone())),
            // There is no other way to hand anything in, and nothing to board with.
            (Reconnect::Maintenance | Reconnect::NotInStore | Reconnect::BoardAgain, _)
                if self.actions.is_some() =>
            {
                self.go_on(Reconnect::Slowly, None, why);
            }
            (reconnect, _) => self.go_on(reconnect, None, why),
        }
    }

    /// Another process is this terminal now, and this one leaves it alone.
    pub(super) fn yield_to(&mut self, winner: Option<ProcessId>) {
        tracing::warn!(
            winner = winner.as_ref().map(tracing::field::display),
            "another process is this terminal now"
        );
        self.net = Net::Resting { until: None };
        self.call_no_more();
        self.show(State::Replaced { winner });
    }

    pub(super) fn go_on(&mut self, reconnect: Reconnect, retry_after: Option<Duration>, why: String) {
        match reconnect {
            Reconnect::BoardAgain => {
                tracing::warn!(why, "the terminal has to board again");
                self.net = Net::Resting { until: None };
                self.show(State::Waiting { why });
                // The token may be good for results still.
                self.call_a_last_time();
            }
            Reconnect::NotInStore => self.leave_store(why),
            Reconnect::Stop => self.halt(why),
            Reconnect::Maintenance => self.rest_switched_off(retry_after),
            Reconnect::AtOnce | Reconnect::Backoff | Reconnect::Slowly => {
                self.wait(reconnect, retry_after, why);
            }
        }
    }

    /// The terminal is in inventory, and its token has ended. With a new code it boards after its results are handed in; without one
    /// it needs a person then.
    fn leave_store(&mut self, why: String) {
        if self.identity.boarding_code.is_some() {
            return self.go_on(Reconnect::BoardAgain, None, why);
        }
        tracing::warn!(why, "the terminal is in inventory");
        self.net = Net::Resting { until: None };
        self.must_board = true;
        self.hand_in_until_the_end();
        self.show(State::Waiting { why });
    }

    /// Rests for as long as this asks for, and shows why.
    pub(super) fn wait(&mut self, reconnect: Reconnect, retry_after: Option<Duration>, why: String) {
        let delay = self.backoff.delay(reconnect, retry_after, self.random.number());
        tracing::info!(why, wait_ms = delay.map(|d| d.as_millis()), "no link");
        self.net = Net::Resting { until: delay.map(|delay| self.now.mono.saturating_add(delay)) };
        self.show(State::Waiting { why });
    }

    /// Needs a person from here on.
    pub(super) fn halt(&mut self, why: String) {
        // The state says it, too: who shows that leaves this target out.
        tracing::warn!(target: "virtual_terminal::state", why, "stopped");
        self.net = Net::Resting { until: None };
        self.show(State::Stopped { why });
    }
}

/// How to go on after a call that did not succeed.
pub(super) fn after_error(error: &CallError) -> Reconnect {
    match error {
        CallError::Refused(refusal) => Reconnect::after_refusal(refusal.status, refusal.code.as_deref()),
        CallError::Failed(_) => Reconnect::Backoff,
    }
}
