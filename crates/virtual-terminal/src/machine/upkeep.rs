//! Maintenance: when to call, what to tell, and what its answer changes.

use std::time::Duration;

use relay::{Backoff, ChangeId, Now};

use super::net::Net;
use super::{Action, CallError, Machine, MaintenanceAnswer, Refusal, Report, ReportedResult};

/// Between two maintenance calls, unless the gateway says otherwise.
const MAINTENANCE_SECONDS: u32 = 6 * 60 * 60;

/// No gateway makes a terminal call more often than once a minute, or less often than once a day.
const MAINTENANCE_BOUNDS: std::ops::RangeInclusive<u32> = 60..=24 * 60 * 60;

/// What the gateway asks for while WebSockets are switched off: a switch that is about to be on again may be noticed at once, and none
/// is noticed later than in five minutes.
const SWITCHED_OFF_BOUNDS: std::ops::RangeInclusive<u32> = 1..=300;

/// The first call of a terminal whose settings say that WebSockets are off: a fleet that was switched off together doesn't call
/// together.
const SPREAD: Duration = Duration::from_secs(10);

/// How long a token that has ended hands results in.
const ENDED_TOKEN: Duration = Duration::from_secs(48 * 60 * 60);

/// What is shown once a terminal in inventory has nothing left to do.
const NOT_IN_STORE: &str = "the terminal is in inventory, and its token has ended: assign it to a store, then board it with a new code";

/// Maintenance calls.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// A call is under way.
    calling: bool,
    /// The change that the latest call said the configuration was removed for.
    told_removed: Option<ChangeId>,
    /// When the next one is due, on the monotonic clock; none for a terminal that makes no more.
    due: Option<Duration>,
    /// After this one the terminal boards again.
    last: bool,
    /// The terminal is in inventory: it calls until its results are recorded, and no longer than until then, on the monotonic clock.
    until: Option<Duration>,
}

impl Upkeep {
    /// The first call is due.
    pub(super) fn due(now: Now) -> Upkeep {
        Upkeep { calling: false, told_removed: None, due: Some(now.mono), last: false, until: None }
    }
}

impl Machine {
    /// The maintenance call has ended.
    pub fn handle_maintained(&mut self, now: Now, answer: Result<MaintenanceAnswer, CallError>) {
        self.now = now;
        if !std::mem::take(&mut self.upkeep.calling) {
            return;
        }
        let is_unknown = matches!(&answer, Err(CallError::Refused(Refusal { status: 401, .. })));
        let progress = match answer {
            Ok(answer) => self.take_in(answer),
            Err(error) => {
                tracing::info!(%error, "maintenance failed");
                self.schedule_maintenance(Backoff::MAINTENANCE, error.retry_after());
                false
            }
        };
        if let Some(until) = self.upkeep.until
            && (is_unknown || self.terminal.resume().is_empty() || now.mono >= until)
        {
            self.upkeep.until = None;
            self.call_no_more();
            return self.halt(NOT_IN_STORE.into());
        }
        if progress && self.has_results() && !matches!(self.net, Net::Linked { .. }) {
            self.call_now();
        } else if std::mem::take(&mut self.upkeep.last) {
            self.must_board = true;
            self.board();
        }
    }

    /// When the next call is due, unless one is under way.
    pub(super) fn maintenance_due(&self) -> Option<Duration> {
        let calls = self.identity.token.is_some() && self.actions.is_none() && !self.upkeep.calling;
        self.upkeep.due.filter(|_| calls)
    }

    /// The next call is due at once.
    pub(super) fn call_now(&mut self) {
        self.upkeep.due = Some(self.now.mono);
    }

    /// The next call is due at once, and the terminal boards again after it.
    pub(super) fn call_a_last_time(&mut self) {
        self.upkeep.last = true;
        self.call_now();
    }

    /// The next call is due at once, and others follow it until the results are handed in.
    pub(super) fn hand_in_until_the_end(&mut self) {
        self.upkeep.until = Some(self.now.mono.saturating_add(ENDED_TOKEN));
        self.call_now();
    }

