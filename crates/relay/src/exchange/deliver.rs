//! From an admission on disk to one write on one link, and from the terminal's report to its commit and the POS's
//! answer (E9-E15, E23).

use std::time::Duration;

use bytes::Bytes;
use nexo::{Kept, MessageCategory, Response};

use super::{
    Answer, COMMIT_GIVE_UP, COMMIT_RETRY, Desk, Effect, Exchange, IN_MEMORY_MAX, LinkOrder, OPS_MAX, OpId,
    Purpose, RECEIVED_MAX, RECEIVED_PROBE, ReplyMode, Report, Settling, Source, State, TERMINAL_LEAD,
    UNPLACED_MAX,
};
use crate::fault::{self, Fault};
use crate::frame::{Deliver, ResultMessage, ToTerminal};
use crate::id::{ConnectionId, DeliveryId, ProcessId};
use crate::ledger::{
    Answered, Cannot, Evidence, EvidenceKind, ExchangeKey, LedgerError, Op, Outcome, Record, Reply,
    may_become,
};
use crate::link::CloseReason;
use crate::presence::GRACE;
use crate::time::Now;

/// A report for a delivery that is not in memory: the ledger is asked for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unplaced {
    delivery: DeliveryId,
    report: Report,
    source: Source,
}

/// What a report makes of its exchange.
struct Verdict {
    outcome: Outcome,
    /// The response that answers it, byte for byte.
    response: Option<Bytes>,
    evidence: Option<Evidence>,
    problem: Option<String>,
}

impl Desk {
    /// The next thing that this socket must do, if any. A delivery that is handed out here counts as written: whether
    /// its bytes reached the terminal is for the terminal's next `hello` to say.
    pub fn poll_transmit(&mut self, now: Now, connection: &ConnectionId) -> Option<LinkOrder> {
        if let Some(index) = self.farewells.iter().position(|(c, _)| c == connection) {
            return Some(self.farewells.remove(index).1);
        }
        if self.lease().is_none_or(|l| l.connection != *connection) {
            return None;
        }
        self.woken = false;
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        let index = self.next_delivery(now)?;
        self.note_owed(self.exchanges[index].record.delivery.clone());
        let x = &mut self.exchanges[index];
        x.state = State::Written { at: now.mono, probed: false };
        x.kept = Kept::default();
        Some(LinkOrder::Frame(ToTerminal::Deliver(Deliver {
            delivery: x.record.delivery.clone(),
            time_left_ms: time_left_ms(x.deadline.saturating_sub(now.mono)),
            message: match fault::is(Fault::DeliverTwice) {
                true => x.message.clone(),
                false => std::mem::take(&mut x.message),
            },
        })))
    }

    /// Requests leave in the order of their admission (E9): the first that is not written yet, once it is on disk, and
    /// as long as its POS waits. While a newer link may be taking over, none is written to this one.
    pub(super) fn next_delivery(&self, now: Now) -> Option<usize> {
        if !self.hellos.is_empty() {
            return None;
        }
        let is_next = |x: &Exchange| match x.state {
            State::Held { .. } | State::Admitting { .. } => true,
            State::Queued => now.mono < x.deadline,
            _ => false,
        };
        let overtakes = |x: &Exchange| {
            fault::is(Fault::AbortOvertakes) && is_next(x) && x.record.category == MessageCategory::ABORT
        };
        let ahead = self.exchanges.iter().position(overtakes);
        let index = ahead.or_else(|| self.exchanges.iter().position(is_next))?;
        matches!(self.exchanges[index].state, State::Queued).then_some(index)
    }

    /// The terminal has stored a delivery (T4).
    pub fn handle_received(&mut self, connection: &ConnectionId, delivery: &DeliveryId) {
        if self.lease().is_none_or(|l| l.connection != *connection) {
            return;
        }
        let Some(index) = self.find_delivery(delivery) else { return };
        let x = &self.exchanges[index];
        // What is just being settled as never reached stays so, whatever a terminal says that breaks its rules.
        let denied = matches!(&x.state, State::Settling(s) if !may_become(&s.outcome, &Outcome::Unknown))
            || self.hellos.front().is_some_and(|hello| hello.settles(delivery));
        if !x.record.received && !denied {
            self.has_it(index);
            self.store(Purpose::Note, Op::NoteReceived(delivery.clone()));
        }
    }

