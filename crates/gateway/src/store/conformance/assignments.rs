//! Assignments: what is asked for, what is pending, and what is done.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use nexo::PoiId;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner, contextualize_config};
use relay::ledger::Reply;
use relay::{ChangeId, WallMs};

use super::actions::{key_of_terminal, store_group};
use super::{
    Bench, Database, HOUR, MINUTE, START, admit, ams, bench, company, credential, hello, journal_id,
    merchant, payment, poi, runtime, service_key, shop, store_code, take_hello,
};
use crate::store::fleet_store::{
    Assign, Assigned, Completed, CompletedBy, EventKind, NewFleetEvent, PendingAssignment, PendingState,
    RevokedToken, TokenUse,
};
use crate::store::{
    AssignError, BoardRefused, CodeError, Entity, FleetError, NewTerminal, Place, Scope, StoreStatus,
    TokenHash, TokenState,
};

pub(super) fn par() -> Place {
    Place::Store { merchant: merchant("ACME_EU"), store: store_code("PAR") }
}

/// The merchant account without stores.
pub(super) fn us() -> Place {
    Place::MerchantInStore(merchant("ACME_US"))
}

pub(super) fn eu_inventory() -> Place {
    Place::MerchantInventory(merchant("ACME_EU"))
}

fn call(terminals: impl IntoIterator<Item = u32>, target: Place) -> Assign {
    Assign {
        company: company("ACME"),
        scope: Scope::Company,
        terminals: terminals.into_iter().map(poi).collect(),
        target,
        by: Some(credential(1, Scope::Company).id),
        at: START,
    }
}

fn later(ms: i64) -> WallMs {
    WallMs(START.0 + ms)
}

