//! One suite for every store. [`conformance_tests!`] makes a test of each function here for one kind of [`Database`].

mod actions;
mod assignments;
mod fleet;
mod imports;

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use nexo::{DeviceId, Kept, KeptText, MessageCategory, PoiId, SaleId, ServiceId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner, contextualize_config};
use relay::ledger::{
    Admission, Answered, Caller, Cannot, Digest, Evidence, EvidenceKind, ExchangeKey, FenceReason,
    HelloClaim, LedgerError, Op, Outcome, Record, Refused, Reply, Told,
};
use relay::model::Ledger;
use relay::{CallId, DeliveryId, Epoch, ExchangeId, JournalId, WallMs};
use tokio::sync::oneshot;

use super::fleet_store::StoreId;
use super::{
    BoardError, BoardRefused, CodeError, CodeHash, Company, CompanyCode, CredentialError, CredentialId,
    Entity, FleetError, KeyHash, LedgerAnswer, MerchantAccount, MerchantCode, NewCredential, NewTerminal,
    PasswordHash, Place, Scope, Store, StoreCode, StoreDetails, TERMINALS_PER_PAGE, Terminal, TokenHash,
    TokenState, WallClock,
};

pub(in crate::store) use actions::*;
pub(in crate::store) use assignments::*;
pub(in crate::store) use fleet::*;
pub(in crate::store) use imports::*;

/// A database that no other test knows.
pub(super) trait Database {
    /// An empty one.
    fn fresh() -> Self;

    /// Opens it.
    fn open(&self, clock: WallClock) -> Arc<dyn Store>;

    /// All evidence in the order in which it came, which no op asks for.
    fn evidence(&self) -> Vec<(DeliveryId, Evidence)>;
}

/// Makes a test of each rule for one kind of [`Database`].
macro_rules! conformance_tests {
    ($database:ty) => {
        $crate::store::conformance::conformance_tests!($database:
            replies_are_those_of_the_model,
            what_was_acknowledged_is_there_after_opening_again,
            ops_of_a_lane_run_in_the_order_of_their_calls,
            an_op_that_fails_fails_alone,
            a_dropped_answer_withdraws_nothing,
            a_webhook_is_owed_from_its_admission_or_from_a_later_call,
            a_new_ledger_is_complete_since_it_was_made,
            a_fence_stands_for_48_hours_also_when_the_clock_was_set_back,
            a_hello_is_shown_with_the_terminal,
            telemetry_takes_the_place_of_what_was_there,
            a_hello_of_a_terminal_without_token_is_not_boarded,
            the_largest_numbers_survive,
            accounts_are_made_once_and_belong_to_somebody,
            a_terminal_is_added_once_at_a_place_that_is_there,
            a_merchant_account_with_stores_has_no_in_store_terminals_of_its_own,
            lists_are_in_order_and_end,
            lists_come_in_pages,
            a_code_is_made_for_in_store_terminals_only,
            a_code_boards_once,
            a_lost_reply_may_be_asked_for_again,
            a_hello_ends_the_code,
            a_code_expires,
            a_new_code_ends_the_old_one_and_the_old_token,
            the_same_journal_keeps_its_attempts,
            an_old_link_is_admitted_nothing_after_boarding,
            wrong_codes_lock_the_terminal,
            wrong_codes_lock_the_address,
            a_terminal_that_is_not_there_is_a_wrong_code,
            an_ended_token_stands_for_48_hours,
            a_credential_is_found_by_key_and_by_user_name,
            a_credential_is_unique_and_stays_in_its_company,
            a_revoked_credential_is_listed_and_not_found,
            an_actions_credential_is_found_with_its_facts,
            a_group_is_a_place_that_the_credential_reaches,
            an_actions_terminal_is_added_to_the_fleet_or_stands_there_already,
            a_terminal_and_its_device_id_are_free_again_once_their_key_is_revoked,
            a_device_is_looked_for_in_the_desktops_own_groups_first,
            actions_terminals_are_listed_by_group,
            groups_are_found_by_what_they_are_called,
            an_actions_terminal_boards_with_its_key,
            a_terminal_boards_with_its_key_or_with_a_code,
            a_transaction_begins_once_within_48_hours,
            a_transaction_is_kept_as_it_was_begun,
            a_transaction_is_completed_once,
            what_was_given_up_stays_open_for_its_result,
            what_waits_for_a_desktop_comes_in_order_and_to_nobody_else,
            a_late_note_of_telling_is_about_what_was_told,
            a_part_that_was_charged_is_kept_as_money_and_told_as_no_success,
            a_success_is_read_or_voided_and_never_both,
            a_success_that_was_told_over_the_terminal_api_is_not_voided,
            what_was_told_of_another_payment_or_end_keeps_no_void_away,
            a_void_that_failed_may_be_tried_again,
            what_is_not_finished_is_found_after_a_restart,
            deliveries_are_those_without_an_answer_and_those_that_are_wanted,
            one_terminal_that_is_not_boarded_moves_at_once,
            several_are_scheduled_and_done_in_the_background,
            a_boarded_terminal_moves_when_it_has_removed_its_configuration,
            into_inventory_the_token_ends,
            a_newer_assignment_supersedes_a_pending_one,
            who_waits_for_whom_changes_with_the_boarding,
            an_assignment_is_for_all_its_terminals_or_for_none,
            a_first_store_waits_for_what_is_on_its_way_to_the_merchant_account,
            a_retired_terminal_is_gone_and_its_name_is_not_used_again,
            a_store_that_is_not_active_is_shown_with_its_terminals,
            an_actions_terminal_moves_at_once_and_its_key_is_nobodys_there,
            whatever_comes_the_rules_of_assignment_hold,
            the_nearest_setting_that_is_set_wins,
            settings_are_changed_within_reach_only,
            a_change_of_settings_raises_the_revision_where_it_takes_effect,
            what_changes_no_setting_is_no_change,
            a_token_that_the_terminal_has_takes_the_place_of_its_own,
            any_token_that_a_terminal_may_have_stored_is_good,
            a_token_is_revoked_by_its_name,
            terminals_are_listed_in_the_order_of_their_places,
            a_list_has_what_the_caller_reaches,
            a_long_list_comes_in_pages_that_go_on_anywhere,
            stores_are_listed_by_merchant_account_and_code,
            a_store_is_found_by_its_id_and_changed,
            a_terminal_is_found_with_all_that_is_known,
            activity_only_goes_forward,
            events_come_in_order_and_to_their_company_only,
            an_import_is_seen_as_a_whole_when_it_is_finished,
            each_bad_line_of_an_import_is_named,
            a_broken_import_leaves_nothing,
            an_export_is_what_an_import_takes,
        );
    };
    ($database:ty: $($rule:ident,)+) => {
        $(
            #[test]
            fn $rule() {
                $crate::store::conformance::run($crate::store::conformance::$rule::<$database>());
            }
        )+
    };
}

pub(super) use conformance_tests;

/// Runs a test to its end.
pub(super) fn run(test: impl Future<Output = ()>) {
    runtime().block_on(test);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

pub(super) const HOUR: i64 = 60 * 60 * 1000;
const MINUTE: i64 = 60 * 1000;
/// When tests begin.
pub(super) const START: WallMs = WallMs(1_795_000_000_000);
/// A shop's own address.
const SHOP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 40));

