//! The deliveries that a terminal remembers: open ones, those that wait for `recorded`, and for 48 h all others (T5).
//!
//! What stays true: a delivery leaves only after 48 h, or as one of too many without money, and never before it is
//! `recorded`; a ServiceID leads to a delivery that is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use nexo::{MessageCategory, MessageClass, MessageHeader, Request, ServiceId};

use crate::id::DeliveryId;
use crate::ledger::is_repeatable;
use crate::time::WallMs;

use super::Stop;
use super::journal::{Execution, ExecutionKind, JournalEntry, Outcome};

/// How long a terminal remembers a transaction (T5, T8).
pub const MEMORY: Duration = Duration::from_secs(48 * 60 * 60);

/// The most transactions that a terminal remembers: one every 2.6 s for 48 h. Once full it starts no more of them.
pub const MEMORY_MAX: usize = 65_536;

/// The most other requests that a terminal remembers, such as diagnoses; the oldest makes room. And the most ServiceIDs that
/// it keeps closed; none of those makes room.
pub const MEMORY_MINOR_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    held: BTreeMap<u64, Held>,
    arrivals: u64,
    by_id: BTreeMap<DeliveryId, u64>,
    /// The first one of a ServiceID counts, until it is forgotten.
    by_service: BTreeSet<(ServiceId, u64)>,
    unrecorded: BTreeSet<u64>,
    /// Those that move no money.
    minor: BTreeSet<u64>,
    executions: Vec<Execution>,
    executed_before: u64,
    /// ServiceIDs that an encrypted NotFound has named, and when.
    fences: BTreeMap<ServiceId, WallMs>,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: DeliveryId,
    pub(super) at: WallMs,
    pub(super) header: Option<Box<MessageHeader>>,
    pub(super) phase: Phase,
    /// Its first entry is on disk.
    pub(super) stored: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// On its way into the journal.
    Storing(Open),
    /// That it is being started is on its way into the journal.
    Starting(Open),
    /// It was started.
    Running(Open),
    /// Its end is on its way into the journal.
    Finishing(Outcome),
    /// Its end is stored.
    Finished(Outcome),
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) message: Bytes,
    /// When the POS gives up, on the monotonic clock.
    pub(super) deadline: Duration,
    pub(super) stop: Option<Stop>,
    /// The link it came by.
    pub(super) attempt: u64,
}

impl Phase {
    pub(super) fn open(&self) -> Option<&Open> {
        match self {
            Phase::Storing(open) | Phase::Starting(open) | Phase::Running(open) => Some(open),
            Phase::Finishing(_) | Phase::Finished(_) => None,
        }
    }
}

impl Memory {
    pub(super) fn insert(&mut self, id: DeliveryId, at: WallMs, header: Option<MessageHeader>, phase: Phase) {
        self.hold(Held { id, at, header: header.map(Box::new), phase, stored: false });
    }

    pub(super) fn find(&self, id: &DeliveryId) -> Option<&Held> {
        self.held.get(self.by_id.get(id)?)
    }

    pub(super) fn open(&self, id: &DeliveryId) -> Option<&Open> {
        self.find(id)?.phase.open()
    }

    pub(super) fn find_service(&self, service: &ServiceId) -> Option<&Held> {
        let (_, arrival) =
            self.by_service.range((service.clone(), 0)..=(service.clone(), u64::MAX)).next()?;
        self.held.get(arrival)
    }

    /// The latest transaction of this Sale system, if need be of one category only.
    pub(super) fn find_last(
        &self,
        header: &MessageHeader,
        category: Option<&MessageCategory>,
    ) -> Option<&Held> {
        self.held.values().rev().find(|held| {
            held.header.as_ref().is_some_and(|h| {
                h.sale_id == header.sale_id
                    && is_repeatable(&h.category)
                    && category.is_none_or(|c| *c == h.category)
            })
        })
    }

    pub(super) fn unrecorded(&self) -> impl Iterator<Item = &Held> {
        self.unrecorded.iter().filter_map(|arrival| self.held.get(arrival))
    }

    pub(super) fn is_unrecorded(&self, id: &DeliveryId) -> bool {
        self.by_id.get(id).is_some_and(|arrival| self.unrecorded.contains(arrival))
    }

    pub(super) fn unrecorded_count(&self) -> usize {
        self.unrecorded.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.len() - self.minor.len() >= MEMORY_MAX
    }

