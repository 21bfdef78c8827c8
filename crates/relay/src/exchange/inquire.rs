//! Questions about other exchanges: TransactionStatus (E16-E19) and Abort (E20), and requests to an absent terminal,
//! for which only the ledger can tell whether they are repeats (E4, E5, E7).

use std::time::Duration;

use nexo::{ErrorCondition, MessageCategory, MessageReference};

use super::admit::{Meeting, fenced};
use super::{
    ABORT_WAIT, Answer, Asks, COMMIT_WAIT, Call, Desk, INQUIRIES_MAX, Purpose, ReplyMode, Standing, State,
    StatusAnswer, WAITERS_MAX, Waiter, told_as_original,
};
use crate::fault::{self, Fault};
use crate::id::{CallId, DeliveryId};
use crate::ledger::{
    Answered, Caller, ExchangeKey, FenceReason, LedgerError, Op, Outcome, Record, Refused, Reply,
    is_repeatable,
};
use crate::time::Now;

/// The exchange that a TransactionStatus or an Abort names.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    key: ExchangeKey,
    named: MessageReference,
}

impl Reference {
    /// Reads a message's reference. A POIID that is missing is the terminal's own. None without a ServiceID, or without
    /// the DeviceID of a request of class `Device`: a reference is never guessed (E20). A DeviceID beside a category of
    /// another class is no part of the identity (E3).
    fn new(call: &Call, named: MessageReference) -> Option<Reference> {
        let poi = named.poi_id.clone().unwrap_or_else(|| call.request.header().poi_id.clone());
        let service = named.service_id.clone()?;
        let device = match &named.category {
            Some(category) if is_of_class_device(category) => Some(named.device_id.clone()?),
            _ => None,
        };
        Some(Reference { key: ExchangeKey { poi, device, service }, named })
    }

    /// Whether a record is the one that is meant: a SaleID or category that is named must be its own. The ServiceID of
    /// another till's request must not give that till's result away, nor be called NotFound.
    fn means(&self, record: &Record) -> bool {
        self.named.sale_id.as_ref().is_none_or(|sale| *sale == record.sale)
            && self.named.category.as_ref().is_none_or(|category| *category == record.category)
    }
}

/// The categories whose requests are of class `Device`.
fn is_of_class_device(category: &MessageCategory) -> bool {
    [
        MessageCategory::DISPLAY,
        MessageCategory::INPUT,
        MessageCategory::INPUT_UPDATE,
        MessageCategory::PRINT,
        MessageCategory::SOUND,
        MessageCategory::PIN,
        MessageCategory::TRANSMIT,
        MessageCategory::CARD_READER_INIT,
        MessageCategory::CARD_READER_APDU,
        MessageCategory::CARD_READER_POWER_OFF,
    ]
    .contains(category)
}

/// A call that waits for the ledger without an exchange of its own.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    call: CallId,
    pub(super) waiters: Vec<Waiter>,
    since: Duration,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A request that goes to no link and is not written down: is its ServiceID taken? `barred` says why it may not go; else
    /// its terminal is absent.
    Own { new: Record, company: Box<str>, barred: Option<Box<str>> },
    /// A TransactionStatus that the ledger may answer: what does it know?
    Status(Box<StatusQuestion>),
    /// NotFound is to be told, once its fence is on disk; `then` is what is told with it.
    Fence { reference: Reference, then: Answer },
    /// A request that was never recorded is told that it did not reach a terminal, or may not, once its fence is on disk.
    Close { category: MessageCategory, barred: Option<Box<str>> },
    /// A call that does not wait for the end has joined this delivery, for which no webhook was owed: it is from here on
    /// (E22).
    Owe { delivery: DeliveryId, new: Record, company: Box<str> },
    /// The webhook is owed, and the exchange has left memory meanwhile: what became of it?
    Owed { new: Record, company: Box<str> },
}

/// A TransactionStatus that the ledger may answer.
#[derive(Clone, Debug)]
struct StatusQuestion {
    call: Call,
    reference: Reference,
    /// It asks the terminal to print the receipt once more.
    reprint: bool,
}

