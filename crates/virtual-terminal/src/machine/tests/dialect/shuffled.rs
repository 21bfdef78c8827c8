//! Payments and voids at a machine that speaks the Actions dialect, with cuts, crashes and delays in any order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Desktops and transactions are few, so that names meet.
const DESKTOPS: [&str; 2] = ["c_1", "c_2"];
const TRANSACTIONS: [&str; 2] = ["T-1", "T-2"];

#[derive(Clone, Debug)]
enum Step {
    /// A payment, which may have been asked for before.
    Ask { desktop: usize, transaction: usize, is_declined: bool },
    /// A payment is to be undone.
    Void { desktop: usize, transaction: usize },
    /// The link breaks, and what was on its way is lost.
    Break,
    /// The terminal loses its power; this many of the entries that are not synced are on its disk.
    Crash { written: usize },
    /// The disk catches up.
    Store,
    /// The gateway reads the first of what was sent.
    Read { frames: usize },
    /// The gateway has results on its disk, and says so.
    Record { names_desktop: bool },
    /// Time passes, and with it cards are presented and links are dialled.
    Wait { ms: u64 },
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..DESKTOPS.len(), 0..TRANSACTIONS.len(), any::<bool>())
            .prop_map(|(desktop, transaction, is_declined)| Step::Ask { desktop, transaction, is_declined }),
        1 => (0..DESKTOPS.len(), 0..TRANSACTIONS.len())
            .prop_map(|(desktop, transaction)| Step::Void { desktop, transaction }),
        1 => Just(Step::Break),
        1 => (0..6_usize).prop_map(|written| Step::Crash { written }),
        5 => Just(Step::Store),
        4 => (1..5_usize).prop_map(|frames| Step::Read { frames }),
        2 => any::<bool>().prop_map(|names_desktop| Step::Record { names_desktop }),
        4 => (0..4000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

type Name = (&'static str, &'static str);

/// What everybody knows of one payment.
#[derive(Debug, Default)]
struct Known {
    /// Cards that were charged for it.
    charged: usize,
    /// The terminal said that it has it.
    is_received: bool,
    /// What it said became of it.
    told: Vec<PaymentStatus>,
    /// The gateway has said so.
    is_recorded: bool,
    /// Its result was read, and nothing was said of that yet.
    is_said: bool,
}

struct World {
    habit: Habit,
    owner: Owner,
    /// How much of the disk is synced.
    synced: usize,
    /// How much of it was looked at.
    looked: usize,
    is_linked: bool,
    payments: BTreeMap<Name, Known>,
    /// Payments that were given back, by transaction.
    reversed: BTreeMap<String, usize>,
}

impl World {
    fn new(habit: Habit) -> World {
        let mut world = World {
            habit,
            owner: Owner::speaking(habit, Vec::new()),
            synced: 0,
            looked: 0,
            is_linked: false,
            payments: BTreeMap::new(),
            reversed: BTreeMap::new(),
        };
        world.starts();
        world
    }

    fn starts(&mut self) {
        self.owner.slow_disk = true;
        self.synced = self.owner.disk.len();
        self.looked = self.synced;
        self.is_linked = false;
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Ask { desktop, transaction, is_declined } => {
                let name = (DESKTOPS[*desktop], TRANSACTIONS[*transaction]);
                if self.is_linked {
                    self.payments.entry(name).or_default();
                    self.owner.ask(name.0, name.1, if *is_declined { "1.24" } else { "5.00" });
                }
            }
            Step::Void { desktop, transaction } if self.is_linked => {
                self.owner.ask_void(DESKTOPS[*desktop], TRANSACTIONS[*transaction]);
            }
            Step::Void { .. } => {}
            Step::Break => self.breaks(),
            Step::Crash { written } => {
                let kept = (self.synced + written).min(self.owner.disk.len());
                let mut disk = std::mem::take(&mut self.owner.disk);
                disk.truncate(kept);
                let now = self.owner.now;
                self.owner = Owner::speaking(self.habit, disk);
                self.owner.now = now;
                self.starts();
            }
            Step::Store => {
                self.owner.store();
                self.synced = self.owner.disk.len();
            }
            Step::Read { frames } => self.read(*frames),
            Step::Record { names_desktop } => self.record(*names_desktop),
            Step::Wait { ms } => self.owner.run_for(Duration::from_millis(*ms)),
        }
        self.look();
    }

    fn breaks(&mut self) {
        if std::mem::take(&mut self.is_linked) {
            self.owner.actions.clear();
            self.owner.breaks();
        }
    }

    /// Cards are charged when the device decides so, whatever becomes of the entry that says it. Dialling is answered.
    fn look(&mut self) {
        for record in self.owner.disk.get(self.looked..).unwrap_or_default() {
            let Record::Entry(JournalEntry::Finished { execution: Some(done), .. }) = record else {
                continue;
            };
            match &done.kind {
                ExecutionKind::Payment => {
                    let is_it = |(desktop, transaction): &&Name| {
                        delivery_of(desktop, &super::name(transaction)) == done.delivery
                    };
                    let paid = *self.payments.keys().find(is_it).expect("it was asked for");
                    self.payments.entry(paid).or_default().charged += 1;
                }
                ExecutionKind::Reversal { of } => *self.reversed.entry(of.clone()).or_default() += 1,
            }
        }
        self.looked = self.owner.disk.len();
        for (name, known) in &self.payments {
            assert!(known.charged <= 1, "{name:?} was paid twice");
        }
        assert!(self.reversed.values().all(|times| *times <= 1), "given back twice");
        if let Some(at) = self.owner.actions.iter().position(|action| matches!(action, Action::Dial { .. })) {
            let Some(Action::Dial { attempt, .. }) = self.owner.actions.remove(at) else { return };
            self.owner.actions.clear();
            self.is_linked = true;
            self.owner.with(|machine, now| machine.handle_opened(now, attempt, Ok(())));
        } else if self.owner.actions.iter().any(|action| matches!(action, Action::Close(_))) {
            self.is_linked = false;
            self.owner.actions.clear();
        }
    }

    fn read(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some(Action::Send(frame)) = self.owner.next() else { return };
            match FromClient::decode(&frame).unwrap() {
                FromClient::Ping => self.owner.tell(&ToClient::Pong { timestamp: String::new() }),
                FromClient::PaymentReceived(name) => {
                    assert_eq!(self.habit, Habit::Acknowledges);
                    for ((_, transaction), known) in &mut self.payments {
                        known.is_received |= *transaction == name.as_str();
                    }
                }
                FromClient::PaymentResponse { desktop_id, response } => {
                    let is_it = |(desktop, transaction): &&Name| {
                        Some(*desktop) == desktop_id.as_deref()
                            && *transaction == response.transaction.as_str()
                    };
                    let name = *self.payments.keys().find(is_it).expect("it was asked for");
                    let known = self.payments.entry(name).or_default();
                    known.told.push(response.status);
                    known.is_said = true;
                    let denies = matches!(response.status, PaymentStatus::Failed | PaymentStatus::Cancelled);
                    assert!(
                        !denies || known.charged == 0,
                        "{name:?} was paid, and told as {:?}",
                        response.status
                    );
                    let claims = response.status == PaymentStatus::Success;
                    assert!(!claims || known.charged == 1, "{name:?} was not paid, and told as paid");
                    assert!(
                        known.told.iter().all(|told| *told == response.status),
                        "{name:?}: {:?}",
                        known.told
                    );
                }
                _ => {}
            }
        }
    }

    fn record(&mut self, names_desktop: bool) {
        if !self.is_linked {
            return;
        }
        for (desktop, transaction) in self.payments.keys().copied().collect::<Vec<_>>() {
            let known = self.payments.entry((desktop, transaction)).or_default();
            // One name too few is for what was read just now, and never once more after the full one.
            let is_said = std::mem::take(&mut known.is_said);
            let names_desktop = names_desktop || known.is_recorded;
            if is_said || (names_desktop && !known.told.is_empty()) {
                known.is_recorded |= names_desktop;
                self.owner.record(names_desktop.then_some(desktop), transaction);
            }
        }
        for (transaction, desktop) in TRANSACTIONS.into_iter().flat_map(|t| DESKTOPS.map(|d| (t, d))) {
            let desktop_id = Some(desktop.into());
            self.owner.tell(&ToClient::VoidRecorded {
                transaction: super::name(transaction),
                desktop_id,
                problem: None,
            });
        }
    }

    /// Nothing goes wrong any more, until everything is quiet.
    fn ends(&mut self) {
        self.breaks();
        for _ in 0..4 {
            for step in [
                Step::Wait { ms: 31_000 },
                Step::Store,
                Step::Wait { ms: 3000 },
                Step::Store,
                Step::Read { frames: 100 },
                Step::Store,
            ] {
                self.take(&step);
            }
            self.record(true);
            self.take(&Step::Store);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn an_acknowledging_terminal_pays_once_and_loses_no_result(steps in prop::collection::vec(a_step(), 1..80)) {
        let mut world = World::new(Habit::Acknowledges);
        steps.iter().for_each(|step| world.take(step));
        world.ends();
        for (name, known) in &world.payments {
            prop_assert!(known.charged == 0 || !known.told.is_empty(), "the result of {:?} was lost: {:?}", name, known);
        }
        prop_assert_eq!(world.owner.machine.terminal().resume(), Vec::new());
    }

    #[test]
    fn a_plain_terminal_pays_once_and_tells_nothing_wrong(
        steps in prop::collection::vec(a_step(), 1..80), repeats in any::<bool>()
    ) {
        let mut world = World::new(if repeats { Habit::PlainAndRepeats } else { Habit::PlainAndForgets });
        steps.iter().for_each(|step| world.take(step));
        world.ends();
    }
}
