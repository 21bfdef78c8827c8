//! What only a SQLite file can show: locks, full disks, damaged and foreign files, queues, and the rows behind the API.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nexo::Kept;
use relay::ledger::{Evidence, EvidenceKind, Lane, LedgerError, Op, Outcome, Refused, Reply, Told};
use relay::{CallId, DeliveryId, ExchangeId, WallMs};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store::conformance::{
    Awaited as _, Database, LedgerTicket, START, TestClock, admit, answered, bench, company,
    conformance_tests, delivery, merchant, payment, poi, run, service_key, settle,
};
use crate::store::{
    Company, CredentialId, KeyHash, NewCredential, OpenError, PasswordHash, Pending, Scope, SqliteStore,
    Store, StoreError, WallClock,
};

/// A file in a directory of its own.
struct SqliteFile {
    path: PathBuf,
    _directory: TempDir,
}

impl SqliteFile {
    /// A connection of another process, as far as SQLite can tell.
    fn connect(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    fn open_sqlite(&self) -> SqliteStore {
        SqliteStore::open(&self.path, TestClock::new().wall()).unwrap()
    }
}

impl Database for SqliteFile {
    fn fresh() -> SqliteFile {
        let directory = tempfile::tempdir().unwrap();
        SqliteFile { path: directory.path().join("tillgate.db"), _directory: directory }
    }

    fn open(&self, clock: WallClock) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path, clock).unwrap())
    }

    fn evidence(&self) -> Vec<(DeliveryId, Evidence)> {
        let connection = self.connect();
        let sql = "SELECT delivery_id, kind, message FROM evidence ORDER BY id";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            let (delivery, kind): (String, String) = (row.get(0)?, row.get(1)?);
            let kind = match kind.as_str() {
                "conflict" => EvidenceKind::Conflict,
                "orphan" => EvidenceKind::Orphan,
                other => panic!("{other}"),
            };
            let message = row.get::<_, Vec<u8>>(2)?.into();
            Ok((DeliveryId::parse(&delivery).unwrap(), Evidence { kind, message: Kept::of(&message) }))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

conformance_tests!(SqliteFile);

/// Admission number `n`, of a ServiceID of its own.
fn admission(n: usize) -> Op {
    admit(&payment(n, service_key(1, &format!("s{n}")), 0, START))
}

/// Keeps the writer busy until the sender is dropped. What is queued meanwhile becomes one batch.
fn hold_writer(store: &SqliteStore) -> (mpsc::SyncSender<()>, Pending<()>) {
    let (release, held) = mpsc::sync_channel::<()>(0);
    let (started, has_started) = mpsc::sync_channel(1);
    let work = move |_: &Connection| {
        started.send(()).unwrap();
        held.recv().unwrap_err();
        Ok(())
    };
    let holding = store.writer.write::<(), StoreError, _>(work);
    has_started.recv().unwrap();
    (release, holding)
}

fn on_writer(store: &SqliteStore, sql: &str) -> Pending<()> {
    let sql = sql.to_owned();
    store.writer.write(move |connection| connection.execute_batch(&sql).map_err(StoreError::from))
}

fn fresh_company(code: &str) -> Company {
    Company::new(company(code))
}

async fn is_admitted(store: &SqliteStore, n: usize) -> bool {
    match store.ask(Op::FindDelivery(delivery(n))).await {
        Ok(Reply::Records { records, .. }) => !records.is_empty(),
        other => panic!("expected records, got {other:?}"),
    }
}

// ---- Opening ----

#[test]
fn only_the_owner_may_read_the_files() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async { store.create_company(fresh_company("ACME")).await.unwrap() });
    for name in ["tillgate.db", "tillgate.db-wal", "tillgate.db-shm"] {
        let metadata = std::fs::metadata(file.path.with_file_name(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let file = SqliteFile::fresh();
    drop(file.open_sqlite());
    file.connect().pragma_update(None, "user_version", 1000).unwrap();
    let before = std::fs::read(&file.path).unwrap();
    let error = SqliteStore::open(&file.path, TestClock::new().wall()).unwrap_err();
    assert!(matches!(error, OpenError::NewerVersion { found: 1000, known: 8, .. }), "{error:?}");
    assert!(
        error.to_string().contains("has version 1000, and this tillgate knows versions up to 8"),
        "{error}"
    );
    assert_eq!(std::fs::read(&file.path).unwrap(), before);
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_alone() {
    let file = SqliteFile::fresh();
    let foreign =
        |connection: &Connection| connection.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    foreign(&file.connect());
    let garbage = file.path.with_file_name("garbage.db");
    std::fs::write(&garbage, "not a database ".repeat(1000)).unwrap();
    let marked = file.path.with_file_name("marked.db");
    Connection::open(&marked).unwrap().pragma_update(None, "application_id", 1).unwrap();
    for path in [&file.path, &garbage, &marked] {
        let before = std::fs::read(path).unwrap();
        let error = SqliteStore::open(path, TestClock::new().wall()).unwrap_err();
        assert!(matches!(error, OpenError::NotOurs { .. }), "{error:?}");
        assert!(error.to_string().contains("is not a Tillgate database, or it is damaged"), "{error}");
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
}

#[test]
fn a_damaged_database_is_refused() {
    let file = SqliteFile::fresh();
    drop(file.open_sqlite());
    let mut bytes = std::fs::read(&file.path).unwrap();
    // The page of the schema, behind the header.
    bytes[100..4096].fill(0xee);
    std::fs::write(&file.path, bytes).unwrap();
    let error = SqliteStore::open(&file.path, TestClock::new().wall()).unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error:?}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| SqliteStore::open(path, TestClock::new().wall()).unwrap_err();
    let error = open(&directory.path().join("missing/tillgate.db"));
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("missing is no directory. Make it, or name another place"),
        "{error}"
    );
    std::fs::write(directory.path().join("file"), "").unwrap();
    let error = open(&directory.path().join("file/tillgate.db"));
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error:?}");
    let error = open(directory.path());
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    // Even root makes no files here.
    let error = open(Path::new("/proc/tillgate.db"));
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("/proc/tillgate.db can't be written: "), "{error}");
}