impl Inquiry {
    /// No later than a commit may take, nor than that after the first POS has given up.
    pub(super) fn due(&self) -> Duration {
        self.waiters.iter().map(|w| w.deadline).fold(self.since, Duration::min) + COMMIT_WAIT
    }
}

impl Desk {
    /// A TransactionStatus: answered by the ledger where it can, by the terminal otherwise (E16-E18).
    pub(super) fn transaction_status(&mut self, now: Now, call: Call) {
        if call.reply == ReplyMode::Async {
            // Its answer must not be older than the POS's next step; a webhook may come at any time.
            let answer = Answer::Failure {
                condition: ErrorCondition::NOT_ALLOWED,
                message: "A TransactionStatus is answered at once: send it as a synchronous request.".into(),
                exchange: None,
            };
            return self.tell(call.id, answer, None);
        }
        let Some(status) = call.request.transaction_status() else {
            return self.ask(now, call, None); // Encrypted or unreadable: only the terminal can tell.
        };
        let reference = status.message_reference.and_then(|named| Reference::new(&call, named));
        let Some(reference) = reference else { return self.ask(now, call, None) };
        if reference.key.poi != self.poi {
            let answer = Answer::Failure {
                condition: ErrorCondition::NOT_ALLOWED,
                message: format!(
                    "MessageReference names {}: send this request to that terminal.",
                    reference.key.poi
                ),
                exchange: None,
            };
            return self.tell(call.id, answer, None);
        }
        if self.find(now, &super::admit::own_key(&call)).is_some() {
            return self.ask(now, call, Some(reference));
        }
        // Receipts are printed by the terminal, but another till's are not this one's to ask for.
        let reprint = status.receipt_reprint_flag;
        let own = MessageCategory::TRANSACTION_STATUS;
        if let Some(index) = self.find(now, &reference.key) {
            let x = &self.exchanges[index];
            let exchange = x.record.exchange.clone();
            let answer = if !reference.means(&x.record) {
                other_request(&reference, &x.record)
            } else if (x.record.encrypted || reprint) && self.route(&own).is_some() {
                return self.ask(now, call, Some(reference));
            } else if !matches!(x.state, State::Loose) || self.presence.may_still_run(now) {
                Answer::Status(StatusAnswer::InProgress)
            } else {
                Answer::NoResponse
            };
            return self.tell(call.id, answer, Some(&exchange));
        }
        let keys = vec![super::admit::own_key(&call), reference.key.clone()];
        let op = Op::Look { keys, company: call.caller.company.clone(), at: now.wall };
        let waiter = Waiter::of(&call, now);
        let question = StatusQuestion { call, reference, reprint };
        self.inquire(now, vec![waiter], Kind::Status(Box::new(question)), op);
    }

    /// An Abort withdraws what was not written yet, and goes to the terminal otherwise (E20).
    pub(super) fn abort(&mut self, now: Now, mut call: Call) {
        call.wait = call.wait.min(ABORT_WAIT);
        let reference = call.request.message_reference().and_then(|mut named| {
            // What an Abort leaves out is taken from its own header.
            named.sale_id.get_or_insert_with(|| call.request.header().sale_id.clone());
            Reference::new(&call, named)
        });
        let named =
            reference.and_then(|r| self.find(now, &r.key).filter(|i| r.means(&self.exchanges[*i].record)));
        // While the ledger recovers from a restore an older copy may have run: only the terminal can tell (E19).
        let Some(index) = named.filter(|_| !self.facts.is_recovering(now.wall)) else {
            return self.ask(now, call, None);
        };
        let aborter = Waiter::of(&call, now);
        let x = &mut self.exchanges[index];
        let unwritten = matches!(x.state, State::Held { .. } | State::Admitting { .. } | State::Queued);
        if !unwritten || fault::is(Fault::AbortOvertakes) {
            return self.ask(now, call, None);
        }
        if x.aborters.len() >= WAITERS_MAX {
            return self.tell(call.id, Answer::TooMany, None);
        }
        x.aborted = true;
        x.aborters.push(aborter);
        match x.state {
            State::Held { .. } => self.admit(now, index),
            State::Queued => self.settle(now, index, Outcome::Refused(Refused::Aborted), None, None),
            _ => {}
        }
    }