    /// The terminal has this exchange: whoever waited for that alone hears it (E21).
    pub(super) fn has_it(&mut self, index: usize) {
        self.exchanges[index].record.received = true;
        self.tell_receipt(index);
    }

    /// Whoever does not wait for its end hears that the terminal has it (E21).
    pub(super) fn tell_receipt(&mut self, index: usize) {
        let x = &mut self.exchanges[index];
        let exchange = x.record.exchange.clone();
        let waiters = x.waiters.extract_if(.., |w| w.reply == ReplyMode::Async).collect();
        self.tell_all(waiters, &Answer::Ok, Some(&exchange));
    }

    /// The terminal says what became of a delivery. What an older link says no longer counts: the terminal hands it in
    /// again (E14, T5).
    pub fn handle_report(&mut self, now: Now, source: Source, delivery: DeliveryId, report: Report) {
        if let Source::Link(connection) = &source
            && self.lease().is_none_or(|l| l.connection != *connection)
        {
            return;
        }
        let is_written =
            |x: &Exchange| fault::is(Fault::MatchByArrivalOrder) && matches!(x.state, State::Written { .. });
        let oldest = self.exchanges.iter().position(is_written);
        if let Some(index) = oldest.or_else(|| self.find_delivery(&delivery)) {
            self.judge(now, index, source, report);
            return self.conclude(now);
        }
        let room = self.unplaced.len() < UNPLACED_MAX
            && self.ops.len() < OPS_MAX
            && self.exchanges.len() + self.unplaced.len() < IN_MEMORY_MAX;
        let asked = self.unplaced.iter().any(|u| u.delivery == delivery);
        let unplaced = Unplaced { delivery: delivery.clone(), report, source };
        if !room {
            self.hand_in_again(&[unplaced.source]);
        } else if !self.unplaced.contains(&unplaced) {
            self.unplaced.push(unplaced);
            if !asked {
                self.store(Purpose::Unplaced(delivery.clone()), Op::FindDelivery(delivery));
            }
        }
        self.conclude(now);
    }

    /// A notification for the POS; one with an ID is kept and then `recorded`.
    pub fn handle_notification(
        &mut self,
        now: Now,
        connection: &ConnectionId,
        id: Option<DeliveryId>,
        message: Bytes,
    ) {
        let present = self.lease().is_some_and(|l| l.connection == *connection);
        // One that finds no room stays unrecorded, so it comes again.
        if let (true, Some(id)) = (present && self.ops.len() < OPS_MAX, id) {
            let purpose = Purpose::Notification { id: id.clone(), connection: connection.clone() };
            let message = Kept::of(&message);
            let op = Op::Notification { poi: self.poi.clone(), id, message, at: now.wall };
            self.store(purpose, op);
        }
    }

    pub(super) fn unplaced_found(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        reply: Result<Reply, LedgerError>,
    ) {
        let mut found = match reply {
            Ok(Reply::Records { records, .. }) => records.into_iter().next(),
            _ => {
                let lost = self.unplaced.extract_if(.., |u| u.delivery == *delivery).map(|u| u.source);
                let lost: Vec<_> = lost.collect();
                return self.hand_in_again(&lost);
            }
        };
        while let Some(index) = self.unplaced.iter().position(|u| u.delivery == *delivery) {
            let Unplaced { report, source, .. } = self.unplaced.remove(index);
            if let Some(index) = self.find_delivery(delivery) {
                self.judge(now, index, source, report);
                continue;
            }
            match found.take() {
                Some(record) if record.key.poi == self.poi => {
                    self.exchanges.push(Exchange::recorded(record, now.mono));
                    self.judge(now, self.exchanges.len() - 1, source, report);
                }
                _ => self.keep_orphan(now, delivery, message_of(&report), vec![source]),
            }
        }
        self.forget_loose();
    }

