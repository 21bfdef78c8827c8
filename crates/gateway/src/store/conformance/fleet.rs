//! Settings, tokens, lists, details and events of a fleet.

use relay::WallMs;
use relay::ledger::Reply;
use serde_json::json;

use super::assignments::{eu_inventory, par, us};
use super::{
    Bench, Database, START, admit, ams, bench, company, credential, hello, merchant, payment, poi,
    service_key, shop, store_code, take_hello,
};
use crate::store::fleet_store::{
    Activity, Address, Assign, Change, CountryCode, EventKind, FLEET_PAGE, Level, LevelSettings, ListFilter,
    Listed, NewFleetEvent, RevokedToken, RotationBegun, SettingValues, SettingsChange, SettingsPatch,
    StoreChange, StoreId, StorePatch, TokenId, TokenUse, V1Booleans,
};
use crate::store::{
    Company, MerchantAccount, NewTerminal, Place, Scope, StoreDetails, StoreStatus, TokenHash, TokenState,
};

fn later(ms: i64) -> WallMs {
    WallMs(START.0 + ms)
}

// ---- Settings ----

fn eu() -> Level {
    Level::Merchant(merchant("ACME_EU"))
}

fn ams_level() -> Level {
    Level::Store(merchant("ACME_EU"), store_code("AMS"))
}

fn acme() -> Level {
    Level::Company(company("ACME"))
}

fn labelled(label: Change<&str>) -> SettingsPatch {
    let display_label = match label {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(label) => Change::Set(label.to_owned()),
    };
    SettingsPatch { display_label, ..SettingsPatch::default() }
}

fn switches(web_sockets_enabled: Change<bool>, terminal_api_enabled: Change<bool>) -> SettingsPatch {
    SettingsPatch { web_sockets_enabled, terminal_api_enabled, ..SettingsPatch::default() }
}

fn change(level: Level, patch: SettingsPatch) -> SettingsChange {
    let by = Some(credential(1, Scope::Company).id);
    SettingsChange { company: company("ACME"), scope: Scope::Company, level, patch, by, at: START }
}

impl<D: Database> Bench<D> {
    async fn set(&self, level: Level, patch: SettingsPatch) -> LevelSettings {
        self.store.change_settings(change(level, patch)).await.unwrap().unwrap()
    }

    async fn settings(&self, level: Level) -> LevelSettings {
        self.store.settings_at(&company("ACME"), &level).await.unwrap().unwrap()
    }

    async fn label(&self, n: u32) -> Option<String> {
        self.store.terminal(&poi(n)).await.unwrap().unwrap().settings.display_label
    }

    async fn revision(&self, n: u32) -> u64 {
        self.store.terminal(&poi(n)).await.unwrap().unwrap().settings.revision
    }

    async fn add_unlabelled(&self, n: u32, place: Place) {
        let terminal = NewTerminal::new(poi(n), company("ACME"), place, START);
        self.store.add_terminal(terminal).await.unwrap();
    }
}