#[test]
fn processes_that_make_the_same_database_at_once_share_it() {
    let file = SqliteFile::fresh();
    let opened = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| file.open_sqlite())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    run(async {
        opened[0].create_company(fresh_company("ACME")).await.unwrap();
        for store in &opened {
            assert!(store.company(&company("ACME")).await.unwrap().is_some());
        }
    });
}

#[test]
fn a_database_of_an_earlier_release_is_brought_up_to_date_with_what_is_in_it() {
    let file = SqliteFile::fresh();
    let connection = file.connect();
    let before = [
        include_str!("migrations/0001_fleet.sql"),
        include_str!("migrations/0002_ledger.sql"),
        include_str!("migrations/0003_credentials.sql"),
        include_str!("migrations/0004_webhook_owed.sql"),
        include_str!("migrations/0005_narrow_history.sql"),
        "INSERT INTO ledger_facts (id, complete_since) VALUES (1, 5); INSERT INTO companies (code) VALUES ('ACME');
        INSERT INTO api_credentials (id, company, scope, roles, key_hash, username, password_hash, created_at)
        VALUES ('c1', 'ACME', 'company', '[]', zeroblob(32), 'ws_1@Company.ACME', zeroblob(32), 7);
        PRAGMA application_id = 0x54676174; PRAGMA user_version = 5",
    ];
    before.iter().for_each(|sql| connection.execute_batch(sql).unwrap());
    drop(connection);
    let store = file.open_sqlite();
    run(async {
        let found = store.credential_by_key(KeyHash([0; 32])).await.unwrap().unwrap();
        assert_eq!((found.id.as_str(), found.actions), ("c1", None));
        assert_eq!(store.facts().await.unwrap().complete_since, WallMs(5));
        // The release before writes no column that it does not know.
        let sql = "INSERT INTO api_credentials (id, company, scope, roles, key_hash, username, password_hash, created_at)
            VALUES ('c2', 'ACME', 'company', '[]', randomblob(32), 'ws_2@Company.ACME', zeroblob(32), 7)";
        file.connect().execute_batch(sql).unwrap();
        assert_eq!(store.credentials(&company("ACME")).await.unwrap().len(), 2);
    });
}

