//! From a POS's request to an admission on disk: identity (E3-E8), admission (E1), withdrawal (E1, E9, E20).

use std::time::Duration;

use bytes::Bytes;
use nexo::{ErrorCondition, Kept, MessageCategory};

use super::inquire::Reference;
use super::{
    Answer, COMMIT_RETRY, COMMIT_WAIT, Call, Desk, Exchange, IN_MEMORY_MAX, Purpose, ReplyMode, Standing,
    State, WAITERS_MAX, Waiter, is_question,
};
use crate::fault::{self, Fault};
use crate::id::{DeliveryId, Epoch};
use crate::ledger::{
    Admission, ExchangeKey, FenceReason, LedgerError, Op, Outcome, Record, Refused, Reply, is_repeatable,
    is_same_request,
};
use crate::link::CloseReason;
use crate::time::Now;

/// What a record in the way of a new request means for it.
pub(super) enum Meeting {
    /// It is the same request, and still open: wait with the others.
    Join,
    /// Tell this.
    Tell(Answer),
    /// Tell this, which was recorded: it is the same request once more (E4).
    Repeat(Answer),
    /// The ServiceID is free again (E7).
    Free,
}

impl Desk {
    /// A request that is to reach the terminal. `asks_for` is set for a TransactionStatus that only the terminal can
    /// answer (E18).
    pub(super) fn ask(&mut self, now: Now, call: Call, asks_for: Option<Reference>) {
        let new = self.record_of(now, &call);
        if self.route(&new.category).is_none() && fault::is(Fault::RepeatAnsweredByPresence) {
            let answer = self.absent_answer(now, &new.category);
            return self.tell(call.id, answer, None);
        }
        let waiter = Waiter::of(&call, now);
        if let Some(index) = self.find(now, &new.key) {
            return self.meet_open(now, index, new, call.caller.company, waiter);
        }
        if !self.has_place_for(&new.category) {
            return self.tell(call.id, Answer::TooMany, None);
        }
        if self.route(&new.category).is_none()
            && self.hellos.is_empty()
            && !self.may_record_absence(now, &new)
        {
            return self.look_for_own(now, new, call.caller.company, vec![waiter], None);
        }
        self.exchanges.push(Exchange {
            message: call.request.bytes().clone(),
            kept: call.kept,
            caller: call.caller,
            _hold: Some(call.hold),
            state: State::Held { since: now.mono },
            deadline: now.mono + call.wait,
            rerouted: false,
            aborted: false,
            asks_for,
            rejoined: false,
            waiters: vec![waiter],
            aborters: Vec::new(),
            reporters: Vec::new(),
            record: new,
        });
        self.admit(now, self.exchanges.len() - 1);
    }

    fn has_place_for(&self, category: &MessageCategory) -> bool {
        let open = || self.exchanges.iter().filter(|x| x.is_open());
        self.exchanges.len() < IN_MEMORY_MAX
            && open().count() < 2 * self.exchanges_max
            && (is_question(category) || open().filter(|x| !x.is_question()).count() < self.exchanges_max)
    }

    /// Whether a request to an absent terminal is written down as *never reached* (E7). Others only look whether their
    /// ServiceID is taken: a category that may be repeated at will, and a request that may be the repeat of one that a
    /// restore lost (E19).
    fn may_record_absence(&self, now: Now, new: &Record) -> bool {
        is_repeatable(&new.category)
            && !self.facts.is_recovering(now.wall)
            && self.standing == Standing::Known
    }

    pub(super) fn record_of(&self, now: Now, call: &Call) -> Record {
        let header = call.request.header();
        Record {
            exchange: call.exchange.clone(),
            delivery: call.delivery.clone(),
            key: own_key(call),
            sale: header.sale_id.clone(),
            category: header.category.clone(),
            digest: call.digest,
            encrypted: call.request.is_encrypted(),
            admitted: now.wall,
            journal: None,
            epoch: Epoch(0),
            received: false,
            webhook: call.reply == ReplyMode::Async,
            outcome: Outcome::Open,
        }
    }