/// A clock that a test sets.
#[derive(Clone)]
pub(super) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(super) fn new() -> TestClock {
        TestClock(Arc::new(AtomicI64::new(START.0)))
    }

    pub(super) fn set(&self, at: WallMs) {
        self.0.store(at.0, Ordering::Relaxed);
    }

    pub(super) fn wall(&self) -> WallClock {
        let clock = self.clone();
        Arc::new(move || WallMs(clock.0.load(Ordering::Relaxed)))
    }
}

/// A database with a company, its merchant account with two stores and another one without.
pub(super) struct Bench<D> {
    pub(super) database: D,
    pub(super) clock: TestClock,
    pub(super) store: Arc<dyn Store>,
}

pub(super) async fn bench<D: Database>() -> Bench<D> {
    let database = D::fresh();
    let clock = TestClock::new();
    let store = database.open(clock.wall());
    for code in ["ACME", "OTHER"] {
        store.create_company(Company::new(company(code))).await.unwrap();
    }
    for (owner, code) in [("ACME", "ACME_EU"), ("ACME", "ACME_US"), ("OTHER", "OTHER_EU")] {
        let account = MerchantAccount { code: merchant(code), company: company(owner), description: None };
        store.create_merchant_account(account).await.unwrap();
    }
    for code in ["AMS", "PAR"] {
        store.create_store(shop("ACME_EU", code)).await.unwrap();
    }
    Bench { database, clock, store }
}

impl<D: Database> Bench<D> {
    /// Closes the database and opens it again.
    fn reopen(self) -> Bench<D> {
        let Bench { database, clock, store } = self;
        drop(store);
        let store = database.open(clock.wall());
        Bench { database, clock, store }
    }

    async fn add(&self, poi: &PoiId, place: Place) {
        self.store.add_terminal(new_terminal(poi, place)).await.unwrap();
    }

    pub(super) async fn add_in_store(&self, poi: &PoiId) {
        self.add(poi, ams()).await;
    }

    /// Makes a code and boards with it.
    pub(super) async fn board(&self, poi: &PoiId, journal: &str, token: u8, at: WallMs) -> Terminal {
        self.make_code(poi, token, at).await;
        self.show_code(poi, token, journal, token, at).await.unwrap()
    }

    async fn make_code(&self, poi: &PoiId, code: u8, at: WallMs) {
        self.store.make_boarding_code(poi, hash(code), WallMs(at.0 + 24 * HOUR)).await.unwrap();
    }

    async fn show_code(
        &self,
        poi: &PoiId,
        code: u8,
        journal: &str,
        token: u8,
        at: WallMs,
    ) -> Result<Terminal, BoardError> {
        self.show_code_from(SHOP, poi, code, journal, token, at).await
    }

    async fn show_code_from(
        &self,
        address: IpAddr,
        poi: &PoiId,
        code: u8,
        journal: &str,
        token: u8,
        at: WallMs,
    ) -> Result<Terminal, BoardError> {
        self.store.board(poi, hash(code), journal_id(journal), TokenHash([token; 32]), at, address).await
    }

    async fn token_state(&self, token: u8) -> Option<TokenState> {
        self.store.token_standing(TokenHash([token; 32])).await.unwrap().map(|standing| standing.state)
    }

    pub(super) async fn op(&self, op: Op) -> Reply {
        self.store.ask(op).await.unwrap()
    }
}

fn hash(code: u8) -> CodeHash {
    CodeHash([code; 32])
}

pub(super) fn company(code: &str) -> CompanyCode {
    CompanyCode::parse(code).unwrap()
}

pub(super) fn merchant(code: &str) -> MerchantCode {
    MerchantCode::parse(code).unwrap()
}

pub(super) fn store_code(code: &str) -> StoreCode {
    StoreCode::parse(code).unwrap()
}

fn shop(owner: &str, code: &str) -> StoreDetails {
    StoreDetails {
        description: Some(format!("Shop {code}")),
        ..StoreDetails::new(
            StoreId::parse(&format!("ST{owner}.{code}")).unwrap(),
            merchant(owner),
            store_code(code),
        )
    }
}

fn ams() -> Place {
    Place::Store { merchant: merchant("ACME_EU"), store: store_code("AMS") }
}

fn new_terminal(poi: &PoiId, place: Place) -> NewTerminal {
    NewTerminal {
        platform: Some("android".into()),
        display_label: Some("Till 4".into()),
        ..NewTerminal::new(poi.clone(), company("ACME"), place, START)
    }
}

pub(super) fn poi(n: u32) -> PoiId {
    PoiId::parse(&format!("V400m-{n:09}")).unwrap()
}

pub(super) fn journal_id(text: &str) -> JournalId {
    JournalId::parse(text).unwrap()
}

pub(super) fn delivery(n: usize) -> DeliveryId {
    DeliveryId::parse(&format!("d_{n:032x}")).unwrap()
}

pub(super) fn service_key(n: u32, service: &str) -> ExchangeKey {
    ExchangeKey { poi: poi(n), device: None, service: ServiceId::parse(service).unwrap() }
}

/// A payment, admitted to be delivered under this epoch.
pub(super) fn payment(n: usize, key: ExchangeKey, epoch: u64, at: WallMs) -> Admission {
    Admission {
        record: Record {
            exchange: ExchangeId::parse(&format!("x_{n:032x}")).unwrap(),
            delivery: delivery(n),
            key,
            sale: SaleId::parse("TILL-04").unwrap(),
            category: MessageCategory::PAYMENT,
            digest: Digest([7; 32]),
            encrypted: false,
            admitted: at,
            journal: Some(journal_id("j_1")),
            epoch: Epoch(epoch),
            received: false,
            webhook: false,
            outcome: Outcome::Open,
        },
        message: Kept::of(&Bytes::from_static(b"{\"SaleToPOIRequest\":{}}")),
        caller: Caller { company: "ACME".into(), credential: "ws_1".into() },
    }
}

/// Ops whose replies are awaited.
pub(super) trait Awaited {
    fn ask(&self, op: Op) -> LedgerTicket;
}

impl<S: Store + ?Sized> Awaited for S {
    fn ask(&self, op: Op) -> LedgerTicket {
        let (sender, receiver) = oneshot::channel();
        self.submit(op, LedgerAnswer::call(move |reply| drop(sender.send(reply))));
        LedgerTicket(receiver)
    }
}

/// Dropping it withdraws nothing: the op runs all the same.
pub(super) struct LedgerTicket(oneshot::Receiver<Result<Reply, LedgerError>>);

impl Future for LedgerTicket {
    type Output = Result<Reply, LedgerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|reply| reply.expect("each op is answered"))
    }
}

pub(super) fn admit(admission: &Admission) -> Op {
    Op::Admit(Box::new(admission.clone()))
}

pub(super) fn hello(n: u32, journal: &str, attempt: u64, at: WallMs) -> HelloClaim {
    HelloClaim {
        poi: poi(n),
        journal: journal_id(journal),
        attempt,
        firmware_version: None,
        platform: None,
        device: None,
        at,
    }
}

fn take_hello(claim: HelloClaim) -> Op {
    Op::TakeHello(Box::new(claim))
}