// ---- Another process, and a disk that fails ----

#[test]
fn another_process_may_write_at_the_same_time() {
    const EACH: i64 = 300;
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let other = file.open_sqlite();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run(async {
                for n in 0..EACH {
                    other.create_company(fresh_company(&format!("C{n}"))).await.unwrap();
                }
            });
        });
        run(async {
            for n in 0..300 {
                let reply = store.ask(admission(n)).await;
                assert!(matches!(reply, Ok(Reply::Admitted(_))), "{reply:?}");
            }
        });
    });
    let count = |sql| file.connect().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM companies"), EACH);
    assert_eq!(count("SELECT count(*) FROM exchanges"), EACH);
}

#[test]
fn a_lock_that_is_held_too_long_fails_what_waits_and_nothing_after_it() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let other = file.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    run(async {
        let (op, write) = (store.ask(admission(1)), store.create_company(fresh_company("ACME")));
        assert_eq!(op.await, Err(LedgerError::Failed));
        // The first op may have gone alone, so that the other waits for its own turn.
        let error = write.await.unwrap_err();
        assert!(error.to_string().starts_with("another process holds the database"), "{error}");
        // Reading goes on.
        assert!(store.company(&company("ACME")).await.unwrap().is_none());
        other.execute_batch("ROLLBACK").unwrap();
        assert!(!is_admitted(&store, 1).await);
        assert!(matches!(store.ask(admission(1)).await, Ok(Reply::Admitted(_))));
    });
}

#[test]
fn a_full_disk_fails_writes_until_there_is_room_again() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let big = |n: usize| {
        let mut admission = payment(n, service_key(1, &format!("s{n}")), 0, START);
        admission.message = Kept::of(&Bytes::from(vec![b' '; 200_000]));
        admit(&admission)
    };
    run(async {
        assert!(matches!(store.ask(admission(1)).await, Ok(Reply::Admitted(_))));
        // SQLite reports the limit as it reports a full disk.
        on_writer(&store, "PRAGMA max_page_count = 1").await.unwrap();
        let (release, holding) = hold_writer(&store);
        let tickets = [store.ask(big(2)), store.ask(big(3))];
        drop(release);
        holding.await.unwrap();
        for ticket in tickets {
            assert_eq!(ticket.await, Err(LedgerError::Failed));
        }
        assert!(is_admitted(&store, 1).await);
        let sql = "CREATE TABLE more AS SELECT randomblob(200000)";
        let error = on_writer(&store, sql).await.unwrap_err();
        assert!(matches!(error, StoreError::NoRoom(_)), "{error:?}");
        on_writer(&store, "PRAGMA max_page_count = 1000000").await.unwrap();
        assert!(!is_admitted(&store, 2).await);
        assert!(matches!(store.ask(big(2)).await, Ok(Reply::Admitted(_))));
    });
}

#[test]
fn a_read_only_disk_fails_writes_with_the_reason() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async {
        on_writer(&store, "PRAGMA query_only = 1").await.unwrap();
        assert_eq!(store.ask(admission(1)).await, Err(LedgerError::Failed));
        let error = store.create_company(fresh_company("ACME")).await.unwrap_err();
        assert!(error.to_string().contains("its disk is full or read-only"), "{error}");
        assert!(store.company(&company("ACME")).await.unwrap().is_none());
    });
}

#[test]
fn a_database_that_failed_is_found_to_work_again_by_itself() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let other = file.connect();
    assert!(store.is_writable());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    run(async { assert_eq!(store.ask(admission(1)).await, Err(LedgerError::Failed)) });
    assert!(!store.is_writable());
    // Nobody writes anything from here on.
    other.execute_batch("ROLLBACK").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !store.is_writable() {
        assert!(Instant::now() < deadline, "it was not tried again");
        std::thread::sleep(Duration::from_millis(10));
    }
    run(async { assert!(!is_admitted(&store, 1).await) });
}