    /// Sends an exchange on its way: to the present link, or into the ledger as one that can't be delivered, or not yet
    /// while a `hello` is being taken. One that can't be delivered and is not written down leaves memory.
    pub(super) fn admit(&mut self, now: Now, index: usize) {
        let hello = !self.hellos.is_empty();
        let lease = self.route(&self.exchanges[index].record.category);
        let lease = lease.map(|l| (l.journal.clone(), l.epoch));
        let x = &mut self.exchanges[index];
        let waited = matches!(x.state, State::Held { since } if now.mono >= x.held_until(since));
        let outcome = if x.aborted {
            Outcome::Refused(Refused::Aborted)
        } else if hello && !waited {
            x.state = State::Held { since: now.mono };
            return;
        } else if let Some((journal, epoch)) = lease {
            x.record.journal = Some(journal);
            x.record.epoch = epoch;
            Outcome::Open
        } else if self.may_record_absence(now, &self.exchanges[index].record) {
            Outcome::NeverReached
        } else {
            let x = self.exchanges.remove(index);
            return self.look_for_own(now, x.record, x.caller.company, x.waiters, None);
        };
        let x = &mut self.exchanges[index];
        // What never leaves the gateway ends with its call: nobody hears `ok`.
        x.record.webhook &= outcome == Outcome::Open;
        x.record.outcome = outcome;
        x.state = match x.record.category == MessageCategory::ABORT && fault::is(Fault::AbortOvertakes) {
            true => State::Queued,
            false => State::Admitting { since: now.mono },
        };
        let op = Op::Admit(Box::new(Admission {
            record: x.record.clone(),
            message: x.kept.clone(),
            caller: x.caller.clone(),
        }));
        let delivery = x.record.delivery.clone();
        self.store(Purpose::Admit(delivery), op);
    }

    /// No `hello` is being taken any more: whoever waited for it goes on.
    pub(super) fn admit_held(&mut self, now: Now) {
        let held = |x: &&Exchange| matches!(x.state, State::Held { .. });
        let held: Vec<_> = self.exchanges.iter().filter(held).map(|x| x.record.delivery.clone()).collect();
        for delivery in held {
            if let Some(index) = self.find_delivery(&delivery) {
                self.admit(now, index);
            }
        }
    }

    pub(super) fn admission_replied(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        reply: Result<Reply, LedgerError>,
    ) {
        let Some(index) = self.find_delivery(delivery) else { return };
        if !matches!(self.exchanges[index].state, State::Admitting { .. }) {
            return; // It was given up; its withdrawal is queued behind this (E1).
        }
        match reply {
            Ok(Reply::Admitted(exchange)) => {
                self.exchanges[index].record.exchange = exchange;
                self.admitted(now, index);
            }
            Ok(Reply::Found(record)) => self.found_instead(now, index, *record),
            Ok(Reply::Fenced(reason)) => {
                let x = self.exchanges.remove(index);
                self.tell_all(x.waiters, &fenced(reason), None);
                self.tell_all(x.aborters, &Answer::Ok, None); // It never runs.
            }
            Ok(Reply::EpochPassed) if !self.exchanges[index].rerouted => {
                let x = &mut self.exchanges[index];
                x.rerouted = true;
                let stale = x.record.epoch;
                if self.lease().is_some_and(|l| l.epoch == stale) {
                    // Another node has the terminal's newer link, or a hello is about to take over: ours is dead.
                    self.end_link(now, CloseReason::Draining);
                }
                if let Some(index) = self.find_delivery(delivery) {
                    self.admit(now, index);
                }
            }
            Err(LedgerError::Full) => {
                let x = self.exchanges.remove(index);
                self.tell_all(x.waiters, &Answer::TryAgain, None);
                self.tell_all(x.aborters, &Answer::TryAgain, None);
            }
            _ => self.withdraw(index),
        }
    }

