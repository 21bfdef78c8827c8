//! Opens a database: makes it, brings it up to date, and says plainly what stands in the way.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use relay::WallMs;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::store::OpenError;

/// Marks a file as ours, so that no other program's database is taken for one: `Tgat`.
const APPLICATION_ID: i64 = 0x5467_6174;

/// Each brings the database from the version before to its own, which is its place in this list, from 1. One that was
/// released is never changed, and the release before must be able to work with what it leaves.
const MIGRATIONS: [&str; 8] = [
    include_str!("migrations/0001_fleet.sql"),
    include_str!("migrations/0002_ledger.sql"),
    include_str!("migrations/0003_credentials.sql"),
    include_str!("migrations/0004_webhook_owed.sql"),
    include_str!("migrations/0005_narrow_history.sql"),
    include_str!("migrations/0006_actions.sql"),
    include_str!("migrations/0007_charged_in_part.sql"),
    include_str!("migrations/0008_fleet_management.sql"),
];

/// How long a transaction waits for another process's. Less than the 2 s that an admission may take, so that a POS hears
/// of a failure and not of a delay.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How often opening is tried while another process is just making the same database.
const OPEN_TRIES: u32 = 5;

/// Statements that a connection keeps prepared; there are some eighty.
const STATEMENTS_KEPT: usize = 128;

/// Pages that gather in the write-ahead log before the writer moves them itself (64 MiB), should the checkpointer not get
/// to it.
const CHECKPOINT_PAGES: i64 = 16_384;

/// What the write-ahead log is cut down to once it has been moved, in bytes.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// The writer's page cache, in KiB: it holds the upper levels of every index of a ledger of some 100 million rows.
const CACHE_KIB: i64 = 32 * 1024;

/// Opens the connection that writes, after making the file and bringing it up to date.
pub(super) fn writing(path: &Path, now: WallMs) -> Result<Connection, OpenError> {
    make_file(path)?;
    let mut tries_left = OPEN_TRIES;
    loop {
        match open_and_migrate(path, now) {
            Err(Problem::Sqlite(error)) if is_busy(&error) && tries_left > 1 => tries_left -= 1,
            result => return result.map_err(|problem| problem.explain(path)),
        }
    }
}

/// Opens a connection that reads a database which is up to date.
pub(super) fn reading(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens a connection that moves the write-ahead log into the database.
pub(super) fn checkpointing(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = open(path)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Puts a failure while opening into words.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> OpenError {
    Problem::Sqlite(error).explain(path)
}

/// Only the owner may read it. SQLite gives the files beside it the same mode.
///
/// A file that is there is not opened: closing it again would end the locks that this process holds on it.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(OpenError::NoDirectory { path: path.into(), directory: parent.into() });
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::NotWritable { path: path.into(), problem: error.to_string() }),
    }
}

fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Without this SQLite may plan a prepared statement anew for each value that is bound to it, which costs more than
    // running it does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn open_and_migrate(path: &Path, now: WallMs) -> Result<Connection, Problem> {
    let mut connection = open(path)?;
    // Before anything is changed: is it ours, and not too new? In one transaction, for another process may be making it.
    let found = check(&*connection.transaction()?)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Problem::NoLog(mode));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    if found < version_of(MIGRATIONS.len()) {
        migrate(&mut connection, now)?;
    }
    Ok(connection)
}

/// Refuses a database of another program or of a newer release; answers its version.
fn check(connection: &Connection) -> Result<i64, Problem> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version")?;
    let owner = number("application_id")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if owner != APPLICATION_ID && (owner != 0 || found != 0 || tables != 0) {
        return Err(Problem::NotOurs("it belongs to another program".into()));
    }
    let known = version_of(MIGRATIONS.len());
    if found > known {
        return Err(Problem::Newer { found, known });
    }
    Ok(found)
}

/// All or nothing, and only one process at a time.
fn migrate(connection: &mut Connection, now: WallMs) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = check(&transaction)?;
    for (index, sql) in MIGRATIONS.iter().enumerate() {
        if version_of(index + 1) > found {
            transaction.execute_batch(sql)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version_of(MIGRATIONS.len()))?;
    // A ledger proves nothing about the time before it existed (E19).
    transaction.execute(
        "INSERT INTO ledger_facts (id, complete_since) VALUES (1, ?1) ON CONFLICT DO NOTHING",
        [now.0],
    )?;
    transaction.commit()?;
    Ok(())
}

fn version_of(migrations: usize) -> i64 {
    i64::try_from(migrations).unwrap_or(i64::MAX)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// What stands in the way, before it is told with the path.
enum Problem {
    Sqlite(rusqlite::Error),
    NotOurs(String),
    Newer {
        found: i64,
        known: i64,
    },
    /// The file system can't do what the write-ahead log needs.
    NoLog(String),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Problem {
        Problem::Sqlite(error)
    }
}

impl Problem {
    fn explain(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        let error = match self {
            Problem::NotOurs(problem) => return OpenError::NotOurs { path, problem },
            Problem::Newer { found, known } => return OpenError::NewerVersion { path, found, known },
            Problem::NoLog(mode) => {
                let problem = format!(
                    "its file system offers no write-ahead log (journal mode stayed {mode}); use a local disk"
                );
                return OpenError::Failed { path, problem };
            }
            Problem::Sqlite(error) => error,
        };
        let problem = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::NotOurs { path, problem }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Busy { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                OpenError::NotWritable { path, problem }
            }
            _ => OpenError::Failed { path, problem },
        }
    }
}
