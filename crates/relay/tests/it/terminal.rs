//! The terminal: the relay's own, with the device, the disk and the world that it acts on.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use nexo::{MessageHeader, Request, Response, ServiceId};
use relay::terminal::{Effect, JournalEntry, Outcome, Terminal};
use relay::{Deliver, DeliveryId, JournalId, Now, ResultMessage, ToGateway};

use crate::message::response;

/// Money has moved.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) service: ServiceId,
    /// What the POS wanted: the sale's own identification.
    pub(crate) intention: String,
}

/// What the terminal does to its link.
#[derive(Debug)]
pub(crate) enum Act {
    Dial(u64),
    Send(ToGateway),
    Close,
}

#[derive(Debug)]
pub(crate) struct Device {
    terminal: Terminal,
    pub(crate) journal: JournalId,
    /// Of the latest connect that was dialled.
    pub(crate) attempt: u64,
    disk: Vec<JournalEntry>,
    unsynced: VecDeque<(u64, JournalEntry)>,
    /// Whether what is appended is on the disk at once.
    pub(crate) syncs: bool,
    running: Option<Running>,
    acts: VecDeque<Act>,
    /// The world's memory of what the terminal did: no crash and no lost journal takes it away.
    pub(crate) executions: Vec<Execution>,
    /// Every response that was ever handed to the gateway, with its delivery.
    pub(crate) responses: Vec<(DeliveryId, Bytes)>,
    /// The latest result of each delivery.
    results: HashMap<DeliveryId, ToGateway>,
    /// Deliveries that were on the disk.
    pub(crate) stored: Vec<DeliveryId>,
    numbers: u64,
}

/// What the device has been told to do.
#[derive(Debug)]
struct Running {
    delivery: DeliveryId,
    request: Request,
    charged: bool,
}

impl Device {
    pub(crate) fn new(journal: &str) -> Device {
        Device {
            terminal: Terminal::new(),
            journal: JournalId::parse(journal).expect("an ID"),
            attempt: 0,
            disk: Vec::new(),
            unsynced: VecDeque::new(),
            syncs: true,
            running: None,
            acts: VecDeque::new(),
            executions: Vec::new(),
            responses: Vec::new(),
            results: HashMap::new(),
            stored: Vec::new(),
            numbers: 0,
        }
    }

    /// Loses its memory and keeps its journal's name: no honest terminal does.
    pub(crate) fn forget_all(&mut self, now: Now) {
        self.disk = vec![JournalEntry::Attempt(self.attempt)];
        self.begin_again(now);
    }

    /// Discards the journal; the next one must be boarded (T1).
    pub(crate) fn lose_journal(&mut self, now: Now, journal: &str) {
        self.journal = JournalId::parse(journal).expect("an ID");
        self.attempt = 0;
        self.disk.clear();
        self.begin_again(now);
    }

    /// The program is killed and started again (T6). What was not on the disk is lost.
    pub(crate) fn restart(&mut self, now: Now) {
        self.begin_again(now);
    }

    fn begin_again(&mut self, now: Now) {
        self.unsynced.clear();
        self.acts.clear();
        self.running = None;
        self.terminal = Terminal::restore(now, self.disk.clone());
        self.drain(now);
    }

    /// Begins to connect; [`Act::Dial`] follows when the attempt is on the disk (T2, T3).
    pub(crate) fn connect(&mut self, now: Now) {
        self.acts.clear();
        self.terminal.connect();
        self.drain(now);
    }

    /// What is appended gets onto the disk.
    pub(crate) fn sync(&mut self, now: Now, count: usize) -> bool {
        let count = count.min(self.unsynced.len());
        let landed: Vec<_> = self.unsynced.drain(..count).collect();
        let Some((last, _)) = landed.last() else { return false };
        let last = *last;
        for (_, entry) in landed {
            if let JournalEntry::Stored { delivery, .. } = &entry {
                self.stored.push(delivery.clone());
            }
            self.disk.push(entry);
        }
        self.terminal.handle_stored(now, last);
        self.drain(now);
        true
    }

    /// The next thing to do to the link.
    pub(crate) fn act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub(crate) fn lost(&mut self, now: Now, attempt: u64) {
        self.terminal.handle_lost(attempt);
        self.drain(now);
    }

    pub(crate) fn welcome(&mut self, now: Now, attempt: u64) {
        self.terminal.handle_welcome(attempt, 131_072);
        self.drain(now);
    }

