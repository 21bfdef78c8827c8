//! Who is connected, and the one place where each terminal's open exchanges live.
//!
//! Every terminal that is connected, or that somebody asks for, has a [`Desk`] here, behind a mutex that is held for
//! microseconds and never over an `.await`. This module only carries out what a desk decides: it hands ops to the store
//! in the order given, wakes the desk when time has passed, and passes answers on. It has no rule of its own about money.
//!
//! What stays true: there is at most one desk per terminal, and whoever waits for something of a desk takes his name off
//! when he goes, whatever the way.

mod changes;
mod fleet;
mod link_handle;
mod replies;
mod timers;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nexo::{KeptText, MessageCategory, PoiId};
use relay::exchange::{Answer, Call, Desk, Effect, Heard, OpId, Report, Source, Standing};
use relay::ledger::{LedgerError, LedgerFacts, Op, Reply};
use relay::{CallId, ConnectionId, DeliveryId, GRACE, Now, Status, WallMs};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::fault::{self, Fault};
use crate::ids::CallIds;
use crate::store::fleet_store::{Activity, TokenId};
use crate::store::{LedgerAnswer, Store};

use changes::{Changes, Noted};
use fleet::Confirmations;
pub(crate) use fleet::Confirmed;
pub(crate) use link_handle::LinkHandle;
use link_handle::Wake;
use replies::Replies;
use timers::Timers;

/// Shards of the map of desks: enough that two cores seldom meet at one lock.
const SHARDS: usize = 64;

/// All desks of this node.
#[derive(Debug)]
pub(crate) struct Presence {
    store: Arc<dyn Store>,
    clock: Clock,
    facts: LedgerFacts,
    exchanges_max: usize,
    started: Duration,
    calls: CallIds,
    tokens_ended: AtomicU64,
    shards: Vec<Mutex<HashMap<PoiId, Arc<Counter>>>>,
    hasher: RandomState,
    timers: Arc<Timers>,
    replies: Arc<Replies>,
    changes: Changes,
    confirmations: Confirmations,
    /// The activity of terminals whose sockets ended since it was asked for last.
    departed: Mutex<HashMap<PoiId, Activity>>,
    tasks: TaskTracker,
}

/// How a terminal's connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A welcomed link stands.
    Online {
        /// That link.
        connection: ConnectionId,
        /// When the terminal was welcomed.
        since: WallMs,
        /// When anything last came from it.
        last_activity: WallMs,
    },
    /// It was lost less than 60 s ago.
    Reconnecting,
    /// It is not there.
    Offline,
}

/// A desk and those who wait at it.
#[derive(Debug)]
pub(crate) struct Counter {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    desk: Desk,
    /// The desk has left the map: whoever still holds it must ask again.
    retired: bool,
    /// When the timers will look at this desk again, the next time last.
    armed: Vec<Duration>,
    /// In the order in which they were opened.
    links: Vec<(ConnectionId, Arc<Wake>)>,
    /// The highest `attempt` that was given to a `hello` made here, while this desk lives.
    attempt: u64,
    /// What was last told about the terminal's connection.
    noted: Noted,
    /// Which socket that was, as a hash of its ID.
    noted_socket: Option<u64>,
    /// The highest revision of settings that the terminal was told over a link, while this desk lives.
    told_revision: u64,
    /// The token that it was given over its link and has not confirmed yet.
    next_token: Option<TokenId>,
    /// When it last had a transaction that was not noted yet.
    last_transaction: Option<WallMs>,
    /// Until when its activity was noted.
    activity_noted: WallMs,
    calls: Vec<(CallId, oneshot::Sender<Heard>)>,
    checks: Vec<(CallId, oneshot::Sender<bool>)>,
    hand_ins: Vec<(CallId, DeliveryId, oneshot::Sender<Option<String>>)>,
}

