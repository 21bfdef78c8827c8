//! What a store keeps for the Actions API.

use bytes::Bytes;
use nexo::{Kept, PoiId, ServiceId};
use relay::actions::{Charge, Standing, TransactionId};
use relay::ledger::{Admission, Boarded, Cannot, Digest, Op, Outcome, Reply, Told};
use relay::{CallId, ConnectionId, DeliveryId, Epoch, ExchangeId, WallMs};

use super::{
    Bench, Database, HOUR, START, admit, ams, answered, bench, company, credential, delivery, hash, hello,
    journal_id, merchant, new_terminal, payment, poi, service_key, settle, shop, store_code, take_hello,
};
use crate::store::actions::{
    ActionsDeviceId, ActionsFacts, ActionsTerminal, Begun, Completion, DeviceFound, Edition, Group, Groups,
    KnownDelivery, Metadata, Progress, RegisteredTerminal, RequestFilter, SealedSecret,
    TRANSACTIONS_PER_PAGE, Transaction, TransactionFacts, TransactionSeq, TransactionStatus, Void,
};
use crate::store::{
    CodeError, CredentialError, CredentialId, Entity, NewCredential, NewTerminal, Place, Scope, TokenHash,
};

// ---- Credentials, groups and terminals ----

pub(super) fn store_group(account: &str, code: &str) -> Group {
    Group::at(&Place::Store { merchant: merchant(account), store: store_code(code) }).unwrap()
}

/// The merchant account without stores.
fn us() -> Group {
    Group::at(&Place::MerchantInStore(merchant("ACME_US"))).unwrap()
}

fn device(text: &str) -> ActionsDeviceId {
    ActionsDeviceId::parse(text).unwrap()
}