    /// Holds a report against its exchange (E15).
    fn judge(&mut self, now: Now, index: usize, source: Source, report: Report) {
        let x = &mut self.exchanges[index];
        if x.is_unwritten() {
            // It names a delivery that nobody has written: whatever it is, it is no answer to it.
            let evidence = Evidence { kind: EvidenceKind::Misfit, message: message_of(&report) };
            let delivery = x.record.delivery.clone();
            return self.keep(now, &delivery, evidence, vec![source], "not delivered yet");
        }
        let verdict = verdict(&x.record, report);
        if fault::is(Fault::RecordedBeforeCommit) {
            let delivery = x.record.delivery.clone();
            self.recorded(std::slice::from_ref(&source), &delivery, verdict.problem.clone());
        }
        let x = &mut self.exchanges[index];
        if let State::Settling(settling) = &x.state {
            if is_same(&settling.outcome, &verdict.outcome) {
                x.reported_by(source);
                if verdict.problem.is_none() {
                    self.has_it(index); // A result that does not fit proves nothing, however often it comes.
                }
                return;
            }
            if !may_become(&settling.outcome, &verdict.outcome) {
                return self.conflict(now, index, verdict, vec![source]);
            }
        } else if !may_become(&x.record.outcome, &verdict.outcome) {
            if is_same(&x.record.outcome, &verdict.outcome) {
                let delivery = x.record.delivery.clone();
                if verdict.problem.is_none() {
                    self.has_it(index);
                }
                return match (verdict.evidence, verdict.problem) {
                    // What can't be used is kept all the same: it may be another one than before.
                    (Some(evidence), Some(problem)) => {
                        self.keep(now, &delivery, evidence, vec![source], &problem);
                    }
                    (_, problem) => self.recorded(&[source], &delivery, problem),
                };
            }
            return self.conflict(now, index, verdict, vec![source]);
        }
        x.reported_by(source);
        if verdict.problem.is_none() {
            self.has_it(index); // A result that does not fit proves nothing.
        }
        self.settle(now, index, verdict.outcome, verdict.evidence, verdict.problem);
        if let State::Settling(settling) = &mut self.exchanges[index].state {
            settling.response = verdict.response;
        }
    }

    /// A second, different result never replaces an outcome (E15).
    fn conflict(&mut self, now: Now, index: usize, verdict: Verdict, sources: Vec<Source>) {
        if self.ops.len() >= OPS_MAX {
            return self.hand_in_again(&sources);
        }
        let delivery = self.exchanges[index].record.delivery.clone();
        let message = match verdict.outcome {
            Outcome::Answered(Answered::Message(message)) => message,
            _ => verdict.evidence.map(|e| e.message).unwrap_or_default(),
        };
        let why = match self.exchanges[index].record.outcome {
            Outcome::Refused(_) | Outcome::NeverReached => {
                "a result for a request that counts as not delivered; kept as evidence"
            }
            _ => "a second, different result; kept as evidence",
        };
        self.effects.push_back(Effect::Alarm(delivery.clone(), why));
        let evidence = Evidence { kind: EvidenceKind::Conflict, message };
        self.keep(now, &delivery, evidence, sources, "differs from the recorded result");
    }

    /// Nobody can tell any more what became of it: that is for a person to find out.
    pub(super) fn alarm_if_final(&mut self, delivery: &DeliveryId, outcome: &Outcome) {
        if matches!(outcome, Outcome::UnknownFinal(_)) {
            let why = "nobody can tell whether a request ran; look at the terminal's receipt";
            self.effects.push_back(Effect::Alarm(delivery.clone(), why));
        }
    }

    fn keep_orphan(&mut self, now: Now, delivery: &DeliveryId, message: Kept, source: Vec<Source>) {
        let evidence = Evidence { kind: EvidenceKind::Orphan, message };
        self.keep(now, delivery, evidence, source, "unknown deliveryId");
    }