pub(super) fn answered(message: &'static str) -> Outcome {
    Outcome::Answered(Answered::Message(Kept::of(&Bytes::from_static(message.as_bytes()))))
}

pub(super) fn settle(n: usize, outcome: Outcome) -> Op {
    Op::Settle { delivery: delivery(n), outcome, evidence: None }
}

fn records(reply: Reply) -> Vec<Record> {
    match reply {
        Reply::Records { records, .. } => records,
        other => panic!("expected records, got {other:?}"),
    }
}

// ---- The ledger against the model ----

/// An op whose IDs are still to be chosen, so that most of them meet.
#[derive(Clone, Debug)]
enum Step {
    Admit { key: usize, company: usize, sale: usize, category: usize, digest: u8, epoch: u64, outcome: usize },
    Withdraw(usize),
    Settle { delivery: usize, outcome: usize, evidence: bool },
    NoteReceived(usize),
    OweWebhook(usize),
    TakeHello { poi: usize, journal: usize, attempt: u64 },
    OpenDeliveries(usize),
    SettleHello { poi: usize, epoch: u64, settled: Vec<(usize, usize)> },
    Look { keys: Vec<usize>, company: usize },
    FindDelivery(usize),
    Fence { key: usize, company: usize, unreachable: bool },
    Keep { poi: usize, delivery: usize },
    NoteTold { exchange: usize },
    Notification { poi: usize, id: usize },
}

const COMPANIES: [&str; 2] = ["ACME", "OTHER"];
/// Terminals; the last is not boarded, and not in the fleet.
const POIS: usize = 3;
const KEYS: usize = 7;

fn key_of(n: usize) -> ExchangeKey {
    let service = ServiceId::parse(["1", "2"][n % 2]).unwrap();
    let device = (n >= 6).then(|| DeviceId::parse("1").unwrap());
    ExchangeKey { poi: poi(u32::try_from(n / 2 % POIS).unwrap()), device, service }
}

fn outcome_for(n: usize) -> Outcome {
    match n {
        0 => Outcome::Unknown,
        1 => Outcome::Refused(Refused::Withdrawn),
        2 => Outcome::Refused(Refused::Aborted),
        3 => Outcome::NeverReached,
        4 => answered("{\"SaleToPOIResponse\":{}}"),
        5 => answered("{\"SaleToPOIResponse\":{\"other\":1}}"),
        6 => Outcome::Answered(Answered::Empty),
        7 => Outcome::Answered(Answered::NotReplayable),
        8 => Outcome::UnknownFinal(Cannot::Indeterminate),
        9 => Outcome::UnknownFinal(Cannot::Forgotten),
        10 => Outcome::UnknownFinal(Cannot::JournalLost),
        11 => Outcome::UnknownFinal(Cannot::LedgerIncomplete),
        12 => Outcome::UnknownFinal(Cannot::Misfit),
        13 => Outcome::UnknownFinal(Cannot::TooLarge),
        _ => Outcome::Open,
    }
}

fn step() -> impl Strategy<Value = Step> {
    let delivery = 0..40_usize;
    // Every third is *unknown*, since that may still change.
    let outcome = (0..22_usize).prop_map(|n| if n < 15 { n } else { 0 });
    prop_oneof![
        8 => (0..KEYS, 0..5_usize, 0..6_usize, 0..3_usize, 0..6_u8, 0..3_u64, 0..6_usize).prop_map(
            |(key, company, sale, category, digest, epoch, outcome)| Step::Admit {
                key,
                company: company / 4,
                sale: sale / 5,
                category,
                digest: digest / 5,
                epoch,
                outcome: [14, 14, 14, 14, 3, 2][outcome],
            }
        ),
        2 => delivery.clone().prop_map(Step::Withdraw),
        5 => (delivery.clone(), outcome.clone(), any::<bool>())
            .prop_map(|(delivery, outcome, evidence)| Step::Settle { delivery, outcome, evidence }),
        1 => delivery.clone().prop_map(Step::NoteReceived),
        1 => delivery.clone().prop_map(Step::OweWebhook),
        2 => (0..POIS, 0..3_usize, 0..6_u64)
            .prop_map(|(poi, journal, attempt)| Step::TakeHello { poi, journal: journal / 2, attempt }),
        1 => (0..POIS).prop_map(Step::OpenDeliveries),
        1 => (0..POIS, 0..3_u64, prop::collection::vec((delivery.clone(), outcome), 0..4))
            .prop_map(|(poi, epoch, settled)| Step::SettleHello { poi, epoch, settled }),
        2 => (prop::collection::vec(0..KEYS, 0..4), 0..5_usize)
            .prop_map(|(keys, company)| Step::Look { keys, company: company / 4 }),
        1 => delivery.clone().prop_map(Step::FindDelivery),
        2 => (0..KEYS, 0..5_usize, any::<bool>())
            .prop_map(|(key, company, unreachable)| Step::Fence { key, company: company / 4, unreachable }),
        1 => (0..POIS, delivery.clone()).prop_map(|(poi, delivery)| Step::Keep { poi, delivery }),
        1 => delivery.prop_map(|exchange| Step::NoteTold { exchange }),
        1 => (0..POIS, 0..3_usize).prop_map(|(poi, id)| Step::Notification { poi, id }),
    ]
}

/// How far time moves before a step. A clock may also be set back.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => Just(0_i64),
        4 => Just(1),
        2 => Just(HOUR),
        1 => Just(47 * HOUR),
        1 => Just(48 * HOUR - 1),
        1 => Just(48 * HOUR),
        1 => Just(-HOUR),
    ]
}

/// `made` counts the admissions; each brings IDs that no other had.
fn op_of(step: &Step, made: &mut usize, at: WallMs) -> Op {
    let poi_of = |n: usize| poi(u32::try_from(n).unwrap());
    // Mostly one that was made, now and then one that was not.
    let known = *made;
    let delivery_of = |n: usize| delivery(n % (known + 1));
    let bytes = || Kept::of(&Bytes::from_static(b"{\"SaleToPOIRequest\":{\"n\":1}}"));
    match step.clone() {
        Step::Admit { key, company, sale, category, digest, epoch, outcome } => {
            let mut admission = payment(*made, key_of(key), epoch, at);
            *made += 1;
            admission.caller.company = COMPANIES[company].into();
            admission.record.sale = SaleId::parse(["TILL-04", "TILL-05"][sale]).unwrap();
            admission.record.category =
                [MessageCategory::PAYMENT, MessageCategory::BALANCE_INQUIRY, MessageCategory::DISPLAY]
                    [category]
                    .clone();
            admission.record.digest = Digest([digest; 32]);
            admission.record.encrypted = digest == 1;
            admission.record.webhook = sale == 1;
            admission.record.journal = (epoch > 0).then(|| journal_id("j_0"));
            admission.record.outcome = outcome_for(outcome);
            admit(&admission)
        }
        Step::Withdraw(n) => Op::Withdraw(delivery_of(n)),
        Step::Settle { delivery: n, outcome, evidence } => Op::Settle {
            delivery: delivery_of(n),
            outcome: outcome_for(outcome),
            evidence: evidence.then(|| Evidence { kind: EvidenceKind::Conflict, message: bytes() }),
        },
        Step::NoteReceived(n) => Op::NoteReceived(delivery_of(n)),
        Step::OweWebhook(n) => Op::OweWebhook(delivery_of(n)),
        Step::TakeHello { poi, journal, attempt } => {
            take_hello(hello(u32::try_from(poi).unwrap(), &format!("j_{journal}"), attempt, at))
        }
        Step::OpenDeliveries(poi) => Op::OpenDeliveries(poi_of(poi)),
        Step::SettleHello { poi, epoch, settled } => Op::SettleHello {
            poi: poi_of(poi),
            epoch: Epoch(epoch),
            settled: settled.iter().map(|(n, outcome)| (delivery_of(*n), outcome_for(*outcome))).collect(),
        },
        Step::Look { keys, company } => {
            Op::Look { keys: keys.into_iter().map(key_of).collect(), company: COMPANIES[company].into(), at }
        }
        Step::FindDelivery(n) => Op::FindDelivery(delivery_of(n)),
        Step::Fence { key, company, unreachable } => Op::Fence {
            key: key_of(key),
            company: COMPANIES[company].into(),
            reason: if unreachable { FenceReason::ToldUnreachable } else { FenceReason::ToldNotFound },
            at,
        },
        Step::Keep { poi, delivery: n } => Op::Keep {
            poi: poi_of(poi),
            delivery: delivery_of(n),
            evidence: Evidence { kind: EvidenceKind::Orphan, message: bytes() },
            at,
        },
        Step::NoteTold { exchange } => Op::NoteTold(Told {
            exchange: ExchangeId::parse(&format!("x_{exchange:032x}")).unwrap(),
            call: CallId(u64::MAX),
            what: Told::RESPONSE,
            at,
            written: true,
        }),
        Step::Notification { poi, id } => {
            Op::Notification { poi: poi_of(poi), id: delivery(1000 + id), message: bytes(), at }
        }
    }
}