fn terminal_of(poi: PoiId, group: Group, device_id: &str) -> ActionsTerminal {
    let metadata = Metadata::parse(r#"{"lane": "4"}"#).unwrap();
    ActionsTerminal { poi, group, device: device(device_id), metadata }
}

fn desktop_key(n: u8, groups: &[Group]) -> NewCredential {
    let groups = Groups::new(groups.to_vec()).unwrap();
    let secret = SealedSecret([n; 61].into());
    NewCredential { actions: Some(ActionsFacts::Desktop { groups, secret }), ..credential(n, Scope::Company) }
}

fn terminal_key(n: u8, terminal: ActionsTerminal) -> NewCredential {
    NewCredential { actions: Some(ActionsFacts::Terminal(terminal)), ..credential(n, Scope::Company) }
}

/// Terminal `n` of the fleet, with credential `n`.
pub(super) fn key_of_terminal(n: u8, group: Group, device_id: &str) -> NewCredential {
    terminal_key(n, terminal_of(poi(n.into()), group, device_id))
}

impl<D: Database> Bench<D> {
    async fn with_keys(keys: impl IntoIterator<Item = NewCredential>) -> Bench<D> {
        let bench = bench::<D>().await;
        for key in keys {
            bench.store.create_credential(key).await.unwrap();
        }
        bench
    }

    async fn refused(&self, key: NewCredential) -> CredentialError {
        let before = self.store.credentials(&key.company).await.unwrap();
        let error = self.store.create_credential(key.clone()).await.unwrap_err();
        assert_eq!(self.store.credentials(&key.company).await.unwrap(), before, "something was left behind");
        error
    }

    async fn revoke(&self, n: u8) {
        let id = credential(n, Scope::Company).id;
        assert!(self.store.revoke_credential(&id, START).await.unwrap());
    }
}

pub(in crate::store) async fn an_actions_credential_is_found_with_its_facts<D: Database>() {
    let desktop = desktop_key(1, &[store_group("ACME_EU", "PAR"), us(), store_group("ACME_EU", "AMS")]);
    let terminal = key_of_terminal(2, us(), "TERM-001");
    let bench =
        Bench::<D>::with_keys([desktop.clone(), terminal.clone(), credential(3, Scope::Company)]).await;
    let bench = bench.reopen();
    let store = &bench.store;
    for new in [desktop, terminal, credential(3, Scope::Company)] {
        let found = store.credential_by_key(new.key).await.unwrap().unwrap();
        assert_eq!(found.actions, new.actions);
        assert_eq!(store.credential_by_username(&new.username).await.unwrap(), Some(found));
    }
    let listed = store.credentials(&company("ACME")).await.unwrap();
    let groups: Vec<Vec<String>> = listed
        .iter()
        .map(|credential| {
            let facts = credential.actions.iter().flat_map(ActionsFacts::groups);
            facts.map(|group| group.id().to_owned()).collect()
        })
        .collect();
    assert_eq!(groups, [vec!["PAR", "ACME_US", "AMS"], vec!["ACME_US"], vec![]]);
    let facts = listed[0].actions.as_ref().unwrap();
    assert_eq!(facts.group_called("AMS"), Some(&store_group("ACME_EU", "AMS")));
    assert_eq!(facts.group_called("ACME_EU"), None);
}

pub(in crate::store) async fn a_group_is_a_place_that_the_credential_reaches<D: Database>() {
    let bench = bench::<D>().await;
    let eu = Scope::Merchants(vec![merchant("ACME_EU")]);
    let inside = desktop_key(1, &[store_group("ACME_EU", "AMS")]);
    bench.store.create_credential(NewCredential { scope: eu.clone(), ..inside }).await.unwrap();

    let beside = NewCredential { scope: eu, ..desktop_key(2, &[store_group("ACME_EU", "AMS"), us()]) };
    let error = bench.refused(beside).await;
    assert!(matches!(&error, CredentialError::GroupOutOfScope(group) if *group == us()), "{error:?}");
    let error = bench.refused(desktop_key(2, &[store_group("ACME_EU", "NYC")])).await;
    assert!(matches!(error, CredentialError::Missing(Entity::Store(..))), "{error:?}");
    let foreign = Group::at(&Place::MerchantInStore(merchant("OTHER_EU"))).unwrap();
    let error = bench.refused(desktop_key(2, &[foreign])).await;
    assert!(matches!(error, CredentialError::Missing(Entity::MerchantAccount(_))), "{error:?}");
    let with_stores = Group::at(&Place::MerchantInStore(merchant("ACME_EU"))).unwrap();
    let error = bench.refused(desktop_key(2, &[with_stores])).await;
    assert!(matches!(error, CredentialError::MerchantHasStores(_)), "{error:?}");
}

pub(in crate::store) async fn an_actions_terminal_is_added_to_the_fleet_or_stands_there_already<
    D: Database,
>() {
    let bench = Bench::<D>::with_keys([key_of_terminal(1, us(), "TERM-001")]).await;
    let store = &bench.store;
    let added = store.terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!((&added.place, added.company, added.boarded), (us().place(), company("ACME"), None));
    let ams_group = store_group("ACME_EU", "AMS");
    bench.add_in_store(&poi(2)).await;
    store.create_credential(key_of_terminal(2, ams_group.clone(), "TERM-002")).await.unwrap();
    let found = store.terminal(&poi(2)).await.unwrap().unwrap();
    assert_eq!((found.place, found.settings.display_label.as_deref()), (ams(), Some("Till 4")));

    // Terminal 1 is at ACME_US.
    let moved = terminal_key(3, terminal_of(poi(1), ams_group.clone(), "TERM-003"));
    let error = bench.refused(moved).await;
    assert!(matches!(error, CredentialError::TerminalElsewhere { .. }), "{error:?}");
    let foreign = NewTerminal {
        company: company("OTHER"),
        ..new_terminal(&poi(4), Place::MerchantInventory(merchant("OTHER_EU")))
    };
    store.add_terminal(foreign).await.unwrap();
    let error = bench.refused(key_of_terminal(4, ams_group.clone(), "TERM-004")).await;
    assert!(matches!(error, CredentialError::AlreadyExists(Entity::Terminal(_))), "{error:?}");
    bench.add_in_store(&poi(5)).await;
    bench.board(&poi(5), "j_1", 5, START).await;
    let error = bench.refused(key_of_terminal(5, ams_group.clone(), "TERM-005")).await;
    assert!(matches!(error, CredentialError::BoardedTerminal(_)), "{error:?}");
    // What is refused for another reason adds no terminal either.
    bench.refused(key_of_terminal(6, ams_group, "TERM-002")).await;
    assert_eq!(store.terminal(&poi(6)).await.unwrap(), None);
}

pub(in crate::store) async fn a_terminal_and_its_device_id_are_free_again_once_their_key_is_revoked<
    D: Database,
>() {
    let group = store_group("ACME_EU", "AMS");
    let bench = Bench::<D>::with_keys([key_of_terminal(1, group.clone(), "TERM-001")]).await;
    let same_device = key_of_terminal(2, group.clone(), "TERM-001");
    let error = bench.refused(same_device.clone()).await;
    assert!(matches!(&error, CredentialError::AlreadyExists(Entity::Device(..))), "{error:?}");
    assert_eq!(error.to_string(), "device TERM-001 in group AMS (store AMS of ACME_EU) already exists");
    let same_terminal = terminal_key(2, terminal_of(poi(1), group, "TERM-002"));
    let error = bench.refused(same_terminal.clone()).await;
    assert!(matches!(error, CredentialError::AlreadyExists(Entity::KeyOfTerminal(_))), "{error:?}");
    // In another group it is another device.
    bench.store.create_credential(key_of_terminal(3, us(), "TERM-001")).await.unwrap();

    bench
        .store
        .board_actions(&poi(1), None, journal_id("j_1"), TokenHash([1; 32]), START)
        .await
        .unwrap()
        .unwrap();
    bench.revoke(1).await;
    bench.store.create_credential(same_device).await.unwrap();
    // Boarded as an Actions terminal it is no link terminal.
    let again = NewCredential { actions: same_terminal.actions, ..credential(4, Scope::Company) };
    bench.store.create_credential(again).await.unwrap();
}

pub(in crate::store) async fn a_device_is_looked_for_in_the_desktops_own_groups_first<D: Database>() {
    let (ams_group, par) = (store_group("ACME_EU", "AMS"), store_group("ACME_EU", "PAR"));
    let bench = Bench::<D>::with_keys([
        key_of_terminal(1, ams_group.clone(), "TERM-001"),
        key_of_terminal(2, par.clone(), "TERM-001"),
        key_of_terminal(3, par.clone(), "TERM-003"),
    ])
    .await;
    let find = async |groups: &[&Group], owner: &str, text: &str| {
        let groups: Vec<Group> = groups.iter().map(|&group| group.clone()).collect();
        bench.store.find_actions_device(&company(owner), &groups, &device(text)).await.unwrap()
    };
    let own = |n: u8, group: &Group, text: &str| {
        DeviceFound::Own(Box::new(RegisteredTerminal {
            credential: credential(n, Scope::Company).id,
            terminal: terminal_of(poi(n.into()), group.clone(), text),
        }))
    };
    assert_eq!(find(&[&ams_group], "ACME", "TERM-001").await, own(1, &ams_group, "TERM-001"));
    assert_eq!(find(&[&par, &ams_group], "ACME", "TERM-001").await, own(2, &par, "TERM-001"));
    assert_eq!(find(&[&us(), &par], "ACME", "TERM-001").await, own(2, &par, "TERM-001"));
    assert_eq!(find(&[&us()], "ACME", "TERM-001").await, DeviceFound::OtherGroup);
    assert_eq!(find(&[&ams_group], "ACME", "TERM-003").await, DeviceFound::OtherGroup);
    assert_eq!(find(&[&ams_group], "ACME", "TERM-009").await, DeviceFound::Nobody);
    let others = Group::at(&Place::MerchantInStore(merchant("OTHER_EU"))).unwrap();
    assert_eq!(find(&[&others], "OTHER", "TERM-001").await, DeviceFound::Nobody);
    bench.revoke(3).await;
    assert_eq!(find(&[&ams_group], "ACME", "TERM-003").await, DeviceFound::Nobody);
}

pub(in crate::store) async fn actions_terminals_are_listed_by_group<D: Database>() {
    let ams_group = store_group("ACME_EU", "AMS");
    let keys = [3, 1, 2].map(|n| key_of_terminal(n, ams_group.clone(), &format!("TERM-{n}")));
    let bench = Bench::<D>::with_keys(keys).await;
    bench.store.create_credential(key_of_terminal(4, us(), "TERM-4")).await.unwrap();
    bench.add_in_store(&poi(5)).await;
    let list = async |group: &Group, after: Option<u32>| {
        let after = after.map(poi);
        let found = bench.store.actions_terminals(group, after.as_ref()).await.unwrap();
        found.into_iter().map(|found| found.terminal.device.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&ams_group, None).await, ["TERM-1", "TERM-2", "TERM-3"]);
    assert_eq!(list(&ams_group, Some(1)).await, ["TERM-2", "TERM-3"]);
    assert_eq!(list(&us(), None).await, ["TERM-4"]);
    assert_eq!(list(&store_group("ACME_EU", "PAR"), None).await, [""; 0]);
    bench.revoke(2).await;
    assert_eq!(list(&ams_group, None).await, ["TERM-1", "TERM-3"]);

    let found = bench.store.actions_terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!(
        (found.credential, found.terminal.device),
        (CredentialId::parse("c1").unwrap(), device("TERM-1"))
    );
    for nobody in [2, 5, 9] {
        assert_eq!(bench.store.actions_terminal(&poi(nobody)).await.unwrap(), None);
    }
}

pub(in crate::store) async fn groups_are_found_by_what_they_are_called<D: Database>() {
    let bench = bench::<D>().await;
    bench.store.create_store(shop("OTHER_EU", "AMS")).await.unwrap();
    let called = async |owner: &str, id: &str| bench.store.groups_called(&company(owner), id).await.unwrap();
    assert_eq!(called("ACME", "AMS").await, [store_group("ACME_EU", "AMS")]);
    assert_eq!(called("ACME", "ACME_US").await, [us()]);
    assert_eq!(called("ACME", "ACME_EU").await, [], "it has stores");
    assert_eq!(called("OTHER", "AMS").await, [store_group("OTHER_EU", "AMS")]);
    assert_eq!(called("OTHER", "PAR").await, []);
    bench.store.create_store(shop("ACME_US", "AMS")).await.unwrap();
    assert_eq!(called("ACME", "AMS").await, [store_group("ACME_EU", "AMS"), store_group("ACME_US", "AMS")]);
    assert_eq!(called("ACME", "ACME_US").await, []);
}

// ---- Boarding, and what is open at a terminal ----

pub(in crate::store) async fn an_actions_terminal_boards_with_its_key<D: Database>() {
    let bench = Bench::<D>::with_keys([key_of_terminal(1, us(), "TERM-001")]).await;
    let store = &bench.store;
    let board_after = async |read: Option<&str>, n: u32, journal: &str, token: u8, at: WallMs| {
        let (read, token) = (read.map(journal_id), TokenHash([token; 32]));
        store.board_actions(&poi(n), read, journal_id(journal), token, at).await.unwrap()
    };
    let board = async |n: u32, journal: &str, token: u8, at: WallMs| {
        let read = store.boarded(&poi(n)).await.unwrap().map(|boarded| boarded.journal.to_string());
        board_after(read.as_deref(), n, journal, token, at).await
    };
    let boarded = |journal: &str, attempt: u64, epoch: u64, at: WallMs| {
        Some(Boarded { journal: journal_id(journal), attempt, epoch: Epoch(epoch), at })
    };
    let (later, latest) = (WallMs(START.0 + HOUR), WallMs(START.0 + 2 * HOUR));
    assert_eq!(store.boarded(&poi(1)).await.unwrap(), None);
    assert_eq!(board(1, "j_1", 1, START).await, boarded("j_1", 0, 0, START));
    let raised = Reply::Raised { epoch: Epoch(1), journal_boarded: START };
    assert_eq!(bench.op(take_hello(hello(1, "j_1", 41, START))).await, raised);
    // The same journal once more changes nothing.
    assert_eq!(board(1, "j_1", 2, later).await, boarded("j_1", 41, 1, START));
    assert_eq!(bench.token_state(2).await, None);
    // Another one begins anew, and no link of the former is admitted anything (E14).
    assert_eq!(board(1, "j_2", 3, latest).await, boarded("j_2", 0, 2, latest));
    assert_eq!(store.boarded(&poi(1)).await.unwrap(), boarded("j_2", 0, 2, latest));
    let late = payment(1, service_key(1, "1"), 1, latest);
    assert_eq!(bench.op(admit(&late)).await, Reply::EpochPassed);
    assert_eq!(bench.op(take_hello(hello(1, "j_1", 42, latest))).await, Reply::WrongJournal);

    // An older socket's comes too late: what it read before is no longer there.
    for read in [None, Some("j_1")] {
        assert_eq!(board_after(read, 1, "j_1", 6, latest).await, boarded("j_2", 0, 2, latest));
    }
    assert_eq!(board_after(Some("j_1"), 1, "j_2", 6, latest).await, boarded("j_2", 0, 2, latest));
    assert_eq!(bench.token_state(6).await, None);

    bench.add_in_store(&poi(2)).await;
    for nobody in [2, 9] {
        assert_eq!(board(nobody, "j_1", 4, START).await, None);
        assert_eq!(store.boarded(&poi(nobody)).await.unwrap(), None);
    }
    bench.revoke(1).await;
    assert_eq!(board(1, "j_3", 5, latest).await, None);
}

pub(in crate::store) async fn a_terminal_boards_with_its_key_or_with_a_code<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    let expires = WallMs(START.0 + HOUR);
    bench.store.make_boarding_code(&poi(1), hash(1), expires).await.unwrap();
    let key = key_of_terminal(1, store_group("ACME_EU", "AMS"), "TERM-001");
    bench.store.create_credential(key).await.unwrap();
    // The code that was there is good no more, and there will be no other.
    bench.show_code(&poi(1), 1, "j_1", 1, START).await.unwrap_err();
    let refused = bench.store.make_boarding_code(&poi(1), hash(2), expires).await;
    assert!(matches!(refused, Err(CodeError::ActionsTerminal(_))), "{refused:?}");
    bench.revoke(1).await;
    bench.board(&poi(1), "j_1", 1, START).await;
}