    /// A request to an absent terminal whose absence is not written down, or one that is barred for a reason: it is told so
    /// unless its ServiceID is taken.
    pub(super) fn look_for_own(
        &mut self,
        now: Now,
        new: Record,
        company: Box<str>,
        waiters: Vec<Waiter>,
        barred: Option<Box<str>>,
    ) {
        let op = Op::Look { keys: vec![new.key.clone()], company: company.clone(), at: now.wall };
        self.inquire(now, waiters, Kind::Own { new, company, barred }, op);
    }

    /// The terminal answered NotFound: the ServiceID is closed first (E16).
    pub(super) fn fence_before_not_found(
        &mut self,
        now: Now,
        reference: Reference,
        caller: &Caller,
        waiters: Vec<Waiter>,
        answer: Answer,
    ) {
        // A journal that is younger than the backup knows nothing of what the restore lost (E18, E19).
        let knows = match (self.facts.restored, self.lease()) {
            (Some(restored), Some(lease)) if self.facts.is_recovering(now.wall) => {
                lease.journal_boarded <= restored.backup
            }
            (Some(_), None) => !self.facts.is_recovering(now.wall),
            _ => true,
        };
        if !knows {
            return self.tell_all(waiters, &Answer::NoResponse, None);
        }
        self.fence(now, reference, &caller.company, waiters, answer);
    }

    fn fence(&mut self, now: Now, reference: Reference, company: &str, waiters: Vec<Waiter>, then: Answer) {
        if fault::is(Fault::NotFoundWithoutFence) {
            return self.tell_all(waiters, &then, None);
        }
        let op = Op::Fence {
            key: reference.key.clone(),
            company: company.into(),
            reason: FenceReason::ToldNotFound,
            at: now.wall,
        };
        self.inquire(now, waiters, Kind::Fence { reference, then }, op);
    }

    /// Has a webhook owed for this delivery before these calls hear anything about it.
    pub(super) fn owe_webhook(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        new: Record,
        company: Box<str>,
        waiters: Vec<Waiter>,
    ) {
        let op = Op::OweWebhook(delivery.clone());
        self.inquire(now, waiters, Kind::Owe { delivery, new, company }, op);
    }

    fn inquire(&mut self, now: Now, waiters: Vec<Waiter>, kind: Kind, op: Op) {
        let Some(call) = waiters.first().map(|w| w.call) else { return };
        if self.inquiries.len() >= INQUIRIES_MAX {
            return self.tell_all(waiters, &Answer::TooMany, None);
        }
        self.inquiries.push(Inquiry { call, waiters, since: now.mono, kind });
        self.store(Purpose::Inquiry(call), op);
    }

    pub(super) fn inquiry_replied(&mut self, now: Now, call: CallId, reply: Result<Reply, LedgerError>) {
        let Some(index) = self.inquiries.iter().position(|i| i.call == call) else { return };
        let Inquiry { waiters, kind, .. } = self.inquiries.swap_remove(index);
        if waiters.is_empty() {
            return; // Every POS has hung up.
        }
        match (kind, reply) {
            (Kind::Own { new, company, barred }, Ok(Reply::Records { records, fence })) => {
                let found = (records.into_iter().next(), fence);
                self.own_found(now, new, &company, waiters, found, barred);
            }
            (Kind::Status(question), Ok(Reply::Records { records, fence })) => {
                self.status_found(now, *question, waiters, records, fence);
            }
            (Kind::Fence { then, .. }, Ok(Reply::Done)) => self.tell_all(waiters, &then, None),
            (Kind::Fence { reference, .. }, Ok(Reply::Found(record))) => {
                // The ledger knows better than NotFound.
                let answer = match reference.means(&record) {
                    true => self.status_of(now, &record).unwrap_or(Answer::NoResponse),
                    false => other_request(&reference, &record),
                };
                self.tell_all(waiters, &answer, Some(&record.exchange));
            }
            (Kind::Owe { delivery, new, company }, Ok(Reply::Done)) => {
                self.webhook_owed(now, &delivery, new, company, waiters);
            }
            (Kind::Owed { new, company }, Ok(Reply::Records { records, .. })) => {
                match records.into_iter().next() {
                    Some(record) => {
                        let meeting = self.meet(now, &record, &new);
                        self.carry_on(now, record, meeting, new, company, waiters);
                    }
                    None => self.tell_all(waiters, &Answer::TryAgain, None),
                }
            }
            (Kind::Close { category, barred: None }, Ok(_)) => {
                let answer = self.absent_answer(now, &category);
                self.tell_all(waiters, &answer, None);
            }
            // If a copy of it was let through in between, that one's end is told to who repeats it.
            (Kind::Close { category, barred: Some(why) }, Ok(Reply::Done)) => {
                let answer = self.barred_answer(now, &category, why);
                self.tell_all(waiters, &answer, None);
            }
            _ => self.tell_all(waiters, &Answer::TryAgain, None),
        }
    }