    fn admitted(&mut self, now: Now, index: usize) {
        let current = self.lease().is_some_and(|l| l.epoch == self.exchanges[index].record.epoch);
        let x = &mut self.exchanges[index];
        if x.record.outcome != Outcome::Open {
            // Its end was written with it, so it may be told (E7).
            let outcome = x.record.outcome.clone();
            return self.finish(now, index, &outcome, None);
        }
        if x.aborted {
            return self.settle(now, index, Outcome::Refused(Refused::Aborted), None, None);
        }
        if !current && !fault::is(Fault::IgnoreEpoch) {
            return self.settle(now, index, Outcome::NeverReached, None, None);
        }
        x.state = State::Queued;
        if fault::is(Fault::AsyncOkWithoutReceived) {
            self.tell_receipt(index);
        }
    }

    /// The identity belonged to another record: this request is a repeat of it, or clashes with it.
    fn found_instead(&mut self, now: Now, index: usize, record: Record) {
        let Exchange { record: new, caller, waiters, aborters, .. } = self.exchanges.remove(index);
        let meeting = match self.meet(now, &record, &new) {
            Meeting::Free => Meeting::Join,
            meeting => meeting,
        };
        self.carry_on(now, record, meeting, new, caller.company, waiters);
        // The Abort came for a request that had left earlier: it is for the POS to look at that one's end.
        self.tell_all(aborters, &Answer::NoResponse, None);
    }

    /// Carries out what a record means for those who have sent `new`.
    pub(super) fn carry_on(
        &mut self,
        now: Now,
        record: Record,
        meeting: Meeting,
        new: Record,
        company: Box<str>,
        waiters: Vec<Waiter>,
    ) {
        let (owing, waiters) = match &meeting {
            Meeting::Join | Meeting::Repeat(Answer::Response(_)) => {
                waiters.into_iter().partition(|w| w.needs_webhook_for(&record))
            }
            _ => (Vec::new(), waiters),
        };
        match meeting {
            Meeting::Join => self.join_recorded(now, record.clone(), waiters),
            Meeting::Tell(answer) => self.tell_all(waiters, &answer, Some(&record.exchange)),
            Meeting::Repeat(answer) => self.tell_again(waiters, &answer, &record.exchange),
            Meeting::Free => self.tell_all(waiters, &Answer::TryAgain, None),
        }
        self.owe_webhook(now, record.delivery, new, company, owing);
    }

    /// Takes an open exchange back into memory for those who wait for it.
    pub(super) fn join_recorded(&mut self, now: Now, record: Record, waiters: Vec<Waiter>) {
        if waiters.is_empty() {
            return;
        }
        let record_owes = record.webhook;
        let index = match self.find(now, &record.key) {
            Some(index) => index,
            None if self.exchanges.len() >= IN_MEMORY_MAX => {
                return self.tell_all(waiters, &Answer::TooMany, None);
            }
            None => {
                self.exchanges.push(Exchange::recorded(record, now.mono));
                self.exchanges.len() - 1
            }
        };
        self.exchanges[index].record.webhook |= record_owes;
        for waiter in waiters {
            self.join(index, waiter);
        }
    }

    /// A repeat, or a clash, with an exchange that is open in memory.
    pub(super) fn meet_open(
        &mut self,
        now: Now,
        index: usize,
        new: Record,
        company: Box<str>,
        waiter: Waiter,
    ) {
        let x = &mut self.exchanges[index];
        if !is_same_request(&x.record, &new) {
            // Whose ServiceID it is, only the ledger can tell: this one may be the repeat, and that one the clash.
            if matches!(x.state, State::Held { .. } | State::Admitting { .. } | State::Withdrawing { .. }) {
                return self.tell(waiter.call, Answer::TryAgain, None);
            }
            let answer = clash(&x.record, &new, ErrorCondition::IN_PROGRESS);
            let exchange = x.record.exchange.clone();
            return self.tell(waiter.call, answer, Some(&exchange));
        }
        if matches!(x.state, State::Held { .. }) {
            x.record.webhook |= new.webhook; // It goes to the disk with the admission.
        }
        if x.record.outcome.is_undecided() || !matches!(x.state, State::Loose) {
            if waiter.needs_webhook_for(&x.record) && !matches!(x.state, State::Withdrawing { .. }) {
                let delivery = x.record.delivery.clone();
                return self.owe_webhook(now, delivery, new, company, vec![waiter]);
            }
            return self.join(index, waiter);
        }
        // It is decided, and in memory only because its result came once more.
        let record = x.record.clone();
        let meeting = match self.meet(now, &record, &new) {
            Meeting::Join => Meeting::Free,
            meeting => meeting,
        };
        self.carry_on(now, record, meeting, new, company, vec![waiter]);
    }