pub(in crate::store) async fn the_nearest_setting_that_is_set_wins<D: Database>() {
    let mut bench = bench::<D>().await;
    bench.add_unlabelled(1, ams()).await;
    let terminal = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    let settings = &terminal.settings;
    assert!(
        !settings.web_sockets_enabled && !settings.terminal_api_enabled,
        "off unless somebody switches on"
    );
    assert_eq!(settings.display_label, None);

    let levels = [acme(), eu(), ams_level(), Level::Terminal(poi(1))];
    for (n, level) in levels.iter().enumerate() {
        let label = format!("label {n}");
        let on = Change::Set(n % 2 == 0);
        let patch = SettingsPatch { display_label: Change::Set(label.clone()), ..switches(on.clone(), on) };
        bench.set(level.clone(), patch).await;
        let settings = bench.store.terminal(&poi(1)).await.unwrap().unwrap().settings;
        assert_eq!(settings.display_label, Some(label));
        assert_eq!((settings.web_sockets_enabled, settings.terminal_api_enabled), (n % 2 == 0, n % 2 == 0));
    }
    bench = bench.reopen();
    let found = bench.settings(ams_level()).await;
    assert_eq!((&found.company, &found.merchant), (&company("ACME"), &Some(merchant("ACME_EU"))));
    assert_eq!(found.own.display_label.as_deref(), Some("label 2"));
    assert_eq!(found.inherited.display_label.as_deref(), Some("label 1"));
    // The other way round: what is cleared is inherited.
    for (n, level) in levels.iter().enumerate().rev().take(3) {
        let cleared = bench.set(level.clone(), labelled(Change::Clear)).await;
        assert_eq!((cleared.own.display_label, cleared.own.web_sockets_enabled), (None, Some(n % 2 == 0)));
        assert_eq!(bench.label(1).await, Some(format!("label {}", n - 1)));
    }
    // How booleans are written is not a terminal's own.
    let booleans =
        SettingsPatch { v1_booleans: Change::Set(V1Booleans::Booleans), ..SettingsPatch::default() };
    bench.set(eu(), booleans.clone()).await;
    bench.set(Level::Terminal(poi(1)), booleans).await;
    let found = bench.settings(Level::Terminal(poi(1))).await;
    assert_eq!((found.own.v1_booleans, found.inherited.v1_booleans), (None, Some(V1Booleans::Booleans)));
    let record = bench.store.find_terminal(&company("ACME"), &poi(1)).await.unwrap().unwrap();
    assert_eq!(record.v1_booleans, Some(V1Booleans::Booleans));
    assert_eq!(bench.settings(acme()).await.inherited, SettingValues::default());
}

pub(in crate::store) async fn settings_are_changed_within_reach_only<D: Database>() {
    let bench = bench::<D>().await;
    bench.add(&poi(1), ams()).await;
    bench.add(&poi(2), us()).await;
    let scope = Scope::Merchants(vec![merchant("ACME_EU")]);
    let off = switches(Change::Set(false), Change::Keep);
    for (level, reached) in [
        (acme(), false),
        (eu(), true),
        (ams_level(), true),
        (Level::Terminal(poi(1)), true),
        (Level::Terminal(poi(2)), false),
        (Level::Merchant(merchant("ACME_US")), false),
        (Level::Merchant(merchant("NOBODY")), false),
        (Level::Store(merchant("ACME_EU"), store_code("NYC")), false),
        (Level::Terminal(poi(9)), false),
        // Another company's.
        (Level::Company(company("OTHER")), false),
        (Level::Merchant(merchant("OTHER_EU")), false),
    ] {
        let change = SettingsChange { scope: scope.clone(), ..change(level.clone(), off.clone()) };
        let changed = bench.store.change_settings(change).await.unwrap();
        assert_eq!(changed.is_some(), reached, "{level:?}");
    }
    for level in [acme(), eu(), ams_level(), Level::Terminal(poi(1))] {
        assert_eq!(bench.store.settings_at(&company("OTHER"), &level).await.unwrap(), None, "{level:?}");
    }
    assert_eq!(bench.settings(acme()).await.own, SettingValues::default());
}

pub(in crate::store) async fn a_change_of_settings_raises_the_revision_where_it_takes_effect<D: Database>() {
    let bench = bench::<D>().await;
    for (n, place) in [(1, ams()), (2, par()), (3, us()), (4, Place::CompanyInventory)] {
        bench.add(&poi(n), place).await;
    }
    let revisions = async || {
        let mut revisions = Vec::new();
        for n in 1..=4 {
            revisions.push(bench.revision(n).await);
        }
        revisions
    };
    let mut before = revisions().await;
    for (level, raised) in [
        (acme(), [true, true, true, true]),
        (eu(), [true, true, false, false]),
        (ams_level(), [true, false, false, false]),
        (Level::Terminal(poi(3)), [false, false, true, false]),
    ] {
        let changed = bench.set(level.clone(), switches(Change::Set(true), Change::Keep)).await;
        let after = revisions().await;
        let are_raised: Vec<bool> = before.iter().zip(&after).map(|(before, after)| after > before).collect();
        assert_eq!(are_raised, raised, "{level:?}");
        let latest = bench.store.settings_revision().await.unwrap();
        assert!(after.iter().zip(raised).all(|(revision, raised)| !raised || *revision == latest));
        assert_eq!(changed.revision, latest);
        before = after;
    }
    // Also where the settings of the new place are older: a terminal must not take them for what it has already.
    let to_par = Assign {
        company: company("ACME"),
        scope: Scope::Company,
        terminals: vec![poi(1)],
        target: par(),
        by: None,
        at: START,
    };
    bench.store.assign(to_par).await.unwrap();
    assert_eq!(bench.revision(1).await, bench.store.settings_revision().await.unwrap());
    assert!(bench.revision(1).await > before[0]);
}