pub(in crate::store) async fn deliveries_are_those_without_an_answer_and_those_that_are_wanted<
    D: Database,
>() {
    let bench = bench::<D>().await;
    let request = |n: usize| format!("{{\"SaleToPOIRequest\":{n}}}");
    // Terminal 2's is admitted first; number 1 long before the others.
    bench.op(admit(&payment(9, service_key(2, "9"), 0, START))).await;
    for n in 1..=7_usize {
        let at = ms(if n <= 2 { 0 } else { HOUR });
        let mut new = payment(n, service_key(1, &n.to_string()), 0, at);
        new.message = Kept::of(&Bytes::from(request(n)));
        bench.op(admit(&new)).await;
    }
    bench
        .begin(TransactionFacts { service: ServiceId::parse("4").unwrap(), ..facts("T-4", 1, None, START) })
        .await;
    bench.op(Op::NoteReceived(delivery(4))).await;
    let lost = || Outcome::UnknownFinal(Cannot::Indeterminate);
    let outcomes =
        [(2, lost()), (3, lost()), (4, Outcome::Unknown), (5, answered("{}")), (6, Outcome::NeverReached)];
    for (n, outcome) in outcomes {
        bench.op(settle(n, outcome)).await;
    }
    let list = async |since: WallMs, wanted: Option<RequestFilter>| {
        let found = bench.store.deliveries(&poi(1), since, wanted).await.unwrap();
        found.into_iter().map(|found| (found.delivery.clone(), found)).collect::<Vec<_>>()
    };
    let numbers = |list: &[(DeliveryId, KnownDelivery)]| {
        let number = |found: &DeliveryId| (1..=9).find(|n| *found == delivery(*n)).unwrap();
        list.iter().map(|(found, _)| number(found)).collect::<Vec<_>>()
    };
    // What is open is open however long ago it began.
    let unanswered = list(START, None).await;
    assert_eq!(numbers(&unanswered), [1, 3, 4, 7]);
    assert_eq!(numbers(&list(ms(-1), None).await), [1, 2, 3, 4, 7]);
    let standings: Vec<_> = unanswered.iter().map(|(_, found)| (found.standing, found.received)).collect();
    let open = Standing::Open;
    // Whoever says that it can't tell has had it.
    let expected = [(open, false), (Standing::UnknownFinal, true), (open, true), (open, false)];
    assert_eq!(standings, expected);
    let fourth = &unanswered[2].1;
    assert_eq!(
        (fourth.service.as_str(), fourth.sale.as_str(), fourth.category.as_str()),
        ("4", "TILL-04", "Payment")
    );
    assert_eq!(
        (&fourth.request[..], fourth.connection.as_ref().map(ConnectionId::as_str)),
        (request(4).as_bytes(), Some("c_1"))
    );
    assert_eq!(unanswered[0].1.connection, None);

    let wanted = |n: usize| -> Option<RequestFilter> {
        Some(Box::new(move |bytes: &Bytes| bytes[..] == *request(n).as_bytes()))
    };
    let with_fifth = list(START, wanted(5)).await;
    assert_eq!(numbers(&with_fifth), [1, 3, 4, 5, 7]);
    assert_eq!(with_fifth[3].1.standing, Standing::Settled);
    assert_eq!(numbers(&list(START, wanted(9)).await), [1, 3, 4, 7], "it is another terminal's");
    assert_eq!(numbers(&list(ms(2 * HOUR), wanted(5)).await), [1, 4, 7]);
}