    pub(super) fn executions(&self) -> &[Execution] {
        &self.executions
    }

    pub(super) fn executed_payments(&self) -> u64 {
        self.executed_before + count_payments(&self.executions)
    }

    pub(super) fn note_execution(&mut self, execution: Execution) {
        self.executions.push(execution);
    }

    /// Closes a ServiceID to transactions, for 48 h. Says no when there are too many.
    pub(super) fn fence(&mut self, service: ServiceId, at: WallMs) -> bool {
        if self.fences.len() >= MEMORY_MINOR_MAX && !self.fences.contains_key(&service) {
            return false;
        }
        self.fences.insert(service, at);
        true
    }

    pub(super) fn is_fenced(&self, service: &ServiceId) -> bool {
        self.fences.contains_key(service)
    }

    pub(super) fn set_stored(&mut self, id: &DeliveryId) {
        if let Some(held) = self.find_mut(id) {
            held.stored = true;
        }
    }

    pub(super) fn set_starting(&mut self, id: &DeliveryId) {
        self.change(id, |phase| match phase {
            Phase::Storing(open) => Phase::Starting(open),
            other => other,
        });
    }

    pub(super) fn set_running(&mut self, id: &DeliveryId) -> Option<&Open> {
        self.change(id, |phase| match phase {
            Phase::Starting(open) => Phase::Running(open),
            other => other,
        });
        self.open(id)
    }

    /// Asks an open delivery to stop, once. Says whether it was started.
    pub(super) fn set_stop(&mut self, id: &DeliveryId, stop: Stop) -> Option<bool> {
        let held = self.find_mut(id)?;
        let (open, runs) = match &mut held.phase {
            Phase::Storing(open) | Phase::Starting(open) => (open, false),
            Phase::Running(open) => (open, true),
            Phase::Finishing(_) | Phase::Finished(_) => return None,
        };
        if open.stop.is_some() {
            return None;
        }
        open.stop = Some(stop);
        Some(runs)
    }

    pub(super) fn set_finishing(&mut self, id: &DeliveryId, outcome: Outcome) {
        self.change(id, |_| Phase::Finishing(outcome));
    }

    pub(super) fn set_finished(&mut self, id: &DeliveryId) {
        self.change(id, |phase| match phase {
            Phase::Finishing(outcome) => Phase::Finished(outcome),
            other => other,
        });
    }

    /// A result that the gateway has. Says whether this was news; what is not stored here can't be on its disk.
    pub(super) fn set_recorded(&mut self, id: &DeliveryId) -> bool {
        match (self.by_id.get(id), self.find(id)) {
            (Some(&arrival), Some(Held { phase: Phase::Finished(_), .. })) => {
                self.unrecorded.remove(&arrival)
            }
            _ => false,
        }
    }

    /// Forgets what is older than [`MEMORY`], and the oldest without money when there are too many.
    pub(super) fn forget_old(&mut self, now: WallMs) {
        let limit = now.minus(MEMORY);
        let old: Vec<u64> = self
            .held
            .iter()
            .filter(|(arrival, _)| !self.unrecorded.contains(arrival))
            .take_while(|(_, held)| held.at < limit)
            .map(|(arrival, _)| *arrival)
            .collect();
        let surplus = self.minor.len().saturating_sub(MEMORY_MINOR_MAX);
        let surplus: Vec<u64> =
            self.minor.iter().filter(|a| !self.unrecorded.contains(a)).take(surplus).copied().collect();
        for arrival in old.into_iter().chain(surplus) {
            self.forget(arrival);
        }
        self.fences.retain(|_, at| *at >= limit);
        let kept = self.executions.partition_point(|execution| execution.at < limit);
        self.executed_before += count_payments(&self.executions[..kept]);
        self.executions.drain(..kept);
    }