/// Everything that ops can ask about the ledger as it stands.
fn questions(made: usize, at: WallMs) -> Vec<Op> {
    let mut ops: Vec<Op> = (0..made).map(|n| Op::FindDelivery(delivery(n))).collect();
    ops.extend((0..POIS).map(|n| Op::OpenDeliveries(poi(u32::try_from(n).unwrap()))));
    for at in [at, WallMs(at.0 - 48 * HOUR), WallMs(at.0 + 48 * HOUR - 1)] {
        for company in COMPANIES {
            ops.extend((0..KEYS).map(|n| Op::Look { keys: vec![key_of(n)], company: company.into(), at }));
        }
    }
    ops
}

pub(super) async fn replies_are_those_of_the_model<D: Database>() {
    let seed = RandomState::new().hash_one(0);
    let config =
        Config { failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::with_cases(64) };
    // `PROPTEST_RNG_SEED` runs a failure again, `PROPTEST_CASES` looks longer.
    let config = contextualize_config(config);
    let seed = config.rng_seed;
    // Its own thread, since each case runs a runtime of its own.
    let run = move || {
        let steps = prop::collection::vec((step(), pause()), 1..100);
        let test = |steps: Vec<(Step, i64)>| runtime().block_on(same_as_model::<D>(&steps));
        TestRunner::new(config).run(&steps, test).map_err(|failure| failure.to_string())
    };
    let result = std::thread::spawn(run).join().unwrap();
    result.unwrap_or_else(|failure| panic!("with {seed:?}: {failure}"));
}

async fn same_as_model<D: Database>(steps: &[(Step, i64)]) -> Result<(), TestCaseError> {
    let bench = bench::<D>().await;
    let mut model = Ledger::default();
    for n in 0..2 {
        bench.add_in_store(&poi(n)).await;
        bench.board(&poi(n), "j_0", u8::try_from(n).unwrap(), START).await;
        model.board(poi(n), journal_id("j_0"), START);
    }
    let (mut made, mut at) = (0, START);
    let mut ops = Vec::new();
    for (step, pause) in steps {
        at = WallMs(at.0 + pause);
        ops.push(op_of(step, &mut made, at));
    }
    ops.extend(questions(made, at));
    // Ops of one lane are handed over all at once, so that they share transactions.
    let mut ops = ops.into_iter().peekable();
    while let Some(first) = ops.next() {
        let lane = first.lane();
        let mut group = vec![first];
        while let Some(op) = ops.next_if(|op| op.lane() == lane) {
            group.push(op);
        }
        let tickets: Vec<_> = group.iter().map(|op| bench.store.ask(op.clone())).collect();
        for (op, ticket) in group.into_iter().zip(tickets) {
            let expected = model.apply(op.clone());
            prop_assert_eq!(ticket.await, Ok(expected), "{:?}", op);
        }
    }
    let database = bench.database;
    drop(bench.store);
    prop_assert_eq!(database.evidence(), model.evidence());
    Ok(())
}

// ---- The ledger, rule by rule ----

pub(super) async fn what_was_acknowledged_is_there_after_opening_again<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.op(take_hello(hello(1, "j_1", 41, START))).await;
    let admission = payment(1, service_key(1, "42"), 1, START);
    assert_eq!(bench.op(admit(&admission)).await, Reply::Admitted(admission.record.exchange.clone()));
    bench.op(Op::NoteReceived(delivery(1))).await;
    bench.op(settle(1, answered("{}"))).await;
    let fence = Op::Fence {
        key: service_key(1, "43"),
        company: "ACME".into(),
        reason: FenceReason::ToldNotFound,
        at: START,
    };
    bench.op(fence).await;

    let bench = bench.reopen();
    let expected = Record { received: true, outcome: answered("{}"), ..admission.record };
    assert_eq!(records(bench.op(Op::FindDelivery(delivery(1))).await), [expected]);
    let stale = bench.op(take_hello(hello(1, "j_1", 41, START))).await;
    assert_eq!(stale, Reply::StaleHello { highest: 41 });
    let fenced = bench.op(admit(&payment(2, service_key(1, "43"), 1, START))).await;
    assert_eq!(fenced, Reply::Fenced(FenceReason::ToldNotFound));
    assert_eq!(bench.token_state(1).await, Some(TokenState::Valid));
}

pub(super) async fn ops_of_a_lane_run_in_the_order_of_their_calls<D: Database>() {
    let bench = bench::<D>().await;
    let mut tickets = Vec::new();
    for n in 0..300 {
        let admission = payment(n, service_key(1, &format!("s{n}")), 0, START);
        tickets.push((bench.store.ask(admit(&admission)), Reply::Admitted(admission.record.exchange)));
        tickets.push((bench.store.ask(settle(n, Outcome::NeverReached)), Reply::Done));
        let already = Reply::Already(Outcome::NeverReached);
        tickets.push((bench.store.ask(settle(n, answered("late"))), already));
    }
    for (ticket, expected) in tickets {
        assert_eq!(ticket.await, Ok(expected));
    }
}

