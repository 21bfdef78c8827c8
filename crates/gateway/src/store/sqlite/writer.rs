//! The one writer: it owns the connection that writes, and commits in groups.
//!
//! What stays true: jobs of one lane run in the order in which they were queued; an answer is given only after the
//! COMMIT of its transaction; a job that fails is rolled back alone, and a COMMIT that fails answers no job of its batch
//! with success; and both queues are bounded.
//!
//! A batch is whatever has gathered while the one before was being committed: money first, and then about as many notes.
//! So a lone op waits for nothing, and under load many share the one fsync.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use relay::ledger::{Lane, LedgerError, Op, Outcome, Reply};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::Checkpoints;
use super::ledger;
use crate::fault::{self, Fault};
use crate::store::{LedgerAnswer, Pending, StoreError, WallClock};

/// Jobs in one transaction. Beyond some hundred the fsync's share of each is small already, and a longer transaction
/// only makes its first job wait.
const BATCH_JOBS_MAX: usize = 512;

/// Bytes in one transaction: what a slow disk (40 MB/s) writes in 50 ms. A batch ends with the job that reaches it.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Jobs that wait in the money lane: what 10,000/s bring in 1.6 s. Whoever comes later would be withdrawn before its
/// turn, since an admission waits 2 s at most.
const MONEY_JOBS_MAX: usize = 16 * 1024;

/// Jobs of the money lane that only other ops than admissions may take: an overload turns new requests away before it
/// holds up results, withdrawals and hellos.
const MONEY_RESERVED: usize = 4 * 1024;

/// Ops that wait in the rest lane: the notes that those of the money lane leave behind them.
const REST_JOBS_MAX: usize = 16 * 1024;

/// Bytes that wait in one lane: half of what both lanes may take of the memory of a small machine.
const LANE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Notes that go along with a batch of money, beyond one for each of its jobs: an exchange leaves as many notes as it has
/// jobs, so they never gather, and each costs a few microseconds.
const REST_WITH_MONEY: usize = 16;

/// Fewer jobs of money than this let others have the core once before they are committed.
const MONEY_GATHERS: usize = 16;

/// How long notes gather before they are committed without money: nobody waits for them, the next payment takes them along,
/// and it need not wait for an fsync of theirs.
const REST_LINGER: Duration = Duration::from_millis(20);

/// How much later than its replies a transaction is committed by a store with the fault for that: long enough for a kill to
/// come between.
const COMMIT_LATE: Duration = Duration::from_millis(250);

/// How often a database that can't be written is tried again while nobody has anything to write: then whoever asks whether the
/// gateway is ready learns within this time that it is.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What a job adds to the bytes of its lane beside its message.
const JOB_BYTES: usize = 512;

/// The queues and the thread behind them. Dropping it runs what is queued and then ends the thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<Queues>,
    wake: Condvar,
    /// The last transaction failed.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Queues {
    money: Queue,
    rest: Queue,
    /// Nothing is taken any more; what is queued still runs.
    stopping: bool,
    /// The thread has ended: nothing runs any more.
    ended: bool,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
}

#[derive(Debug)]
struct Job {
    bytes: usize,
    work: Work,
}