    /// The webhook is owed: whoever joined goes on to wait, if there is still something to wait for.
    fn webhook_owed(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        new: Record,
        company: Box<str>,
        waiters: Vec<Waiter>,
    ) {
        let Some(index) = self.find_delivery(delivery) else {
            let op = Op::Look { keys: vec![new.key.clone()], company: company.clone(), at: now.wall };
            return self.inquire(now, waiters, Kind::Owed { new, company }, op);
        };
        self.exchanges[index].record.webhook = true;
        for waiter in waiters {
            // None is told in a way that takes the exchange out of memory.
            self.meet_open(now, index, new.clone(), company.clone(), waiter);
        }
    }

    fn own_found(
        &mut self,
        now: Now,
        new: Record,
        company: &str,
        waiters: Vec<Waiter>,
        (record, fence): (Option<Record>, Option<FenceReason>),
        barred: Option<Box<str>>,
    ) {
        // A fence for a terminal that nobody knows is its own earlier answer, which it gets again.
        if let (Some(reason), Standing::Known) = (fence, self.standing) {
            return self.tell_all(waiters, &fenced(reason), None);
        }
        if let Some(record) = record {
            let meeting = self.meet(now, &record, &new);
            if !matches!(meeting, Meeting::Free) {
                return self.carry_on(now, record, meeting, new, company.into(), waiters);
            }
        }
        let never_ran = !self.facts.is_recovering(now.wall);
        let may_go_later = self.standing == Standing::Unknown || barred.is_some();
        if may_go_later && is_repeatable(&new.category) && fence.is_none() && never_ran {
            // The terminal may be added or switched on in a moment, and an older copy of this request may still be under way
            // (E7).
            let reason = FenceReason::ToldUnreachable;
            let op = Op::Fence { key: new.key, company: company.into(), reason, at: now.wall };
            return self.inquire(now, waiters, Kind::Close { category: new.category, barred }, op);
        }
        let answer = match barred {
            Some(why) => self.barred_answer(now, &new.category, why),
            None => self.absent_answer(now, &new.category),
        };
        self.tell_all(waiters, &answer, None);
    }

