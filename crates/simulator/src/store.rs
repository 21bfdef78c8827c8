//! The simulated disk under the ledger: queues, batches, and every way in which they fail.
//!
//! What it obeys, as a real store does: ops of one lane run in their order; a batch is wholly on disk or not at all; and
//! only what was answered with success is surely there.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use relay::exchange::OpId;
use relay::ledger::{Lane, LedgerError, Op, Reply};
use relay::model::Ledger;
use relay::{DeliveryId, JournalId, WallMs};

use crate::actions::{Change, Changed, Opened, Transactions, Waiter};
use crate::chance::Chance;
use crate::network::ConnectionNumber;

/// Jobs of each lane in one batch. Below the real bound, so that batches end in the middle of things; but enough for what a slow
/// disk has to keep up with.
const BATCH_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Store {
    /// What is on disk.
    pub(crate) ledger: Ledger,
    /// The requests of its exchanges, as they are kept, by delivery.
    pub(crate) requests: BTreeMap<DeliveryId, Bytes>,
    /// Payments of Actions desktops.
    pub(crate) transactions: Transactions,
    /// Terminal tokens, on the same disk.
    pub(crate) tokens: Vec<Token>,
    money: VecDeque<Job>,
    rest: VecDeque<Job>,
    /// What is being committed.
    batch: Vec<Job>,
    pub(crate) mood: Mood,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) terminal: usize,
    pub(crate) ended: bool,
}

/// How the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Every transaction fails and leaves nothing behind.
    Failing,
    /// Every transaction is on disk, and its end is a failure all the same.
    FailingLate,
    /// Each batch fares differently.
    Flickering,
    /// Nothing is taken.
    Full,
}

#[derive(Debug)]
pub(crate) enum Job {
    Op {
        desk: usize,
        id: OpId,
        op: Op,
    },
    /// Nobody waits for it.
    Note(Op),
    Board(Boarding),
    /// An Actions terminal's journal.
    Open(Opened),
    /// Something about a desktop's payment.
    Change(Waiter, Change),
}

/// A terminal's `board` call.
#[derive(Clone, Debug)]
pub(crate) struct Boarding {
    pub(crate) terminal: usize,
    pub(crate) journal: JournalId,
    pub(crate) at: WallMs,
    pub(crate) connection: ConnectionNumber,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Done {
    /// Nobody waits for it.
    Note,
    Op {
        desk: usize,
        id: OpId,
        reply: Result<Reply, LedgerError>,
    },
    /// The new token; none if it could not be made.
    Boarded(Boarding, Option<String>),
    Opened(Opened, Result<(), LedgerError>),
    Changed(Waiter, Change, Result<Changed, LedgerError>),
}

impl Store {
    /// Takes a job. Says so at once if it can't.
    pub(crate) fn submit(&mut self, job: Job) -> Option<Done> {
        if self.mood == Mood::Full {
            return Some(job.failed(LedgerError::Full));
        }
        let lane = match &job {
            Job::Op { op, .. } | Job::Note(op) => op.lane(),
            Job::Board(_) | Job::Open(_) | Job::Change(..) => Lane::Money,
        };
        match lane {
            Lane::Money => self.money.push_back(job),
            Lane::Rest => self.rest.push_back(job),
        }
        None
    }

    /// Begins the next batch if there is something to commit and none is under way.
    pub(crate) fn begin(&mut self) -> bool {
        if !self.batch.is_empty() || (self.money.is_empty() && self.rest.is_empty()) {
            return false;
        }
        let money = self.money.len().min(BATCH_MAX);
        self.batch.extend(self.money.drain(..money));
        // Never more than one batch of money goes before the rest.
        let rest = self.rest.len().min(BATCH_MAX);
        self.batch.extend(self.rest.drain(..rest));
        true
    }

    /// The batch under way ends.
    pub(crate) fn commit(&mut self, chance: &mut Chance) -> Vec<Done> {
        let mood = match self.mood {
            Mood::Flickering => {
                chance.pick(&[Mood::Well, Mood::Well, Mood::Failing, Mood::FailingLate]).unwrap_or_default()
            }
            mood => mood,
        };
        let jobs = std::mem::take(&mut self.batch);
        jobs.into_iter()
            .map(|job| match mood {
                Mood::Failing => job.failed(LedgerError::Failed),
                Mood::FailingLate => self.apply(job).but_failed(),
                Mood::Well | Mood::Full | Mood::Flickering => self.apply(job),
            })
            .collect()
    }

    /// The gateway's process dies: what was being committed is there or not, and what waited is not. Says whether anything
    /// was under way.
    pub(crate) fn crash(&mut self, is_committed: bool) -> bool {
        let was_busy = !self.batch.is_empty();
        for job in std::mem::take(&mut self.batch) {
            if is_committed {
                self.apply(job);
            }
        }
        self.money.clear();
        self.rest.clear();
        was_busy
    }

    pub(crate) fn token(&self, text: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.text == text)
    }

    fn apply(&mut self, job: Job) -> Done {
        match job {
            Job::Op { desk, id, op } => {
                if let Op::Admit(admission) = &op {
                    let message = admission.message.bytes().clone();
                    self.requests.insert(admission.record.delivery.clone(), message);
                }
                Done::Op { desk, id, reply: Ok(self.ledger.apply(op)) }
            }
            Job::Change(waiter, change) => {
                let done = self.transactions.apply(change.clone());
                Done::Changed(waiter, change, Ok(done))
            }
            Job::Open(opened) => {
                let poi = crate::world::poi_id(opened.terminal);
                self.ledger.board(poi, opened.journal.clone(), opened.at);
                Done::Opened(opened, Ok(()))
            }
            Job::Note(op) => {
                self.ledger.apply(op);
                Done::Note
            }
            Job::Board(boarding) => {
                self.ledger.board(
                    crate::world::poi_id(boarding.terminal),
                    boarding.journal.clone(),
                    boarding.at,
                );
                for token in self.tokens.iter_mut().filter(|token| token.terminal == boarding.terminal) {
                    token.ended = true;
                }
                let text = format!("token-{}", self.tokens.len());
                self.tokens.push(Token { text: text.clone(), terminal: boarding.terminal, ended: false });
                Done::Boarded(boarding, Some(text))
            }
        }
    }
}

impl Job {
    fn failed(self, error: LedgerError) -> Done {
        match self {
            Job::Op { desk, id, .. } => Done::Op { desk, id, reply: Err(error) },
            Job::Note(_) => Done::Note,
            Job::Board(boarding) => Done::Boarded(boarding, None),
            Job::Open(opened) => Done::Opened(opened, Err(error)),
            Job::Change(waiter, change) => Done::Changed(waiter, change, Err(error)),
        }
    }
}

impl Done {
    fn but_failed(self) -> Done {
        match self {
            Done::Op { desk, id, .. } => Done::Op { desk, id, reply: Err(LedgerError::Failed) },
            Done::Note => Done::Note,
            Done::Boarded(boarding, _) => Done::Boarded(boarding, None),
            Done::Opened(opened, _) => Done::Opened(opened, Err(LedgerError::Failed)),
            Done::Changed(waiter, change, _) => Done::Changed(waiter, change, Err(LedgerError::Failed)),
        }
    }
}