enum Work {
    Op(Op, LedgerAnswer),
    Command(Box<dyn Command>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A write that is no ledger op.
trait Command: Send {
    /// Runs inside the transaction and keeps its answer. False when it is to be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Whether it may be run once more after it was rolled back.
    fn is_repeatable(&self) -> bool;

    /// Gives the answer that was kept, or the failure of the transaction.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

impl Writer {
    /// Starts the thread. `clock` gives the time of those ops that bring none.
    pub(super) fn start(
        connection: Connection,
        checkpoints: Arc<Checkpoints>,
        clock: WallClock,
    ) -> std::io::Result<Writer> {
        let shared = Arc::new(Shared::default());
        let worker = Worker { shared: Arc::clone(&shared), connection, checkpoints, clock, no_room: false };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || worker.run())?;
        Ok(Writer { shared, thread: Some(thread) })
    }

    /// Whether the last that was written got there.
    pub(super) fn works(&self) -> bool {
        !self.shared.failing.load(Ordering::Relaxed)
    }

    /// Queues a ledger op in its lane.
    pub(super) fn submit(&self, op: Op, answer: LedgerAnswer) {
        let lane = op.lane();
        let jobs_max = match (&op, lane) {
            (Op::Admit(_), _) => MONEY_JOBS_MAX - MONEY_RESERVED,
            (_, Lane::Money) => MONEY_JOBS_MAX,
            (_, Lane::Rest) => REST_JOBS_MAX,
        };
        let bytes = JOB_BYTES + message_bytes(&op);
        let refused = self.shared.queue(lane, jobs_max, Job { bytes, work: Work::Op(op, answer) });
        if let Err(refused) = refused
            && let (StoreError::Full, Job { work: Work::Op(_, answer), .. }) = *refused
        {
            answer.give(Err(LedgerError::Full));
        }
    }

    /// Queues any other write, in the money lane. Whatever it wrote is undone when it returns an error.
    pub(super) fn write<T, E, F>(&self, work: F) -> Pending<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.command(Lane::Money, 0, Box::new(Write { work: Some(work), result: None, sender }), receiver)
    }

    /// Queues a write that goes with payments all day: it may be run twice, so that its batch needs no savepoints.
    /// `bytes` is what it brings along.
    pub(super) fn write_repeatable<T, F>(&self, lane: Lane, bytes: usize, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.command(lane, bytes, Box::new(RepeatableWrite { work, result: None, sender }), receiver)
    }

    fn command<T, E>(
        &self,
        lane: Lane,
        bytes: usize,
        command: Box<dyn Command>,
        answer: oneshot::Receiver<Result<T, E>>,
    ) -> Pending<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let jobs_max = match lane {
            Lane::Money => MONEY_JOBS_MAX,
            Lane::Rest => REST_JOBS_MAX,
        };
        let job = Job { bytes: JOB_BYTES + bytes, work: Work::Command(command) };
        match self.shared.queue(lane, jobs_max, job) {
            Ok(()) => Box::pin(async { answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into())) }),
            Err(refused) => Box::pin(std::future::ready(Err(refused.0.into()))),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked, and everybody who waited for it has been told.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that is not taken comes back.
    fn queue(&self, lane: Lane, jobs_max: usize, job: Job) -> Result<(), Box<(StoreError, Job)>> {
        let mut queues = self.lock();
        if queues.stopping || queues.ended {
            return Err(Box::new((StoreError::Closed, job)));
        }
        let queue = match lane {
            Lane::Money => &mut queues.money,
            Lane::Rest => &mut queues.rest,
        };
        if queue.jobs.len() >= jobs_max || queue.bytes + job.bytes > LANE_BYTES_MAX {
            return Err(Box::new((StoreError::Full, job)));
        }
        queue.bytes += job.bytes;
        queue.jobs.push_back(job);
        // The thread sleeps only while both are empty, or while notes gather that are fewer than a batch.
        let wakes = queue.jobs.len() == 1 || (lane == Lane::Rest && queue.jobs.len() == BATCH_JOBS_MAX);
        drop(queues);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }
}

impl Queue {
    /// Moves up to `jobs_max` jobs, and no more bytes than a batch may have, to the end of `batch`.
    fn move_into(&mut self, batch: &mut Vec<Job>, jobs_max: usize) {
        let mut bytes = 0;
        for _ in 0..jobs_max {
            if bytes >= BATCH_BYTES_MAX {
                return;
            }
            let Some(job) = self.jobs.pop_front() else { return };
            self.bytes -= job.bytes;
            bytes += job.bytes;
            batch.push(job);
        }
    }
}

/// What the thread owns.
struct Worker {
    shared: Arc<Shared>,
    connection: Connection,
    checkpoints: Arc<Checkpoints>,
    clock: WallClock,
    /// An op of this batch found no room, and was rolled back alone.
    no_room: bool,
}

/// A job that has run in a transaction which is not committed yet.
enum Ran {
    Op(LedgerAnswer, Result<Reply, LedgerError>),
    Command(Box<dyn Command>),
}

impl Ran {
    /// Gives the answer that it has, for it is on disk.
    fn answer(self) {
        match self {
            Ran::Op(answer, reply) => answer.give(reply),
            Ran::Command(command) => command.answer(None),
        }
    }
}