#[test]
fn a_commit_that_fails_answers_nobody_with_success() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async {
        let (release, holding) = hold_writer(&store);
        let first = store.ask(admission(1));
        // A broken reference that SQLite is told to notice no sooner than at the COMMIT.
        let sql = "PRAGMA defer_foreign_keys = 1; INSERT INTO merchant_accounts (code, company) VALUES ('M', 'NOBODY')";
        let breaking = on_writer(&store, sql);
        let last = store.ask(admission(2));
        drop(release);
        holding.await.unwrap();
        assert_eq!(first.await, Err(LedgerError::Failed));
        let error = breaking.await.unwrap_err();
        assert!(error.to_string().contains("FOREIGN KEY constraint failed"), "{error}");
        assert_eq!(last.await, Err(LedgerError::Failed));
        assert!(!is_admitted(&store, 1).await);
        assert!(!is_admitted(&store, 2).await);
        assert!(store.merchant_account(&merchant("M")).await.unwrap().is_none());
        assert!(matches!(store.ask(admission(1)).await, Ok(Reply::Admitted(_))));
    });
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async {
        let sql =
            "INSERT INTO companies (code) VALUES ('ACME'); INSERT INTO companies (code) VALUES ('ACME')";
        let (release, holding) = hold_writer(&store);
        let (failing, next) = (on_writer(&store, sql), store.create_company(fresh_company("OTHER")));
        drop(release);
        holding.await.unwrap();
        failing.await.unwrap_err();
        next.await.unwrap();
        assert!(store.company(&company("ACME")).await.unwrap().is_none());
        assert!(store.company(&company("OTHER")).await.unwrap().is_some());
    });
}

// ---- Queues and threads ----

#[test]
fn a_full_lane_refuses_at_once_and_admissions_first() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async {
        let (release, holding) = hold_writer(&store);
        let mut tickets = Vec::new();
        let mut fill = |op: &dyn Fn(usize) -> Op| {
            let before = tickets.len();
            loop {
                let mut ticket = store.ask(op(tickets.len() - before));
                match poll_once(&mut ticket) {
                    None => tickets.push(ticket),
                    Some(reply) => return (tickets.len() - before, reply),
                }
            }
        };
        assert_eq!(fill(&admission), (12 * 1024, Err(LedgerError::Full)));
        // Results and withdrawals still have room.
        assert_eq!(fill(&|n| Op::Withdraw(delivery(20_000 + n))), (4 * 1024, Err(LedgerError::Full)));
        let error = store.create_company(fresh_company("ACME")).await.unwrap_err();
        assert!(error.to_string().contains("nothing was changed, try again shortly"), "{error}");
        // The other lane is another queue.
        assert_eq!(fill(&|n| Op::NoteReceived(delivery(n))), (16 * 1024, Err(LedgerError::Full)));
        drop(release);
        holding.await.unwrap();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert!(is_admitted(&store, 12 * 1024 - 1).await);
        assert!(!is_admitted(&store, 12 * 1024).await);
    });
}

#[test]
fn a_lane_is_full_of_bytes_too() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let message = Bytes::from(vec![b' '; 1024 * 1024]);
    run(async {
        let (release, holding) = hold_writer(&store);
        let mut tickets = Vec::new();
        let refused = loop {
            let note = Op::Notification {
                poi: poi(1),
                id: delivery(tickets.len()),
                message: Kept::of(&message),
                at: START,
            };
            let mut ticket = store.ask(note);
            match poll_once(&mut ticket) {
                None => tickets.push(ticket),
                Some(reply) => break reply,
            }
        };
        assert_eq!((tickets.len(), refused), (63, Err(LedgerError::Full)));
        drop(release);
        holding.await.unwrap();
        for ticket in tickets {
            assert_eq!(ticket.await, Ok(Reply::Done));
        }
    });
}

fn poll_once(ticket: &mut LedgerTicket) -> Option<Result<Reply, LedgerError>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(ticket).poll(&mut context) {
        std::task::Poll::Ready(reply) => Some(reply),
        std::task::Poll::Pending => None,
    }
}

fn told(n: u64) -> Op {
    Op::NoteTold(Told {
        exchange: ExchangeId::parse("x_1").unwrap(),
        call: CallId(n),
        what: Told::RESPONSE,
        at: START,
        written: true,
    })
}

