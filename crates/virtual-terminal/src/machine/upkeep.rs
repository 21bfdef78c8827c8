//! Maintenance: when to call, what to tell, and what its answer changes.

use std::time::Duration;

use relay::{Backoff, Now};

use super::net::Net;
use super::{Action, CallError, Machine, MaintenanceAnswer, Report, ReportedResult};

/// Between two maintenance calls, unless the gateway says otherwise.
const MAINTENANCE_SECONDS: u32 = 6 * 60 * 60;

/// No gateway makes a terminal call more often than once a minute, or less often than once a day.
const MAINTENANCE_BOUNDS: std::ops::RangeInclusive<u32> = 60..=24 * 60 * 60;

/// Maintenance calls.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// A call is under way.
    calling: bool,
    /// When the next one is due, on the monotonic clock; none for a terminal that makes no more.
    due: Option<Duration>,
    /// After this one the terminal boards again.
    last: bool,
}

impl Upkeep {
    /// The first call is due.
    pub(super) fn due(now: Now) -> Upkeep {
        Upkeep { calling: false, due: Some(now.mono), last: false }
    }
}

impl Machine {
    /// The maintenance call has ended.
    pub fn handle_maintained(&mut self, now: Now, answer: Result<MaintenanceAnswer, CallError>) {
        self.now = now;
        if !std::mem::take(&mut self.upkeep.calling) {
            return;
        }
        let progress = match answer {
            Ok(answer) => self.take_in(answer),
            Err(error) => {
                tracing::info!(%error, "maintenance failed");
                self.schedule_maintenance(Backoff::MAINTENANCE, error.retry_after());
                false
            }
        };
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
            applied_revision: (self.settings.revision > 0).then_some(self.settings.revision),
        };
        self.upkeep.calling = true;
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
        if let Some(settings) = answer.settings {
            self.settings = settings;
        }
        let seconds = answer.next_call_seconds.unwrap_or(MAINTENANCE_SECONDS);
        let seconds = seconds.clamp(*MAINTENANCE_BOUNDS.start(), *MAINTENANCE_BOUNDS.end());
        let next = match self.has_results() {
            true => Backoff::MAINTENANCE, // Results wait: sooner than the gateway would have it.
            false => Duration::from_secs(u64::from(seconds)),
        };
        self.schedule_maintenance(next, None);
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
