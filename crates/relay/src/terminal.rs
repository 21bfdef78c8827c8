//! What a terminal must do (T2-T8), as one state machine: every virtual terminal and the simulator run this very code.
//!
//! What stays true, whatever the link does and whenever the program is killed:
//! - A delivery is started at most once, and only after it was stored and `received` was handed to the link it came by.
//! - A result is sent only after it was stored, and is kept until the gateway says `recorded`.
//! - After a restart nothing that was stored before is started.
//!
//! The owner drains [`Terminal::poll_effect`] after every input and carries the effects out in their order. It appends
//! each [`Effect::Journal`] to one journal, in order, and reports the last one that is on disk by
//! [`Terminal::handle_stored`]; what depends on an entry is only asked for after that.

mod answer;
mod journal;
mod memory;
mod sealing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use nexo::{EncryptionKey, ErrorCondition, MessageCategory, MessageClass, MessageHeader, OpenError, Request};

use crate::fault::{self, Fault};
use crate::frame::{Deliver, RESUME_MAX, ResultMessage, ToGateway};
use crate::id::DeliveryId;
use crate::ledger::is_repeatable;
use crate::link::CloseReason;
use crate::time::{Now, WallMs};

use answer::{Asked, aborted, failure, not_found_of, transaction_status};
use memory::{Held, Memory, Open, Phase};
use sealing::{Opened, seal};

pub use journal::{Execution, ExecutionKind, JournalEntry, Outcome};
pub use memory::{MEMORY, MEMORY_MAX, MEMORY_MINOR_MAX};

/// One terminal: its journal in memory, its link, and the one transaction that runs.
#[derive(Clone, Debug)]
pub struct Terminal {
    link: Link,
    /// Of the latest connect (T2).
    attempt: u64,
    memory: Memory,
    /// The delivery that runs, from its arrival until its result is stored.
    running: Option<DeliveryId>,
    next_seq: u64,
    /// What is asked for once the entry of this number is on disk; in ascending order.
    behind: VecDeque<(u64, Behind)>,
    effects: VecDeque<Effect>,
    /// Shared with Sale systems that encrypt.
    key: Option<EncryptionKey>,
}

/// What the owner of a terminal has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append this to the journal, sync it, and report `seq`. Entries come with ascending numbers.
    Journal {
        /// For [`Terminal::handle_stored`].
        seq: u64,
        /// What to append.
        entry: JournalEntry,
    },
    /// Open a link and say `hello` with this `attempt` and [`Terminal::resume`]. Every older link is closed by now, and
    /// nothing more is read from it (T3).
    Dial {
        /// Names the link in what comes from it.
        attempt: u64,
    },
    /// Send this over the link that stands.
    Send(ToGateway),
    /// Carry this request out, and end it by [`Terminal::handle_finished`].
    Start {
        /// Which one.
        delivery: DeliveryId,
        /// `{"SaleToPOIRequest":{…}}`, byte for byte as it came, or as it was before it was encrypted.
        message: Bytes,
        /// When the POS gives up, on the monotonic clock.
        deadline: Duration,
    },
    /// End this, if it can still be ended without having happened; finish it as it is otherwise.
    Cancel {
        /// Which one.
        delivery: DeliveryId,
        /// Why.
        stop: Stop,
    },
    /// Close the link, whether it stands or is being opened.
    Close(CloseReason),
}

/// Why a transaction is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The POS sent an Abort.
    Aborted,
    /// The POS has given up (T7).
    TimeOver,
    /// The terminal stops: its program ends, or its journal can't be written any more.
    Stopping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// From the raised attempt to the welcome.
    Dialing {
        attempt: u64,
    },
    Up {
        attempt: u64,
        body_limit: usize,
    },
    /// The journal failed: this terminal needs a restart.
    Broken,
}

/// What follows an entry that is on disk.
#[derive(Clone, Debug)]
enum Behind {
    Dial(u64),
    /// Stored: say `received`, and go on to start it.
    Begin(DeliveryId),
    /// Its start is stored: start it.
    Start(DeliveryId),
    /// Stored together with its result, without having run.
    Answered(DeliveryId),
    /// An Abort is stored: pass it on to what it names, and answer it.
    Abort {
        delivery: DeliveryId,
        target: Option<DeliveryId>,
    },
    /// Its result is stored: tell it.
    Tell(DeliveryId),
}