#[test]
fn dropping_the_store_runs_what_is_queued() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let (release, holding) = hold_writer(&store);
    let mut tickets: Vec<_> = (0..1000).map(|n| store.ask(admission(n))).collect();
    tickets.extend((0..1000).map(|n| store.ask(told(n))));
    let dropping = std::thread::spawn(move || drop(store));
    drop(release);
    dropping.join().unwrap();
    run(async {
        holding.await.unwrap();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert!(is_admitted(&file.open_sqlite(), 999).await);
    });
    let sql = "SELECT count(*) FROM told";
    assert_eq!(file.connect().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 1000);
}

#[test]
fn a_writer_that_is_gone_keeps_nobody_waiting() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async {
        let (release, holding) = hold_writer(&store);
        let broken = store.writer.write::<(), StoreError, _>(|_| panic!("on purpose, in a test"));
        let waiting = store.ask(admission(1));
        drop(release);
        holding.await.unwrap();
        assert!(matches!(broken.await, Err(StoreError::Closed)));
        assert_eq!(waiting.await, Err(LedgerError::Failed));
        assert_eq!(store.ask(admission(2)).await, Err(LedgerError::Failed));
        let error = store.create_company(fresh_company("ACME")).await.unwrap_err();
        assert_eq!(error.to_string(), "the database is closed");
        assert!(store.company(&company("ACME")).await.unwrap().is_none());
    });
}

#[test]
fn a_read_that_nobody_waits_for_gives_its_connection_back() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    run(async {
        for _ in 0..50 {
            let mut read = store.facts();
            // Begun, and then dropped.
            let begun = std::future::poll_fn(|context| {
                std::task::Poll::Ready(read.as_mut().poll(context).is_ready())
            });
            begun.await;
            drop(read);
            store.facts().await.unwrap();
        }
    });
}

#[test]
fn the_log_does_not_grow_with_what_is_written() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let message = Bytes::from(vec![b'x'; 100_000]);
    run(async {
        // Some 250 MB in all, in commits of a megabyte or two.
        for n in 0..250_usize {
            let asked: Vec<_> = (0..10)
                .map(|m| {
                    let mut admission = payment(10 * n + m, service_key(1, &format!("s{n}x{m}")), 0, START);
                    admission.message = nexo::Kept::of(&message);
                    store.ask(admit(&admission))
                })
                .collect();
            for answer in asked {
                answer.await.unwrap();
            }
        }
    });
    let log = std::fs::metadata(file.path.with_file_name("tillgate.db-wal")).unwrap().len();
    assert!(log < 130_000_000, "{log} bytes");
}

#[test]
fn a_write_that_may_be_repeated_is_and_one_beside_it_that_fails_fails_alone() {
    let file = SqliteFile::fresh();
    let store = file.open_sqlite();
    let company = |code: &'static str| {
        let insert = move |connection: &Connection| {
            connection.execute("INSERT INTO companies (code) VALUES (?1)", [code])?;
            Ok(connection.query_row("SELECT count(*) FROM companies", [], |row| row.get::<_, i64>(0))?)
        };
        store.writer.write_repeatable(Lane::Money, 0, insert)
    };
    run(async {
        let (release, holding) = hold_writer(&store);
        // Not in the batch of what holds the writer, which is a write that can't be repeated.
        let (first, second) = (company("ONE"), store.ask(admission(1)));
        let (broken, last) = (company("ONE"), company("TWO"));
        let note = store.writer.write_repeatable(Lane::Rest, 0, |_| Ok(7));
        drop(release);
        holding.await.unwrap();
        assert_eq!(first.await.unwrap(), 1);
        assert!(matches!(second.await, Ok(Reply::Admitted(_))));
        let error = broken.await.unwrap_err();
        assert!(error.to_string().contains("UNIQUE constraint failed"), "{error}");
        assert_eq!((last.await.unwrap(), note.await.unwrap()), (2, 7));
        assert!(is_admitted(&store, 1).await);
    });
}

// ---- The rows behind it ----