    pub(crate) fn deliver(&mut self, now: Now, attempt: u64, deliver: Deliver) {
        self.terminal.handle_deliver(now, attempt, deliver);
        self.drain(now);
    }

    pub(crate) fn recorded(&mut self, now: Now, delivery: &DeliveryId) {
        self.terminal.handle_recorded(now, delivery);
        self.drain(now);
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.terminal.poll_timeout()
    }

    pub(crate) fn timeout(&mut self, now: Now) {
        self.terminal.handle_timeout(now);
        self.drain(now);
    }

    /// Deliveries that are stored and not recorded.
    pub(crate) fn resume(&self) -> Vec<DeliveryId> {
        self.terminal.resume()
    }

    /// The results that are stored and not recorded.
    pub(crate) fn unrecorded(&mut self) -> Vec<ToGateway> {
        let frame = |(delivery, outcome): (&DeliveryId, &Outcome)| match outcome.clone() {
            Outcome::Message(message) => ToGateway::Result(delivery.clone(), ResultMessage::Message(message)),
            Outcome::Empty => ToGateway::Result(delivery.clone(), ResultMessage::Empty),
            Outcome::Indeterminate(reason) => ToGateway::Indeterminate(delivery.clone(), reason),
        };
        let results: Vec<_> = self.terminal.results().map(frame).collect();
        for result in &results {
            self.note(result);
        }
        results
    }

    /// What was handed in as the result of a delivery.
    pub(crate) fn result(&self, delivery: &DeliveryId) -> Option<&ToGateway> {
        self.results.get(delivery)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// One step of what runs: the card is charged, then there is a result.
    pub(crate) fn work(&mut self, now: Now) -> bool {
        let Some(running) = &mut self.running else { return false };
        if running.charged {
            let (delivery, header) = (running.delivery.clone(), running.request.header().clone());
            self.finish(now, &delivery, &header, None);
        } else {
            running.charged = true;
            if let Some(sale) = running.request.sale_transaction_id() {
                let service = running.request.service_id().clone();
                self.executions.push(Execution { service, intention: sale.transaction_id });
            }
        }
        true
    }

    fn finish(&mut self, now: Now, delivery: &DeliveryId, header: &MessageHeader, condition: Option<&str>) {
        self.numbers += 1;
        let message = response(header, condition, self.numbers);
        self.running = None;
        assert!(self.terminal.handle_finished(now, delivery, Outcome::Message(message), None));
        self.drain(now);
    }

    /// A second, different response for something that was answered: no honest terminal does this.
    pub(crate) fn contradict(&mut self, index: usize) -> Option<ToGateway> {
        let (delivery, message) = self.responses.get(index)?.clone();
        let header = Response::parse(message).ok()?.header().clone();
        self.numbers += 1;
        let message = response(&header, Some("Refusal"), self.numbers);
        self.responses.push((delivery.clone(), message.clone()));
        Some(ToGateway::Result(delivery, ResultMessage::Message(message)))
    }

    fn note(&mut self, frame: &ToGateway) {
        let (ToGateway::Result(delivery, _) | ToGateway::Indeterminate(delivery, _)) = frame else { return };
        self.results.insert(delivery.clone(), frame.clone());
        if let ToGateway::Result(_, ResultMessage::Message(message)) = frame {
            let said = (delivery.clone(), message.clone());
            if !self.responses.contains(&said) {
                self.responses.push(said);
            }
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(effect) = self.terminal.poll_effect() {
            match effect {
                Effect::Journal { seq, entry } => {
                    self.unsynced.push_back((seq, entry));
                }
                Effect::Dial { attempt } => {
                    self.attempt = attempt;
                    self.acts.push_back(Act::Dial(attempt));
                }
                Effect::Send(frame) => {
                    self.note(&frame);
                    self.acts.push_back(Act::Send(frame));
                }
                Effect::Start { delivery, message, .. } => {
                    let request = Request::parse(message).expect("a request");
                    assert!(self.running.is_none(), "two at once");
                    self.running = Some(Running { delivery, request, charged: false });
                }
                Effect::Cancel { delivery, .. } => {
                    if let Some(running) = self.running.take_if(|r| r.delivery == delivery && !r.charged) {
                        let header = running.request.header().clone();
                        self.finish(now, &delivery, &header, Some("Aborted"));
                    }
                }
                Effect::Close(_) => self.acts.push_back(Act::Close),
            }
        }
        if self.syncs {
            self.sync(now, usize::MAX);
        }
    }
}
