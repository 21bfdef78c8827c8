//! Whole fleets from files, and into them.

use nexo::PoiId;
use relay::WallMs;
use serde_json::json;

use super::assignments::{eu_inventory, par, us};
use super::{
    Bench, Database, MINUTE, START, ams, bench, company, merchant, new_terminal, poi, shop, store_code,
};
use crate::store::fleet_store::import::PoiIdsSeen;
use crate::store::fleet_store::{
    Assign, CountryCode, EventKind, ImportId, ImportProblem, ImportRow, ImportWrong, ListFilter,
};
use crate::store::{AssignError, Entity, FleetError, ImportError, Place, Scope};

fn row(n: u32, place: Place) -> ImportRow {
    ImportRow {
        line: u64::from(n) + 1,
        poi: poi(n),
        place,
        platform: Some("android".into()),
        country: CountryCode::parse("NL"),
        permanent_terminal_id: Some(format!("{n:08}")),
        display_label: n.is_multiple_of(2).then(|| format!("Till {n}")),
    }
}

impl<D: Database> Bench<D> {
    async fn begin_import(&self, at: WallMs) -> Result<ImportId, ImportError> {
        self.store.begin_import(&company("ACME"), None, at).await
    }

    async fn visible(&self) -> Vec<PoiId> {
        let acme = company("ACME");
        let found = self.store.terminals_of(&acme, &Scope::Company, &ListFilter::All, None).await.unwrap();
        found.into_iter().map(|listed| listed.poi).collect()
    }
}

pub(in crate::store) async fn an_import_is_seen_as_a_whole_when_it_is_finished<D: Database>() {
    let mut bench = bench::<D>().await;
    bench.add(&poi(1), ams()).await;
    let import = bench.begin_import(START).await.unwrap();
    bench.store.import_rows(import, vec![row(2, ams()), row(3, us())], START).await.unwrap();
    assert!(matches!(bench.begin_import(START).await, Err(ImportError::Running)));

    bench = bench.reopen();
    bench.store.import_rows(import, vec![row(4, Place::CompanyInventory)], START).await.unwrap();
    let (acme, eu) = (company("ACME"), merchant("ACME_EU"));
    assert_eq!(bench.visible().await, [poi(1)]);
    assert_eq!(bench.store.export(&acme, None).await.unwrap().len(), 1);
    assert_eq!(bench.store.terminals_at(&acme, &eu, None, None).await.unwrap().len(), 1);
    let shop_code = store_code("AMS");
    assert_eq!(bench.store.terminals_at(&acme, &eu, Some(&shop_code), None).await.unwrap().len(), 1);
    for n in [2, 3, 4] {
        assert_eq!(bench.store.terminal(&poi(n)).await.unwrap(), None);
        assert_eq!(bench.store.find_terminal(&acme, &poi(n)).await.unwrap(), None);
    }
    let call = Assign {
        company: acme.clone(),
        scope: Scope::Company,
        terminals: vec![poi(2)],
        target: par(),
        by: None,
        at: START,
    };
    assert!(matches!(bench.store.assign(call).await, Err(AssignError::NotFound(_))));
    // Their names are taken, and so is the place: what is to be there is there as far as the rules go.
    let taken = bench.store.add_terminal(new_terminal(&poi(2), ams())).await;
    assert!(matches!(taken, Err(FleetError::AlreadyExists(_))), "{taken:?}");
    let first_store = bench.store.create_store(shop("ACME_US", "NYC")).await;
    assert!(matches!(first_store, Err(FleetError::HoldsInStoreTerminals { .. })), "{first_store:?}");

    assert_eq!(bench.store.finish_import(import, START).await.unwrap(), 3);
    assert_eq!(bench.visible().await, [poi(4), poi(1), poi(2), poi(3)]);
    assert_eq!(bench.store.terminals_at(&acme, &eu, None, None).await.unwrap().len(), 2);
    let terminal = bench.store.terminal(&poi(2)).await.unwrap().unwrap();
    assert_eq!((&terminal.place, terminal.settings.display_label.as_deref()), (&ams(), Some("Till 2")));
    let added = bench.events(EventKind::TerminalAdded).await.pop().unwrap();
    assert_eq!(
        (added.poi, added.data),
        (None, json!({ "import": import.0, "count": 3, "user": "operator" }))
    );
    // It is over.
    let late = bench.store.import_rows(import, vec![row(5, ams())], START).await;
    assert!(matches!(late, Err(ImportError::Ended)), "{late:?}");
    assert!(matches!(bench.store.abandon_import(import).await, Err(ImportError::Ended)));
    bench.begin_import(START).await.unwrap();
}