    /// Takes up an entry of a journal after a restart. What fits nothing before it is passed over.
    pub(super) fn replay(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::Attempt(_) => {}
            JournalEntry::Stored { delivery, at, message } => {
                let header = Request::parse(message.clone()).ok().map(|r| Box::new(r.header().clone()));
                let open = Open { message, deadline: Duration::ZERO, stop: None, attempt: 0 };
                self.hold(Held { id: delivery, at, header, phase: Phase::Storing(open), stored: true });
            }
            JournalEntry::Started(delivery) => self.set_starting(&delivery),
            JournalEntry::Finished { delivery, outcome, execution, .. } => {
                self.set_finishing(&delivery, outcome);
                self.set_finished(&delivery);
                self.executions.extend(execution);
            }
            JournalEntry::Recorded(delivery) => {
                self.set_recorded(&delivery);
            }
            JournalEntry::Remembered { delivery, at, header, outcome, recorded } => {
                self.hold(Held {
                    id: delivery.clone(),
                    at,
                    header,
                    phase: Phase::Finished(outcome),
                    stored: true,
                });
                if recorded {
                    self.set_recorded(&delivery);
                }
            }
            JournalEntry::Fenced { service, at } => {
                self.fence(service, at);
            }
            JournalEntry::Executed(execution) => self.executions.push(execution),
            JournalEntry::ExecutedBefore(count) => self.executed_before = count,
        }
    }

    /// What a restart found open: the request of what was not started, and nothing of what was.
    pub(super) fn interrupted(&self) -> Vec<(DeliveryId, Option<MessageHeader>, Option<Bytes>)> {
        let open = self.unrecorded().filter_map(|held| {
            let message = match &held.phase {
                Phase::Storing(open) => Some(open.message.clone()),
                Phase::Starting(_) | Phase::Running(_) => None,
                Phase::Finishing(_) | Phase::Finished(_) => return None,
            };
            Some((held.id.clone(), held.header.as_deref().cloned(), message))
        });
        open.collect()
    }

    /// Appends the entries that restore this memory.
    pub(super) fn snapshot(&self, entries: &mut Vec<JournalEntry>) {
        entries.push(JournalEntry::ExecutedBefore(self.executed_before));
        entries.extend(self.executions.iter().cloned().map(JournalEntry::Executed));
        let fences = self.fences.iter();
        entries
            .extend(fences.map(|(service, at)| JournalEntry::Fenced { service: service.clone(), at: *at }));
        for (arrival, held) in &self.held {
            let delivery = held.id.clone();
            match &held.phase {
                Phase::Storing(open) | Phase::Starting(open) | Phase::Running(open) => {
                    let message = open.message.clone();
                    entries.push(JournalEntry::Stored { delivery: delivery.clone(), at: held.at, message });
                    if !matches!(held.phase, Phase::Storing(_)) {
                        entries.push(JournalEntry::Started(delivery));
                    }
                }
                Phase::Finishing(outcome) | Phase::Finished(outcome) => {
                    entries.push(JournalEntry::Remembered {
                        delivery,
                        at: held.at,
                        header: held.header.clone(),
                        outcome: outcome.clone(),
                        recorded: !self.unrecorded.contains(arrival),
                    });
                }
            }
        }
    }

    fn hold(&mut self, held: Held) {
        if self.by_id.contains_key(&held.id) {
            return;
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.by_id.insert(held.id.clone(), arrival);
        self.unrecorded.insert(arrival);
        if let Some(service) = service_of(&held) {
            self.by_service.insert((service.clone(), arrival));
        }
        if !held.header.as_ref().is_some_and(|header| is_repeatable(&header.category)) {
            self.minor.insert(arrival);
        }
        self.held.insert(arrival, held);
    }

    fn forget(&mut self, arrival: u64) {
        self.minor.remove(&arrival);
        let Some(held) = self.held.remove(&arrival) else { return };
        self.by_id.remove(&held.id);
        if let Some(service) = service_of(&held) {
            self.by_service.remove(&(service.clone(), arrival));
        }
    }

    fn find_mut(&mut self, id: &DeliveryId) -> Option<&mut Held> {
        self.held.get_mut(self.by_id.get(id)?)
    }

    fn change(&mut self, id: &DeliveryId, change: impl FnOnce(Phase) -> Phase) {
        if let Some(held) = self.find_mut(id) {
            let phase = std::mem::replace(&mut held.phase, Phase::Finished(Outcome::Empty));
            held.phase = change(phase);
        }
    }
}

fn service_of(held: &Held) -> Option<&ServiceId> {
    let header = held.header.as_ref()?;
    header.service_id.as_ref().filter(|_| header.class == MessageClass::Service)
}

fn count_payments(executions: &[Execution]) -> u64 {
    let payments = executions.iter().filter(|execution| execution.kind == ExecutionKind::Payment).count();
    u64::try_from(payments).unwrap_or(u64::MAX)
}