pub(in crate::store) async fn what_changes_no_setting_is_no_change<D: Database>() {
    let bench = bench::<D>().await;
    let on = switches(Change::Set(true), Change::Set(true));
    let first = bench.set(eu(), on.clone()).await;
    assert_eq!(bench.set(eu(), on).await, first);
    assert_eq!(bench.set(eu(), SettingsPatch::default()).await, first);
    let modified = bench.events(EventKind::SettingsModified).await;
    let [event] = &modified[..] else { panic!("expected one event, got {modified:?}") };
    assert_eq!(
        event.data,
        json!({
            "level": "merchant",
            "companyAccount": "ACME",
            "merchantAccount": "ACME_EU",
            "user": "c1",
            "revision": first.revision,
            "members": ["webSocketsEnabled", "terminalApiEnabled"],
        })
    );
    bench.set(ams_level(), labelled(Change::Set("Till"))).await;
    let event = bench.events(EventKind::SettingsModified).await.pop().unwrap();
    assert_eq!(event.data["storeId"], shop("ACME_EU", "AMS").id.as_str());
    assert_eq!((&event.data["store"], &event.data["members"]), (&json!("AMS"), &json!(["displayLabel"])));
}

// ---- Tokens ----

fn token_id(n: u8) -> TokenId {
    TokenId::parse(&format!("tk_{n}")).unwrap()
}

impl<D: Database> Bench<D> {
    async fn begin_rotation(&self, n: u32, token: u8) -> RotationBegun {
        let hash = TokenHash([token; 32]);
        self.store.begin_rotation(&poi(n), hash, &token_id(token), later(token.into())).await.unwrap()
    }

    async fn end_rotation(&self, n: u32, token: u8) -> bool {
        self.store.end_rotation(&poi(n), &token_id(token), later(100)).await.unwrap()
    }

    async fn token_uses(&self, n: u32) -> Vec<TokenUse> {
        let tokens = self.store.tokens(&company("ACME"), &poi(n)).await.unwrap().unwrap();
        tokens.into_iter().map(|token| token.used_as).collect()
    }

    async fn raise_epoch(&self, n: u32, attempt: u64) -> u64 {
        match self.op(take_hello(hello(n, "j_1", attempt, START))).await {
            Reply::Raised { epoch, .. } => epoch.0,
            other => panic!("expected a new epoch, got {other:?}"),
        }
    }

    async fn is_admitted_under(&self, n: usize, epoch: u64) -> bool {
        let key = service_key(1, &format!("s{n}"));
        matches!(self.op(admit(&payment(n, key, epoch, START))).await, Reply::Admitted(_))
    }
}