    /// One more who waits for an exchange in memory.
    fn join(&mut self, index: usize, mut waiter: Waiter) {
        let runs_until = self.presence.runs_until();
        let x = &mut self.exchanges[index];
        let exchange = x.record.exchange.clone();
        let answer = match &x.state {
            State::Withdrawing { .. } => Answer::TryAgain,
            _ if waiter.reply == ReplyMode::Async && x.record.received => Answer::Ok,
            State::Settling(settling) if settling.told => match &settling.response {
                Some(message) if x.is_from_terminal() && !x.needs_fence(message) => {
                    let answer = Answer::Response(message.clone());
                    return self.tell_again(vec![waiter], &answer, &exchange);
                }
                _ => Answer::TryAgain,
            },
            _ if x.waiters.len() >= WAITERS_MAX => Answer::TooMany,
            State::Loose => {
                // A lost link is waited for no longer for this one than for the others (E11).
                waiter.deadline = runs_until.map_or(waiter.deadline, |until| waiter.deadline.min(until));
                return x.waiters.push(waiter);
            }
            _ => return x.waiters.push(waiter),
        };
        self.tell(waiter.call, answer, Some(&exchange));
    }

    /// What a record means for a new request with the same identity (E4-E7).
    pub(super) fn meet(&self, now: Now, record: &Record, new: &Record) -> Meeting {
        let same = is_same_request(record, new);
        if record.outcome.is_undecided() {
            return match same {
                true => Meeting::Join,
                false => Meeting::Tell(clash(record, new, ErrorCondition::IN_PROGRESS)),
            };
        }
        let gone = matches!(record.outcome, Outcome::Refused(_) | Outcome::NeverReached);
        let withdrawn = record.outcome == Outcome::Refused(Refused::Withdrawn);
        if gone && !is_repeatable(&record.category) && !is_repeatable(&new.category) || withdrawn && same {
            return Meeting::Free;
        }
        Meeting::Tell(if !same {
            clash(record, new, ErrorCondition::NOT_ALLOWED)
        } else if is_repeatable(&record.category) {
            return Meeting::Repeat(self.answer_of(now, &record.outcome, record));
        } else {
            Answer::Failure {
                condition: ErrorCondition::NOT_ALLOWED,
                message: format!(
                    "ServiceID {} was already used for this {} and is answered. Use a new ServiceID.",
                    new.key.service, record.category
                ),
                exchange: Some((record.exchange.clone(), record.admitted)),
            }
        })
    }

    /// Gives up an admission whose commit failed or is late: whatever it left behind is settled *refused* (E1).
    fn withdraw(&mut self, index: usize) {
        let x = &mut self.exchanges[index];
        x.state = State::Withdrawing { retry_at: None };
        let delivery = x.record.delivery.clone();
        let waiters = std::mem::take(&mut x.waiters);
        let aborters = std::mem::take(&mut x.aborters);
        self.tell_all(waiters, &Answer::TryAgain, None);
        self.tell_all(aborters, &Answer::TryAgain, None);
        self.store(Purpose::Withdraw(delivery.clone()), Op::Withdraw(delivery));
    }

    pub(super) fn withdrawal_replied(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        reply: Result<Reply, LedgerError>,
    ) {
        let Some(index) = self.find_delivery(delivery) else { return };
        match reply {
            Ok(_) => {
                self.exchanges.remove(index);
            }
            Err(_) => {
                self.exchanges[index].state = State::Withdrawing { retry_at: Some(now.mono + COMMIT_RETRY) }
            }
        }
    }