pub(super) async fn an_op_that_fails_fails_alone<D: Database>() {
    let bench = bench::<D>().await;
    let first = payment(1, service_key(1, "1"), 0, START);
    // Another exchange under the same delivery, which no correct caller makes: the database refuses the row.
    let broken = Admission {
        record: Record {
            key: service_key(1, "2"),
            exchange: ExchangeId::parse("x_b").unwrap(),
            ..first.record.clone()
        },
        ..first.clone()
    };
    let last = payment(3, service_key(1, "3"), 0, START);
    let tickets = [&first, &broken, &last].map(|admission| bench.store.ask(admit(admission)));
    let [one, two, three] = tickets;
    assert_eq!(one.await, Ok(Reply::Admitted(first.record.exchange)));
    assert_eq!(two.await, Err(LedgerError::Failed));
    assert_eq!(three.await, Ok(Reply::Admitted(last.record.exchange)));
    let keys = vec![service_key(1, "1"), service_key(1, "2"), service_key(1, "3")];
    let found = records(bench.op(Op::Look { keys, company: "ACME".into(), at: START }).await);
    assert_eq!(found.iter().map(|r| r.delivery.clone()).collect::<Vec<_>>(), [delivery(1), delivery(3)]);
}

pub(super) async fn a_dropped_answer_withdraws_nothing<D: Database>() {
    let bench = bench::<D>().await;
    drop(bench.store.ask(admit(&payment(1, service_key(1, "1"), 0, START))));
    drop(bench.store.add_terminal(new_terminal(&poi(1), ams())));
    assert_eq!(records(bench.op(Op::FindDelivery(delivery(1))).await).len(), 1);
    assert!(bench.store.terminal(&poi(1)).await.unwrap().is_some());
}

pub(super) async fn a_webhook_is_owed_from_its_admission_or_from_a_later_call<D: Database>() {
    let bench = bench::<D>().await;
    let mut owed = payment(1, service_key(1, "1"), 0, START);
    owed.record.webhook = true;
    let later = payment(2, service_key(1, "2"), 0, START);
    bench.op(admit(&owed)).await;
    bench.op(admit(&later)).await;
    assert_eq!(bench.op(Op::OweWebhook(delivery(3))).await, Reply::Missing);
    let keys = || vec![service_key(1, "1"), service_key(1, "2")];
    let look = || Op::Look { keys: keys(), company: "ACME".into(), at: START };
    let webhooks = |reply| records(reply).iter().map(|r| r.webhook).collect::<Vec<_>>();
    assert_eq!(webhooks(bench.op(look()).await), [true, false]);
    bench.op(settle(2, answered("{}"))).await;
    assert_eq!(bench.op(Op::OweWebhook(delivery(2))).await, Reply::Done);
    let bench = bench.reopen();
    assert_eq!(webhooks(bench.op(look()).await), [true, true]);
}

pub(super) async fn a_new_ledger_is_complete_since_it_was_made<D: Database>() {
    let bench = bench::<D>().await;
    bench.clock.set(WallMs(START.0 + HOUR));
    let bench = bench.reopen();
    let facts = bench.store.facts().await.unwrap();
    assert_eq!((facts.complete_since, facts.restored), (START, None));
}

pub(super) async fn a_fence_stands_for_48_hours_also_when_the_clock_was_set_back<D: Database>() {
    let bench = bench::<D>().await;
    let key = service_key(1, "1");
    let before = WallMs(START.0 - HOUR);
    for (reason, at) in [(FenceReason::ToldNotFound, START), (FenceReason::ToldUnreachable, before)] {
        bench.op(Op::Fence { key: key.clone(), company: "ACME".into(), reason, at }).await;
    }
    let fence =
        async |at| match bench.op(Op::Look { keys: vec![key.clone()], company: "ACME".into(), at }).await {
            Reply::Records { fence, .. } => fence,
            other => panic!("expected records, got {other:?}"),
        };
    assert_eq!(fence(WallMs(before.0 + 48 * HOUR - 1)).await, Some(FenceReason::ToldUnreachable));
    assert_eq!(fence(WallMs(before.0 + 48 * HOUR)).await, Some(FenceReason::ToldNotFound));
    assert_eq!(fence(WallMs(START.0 + 48 * HOUR)).await, None);
}

pub(super) async fn a_hello_is_shown_with_the_terminal<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    let at = WallMs(START.0 + 5);
    let claim = HelloClaim {
        firmware_version: Some(KeptText::of("Virtual_OS 1.4.0")),
        device: Some(KeptText::of("{\"batteryLevel\":87}")),
        ..hello(1, "j_1", 1, at)
    };
    let raised = bench.op(take_hello(claim)).await;
    assert_eq!(raised, Reply::Raised { epoch: Epoch(1), journal_boarded: START });
    // A member that this hello left out stays as it was.
    bench
        .op(take_hello(HelloClaim { platform: Some(KeptText::of("other")), ..hello(1, "j_1", 2, at) }))
        .await;
    let terminal = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!(terminal.firmware_version.as_deref(), Some("Virtual_OS 1.4.0"));
    assert_eq!(terminal.platform.as_deref(), Some("other"));
    assert_eq!(terminal.device.as_deref(), Some("{\"batteryLevel\":87}"));
    assert_eq!(terminal.last_hello, Some(at));
    assert_eq!(terminal.settings.display_label.as_deref(), Some("Till 4"));
    assert_eq!(terminal.settings.revision, 1);
}

pub(super) async fn telemetry_takes_the_place_of_what_was_there<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    for device in ["{\"batteryLevel\":87}", "{\"batteryLevel\":86}"] {
        let note = |n| Op::NoteDevice { poi: poi(n), device: KeptText::of(device) };
        assert_eq!(bench.op(note(1)).await, Reply::Done);
        assert_eq!(bench.op(note(2)).await, Reply::Done, "a terminal that is not there changes nothing");
        let terminal = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
        assert_eq!(terminal.device.as_deref(), Some(device));
    }
    assert_eq!(bench.store.terminal(&poi(2)).await.unwrap(), None);
}

pub(super) async fn a_hello_of_a_terminal_without_token_is_not_boarded<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    for n in [1, 2] {
        assert_eq!(bench.op(take_hello(hello(n, "j_1", 1, START))).await, Reply::NotBoarded);
        let settle = Op::SettleHello { poi: poi(n), epoch: Epoch(0), settled: vec![] };
        assert_eq!(bench.op(settle).await, Reply::EpochPassed);
    }
}

pub(super) async fn the_largest_numbers_survive<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    let raised = bench.op(take_hello(hello(1, "j_1", u64::MAX, START))).await;
    assert!(matches!(raised, Reply::Raised { .. }), "{raised:?}");
    let stale = bench.op(take_hello(hello(1, "j_1", u64::MAX - 1, START))).await;
    assert_eq!(stale, Reply::StaleHello { highest: u64::MAX });
}

// ---- Accounts and terminals ----