pub(in crate::store) async fn a_token_that_the_terminal_has_takes_the_place_of_its_own<D: Database>() {
    let mut bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    assert_eq!(bench.begin_rotation(1, 2).await, RotationBegun::NotBoarded);
    assert_eq!(bench.begin_rotation(9, 2).await, RotationBegun::NotBoarded);
    let boarded = bench.board(&poi(1), "j_1", 1, START).await;
    let epoch = bench.raise_epoch(1, 1).await;
    assert_eq!(bench.begin_rotation(1, 2).await, RotationBegun::Begun);
    assert_eq!(bench.token_uses(1).await, [TokenUse::Next, TokenUse::Current]);

    bench = bench.reopen();
    let standing = bench.store.token_standing(TokenHash([2; 32])).await.unwrap().unwrap();
    assert_eq!((standing.poi, standing.id, standing.is_next), (poi(1), token_id(2), true));
    for token in [1, 2] {
        assert_eq!(bench.token_state(token).await, Some(TokenState::Valid), "token {token}");
    }
    assert!(!bench.end_rotation(1, 7).await);
    assert!(bench.end_rotation(1, 2).await);
    assert!(!bench.end_rotation(1, 2).await, "it has");
    assert_eq!(bench.token_state(1).await, Some(TokenState::Ended { since: later(100) }));
    let standing = bench.store.token_standing(TokenHash([2; 32])).await.unwrap().unwrap();
    assert_eq!((standing.state, standing.is_next), (TokenState::Valid, false));
    // It is boarded as before, and its link goes on.
    assert_eq!(bench.store.terminal(&poi(1)).await.unwrap().unwrap().boarded, boarded.boarded);
    assert!(bench.is_admitted_under(1, epoch).await);
    let tokens = bench.store.tokens(&company("ACME"), &poi(1)).await.unwrap().unwrap();
    assert_eq!(
        (&tokens[0].id, tokens[0].made, tokens[0].used_as),
        (&token_id(2), later(2), TokenUse::Current)
    );
    assert_eq!(tokens[1].used_as, TokenUse::Ended { since: later(100) });
    let rotated = bench.events(EventKind::TokenRotated).await;
    assert_eq!(rotated[0].data, json!({ "tokenId": "tk_2", "formerTokenId": tokens[1].id.as_str() }));
}

pub(in crate::store) async fn any_token_that_a_terminal_may_have_stored_is_good<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    // The word that it was stored may have been lost each time.
    for token in 2..=5 {
        assert_eq!(bench.begin_rotation(1, token).await, RotationBegun::Begun);
    }
    assert_eq!(bench.begin_rotation(1, 6).await, RotationBegun::TooMany);
    for token in 1..=5 {
        assert_eq!(bench.token_state(token).await, Some(TokenState::Valid), "token {token}");
    }
    assert_eq!(bench.token_state(6).await, None);
    assert!(bench.end_rotation(1, 3).await);
    for token in [1, 2, 4, 5] {
        assert_eq!(
            bench.token_state(token).await,
            Some(TokenState::Ended { since: later(100) }),
            "token {token}"
        );
    }
    // Boarding anew ends them too.
    bench.begin_rotation(1, 7).await;
    bench.board(&poi(1), "j_1", 8, later(200)).await;
    assert_eq!(bench.token_state(7).await, Some(TokenState::Ended { since: later(200) }));
    assert!(!bench.end_rotation(1, 7).await);
}

pub(in crate::store) async fn a_token_is_revoked_by_its_name<D: Database>() {
    let bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, START).await;
    let epoch = bench.raise_epoch(1, 1).await;
    for token in [2, 3] {
        bench.begin_rotation(1, token).await;
    }
    let by = credential(1, Scope::Company).id;
    let revoke = async |owner: &str, id: &TokenId| {
        bench.store.revoke_token(&company(owner), &poi(1), id, Some(&by), later(50)).await.unwrap()
    };
    assert_eq!(revoke("OTHER", &token_id(2)).await, None);
    assert_eq!(revoke("ACME", &token_id(2)).await, Some(RevokedToken::Next));
    assert_eq!(revoke("ACME", &token_id(2)).await, None, "it has ended");
    assert_eq!(bench.token_state(1).await, Some(TokenState::Valid));
    assert!(bench.is_admitted_under(1, epoch).await);

    let standing = bench.store.token_standing(TokenHash([1; 32])).await.unwrap().unwrap();
    assert_eq!(revoke("ACME", &standing.id).await, Some(RevokedToken::Current));
    let ended = TokenState::Ended { since: later(50) };
    for token in 1..=3 {
        assert_eq!(bench.token_state(token).await, Some(ended), "token {token}");
    }
    let terminal = bench.store.terminal(&poi(1)).await.unwrap().unwrap();
    assert_eq!((terminal.boarded, terminal.place), (None, ams()));
    assert!(!bench.is_admitted_under(2, epoch).await, "its link is admitted nothing more");
    let revoked = bench.events(EventKind::TokenRevoked).await;
    assert_eq!(revoked[1].data, json!({ "tokenId": standing.id.as_str(), "user": "c1" }));
}