pub(in crate::store) async fn each_bad_line_of_an_import_is_named<D: Database>() {
    let bench = bench::<D>().await;
    for n in [1, 2] {
        bench.add(&poi(n), ams()).await;
    }
    bench.store.retire_terminal(&company("ACME"), &Scope::Company, &poi(2), None, START).await.unwrap();
    let missing = |entity| Some(ImportWrong::Missing(entity));
    let account = |code: &str| Entity::MerchantAccount(merchant(code));
    let nyc = Place::Store { merchant: merchant("ACME_EU"), store: store_code("NYC") };
    let table = [
        (row(10, ams()), None),
        (row(1, ams()), Some(ImportWrong::AlreadyExists(poi(1)))),
        (row(2, ams()), Some(ImportWrong::Retired(poi(2)))),
        (row(11, Place::MerchantInventory(merchant("NOBODY"))), missing(account("NOBODY"))),
        (row(12, Place::MerchantInventory(merchant("OTHER_EU"))), missing(account("OTHER_EU"))),
        (row(13, nyc), missing(Entity::Store(merchant("ACME_EU"), store_code("NYC")))),
        (
            row(14, Place::MerchantInStore(merchant("ACME_EU"))),
            Some(ImportWrong::MerchantHasStores(merchant("ACME_EU"))),
        ),
        (row(15, us()), None),
    ];
    let expected: Vec<_> = table
        .iter()
        .filter_map(|(row, wrong)| Some(ImportProblem { line: row.line, problem: wrong.clone()? }))
        .collect();
    let rows: Vec<_> = table.into_iter().map(|(row, _)| row).collect();
    let problems = bench.store.check_import(&company("ACME"), rows.clone()).await.unwrap();
    assert_eq!(problems, expected);
    assert_eq!(problems[0].to_string(), "line 2: terminal V400m-000000001 already exists");

    // What changed since it was checked is found when it is written; then nothing of these rows is.
    let import = bench.begin_import(START).await.unwrap();
    let Err(ImportError::Rows(found)) = bench.store.import_rows(import, rows, START).await else { panic!() };
    assert_eq!(found, expected);
    let twice = bench.store.import_rows(import, vec![row(16, ams()), row(16, ams())], START).await;
    assert!(matches!(&twice, Err(ImportError::Rows(found)) if found.len() == 1), "{twice:?}");
    assert_eq!(bench.store.finish_import(import, START).await.unwrap(), 0);
    let nobody = bench.store.begin_import(&company("NOBODY"), None, START).await;
    assert!(matches!(nobody, Err(ImportError::Missing(_))), "{nobody:?}");

    let mut seen = PoiIdsSeen::default();
    assert_eq!((seen.note(3, &poi(1)), seen.note(4, &poi(2))), (None, None));
    let twice = seen.note(9, &poi(1)).unwrap();
    assert_eq!(twice.to_string(), "line 9: terminal V400m-000000001 is on line 3 already");
}

pub(in crate::store) async fn a_broken_import_leaves_nothing<D: Database>() {
    let mut bench = bench::<D>().await;
    bench.add(&poi(1), ams()).await;
    let first = bench.begin_import(START).await.unwrap();
    bench.store.import_rows(first, vec![row(2, ams()), row(3, us())], START).await.unwrap();
    bench.add(&poi(4), ams()).await;
    bench = bench.reopen();
    let silent = WallMs(START.0 + MINUTE);
    assert!(matches!(bench.begin_import(WallMs(silent.0 - 1)).await, Err(ImportError::Running)));
    let second = bench.begin_import(silent).await.unwrap();
    assert!(matches!(bench.store.finish_import(first, silent).await, Err(ImportError::Ended)));
    bench.store.import_rows(second, vec![row(2, par())], silent).await.unwrap();
    assert!(bench.store.abandon_import(second).await.unwrap());
    assert_eq!(bench.visible().await, [poi(1), poi(4)]);
    bench.add(&poi(2), eu_inventory()).await;
    bench.store.create_store(shop("ACME_US", "NYC")).await.unwrap();
}

pub(in crate::store) async fn an_export_is_what_an_import_takes<D: Database>() {
    let bench = bench::<D>().await;
    let rows = vec![row(1, Place::CompanyInventory), row(2, eu_inventory()), row(3, par()), row(4, us())];
    let import = bench.begin_import(START).await.unwrap();
    bench.store.import_rows(import, rows.clone(), START).await.unwrap();
    bench.store.finish_import(import, START).await.unwrap();
    let exported = bench.store.export(&company("ACME"), None).await.unwrap();
    let taken: Vec<_> = exported
        .iter()
        .zip(2..)
        .map(|(terminal, line)| ImportRow {
            line,
            poi: terminal.listed.poi.clone(),
            place: terminal.listed.place.clone(),
            platform: terminal.platform.clone(),
            country: terminal.country,
            permanent_terminal_id: terminal.permanent_terminal_id.clone(),
            display_label: terminal.display_label.clone(),
        })
        .collect();
    assert_eq!(taken, rows);
    let rest = bench.store.export(&company("ACME"), Some(&exported[1].listed)).await.unwrap();
    assert_eq!(rest, exported[2..]);
}
