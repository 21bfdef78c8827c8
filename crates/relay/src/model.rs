//! The ledger in memory: what every store must do, in the fewest lines.
//!
//! Tests drive the relay with it, and hold real stores against it. It keeps nothing on disk.

use std::collections::HashMap;

use nexo::{Kept, PoiId};

use crate::fault::{self, Fault};
use crate::id::{DeliveryId, Epoch, JournalId};
use crate::ledger::{
    AdmitDecision, Boarded, Evidence, ExchangeKey, FenceReason, IDENTITY_HOURS, Op, Outcome, Record, Refused,
    Reply, Told, decide_admit, decide_fence, decide_hello, may_become, proves_receipt,
};
use crate::time::WallMs;

/// Exchanges, fences and boardings of any number of terminals.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    rows: Vec<Row>,
    fences: Vec<Fence>,
    boarded: HashMap<PoiId, Boarded>,
    evidence: Vec<(DeliveryId, Evidence)>,
    told: Vec<Told>,
    notifications: Vec<(DeliveryId, Kept)>,
}

#[derive(Clone, Debug)]
struct Row {
    record: Record,
    company: Box<str>,
}

#[derive(Clone, Debug)]
struct Fence {
    key: ExchangeKey,
    company: Box<str>,
    reason: FenceReason,
    at: WallMs,
}

impl Ledger {
    /// Boards a terminal with this journal; its token before ends, its epoch goes on. With the journal that it had, what
    /// is known of that goes on too: an attempt that was seen stays seen.
    pub fn board(&mut self, poi: PoiId, journal: JournalId, at: WallMs) {
        let epoch = match self.boarded.get(&poi) {
            Some(boarded) if boarded.journal == journal => return,
            Some(boarded) => boarded.epoch,
            None => Epoch(0),
        };
        self.boarded.insert(poi, Boarded { journal, attempt: 0, epoch, at });
    }

    /// The terminal's epoch.
    pub fn epoch(&self, poi: &PoiId) -> Option<Epoch> {
        self.boarded.get(poi).map(|b| b.epoch)
    }

    /// What is known of the terminal's boarding.
    pub fn boarded(&self, poi: &PoiId) -> Option<&Boarded> {
        self.boarded.get(poi)
    }