impl Worker {
    fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.shared));
        while let Some(batch) = self.shared.next_batch() {
            if batch.is_empty() {
                self.try_again();
                continue;
            }
            self.commit(batch);
            self.checkpoints.committed(&self.connection);
            // Those whom it answered have more for the next batch: on a busy core they get to say so first, on an idle one
            // this costs nothing.
            std::thread::yield_now();
        }
    }

    /// One transaction: all its jobs, then the COMMIT, then all answers.
    fn commit(&mut self, batch: Vec<Job>) {
        let mut ran = Vec::with_capacity(batch.len());
        self.no_room = false;
        let changes = self.connection.total_changes();
        match self.transaction(batch, &mut ran) {
            Ok(()) => {
                // One that had nothing to write proves nothing.
                if !self.no_room && self.connection.total_changes() > changes {
                    self.note_success();
                }
                ran.into_iter().for_each(Ran::answer);
            }
            Err((error, rest)) => {
                self.roll_back();
                self.note_failure(&error);
                for job in ran {
                    match job {
                        Ran::Op(answer, _) => answer.give(Err(LedgerError::Failed)),
                        Ran::Command(command) => command.answer(Some(StoreError::from(&error))),
                    }
                }
                for job in rest {
                    match job.work {
                        Work::Op(_, answer) => answer.give(Err(LedgerError::Failed)),
                        Work::Command(command) => command.answer(Some(StoreError::from(&error))),
                    }
                }
            }
        }
    }

    /// Runs the jobs and commits. On failure nothing of it counts, and the jobs that have not run come back.
    fn transaction(
        &mut self,
        batch: Vec<Job>,
        ran: &mut Vec<Ran>,
    ) -> Result<(), (rusqlite::Error, std::vec::IntoIter<Job>)> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Err((error, batch.into_iter()));
        }
        let Some(batch) =
            self.run_all_at_once(batch, ran).map_err(|(error, batch)| (error, batch.into_iter()))?
        else {
            return self.end(ran).map_err(|error| (error, Vec::new().into_iter()));
        };
        let mut batch = batch.into_iter();
        while let Some(job) = batch.next() {
            if let Err(error) = self.run_job(job, ran) {
                return Err((error, batch));
            }
        }
        self.end(ran).map_err(|error| (error, batch))
    }

    /// The COMMIT.
    fn end(&self, ran: &mut Vec<Ran>) -> Result<(), rusqlite::Error> {
        if fault::is(Fault::AnswerBeforeCommit) {
            ran.extract_if(.., |job| matches!(job, Ran::Op(..))).for_each(Ran::answer);
            std::thread::sleep(COMMIT_LATE);
        }
        self.execute("COMMIT")
    }

    /// Runs a batch without a savepoint for each job, which costs a sixth of all: hardly any job ever fails. If one does, all
    /// are undone and come back, to be run one by one. Jobs that can't be run twice come back at once.
    fn run_all_at_once(
        &self,
        mut batch: Vec<Job>,
        ran: &mut Vec<Ran>,
    ) -> Result<Option<Vec<Job>>, (rusqlite::Error, Vec<Job>)> {
        if batch.iter().any(|job| matches!(&job.work, Work::Command(command) if !command.is_repeatable())) {
            return Ok(Some(batch));
        }
        let mut replies = Vec::with_capacity(batch.len());
        let all_ran = batch.iter_mut().all(|job| match &mut job.work {
            Work::Op(op, _) => {
                ledger::apply(&self.connection, op, &*self.clock).map(|reply| replies.push(reply)).is_ok()
            }
            Work::Command(command) => command.run(&self.connection),
        });
        if !all_ran {
            let begun_again = match self.connection.is_autocommit() {
                true => Ok(()), // SQLite itself has rolled back.
                false => self.execute("ROLLBACK"),
            };
            return match begun_again.and_then(|()| self.execute("BEGIN IMMEDIATE")) {
                Ok(()) => Ok(Some(batch)),
                Err(error) => Err((error, batch)),
            };
        }
        let mut replies = replies.into_iter();
        ran.extend(batch.into_iter().map(|job| match job.work {
            // Each op has left a reply, in order.
            Work::Op(_, answer) => Ran::Op(answer, replies.next().ok_or(LedgerError::Failed)),
            Work::Command(command) => Ran::Command(command),
        }));
        Ok(None)
    }

    /// Runs one job in a savepoint. An error is one of the transaction: it is lost as a whole.
    fn run_job(&mut self, job: Job, ran: &mut Vec<Ran>) -> Result<(), rusqlite::Error> {
        let begun = self.execute("SAVEPOINT job");
        let keep = match job.work {
            Work::Op(op, answer) => {
                let name = op_name(&op);
                let reply = match &begun {
                    Ok(()) => ledger::apply(&self.connection, &op, &*self.clock).map_err(|error| {
                        self.note_op_failure(name, &error);
                        LedgerError::Failed
                    }),
                    Err(_) => Err(LedgerError::Failed),
                };
                let keep = reply.is_ok();
                ran.push(Ran::Op(answer, reply));
                keep
            }
            Work::Command(mut command) => {
                let keep = begun.is_ok() && command.run(&self.connection);
                ran.push(Ran::Command(command));
                keep
            }
        };
        begun?;
        if self.connection.is_autocommit() {
            // SQLite itself has rolled everything back, as it may when the disk fails.
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                None,
            ));
        }
        if !keep {
            self.execute("ROLLBACK TO job")?;
        }
        self.execute("RELEASE job")
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Writes what is there already, to find out whether the database can be written again.
    fn try_again(&self) {
        let version = || self.connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        let tried = self.execute("BEGIN IMMEDIATE").and_then(|()| {
            // Unlike a row that is replaced by an equal one, this is always written.
            self.connection.pragma_update(None, "user_version", version()?)?;
            self.execute("COMMIT")
        });
        match tried {
            Ok(()) => self.note_success(),
            Err(_) => self.roll_back(),
        }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction can't be rolled back");
        }
    }

    fn note_success(&self) {
        if self.shared.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the database can be written again");
        }
    }

    /// Said once, and once more when it is over.
    fn note_failure(&self, error: &rusqlite::Error) {
        if !self.shared.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database can't be written; every write fails until it can");
        }
    }

    fn note_op_failure(&mut self, op: &'static str, error: &StoreError) {
        match error {
            StoreError::NoRoom(_) | StoreError::Busy => {
                self.no_room = true;
                if !self.shared.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(op, %error, "the database can't be written; writes fail until it can");
                }
            }
            _ => tracing::error!(op, %error, "a ledger op failed"),
        }
    }
}

