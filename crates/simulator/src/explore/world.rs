//! One state of the small world, and what each step makes of it.

use std::time::Duration;

use relay::exchange::{Answer, Desk, EXCHANGES_MAX, Effect, Heard, ReplyMode, Standing, StatusAnswer};
use relay::ledger::{Caller, Lane, LedgerError, LedgerFacts, Op, Reply};
use relay::model::Ledger;
use relay::{Now, WallMs};

use super::invariant::{Seen, Violation};
use super::log::{Log, describe_op};
use super::machine::Machine;
use super::net::Net;
use super::pos::{self, Asked, Call, Pos, Want};
use super::print::{Part, fingerprint, write_debug};
use super::script::{LAST_PAYMENT, call_id, delivery_id, exchange_id, journal_id, script, service_name};
use super::step::Step;
use super::store::{Queue, writes};

/// How long each POS waits: the longest that one may (E11).
const WAIT: Duration = Duration::from_secs(150);

/// When the exploration begins. The wall clock stands still: nothing reads it that does not take hours (E3, E16, E19).
const START: Now = Now { mono: Duration::from_secs(1000), wall: WallMs(1_800_000_000_000) };

/// What may still be spent on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) calls: u8,
    pub(super) faults: u8,
    pub(super) ticks: u8,
    /// Calls that do not wait for the end are made too.
    pub(super) asynchronous: bool,
    /// Approvals show a card number, so that the ledger can't tell them again (E24).
    pub(super) card_data: bool,
}

/// A way in which the world may be worse than the rules allow for: then something must be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Weakness {
    /// None: the world keeps its promises
    #[default]
    None,
    /// A gateway that crashes loses exchanges that the store had acknowledged
    ForgetfulStore,
    /// A terminal that crashes loses the last entry that its disk had synced
    ForgetfulDisk,
    /// A POS pays anew when it is told that nobody knows
    CarelessPos,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Now,
    pub(super) desk: Part<Desk>,
    pub(super) ledger: Part<Ledger>,
    pub(super) queue: Part<Queue>,
    pub(super) machine: Part<Machine>,
    pub(super) net: Part<Net>,
    pub(super) pos: Part<Pos>,
    /// What was seen of money and answers: no crash takes it away.
    pub(super) seen: Seen,
    pub(super) left: Budget,
    pub(super) weakness: Weakness,
}

impl World {
    /// A boarded terminal that has not connected yet, a gateway that has just started, an empty ledger.
    pub(super) fn absent(left: Budget, weakness: Weakness) -> World {
        let mut ledger = Ledger::default();
        ledger.board(script().poi.clone(), journal_id(1), START.wall.minus(Duration::from_secs(86_400)));
        World {
            now: START,
            desk: Part::new(new_desk(START)),
            ledger: Part::new(ledger),
            queue: Part::new(Queue::default()),
            machine: Part::new(Machine::new()),
            net: Part::new(Net::default()),
            pos: Part::new(Pos { is_careless: weakness == Weakness::CarelessPos, ..Pos::default() }),
            seen: Seen::default(),
            left,
            weakness,
        }
    }

    /// The same, and the terminal has just been welcomed. Nothing can go wrong on the way there: if it did, every path
    /// would show it.
    pub(super) fn welcomed(mut self) -> World {
        let _ = self.drive(&mut Log::off());
        self
    }

    /// See [`mod@super::print`].
    pub(super) fn fingerprint(&mut self, scratch: &mut String) -> u128 {
        let parts = [
            self.desk.print(scratch),
            self.ledger.print(scratch),
            self.queue.print(scratch),
            self.machine.print(scratch),
            self.net.print(scratch),
            self.pos.print(scratch),
        ];
        scratch.clear();
        write_debug(&(parts, self.now, self.seen, self.left), scratch);
        fingerprint(scratch)
    }