    /// WebSockets are switched off: whether they are on again is asked soon, and the gateway says when to ask next.
    pub(super) fn ask_for_the_switch(&mut self, retry_after: Option<Duration>) {
        if std::mem::take(&mut self.told_on) {
            // It was told that they are on, and is refused all the same: asking at once would go on for ever.
            self.schedule_maintenance(Backoff::MAINTENANCE, retry_after);
        } else if self.has_results() || self.settings.web_sockets_enabled {
            self.call_now();
        } else {
            let spread = SPREAD / 1000 * u32::try_from(self.random.number() % 1000).unwrap_or(0);
            let soon = self.now.mono.saturating_add(spread);
            self.upkeep.due = Some(self.upkeep.due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// No call is due any more.
    pub(super) fn call_no_more(&mut self) {
        self.upkeep.due = None;
    }

    pub(super) fn maintain(&mut self) {
        let Some(token) = self.identity.token.clone() else { return };
        let report = Report {
            journal_id: self.identity.journal_id.clone(),
            process_id: self.identity.process.clone(),
            firmware_version: self.device.firmware_version.clone(),
            device: self.device.telemetry(),
            resume: self.terminal.resume(),
            results: ReportedResult::first_of(self.terminal.results()),
            applied_revision: self.fleet.applied(),
            config_removed: self.fleet.removed().cloned(),
        };
        self.upkeep.calling = true;
        self.upkeep.told_removed = report.config_removed.clone();
        self.orders.push_back(Action::Maintain { token, report });
    }

    /// Says whether fewer results wait than before.
    fn take_in(&mut self, answer: MaintenanceAnswer) -> bool {
        let before = self.terminal.resume().len();
        for recorded in answer.recorded {
            if let Some(problem) = recorded.problem {
                tracing::warn!(delivery = %recorded.delivery_id, problem, "the gateway could not use a result");
            }
            self.terminal.handle_recorded(self.now, &recorded.delivery_id);
        }
        let told_nothing = answer.settings.is_none();
        let asked = answer.remove_config.map(|asked| asked.change_id);
        let told = self.upkeep.told_removed.take();
        if told.is_some() && self.fleet.removed() == told.as_ref() && asked != told {
            self.end_removal(); // This is the answer to it.
        }
        if !self.fleet.is_removing() {
            self.take_maintained_settings(answer.settings, answer.terminal);
        }
        let bounds = if self.switched_off { SWITCHED_OFF_BOUNDS } else { MAINTENANCE_BOUNDS };
        let seconds = answer.next_call_seconds.unwrap_or(MAINTENANCE_SECONDS);
        let seconds = Duration::from_secs(u64::from(seconds.clamp(*bounds.start(), *bounds.end())));
        let next = match self.has_results() {
            true => seconds.min(Backoff::MAINTENANCE), // Results wait: sooner than the gateway would have it.
            false => seconds,
        };
        self.schedule_maintenance(next, None);
        if let Some(change) = asked {
            self.handle_remove_config(change);
        }
        if self.switched_off && !self.is_stopping() && (told_nothing || self.settings.web_sockets_enabled) {
            // A gateway that tells no settings to this token has another answer to a link.
            self.switched_off = false;
            self.told_on = true;
            self.raise();
        }
        self.terminal.resume().len() < before
    }

    fn has_results(&self) -> bool {
        self.terminal.results().next().is_some()
    }

    /// Jitter only shortens.
    fn schedule_maintenance(&mut self, delay: Duration, retry_after: Option<Duration>) {
        let tenths = u32::try_from(self.random.number() % 1000).unwrap_or(0);
        let jittered = delay - delay / 10 * tenths / 1000;
        let asked = retry_after.unwrap_or_default().min(Backoff::RETRY_AFTER_MAX);
        self.upkeep.due = Some(self.now.mono.saturating_add(jittered.max(asked)));
    }
}