// ---- Transactions ----

fn kept(text: &str) -> Kept {
    Kept::of(&Bytes::copy_from_slice(text.as_bytes()))
}

/// A payment of desktop `device_id` under credential `c1`.
fn facts(id: &str, digest: u8, device_id: Option<&str>, at: WallMs) -> TransactionFacts {
    TransactionFacts {
        credential: CredentialId::parse("c1").unwrap(),
        id: TransactionId::parse(id).unwrap(),
        digest: Digest([digest; 32]),
        company: company("ACME"),
        group: store_group("ACME_EU", "AMS"),
        poi: poi(1),
        service: ServiceId::parse(&id.replace('-', "")).unwrap(),
        device: device_id.map(device),
        connection: Some(ConnectionId::parse("c_1").unwrap()),
        payment_request: kept(r#"{"amount": "12.50"}"#),
        request: kept(r#"{"SaleToPOIRequest":{}}"#),
        created: at,
    }
}

fn ms(after_start: i64) -> WallMs {
    WallMs(START.0 + after_start)
}

impl<D: Database> Bench<D> {
    async fn begin(&self, facts: TransactionFacts) -> TransactionSeq {
        match self.store.begin_transaction(facts).await.unwrap() {
            Begun::New(seq) => seq,
            other => panic!("expected a new transaction, got {other:?}"),
        }
    }

    async fn look(&self, id: &str) -> Transaction {
        let (credential, id) = (CredentialId::parse("c1").unwrap(), TransactionId::parse(id).unwrap());
        self.store.transaction(&credential, &id).await.unwrap().unwrap()
    }

    async fn complete(&self, seq: TransactionSeq, completion: Completion, at: WallMs) -> Option<Edition> {
        let completed = self.store.complete_transaction(seq, completion, at).await.unwrap();
        completed.map(|completed| completed.edition)
    }

    /// Ends a transaction with a success that is to be voided. Whether it is.
    async fn void_at_once(&self, seq: TransactionSeq) -> Void {
        let late = Completion::PaidLateToVoid(kept("{}"), Charge::Whole);
        self.store.complete_transaction(seq, late, ms(2)).await.unwrap().unwrap().void
    }

    /// The ledger's side of transaction `id`: its exchange `n` ends, and somebody is told this.
    async fn answer_and_tell(&self, n: usize, id: &str, what: &'static str) {
        let admission = payment(n, service_key(1, &id.replace('-', "")), 0, START);
        let exchange = admission.record.exchange.clone();
        self.op(admit(&admission)).await;
        self.op(settle(n, answered("{}"))).await;
        let told = Told { exchange, call: CallId(n as u64), what, at: ms(1), written: false };
        self.op(Op::NoteTold(told)).await;
    }

    async fn give_up(&self, seq: TransactionSeq, at: WallMs) -> Option<Edition> {
        let unknown = Progress::GivenUp(kept(r#"{"status":"FAILED","errorCode":"TERMINAL_UNREACHABLE"}"#));
        self.store.note_progress(seq, unknown, at).await.unwrap()
    }

    /// IDs of what waits for a desktop with credential `c1`.
    async fn untold(&self, device_id: &str) -> Vec<String> {
        let credential = CredentialId::parse("c1").unwrap();
        let untold = self.store.untold_transactions(&credential, &device(device_id)).await.unwrap();
        untold.into_iter().map(|transaction| transaction.facts.id.as_str().to_owned()).collect()
    }

    async fn told(&self, seq: TransactionSeq, edition: u32) {
        self.store.note_transaction_told(seq, Edition(edition), ms(99)).await.unwrap();
    }

    async fn void(&self, seq: TransactionSeq, void: Void, at: WallMs) -> Option<Edition> {
        self.store.set_void(seq, void, at).await.unwrap()
    }

    async fn read(&self, seq: TransactionSeq) -> bool {
        self.store.note_transaction_read(seq, ms(77)).await.unwrap()
    }
}

fn paid() -> Completion {
    Completion::Paid(kept(r#"{"status":"SUCCESS"}"#), Charge::Whole)
}

fn failed() -> Completion {
    Completion::Failed(kept(r#"{"status":"FAILED"}"#))
}

pub(in crate::store) async fn a_transaction_begins_once_within_48_hours<D: Database>() {
    let bench = bench::<D>().await;
    let first = bench.begin(facts("T-1", 1, Some("till-1"), START)).await;
    let bench = bench.reopen();
    let store = &bench.store;
    let last = ms(48 * HOUR - 1);
    // From wherever it is asked for: whether a till may hear of it is not decided here.
    match store.begin_transaction(facts("T-1", 1, Some("till-2"), last)).await.unwrap() {
        Begun::Repeated(found) => {
            assert_eq!((found.seq, &found.facts.device), (first, &Some(device("till-1"))));
            assert_eq!(*found, bench.look("T-1").await);
        }
        other => panic!("expected a repetition, got {other:?}"),
    }
    match store.begin_transaction(facts("T-1", 2, Some("till-1"), last)).await.unwrap() {
        Begun::Clashes(found) => assert_eq!((found.seq, found.facts.digest), (first, Digest([1; 32]))),
        other => panic!("expected a clash, got {other:?}"),
    }
    let other = TransactionFacts {
        credential: CredentialId::parse("c2").unwrap(),
        ..facts("T-1", 2, Some("till-1"), last)
    };
    let other = bench.begin(other).await;
    let again = bench.begin(facts("T-1", 2, None, ms(48 * HOUR))).await;
    assert!(first < other && other < again);
    assert_eq!(bench.look("T-1").await.seq, again);
}

pub(in crate::store) async fn a_transaction_is_kept_as_it_was_begun<D: Database>() {
    let bench = bench::<D>().await;
    let mut new = facts("T-1", 1, None, START);
    new.connection = None;
    new.group = us();
    let card = Bytes::from_static(br#"{"amount":"1.00","note":"4111 1111 1111 1111"}"#);
    new.payment_request = Kept::of(&card);
    let seq = bench.begin(new.clone()).await;
    let found = bench.look("T-1").await;
    assert_eq!((&found.facts, found.seq, found.status), (&new, seq, TransactionStatus::Pending));
    assert!(found.facts.payment_request.is_changed() && !found.facts.request.is_changed());
    assert_eq!((found.updated, found.completed, found.response), (START, None, None));
    assert_eq!((found.edition, found.told, found.read), (Edition(0), None, None));
    assert_eq!((found.late, found.void, found.voided), (false, Void::None, None));

    let of = async |owner: &str, n: u32, service: &ServiceId| {
        let found = bench.store.transaction_of_service(&company(owner), &poi(n), service).await.unwrap();
        found.map(|found| found.seq)
    };
    assert_eq!(of("ACME", 1, &new.service).await, Some(seq));
    assert_eq!(of("OTHER", 1, &new.service).await, None);
    assert_eq!(of("ACME", 2, &new.service).await, None);
    assert_eq!(of("ACME", 1, &ServiceId::parse("T2").unwrap()).await, None);
    let again = bench.begin(TransactionFacts { created: ms(49 * HOUR), ..new.clone() }).await;
    assert_eq!(of("ACME", 1, &new.service).await, Some(again));
}

pub(in crate::store) async fn a_transaction_is_completed_once<D: Database>() {
    let bench = bench::<D>().await;
    let seq = bench.begin(facts("T-1", 1, Some("till-1"), START)).await;
    let progress = async |progress, at| bench.store.note_progress(seq, progress, at).await.unwrap();
    assert_eq!(progress(Progress::AwaitsReconnect, ms(1)).await, Some(Edition(0)));
    assert_eq!(bench.look("T-1").await.status, TransactionStatus::AwaitingReconnect);
    assert_eq!(progress(Progress::Runs, ms(2)).await, Some(Edition(0)));
    assert_eq!(bench.look("T-1").await.status, TransactionStatus::Pending);

    assert_eq!(bench.complete(seq, paid(), ms(3)).await, Some(Edition(1)));
    let done = bench.look("T-1").await;
    assert_eq!(
        (done.status, done.completed, done.updated),
        (TransactionStatus::Completed, Some(ms(3)), ms(3))
    );
    assert_eq!((done.response, done.late), (Some(kept(r#"{"status":"SUCCESS"}"#)), false));
    let done = bench.look("T-1").await;
    assert_eq!(bench.complete(seq, failed(), ms(4)).await, None);
    assert_eq!(bench.give_up(seq, ms(5)).await, None);
    assert_eq!(progress(Progress::AwaitsReconnect, ms(6)).await, None);
    assert_eq!(bench.look("T-1").await, done);

    let cancelled = bench.begin(facts("T-2", 1, None, START)).await;
    let ended = Completion::Cancelled(kept(r#"{"status":"CANCELLED"}"#));
    assert_eq!(bench.complete(cancelled, ended, ms(1)).await, Some(Edition(1)));
    assert_eq!(bench.look("T-2").await.status, TransactionStatus::Cancelled);
    assert_eq!(bench.complete(TransactionSeq(999), paid(), ms(3)).await, None);
}

pub(in crate::store) async fn what_was_given_up_stays_open_for_its_result<D: Database>() {
    let bench = bench::<D>().await;
    let seq = bench.begin(facts("T-1", 1, Some("till-1"), START)).await;
    assert_eq!(bench.give_up(seq, ms(1)).await, Some(Edition(1)));
    let open = bench.look("T-1").await;
    assert_eq!((open.status, open.completed, open.edition), (TransactionStatus::Failed, None, Edition(1)));
    assert!(open.response.is_some());
    // Whoever was told has to be told what is true, not that it runs again.
    assert_eq!(bench.store.note_progress(seq, Progress::Runs, ms(2)).await.unwrap(), None);
    assert_eq!(bench.give_up(seq, ms(2)).await, None);
    assert_eq!(bench.look("T-1").await, open);
    bench.told(seq, 1).await;
    // It was told that nobody knows: that it has failed is news.
    assert_eq!(bench.complete(seq, failed(), ms(3)).await, Some(Edition(2)));
    let closed = bench.look("T-1").await;
    assert_eq!((closed.status, closed.completed), (TransactionStatus::Failed, Some(ms(3))));
    assert_eq!((closed.told, closed.response), (None, Some(kept(r#"{"status":"FAILED"}"#))));
    assert_eq!(bench.untold("till-1").await, ["T-1"]);
    bench.told(seq, 2).await;

    // And so is a success.
    let seq = bench.begin(facts("T-2", 1, Some("till-1"), START)).await;
    bench.give_up(seq, ms(1)).await;
    bench.told(seq, 1).await;
    let late = Completion::PaidLate(kept(r#"{"status":"SUCCESS"}"#), Charge::Whole);
    assert_eq!(bench.complete(seq, late, ms(3)).await, Some(Edition(2)));
    let late = bench.look("T-2").await;
    assert_eq!((late.status, late.late, late.told), (TransactionStatus::Completed, true, None));
    assert_eq!(bench.untold("till-1").await, ["T-2"]);
}

pub(in crate::store) async fn a_part_that_was_charged_is_kept_as_money_and_told_as_no_success<D: Database>() {
    let bench = bench::<D>().await;
    let part = || kept(r#"{"status":"FAILED","errorCode":"PARTIAL_APPROVAL"}"#);
    let at_once = bench.begin(facts("T-1", 1, Some("till-1"), START)).await;
    bench.complete(at_once, Completion::Paid(part(), Charge::Part), ms(1)).await;
    let late = bench.begin(facts("T-2", 1, Some("till-1"), START)).await;
    bench.give_up(late, ms(1)).await;
    bench.told(late, 1).await;
    // Whoever was told that it is not known hears of it.
    assert_eq!(
        bench.complete(late, Completion::PaidLate(part(), Charge::Part), ms(2)).await,
        Some(Edition(2))
    );
    assert_eq!(bench.untold("till-1").await, ["T-1", "T-2"]);
    let voided = bench.begin(facts("T-3", 1, Some("till-1"), START)).await;
    bench.give_up(voided, ms(1)).await;
    bench.complete(voided, Completion::PaidLateToVoid(part(), Charge::Part), ms(3)).await;
    bench.void(voided, Void::Done, ms(4)).await;
    let whole = bench.begin(facts("T-4", 1, Some("till-1"), START)).await;
    bench.complete(whole, paid(), ms(5)).await;

    let bench = bench.reopen();
    for (id, status, is_late, told) in [
        ("T-1", TransactionStatus::Completed, false, TransactionStatus::Failed),
        ("T-2", TransactionStatus::Completed, true, TransactionStatus::Failed),
        ("T-3", TransactionStatus::Voided, true, TransactionStatus::Voided),
        ("T-4", TransactionStatus::Completed, false, TransactionStatus::Completed),
    ] {
        let found = bench.look(id).await;
        assert_eq!((found.status, found.late, found.told_status()), (status, is_late, told), "{id}");
        assert_eq!(found.in_part, id != "T-4", "{id}");
    }
}

pub(in crate::store) async fn what_waits_for_a_desktop_comes_in_order_and_to_nobody_else<D: Database>() {
    let bench = bench::<D>().await;
    let begin = async |id: &str, till: Option<&str>| bench.begin(facts(id, 1, till, START)).await;
    let [first, second, third] = [
        begin("T-1", Some("till-1")).await,
        begin("T-2", Some("till-1")).await,
        begin("T-3", Some("till-1")).await,
    ];
    let (other, nameless) = (begin("T-4", Some("till-2")).await, begin("T-5", None).await);
    let foreign = TransactionFacts {
        credential: CredentialId::parse("c2").unwrap(),
        ..facts("T-6", 1, Some("till-1"), START)
    };
    let foreign = bench.begin(foreign).await;
    assert_eq!(bench.untold("till-1").await, [""; 0]);
    for (seq, at) in [(second, 1), (other, 2), (nameless, 2), (foreign, 2), (third, 3), (first, 3)] {
        bench.complete(seq, paid(), ms(at)).await.unwrap();
    }
    let bench = bench.reopen();
    assert_eq!(bench.untold("till-1").await, ["T-2", "T-1", "T-3"]);
    assert_eq!(bench.untold("till-2").await, ["T-4"]);
    assert_eq!(bench.untold("till-3").await, [""; 0]);
    bench.told(second, 1).await;
    assert_eq!(bench.untold("till-1").await, ["T-1", "T-3"]);

    // More than a page comes in pages.
    for n in 0..TRANSACTIONS_PER_PAGE {
        let seq = bench.begin(facts(&format!("U-{n}"), 1, Some("till-1"), START)).await;
        bench.complete(seq, paid(), ms(4)).await.unwrap();
    }
    let page = bench.untold("till-1").await;
    assert_eq!((page.len(), page[0].as_str()), (TRANSACTIONS_PER_PAGE, "T-1"));
    bench.told(first, 1).await;
    bench.told(third, 1).await;
    assert_eq!(bench.untold("till-1").await.len(), TRANSACTIONS_PER_PAGE);
}

pub(in crate::store) async fn a_late_note_of_telling_is_about_what_was_told<D: Database>() {
    let bench = bench::<D>().await;
    let seq = bench.begin(facts("T-1", 1, Some("till-1"), START)).await;
    bench.told(seq, 0).await;
    bench.give_up(seq, ms(1)).await;
    bench.complete(seq, Completion::PaidLate(kept("{}"), Charge::Whole), ms(2)).await;
    bench.told(seq, 1).await;
    assert_eq!((bench.look("T-1").await.told, bench.untold("till-1").await), (None, vec!["T-1".into()]));
    bench.told(seq, 2).await;
    bench.store.note_transaction_told(seq, Edition(2), ms(100)).await.unwrap();
    assert_eq!(bench.look("T-1").await.told, Some(ms(99)), "the first telling is the one that counts");
    assert_eq!(bench.untold("till-1").await, [""; 0]);
}

pub(in crate::store) async fn a_success_is_read_or_voided_and_never_both<D: Database>() {
    let bench = bench::<D>().await;
    let begin = async |id: &str| {
        let seq = bench.begin(facts(id, 1, Some("till-1"), START)).await;
        bench.give_up(seq, ms(1)).await;
        seq
    };
    // Read, and so it stays.
    let read = begin("T-1").await;
    assert!(!bench.read(read).await, "it is no success");
    bench.complete(read, Completion::PaidLate(kept("{}"), Charge::Whole), ms(2)).await;
    assert!(bench.read(read).await && bench.read(read).await);
    assert_eq!(bench.look("T-1").await.read, Some(ms(77)));
    assert_eq!(bench.void(read, Void::Pending, ms(3)).await, None);
    assert_eq!(bench.look("T-1").await.void, Void::None);

    // Voided from the moment on that it is known.
    let voided = begin("T-2").await;
    bench.complete(voided, Completion::PaidLateToVoid(kept("{}"), Charge::Whole), ms(2)).await;
    assert_eq!(bench.look("T-2").await.void, Void::Pending);
    assert!(!bench.read(voided).await);
    assert_eq!(bench.untold("till-1").await, ["T-1"], "while it is pending there is nothing to tell");
    assert_eq!(bench.void(voided, Void::Done, ms(4)).await, Some(Edition(3)));
    let done = bench.look("T-2").await;
    assert_eq!((done.status, done.void, done.voided), (TransactionStatus::Voided, Void::Done, Some(ms(4))));
    assert!(!bench.read(voided).await);
    assert_eq!(bench.untold("till-1").await, ["T-1", "T-2"]);

    // Decided a moment later.
    let decided = begin("T-3").await;
    assert_eq!(bench.void(decided, Void::Pending, ms(1)).await, None);
    bench.complete(decided, Completion::PaidLate(kept("{}"), Charge::Whole), ms(2)).await;
    assert_eq!(bench.void(decided, Void::Done, ms(3)).await, None);
    assert_eq!(bench.void(decided, Void::Pending, ms(3)).await, Some(Edition(3)));
    assert!(!bench.read(decided).await);
    assert_eq!(bench.void(decided, Void::None, ms(4)).await, None);
}

pub(in crate::store) async fn a_success_that_was_told_over_the_terminal_api_is_not_voided<D: Database>() {
    let bench = bench::<D>().await;
    let begin = async |id: &str| {
        let seq = bench.begin(facts(id, 1, Some("till-1"), START)).await;
        bench.give_up(seq, ms(1)).await;
        seq
    };
    for (n, what) in Told::WITH_ITS_END.into_iter().enumerate() {
        let id = format!("T-{n}");
        let seq = begin(&id).await;
        bench.answer_and_tell(n, &id, what).await;
        assert_eq!(bench.void_at_once(seq).await, Void::None, "{what}");
        let kept = bench.look(&id).await;
        assert_eq!((kept.status, kept.late, kept.void), (TransactionStatus::Completed, true, Void::None));
        assert_eq!(bench.void(seq, Void::Pending, ms(3)).await, None);
    }
    assert_eq!(bench.untold("till-1").await, ["T-0", "T-1", "T-2"]);

    // It is being told: the ledger knows it later.
    let seq = begin("T-4").await;
    assert_eq!(bench.store.note_payment_read(seq, ms(1)).await.unwrap(), Void::None);
    assert_eq!(bench.store.note_payment_read(seq, ms(5)).await.unwrap(), Void::None);
    assert_eq!(bench.void_at_once(seq).await, Void::None);
    assert_eq!(bench.look("T-4").await.read, Some(ms(1)));

    // It can't be told any more from the moment on that it is voided, and can be when that has failed.
    let seq = begin("T-6").await;
    assert_eq!(bench.void_at_once(seq).await, Void::Pending);
    assert_eq!(bench.store.note_payment_read(seq, ms(3)).await.unwrap(), Void::Pending);
    assert_eq!(bench.look("T-6").await.read, None);
    bench.void(seq, Void::Failed, ms(4)).await.unwrap();
    assert_eq!(bench.void(seq, Void::Pending, ms(5)).await, Some(Edition(4)), "nobody has read it yet");
    bench.void(seq, Void::Failed, ms(6)).await.unwrap();
    assert_eq!(bench.store.note_payment_read(seq, ms(7)).await.unwrap(), Void::Failed);
    assert_eq!(bench.look("T-6").await.read, Some(ms(7)));
    assert_eq!(bench.void(seq, Void::Pending, ms(8)).await, None);
    let seq = begin("T-7").await;
    assert_eq!(bench.void_at_once(seq).await, Void::Pending);
    bench.void(seq, Void::Done, ms(3)).await.unwrap();
    assert_eq!(bench.store.note_payment_read(seq, ms(4)).await.unwrap(), Void::Done);
    assert_eq!(bench.look("T-7").await.read, None);

    // Told after the void has failed, or while it runs: then it runs on.
    let seq = begin("T-5").await;
    assert_eq!(bench.void_at_once(seq).await, Void::Pending);
    bench.answer_and_tell(5, "T-5", Told::STATUS_FOUND).await;
    bench.void(seq, Void::Failed, ms(3)).await.unwrap();
    assert_eq!(bench.void(seq, Void::Pending, ms(4)).await, None);
}

pub(in crate::store) async fn what_was_told_of_another_payment_or_end_keeps_no_void_away<D: Database>() {
    let bench = bench::<D>().await;
    let begin = async |id: &str, at| bench.begin(facts(id, 1, Some("till-1"), at)).await;
    for (n, what) in ["ok", "no-response", "status-in-progress", "failure"].into_iter().enumerate() {
        let id = format!("T-{n}");
        let seq = begin(&id, START).await;
        bench.answer_and_tell(n, &id, what).await;
        assert_eq!(bench.void_at_once(seq).await, Void::Pending, "{what}");
    }
    // Another company's exchange of that name at that terminal, and another terminal's.
    let seq = begin("T-4", START).await;
    let foreign = |n: usize, mut admission: Admission| {
        admission.record.exchange = ExchangeId::parse(&format!("x_f{n:031x}")).unwrap();
        admission
    };
    let mut others = foreign(4, payment(4, service_key(1, "T4"), 0, START));
    others.caller.company = "OTHER".into();
    for admission in [others, foreign(5, payment(5, service_key(2, "T4"), 0, START))] {
        let exchange = admission.record.exchange.clone();
        bench.op(admit(&admission)).await;
        let told = Told { exchange, call: CallId(4), what: Told::RESPONSE, at: ms(1), written: true };
        bench.op(Op::NoteTold(told)).await;
    }
    assert_eq!(bench.void_at_once(seq).await, Void::Pending);
    // The payment of that name of the week before.
    let before = begin("T-6", START).await;
    bench.answer_and_tell(6, "T-6", Told::RESPONSE).await;
    assert_eq!(bench.void_at_once(before).await, Void::None);
    let week = ms(7 * 24 * HOUR);
    let seq = begin("T-6", week).await;
    bench.op(admit(&payment(7, service_key(1, "T6"), 0, week))).await;
    bench.op(settle(7, answered("{}"))).await;
    assert_eq!(bench.void_at_once(seq).await, Void::Pending);
}

pub(in crate::store) async fn a_void_that_failed_may_be_tried_again<D: Database>() {
    let bench = bench::<D>().await;
    let seq = bench.begin(facts("T-1", 1, Some("till-1"), START)).await;
    bench.give_up(seq, ms(1)).await;
    bench.complete(seq, Completion::PaidLateToVoid(kept("{}"), Charge::Whole), ms(2)).await;
    bench.void(seq, Void::Failed, ms(3)).await.unwrap();
    let standing = bench.look("T-1").await;
    assert_eq!(
        (standing.status, standing.void, standing.voided),
        (TransactionStatus::Completed, Void::Failed, None)
    );
    assert_eq!(bench.untold("till-1").await, ["T-1"]);
    bench.void(seq, Void::Pending, ms(4)).await.unwrap();
    bench.void(seq, Void::Failed, ms(5)).await.unwrap();
    // From here on somebody counts on it.
    assert!(bench.read(seq).await);
    assert_eq!(bench.void(seq, Void::Pending, ms(6)).await, None);
}

pub(in crate::store) async fn what_is_not_finished_is_found_after_a_restart<D: Database>() {
    let bench = bench::<D>().await;
    let begin = async |id: &str| bench.begin(facts(id, 1, Some("till-1"), START)).await;
    begin("T-1").await;
    let waits = begin("T-2").await;
    bench.store.note_progress(waits, Progress::AwaitsReconnect, ms(1)).await.unwrap();
    let given_up = begin("T-3").await;
    bench.give_up(given_up, ms(1)).await;
    bench.told(given_up, 1).await;
    let voiding = begin("T-4").await;
    bench.complete(voiding, Completion::PaidLateToVoid(kept("{}"), Charge::Whole), ms(2)).await;
    for (id, void) in [("T-5", Void::Done), ("T-6", Void::Failed)] {
        let seq = begin(id).await;
        bench.complete(seq, Completion::PaidLateToVoid(kept("{}"), Charge::Whole), ms(2)).await;
        bench.void(seq, void, ms(3)).await.unwrap();
    }
    for (id, completion) in [("T-7", paid()), ("T-8", failed())] {
        bench.complete(begin(id).await, completion, ms(2)).await;
    }
    let bench = bench.reopen();
    let list = async |after| {
        let found = bench.store.unfinished_transactions(after).await.unwrap();
        found.into_iter().map(|transaction| transaction.facts.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, ["T-1", "T-2", "T-3", "T-4"]);
    assert_eq!(list(Some(waits)).await, ["T-3", "T-4"]);
    for n in 0..TRANSACTIONS_PER_PAGE {
        bench.begin(facts(&format!("U-{n}"), 1, None, START)).await;
    }
    let first = bench.store.unfinished_transactions(None).await.unwrap();
    assert_eq!(first.len(), TRANSACTIONS_PER_PAGE);
    assert_eq!(list(first.last().map(|last| last.seq)).await.len(), 4);
}