pub(super) async fn accounts_are_made_once_and_belong_to_somebody<D: Database>() {
    let bench = bench::<D>().await;
    let store = &bench.store;
    assert!(store.has_companies().await.unwrap());
    assert!(!D::fresh().open(bench.clock.wall()).has_companies().await.unwrap());
    let again = store.create_company(Company::new(company("ACME"))).await;
    assert!(matches!(again, Err(FleetError::AlreadyExists(Entity::Company(_)))), "{again:?}");
    // Another company's merchant account is one that exists, all the same.
    let account =
        |owner| MerchantAccount { code: merchant("ACME_EU"), company: company(owner), description: None };
    let again = store.create_merchant_account(account("OTHER")).await;
    assert!(matches!(again, Err(FleetError::AlreadyExists(Entity::MerchantAccount(_)))), "{again:?}");
    let orphan = MerchantAccount { code: merchant("NEW"), company: company("NOBODY"), description: None };
    let orphan = store.create_merchant_account(orphan).await;
    assert!(matches!(orphan, Err(FleetError::Missing(Entity::Company(_)))), "{orphan:?}");
    let again = store.create_store(shop("ACME_EU", "AMS")).await;
    assert!(matches!(again, Err(FleetError::AlreadyExists(Entity::Store(..)))), "{again:?}");
    let orphan = store.create_store(shop("NOBODY", "AMS")).await;
    assert!(matches!(orphan, Err(FleetError::Missing(Entity::MerchantAccount(_)))), "{orphan:?}");
    // A store's code is its merchant account's own affair.
    store.create_store(shop("OTHER_EU", "AMS")).await.unwrap();

    assert_eq!(store.company(&company("ACME")).await.unwrap().unwrap().code, company("ACME"));
    assert_eq!(store.company(&company("NOBODY")).await.unwrap(), None);
    assert_eq!(store.merchant_account(&merchant("ACME_EU")).await.unwrap(), Some(account("ACME")));
    assert_eq!(store.merchant_account(&merchant("NOBODY")).await.unwrap(), None);
    let (owner, code) = (merchant("ACME_EU"), store_code("AMS"));
    assert_eq!(store.store_details(&owner, &code).await.unwrap(), Some(shop("ACME_EU", "AMS")));
    assert_eq!(store.store_details(&merchant("ACME_US"), &code).await.unwrap(), None);
}

pub(super) async fn a_terminal_is_added_once_at_a_place_that_is_there<D: Database>() {
    let bench = bench::<D>().await;
    let store = &bench.store;
    let places = [
        Place::CompanyInventory,
        Place::MerchantInventory(merchant("ACME_EU")),
        Place::MerchantInStore(merchant("ACME_US")),
        ams(),
    ];
    for (n, place) in (0..).zip(places) {
        store.add_terminal(new_terminal(&poi(n), place.clone())).await.unwrap();
        let found = store.terminal(&poi(n)).await.unwrap().unwrap();
        assert_eq!((found.place, found.company, found.boarded), (place, company("ACME"), None));
    }
    let again = store.add_terminal(new_terminal(&poi(0), ams())).await;
    assert!(matches!(again, Err(FleetError::AlreadyExists(Entity::Terminal(_)))), "{again:?}");
    let nobody = NewTerminal { company: company("NOBODY"), ..new_terminal(&poi(9), Place::CompanyInventory) };
    let nobody = store.add_terminal(nobody).await;
    assert!(matches!(nobody, Err(FleetError::Missing(Entity::Company(_)))), "{nobody:?}");
    for foreign in ["OTHER_EU", "NOBODY"] {
        let foreign =
            store.add_terminal(new_terminal(&poi(9), Place::MerchantInventory(merchant(foreign)))).await;
        assert!(matches!(foreign, Err(FleetError::Missing(Entity::MerchantAccount(_)))), "{foreign:?}");
    }
    let place = Place::Store { merchant: merchant("ACME_US"), store: store_code("AMS") };
    let missing = store.add_terminal(new_terminal(&poi(9), place)).await;
    assert!(matches!(missing, Err(FleetError::Missing(Entity::Store(..)))), "{missing:?}");
    assert_eq!(store.terminal(&poi(9)).await.unwrap(), None);
}

pub(super) async fn a_merchant_account_with_stores_has_no_in_store_terminals_of_its_own<D: Database>() {
    let bench = bench::<D>().await;
    let store = &bench.store;
    let refused =
        store.add_terminal(new_terminal(&poi(1), Place::MerchantInStore(merchant("ACME_EU")))).await;
    assert!(matches!(refused, Err(FleetError::MerchantHasStores(_))), "{refused:?}");

    for n in 0..21 {
        store.add_terminal(new_terminal(&poi(n), Place::MerchantInStore(merchant("ACME_US")))).await.unwrap();
    }
    store.add_terminal(new_terminal(&poi(99), Place::MerchantInventory(merchant("ACME_US")))).await.unwrap();
    let refused = store.create_store(shop("ACME_US", "NYC")).await;
    let text = refused.as_ref().unwrap_err().to_string();
    assert!(text.contains("ACME_US has 21 in-store terminals"), "{text}");
    assert!(text.ends_with("V400m-000000018, V400m-000000019, …"), "{text}");
    assert_eq!(store.store_details(&merchant("ACME_US"), &store_code("NYC")).await.unwrap(), None);
}

pub(super) async fn lists_are_in_order_and_end<D: Database>() {
    let bench = bench::<D>().await;
    let par = Place::Store { merchant: merchant("ACME_EU"), store: store_code("PAR") };
    bench.add(&poi(3), ams()).await;
    bench.add(&poi(1), par).await;
    bench.add(&poi(2), Place::MerchantInventory(merchant("ACME_EU"))).await;
    bench.add(&poi(4), Place::MerchantInStore(merchant("ACME_US"))).await;
    bench.add(&poi(5), Place::CompanyInventory).await;
    let list = async |owner, account, shop: Option<&str>, after: Option<u32>| {
        let (shop, after) = (shop.map(store_code), after.map(poi));
        let (owner, account) = (company(owner), merchant(account));
        let found = bench.store.terminals_at(&owner, &account, shop.as_ref(), after.as_ref()).await.unwrap();
        found.into_iter().map(|terminal| terminal.poi).collect::<Vec<_>>()
    };
    assert_eq!(list("ACME", "ACME_EU", None, None).await, [poi(1), poi(2), poi(3)]);
    assert_eq!(list("ACME", "ACME_EU", Some("AMS"), None).await, [poi(3)]);
    assert_eq!(list("ACME", "ACME_EU", None, Some(1)).await, [poi(2), poi(3)]);
    assert_eq!(list("ACME", "ACME_EU", None, Some(3)).await, []);
    assert_eq!(list("ACME", "ACME_US", None, None).await, [poi(4)]);
    assert_eq!(list("OTHER", "ACME_EU", None, None).await, [], "another company's are nobody's business");
    assert_eq!(list("ACME", "ACME_US", Some("AMS"), None).await, []);
}

pub(super) async fn lists_come_in_pages<D: Database>() {
    let bench = bench::<D>().await;
    let count = u32::try_from(TERMINALS_PER_PAGE).unwrap() + 2;
    let added: Vec<_> = (0..count).map(|n| bench.store.add_terminal(new_terminal(&poi(n), ams()))).collect();
    for added in added {
        added.await.unwrap();
    }
    let (owner, account) = (company("ACME"), merchant("ACME_EU"));
    let first = bench.store.terminals_at(&owner, &account, None, None).await.unwrap();
    assert_eq!(first.len(), TERMINALS_PER_PAGE);
    let last = first.last().map(|terminal| &terminal.poi);
    let second = bench.store.terminals_at(&owner, &account, None, last).await.unwrap();
    assert_eq!(
        second.iter().map(|terminal| terminal.poi.clone()).collect::<Vec<_>>(),
        [poi(count - 2), poi(count - 1)]
    );
}

// ---- Boarding ----