impl<D: Database> Bench<D> {
    async fn assign(&self, terminals: impl IntoIterator<Item = u32>, target: Place) -> Vec<Assigned> {
        let answers = self.store.assign(call(terminals, target)).await.unwrap();
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn place(&self, n: u32) -> Place {
        self.store.terminal(&poi(n)).await.unwrap().unwrap().place
    }

    async fn pending(&self, n: u32) -> Option<PendingAssignment> {
        self.store.terminal(&poi(n)).await.unwrap().unwrap().pending
    }

    async fn end_assignment(&self, n: u32, change: &ChangeId, by: CompletedBy) -> Option<Completed> {
        self.store.complete_assignment(&poi(n), change, by, later(7)).await.unwrap()
    }

    pub(super) async fn events(&self, kind: EventKind) -> Vec<NewFleetEvent> {
        let events = self.store.fleet_events(&company("ACME"), 0).await.unwrap();
        events.into_iter().map(|event| event.event).filter(|event| event.kind == kind).collect()
    }

    /// Does what the background work does.
    async fn work(&self) -> usize {
        let due = self.store.due_assignments(100).await.unwrap();
        for assignment in &due {
            let done = self.store.complete_assignment(
                &assignment.poi,
                &assignment.change,
                CompletedBy::Background,
                later(7),
            );
            assert!(done.await.unwrap().is_some());
        }
        due.len()
    }
}

pub(in crate::store) async fn one_terminal_that_is_not_boarded_moves_at_once<D: Database>() {
    let bench = bench::<D>().await;
    bench.store.set_time_zone(&company("ACME"), "Europe/Amsterdam").await.unwrap();
    bench.add(&poi(1), Place::CompanyInventory).await;
    let before = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    // Twice in one call is once.
    let answers = bench.store.assign(call([1, 1], ams())).await.unwrap();
    assert_eq!(answers, [(poi(1), Assigned::Done)]);
    let after = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!((&after.place, &after.pending), (&ams(), &None));
    assert!(after.settings.revision > before.settings.revision);
    let events = bench.events(EventKind::AssignmentComplete).await;
    let [event] = &events[..] else { panic!("expected one event, got {events:?}") };
    assert_eq!((event.at, &event.poi, event.data["result"].as_str()), (START, &Some(poi(1)), Some("Done")));
    assert_eq!(event.data["assignedToAccount"], "ACME_EU");
    assert_eq!(event.data["assignedToStore"], "AMS");
    assert_eq!(event.data["assignedToStoreId"], shop("ACME_EU", "AMS").id.as_str());
    assert_eq!(event.data["uniqueTerminalId"], poi(1).as_str());
    let date = serde_json::json!({ "epochMs": START.0, "timeZone": "Europe/Amsterdam" });
    assert_eq!(event.data["eventDate"], date);
    let reference = event.data["pspReference"].as_str().unwrap().strip_prefix("NO_PSP_REF_").unwrap();
    assert!(reference.len() == 16 && reference.bytes().all(|b| b.is_ascii_digit()), "{reference}");

    // To where it is: nothing happens.
    assert_eq!(bench.assign([1], ams()).await, [Assigned::Done]);
    assert_eq!(bench.events(EventKind::AssignmentComplete).await.len(), 1);
    // Into an inventory, where there is no store.
    for (target, account) in [(eu_inventory(), "ACME_EU"), (Place::CompanyInventory, "ACME")] {
        assert_eq!(bench.assign([1], target.clone()).await, [Assigned::Done]);
        assert_eq!(bench.place(1).await, target);
        let data = bench.events(EventKind::AssignmentComplete).await.pop().unwrap().data;
        assert_eq!((&data["assignedToAccount"], data.get("assignedToStore")), (&account.into(), None));
    }
}

pub(in crate::store) async fn several_are_scheduled_and_done_in_the_background<D: Database>() {
    let mut bench = bench::<D>().await;
    for n in 1..=3 {
        bench.add(&poi(n), Place::CompanyInventory).await;
    }
    bench.add(&poi(4), ams()).await;
    // The one that is there is done, and makes several of the others.
    let answers = bench.store.assign(call([3, 4, 1], ams())).await.unwrap();
    let expected = [(poi(3), Assigned::Scheduled), (poi(4), Assigned::Done), (poi(1), Assigned::Scheduled)];
    assert_eq!(answers, expected);
    assert_eq!(bench.place(1).await, Place::CompanyInventory);
    let pending = bench.pending(1).await.unwrap();
    assert_eq!((pending.to, pending.state, pending.requested), (ams(), PendingState::Scheduled, START));
    // The same again, as after a lost answer: the same go on.
    assert_eq!(bench.store.assign(call([3, 4, 1], ams())).await.unwrap(), expected);
    assert_eq!(bench.pending(1).await.unwrap().change, pending.change);

    bench = bench.reopen();
    let due = bench.store.due_assignments(100).await.unwrap();
    assert_eq!(due.iter().map(|due| due.poi.clone()).collect::<Vec<_>>(), [poi(3), poi(1)]);
    assert_eq!(bench.store.due_assignments(1).await.unwrap(), due[..1]);
    // It waits for nobody but the gateway, and only one terminal is meant.
    assert_eq!(bench.end_assignment(1, &pending.change, CompletedBy::Terminal).await, None);
    assert_eq!(bench.end_assignment(3, &pending.change, CompletedBy::Background).await, None);
    let done = bench.end_assignment(1, &pending.change, CompletedBy::Background).await.unwrap();
    assert_eq!(
        (&done.from, &done.to, done.token_ended, done.again),
        (&Place::CompanyInventory, &ams(), false, false)
    );
    assert_eq!((&done.terminal.place, &done.terminal.pending), (&ams(), &None));
    assert_eq!(bench.store.terminal(&poi(1)).await.unwrap().as_ref(), Some(&done.terminal));

    // Again, as when the gateway did not hear of the end: the same, once.
    bench = bench.reopen();
    let again = bench.end_assignment(1, &pending.change, CompletedBy::Background).await.unwrap();
    assert_eq!(again, Completed { again: true, ..done });
    assert_eq!(bench.events(EventKind::AssignmentComplete).await.len(), 1);
    assert_eq!(bench.work().await, 1);
    assert_eq!(bench.place(3).await, ams());
    let events = bench.events(EventKind::AssignmentComplete).await;
    let results: Vec<_> = events.iter().map(|event| event.data["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["AssignmentScheduled"; 2]);
    let references: HashSet<_> = events.iter().map(|event| event.data["pspReference"].to_string()).collect();
    assert_eq!(references.len(), 2);
}

pub(in crate::store) async fn a_boarded_terminal_moves_when_it_has_removed_its_configuration<D: Database>() {
    let mut bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    let before = bench.board(&poi(1), "j_1", 1, START).await;
    assert_eq!(bench.assign([1], par()).await, [Assigned::RemoveConfig]);
    let pending = bench.pending(1).await.unwrap();
    assert_eq!((pending.state, pending.told), (PendingState::AwaitingTerminal, None));
    assert_eq!(bench.store.due_assignments(100).await.unwrap(), [], "it waits for the terminal");
    for at in [later(1), later(2)] {
        bench.store.note_assignment_told(&pending.change, at).await.unwrap();
    }

    bench = bench.reopen();
    assert_eq!(bench.pending(1).await.unwrap().told, Some(later(1)));
    assert_eq!(bench.end_assignment(1, &pending.change, CompletedBy::Background).await, None);
    assert_eq!(bench.place(1).await, ams());
    let done = bench.end_assignment(1, &pending.change, CompletedBy::Terminal).await.unwrap();
    assert_eq!((done.token_ended, done.again), (false, false));
    assert_eq!((&done.terminal.place, &done.terminal.boarded), (&par(), &before.boarded));
    assert!(done.terminal.settings.revision > before.settings.revision);
    assert_eq!(bench.token_state(1).await, Some(TokenState::Valid));
    assert!(bench.end_assignment(1, &pending.change, CompletedBy::Terminal).await.unwrap().again);
    assert_eq!(bench.events(EventKind::AssignmentComplete).await.len(), 1);

    // A link of its token is admitted as before.
    let raised = bench.op(take_hello(hello(1, "j_1", 1, START))).await;
    let Reply::Raised { epoch, .. } = raised else { panic!("expected a new epoch, got {raised:?}") };
    let admitted = bench.op(admit(&payment(1, service_key(1, "s1"), epoch.0, START))).await;
    assert!(matches!(admitted, Reply::Admitted { .. }), "{admitted:?}");
}

pub(in crate::store) async fn into_inventory_the_token_ends<D: Database>() {
    for target in [Place::CompanyInventory, eu_inventory()] {
        let bench = bench::<D>().await;
        bench.add_in_store(&poi(1)).await;
        bench.board(&poi(1), "j_1", 1, START).await;
        let Reply::Raised { epoch, .. } = bench.op(take_hello(hello(1, "j_1", 1, START))).await else {
            panic!()
        };
        assert_eq!(bench.assign([1], target.clone()).await, [Assigned::RemoveConfig]);
        assert_eq!(bench.token_state(1).await, Some(TokenState::Valid), "until it confirms");
        let change = bench.pending(1).await.unwrap().change;
        let done = bench.end_assignment(1, &change, CompletedBy::Terminal).await.unwrap();
        assert!(done.token_ended);
        assert_eq!((&done.terminal.place, &done.terminal.boarded), (&target, &None));
        // It hands in what it has for 48 hours more, and is sent nothing.
        bench.clock.set(later(7 + 48 * HOUR - 1));
        assert_eq!(bench.token_state(1).await, Some(TokenState::Ended { since: later(7) }));
        assert!(bench.end_assignment(1, &change, CompletedBy::Terminal).await.unwrap().token_ended);
        let stale = bench.op(admit(&payment(1, service_key(1, "s1"), epoch.0, START))).await;
        assert_eq!(stale, Reply::EpochPassed);
        let refused = bench.store.make_boarding_code(&poi(1), super::hash(1), later(HOUR)).await;
        assert!(matches!(refused, Err(CodeError::InInventory { .. })), "{refused:?}");
    }
}

pub(in crate::store) async fn a_newer_assignment_supersedes_a_pending_one<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.assign([1], par()).await;
    let first = bench.pending(1).await.unwrap().change;
    assert_eq!(bench.assign([1], us()).await, [Assigned::RemoveConfig]);
    let second = bench.pending(1).await.unwrap().change;
    assert_ne!(first, second);
    assert_eq!(bench.end_assignment(1, &first, CompletedBy::Terminal).await, None, "that is over");
    // To where it is: nothing is removed, and nothing is pending any more.
    assert_eq!(bench.assign([1], ams()).await, [Assigned::Done]);
    assert_eq!(bench.pending(1).await, None);
    assert_eq!(bench.end_assignment(1, &second, CompletedBy::Terminal).await, None);
    assert_eq!((bench.place(1).await, bench.token_state(1).await), (ams(), Some(TokenState::Valid)));
    assert_eq!(bench.events(EventKind::AssignmentComplete).await, []);

    // One that is not boarded need not wait once it is asked for alone.
    bench.add(&poi(2), Place::CompanyInventory).await;
    bench.add(&poi(3), Place::CompanyInventory).await;
    bench.assign([2, 3], ams()).await;
    assert_eq!(bench.assign([2], par()).await, [Assigned::Done]);
    assert_eq!((bench.place(2).await, bench.pending(2).await), (par(), None));
    assert_eq!(bench.work().await, 1);
    assert_eq!(bench.place(2).await, par());
}

pub(in crate::store) async fn who_waits_for_whom_changes_with_the_boarding<D: Database>() {
    let bench = bench::<D>().await;
    for n in [1, 2] {
        bench.add_in_store(&poi(n)).await;
    }
    bench.make_code(&poi(1), 1, START).await;
    bench.assign([1, 2], par()).await;
    let change = bench.pending(1).await.unwrap().change;
    // It boards before the background work comes to it: now it has a configuration to remove.
    bench.show_code(&poi(1), 1, "j_1", 1, START).await.unwrap();
    assert_eq!(bench.pending(1).await.unwrap().state, PendingState::AwaitingTerminal);
    assert_eq!(bench.end_assignment(1, &change, CompletedBy::Background).await, None);
    assert_eq!(bench.work().await, 1, "the other one");
    assert_eq!(bench.place(1).await, ams());

    // Its token is ended by somebody: now it has none that it could remove.
    let tokens = bench.store.tokens(&company("ACME"), &poi(1)).await.unwrap().unwrap();
    let revoked = bench.store.revoke_token(&company("ACME"), &poi(1), &tokens[0].id, None, later(3)).await;
    assert_eq!(revoked.unwrap(), Some(RevokedToken::Current));
    assert_eq!(bench.pending(1).await.unwrap().state, PendingState::Scheduled);
    assert_eq!(bench.work().await, 1);
    assert_eq!(bench.place(1).await, par());
}

pub(in crate::store) async fn an_assignment_is_for_all_its_terminals_or_for_none<D: Database>() {
    let bench = bench::<D>().await;
    bench.add(&poi(1), Place::CompanyInventory).await;
    bench.add(&poi(2), eu_inventory()).await;
    let foreign = NewTerminal::new(poi(3), company("OTHER"), Place::CompanyInventory, START);
    bench.store.add_terminal(foreign).await.unwrap();
    bench.add(&poi(4), ams()).await;
    bench.store.retire_terminal(&company("ACME"), &Scope::Company, &poi(4), None, START).await.unwrap();

    let scope = Scope::Merchants(vec![merchant("ACME_EU")]);
    let refused = async |call: Assign| match bench.store.assign(call).await {
        Err(AssignError::NotFound(missing)) => missing,
        other => panic!("expected missing terminals, got {other:?}"),
    };
    // Unknown, another company's, retired: all alike, as they were asked for.
    let missing = refused(call([9, 1, 3, 2, 4, 9], ams())).await;
    assert_eq!(missing, [poi(9), poi(3), poi(4)]);
    let text = AssignError::NotFound(missing).to_string();
    assert_eq!(text, format!("Terminals not found: {}, {}, {}", poi(9), poi(3), poi(4)));
    let company_code = company("ACME");
    let asked: Vec<PoiId> = [9, 1, 3, 2, 4, 9].into_iter().map(poi).collect();
    let missing = bench.store.missing_terminals(&company_code, &Scope::Company, &asked).await.unwrap();
    assert_eq!(missing, [poi(9), poi(3), poi(4)]);
    // What is at company level is out of the reach of some merchant accounts.
    let scoped = Assign { scope: scope.clone(), ..call([1, 2], ams()) };
    assert_eq!(refused(scoped).await, [poi(1)]);
    for n in [1, 2] {
        assert_eq!(bench.pending(n).await, None, "nothing was changed");
    }

    // The target.
    let target = |target: Place, scope: Scope| Assign { scope, ..call([2], target) };
    for (place, entity) in [
        (Place::MerchantInventory(merchant("NOBODY")), Entity::MerchantAccount(merchant("NOBODY"))),
        (Place::MerchantInventory(merchant("OTHER_EU")), Entity::MerchantAccount(merchant("OTHER_EU"))),
        (
            Place::Store { merchant: merchant("ACME_US"), store: store_code("AMS") },
            Entity::Store(merchant("ACME_US"), store_code("AMS")),
        ),
    ] {
        let error = bench.store.assign(target(place, Scope::Company)).await.unwrap_err();
        assert!(matches!(&error, AssignError::Missing(missing) if *missing == entity), "{error:?}");
    }
    let in_store = Place::MerchantInStore(merchant("ACME_EU"));
    let error = bench.store.assign(target(in_store, Scope::Company)).await.unwrap_err();
    assert!(matches!(error, AssignError::MerchantHasStores(_)), "{error:?}");
    for place in [us(), Place::CompanyInventory] {
        let error = bench.store.assign(target(place, scope.clone())).await.unwrap_err();
        assert!(matches!(error, AssignError::OutOfScope(_)), "{error:?}");
    }
    let within = bench.store.assign(target(par(), scope)).await.unwrap();
    assert_eq!(within, [(poi(2), Assigned::Done)]);
}

pub(in crate::store) async fn a_first_store_waits_for_what_is_on_its_way_to_the_merchant_account<
    D: Database,
>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.assign([1], us()).await;
    let refused = bench.store.create_store(shop("ACME_US", "NYC")).await;
    let Err(FleetError::HoldsInStoreTerminals { count, first, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((count, first), (1, vec![poi(1)]));
    bench.assign([1], ams()).await;
    bench.store.create_store(shop("ACME_US", "NYC")).await.unwrap();
}

pub(in crate::store) async fn a_retired_terminal_is_gone_and_its_name_is_not_used_again<D: Database>() {
    let bench = bench::<D>().await;
    let acme = company("ACME");
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.assign([1], par()).await;
    let change = bench.pending(1).await.unwrap().change;
    let retire = async |scope: &Scope, n| {
        bench.store.retire_terminal(&acme, scope, &poi(n), None, later(3)).await.unwrap()
    };
    let elsewhere = Scope::Merchants(vec![merchant("ACME_US")]);
    assert_eq!(retire(&elsewhere, 1).await, None);
    assert_eq!(retire(&Scope::Company, 9).await, None);
    assert!(
        bench
            .store
            .retire_terminal(&company("OTHER"), &Scope::Company, &poi(1), None, START)
            .await
            .unwrap()
            .is_none()
    );
    assert!(retire(&Scope::Company, 1).await.unwrap().token_ended);
    assert_eq!(retire(&Scope::Company, 1).await, None);

    let terminal = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!(terminal.retired, Some(later(3)));
    assert_eq!((terminal.place, terminal.boarded, terminal.pending), (Place::CompanyInventory, None, None));
    assert_eq!(bench.end_assignment(1, &change, CompletedBy::Terminal).await, None);
    assert_eq!(bench.token_state(1).await, Some(TokenState::Ended { since: later(3) }));
    assert_eq!(bench.store.find_terminal(&acme, &poi(1)).await.unwrap(), None);
    assert_eq!(bench.store.tokens(&acme, &poi(1)).await.unwrap(), None);
    let again = bench.store.add_terminal(super::new_terminal(&poi(1), ams())).await;
    assert!(matches!(&again, Err(FleetError::Retired(retired)) if *retired == poi(1)), "{again:?}");
    let code = bench.store.make_boarding_code(&poi(1), super::hash(1), later(HOUR)).await;
    assert!(matches!(code, Err(CodeError::Missing(_))), "{code:?}");
    let boarded = super::refusal(bench.show_code(&poi(1), 1, "j_1", 2, later(5 * MINUTE)).await);
    assert_eq!(boarded, BoardRefused::WrongCode);
    let events = bench.events(EventKind::TerminalRetired).await;
    assert_eq!((events.len(), events[0].data["user"].as_str()), (1, Some("operator")));
}

pub(in crate::store) async fn a_store_that_is_not_active_is_shown_with_its_terminals<D: Database>() {
    use crate::store::fleet_store::{StoreChange, StorePatch};
    let bench = bench::<D>().await;
    for (n, place) in [(1, ams()), (2, us()), (3, Place::CompanyInventory)] {
        bench.add(&poi(n), place).await;
    }
    let change = StoreChange {
        company: company("ACME"),
        scope: Scope::Company,
        merchant: merchant("ACME_EU"),
        store: store_code("AMS"),
        patch: StorePatch { status: Some(StoreStatus::Closed), ..StorePatch::default() },
        by: None,
        at: START,
    };
    bench.store.update_store(change).await.unwrap().unwrap();
    for (n, status) in [(1, StoreStatus::Closed), (2, StoreStatus::Active), (3, StoreStatus::Active)] {
        assert_eq!(bench.store.terminal(&poi(n)).await.unwrap().unwrap().store_status, status);
    }
}

/// What may come in whatever order.
#[derive(Clone, Debug)]
enum Step {
    Assign(Vec<u32>, usize),
    Work,
    Confirm(u32),
    Board(u32),
    Revoke(u32),
    Retire(u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let terminal = || 0..TERMINALS;
    prop_oneof![
        6 => (prop::collection::vec(terminal(), 1..4), 0..5_usize).prop_map(|(t, place)| Step::Assign(t, place)),
        2 => Just(Step::Work),
        4 => terminal().prop_map(Step::Confirm),
        3 => terminal().prop_map(Step::Board),
        1 => terminal().prop_map(Step::Revoke),
        1 => (0..TERMINALS * 4).prop_map(|n| if n < TERMINALS { Step::Retire(n) } else { Step::Work }),
        1 => Just(Step::Reopen),
    ]
}

const TERMINALS: u32 = 3;

/// As far as a terminal is concerned.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    place: Option<Place>,
    boarded: bool,
    pending: Option<Place>,
    retired: bool,
    moved: usize,
}

pub(in crate::store) async fn whatever_comes_the_rules_of_assignment_hold<D: Database>() {
    let seed = RandomState::new().hash_one(0);
    let config =
        Config { failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::with_cases(32) };
    // `PROPTEST_RNG_SEED` runs a failure again, `PROPTEST_CASES` looks longer.
    let config = contextualize_config(config);
    let seed = config.rng_seed;
    // Its own thread, since each case runs a runtime of its own.
    let run = move || {
        let test = |steps: Vec<Step>| runtime().block_on(rules_hold::<D>(&steps));
        let steps = prop::collection::vec(step(), 1..40);
        TestRunner::new(config).run(&steps, test).map_err(|failure| failure.to_string())
    };
    let result = std::thread::spawn(run).join().unwrap();
    result.unwrap_or_else(|failure| panic!("with {seed:?}: {failure}"));
}

async fn rules_hold<D: Database>(steps: &[Step]) -> Result<(), TestCaseError> {
    let places = [Place::CompanyInventory, eu_inventory(), us(), ams(), par()];
    let mut bench = bench::<D>().await;
    let mut models =
        vec![Model { place: Some(Place::CompanyInventory), ..Model::default() }; TERMINALS as usize];
    for n in 0..TERMINALS {
        bench.add(&poi(n), Place::CompanyInventory).await;
    }
    let mut token = 0_u8;
    for step in steps {
        match step {
            Step::Assign(terminals, target) => {
                let target = &places[*target];
                let asked: HashSet<u32> = terminals.iter().copied().collect();
                let gone = asked.iter().any(|n| models[*n as usize].retired);
                let answered = bench.store.assign(call(terminals.iter().copied(), target.clone())).await;
                prop_assert_eq!(answered.is_err(), gone);
                for n in if gone { HashSet::new() } else { asked.clone() } {
                    let model = &mut models[n as usize];
                    if model.place.as_ref() == Some(target) {
                        model.pending = None;
                    } else if !model.boarded && asked.len() == 1 {
                        (model.place, model.pending) = (Some(target.clone()), None);
                        model.moved += 1;
                    } else {
                        model.pending = Some(target.clone());
                    }
                }
            }
            Step::Work => {
                bench.work().await;
                for model in models.iter_mut().filter(|model| !model.boarded && model.pending.is_some()) {
                    model.place = model.pending.take();
                    model.moved += 1;
                }
            }
            Step::Confirm(n) => {
                let model = &mut models[*n as usize];
                if let Some(pending) = bench.pending(*n).await {
                    let done = bench.end_assignment(*n, &pending.change, CompletedBy::Terminal).await;
                    prop_assert_eq!(done.is_some(), model.boarded);
                    if done.is_some() {
                        model.place = model.pending.take();
                        model.boarded = model.place.as_ref().is_some_and(Place::is_in_store);
                        model.moved += 1;
                    }
                }
            }
            Step::Board(n) => {
                let model = &mut models[*n as usize];
                if model.place.as_ref().is_some_and(Place::is_in_store) && !model.retired {
                    token += 1;
                    bench.board(&poi(*n), "j_1", token, START).await;
                    model.boarded = true;
                }
            }
            Step::Revoke(n) => {
                let model = &mut models[*n as usize];
                let tokens =
                    bench.store.tokens(&company("ACME"), &poi(*n)).await.unwrap().unwrap_or_default();
                if let Some(token) = tokens.iter().find(|token| token.used_as == TokenUse::Current) {
                    let acme = company("ACME");
                    let revoked =
                        bench.store.revoke_token(&acme, &poi(*n), &token.id, None, START).await.unwrap();
                    prop_assert!(revoked.is_some() && model.boarded);
                    model.boarded = false;
                }
            }
            Step::Retire(n) => {
                let acme = company("ACME");
                let retired =
                    bench.store.retire_terminal(&acme, &Scope::Company, &poi(*n), None, START).await;
                let model = &mut models[*n as usize];
                prop_assert_eq!(retired.unwrap().is_some(), !model.retired);
                let place = Some(Place::CompanyInventory);
                *model = Model { retired: true, place, moved: model.moved, ..Model::default() };
            }
            Step::Reopen => bench = bench.reopen(),
        }
        for (n, model) in (0..).zip(&models) {
            let terminal = bench.store.terminal(&poi(n)).await.unwrap().unwrap();
            let state = terminal.pending.as_ref().map(|pending| pending.state);
            let waits_for =
                terminal.boarded.as_ref().map_or(PendingState::Scheduled, |_| PendingState::AwaitingTerminal);
            prop_assert!(state.is_none_or(|state| state == waits_for), "{:?} after {:?}", terminal, step);
            let found = Model {
                place: Some(terminal.place),
                boarded: terminal.boarded.is_some(),
                pending: terminal.pending.map(|pending| pending.to),
                retired: terminal.retired.is_some(),
                moved: model.moved,
            };
            prop_assert_eq!(&found, model, "terminal {} after {:?}", n, step);
        }
    }
    let moved: usize = models.iter().map(|model| model.moved).sum();
    prop_assert_eq!(bench.events(EventKind::AssignmentComplete).await.len(), moved);
    Ok(())
}

pub(in crate::store) async fn an_actions_terminal_moves_at_once_and_its_key_is_nobodys_there<D: Database>() {
    let bench = bench::<D>().await;
    let group = store_group("ACME_EU", "AMS");
    bench.store.create_credential(key_of_terminal(1, group, "LANE-4")).await.unwrap();
    let board = async |journal: &str| {
        let token = TokenHash([1; 32]);
        bench.store.board_actions(&poi(1), None, journal_id(journal), token, START).await.unwrap()
    };
    assert!(board("j_1").await.is_some());
    // Nobody could ask it to remove anything.
    assert_eq!(bench.assign([1], par()).await, [Assigned::Done]);
    let terminal = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!((terminal.place, terminal.boarded), (par(), None));
    assert_eq!(board("j_1").await, None, "its key is for another group");
    assert_eq!(bench.assign([1], ams()).await, [Assigned::Done]);
    assert!(board("j_1").await.is_some());
}