impl Shared {
    /// Waits for jobs and takes a batch; none when all is done and the writer is to stop. An empty one when it is time to see
    /// whether a database that failed works again.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let is_idle = |q: &mut Queues| q.money.jobs.is_empty() && q.rest.jobs.is_empty() && !q.stopping;
        let mut queues = if self.failing.load(Ordering::Relaxed) {
            let waited = self.wake.wait_timeout_while(self.lock(), TRY_AGAIN, is_idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            self.wake.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner)
        };
        if is_idle(&mut queues) {
            return Some(Vec::new());
        }
        let gathers =
            |q: &mut Queues| q.money.jobs.is_empty() && q.rest.jobs.len() < BATCH_JOBS_MAX && !q.stopping;
        if queues.money.jobs.len() < MONEY_GATHERS {
            // Whoever has just queued the first one is about to queue more, if it is on this very core.
            drop(queues);
            std::thread::yield_now();
            queues = self.lock();
        }
        queues = self
            .wake
            .wait_timeout_while(queues, REST_LINGER, gathers)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let mut batch = Vec::new();
        queues.money.move_into(&mut batch, BATCH_JOBS_MAX);
        let notes = if batch.is_empty() { BATCH_JOBS_MAX } else { batch.len() + REST_WITH_MONEY };
        queues.rest.move_into(&mut batch, notes);
        (!batch.is_empty()).then_some(batch)
    }
}

/// Marks the thread as ended, whatever ended it, so that nobody waits for it.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        queues.ended = true;
        let (money, rest) = (std::mem::take(&mut queues.money), std::mem::take(&mut queues.rest));
        drop(queues);
        drop((money, rest)); // Each answer that goes is `Failed`.
    }
}

struct Write<T, E, F> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    sender: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Command for Write<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn is_repeatable(&self) -> bool {
        false
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let _ = self.sender.send(what_became(failed, self.result));
    }
}

struct RepeatableWrite<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Command for RepeatableWrite<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result.insert((self.work)(connection)).is_ok()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let _ = self.sender.send(what_became(failed, self.result));
    }
}

/// The answer to a write that has run, or has not.
fn what_became<T, E: From<StoreError>>(
    failed: Option<StoreError>,
    result: Option<Result<T, E>>,
) -> Result<T, E> {
    match (failed, result) {
        // What it found out by itself says more than that its transaction went down.
        (Some(_), Some(Err(error))) | (None, Some(Err(error))) => Err(error),
        (Some(error), _) => Err(error.into()),
        (None, Some(Ok(value))) => Ok(value),
        (None, None) => Err(StoreError::Closed.into()),
    }
}