fn refusal(result: Result<Terminal, BoardError>) -> BoardRefused {
    match result {
        Err(BoardError::Refused(refused)) => refused,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(super) async fn a_code_is_made_for_in_store_terminals_only<D: Database>() {
    let bench = bench::<D>().await;
    let expires = WallMs(START.0 + 24 * HOUR);
    for (n, place) in [(1, Place::CompanyInventory), (2, Place::MerchantInventory(merchant("ACME_EU")))] {
        bench.add(&poi(n), place).await;
        let refused = bench.store.make_boarding_code(&poi(n), hash(1), expires).await;
        assert!(matches!(refused, Err(CodeError::InInventory { .. })), "{refused:?}");
        let refused = refusal(bench.show_code(&poi(n), 1, "j_1", 1, START).await);
        assert_eq!(refused, BoardRefused::InInventory);
    }
    let missing = bench.store.make_boarding_code(&poi(9), hash(1), expires).await;
    assert!(matches!(missing, Err(CodeError::Missing(Entity::Terminal(_)))), "{missing:?}");
    bench.add(&poi(3), Place::MerchantInStore(merchant("ACME_US"))).await;
    bench.board(&poi(3), "j_1", 1, START).await;
}

pub(super) async fn a_code_boards_once<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    let terminal = bench.board(&poi(1), "j_1", 1, START).await;
    let boarded = terminal.boarded.clone().unwrap();
    assert_eq!((boarded.at, boarded.journal, boarded.journal_at), (START, journal_id("j_1"), START));
    assert_eq!(bench.store.terminal(&poi(1)).await.unwrap(), Some(terminal));
    let standing = bench.store.token_standing(TokenHash([1; 32])).await.unwrap().unwrap();
    assert_eq!((standing.poi, standing.state), (poi(1), TokenState::Valid));
    assert_eq!(bench.token_state(2).await, None);

    let later = WallMs(START.0 + 10 * MINUTE);
    assert_eq!(refusal(bench.show_code(&poi(1), 1, "j_1", 2, later).await), BoardRefused::CodeUsed);
    assert_eq!(bench.token_state(1).await, Some(TokenState::Valid));
}

pub(super) async fn a_lost_reply_may_be_asked_for_again<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    // The hello of an earlier boarding says nothing about this one.
    bench.board(&poi(1), "j_1", 9, START).await;
    bench.op(take_hello(hello(1, "j_1", 1, START))).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    let again = WallMs(START.0 + 10 * MINUTE - 1);
    bench.show_code(&poi(1), 1, "j_1", 2, again).await.unwrap();
    assert_eq!(bench.token_state(1).await, Some(TokenState::Ended { since: again }));
    assert_eq!(bench.token_state(2).await, Some(TokenState::Valid));
    // Being used again does not make it last longer.
    let late = WallMs(START.0 + 10 * MINUTE);
    assert_eq!(refusal(bench.show_code(&poi(1), 1, "j_1", 3, late).await), BoardRefused::CodeUsed);
}

pub(super) async fn a_hello_ends_the_code<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.op(take_hello(hello(1, "j_1", 1, START))).await;
    assert_eq!(refusal(bench.show_code(&poi(1), 1, "j_1", 2, START).await), BoardRefused::CodeUsed);
    assert_eq!(bench.token_state(1).await, Some(TokenState::Valid));
}

pub(super) async fn a_code_expires<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.make_code(&poi(1), 1, START).await;
    let late = WallMs(START.0 + 24 * HOUR);
    assert_eq!(refusal(bench.show_code(&poi(1), 1, "j_1", 1, late).await), BoardRefused::CodeExpired);
    bench.show_code(&poi(1), 1, "j_1", 1, WallMs(late.0 - 1)).await.unwrap();
}

pub(super) async fn a_new_code_ends_the_old_one_and_the_old_token<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.op(take_hello(hello(1, "j_1", 41, START))).await;
    bench.make_code(&poi(1), 2, START).await;
    assert_eq!(refusal(bench.show_code(&poi(1), 1, "j_2", 2, START).await), BoardRefused::WrongCode);
    assert_eq!(bench.token_state(1).await, Some(TokenState::Valid), "a code that was only made ends nothing");

    let later = WallMs(START.0 + MINUTE);
    let boarded = bench.show_code(&poi(1), 2, "j_2", 2, later).await.unwrap().boarded.unwrap();
    assert_eq!((boarded.at, boarded.journal_at), (later, later));
    assert_eq!(bench.token_state(1).await, Some(TokenState::Ended { since: later }));
    assert_eq!(bench.op(take_hello(hello(1, "j_1", 42, later))).await, Reply::WrongJournal);
    // A new journal begins with no attempt seen.
    let raised = bench.op(take_hello(hello(1, "j_2", 1, later))).await;
    assert_eq!(raised, Reply::Raised { epoch: Epoch(3), journal_boarded: later });
}

pub(super) async fn the_same_journal_keeps_its_attempts<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.op(take_hello(hello(1, "j_1", 41, START))).await;
    let later = WallMs(START.0 + HOUR);
    let boarded = bench.board(&poi(1), "j_1", 2, later).await.boarded.unwrap();
    assert_eq!((boarded.at, boarded.journal_at), (later, START));
    let stale = bench.op(take_hello(hello(1, "j_1", 41, later))).await;
    assert_eq!(stale, Reply::StaleHello { highest: 41 });
    // What the journal knows reaches back to its first boarding.
    let raised = bench.op(take_hello(hello(1, "j_1", 42, later))).await;
    assert_eq!(raised, Reply::Raised { epoch: Epoch(3), journal_boarded: START });
}

pub(super) async fn an_old_link_is_admitted_nothing_after_boarding<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    bench.op(take_hello(hello(1, "j_1", 1, START))).await;
    let first = bench.op(admit(&payment(1, service_key(1, "1"), 1, START))).await;
    assert!(matches!(first, Reply::Admitted(_)), "{first:?}");
    bench.board(&poi(1), "j_1", 2, START).await;
    let second = bench.op(admit(&payment(2, service_key(1, "2"), 1, START))).await;
    assert_eq!(second, Reply::EpochPassed);
    let settled =
        Op::SettleHello { poi: poi(1), epoch: Epoch(1), settled: vec![(delivery(1), Outcome::NeverReached)] };
    assert_eq!(bench.op(settled).await, Reply::EpochPassed);
    assert_eq!(records(bench.op(Op::OpenDeliveries(poi(1))).await).len(), 1);
}

pub(super) async fn wrong_codes_lock_the_terminal<D: Database>() {
    let bench = bench::<D>().await;
    for n in [1, 2] {
        bench.add_in_store(&poi(n)).await;
        bench.make_code(&poi(n), 1, START).await;
    }
    let from = |n: u8| IpAddr::from([198, 51, 100, n]);
    for n in 0..5 {
        let refused = bench.show_code_from(from(n), &poi(1), 9, "j_1", 1, START).await;
        assert_eq!(refusal(refused), BoardRefused::WrongCode);
    }
    let bench = bench.reopen();
    // The right code too, from wherever.
    let refused = bench.show_code(&poi(1), 1, "j_1", 1, WallMs(START.0 + 1)).await;
    assert_eq!(refusal(refused), BoardRefused::Locked { seconds_left: 900 });
    let refused = bench.show_code(&poi(1), 1, "j_1", 1, WallMs(START.0 + 15 * MINUTE - 1)).await;
    assert_eq!(refusal(refused), BoardRefused::Locked { seconds_left: 1 });
    bench.show_code(&poi(2), 1, "j_2", 2, START).await.unwrap();
    bench.show_code(&poi(1), 1, "j_1", 1, WallMs(START.0 + 15 * MINUTE)).await.unwrap();
}

