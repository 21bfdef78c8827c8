//! A terminal opens a link: the epoch first, then what it proves about open deliveries, then the welcome (E2, E14).

use std::time::Duration;

use nexo::KeptText;

use super::{Desk, Effect, HELLO_MAX, HELLOS_MAX, LinkOrder, OPS_MAX, Purpose, State};
use crate::fault::{self, Fault};
use crate::frame::{Hello, ToTerminal, Welcome};
use crate::id::{ConnectionId, DeliveryId, Epoch};
use crate::ledger::{Cannot, HelloClaim, LedgerError, Op, Outcome, Record, Reply};
use crate::link::CloseReason;
use crate::presence::Lease;
use crate::time::{Now, WallMs};

/// A `hello` that has come in on a socket, and the `welcome` that it gets if it is accepted.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// What the terminal says.
    pub hello: Hello,
    /// What it will be told; `connectionId` names the socket.
    pub welcome: Welcome,
}

/// A `hello` that is being taken, or waits for an earlier one.
#[derive(Clone, Debug)]
pub(super) struct PendingHello {
    arrival: Arrival,
    since: Duration,
    stage: Stage,
    /// Its socket has ended meanwhile: the epoch it raised stands, but nobody is there to be welcomed.
    gone: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    Waiting,
    /// Step 1: the conditional write.
    Claiming,
    /// Step 2: open deliveries are read.
    Reading {
        epoch: Epoch,
        journal_boarded: WallMs,
    },
    /// Step 2: what it proved is being committed.
    Settling {
        epoch: Epoch,
        journal_boarded: WallMs,
        settled: Vec<(DeliveryId, Outcome)>,
    },
}

impl PendingHello {
    pub(super) fn due(&self) -> Duration {
        self.since + HELLO_MAX
    }

    /// Whether what it proved about this delivery is on its way to the disk.
    pub(super) fn settles(&self, delivery: &DeliveryId) -> bool {
        matches!(&self.stage, Stage::Settling { settled, .. } if settled.iter().any(|(d, _)| d == delivery))
    }

    fn connection(&self) -> &ConnectionId {
        &self.arrival.welcome.connection_id
    }
}

impl Desk {
    /// A terminal has said `hello`. Its socket will be given the `welcome`, or a close with the reason.
    pub fn handle_hello(&mut self, now: Now, mut arrival: Arrival) {
        if fault::is(Fault::DropResume) {
            arrival.hello.resume.clear();
        }
        if self.hellos.len() >= HELLOS_MAX || self.ops.len() >= OPS_MAX {
            let connection = arrival.welcome.connection_id;
            return self.farewell(connection, CloseReason::Draining);
        }
        self.hellos.push_back(PendingHello { arrival, since: now.mono, stage: Stage::Waiting, gone: false });
        self.claim_next(now);
        self.conclude(now);
    }

    fn claim_next(&mut self, now: Now) {
        while let Some(pending) = self.hellos.front_mut() {
            if !matches!(pending.stage, Stage::Waiting) {
                return;
            }
            if pending.gone {
                self.hellos.pop_front();
                continue;
            }
            pending.stage = Stage::Claiming;
            pending.since = now.mono;
            let hello = &pending.arrival.hello;
            let claim = HelloClaim {
                poi: self.poi.clone(),
                journal: hello.journal_id.clone(),
                attempt: hello.attempt,
                firmware_version: hello.firmware_version.as_deref().map(KeptText::of),
                platform: hello.platform.as_deref().map(KeptText::of),
                device: hello.device.as_ref().map(|d| KeptText::of(d.0.get())),
                at: now.wall,
            };
            let connection = pending.connection().clone();
            self.store(Purpose::Hello(connection), Op::TakeHello(Box::new(claim)));
            return;
        }
        self.admit_held(now);
    }

    pub(super) fn hello_replied(
        &mut self,
        now: Now,
        connection: &ConnectionId,
        reply: Result<Reply, LedgerError>,
    ) {
        let Some(pending) = self.hellos.front_mut() else { return };
        if pending.connection() != connection {
            return;
        }
        match (&mut pending.stage, reply) {
            (Stage::Claiming, Ok(Reply::Raised { epoch, journal_boarded })) => {
                pending.stage = Stage::Reading { epoch, journal_boarded };
                let connection = connection.clone();
                self.store(Purpose::Hello(connection), Op::OpenDeliveries(self.poi.clone()));
            }
            (Stage::Claiming, Ok(Reply::StaleHello { .. })) => {
                self.hello_failed(now, CloseReason::Protocol("stale hello".into()));
            }
            (Stage::Claiming, Ok(Reply::WrongJournal | Reply::NotBoarded)) => {
                self.hello_failed(now, CloseReason::BoardAgain);
            }
            (Stage::Reading { epoch, journal_boarded }, Ok(Reply::Records { records, .. })) => {
                let (epoch, journal_boarded) = (*epoch, *journal_boarded);
                self.settle_by_hello(now, epoch, journal_boarded, records);
            }
            (Stage::Settling { epoch, journal_boarded, settled }, Ok(Reply::Done)) => {
                let (epoch, journal_boarded) = (*epoch, *journal_boarded);
                let settled = std::mem::take(settled);
                self.welcome(now, epoch, journal_boarded, settled);
            }
            _ => self.hello_failed(now, CloseReason::Draining),
        }
    }