#[test]
fn a_new_attempt_keeps_the_history_of_the_one_before() {
    run(async {
        let bench = bench::<SqliteFile>().await;
        let first = payment(1, service_key(1, "42"), 0, START);
        bench.op(admit(&first)).await;
        bench.clock.set(WallMs(START.0 + 5));
        bench.op(Op::Withdraw(delivery(1))).await;
        let mut again = payment(2, service_key(1, "42"), 0, WallMs(START.0 + 9));
        again.record.exchange = ExchangeId::parse("x_other").unwrap();
        assert_eq!(bench.op(admit(&again)).await, Reply::Admitted(first.record.exchange));
        bench.clock.set(WallMs(START.0 + 11));
        bench.op(Op::NoteReceived(delivery(2))).await;
        bench.clock.set(WallMs(START.0 + 12));
        bench.op(settle(2, Outcome::Unknown)).await;
        bench.clock.set(WallMs(START.0 + 13));
        bench.op(settle(2, answered("{}"))).await;
        assert_eq!(bench.op(settle(1, Outcome::Refused(Refused::Aborted))).await, Reply::Missing);

        let connection = bench.database.connect();
        let sql = "SELECT at || ' ' || what || ' ' || detail FROM exchange_events ORDER BY id";
        let mut statement = connection.prepare(sql).unwrap();
        let events = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let events: Vec<_> = events.map(Result::unwrap).collect();
        // Only what the rows say no longer.
        assert_eq!(events, [format!("{} unknown ", START.0 + 12)]);
        let sql = "SELECT admitted_at, received_at, outcome, settled_at FROM exchanges";
        let row: (i64, i64, String, i64) = connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap();
        assert_eq!(row, (START.0 + 9, START.0 + 11, "answered".into(), START.0 + 13));
        let sql = "SELECT delivery_id, outcome, settled_at FROM exchange_attempts";
        let attempt: (String, String, i64) =
            connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!(attempt, (delivery(1).to_string(), "refused".into(), START.0 + 5));
    });
}

#[test]
fn a_row_that_is_not_valid_is_named() {
    run(async {
        let bench = bench::<SqliteFile>().await;
        let new = NewCredential {
            id: CredentialId::parse("c1").unwrap(),
            company: company("ACME"),
            scope: Scope::Company,
            roles: vec![],
            key: KeyHash([1; 32]),
            username: "ws_1@Company.ACME".into(),
            password: PasswordHash([1; 32]),
            description: None,
            created: START,
            actions: None,
        };
        bench.store.create_credential(new).await.unwrap();
        bench.op(admission(1)).await;
        let connection = bench.database.connect();
        connection.execute_batch("UPDATE api_credentials SET roles = 'no list'").unwrap();
        let error = bench.store.credential_by_key(KeyHash([1; 32])).await.unwrap_err();
        assert!(error.to_string().starts_with("api_credentials.roles of id c1 is not valid: "), "{error}");
        // On the ledger's path it is logged, and that op alone fails.
        connection.execute_batch("UPDATE exchanges SET sale_id = ''").unwrap();
        let broken = bench.store.ask(Op::FindDelivery(delivery(1)));
        let whole = bench.store.ask(admission(2));
        assert_eq!(broken.await, Err(LedgerError::Failed));
        assert!(matches!(whole.await, Ok(Reply::Admitted(_))));
    });
}

#[test]
fn the_database_itself_refuses_impossible_places() {
    run(async {
        let bench = bench::<SqliteFile>().await;
        bench.add_in_store(&poi(1)).await;
        let connection = bench.database.connect();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        let insert = |values: &str| {
            let sql =
                format!("INSERT INTO terminals (poi_id, company, place, merchant, store) VALUES {values}");
            connection.execute_batch(&sql).unwrap_err().to_string()
        };
        for values in [
            "('T', 'ACME', 'company_inventory', 'ACME_EU', NULL)",
            "('T', 'ACME', 'merchant_inventory', NULL, NULL)",
            "('T', 'ACME', 'merchant_inventory', 'ACME_EU', 'AMS')",
            "('T', 'ACME', 'merchant_in_store', 'ACME_EU', 'AMS')",
            "('T', 'ACME', 'store', 'ACME_EU', NULL)",
            "('T', 'ACME', 'store', NULL, 'AMS')",
            "('T', 'ACME', 'elsewhere', 'ACME_EU', 'AMS')",
        ] {
            assert!(insert(values).starts_with("CHECK constraint failed"), "{values}");
        }
        for values in [
            "('T', 'ACME', 'merchant_inventory', 'OTHER_EU', NULL)",
            "('T', 'ACME', 'store', 'ACME_US', 'AMS')",
            "('T', 'NOBODY', 'company_inventory', NULL, NULL)",
        ] {
            assert_eq!(insert(values), "FOREIGN KEY constraint failed", "{values}");
        }
        bench.board(&poi(1), "j_1", 1, START).await;
        let sql = "UPDATE terminals SET place = 'merchant_inventory', store = NULL";
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.starts_with("CHECK constraint failed: token_hash"), "{error}");
    });
}