    /// These reports are not on disk, so they stay unrecorded and come again: by a link as soon as it is new (E23).
    pub(super) fn hand_in_again(&mut self, sources: &[Source]) {
        if sources.iter().any(|source| matches!(source, Source::Link(_))) {
            self.doomed = Some(CloseReason::Draining);
        }
    }

    fn keep(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        evidence: Evidence,
        source: Vec<Source>,
        problem: &str,
    ) {
        let purpose = Purpose::Keep { delivery: delivery.clone(), source, problem: Some(problem.into()) };
        let op = Op::Keep { poi: self.poi.clone(), delivery: delivery.clone(), evidence, at: now.wall };
        self.store(purpose, op);
    }

    /// Evidence is on disk. A terminal that contradicted itself must not forget the result that is still on its way there.
    pub(super) fn kept(&mut self, delivery: &DeliveryId, sources: Vec<Source>, problem: Option<String>) {
        match self.find_delivery(delivery).map(|index| &mut self.exchanges[index]) {
            Some(x) if x.is_from_terminal() => {
                for source in sources {
                    x.reported_by(source);
                }
            }
            // It came for a delivery that was not written yet, and which has been since: to acknowledge it now would have the
            // terminal forget that.
            Some(x) if x.is_running() => {}
            _ => self.recorded(&sources, delivery, problem),
        }
    }

    /// Tells whoever handed a result in that it is on disk (E23).
    pub(super) fn recorded(&mut self, sources: &[Source], delivery: &DeliveryId, problem: Option<String>) {
        if !sources.is_empty() {
            self.owed.retain(|owed| owed != delivery);
        }
        for source in sources {
            match source {
                Source::Maintenance(call) => {
                    self.effects.push_back(Effect::Recorded(*call, delivery.clone(), problem.clone()));
                }
                Source::Link(connection) if self.lease().is_some_and(|l| l.connection == *connection) => {
                    let frame = ToTerminal::Recorded { delivery: delivery.clone(), problem: problem.clone() };
                    self.order(LinkOrder::Frame(frame));
                }
                Source::Link(_) => {} // That link is gone; its terminal resumes the delivery on the next one.
            }
        }
    }

    /// Sends an outcome to the disk. The POS hears it after its commit (E7, E23).
    pub(super) fn settle(
        &mut self,
        now: Now,
        index: usize,
        outcome: Outcome,
        evidence: Option<Evidence>,
        problem: Option<String>,
    ) {
        let op = self.commit(&self.exchanges[index].record.delivery.clone(), &outcome, &evidence);
        let settling = Settling {
            outcome,
            response: None,
            evidence,
            problem,
            since: now.mono,
            op,
            retry_at: None,
            told: false,
        };
        self.exchanges[index].state = State::Settling(settling);
    }

    fn commit(&mut self, delivery: &DeliveryId, outcome: &Outcome, evidence: &Option<Evidence>) -> OpId {
        let op =
            Op::Settle { delivery: delivery.clone(), outcome: outcome.clone(), evidence: evidence.clone() };
        self.store(Purpose::Settle(delivery.clone()), op)
    }