impl Work {
    fn name(&self) -> &'static str {
        match self {
            Work::Op(op, _) => op_name(op),
            Work::Command(_) => "Write",
        }
    }
}

fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Admit(_) => "Admit",
        Op::Withdraw(_) => "Withdraw",
        Op::Settle { .. } => "Settle",
        Op::NoteReceived(_) => "NoteReceived",
        Op::TakeHello(_) => "TakeHello",
        Op::OpenDeliveries(_) => "OpenDeliveries",
        Op::SettleHello { .. } => "SettleHello",
        Op::Look { .. } => "Look",
        Op::FindDelivery(_) => "FindDelivery",
        Op::Fence { .. } => "Fence",
        Op::Keep { .. } => "Keep",
        Op::NoteTold(_) => "NoteTold",
        Op::NoteDevice { .. } => "NoteDevice",
        Op::Notification { .. } => "Notification",
        Op::OweWebhook(_) => "OweWebhook",
    }
}

fn message_bytes(op: &Op) -> usize {
    let answer = |outcome: &Outcome| match outcome {
        Outcome::Answered(relay::ledger::Answered::Message(message)) => message.bytes().len(),
        _ => 0,
    };
    match op {
        Op::Admit(admission) => admission.message.bytes().len(),
        Op::Settle { outcome, evidence, .. } => {
            answer(outcome) + evidence.as_ref().map_or(0, |evidence| evidence.message.bytes().len())
        }
        Op::SettleHello { settled, .. } => {
            settled.iter().map(|(_, outcome)| JOB_BYTES + answer(outcome)).sum()
        }
        Op::TakeHello(claim) => claim.device.as_ref().map_or(0, |device| device.as_str().len()),
        Op::Look { keys, .. } => keys.len() * JOB_BYTES,
        Op::Keep { evidence, .. } => evidence.message.bytes().len(),
        Op::NoteDevice { device, .. } => device.as_str().len(),
        Op::Notification { message, .. } => message.bytes().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use relay::DeliveryId;

    use super::*;

    impl Shared {
        fn put(&self, lane: Lane, jobs: usize, bytes: usize) {
            for _ in 0..jobs {
                let delivery = DeliveryId::parse("d_1").unwrap();
                let work = Work::Op(Op::Withdraw(delivery), LedgerAnswer::unheard());
                self.queue(lane, usize::MAX, Job { bytes, work }).unwrap();
            }
        }

        fn left(&self) -> (usize, usize) {
            let queues = self.lock();
            (queues.money.jobs.len(), queues.rest.jobs.len())
        }
    }

    #[test]
    fn money_goes_first_and_takes_notes_along() {
        let shared = Shared::default();
        shared.put(Lane::Rest, 2000, 1);
        shared.put(Lane::Money, BATCH_JOBS_MAX + 1, 1);
        let mut batches = Vec::new();
        while shared.left() != (0, 0) {
            let before = shared.left();
            shared.next_batch().unwrap();
            let after = shared.left();
            batches.push((before.0 - after.0, before.1 - after.1));
        }
        let with_a_lone_one = 1 + REST_WITH_MONEY;
        let left = 2000 - BATCH_JOBS_MAX - REST_WITH_MONEY - with_a_lone_one;
        assert_eq!(
            batches,
            [
                (BATCH_JOBS_MAX, BATCH_JOBS_MAX + REST_WITH_MONEY),
                (1, with_a_lone_one),
                (0, BATCH_JOBS_MAX),
                (0, BATCH_JOBS_MAX),
                (0, left - 2 * BATCH_JOBS_MAX),
            ]
        );
    }

    #[test]
    fn a_batch_ends_with_the_job_that_fills_it() {
        let shared = Shared::default();
        shared.put(Lane::Money, 3, BATCH_BYTES_MAX / 2 + 1);
        let sizes = [(); 2].map(|()| shared.next_batch().unwrap().len());
        assert_eq!(sizes, [2, 1]);
        assert_eq!(shared.lock().money.bytes, 0);
        // One that is larger than a batch goes alone.
        shared.put(Lane::Money, 2, 3 * BATCH_BYTES_MAX);
        assert_eq!(shared.next_batch().unwrap().len(), 1);
    }

    #[test]
    fn a_writer_that_stops_finishes_first() {
        let shared = Shared::default();
        shared.put(Lane::Rest, 1, 1);
        shared.lock().stopping = true;
        assert_eq!(shared.next_batch().map(|batch| batch.len()), Some(1));
        assert!(shared.next_batch().is_none());
    }
}