// ---- Lists ----

impl<D: Database> Bench<D> {
    async fn listed(
        &self,
        owner: &str,
        scope: &Scope,
        filter: &ListFilter,
        after: Option<&Listed>,
    ) -> Vec<Listed> {
        self.store.terminals_of(&company(owner), scope, filter, after).await.unwrap()
    }
}

fn numbers(listed: &[Listed]) -> Vec<u32> {
    let number = |listed: &Listed| listed.poi.as_str().rsplit('-').next().unwrap().parse().unwrap();
    listed.iter().map(number).collect()
}

/// Terminals at all kinds of places, numbered in the order of the list.
async fn fleet<D: Database>() -> Bench<D> {
    let bench = bench::<D>().await;
    let odd = |code: &str| Place::Store { merchant: merchant("ACME_EU"), store: store_code(code) };
    // A dash and a dot come before letters, and a code before another one that begins with it.
    for code in ["AMS-2", "AMS.2", "AMS2"] {
        bench.store.create_store(shop("ACME_EU", code)).await.unwrap();
    }
    let account = MerchantAccount { code: merchant("ACME_EU2"), company: company("ACME"), description: None };
    bench.store.create_merchant_account(account).await.unwrap();
    for (n, place) in [
        (12, us()),
        (1, Place::CompanyInventory),
        (3, eu_inventory()),
        (5, ams()),
        (9, par()),
        (6, odd("AMS-2")),
        (7, odd("AMS.2")),
        (8, odd("AMS2")),
        (2, Place::CompanyInventory),
        (4, eu_inventory()),
        (10, Place::MerchantInventory(merchant("ACME_EU2"))),
        (11, Place::MerchantInventory(merchant("ACME_US"))),
        (13, us()),
    ] {
        bench.add(&poi(n), place).await;
    }
    let foreign = Place::MerchantInventory(merchant("OTHER_EU"));
    for (n, place) in [(90, Place::CompanyInventory), (91, foreign)] {
        bench.store.add_terminal(NewTerminal::new(poi(n), company("OTHER"), place, START)).await.unwrap();
    }
    bench.add(&poi(99), ams()).await;
    bench.store.retire_terminal(&company("ACME"), &Scope::Company, &poi(99), None, START).await.unwrap();
    bench
}

pub(in crate::store) async fn terminals_are_listed_in_the_order_of_their_places<D: Database>() {
    let bench = fleet::<D>().await;
    let all = bench.listed("ACME", &Scope::Company, &ListFilter::All, None).await;
    assert_eq!(numbers(&all), (1..=13).collect::<Vec<_>>());
    assert_eq!((&all[0].place, &all[2].place), (&Place::CompanyInventory, &eu_inventory()));
    assert_eq!((&all[4].place, &all[11].place), (&ams(), &us()));
    for (n, listed) in all.iter().enumerate() {
        let rest = bench.listed("ACME", &Scope::Company, &ListFilter::All, Some(listed)).await;
        assert_eq!(rest, all[n + 1..], "after {listed:?}");
    }
    assert_eq!(numbers(&bench.listed("OTHER", &Scope::Company, &ListFilter::All, None).await), [90, 91]);
    assert_eq!(bench.listed("NOBODY", &Scope::Company, &ListFilter::All, None).await, []);
}