    fn status_found(
        &mut self,
        now: Now,
        question: StatusQuestion,
        waiters: Vec<Waiter>,
        records: Vec<Record>,
        fence: Option<FenceReason>,
    ) {
        let StatusQuestion { mut call, reference, reprint } = question;
        if let Some(reason) = fence {
            return self.tell_all(waiters, &fenced(reason), None);
        }
        // Its POS has waited for the ledger already.
        call.wait = waiters.iter().map(|w| w.deadline.saturating_sub(now.mono)).min().unwrap_or(call.wait);
        let own = super::admit::own_key(&call);
        if let Some(record) = records.iter().find(|r| r.key == own) {
            let new = Record {
                key: own,
                digest: call.digest,
                sale: call.request.header().sale_id.clone(),
                ..record.clone()
            };
            match self.meet(now, record, &Record { category: call.request.header().category.clone(), ..new })
            {
                Meeting::Join => return self.join_recorded(now, record.clone(), waiters),
                Meeting::Tell(answer) | Meeting::Repeat(answer) => {
                    return self.tell_all(waiters, &answer, Some(&record.exchange));
                }
                Meeting::Free => {}
            }
        }
        let present = self.route(&MessageCategory::TRANSACTION_STATUS).is_some();
        let Some(record) = records.into_iter().find(|r| r.key == reference.key) else {
            let is_recovering = self.facts.is_recovering(now.wall);
            if present && (call.asks == Asks::Anybody || is_recovering) {
                return self.ask(now, call, Some(reference));
            }
            if is_recovering {
                return self.tell_all(waiters, &Answer::NoResponse, None);
            }
            return self.fence(
                now,
                reference,
                &call.caller.company,
                waiters,
                Answer::Status(StatusAnswer::NotFound),
            );
        };
        if !reference.means(&record) {
            let answer = other_request(&reference, &record);
            return self.tell_all(waiters, &answer, Some(&record.exchange));
        }
        if let Outcome::Answered(Answered::Message(kept)) = &record.outcome
            && call.asks == Asks::LedgerAlone
        {
            let found = Answer::Status(StatusAnswer::Found(kept.bytes().clone()));
            return self.tell_all(waiters, &found, Some(&record.exchange));
        }
        match self.status_of(now, &record).filter(|_| !reprint) {
            Some(Answer::Status(StatusAnswer::NotFound)) => {
                let then = Answer::Status(StatusAnswer::NotFound);
                self.fence(now, reference, &call.caller.company, waiters, then);
            }
            Some(answer) => self.tell_all(waiters, &answer, Some(&record.exchange)),
            None if present => self.ask(now, call, Some(reference)),
            None => self.tell_all(waiters, &Answer::NoResponse, Some(&record.exchange)),
        }
    }

    /// What the ledger says about an exchange; nothing where only the terminal can (E18).
    fn status_of(&self, now: Now, record: &Record) -> Option<Answer> {
        let only_the_terminal = record.encrypted
            || record.admitted < self.facts.complete_since
            || matches!(&record.outcome, Outcome::Answered(answered) if answered.is_beyond_replay());
        if only_the_terminal {
            return None;
        }
        Some(match &record.outcome {
            Outcome::Answered(Answered::Message(message)) => {
                Answer::Status(StatusAnswer::Found(told_as_original(message)?.clone()))
            }
            Outcome::Answered(_) => Answer::Failure {
                condition: ErrorCondition::NOT_ALLOWED,
                message: format!("The {} is done and has no response to repeat.", record.category),
                exchange: Some((record.exchange.clone(), record.admitted)),
            },
            // What has no recorded answer is for the terminal to tell, as long as a restore may have lost some (E19).
            _ if self.facts.is_recovering(now.wall)
                && self.route(&MessageCategory::TRANSACTION_STATUS).is_some() =>
            {
                return None;
            }
            Outcome::Open | Outcome::Unknown if self.presence.may_still_run(now) => {
                Answer::Status(StatusAnswer::InProgress)
            }
            Outcome::Refused(_) | Outcome::NeverReached if self.facts.is_recovering(now.wall) => return None,
            Outcome::Refused(_) | Outcome::NeverReached => Answer::Status(StatusAnswer::NotFound),
            Outcome::Open | Outcome::Unknown | Outcome::UnknownFinal(_) => Answer::NoResponse,
        })
    }

    pub(super) fn inquiry_timeouts(&mut self, now: Now) {
        let late: Vec<_> = self.inquiries.extract_if(.., |inquiry| now.mono >= inquiry.due()).collect();
        for inquiry in late {
            self.tell_all(inquiry.waiters, &Answer::TryAgain, None);
        }
    }
}

/// The ServiceID is another request's: neither its result nor NotFound is the answer.
fn other_request(reference: &Reference, record: &Record) -> Answer {
    let message = format!(
        "ServiceID {} on this terminal is a {} of SaleID {}, not what the MessageReference says.",
        reference.key.service, record.category, record.sale
    );
    Answer::Failure {
        condition: ErrorCondition::NOT_ALLOWED,
        message,
        exchange: Some((record.exchange.clone(), record.admitted)),
    }
}