    pub(super) fn retry_withdrawal(&mut self, index: usize) {
        let x = &mut self.exchanges[index];
        x.state = State::Withdrawing { retry_at: None };
        let delivery = x.record.delivery.clone();
        self.store(Purpose::Withdraw(delivery.clone()), Op::Withdraw(delivery));
    }

    /// A commit is late (E1), or a `hello` takes too long.
    pub(super) fn admission_timeout(&mut self, now: Now, index: usize) {
        let x = &self.exchanges[index];
        match x.state {
            State::Held { since } if now.mono >= x.held_until(since) => self.admit(now, index),
            State::Admitting { since } if now.mono >= since + COMMIT_WAIT => self.withdraw(index),
            _ => self.tell_overdue(now, index),
        }
    }

    /// Those who can't wait for the admission any longer may join again; it goes on without them.
    fn tell_overdue(&mut self, now: Now, index: usize) {
        let x = &mut self.exchanges[index];
        let overdue = |w: &mut Waiter| now.mono >= w.deadline + COMMIT_WAIT;
        let mut late: Vec<_> = x.waiters.extract_if(.., overdue).collect();
        late.extend(x.aborters.extract_if(.., overdue));
        self.tell_all(late, &Answer::TryAgain, None);
    }

    /// What a request hears when nothing of it was written to a link. While the ledger recovers from a restore an older
    /// copy of it may have run before (E19). And a POS that asks about a payment must not take the question's end for the
    /// payment's (E18).
    pub(super) fn absent_answer(&self, now: Now, category: &MessageCategory) -> Answer {
        if self.facts.is_recovering(now.wall) || *category == MessageCategory::TRANSACTION_STATUS {
            Answer::NoResponse
        } else {
            Answer::NotDelivered
        }
    }
}

impl Waiter {
    /// Whether it may only hear of this exchange once a webhook is owed for it (E22).
    fn needs_webhook_for(&self, record: &Record) -> bool {
        self.reply == ReplyMode::Async && !record.webhook
    }
}

impl Exchange {
    /// An exchange that the ledger holds as open: the terminal may have it.
    pub(super) fn recorded(record: Record, deadline: Duration) -> Exchange {
        Exchange {
            record,
            message: Bytes::new(),
            kept: Kept::default(),
            caller: crate::ledger::Caller { company: "".into(), credential: "".into() },
            _hold: None,
            state: State::Loose,
            deadline,
            rerouted: false,
            aborted: false,
            asks_for: None,
            rejoined: true,
            waiters: Vec::new(),
            aborters: Vec::new(),
            reporters: Vec::new(),
        }
    }
}

/// The identity of a call's own request.
pub(super) fn own_key(call: &Call) -> ExchangeKey {
    let header = call.request.header();
    ExchangeKey::new(
        header.poi_id.clone(),
        header.class,
        header.device_id.clone(),
        call.request.service_id().clone(),
    )
}

/// Another request under the same ServiceID (E6).
fn clash(record: &Record, new: &Record, condition: ErrorCondition) -> Answer {
    let what = if record.sale != new.sale {
        format!("SaleID {}", record.sale)
    } else if record.category != new.category {
        format!("a {}", record.category)
    } else {
        format!("a {} with another body", record.category)
    };
    let service = &new.key.service;
    let message = match condition == ErrorCondition::IN_PROGRESS {
        true => {
            format!("ServiceID {service} is in use for {what} on this terminal, which has no outcome yet.")
        }
        false => format!(
            "ServiceID {service} was used for {what} on this terminal within the last 48 hours. Use a new ServiceID."
        ),
    };
    Answer::Failure { condition, message, exchange: Some((record.exchange.clone(), record.admitted)) }
}

/// A ServiceID that was closed (E7, E16).
pub(super) fn fenced(reason: FenceReason) -> Answer {
    let why = match reason {
        FenceReason::ToldNotFound => "a TransactionStatus was answered NotFound for it",
        FenceReason::ToldUnreachable => "it was already answered as not delivered or not allowed",
    };
    Answer::Failure {
        condition: ErrorCondition::NOT_ALLOWED,
        message: format!("This ServiceID is closed: {why}, so it will never run. Use a new ServiceID."),
        exchange: None,
    }
}