#[test]
fn what_is_asked_often_is_found_by_an_index() {
    let file = SqliteFile::fresh();
    drop(file.open_sqlite());
    let connection = file.connect();
    let plan = |sql: &str| {
        let sql =
            (1..=5).fold(format!("EXPLAIN QUERY PLAN {sql}"), |sql, n| sql.replace(&format!("?{n}"), "''"));
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    let identity = "poi_id = ?1 AND service_id = ?2 AND device_id = ?3 AND company = ?4";
    for (sql, index) in [
        (
            format!("SELECT * FROM exchanges WHERE {identity} ORDER BY seq DESC LIMIT 1"),
            "exchanges_by_identity",
        ),
        (
            "SELECT * FROM exchanges WHERE poi_id = ?1 AND outcome IN ('open', 'unknown') ORDER BY seq"
                .into(),
            "exchanges_undecided",
        ),
        ("SELECT * FROM exchanges WHERE delivery_id = ?1".into(), "sqlite_autoindex_exchanges_2"),
        (
            "SELECT * FROM exchanges WHERE poi_id = ?1 AND admitted_at > ?2 AND outcome NOT IN ('open', 'unknown')"
                .into(),
            "exchanges_by_identity",
        ),
        (
            format!("SELECT * FROM fences WHERE {identity} AND at > ?5 ORDER BY id DESC LIMIT 1"),
            "fences_by_identity",
        ),
        ("SELECT * FROM api_credentials WHERE key_hash = ?1".into(), "sqlite_autoindex_api_credentials_2"),
        ("SELECT * FROM terminals WHERE token_hash = ?1".into(), "sqlite_autoindex_terminals_2"),
        (
            "SELECT * FROM actions_terminals WHERE poi_id = ?1".into(),
            "actions_terminals_by_poi",
        ),
        (
            "SELECT * FROM actions_terminals WHERE company = ?1 AND device_id = ?2 AND merchant = ?3 AND store IS ?4"
                .into(),
            "actions_terminals_by_device",
        ),
        (
            "SELECT * FROM actions_terminals WHERE merchant = ?1 AND store IS ?2 AND poi_id > ?3 ORDER BY poi_id"
                .into(),
            "actions_terminals_of_group",
        ),
        (
            "SELECT * FROM actions_transactions WHERE credential = ?1 AND transaction_id = ?2 ORDER BY seq DESC LIMIT 1"
                .into(),
            "actions_transactions_by_id",
        ),
        (
            "SELECT * FROM actions_transactions WHERE poi_id = ?1 AND service_id = ?2 AND company = ?3
            ORDER BY seq DESC LIMIT 1"
                .into(),
            "actions_transactions_by_service",
        ),
        (
            "SELECT * FROM actions_transactions WHERE credential = ?1 AND desktop_device = ?2
                AND told_at IS NULL AND edition > 0 AND void <> 'pending' ORDER BY edition_at, seq LIMIT ?3"
                .into(),
            "actions_transactions_untold",
        ),
        (
            "SELECT * FROM actions_transactions INDEXED BY actions_transactions_unfinished
            WHERE (completed_at IS NULL OR void = 'pending') AND seq > ?1 ORDER BY seq LIMIT ?2"
                .into(),
            "actions_transactions_unfinished",
        ),
        (
            "SELECT * FROM terminals WHERE merchant = ?1 AND store = ?2 AND poi_id > ?3 ORDER BY poi_id"
                .into(),
            "terminals_of_store",
        ),
    ] {
        let plan = plan(&sql);
        assert!(plan.contains(&format!("INDEX {index} (")) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