impl Presence {
    /// An empty node. `store` is where its desks keep their ledger, each for `exchanges_max` open exchanges; its timers end
    /// when it is `stopped`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        facts: LedgerFacts,
        exchanges_max: usize,
        tasks: TaskTracker,
        stopped: CancellationToken,
    ) -> Arc<Presence> {
        let presence = Arc::new(Presence {
            store,
            clock,
            facts,
            exchanges_max,
            started: clock.now().mono,
            calls: CallIds::default(),
            tokens_ended: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            timers: Arc::default(),
            replies: Arc::default(),
            changes: Changes::default(),
            confirmations: Confirmations::default(),
            departed: Mutex::default(),
            tasks,
        });
        timers::spawn(&presence, stopped.clone());
        replies::spawn(&presence, stopped);
        presence
    }

    /// The clocks that its desks are driven by.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// A number for a new call.
    pub(crate) fn next_call(&self) -> CallId {
        self.calls.next()
    }

    /// Whether a welcomed link of this terminal stands.
    pub(crate) fn is_online(&self, poi: &PoiId) -> bool {
        let counter = lock(self.shard(poi)).get(poi).cloned();
        counter.is_some_and(|c| lock(&c.inner).desk.presence().route().is_some())
    }

    /// How this terminal's connection stands.
    pub(crate) fn seen(&self, poi: &PoiId) -> Seen {
        let counter = lock(self.shard(poi)).get(poi).cloned();
        let Some(counter) = counter else { return Seen::Offline };
        let now = self.clock.now();
        let inner = lock(&counter.inner);
        let presence = inner.desk.presence();
        match (presence.route(), presence.status(now)) {
            (Some(lease), _) => {
                let wake = inner.links.iter().find(|(c, _)| *c == lease.connection);
                let last_activity = wake.map_or(lease.since, |(_, wake)| wake.heard().max(lease.since));
                Seen::Online { connection: lease.connection.clone(), since: lease.since, last_activity }
            }
            (None, Status::Reconnecting) => Seen::Reconnecting,
            (None, _) => Seen::Offline,
        }
    }

    /// The terminals that came or went since it was asked last, each once; waits until there are any. For one task alone. Cancel
    /// safe.
    pub(crate) async fn changed(&self) -> Vec<PoiId> {
        self.changes.next().await
    }

    /// Asks the terminal itself, by a ping that all who ask share: a fact, not a memory. Takes at most 3 s.
    pub(crate) async fn check(self: &Arc<Self>, poi: &PoiId) -> bool {
        let (sender, receiver) = oneshot::channel();
        let call = self.next_call();
        let counter = self.with_desk(poi, |inner, now| {
            inner.checks.push((call, sender));
            inner.desk.handle_check(now, call);
        });
        let _leave = Leave { presence: self, counter, call };
        receiver.await.unwrap_or(false)
    }

    /// Hands a call to its terminal's desk and waits for the answer. The caller may go away at any time: the exchange
    /// goes on without it (E12). With `barred` the call is told why it may not be sent, unless it was sent before.
    pub(crate) async fn call(
        self: &Arc<Self>,
        standing: Standing,
        barred: Option<&str>,
        call: Call,
    ) -> Heard {
        let (sender, receiver) = oneshot::channel();
        let id = call.id;
        let poi = call.request.header().poi_id.clone();
        let category = &call.request.header().category;
        let is_transaction = *category == MessageCategory::PAYMENT || *category == MessageCategory::REVERSAL;
        let start = |inner: &mut Inner, now| {
            inner.calls.push((id, sender));
            match barred {
                None => inner.desk.handle_call(now, call),
                Some(why) => inner.desk.handle_barred(now, call, why),
            }
        };
        let counter = match standing {
            Standing::Known => self.with_desk(&poi, start),
            Standing::Unknown => {
                let counter = self.counter(&poi, standing);
                self.drive(&counter, start);
                counter
            }
        };
        let leave = Leave { presence: self, counter, call: id };
        let heard = receiver.await;
        let heard = heard.unwrap_or(Heard { answer: Answer::TryAgain, repeated: false, exchange: None });
        if is_transaction && !heard.repeated && matches!(heard.answer, Answer::Response(_) | Answer::Ok) {
            lock(&leave.counter.inner).last_transaction = Some(self.clock.now().wall);
        }
        heard
    }

    /// The terminal was boarded again: the link that its former token opened ends.
    pub(crate) fn token_ended(self: &Arc<Self>, poi: &PoiId) {
        // Counted first: a socket that is not attached yet sees the count, one that is sees the close.
        self.tokens_ended.fetch_add(1, Ordering::SeqCst);
        self.with_desk(poi, |inner, now| {
            let connections = inner.links.iter().map(|(connection, _)| connection.clone());
            inner.desk.handle_token_ended(now, connections);
        });
    }

    /// How many tokens have ended while this node ran: one that was good before is to be looked up again if this has
    /// changed by the time that its socket is attached.
    pub(crate) fn tokens_ended(&self) -> u64 {
        self.tokens_ended.load(Ordering::SeqCst)
    }

    /// Hands in a result outside of a link, and waits until it is on disk; the outer `None` when that takes too long.
    pub(crate) async fn hand_in(
        self: &Arc<Self>,
        poi: &PoiId,
        delivery: DeliveryId,
        report: Report,
        wait: Duration,
    ) -> Option<Option<String>> {
        let (sender, receiver) = oneshot::channel();
        let call = self.next_call();
        let counter = self.with_desk(poi, |inner, now| {
            inner.hand_ins.push((call, delivery.clone(), sender));
            inner.desk.handle_report(now, Source::Maintenance(call), delivery, report);
        });
        let _leave = Leave { presence: self, counter, call };
        tokio::time::timeout(wait, receiver).await.ok()?.ok()
    }

    /// Keeps changed telemetry. Nobody waits for it, and the next `hello` brings it anyway.
    pub(crate) fn note_device(&self, poi: &PoiId, device: &[u8]) {
        // It was read as JSON, so it is UTF-8.
        let device = KeptText::of(&String::from_utf8_lossy(device));
        self.store.submit(Op::NoteDevice { poi: poi.clone(), device }, LedgerAnswer::unheard());
    }

    /// Writes down what a Sale system was told. Nobody waits for it.
    pub(crate) fn note_told(&self, told: relay::ledger::Told) {
        self.store.submit(Op::NoteTold(told), LedgerAnswer::unheard());
    }

    fn shard(&self, poi: &PoiId) -> &Mutex<HashMap<PoiId, Arc<Counter>>> {
        let hash = self.hasher.hash_one(poi);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }

    fn counter(&self, poi: &PoiId, standing: Standing) -> Arc<Counter> {
        let desk = Desk::new(poi.clone(), standing, self.facts, self.exchanges_max, self.started);
        Arc::new(Counter {
            inner: Mutex::new(Inner {
                desk,
                retired: false,
                armed: Vec::new(),
                links: Vec::new(),
                attempt: 0,
                noted: Noted::default(),
                noted_socket: None,
                told_revision: 0,
                next_token: None,
                last_transaction: None,
                activity_noted: WallMs(0),
                calls: Vec::new(),
                checks: Vec::new(),
                hand_ins: Vec::new(),
            }),
        })
    }

    /// Runs `input` at the terminal's desk and carries out what follows from it.
    fn with_desk(self: &Arc<Self>, poi: &PoiId, input: impl FnOnce(&mut Inner, Now)) -> Arc<Counter> {
        loop {
            let counter = {
                let mut shard = lock(self.shard(poi));
                let counter = shard.entry(poi.clone()).or_insert_with(|| self.counter(poi, Standing::Known));
                counter.clone()
            };
            let inner = lock(&counter.inner);
            if inner.retired {
                drop(inner);
                self.forget(poi); // It was given up between the two locks.
                continue;
            }
            self.run(&counter, inner, input);
            return counter;
        }
    }

    /// The same for a desk that is already in hand.
    fn drive(self: &Arc<Self>, counter: &Arc<Counter>, input: impl FnOnce(&mut Inner, Now)) {
        self.run(counter, lock(&counter.inner), input);
    }

    fn run(
        self: &Arc<Self>,
        counter: &Arc<Counter>,
        mut inner: MutexGuard<'_, Inner>,
        input: impl FnOnce(&mut Inner, Now),
    ) {
        let now = self.clock.now();
        input(&mut inner, now);
        self.carry_out(counter, inner, now);
    }

    fn carry_out(self: &Arc<Self>, counter: &Arc<Counter>, mut inner: MutexGuard<'_, Inner>, now: Now) {
        while let Some(effect) = inner.desk.poll_effect() {
            match effect {
                Effect::Store(id, op) => {
                    // Queued here, under the desk's lock: ops of one desk reach the store in the order it decided them.
                    self.store.submit(op, self.replies.answer(counter, id));
                }
                Effect::Answer(call, heard) => {
                    let waits = |(c, _): &(CallId, _)| *c == call || fault::is(Fault::WrongWaiterWoken);
                    if let Some(index) = inner.calls.iter().position(waits) {
                        // A POS that has hung up meanwhile hears nothing; its exchange is as it is.
                        let _ = inner.calls.swap_remove(index).1.send(heard);
                    }
                }
                Effect::Recorded(call, delivery, problem) => {
                    let waits = |(c, d, _): &(CallId, DeliveryId, _)| *c == call && *d == delivery;
                    if let Some(index) = inner.hand_ins.iter().position(waits) {
                        let _ = inner.hand_ins.swap_remove(index).2.send(problem);
                    }
                }
                Effect::Checked(call, alive) => {
                    if let Some(index) = inner.checks.iter().position(|(c, _)| *c == call) {
                        let _ = inner.checks.swap_remove(index).1.send(alive);
                    }
                }
                Effect::Wake(connection) => {
                    if let Some((_, wake)) = inner.links.iter().find(|(c, _)| *c == connection) {
                        wake.now();
                    }
                }
                Effect::Alarm(delivery, what) => {
                    tracing::error!(poi.id = %inner.desk.poi(), delivery.id = %delivery, "{what}");
                }
                Effect::Applied { revision, .. } => {
                    tracing::debug!(poi.id = %inner.desk.poi(), revision, "settings applied");
                }
                Effect::ConfigRemoved { change, .. } => {
                    self.confirmations.put(inner.desk.poi(), |said| said.removed = Some(change));
                }
                Effect::TokenStored { .. } => {
                    if let Some(token) = inner.next_token.take() {
                        self.confirmations.put(inner.desk.poi(), |said| said.stored = Some(token));
                    }
                }
            }
        }
        let noted = Noted::of(inner.desk.presence(), now);
        if inner.noted != noted {
            inner.noted = noted;
            let lease = inner.desk.presence().route();
            let socket = lease.map(|lease| self.hasher.hash_one(&lease.connection));
            // A terminal that was introduced again on the same socket has neither come nor gone.
            let is_same = socket.is_some() && socket == inner.noted_socket;
            inner.noted_socket = socket;
            if !is_same {
                self.changes.put(inner.desk.poi());
            }
        }
        self.look_again(counter, &mut inner, now);
        inner.let_go();
        if inner.retired {
            let poi = inner.desk.poi().clone();
            drop(inner);
            self.forget(&poi);
        }
    }

    fn ledger_replied(self: &Arc<Self>, counter: &Arc<Counter>, op: OpId, reply: Result<Reply, LedgerError>) {
        let now = self.clock.now();
        let mut inner = lock(&counter.inner);
        inner.desk.handle_ledger(now, op, reply);
        self.carry_out(counter, inner, now);
    }

    /// Arms the timers for the desk's next deadline, or lets go of a desk that nobody needs.
    fn look_again(self: &Arc<Self>, counter: &Arc<Counter>, inner: &mut Inner, now: Now) {
        // When a lost terminal is no longer about to come back, somebody may want to know.
        let given_up = inner.desk.presence().forgotten_at().filter(|at| *at > now.mono);
        let given_up = given_up.map(|at| at.min(now.mono + GRACE));
        let due = match (inner.desk.poll_timeout(), given_up) {
            (Some(due), given_up) => Some(given_up.map_or(due, |at| at.min(due))),
            (None, Some(at)) => Some(at),
            (None, None) => {
                inner.retired = !inner.is_needed();
                None
            }
        };
        if let Some(due) = due
            && inner.armed.last().is_none_or(|next| due < *next)
        {
            inner.armed.push(due);
            self.timers.arm(due, counter);
        }
    }

    /// Each socket has to look up, because the node stops.
    fn wake_sockets(&self) {
        for shard in &self.shards {
            let counters: Vec<_> = lock(shard).values().cloned().collect();
            for counter in counters {
                for (_, wake) in &lock(&counter.inner).links {
                    wake.now();
                }
            }
        }
    }

    /// A timer has come.
    fn wake_up(self: &Arc<Self>, counter: &Arc<Counter>) {
        let mut inner = lock(&counter.inner);
        inner.armed.pop();
        if inner.retired {
            return;
        }
        let now = self.clock.now();
        inner.desk.handle_timeout(now);
        self.carry_out(counter, inner, now);
    }

    /// Takes a retired desk out of the map.
    fn forget(&self, poi: &PoiId) {
        let mut shard = lock(self.shard(poi));
        if shard.get(poi).is_some_and(|counter| lock(&counter.inner).retired) {
            shard.remove(poi);
        }
    }
}