    fn settle_by_hello(&mut self, now: Now, epoch: Epoch, journal_boarded: WallMs, records: Vec<Record>) {
        let Some(pending) = self.hellos.front() else { return };
        let hello = &pending.arrival.hello;
        let resumed = |r: &&Record| !r.received && hello.resume.contains(&r.delivery);
        let resumed: Vec<_> = records.iter().filter(resumed).map(|r| r.delivery.clone()).collect();
        let settled: Vec<_> = records
            .into_iter()
            .filter_map(|record| {
                let open = self.exchanges.iter().find(|x| x.record.delivery == record.delivery);
                // An outcome that is on its way to the disk already is not for this hello to decide.
                if open.is_some_and(|x| matches!(x.state, State::Settling(_) | State::Withdrawing { .. })) {
                    return None;
                }
                let unwritten = open.is_some_and(super::Exchange::is_unwritten);
                if unwritten && fault::is(Fault::DeliverTwice) {
                    return None;
                }
                let received = record.received || open.is_some_and(|x| x.record.received);
                let outcome = proved(&record, received, unwritten, hello, self.facts.complete_since)?;
                Some((record.delivery, outcome))
            })
            .collect();
        let connection = pending.connection().clone();
        for delivery in resumed {
            if let Some(index) = self.find_delivery(&delivery) {
                self.has_it(index);
            }
            self.store(Purpose::Note, Op::NoteReceived(delivery));
        }
        if settled.is_empty() {
            return self.welcome(now, epoch, journal_boarded, settled);
        }
        if let Some(pending) = self.hellos.front_mut() {
            pending.stage = Stage::Settling { epoch, journal_boarded, settled: settled.clone() };
        }
        let op = Op::SettleHello { poi: self.poi.clone(), epoch, settled };
        self.store(Purpose::Hello(connection), op);
    }

    /// Step 3: the older link ends, the new one is present, and whoever waited for what it proved hears it.
    fn welcome(
        &mut self,
        now: Now,
        epoch: Epoch,
        journal_boarded: WallMs,
        settled: Vec<(DeliveryId, Outcome)>,
    ) {
        let Some(PendingHello { arrival: Arrival { hello, welcome }, gone, .. }) = self.hellos.pop_front()
        else {
            return;
        };
        if !gone {
            self.answer_checks(true);
        }
        let mut closing = None;
        if self.lease().is_some_and(|l| l.connection == welcome.connection_id) {
            // The same socket, under another journal: it is taken over, and stays open for as long as it would have.
            closing = self.closing.take();
            self.lose_link(now);
        } else {
            self.end_link(now, CloseReason::Replaced { winner: hello.process_id.clone() });
        }
        if gone {
            self.apply(now, settled);
            return self.claim_next(now);
        }
        let mut welcome = welcome;
        self.bring_up_to_date(&mut welcome);
        let connection = welcome.connection_id.clone();
        let lease = Lease {
            connection: welcome.connection_id.clone(),
            epoch,
            journal: hello.journal_id,
            journal_boarded,
            process: hello.process_id,
            since: now.wall,
        };
        self.presence.arrive(lease);
        self.owed = hello.resume;
        self.presence.close_down(closing.is_some());
        self.closing = closing;
        self.checks.alive_at = Some(now.mono);
        self.order(LinkOrder::Frame(ToTerminal::Welcome(Box::new(welcome))));
        self.ask_for_removal(connection);
        self.apply(now, settled);
        self.claim_next(now);
    }

    /// What a `hello` proved is on disk; those who wait in memory hear it.
    fn apply(&mut self, now: Now, settled: Vec<(DeliveryId, Outcome)>) {
        for (delivery, outcome) in settled {
            self.alarm_if_final(&delivery, &outcome);
            let Some(index) = self.find_delivery(&delivery) else { continue };
            match self.exchanges[index].state {
                State::Queued if fault::is(Fault::IgnoreEpoch) => {}
                State::Loose | State::Queued | State::Written { .. } => {
                    self.finish(now, index, &outcome, None);
                }
                _ => {}
            }
        }
    }

    /// The hello is not accepted. Unless the ledger said no, its epoch may stand: then nothing may be written to an older
    /// link any more, and nothing is taken over.
    fn hello_failed(&mut self, now: Now, reason: CloseReason) {
        let Some(pending) = self.hellos.pop_front() else { return };
        if reason == CloseReason::Draining {
            self.end_link(now, CloseReason::Draining);
        }
        if !pending.gone {
            self.farewell(pending.connection().clone(), reason);
        }
        self.claim_next(now);
    }

    pub(super) fn hello_timeouts(&mut self, now: Now) {
        if self.hellos.front().is_some_and(|h| now.mono >= h.due()) {
            self.hello_failed(now, CloseReason::Draining);
        }
    }

    pub(super) fn hello_gone(&mut self, now: Now, connection: &ConnectionId) {
        if let Some(pending) = self.hellos.iter_mut().find(|h| h.connection() == connection) {
            pending.gone = true;
            self.claim_next(now);
        }
    }

    pub(super) fn farewell(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.farewells.push((connection.clone(), LinkOrder::Close(reason)));
        self.effects.push_back(Effect::Wake(connection));
    }
}

/// What a `hello` proves about an open delivery (E14); nothing when its terminal has it and will report.
fn proved(
    record: &Record,
    received: bool,
    unwritten: bool,
    hello: &Hello,
    complete_since: WallMs,
) -> Option<Outcome> {
    if hello.resume.contains(&record.delivery) {
        return None;
    }
    if unwritten {
        return Some(Outcome::NeverReached);
    }
    if record.admitted < complete_since {
        return Some(Outcome::UnknownFinal(Cannot::LedgerIncomplete));
    }
    if record.journal.as_ref() != Some(&hello.journal_id) {
        return Some(match fault::is(Fault::JournalLostAndBelieved) {
            true => Outcome::NeverReached,
            false => Outcome::UnknownFinal(Cannot::JournalLost),
        });
    }
    if received {
        return Some(Outcome::UnknownFinal(Cannot::Forgotten));
    }
    Some(Outcome::NeverReached)
}