    pub(super) fn settlement_replied(
        &mut self,
        now: Now,
        op: OpId,
        delivery: &DeliveryId,
        reply: Result<Reply, LedgerError>,
    ) {
        let Some(index) = self.find_delivery(delivery) else { return };
        let x = &mut self.exchanges[index];
        let State::Settling(settling) = &mut x.state else { return };
        if settling.op != op {
            return;
        }
        match reply {
            Err(_) => settling.retry_at = Some(now.mono + COMMIT_RETRY),
            Ok(Reply::Already(decided)) if decided != settling.outcome && decided.is_undecided() => {
                settling.retry_at = Some(now.mono + COMMIT_RETRY);
            }
            Ok(Reply::Already(decided)) if decided != settling.outcome => {
                let reporters = std::mem::take(&mut x.reporters);
                let verdict = Verdict {
                    outcome: settling.outcome.clone(),
                    response: None,
                    evidence: settling.evidence.take(),
                    problem: settling.problem.take(),
                };
                if reporters.is_empty() || is_same(&decided, &verdict.outcome) {
                    self.recorded(&reporters, delivery, verdict.problem);
                } else {
                    self.conflict(now, index, verdict, reporters);
                }
                self.finish(now, index, &decided, None);
            }
            // The ledger has lost it: what the terminal said is kept by itself, and nothing is told that needs a record.
            Ok(Reply::Missing) => {
                let outcome = settling.outcome.clone();
                let response = settling.response.take();
                let x = self.exchanges.remove(index);
                let answer = match (&outcome, response) {
                    (Outcome::Answered(_), Some(response)) => Answer::Response(response),
                    (Outcome::Answered(_), None) => self.answer_of(now, &outcome, &x.record),
                    _ => Answer::NoResponse,
                };
                self.tell_all(x.waiters, &answer, None);
                self.tell_all(x.aborters, &Answer::NoResponse, None);
                if !x.reporters.is_empty() {
                    let message = match outcome {
                        Outcome::Answered(Answered::Message(message)) => message,
                        _ => Kept::default(),
                    };
                    self.keep_orphan(now, delivery, message, x.reporters);
                }
            }
            Ok(_) => {
                let outcome = settling.outcome.clone();
                let problem = settling.problem.clone();
                self.alarm_if_final(delivery, &outcome);
                self.finish(now, index, &outcome, problem);
            }
        }
    }

    /// The outcome is on disk: everybody who waits for it hears it, and the exchange leaves memory.
    pub(super) fn finish(&mut self, now: Now, index: usize, outcome: &Outcome, problem: Option<String>) {
        let x = self.exchanges.remove(index);
        self.recorded(&x.reporters, &x.record.delivery, problem);
        let answer = match &x.state {
            State::Settling(Settling { response: Some(response), outcome: own, .. }) if own == outcome => {
                Answer::Response(response.clone())
            }
            _ => self.answer_of(now, outcome, &x.record),
        };
        // The very bytes that would be told, where there are any: what is kept may have lost what makes it a NotFound.
        let fenced_first = match (&answer, outcome) {
            (Answer::Response(response), _) => x.needs_fence(response),
            (_, Outcome::Answered(Answered::Message(message))) => x.needs_fence(message.bytes()),
            _ => false,
        };
        match x.asks_for {
            Some(reference) if fenced_first => {
                self.fence_before_not_found(now, reference, &x.caller, x.waiters, answer);
            }
            // What it asked for can't be fenced any more: its POS asks again, with a new ServiceID.
            None if fenced_first => self.tell_all(x.waiters, &Answer::NoResponse, Some(&x.record.exchange)),
            _ => self.tell_all(x.waiters, &answer, Some(&x.record.exchange)),
        }
        // What is to be aborted never runs, or it is for the POS to look at its end.
        let never_runs = matches!(outcome, Outcome::Refused(_) | Outcome::NeverReached);
        let answer = if never_runs { Answer::Ok } else { Answer::NoResponse };
        self.tell_all(x.aborters, &answer, Some(&x.record.exchange));
    }

    /// The socket has ended, for whatever reason.
    pub fn handle_gone(&mut self, now: Now, connection: &ConnectionId) {
        self.farewells.retain(|(c, _)| c != connection);
        self.hello_gone(now, connection);
        if self.lease().is_some_and(|l| l.connection == *connection) {
            self.lose_link(now);
        }
        self.conclude(now);
    }

