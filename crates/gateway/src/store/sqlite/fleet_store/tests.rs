//! What only a SQLite file can show of a fleet: how its queries are run, and what an earlier release left.

use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{assignments, lists, stores};
use crate::store::conformance::{START, TestClock, company, poi, run};
use crate::store::fleet_store::{FleetStore as _, TokenUse};
use crate::store::sqlite::{SqliteStore, fleet};
use crate::store::{MerchantCode, Scope, Store as _, TokenHash, TokenState};

struct File {
    path: PathBuf,
    _directory: TempDir,
}

impl File {
    fn fresh() -> File {
        let directory = tempfile::tempdir().unwrap();
        File { path: directory.path().join("tillgate.db"), _directory: directory }
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path, TestClock::new().wall()).unwrap()
    }

    fn connect(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }
}

#[test]
fn what_the_fleet_asks_often_is_found_by_keys_and_never_sorted() {
    let file = File::fresh();
    drop(file.open());
    let connection = file.connect();
    for (sql, steps) in [
        (
            fleet::TERMINAL,
            &[
                "SEARCH t USING INDEX sqlite_autoindex_terminals_1 (poi_id=?)",
                "SEARCH c USING PRIMARY KEY (code=?) LEFT-JOIN",
                "SEARCH m USING PRIMARY KEY (code=?) LEFT-JOIN",
                "SEARCH s USING PRIMARY KEY (merchant=? AND code=?) LEFT-JOIN",
                "SEARCH a USING INDEX assignments_pending (poi_id=?) LEFT-JOIN",
            ][..],
        ),
        (
            lists::TERMINALS_OF,
            &["SEARCH terminals USING INDEX terminals_in_order (company=? AND list_key>? AND list_key<?)"],
        ),
        (lists::EXPORT, &["SEARCH terminals USING INDEX terminals_in_order (company=? AND list_key>?)"]),
        (
            stores::STORES_OF,
            &[
                "SEARCH m USING COVERING INDEX sqlite_autoindex_merchant_accounts_2 (company=? AND code>?)",
                "SEARCH s USING PRIMARY KEY (merchant=?)",
            ],
        ),
        (assignments::DUE, &["SCAN assignments USING INDEX assignments_due"]),
    ] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>(3).unwrap());
        }
        plan.retain(|step| !is_about_imports(step));
        assert_eq!(plan, steps, "{sql}");
    }
}

/// The look at those imports that are open: hardly ever any, and by their numbers.
fn is_about_imports(step: &str) -> bool {
    step == "USING ROWID SEARCH ON TABLE open_imports FOR IN-OPERATOR"
}

#[test]
fn an_upgrade_disconnects_nobody() {
    let file = File::fresh();
    let connection = file.connect();
    for sql in [
        include_str!("../migrations/0001_fleet.sql"),
        include_str!("../migrations/0002_ledger.sql"),
        include_str!("../migrations/0003_credentials.sql"),
        include_str!("../migrations/0004_webhook_owed.sql"),
        include_str!("../migrations/0005_narrow_history.sql"),
        include_str!("../migrations/0006_actions.sql"),
        include_str!("../migrations/0007_charged_in_part.sql"),
        "INSERT INTO companies (code) VALUES ('ACME');
        INSERT INTO merchant_accounts (code, company) VALUES ('ACME_EU', 'ACME');
        INSERT INTO stores (merchant, code, status) VALUES ('ACME_EU', 'AMS', 'Active');
        INSERT INTO terminals (poi_id, company, place, merchant, store, display_label, token_hash, boarded_at,
            journal_id, journal_at)
        VALUES ('V400m-000000001', 'ACME', 'store', 'ACME_EU', 'AMS', 'Till 4', zeroblob(32), 7, 'j_1', 7);
        INSERT INTO terminals (poi_id, company, place) VALUES ('V400m-000000002', 'ACME', 'company_inventory');
        INSERT INTO ended_tokens (token_hash, poi_id, ended_at)
        VALUES (randomblob(32), 'V400m-000000001', 1795000000000);
        PRAGMA application_id = 0x54676174; PRAGMA user_version = 7",
    ] {
        connection.execute_batch(sql).unwrap();
    }
    drop(connection);
    let store = file.open();
    run(async {
        let acme = company("ACME");
        let record = store.find_terminal(&acme, &poi(1)).await.unwrap().unwrap();
        let settings = &record.terminal.settings;
        assert!(settings.web_sockets_enabled && settings.terminal_api_enabled);
        assert_eq!((settings.display_label.as_deref(), settings.revision), (Some("Till 4"), 2));
        assert_eq!(store.settings_revision().await.unwrap(), 2);
        assert_eq!(record.permanent_terminal_id.as_ref().map(String::len), Some(8));
        assert_eq!((record.added, record.time_zone.as_str()), (None, "UTC"));
        let standing = store.token_standing(TokenHash([0; 32])).await.unwrap().unwrap();
        assert_eq!((standing.state, standing.is_next), (TokenState::Valid, false));
        let tokens = store.tokens(&acme, &poi(1)).await.unwrap().unwrap();
        let uses: Vec<_> = tokens.iter().map(|token| token.used_as).collect();
        assert_eq!(uses, [TokenUse::Ended { since: START }, TokenUse::Current]);
        assert_eq!(tokens[1].id, standing.id);
        assert_ne!(tokens[0].id, tokens[1].id);

        // A program of the release before that still runs writes no column that it does not know.
        let sql = "INSERT INTO stores (merchant, code, status) VALUES ('ACME_EU', 'PAR', 'Active')";
        file.connect().execute_batch(sql).unwrap();
        let account = MerchantCode::parse("ACME_EU").unwrap();
        let shops = store.stores_of(&acme, &Scope::Company, Some(&account), None).await.unwrap();
        let ids: Vec<_> = shops.iter().map(|shop| shop.id.as_str()).collect();
        assert!(ids.iter().all(|id| id.len() == 24 && id.starts_with("ST")) && ids[0] != ids[1], "{ids:?}");
    });
}