/// What a new delivery gets.
enum Verdict {
    Run,
    Answer(Outcome),
    Abort(Option<DeliveryId>),
}

impl Terminal {
    /// A terminal with an empty journal.
    pub fn new() -> Terminal {
        Terminal::default()
    }

    /// A terminal after a restart, from its journal. Whatever was open is ended first (T6): as `Failure`/`Aborted` when
    /// it certainly was not started, as indeterminate else.
    pub fn restore(now: Now, entries: impl IntoIterator<Item = JournalEntry>) -> Terminal {
        Terminal::restore_with(now, None, entries)
    }

    /// The same, with the key that it shares with Sale systems: encrypted requests are opened with it, and answered
    /// encrypted. Without a key, or with another, they are refused in the clear.
    pub fn restore_with(
        now: Now,
        key: Option<EncryptionKey>,
        entries: impl IntoIterator<Item = JournalEntry>,
    ) -> Terminal {
        let mut terminal = Terminal { key, ..Terminal::new() };
        for entry in entries {
            match entry {
                JournalEntry::Attempt(attempt) => terminal.attempt = terminal.attempt.max(attempt),
                entry => terminal.memory.replay(entry),
            }
        }
        for (delivery, header, interrupted) in terminal.memory.interrupted() {
            let outcome = match interrupted {
                Some(message) => {
                    let opened = Opened::of(terminal.key.as_ref(), &message);
                    let message = opened.readable(&message);
                    let asked = Asked { delivery: &delivery, header: header.as_ref(), message };
                    aborted(asked, now, "The terminal was restarted before the transaction began.")
                }
                None => Outcome::Indeterminate("restarted while the transaction ran".into()),
            };
            terminal.finish(now, delivery, outcome, None);
        }
        terminal
    }