    /// The present link is no more. What was not written never will be (E10); what was keeps its POS waiting for a while
    /// (E11).
    pub(super) fn lose_link(&mut self, now: Now) {
        let Some(connection) = self.lease().map(|l| l.connection.clone()) else { return };
        self.presence.depart(now, &connection);
        self.orders.clear();
        self.woken = false;
        self.doomed = None;
        self.owed = Vec::new();
        self.closing = None;
        self.answer_checks(false);
        for index in 0..self.exchanges.len() {
            let x = &mut self.exchanges[index];
            match x.state {
                State::Queued if !fault::is(Fault::IgnoreEpoch) => {
                    self.settle(now, index, Outcome::NeverReached, None, None);
                }
                State::Written { .. } if !x.record.received && fault::is(Fault::DeliverTwice) => {
                    x.state = State::Queued;
                }
                State::Written { .. } | State::Loose => {
                    x.state = State::Loose;
                    for waiter in &mut x.waiters {
                        waiter.deadline = waiter.deadline.min(now.mono + GRACE);
                    }
                }
                _ => {}
            }
        }
        self.forget_loose();
    }

    /// The token that opened these sockets has ended, because the terminal was boarded again: the present link, and
    /// those that are not welcomed yet. Results that the terminal still has are taken by maintenance.
    pub fn handle_token_ended(&mut self, now: Now, connections: impl IntoIterator<Item = ConnectionId>) {
        self.end_sockets(now, connections, &CloseReason::BoardAgain);
    }

    /// The terminal has opened another socket, so these have ended: whatever is written from here on goes to that one, once it
    /// is welcomed. A link's terminal closes its older sockets itself (T3); for an Actions terminal this does, before the
    /// ledger is asked what the terminal may have.
    pub fn handle_displaced(
        &mut self,
        now: Now,
        connections: impl IntoIterator<Item = ConnectionId>,
        winner: &ProcessId,
    ) {
        self.end_sockets(now, connections, &CloseReason::Replaced { winner: winner.clone() });
    }

    pub(super) fn end_sockets(
        &mut self,
        now: Now,
        connections: impl IntoIterator<Item = ConnectionId>,
        reason: &CloseReason,
    ) {
        for connection in connections {
            if self.lease().is_some_and(|l| l.connection == connection) {
                self.end_link(now, reason.clone());
            } else {
                self.hello_gone(now, &connection);
                self.farewell(connection, reason.clone());
            }
        }
        self.conclude(now);
    }

    /// Closes the present link: it counts as lost from here on, whenever its socket gets to hear of it.
    pub(super) fn end_link(&mut self, now: Now, reason: CloseReason) {
        if let Some(connection) = self.lease().map(|l| l.connection.clone()) {
            self.lose_link(now);
            self.farewell(connection, reason);
        }
    }

    pub(super) fn exchange_timeouts(&mut self, now: Now) {
        let mut index = 0;
        while index < self.exchanges.len() {
            let delivery = self.exchanges[index].record.delivery.clone();
            self.exchange_timeout(now, index);
            // It may have left memory, and its successor taken its place.
            if self.exchanges.get(index).is_some_and(|x| x.record.delivery == delivery) {
                index += 1;
            }
        }
        self.forget_loose();
    }

    fn exchange_timeout(&mut self, now: Now, index: usize) {
        let x = &mut self.exchanges[index];
        match &mut x.state {
            State::Held { .. } | State::Admitting { .. } => return self.admission_timeout(now, index),
            State::Withdrawing { retry_at: Some(at) } if now.mono >= *at => {
                return self.retry_withdrawal(index);
            }
            State::Queued if now.mono >= x.deadline => {
                return self.settle(now, index, Outcome::NeverReached, None, None);
            }
            State::Settling(_) => return self.settling_timeout(now, index),
            State::Written { at, probed } if !x.record.received => {
                if now.mono >= *at + RECEIVED_MAX {
                    self.doomed = Some(CloseReason::Silent);
                } else if now.mono >= *at + RECEIVED_PROBE && !*probed {
                    *probed = true;
                    self.order(LinkOrder::Probe);
                }
            }
            _ => {}
        }
        self.answer_late(now, index);
    }