pub(in crate::store) async fn a_list_has_what_the_caller_reaches<D: Database>() {
    let bench = fleet::<D>().await;
    let of = |code: &str| ListFilter::Merchant(merchant(code));
    let at = |code: &str, shop: &str| ListFilter::Store(merchant(code), store_code(shop));
    let two = Scope::Merchants(vec![merchant("ACME_US"), merchant("ACME_EU2"), merchant("OTHER_EU")]);
    for (scope, filter, expected) in [
        (&Scope::Company, of("ACME_EU"), &[3, 4, 5, 6, 7, 8, 9][..]),
        (&Scope::Company, of("ACME_US"), &[11, 12, 13]),
        (&Scope::Company, at("ACME_EU", "AMS"), &[5]),
        (&Scope::Company, at("ACME_EU", "NYC"), &[]),
        (&Scope::Company, of("OTHER_EU"), &[]),
        (&two, ListFilter::All, &[10, 11, 12, 13]),
        (&two, of("ACME_EU2"), &[10]),
        (&two, of("ACME_EU"), &[]),
        (&two, at("ACME_EU", "AMS"), &[]),
    ] {
        let found = bench.listed("ACME", scope, &filter, None).await;
        assert_eq!(numbers(&found), expected, "{scope:?} {filter:?}");
        if let Some(first) = found.first() {
            let rest = bench.listed("ACME", scope, &filter, Some(first)).await;
            assert_eq!(rest, found[1..], "{scope:?} {filter:?}");
        }
    }
}

pub(in crate::store) async fn a_long_list_comes_in_pages_that_go_on_anywhere<D: Database>() {
    let bench = bench::<D>().await;
    let count = u32::try_from(FLEET_PAGE).unwrap() + 2;
    let place = |n: u32| match n % 3 {
        0 => Place::CompanyInventory,
        1 => eu_inventory(),
        _ => us(),
    };
    let added: Vec<_> = (0..count)
        .map(|n| bench.store.add_terminal(NewTerminal::new(poi(n), company("ACME"), place(n), START)))
        .collect();
    for added in added {
        added.await.unwrap();
    }
    let first = bench.listed("ACME", &Scope::Company, &ListFilter::All, None).await;
    assert_eq!(first.len(), FLEET_PAGE);
    // Where a list goes on need not be there any more.
    let gone = first.last().unwrap();
    bench.store.retire_terminal(&company("ACME"), &Scope::Company, &gone.poi, None, START).await.unwrap();
    let second = bench.listed("ACME", &Scope::Company, &ListFilter::All, Some(gone)).await;
    assert_eq!(second.len(), 2);
    let mut pois: Vec<_> = first.iter().chain(&second).map(|listed| listed.poi.clone()).collect();
    pois.sort();
    assert_eq!(pois, (0..count).map(poi).collect::<Vec<_>>());
    // Over the border between two merchant accounts that somebody reaches.
    let both = Scope::Merchants(vec![merchant("ACME_US"), merchant("ACME_EU")]);
    let reached = bench.listed("ACME", &both, &ListFilter::All, None).await;
    assert_eq!(reached.len(), usize::try_from(count).unwrap() * 2 / 3 - 1);
}

