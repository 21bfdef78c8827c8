//! The terminal: relay's own, with its disk, its device and its socket's end.

use std::collections::VecDeque;
use std::time::Duration;

use relay::terminal::{Effect, JournalEntry, Outcome, Terminal};
use relay::{Deliver, DeliveryId, Hello, Now, ToGateway};

use super::log::{Log, describe_response, describe_up};
use super::print::{Print, write_debug};
use super::script::{journal_id, process_id, script};

/// What the terminal does to its link.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Opens a new socket; it has given up all older ones.
    Dial(Box<Hello>),
    Send(ToGateway),
    Close,
}

/// What the device has been told to do.
#[derive(Clone, Debug)]
struct Running {
    delivery: DeliveryId,
    service: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    terminal: Terminal,
    /// Which journal it has: they are numbered.
    pub(super) journal: u8,
    /// The gateway knows this journal.
    pub(super) boarded: bool,
    disk: Vec<JournalEntry>,
    unsynced: VecDeque<(u64, JournalEntry)>,
    running: Option<Running>,
    /// A connect was begun, and its attempt is not on the disk yet.
    connecting: bool,
    acts: VecDeque<Act>,
}

impl Machine {
    /// A terminal that was boarded and has never connected.
    pub(super) fn new() -> Machine {
        Machine {
            terminal: Terminal::new(),
            journal: 1,
            boarded: true,
            disk: Vec::new(),
            unsynced: VecDeque::new(),
            running: None,
            connecting: false,
            acts: VecDeque::new(),
        }
    }

    pub(super) fn act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// Whether it may begin to connect, if it has no socket.
    pub(super) fn may_connect(&self) -> bool {
        self.boarded && !self.connecting
    }

    pub(super) fn connect(&mut self, now: Now, log: &mut Log) {
        self.connecting = true;
        self.terminal.connect();
        self.drain(now, log);
    }

    pub(super) fn lost(&mut self, now: Now, attempt: u64, log: &mut Log) {
        self.terminal.handle_lost(attempt);
        self.drain(now, log);
    }

    pub(super) fn welcome(&mut self, now: Now, attempt: u64, body_limit: u32, log: &mut Log) {
        self.terminal.handle_welcome(attempt, body_limit);
        self.drain(now, log);
    }

    pub(super) fn deliver(&mut self, now: Now, attempt: u64, deliver: Deliver, log: &mut Log) {
        self.terminal.handle_deliver(now, attempt, deliver);
        self.drain(now, log);
    }

    pub(super) fn recorded(&mut self, now: Now, delivery: &DeliveryId, log: &mut Log) {
        self.terminal.handle_recorded(now, delivery);
        self.drain(now, log);
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.terminal.poll_timeout()
    }