    /// Takes a step that is possible here.
    pub(super) fn take(&mut self, step: Step, log: &mut Log) -> Result<(), Violation> {
        log.step(|| format!("[{:>9.3} s] {step}", (self.now.mono - START.mono).as_secs_f64()));
        if step.fault().is_some() {
            self.left.faults = self.left.faults.saturating_sub(1);
        }
        match step {
            Step::Call { want, asynchronous } => {
                self.left.calls = self.left.calls.saturating_sub(1);
                self.call(want, asynchronous, log)
            }
            Step::Overtake { want } => {
                self.left.calls = self.left.calls.saturating_sub(1);
                self.call(want, false, log)
            }
            Step::Commit(lane) => self.commit(lane, log),
            Step::CommitFails(Lane::Rest) => {
                self.queue.edit().pop(Lane::Rest);
                Ok(())
            }
            Step::CommitFails(Lane::Money) => self.answer_op(Err(LedgerError::Failed), log),
            Step::StoreFull => self.answer_op(Err(LedgerError::Full), log),
            Step::CommitFailsApplied => {
                if let Some(op) = self.queue.next(Lane::Money).cloned() {
                    self.apply(op, log)?;
                }
                self.answer_op(Err(LedgerError::Failed), log)
            }
            Step::Hear(socket) => self.hear(socket, log),
            Step::Read(socket) => self.read(socket, log),
            Step::Transmit(socket) => self.transmit(socket, log),
            Step::Pong(socket) => self.probed(usize::from(socket), true, log),
            Step::GatewayNotices(socket) => self.end_at_gateway(usize::from(socket), log),
            Step::TerminalNotices(socket) => self.end_at_terminal(usize::from(socket), log),
            Step::CutUnknownToGateway { socket, arrive } => {
                self.lose_up(usize::from(socket), arrive);
                self.end_at_terminal(usize::from(socket), log)
            }
            Step::CutUnknownToTerminal { socket, arrive } => {
                self.lose_down(usize::from(socket), arrive);
                self.end_at_gateway(usize::from(socket), log)
            }
            Step::Connect | Step::Redial => {
                self.machine.edit().connect(self.now, log);
                self.sync(log)
            }
            Step::Sync => self.sync(log),
            Step::Approve => {
                let charged = self.machine.edit().approve(self.now, self.left.card_data, log);
                if let Some(service) = charged {
                    self.seen.charged(service)?;
                }
                self.carry_out_acts(log)
            }
            Step::Board => self.board(log),
            Step::Tick | Step::LateTick => {
                self.left.ticks = self.left.ticks.saturating_sub(1);
                self.tick(log)
            }
            Step::GatewayCrash { money, rest, arrive } => self.crash_gateway(money, rest, arrive, log),
            Step::TerminalCrash { survive, arrive } => self.crash_terminal(usize::from(survive), arrive, log),
            Step::JournalLost { arrive } => {
                self.seen.journal_lost = true;
                self.machine.edit().lose_journal(self.now, log);
                self.leave_sockets(arrive);
                self.carry_out_acts(log)
            }
            Step::StaleHello(which) => {
                self.net.edit().repeat(usize::from(which));
                Ok(())
            }
            Step::HangUp(call) => {
                if let Some(asked) = self.pos.edit().asked.get_mut(usize::from(call)) {
                    asked.call = Call::HungUp;
                }
                self.desk.edit().handle_hang_up(call_id(call));
                self.drain(log)
            }
        }?;
        self.settle(log)
    }

    fn call(&mut self, want: Want, asynchronous: bool, log: &mut Log) -> Result<(), Violation> {
        let pos = self.pos.edit();
        let Ok(number) = u8::try_from(pos.asked.len()) else { return Ok(()) };
        pos.asked.push(Asked { want, call: Call::Waiting });
        if want.service() != LAST_PAYMENT {
            pos.services = pos.services.max(want.service() + 1);
        }
        let prepared = match want {
            Want::Payment(service) => script().payment(service),
            Want::Status(of) => script().question(number, of),
            Want::Abort(of) => script().abort(number, of),
        };
        let call = relay::exchange::Call {
            id: call_id(number),
            request: prepared.request.clone(),
            kept: prepared.kept.clone(),
            digest: prepared.digest,
            caller: Caller { company: "C".into(), credential: "k".into() },
            exchange: exchange_id(number),
            delivery: delivery_id(number),
            wait: WAIT,
            reply: if asynchronous { ReplyMode::Async } else { ReplyMode::Sync },
            asks: relay::exchange::Asks::Anybody,
            hold: std::sync::Arc::new(()),
        };
        self.desk.edit().handle_call(self.now, call);
        self.drain(log)
    }

    // The store.

    fn commit(&mut self, lane: Lane, log: &mut Log) -> Result<(), Violation> {
        match lane {
            Lane::Money => {
                let Some(op) = self.queue.next(Lane::Money).cloned() else { return Ok(()) };
                let reply = self.apply(op, log)?;
                self.answer_op(Ok(reply), log)
            }
            Lane::Rest => {
                let Some(op) = self.queue.edit().pop(Lane::Rest) else { return Ok(()) };
                self.apply(op, log).map(|_| ())
            }
        }
    }

    pub(super) fn apply(&mut self, op: Op, log: &mut Log) -> Result<Reply, Violation> {
        let text = log.is_on().then(|| describe_op(&op));
        let reply = if writes(&op) {
            let before = self.ledger.clone();
            let reply = self.ledger.edit().apply(op);
            self.seen.check_outcomes(&before, &self.ledger)?;
            reply
        } else {
            // It changes nothing, so the state's copy of the ledger can stay shared.
            Ledger::clone(&self.ledger).apply(op)
        };
        log.say(|| format!("store: {} -> {}", text.unwrap_or_default(), describe_reply(&reply)));
        Ok(reply)
    }