pub(in crate::store) async fn stores_are_listed_by_merchant_account_and_code<D: Database>() {
    let bench = bench::<D>().await;
    for (account, code) in [("ACME_US", "NYC"), ("ACME_US", "AMS"), ("OTHER_EU", "LON")] {
        bench.store.create_store(shop(account, code)).await.unwrap();
    }
    let list = async |owner: &str, scope: &Scope, account: Option<&str>, after: Option<&StoreDetails>| {
        let account = account.map(merchant);
        let found = bench.store.stores_of(&company(owner), scope, account.as_ref(), after).await.unwrap();
        found.into_iter().map(|shop| format!("{}.{}", shop.merchant, shop.code)).collect::<Vec<_>>()
    };
    let all = ["ACME_EU.AMS", "ACME_EU.PAR", "ACME_US.AMS", "ACME_US.NYC"];
    assert_eq!(list("ACME", &Scope::Company, None, None).await, all);
    assert_eq!(list("ACME", &Scope::Company, None, Some(&shop("ACME_EU", "AMS"))).await, all[1..]);
    assert_eq!(list("ACME", &Scope::Company, None, Some(&shop("ACME_EU", "PAR"))).await, all[2..]);
    assert_eq!(list("ACME", &Scope::Company, Some("ACME_US"), None).await, all[2..]);
    assert_eq!(list("ACME", &Scope::Company, Some("OTHER_EU"), None).await, [""; 0]);
    let both = Scope::Merchants(vec![merchant("ACME_US"), merchant("ACME_EU"), merchant("OTHER_EU")]);
    assert_eq!(list("ACME", &both, None, Some(&shop("ACME_EU", "AMS"))).await, all[1..]);
    assert_eq!(list("ACME", &both, None, Some(&shop("ACME_US", "AMS"))).await, all[3..]);
    let us_only = Scope::Merchants(vec![merchant("ACME_US")]);
    assert_eq!(list("ACME", &us_only, None, None).await, all[2..]);
    assert_eq!(list("ACME", &us_only, Some("ACME_EU"), None).await, [""; 0]);
    assert_eq!(list("OTHER", &Scope::Company, None, None).await, ["OTHER_EU.LON"]);
}

pub(in crate::store) async fn a_store_is_found_by_its_id_and_changed<D: Database>() {
    let mut bench = bench::<D>().await;
    let before = shop("ACME_EU", "AMS");
    let address = Address {
        street_address: Some("Damrak 1".into()),
        city: Some("Amsterdam".into()),
        country_code: Some("NL".into()),
        ..Address::default()
    };
    let change = StoreChange {
        company: company("ACME"),
        scope: Scope::Company,
        merchant: merchant("ACME_EU"),
        store: store_code("AMS"),
        patch: StorePatch {
            status: Some(StoreStatus::Inactive),
            description: Change::Clear,
            address: Change::Set(address.clone()),
            phone_number: Change::Set("+31201234567".into()),
            ..StorePatch::default()
        },
        by: None,
        at: START,
    };
    for (owner, scope) in [("OTHER", Scope::Company), ("ACME", Scope::Merchants(vec![merchant("ACME_US")]))] {
        let foreign = StoreChange { company: company(owner), scope, ..change.clone() };
        assert_eq!(bench.store.update_store(foreign).await.unwrap(), None);
    }
    let after = bench.store.update_store(change.clone()).await.unwrap().unwrap();
    let expected = StoreDetails {
        status: StoreStatus::Inactive,
        description: None,
        address: Some(address),
        phone_number: Some("+31201234567".into()),
        ..before.clone()
    };
    assert_eq!(after, expected);
    bench = bench.reopen();
    assert_eq!(bench.store.store_by_id(&company("ACME"), &before.id).await.unwrap(), Some(expected));
    assert_eq!(bench.store.store_by_id(&company("OTHER"), &before.id).await.unwrap(), None);
    let unknown = StoreId::parse("ST0").unwrap();
    assert_eq!(bench.store.store_by_id(&company("ACME"), &unknown).await.unwrap(), None);
}