impl Inner {
    /// Gives back the room that nobody waits in.
    fn let_go(&mut self) {
        if self.calls.is_empty() {
            self.calls = Vec::new();
        }
        if self.checks.is_empty() {
            self.checks = Vec::new();
        }
        if self.hand_ins.is_empty() {
            self.hand_ins = Vec::new();
        }
    }

    fn is_needed(&self) -> bool {
        !self.desk.is_idle()
            || self.desk.presence().lease().is_some()
            || !(self.links.is_empty()
                && self.calls.is_empty()
                && self.checks.is_empty()
                && self.hand_ins.is_empty())
    }
}

/// Takes a waiting call off its desk when the one who waits goes away, or has its answer.
struct Leave<'a> {
    presence: &'a Arc<Presence>,
    counter: Arc<Counter>,
    call: CallId,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if fault::is(Fault::WaiterNotRemoved) {
            return;
        }
        let call = self.call;
        self.presence.drive(&self.counter, |inner, _| {
            inner.calls.retain(|(c, _)| *c != call);
            inner.checks.retain(|(c, _)| *c != call);
            inner.hand_ins.retain(|(c, ..)| *c != call);
            inner.desk.handle_hang_up(call);
        });
    }
}

/// A panic elsewhere must not take every terminal's payments with it: a desk's own state is whole between inputs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