    pub(super) fn timeout(&mut self, now: Now, log: &mut Log) {
        self.terminal.handle_timeout(now);
        self.drain(now, log);
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Entries get onto the disk, up to the first one that something waits for; those alone that nothing waits for stay
    /// unsynced, for only a crash could tell the difference. Says which deliveries are stored with them.
    pub(super) fn sync(&mut self, now: Now, log: &mut Log) -> Vec<DeliveryId> {
        let mut stored = Vec::new();
        for _ in 0..self.next_sync() {
            let Some((seq, entry)) = self.unsynced.pop_front() else { break };
            log.say(|| format!("journal: {} is on the disk", describe(&entry)));
            stored.extend(stored_by(&entry));
            self.append(entry);
            self.terminal.handle_stored(now, seq);
        }
        self.drain(now, log);
        stored
    }

    /// Adds to the disk. Entries are kept by delivery, and the highest attempt first: a restart finds the same in them, and
    /// the order in which different deliveries went on makes no states of its own.
    fn append(&mut self, entry: JournalEntry) {
        if let JournalEntry::Attempt(attempt) = entry {
            self.disk.retain(|entry| !matches!(entry, JournalEntry::Attempt(_)));
            return self.disk.insert(0, JournalEntry::Attempt(attempt));
        }
        let delivery = delivery_of(&entry);
        let last = self.disk.iter().rposition(|earlier| delivery_of(earlier) == delivery);
        match last {
            Some(last) => self.disk.insert(last + 1, entry),
            None => self.disk.push(entry),
        }
    }

    /// How many entries the next sync takes.
    pub(super) fn next_sync(&self) -> usize {
        let mut entries = self.unsynced.iter().map(|(_, entry)| entry).peekable();
        let mut count = 0;
        while let Some(entry) = entries.next() {
            count += 1;
            let is_waited_for = match (entry, entries.peek()) {
                (JournalEntry::Recorded(_), _) => false,
                // It was answered as it came, so only the answer is waited for.
                (
                    JournalEntry::Stored { delivery, .. },
                    Some(JournalEntry::Finished { delivery: end, .. }),
                ) => delivery != end,
                _ => true,
            };
            if is_waited_for {
                return count;
            }
        }
        0
    }

    /// The payment that the device works on.
    pub(super) fn running(&self) -> Option<u8> {
        self.running.as_ref().map(|running| running.service)
    }

    /// The card is charged and the response written. Says which payment it was.
    pub(super) fn approve(&mut self, now: Now, card_data: bool, log: &mut Log) -> Option<u8> {
        let running = self.running.take()?;
        let outcome = Outcome::Message(script().approval(running.service, card_data).clone());
        self.terminal.handle_finished(now, &running.delivery, outcome, None);
        self.drain(now, log);
        Some(running.service)
    }

    /// The program is killed and started again. Of what was not synced, the first `survive` entries are on the disk.
    /// Says which deliveries were stored with these.
    pub(super) fn restart(&mut self, now: Now, survive: usize, log: &mut Log) -> Vec<DeliveryId> {
        let survived: Vec<_> = self.unsynced.drain(..).take(survive).map(|(_, entry)| entry).collect();
        let stored = survived.iter().filter_map(stored_by).collect();
        for entry in survived {
            self.append(entry);
        }
        self.begin_again(now, log);
        stored
    }

    /// The last entry that was synced is not there any more: no honest disk does this.
    pub(super) fn tear_journal(&mut self) {
        if !matches!(self.disk.last(), None | Some(JournalEntry::Attempt(_))) {
            self.disk.pop();
        }
    }

    /// The journal is gone, and a new one is made, which is to be boarded (T1).
    pub(super) fn lose_journal(&mut self, now: Now, log: &mut Log) {
        self.journal += 1;
        self.boarded = false;
        self.disk.clear();
        self.begin_again(now, log);
    }

    fn begin_again(&mut self, now: Now, log: &mut Log) {
        self.unsynced.clear();
        self.acts.clear();
        self.running = None;
        self.connecting = false;
        self.terminal = Terminal::restore(now, self.disk.iter().cloned());
        self.drain(now, log);
    }

    /// Deliveries that the gateway has not recorded.
    pub(super) fn unrecorded(&self) -> usize {
        self.terminal.resume().len()
    }

    /// The results on the disk.
    pub(super) fn results_on_disk(&self) -> impl Iterator<Item = (&DeliveryId, &Outcome)> {
        self.disk.iter().filter_map(|entry| match entry {
            JournalEntry::Finished { delivery, outcome, .. } => Some((delivery, outcome)),
            _ => None,
        })
    }

    fn drain(&mut self, now: Now, log: &mut Log) {
        while let Some(effect) = self.terminal.poll_effect() {
            match effect {
                Effect::Journal { seq, entry } => self.unsynced.push_back((seq, entry)),
                Effect::Dial { attempt } => {
                    self.connecting = false;
                    log.say(|| format!("terminal: dials, attempt {attempt}"));
                    let hello = Hello {
                        link_version: 1,
                        journal_id: journal_id(self.journal),
                        attempt,
                        process_id: process_id(),
                        firmware_version: None,
                        platform: None,
                        resume: self.terminal.resume(),
                        device: None,
                    };
                    self.acts.push_back(Act::Dial(Box::new(hello)));
                }
                Effect::Send(frame) => {
                    log.say(|| format!("terminal: sends {}", describe_up(&frame)));
                    self.acts.push_back(Act::Send(frame));
                }
                Effect::Start { delivery, message, .. } => {
                    log.say(|| format!("terminal: starts {delivery}"));
                    self.running = script().service_of(&message).map(|service| Running { delivery, service });
                }
                Effect::Cancel { delivery, stop } => {
                    log.say(|| format!("terminal: is to end {delivery}: {stop:?}"));
                    if let Some(running) = self.running.take_if(|r| r.delivery == delivery) {
                        let outcome = Outcome::Message(script().cancellation(running.service).clone());
                        self.terminal.handle_finished(now, &delivery, outcome, None);
                    }
                }
                Effect::Close(reason) => {
                    log.say(|| format!("terminal: closes its link: {reason:?}"));
                    self.acts.push_back(Act::Close);
                }
            }
        }
    }
}

/// All but the requests on the disk, which the delivery tells.
impl Print for Machine {
    fn print(&self, text: &mut String) {
        let Machine { terminal, journal, boarded, disk, unsynced, running, connecting, acts } = self;
        write_debug(&(terminal, journal, boarded, unsynced, running, connecting, acts), text);
        for entry in disk {
            match entry {
                JournalEntry::Stored { delivery, at, .. } => write_debug(&(delivery, at), text),
                entry => write_debug(entry, text),
            }
        }
    }
}

fn delivery_of(entry: &JournalEntry) -> Option<&DeliveryId> {
    match entry {
        JournalEntry::Stored { delivery, .. }
        | JournalEntry::Started(delivery)
        | JournalEntry::Finished { delivery, .. }
        | JournalEntry::Recorded(delivery) => Some(delivery),
        _ => None,
    }
}

fn stored_by(entry: &JournalEntry) -> Option<DeliveryId> {
    match entry {
        JournalEntry::Stored { delivery, .. } => Some(delivery.clone()),
        _ => None,
    }
}

fn describe(entry: &JournalEntry) -> String {
    match entry {
        JournalEntry::Attempt(attempt) => format!("attempt {attempt}"),
        JournalEntry::Stored { delivery, .. } => format!("that {delivery} came"),
        JournalEntry::Started(delivery) => format!("that {delivery} is being started"),
        JournalEntry::Finished { delivery, outcome, .. } => {
            format!("the end of {delivery} ({})", describe_outcome(outcome))
        }
        JournalEntry::Recorded(delivery) => format!("that {delivery} is recorded"),
        other => format!("{other:?}"),
    }
}

fn describe_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Message(message) => describe_response(message),
        Outcome::Empty => "no message".into(),
        Outcome::Indeterminate(reason) => format!("indeterminate: {reason}"),
    }
}