    /// The next effect; none when all is done for now.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Terminal::handle_timeout`] is due, on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let held = self.memory.find(self.running.as_ref()?)?;
        match &held.phase {
            Phase::Running(open) if open.stop.is_none() => Some(open.deadline),
            _ => None,
        }
    }

    /// Begins to connect: gives up any older link and raises the attempt (T2, T3). [`Effect::Dial`] follows.
    pub fn connect(&mut self) {
        if self.link == Link::Broken {
            return;
        }
        if !fault::is(Fault::HelloWhileOldLinkRead) {
            self.hang_up();
        }
        self.attempt = self.attempt.saturating_add(1);
        self.link = Link::Dialing { attempt: self.attempt };
        let seq = self.journal(JournalEntry::Attempt(self.attempt));
        self.behind.push_back((seq, Behind::Dial(self.attempt)));
    }

    /// The link of this attempt has ended, or could not be opened.
    pub fn handle_lost(&mut self, attempt: u64) {
        if self.attempt == attempt && self.link != Link::Broken {
            self.hang_up();
        }
    }

    /// The gateway has welcomed the link of this attempt: every result that it has not recorded goes out.
    pub fn handle_welcome(&mut self, attempt: u64, body_limit: u32) {
        if self.link != (Link::Dialing { attempt }) {
            return;
        }
        self.link = Link::Up { attempt, body_limit: usize::try_from(body_limit).unwrap_or(usize::MAX) };
        let results: Vec<_> = self.results().map(|(delivery, _)| delivery.clone()).collect();
        for delivery in results {
            self.send_result(&delivery);
        }
    }

    /// A delivery came by the link of this attempt. What comes by an older link is dropped for good (T3).
    pub fn handle_deliver(&mut self, now: Now, attempt: u64, deliver: Deliver) {
        let present = matches!(self.link, Link::Up { attempt: current, .. } if current == attempt);
        if !present && !fault::is(Fault::HelloWhileOldLinkRead) {
            return;
        }
        self.memory.forget_old(now.wall);
        if let Some(held) = self.memory.find(&deliver.delivery) {
            // The gateway never repeats one; but whoever does only learns what is known, and nothing runs again.
            match held.phase {
                // What is asked is under way to the journal and will be told from there.
                Phase::Storing(_) | Phase::Finishing(_) => {}
                Phase::Starting(_) | Phase::Running(_) => {
                    self.effects.push_back(Effect::Send(ToGateway::Received(deliver.delivery)));
                }
                Phase::Finished(_) => self.send_result(&deliver.delivery),
            }
            return;
        }
        if self.memory.unrecorded_count() >= RESUME_MAX {
            // No hello could name it. What is not stored is never started (T4), and the next hello proves it.
            self.close(CloseReason::TooSlow);
            return;
        }
        let header = Request::parse(deliver.message.clone()).ok().map(|request| request.header().clone());
        let opened = Opened::of(self.key.as_ref(), &deliver.message);
        let verdict = self.judge(now, &deliver, header.as_ref(), &opened);
        let verdict = self.fence(now, &deliver, header.as_ref(), &opened, verdict);
        let delivery = deliver.delivery.clone();
        let deadline = now.mono.saturating_add(Duration::from_millis(deliver.time_left_ms));
        let at_once = matches!(verdict, Verdict::Run) && fault::is(Fault::ExecuteBeforeJournal);
        if at_once {
            let message = opened.readable(&deliver.message).clone();
            self.effects.push_back(Effect::Start { delivery: delivery.clone(), message, deadline });
        }
        let mut seq = self.journal(JournalEntry::Stored {
            delivery: delivery.clone(),
            at: now.wall,
            message: deliver.message.clone(),
        });
        let open = Open { message: deliver.message, deadline, stop: None, attempt };
        let phase = if at_once { Phase::Running(open) } else { Phase::Storing(open) };
        self.memory.insert(delivery.clone(), now.wall, header, phase);
        let behind = match verdict {
            Verdict::Run => {
                self.running = Some(delivery.clone());
                if at_once {
                    self.journal(JournalEntry::Started(delivery.clone()));
                }
                Behind::Begin(delivery)
            }
            Verdict::Answer(outcome) => {
                seq = self.journal_end(now.wall, &delivery, outcome, None);
                Behind::Answered(delivery)
            }
            Verdict::Abort(target) => {
                seq = self.journal_end(now.wall, &delivery, Outcome::Empty, None);
                Behind::Abort { delivery, target }
            }
        };
        self.behind.push_back((seq, behind));
    }

    /// The gateway has this result on its disk, whatever it thinks of it.
    pub fn handle_recorded(&mut self, now: Now, delivery: &DeliveryId) {
        self.memory.forget_old(now.wall);
        if self.link != Link::Broken && self.memory.set_recorded(delivery) {
            self.journal(JournalEntry::Recorded(delivery.clone()));
        }
    }

    /// Every entry up to this number is on disk.
    pub fn handle_stored(&mut self, now: Now, seq: u64) {
        while let Some((_, behind)) = self.behind.pop_front_if(|(due, _)| *due <= seq) {
            match behind {
                Behind::Dial(attempt) => {
                    if self.link == (Link::Dialing { attempt }) {
                        self.effects.push_back(Effect::Dial { attempt });
                    }
                }
                Behind::Begin(delivery) => self.begin(now, delivery),
                Behind::Start(delivery) => self.start(now, delivery),
                Behind::Answered(delivery) => self.tell_answer(&delivery, None),
                Behind::Abort { delivery, target } => self.tell_answer(&delivery, target),
                Behind::Tell(delivery) => {
                    self.memory.set_finished(&delivery);
                    self.running.take_if(|running| *running == delivery);
                    self.send_result(&delivery);
                }
            }
        }
    }

    /// The journal can't be written. The link is closed (T4), what runs is ended if it can be, and nothing more is
    /// taken until a restart: only the journal itself can say then what is in it.
    pub fn handle_store_failed(&mut self) {
        if self.link == Link::Broken {
            return;
        }
        self.behind.clear();
        self.handle_stop();
        self.close(CloseReason::Stopping);
        self.link = Link::Broken;
    }

    /// The program is about to end: what runs is ended, if it still can be.
    pub fn handle_stop(&mut self) {
        if let Some(running) = self.running.clone() {
            self.stop(&running, Stop::Stopping);
        }
    }

    /// What was started has ended. `execution` is what was done with money, written together with the result, so that
    /// a crash leaves both or none. Says whether it was running; anything else changes nothing.
    pub fn handle_finished(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        outcome: Outcome,
        execution: Option<Execution>,
    ) -> bool {
        let runs = matches!(self.memory.find(delivery), Some(Held { phase: Phase::Running(_), .. }));
        if runs && self.link != Link::Broken {
            self.finish(now, delivery.clone(), outcome, execution);
        }
        runs
    }

    /// Time has passed; too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_some_and(|due| now.mono >= due)
            && let Some(running) = self.running.clone()
        {
            self.stop(&running, Stop::TimeOver);
        }
    }

    /// The deliveries that a `hello` or a maintenance call has to name: stored and not recorded, in their order.
    pub fn resume(&self) -> Vec<DeliveryId> {
        self.memory.unrecorded().filter(|held| held.stored).map(|held| held.id.clone()).collect()
    }

    /// Whether this terminal remembers this delivery.
    pub fn remembers(&self, delivery: &DeliveryId) -> bool {
        self.memory.find(delivery).is_some()
    }

    /// Whether the gateway has not recorded this delivery yet, and this terminal holds it.
    pub fn is_owed(&self, delivery: &DeliveryId) -> bool {
        self.memory.is_unrecorded(delivery)
    }

    /// The results that are stored and not recorded, in the order of their deliveries.
    pub fn results(&self) -> impl Iterator<Item = (&DeliveryId, &Outcome)> {
        self.memory.unrecorded().filter_map(|held| match &held.phase {
            Phase::Finished(outcome) => Some((&held.id, outcome)),
            _ => None,
        })
    }

    /// Whether as many deliveries wait for `recorded` as a `hello` can name: hand results in by maintenance first.
    pub fn is_full(&self) -> bool {
        self.memory.unrecorded_count() >= RESUME_MAX
    }

    /// Whether the journal failed.
    pub fn is_broken(&self) -> bool {
        self.link == Link::Broken
    }

    /// The delivery that runs.
    pub fn running(&self) -> Option<&DeliveryId> {
        self.running.as_ref()
    }

    /// What was done with money in the last 48 h, oldest first.
    pub fn executions(&self) -> &[Execution] {
        self.memory.executions()
    }

    /// How many payments were approved since the journal was made, also those that are no longer remembered.
    pub fn executed_payments(&self) -> u64 {
        self.memory.executed_payments()
    }

    /// The whole state as the shortest journal that restores it, to take the place of all entries asked for so far.
    pub fn snapshot(&self) -> Vec<JournalEntry> {
        let mut entries = vec![JournalEntry::Attempt(self.attempt)];
        self.memory.snapshot(&mut entries);
        entries
    }

    fn judge(&self, now: Now, deliver: &Deliver, header: Option<&MessageHeader>, opened: &Opened) -> Verdict {
        let Some(header) = header else {
            // No response could carry a header that the gateway would take for this one's.
            return Verdict::Answer(Outcome::Indeterminate(
                "the message has no header that can be read".into(),
            ));
        };
        let message = opened.readable(&deliver.message);
        let asked = Asked { delivery: &deliver.delivery, header: Some(header), message };
        let fail = |condition, text: &str| Verdict::Answer(failure(asked, now, condition, text));
        if let Some(earlier) = self.same_service(header) {
            let fits = earlier
                .header
                .as_ref()
                .is_some_and(|h| h.category == header.category && h.sale_id == header.sale_id);
            return match &earlier.phase {
                _ if !fits => fail(ErrorCondition::NOT_ALLOWED, "This ServiceID belongs to another request."),
                Phase::Finishing(outcome) | Phase::Finished(outcome) if opened.may_hear(outcome) => {
                    Verdict::Answer(outcome.clone())
                }
                Phase::Finishing(_) | Phase::Finished(_) => {
                    fail(ErrorCondition::NOT_ALLOWED, "This ServiceID belongs to another request.")
                }
                Phase::Storing(_) | Phase::Starting(_) | Phase::Running(_) => Verdict::Answer(
                    Outcome::Indeterminate("the first one of this ServiceID still runs".into()),
                ),
            };
        }
        // After what the memory holds: a request that ran under an older key has not ceased to have run.
        if let Opened::Closed(error) = opened {
            return match error {
                OpenError::OtherKey => {
                    fail(ErrorCondition::NOT_ALLOWED, "This terminal does not have the key of this message.")
                }
                _ => fail(ErrorCondition::MESSAGE_FORMAT, "The message can't be decrypted."),
            };
        }
        if deliver.time_left_ms == 0 {
            return Verdict::Answer(aborted(asked, now, answer::TIME_OVER));
        }
        if header.category == MessageCategory::ABORT {
            return Verdict::Abort(self.abort_target(asked));
        }
        if header.category == MessageCategory::TRANSACTION_STATUS {
            return Verdict::Answer(transaction_status(asked, now, &self.memory, self.key.as_ref(), opened));
        }
        if is_repeatable(&header.category)
            && header.service_id.as_ref().is_some_and(|service| self.memory.is_fenced(service))
        {
            return fail(ErrorCondition::NOT_ALLOWED, "This ServiceID was told as not found. Use a new one.");
        }
        if !header.category.has_response() {
            return Verdict::Answer(Outcome::Empty);
        }
        if self.running.is_some() {
            return fail(ErrorCondition::BUSY, "The terminal is processing another request.");
        }
        if is_repeatable(&header.category) && self.memory.is_full() {
            return fail(ErrorCondition::NOT_ALLOWED, "The terminal's transaction memory is full.");
        }
        Verdict::Run
    }

    /// A NotFound that is told encrypted can't be fenced by the gateway, which does not see it (E16): so this terminal closes
    /// the ServiceID itself. The entry comes before that of the answer, and so is on disk before it is told.
    fn fence(
        &mut self,
        now: Now,
        deliver: &Deliver,
        header: Option<&MessageHeader>,
        opened: &Opened,
        verdict: Verdict,
    ) -> Verdict {
        let (Opened::Sealed(message), Some(header), Verdict::Answer(outcome)) = (opened, header, &verdict)
        else {
            return verdict;
        };
        let Some(service) = not_found_of(message, outcome) else { return verdict };
        if self.memory.fence(service.clone(), now.wall) {
            self.journal(JournalEntry::Fenced { service, at: now.wall });
            return verdict;
        }
        let asked = Asked { delivery: &deliver.delivery, header: Some(header), message };
        let text = "Too many requests were asked about that this terminal never had.";
        Verdict::Answer(failure(asked, now, ErrorCondition::NOT_ALLOWED, text))
    }

    /// What the memory already holds under this ServiceID (T8).
    fn same_service(&self, header: &MessageHeader) -> Option<&Held> {
        match (header.class, &header.service_id) {
            (MessageClass::Service, Some(service)) => self.memory.find_service(service),
            _ => None,
        }
    }

    /// The running transaction, if the Abort names it; a reference is never guessed.
    fn abort_target(&self, asked: Asked<'_>) -> Option<DeliveryId> {
        let held = self.memory.find(self.running.as_ref()?)?;
        answer::abort_names(asked, held.header.as_ref()?).then(|| held.id.clone())
    }

    /// The delivery is stored.
    fn begin(&mut self, now: Now, delivery: DeliveryId) {
        self.memory.set_stored(&delivery);
        let Some(open) = self.memory.open(&delivery) else { return };
        if matches!(self.link, Link::Up { attempt, .. } if attempt == open.attempt) {
            self.effects.push_back(Effect::Send(ToGateway::Received(delivery.clone())));
        } else if !fault::is(Fault::HelloWhileOldLinkRead) && !fault::is(Fault::ExecuteBeforeJournal) {
            // `received` can't precede its start any more; the next hello names it, and this result answers it.
            self.refuse(now, delivery, "The connection was lost before the transaction began.");
            return;
        }
        if fault::is(Fault::ExecuteBeforeJournal) {
            return; // It runs.
        }
        if self.refuse_if_over(now, &delivery) {
            return;
        }
        self.memory.set_starting(&delivery);
        let seq = self.journal(JournalEntry::Started(delivery.clone()));
        self.behind.push_back((seq, Behind::Start(delivery)));
    }

    /// That the delivery is being started is stored.
    fn start(&mut self, now: Now, delivery: DeliveryId) {
        if self.refuse_if_over(now, &delivery) {
            return;
        }
        if let Some(open) = self.memory.set_running(&delivery) {
            let (message, deadline) = (open.message.clone(), open.deadline);
            let message = Opened::of(self.key.as_ref(), &message).readable(&message).clone();
            self.effects.push_back(Effect::Start { delivery, message, deadline });
        }
    }

    /// Ends what has not begun, if it is too late for it.
    fn refuse_if_over(&mut self, now: Now, delivery: &DeliveryId) -> bool {
        let Some(open) = self.memory.open(delivery) else { return true };
        let text = match open.stop {
            Some(Stop::Aborted) => answer::MERCHANT_CANCELLED,
            Some(Stop::Stopping) => "The terminal has stopped.",
            Some(Stop::TimeOver) => answer::TIME_OVER,
            None if now.mono >= open.deadline => answer::TIME_OVER,
            None => return false,
        };
        self.refuse(now, delivery.clone(), text);
        true
    }

    /// Ends what certainly was not started.
    fn refuse(&mut self, now: Now, delivery: DeliveryId, text: &str) {
        let Some(held) = self.memory.find(&delivery) else { return };
        let Some(open) = held.phase.open() else { return };
        let opened = Opened::of(self.key.as_ref(), &open.message);
        let message = opened.readable(&open.message);
        let asked = Asked { delivery: &delivery, header: held.header.as_deref(), message };
        let outcome = aborted(asked, now, text);
        self.finish(now, delivery, outcome, None);
    }

    fn stop(&mut self, delivery: &DeliveryId, stop: Stop) {
        let Some(runs) = self.memory.set_stop(delivery, stop) else { return };
        if runs {
            self.effects.push_back(Effect::Cancel { delivery: delivery.clone(), stop });
        }
    }

    fn finish(&mut self, now: Now, delivery: DeliveryId, outcome: Outcome, execution: Option<Execution>) {
        let seq = self.journal_end(now.wall, &delivery, outcome, execution);
        self.behind.push_back((seq, Behind::Tell(delivery)));
    }

    fn journal_end(
        &mut self,
        at: WallMs,
        delivery: &DeliveryId,
        outcome: Outcome,
        execution: Option<Execution>,
    ) -> u64 {
        let outcome = match self.memory.open(delivery) {
            Some(open) => seal(self.key.as_ref(), delivery, &open.message, outcome),
            None => outcome,
        };
        self.memory.set_finishing(delivery, outcome.clone());
        if let Some(execution) = &execution {
            self.memory.note_execution(execution.clone());
        }
        self.journal(JournalEntry::Finished { delivery: delivery.clone(), at, outcome, execution })
    }

    /// A delivery and its answer are stored, and nothing ran for it.
    fn tell_answer(&mut self, delivery: &DeliveryId, abort: Option<DeliveryId>) {
        self.memory.set_stored(delivery);
        self.memory.set_finished(delivery);
        if let Link::Up { .. } = self.link {
            self.effects.push_back(Effect::Send(ToGateway::Received(delivery.clone())));
        }
        if let Some(target) = abort {
            self.stop(&target, Stop::Aborted);
        }
        self.send_result(delivery);
    }

    /// Sends a stored result, if a link stands; the next welcome does it otherwise.
    fn send_result(&mut self, delivery: &DeliveryId) {
        let Link::Up { body_limit, .. } = self.link else { return };
        let Some(Held { phase: Phase::Finished(outcome), .. }) = self.memory.find(delivery) else { return };
        let frame = match outcome.clone() {
            Outcome::Message(message) if message.len() > body_limit => {
                let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
                ToGateway::Result(delivery.clone(), ResultMessage::TooLarge(length))
            }
            Outcome::Message(message) => ToGateway::Result(delivery.clone(), ResultMessage::Message(message)),
            Outcome::Empty => ToGateway::Result(delivery.clone(), ResultMessage::Empty),
            Outcome::Indeterminate(reason) => ToGateway::Indeterminate(delivery.clone(), reason),
        };
        self.effects.push_back(Effect::Send(frame));
    }

    fn journal(&mut self, entry: JournalEntry) -> u64 {
        self.next_seq += 1;
        self.effects.push_back(Effect::Journal { seq: self.next_seq, entry });
        self.next_seq
    }

    fn close(&mut self, reason: CloseReason) {
        if matches!(self.link, Link::Up { .. } | Link::Dialing { .. }) {
            self.hang_up();
            self.effects.push_back(Effect::Close(reason));
        }
    }

    /// Nothing that was meant for a link may reach a newer one: `received` is covered by `resume`, and results are sent
    /// again.
    fn hang_up(&mut self) {
        self.link = Link::Down;
        self.effects
            .retain(|effect| !matches!(effect, Effect::Send(_) | Effect::Dial { .. } | Effect::Close(_)));
    }
}

impl Default for Terminal {
    fn default() -> Terminal {
        Terminal {
            link: Link::Down,
            attempt: 0,
            memory: Memory::default(),
            running: None,
            next_seq: 0,
            behind: VecDeque::new(),
            effects: VecDeque::new(),
            key: None,
        }
    }
}