    /// Waiters whose time is over hear that the terminal may have it, or may get it (E10).
    fn answer_late(&mut self, now: Now, index: usize) {
        let x = &mut self.exchanges[index];
        if !matches!(x.state, State::Queued | State::Written { .. } | State::Loose) {
            return;
        }
        let exchange = x.record.exchange.clone();
        let late: Vec<_> = x.waiters.extract_if(.., |w| now.mono >= w.deadline).collect();
        // A terminal that has it and is over its time gives its place back; its result will be looked up.
        if matches!(x.state, State::Written { .. })
            && x.record.received
            && x.waiters.is_empty()
            && now.mono >= x.deadline
        {
            x.state = State::Loose;
        }
        // Who waits for its receipt alone has given up early: it goes on (E21).
        let over = late.iter().any(|w| w.reply == ReplyMode::Sync);
        if over && x.record.outcome == Outcome::Open && !x.is_unwritten() {
            x.record.outcome = Outcome::Unknown;
            let op =
                Op::Settle { delivery: x.record.delivery.clone(), outcome: Outcome::Unknown, evidence: None };
            self.store(Purpose::Note, op);
        }
        let may_have_it = !self.exchanges[index].is_unwritten();
        let answer = match may_have_it && fault::is(Fault::UnreachableAfterDelivery) {
            true => Answer::NotDelivered,
            false => Answer::NoResponse,
        };
        self.tell_all(late, &answer, Some(&exchange));
    }

    fn settling_timeout(&mut self, now: Now, index: usize) {
        let x = &mut self.exchanges[index];
        let told_by = match &x.state {
            State::Settling(settling) if !settling.told => Some(x.told_by(settling)),
            _ => None,
        };
        let from_terminal = x.is_from_terminal();
        let State::Settling(settling) = &mut x.state else { return };
        let outcome = settling.outcome.clone();
        let response = settling.response.clone();
        if told_by.is_some_and(|at| now.mono >= at) {
            settling.told = true;
            let waiters = std::mem::take(&mut x.waiters);
            let aborters = std::mem::take(&mut x.aborters);
            let exchange = x.record.exchange.clone();
            let not_found = match (&response, &outcome) {
                (Some(response), _) => x.needs_fence(response),
                (None, Outcome::Answered(Answered::Message(message))) => x.needs_fence(message.bytes()),
                _ => false,
            };
            // The terminal's true answer is told without its commit (E23); whatever else must be on disk first (E7, E16).
            let answer = match from_terminal && !not_found {
                true => match response {
                    Some(response) => Answer::Response(response),
                    None => self.answer_of(now, &outcome, &self.exchanges[index].record),
                },
                false => Answer::TryAgain,
            };
            self.tell_all(waiters, &answer, Some(&exchange));
            self.tell_all(aborters, &Answer::TryAgain, Some(&exchange));
        }
        let State::Settling(settling) = &mut self.exchanges[index].state else { return };
        if from_terminal && now.mono >= settling.since + COMMIT_GIVE_UP {
            // The next `hello` hands it in again (E23). What only this node knows is tried for as long as it takes.
            self.exchanges.remove(index);
            self.doomed = Some(CloseReason::Draining);
            return;
        }
        if settling.retry_at.is_some_and(|at| now.mono >= at) {
            settling.retry_at = None;
            let evidence = settling.evidence.clone();
            let op = self.commit(&self.exchanges[index].record.delivery.clone(), &outcome, &evidence);
            if let State::Settling(settling) = &mut self.exchanges[index].state {
                settling.op = op;
            }
        }
    }

    /// What the terminal may have and nobody waits for is the ledger's: memory needs no copy of it.
    pub(super) fn forget_loose(&mut self) {
        self.exchanges.retain(|x| !matches!(x.state, State::Loose) || !x.waiters.is_empty());
    }
}

impl Exchange {
    /// Whether this answer is a NotFound that may only be told once its fence is on disk (E16).
    pub(super) fn needs_fence(&self, message: &Bytes) -> bool {
        let may_name_one = self.asks_for.is_some()
            || (self.rejoined && self.record.category == MessageCategory::TRANSACTION_STATUS);
        may_name_one && is_not_found(message)
    }

    /// Whether nothing has decided it yet.
    fn is_running(&self) -> bool {
        self.record.outcome.is_undecided() && !matches!(self.state, State::Settling(_))
    }