    /// The first op of money is answered.
    fn answer_op(&mut self, reply: Result<Reply, LedgerError>, log: &mut Log) -> Result<(), Violation> {
        let Some((id, op)) = self.queue.edit().pop_money() else { return Ok(()) };
        if let Err(error) = &reply {
            log.say(|| format!("store: {} -> the gateway is told: {error}", describe_op(&op)));
        }
        self.desk.edit().handle_ledger(self.now, id, reply);
        self.drain(log)
    }

    // Time.

    /// When something is due next.
    pub(super) fn due(&self) -> Option<Duration> {
        let probes = self.net.sockets.iter().filter_map(|socket| socket.probe);
        self.desk.poll_timeout().into_iter().chain(self.machine.due()).chain(probes).min()
    }

    fn tick(&mut self, log: &mut Log) -> Result<(), Violation> {
        let Some(due) = self.due() else { return Ok(()) };
        let passed = due.saturating_sub(self.now.mono);
        self.now.mono += passed;
        log.say(|| format!("time: {:.3} s later", passed.as_secs_f64()));
        for index in 0..self.net.sockets.len() {
            if self.net.sockets[index].probe.is_some_and(|at| at <= self.now.mono) {
                self.probed(index, false, log)?;
            }
        }
        if self.machine.due().is_some_and(|at| at <= self.now.mono) {
            self.machine.edit().timeout(self.now, log);
            self.carry_out_acts(log)?;
        }
        if self.desk.poll_timeout().is_some_and(|at| at <= self.now.mono) {
            self.desk.edit().handle_timeout(self.now);
            self.drain(log)?;
        }
        Ok(())
    }

    // What comes out of the desk.

    pub(super) fn drain(&mut self, log: &mut Log) -> Result<(), Violation> {
        while let Some(effect) = self.desk.edit().poll_effect() {
            match effect {
                Effect::Store(id, op) => {
                    log.say(|| format!("gateway: hands to the store: {}", describe_op(&op)));
                    if let Some(id) = self.queue.edit().push(id, op) {
                        // Nobody waits for it, so it makes no difference when its answer comes.
                        self.desk.edit().handle_ledger(self.now, id, Ok(Reply::Done));
                    }
                }
                Effect::Answer(call, heard) => self.answer(call.0, &heard, log)?,
                Effect::Wake(connection) => {
                    let sockets = &mut self.net.edit().sockets;
                    if let Some(socket) = sockets.iter_mut().find(|s| s.id == connection && s.gateway_open) {
                        socket.woken = true;
                    }
                }
                Effect::Alarm(delivery, why) => log.say(|| format!("gateway: alarm for {delivery}: {why}")),
                Effect::Recorded(..)
                | Effect::Checked(..)
                | Effect::Applied { .. }
                | Effect::ConfigRemoved { .. }
                | Effect::TokenStored { .. } => {}
            }
        }
        Ok(())
    }

    fn answer(&mut self, call: u64, heard: &Heard, log: &mut Log) -> Result<(), Violation> {
        let asked = usize::try_from(call).ok().and_then(|call| self.pos.edit().asked.get_mut(call));
        let Some(asked) = asked else { return Err(Violation::answered_twice(call, "nobody", heard)) };
        let want = asked.want;
        let told = pos::read(want, &heard.answer);
        log.say(|| {
            let what = match want {
                Want::Payment(service) => format!("Payment {}", service_name(service)),
                Want::Status(service) => format!("TransactionStatus about {}", service_name(service)),
                Want::Abort(service) => format!("Abort of {}", service_name(service)),
            };
            format!("POS: call {call}, {what}, hears {told:?} ({})", describe_answer(heard))
        });
        if asked.call != Call::Waiting {
            return Err(Violation::answered_twice(call, &format!("{:?}", asked.call), heard));
        }
        asked.call = Call::Heard(told);
        if let Answer::Response(message) | Answer::Status(StatusAnswer::Found(message)) = &heard.answer {
            self.seen.check_word(want, told, message)?;
        }
        self.seen.told(want, told, &self.ledger)
    }
}

pub(super) fn new_desk(now: Now) -> Desk {
    let facts = LedgerFacts { complete_since: WallMs(0), restored: None };
    Desk::new(script().poi.clone(), Standing::Known, facts, EXCHANGES_MAX, now.mono)
}

fn describe_reply(reply: &Reply) -> String {
    match reply {
        Reply::Found(record) => format!("Found {} ({:?})", record.delivery, record.outcome),
        Reply::Records { records, fence } => {
            let records: Vec<_> =
                records.iter().map(|record| format!("{} ({:?})", record.delivery, record.outcome)).collect();
            format!("records [{}], fence {fence:?}", records.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn describe_answer(heard: &Heard) -> String {
    let again = if heard.repeated { ", repeated" } else { "" };
    match &heard.answer {
        Answer::Response(message) => format!("response {}{again}", super::log::describe_response(message)),
        Answer::Status(StatusAnswer::Found(message)) => {
            format!("found: {}{again}", super::log::describe_response(message))
        }
        other => format!("{other:?}{again}"),
    }
}