pub(in crate::store) async fn a_terminal_is_found_with_all_that_is_known<D: Database>() {
    let bench = bench::<D>().await;
    let terminal = NewTerminal {
        platform: Some("android".into()),
        display_label: Some("Till 4".into()),
        country: CountryCode::parse("NL"),
        permanent_terminal_id: Some("12345678".into()),
        ..NewTerminal::new(poi(1), company("ACME"), ams(), START)
    };
    bench.store.add_terminal(terminal).await.unwrap();
    bench.add(&poi(2), Place::CompanyInventory).await;
    assert!(bench.store.set_time_zone(&company("ACME"), "Europe/Amsterdam").await.unwrap());
    assert!(!bench.store.set_time_zone(&company("NOBODY"), "UTC").await.unwrap());
    let found = bench.store.company(&company("ACME")).await.unwrap();
    assert_eq!(
        found,
        Some(Company { time_zone: "Europe/Amsterdam".into(), ..Company::new(company("ACME")) })
    );

    let find = async |owner: &str, n| bench.store.find_terminal(&company(owner), &poi(n)).await.unwrap();
    let record = find("ACME", 1).await.unwrap();
    assert_eq!(Some(record.terminal), bench.store.terminal(&poi(1)).await.unwrap());
    assert_eq!((record.own_settings.display_label.as_deref(), record.v1_booleans), (Some("Till 4"), None));
    assert_eq!(record.time_zone, "Europe/Amsterdam");
    assert_eq!(record.store, Some(shop("ACME_EU", "AMS")));
    assert_eq!(record.country.as_ref().map(CountryCode::as_str), Some("NL"));
    assert_eq!(record.permanent_terminal_id.as_deref(), Some("12345678"));
    assert_eq!((record.added, record.last_activity, record.last_transaction), (Some(START), None, None));
    let other = find("ACME", 2).await.unwrap();
    let made_up = other.permanent_terminal_id.unwrap();
    assert!(made_up.len() == 8 && made_up.bytes().all(|b| b.is_ascii_digit()), "{made_up}");
    assert_eq!((other.store, other.country), (None, None));
    assert_eq!((find("OTHER", 1).await, find("ACME", 9).await), (None, None));
}

pub(in crate::store) async fn activity_only_goes_forward<D: Database>() {
    let bench = bench::<D>().await;
    bench.add(&poi(1), ams()).await;
    let seen = async |last: i64, transaction: Option<i64>| {
        let note = |n| Activity {
            poi: poi(n),
            last_activity: later(last),
            last_transaction: transaction.map(later),
        };
        bench.store.note_activity(vec![note(9), note(1)]).await.unwrap();
        let record = bench.store.find_terminal(&company("ACME"), &poi(1)).await.unwrap().unwrap();
        (record.last_activity, record.last_transaction)
    };
    assert_eq!(seen(10, None).await, (Some(later(10)), None));
    assert_eq!(seen(20, Some(15)).await, (Some(later(20)), Some(later(15))));
    assert_eq!(seen(30, None).await, (Some(later(30)), Some(later(15))));
    assert_eq!(seen(25, Some(12)).await, (Some(later(30)), Some(later(15))));
    assert_eq!(seen(25, Some(16)).await, (Some(later(30)), Some(later(16))));
}

pub(in crate::store) async fn events_come_in_order_and_to_their_company_only<D: Database>() {
    let mut bench = bench::<D>().await;
    bench.add_in_store(&poi(1)).await;
    bench.board(&poi(1), "j_1", 1, later(1)).await;
    let moved = NewFleetEvent {
        at: later(2),
        company: company("ACME"),
        poi: Some(poi(1)),
        kind: EventKind::TokenMoved,
        data: json!({ "network": "198.51.100.0/24" }),
    };
    bench.store.note_event(moved.clone()).await.unwrap();
    bench = bench.reopen();
    let events = bench.store.fleet_events(&company("ACME"), 0).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.event.kind).collect();
    assert_eq!(kinds, [EventKind::TerminalAdded, EventKind::TerminalBoarded, EventKind::TokenMoved]);
    assert_eq!(events[0].event.data, json!({ "uniqueTerminalId": poi(1).as_str(), "user": "operator" }));
    let boarded = &events[1].event.data;
    let store_id = shop("ACME_EU", "AMS").id;
    let expected = json!({
        "uniqueTerminalId": poi(1).as_str(),
        "merchantAccount": "ACME_EU",
        "store": "AMS",
        "storeId": store_id.as_str(),
    });
    assert_eq!(boarded, &expected);
    assert_eq!(events[2].event, moved);
    assert_eq!(bench.store.fleet_events(&company("ACME"), events[1].seq).await.unwrap(), events[2..]);
    assert_eq!(bench.store.fleet_events(&company("OTHER"), 0).await.unwrap(), []);
}