    /// One more who gets `recorded` once its outcome is on disk.
    fn reported_by(&mut self, source: Source) {
        if !self.reporters.contains(&source) {
            self.reporters.push(source);
        }
    }
}

/// What the terminal is told of a POS's time: 5 s less, or half of it when it is 10 s or less (E11).
fn time_left_ms(left: Duration) -> u64 {
    let left = if left <= 2 * TERMINAL_LEAD { left / 2 } else { left - TERMINAL_LEAD };
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

/// A terminal's NotFound, which may not be passed on before its fence (E16).
fn is_not_found(message: &Bytes) -> bool {
    Response::parse(message.clone()).is_ok_and(|response| response.is_not_found())
}

fn message_of(report: &Report) -> Kept {
    match report {
        Report::Result(ResultMessage::Message(message)) => Kept::of(message),
        Report::Result(_) | Report::Indeterminate(_) => Kept::default(),
    }
}

/// Whether a report says nothing new: two ways of not knowing are one to a terminal that hands in again what is settled.
fn is_same(a: &Outcome, b: &Outcome) -> bool {
    a == b
        || matches!((a, b), (Outcome::UnknownFinal(_), Outcome::UnknownFinal(_)))
        || matches!((a, b), (Outcome::Answered(Answered::NotReplayable), Outcome::Answered(_)))
        || matches!((a, b), (Outcome::Answered(_), Outcome::UnknownFinal(Cannot::Indeterminate)))
}

/// What a report makes of the exchange with this record (E15).
fn verdict(record: &Record, report: Report) -> Verdict {
    let plain = |outcome| Verdict { outcome, response: None, evidence: None, problem: None };
    let odd = |cannot, kind, message: Bytes, problem: String| Verdict {
        outcome: Outcome::UnknownFinal(cannot),
        response: None,
        evidence: Some(Evidence { kind, message: Kept::of(&message) }),
        problem: Some(problem),
    };
    match report {
        Report::Indeterminate(_) => plain(Outcome::UnknownFinal(Cannot::Indeterminate)),
        Report::Result(ResultMessage::Empty) if ends_empty(&record.category) => {
            plain(Outcome::Answered(Answered::Empty))
        }
        Report::Result(ResultMessage::Empty) => {
            let problem = format!("a {} needs a response", record.category);
            odd(Cannot::Misfit, EvidenceKind::Misfit, Bytes::new(), problem)
        }
        Report::Result(ResultMessage::TooLarge(length)) => {
            let problem = format!("{length} bytes are over the limit");
            odd(Cannot::TooLarge, EvidenceKind::TooLarge, Bytes::new(), problem)
        }
        Report::Result(ResultMessage::Message(message)) => match misfit(record, &message) {
            None => Verdict {
                response: Some(message.clone()),
                ..plain(Outcome::Answered(Answered::Message(Kept::of(&message))))
            },
            Some(problem) => odd(Cannot::Misfit, EvidenceKind::Misfit, message, problem),
        },
    }
}

/// Abort and InputUpdate have no response message (E20).
fn ends_empty(category: &MessageCategory) -> bool {
    !category.has_response()
}

/// Why a response is not the answer to this delivery, if it isn't: its own IDs must fit (E15).
fn misfit(record: &Record, message: &Bytes) -> Option<String> {
    if fault::is(Fault::MatchByArrivalOrder) {
        return None;
    }
    let response = match Response::parse(message.clone()) {
        Ok(response) => response,
        Err(error) => return Some(format!("malformed: {error}")),
    };
    let header = response.header();
    let key = header.service_id.clone().map(|service| {
        ExchangeKey::new(header.poi_id.clone(), header.class, header.device_id.clone(), service)
    });
    if header.category != record.category {
        Some(format!("answers a {}, not the {} that was delivered", header.category, record.category))
    } else if key.as_ref() != Some(&record.key) {
        Some("its ServiceID, POIID or DeviceID is not that of the request".into())
    } else {
        None
    }
}