    /// All exchanges, in the order of their first admission.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.rows.iter().map(|row| &row.record)
    }

    /// All evidence, in the order in which it came.
    pub fn evidence(&self) -> &[(DeliveryId, Evidence)] {
        &self.evidence
    }

    /// Whether a ServiceID was closed.
    pub fn is_fenced(&self, key: &ExchangeKey) -> bool {
        self.fences.iter().any(|f| f.key == *key)
    }

    /// One transaction.
    pub fn apply(&mut self, op: Op) -> Reply {
        match op {
            Op::Admit(admission) => self.admit(*admission),
            Op::Withdraw(delivery) => {
                if let Some(row) = self.row(&delivery)
                    && row.record.outcome == Outcome::Open
                {
                    row.record.outcome = Outcome::Refused(Refused::Withdrawn);
                }
                Reply::Done
            }
            Op::Settle { delivery, outcome, evidence } => {
                let Some(row) = self.row(&delivery) else { return Reply::Missing };
                if !may_become(&row.record.outcome, &outcome) {
                    return Reply::Already(row.record.outcome.clone());
                }
                row.record.received |= proves_receipt(&outcome);
                row.record.outcome = outcome;
                self.evidence.extend(evidence.map(|e| (delivery, e)));
                Reply::Done
            }
            Op::NoteReceived(delivery) => {
                if let Some(row) = self.row(&delivery) {
                    row.record.received = true;
                }
                Reply::Done
            }
            Op::OweWebhook(delivery) => {
                let Some(row) = self.row(&delivery) else { return Reply::Missing };
                row.record.webhook = true;
                Reply::Done
            }
            Op::TakeHello(claim) => {
                let reply = decide_hello(self.boarded.get(&claim.poi), &claim);
                if let (Reply::Raised { epoch, .. }, Some(boarded)) =
                    (&reply, self.boarded.get_mut(&claim.poi))
                {
                    boarded.attempt = claim.attempt;
                    boarded.epoch = *epoch;
                }
                reply
            }
            Op::OpenDeliveries(poi) => {
                let open = |r: &&Record| r.key.poi == poi && r.outcome.is_undecided();
                Reply::Records { records: self.records().filter(open).cloned().collect(), fence: None }
            }
            Op::SettleHello { poi, epoch, settled } => {
                let passed = self.boarded.get(&poi).is_none_or(|b| b.epoch != epoch);
                if passed && !fault::is(Fault::IgnoreEpoch) {
                    return Reply::EpochPassed;
                }
                for (delivery, outcome) in settled {
                    if let Some(row) = self.row(&delivery)
                        && may_become(&row.record.outcome, &outcome)
                    {
                        row.record.received |= proves_receipt(&outcome);
                        row.record.outcome = outcome;
                    }
                }
                Reply::Done
            }
            Op::Look { keys, company, at } => {
                let records = keys
                    .iter()
                    .filter_map(|key| self.latest(key, &company))
                    .filter(|r| r.holds_its_identity(at));
                let records = records.cloned().collect();
                let fence = keys.first().and_then(|key| self.fence(key, &company, at));
                Reply::Records { records, fence }
            }
            Op::FindDelivery(delivery) => {
                let records = self.row(&delivery).map(|row| row.record.clone()).into_iter().collect();
                Reply::Records { records, fence: None }
            }
            Op::Fence { key, company, reason, at } => {
                let found = self.latest(&key, &company);
                if !decide_fence(found, at) {
                    return found.map_or(Reply::Missing, |r| Reply::Found(Box::new(r.clone())));
                }
                self.fences.push(Fence { key, company, reason, at });
                Reply::Done
            }
            Op::Keep { delivery, evidence, .. } => {
                self.evidence.push((delivery, evidence));
                Reply::Done
            }
            Op::NoteTold(told) => {
                self.told.push(told);
                Reply::Done
            }
            Op::NoteDevice { .. } => Reply::Done,
            Op::Notification { id, message, .. } => {
                if self.notifications.iter().all(|(known, _)| *known != id) {
                    self.notifications.push((id, message));
                }
                Reply::Done
            }
        }
    }

    fn admit(&mut self, admission: crate::ledger::Admission) -> Reply {
        let new = admission.record;
        let company = admission.caller.company;
        let epoch = self.boarded.get(&new.key.poi).map_or(Epoch(0), |b| b.epoch);
        let found = self.latest(&new.key, &company);
        match decide_admit(&new, epoch, found, self.fence(&new.key, &company, new.admitted)) {
            AdmitDecision::Insert => {
                let exchange = new.exchange.clone();
                self.rows.push(Row { record: new, company });
                Reply::Admitted(exchange)
            }
            AdmitDecision::TryAgain(exchange) => {
                if let Some(row) = self.rows.iter_mut().rfind(|row| row.record.exchange == exchange) {
                    row.record = Record { exchange: exchange.clone(), ..new };
                }
                Reply::Admitted(exchange)
            }
            AdmitDecision::Found => found.map_or(Reply::Missing, |r| Reply::Found(Box::new(r.clone()))),
            AdmitDecision::Fenced(reason) => Reply::Fenced(reason),
            AdmitDecision::EpochPassed => Reply::EpochPassed,
        }
    }

    fn row(&mut self, delivery: &DeliveryId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.record.delivery == *delivery)
    }

    fn latest(&self, key: &ExchangeKey, company: &str) -> Option<&Record> {
        self.rows
            .iter()
            .rev()
            .find(|row| row.record.key == *key && *row.company == *company)
            .map(|row| &row.record)
    }

    fn fence(&self, key: &ExchangeKey, company: &str, at: WallMs) -> Option<FenceReason> {
        let lasts = IDENTITY_HOURS * 60 * 60 * 1000;
        self.fences
            .iter()
            .rev()
            .find(|f| f.key == *key && *f.company == *company && at.0.saturating_sub(f.at.0) < lasts)
            .map(|f| f.reason)
    }
}