pub(super) async fn wrong_codes_lock_the_address<D: Database>() {
    let bench = bench::<D>().await;
    for n in 0..7 {
        bench.add_in_store(&poi(n)).await;
        bench.make_code(&poi(n), 1, START).await;
    }
    // Hosts of one IPv6 network count as one address.
    let from = |n: u32| format!("2001:db8::{n}").parse().unwrap();
    for n in 0..5 {
        let refused = bench.show_code_from(from(n), &poi(n), 9, "j_1", 1, START).await;
        assert_eq!(refusal(refused), BoardRefused::WrongCode);
    }
    let refused = bench.show_code_from(from(6), &poi(6), 1, "j_1", 1, START).await;
    assert_eq!(refusal(refused), BoardRefused::Locked { seconds_left: 900 });
    bench.show_code(&poi(6), 1, "j_1", 1, START).await.unwrap();
    // Wrong codes that are 15 minutes apart are no attack.
    for n in 1..10 {
        let at = WallMs(START.0 + n * 15 * MINUTE);
        assert_eq!(refusal(bench.show_code(&poi(5), 9, "j_1", 2, at).await), BoardRefused::WrongCode);
    }
}

pub(super) async fn a_terminal_that_is_not_there_is_a_wrong_code<D: Database>() {
    let bench = bench::<D>().await;
    for _ in 0..5 {
        let refused = bench.show_code(&poi(9), 1, "j_1", 1, START).await;
        assert_eq!(refusal(refused), BoardRefused::WrongCode);
    }
    let refused = bench.show_code(&poi(9), 1, "j_1", 1, START).await;
    assert_eq!(refusal(refused), BoardRefused::Locked { seconds_left: 900 });
}

pub(super) async fn an_ended_token_stands_for_48_hours<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    let ended = WallMs(START.0 + HOUR);
    bench.board(&poi(1), "j_1", 2, ended).await;
    bench.clock.set(WallMs(ended.0 + 48 * HOUR - 1));
    assert_eq!(bench.token_state(1).await, Some(TokenState::Ended { since: ended }));
    bench.clock.set(WallMs(ended.0 + 48 * HOUR));
    assert_eq!(bench.token_state(1).await, None);
    assert_eq!(bench.token_state(2).await, Some(TokenState::Valid));
}

// ---- API credentials ----

fn credential(n: u8, scope: Scope) -> NewCredential {
    NewCredential {
        id: CredentialId::parse(&format!("c{n}")).unwrap(),
        company: company("ACME"),
        scope,
        roles: vec!["Terminal API role".into(), "Management API—Account read".into()],
        key: KeyHash([n; 32]),
        username: format!("ws_{n}@Company.ACME"),
        password: PasswordHash([100 + n; 32]),
        description: Some("tills".into()),
        created: START,
        actions: None,
    }
}

pub(super) async fn a_credential_is_found_by_key_and_by_user_name<D: Database>() {
    let bench = bench::<D>().await;
    let store = &bench.store;
    let scope = Scope::Merchants(vec![merchant("ACME_EU"), merchant("ACME_US")]);
    let new = credential(1, scope.clone());
    store.create_credential(new.clone()).await.unwrap();
    store.create_credential(credential(2, Scope::Company)).await.unwrap();
    let found = store.credential_by_key(KeyHash([1; 32])).await.unwrap().unwrap();
    assert_eq!((&found.id, &found.company, &found.scope), (&new.id, &new.company, &scope));
    assert_eq!((&found.roles, &found.username, found.password), (&new.roles, &new.username, new.password));
    assert_eq!((&found.description, found.created, found.revoked), (&new.description, START, None));
    assert_eq!(store.credential_by_username(&new.username).await.unwrap(), Some(found));
    let second = store.credential_by_key(KeyHash([2; 32])).await.unwrap().unwrap();
    assert_eq!(second.scope, Scope::Company);
    assert_eq!(store.credential_by_key(KeyHash([3; 32])).await.unwrap(), None);
    assert_eq!(store.credential_by_username("ws_3@Company.ACME").await.unwrap(), None);
}

pub(super) async fn a_credential_is_unique_and_stays_in_its_company<D: Database>() {
    let bench = bench::<D>().await;
    let store = &bench.store;
    let first = credential(1, Scope::Company);
    store.create_credential(first.clone()).await.unwrap();
    let fresh = credential(2, Scope::Company);
    let cases = [
        (NewCredential { id: first.id.clone(), ..fresh.clone() }, Entity::Credential(first.id.clone())),
        (
            NewCredential { username: first.username.clone(), ..fresh.clone() },
            Entity::Username(first.username),
        ),
        (NewCredential { key: first.key, ..fresh.clone() }, Entity::Key),
    ];
    for (new, expected) in cases {
        match store.create_credential(new).await {
            Err(CredentialError::AlreadyExists(entity)) => assert_eq!(entity, expected),
            other => panic!("expected that {expected} exists, got {other:?}"),
        }
    }
    let nobody = NewCredential { company: company("NOBODY"), ..fresh.clone() };
    let nobody = store.create_credential(nobody).await;
    assert!(matches!(nobody, Err(CredentialError::Missing(Entity::Company(_)))), "{nobody:?}");
    let foreign = Scope::Merchants(vec![merchant("ACME_EU"), merchant("OTHER_EU")]);
    let foreign = store.create_credential(NewCredential { scope: foreign, ..fresh.clone() }).await;
    assert!(matches!(foreign, Err(CredentialError::Missing(Entity::MerchantAccount(_)))), "{foreign:?}");
    let empty =
        store.create_credential(NewCredential { scope: Scope::Merchants(vec![]), ..fresh.clone() }).await;
    assert!(matches!(empty, Err(CredentialError::EmptyScope)), "{empty:?}");
    // Nothing was left of what was refused.
    assert_eq!(store.credentials(&company("ACME")).await.unwrap().len(), 1);
    store.create_credential(fresh).await.unwrap();
}

pub(super) async fn a_revoked_credential_is_listed_and_not_found<D: Database>() {
    let bench = bench::<D>().await;
    let store = &bench.store;
    for n in [2, 1] {
        store.create_credential(credential(n, Scope::Company)).await.unwrap();
    }
    let id = credential(1, Scope::Company).id;
    let at = WallMs(START.0 + HOUR);
    assert!(store.revoke_credential(&id, at).await.unwrap());
    assert!(!store.revoke_credential(&id, at).await.unwrap());
    assert!(!store.revoke_credential(&CredentialId::parse("c9").unwrap(), at).await.unwrap());
    assert_eq!(store.credential_by_key(KeyHash([1; 32])).await.unwrap(), None);
    assert_eq!(store.credential_by_username("ws_1@Company.ACME").await.unwrap(), None);
    let listed = store.credentials(&company("ACME")).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|c| (c.id.as_str().to_owned(), c.revoked)).collect();
    assert_eq!(listed, [("c2".to_owned(), None), ("c1".to_owned(), Some(at))]);
    assert_eq!(store.credentials(&company("OTHER")).await.unwrap(), []);
}
