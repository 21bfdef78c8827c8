//! The journal directory: one file of checked lines, and a lock that keeps a second process out.
//!
//! A line is one batch of records that were synced together, as a JSON array behind a checksum. Nothing is acknowledged
//! before its line is on disk, so a last line that is torn held nothing that anybody was told of, and is dropped. Any
//! other line that does not check is an error: the journal is damaged. The first line is the compact form of all before.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use relay::terminal::{Execution, Terminal};
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::machine::Record;

const FILE: &str = "journal.jsonl";
const NEW_FILE: &str = "journal.jsonl.new";
const LOCK: &str = "lock";

/// From this length on a journal is rewritten once it has grown to four times its last compact form.
const COMPACT_MIN: u64 = 4 * 1024 * 1024;

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another terminal of this one, has the directory.
    #[error("{} is in use by another terminal", .0.display())]
    Locked(PathBuf),
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A line that had been on disk does not check any more.
    #[error("{}: line {line} is damaged", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// It was made by a later version of this program.
    #[error("{}: version 1 expected, got {version}", path.display())]
    Version {
        /// The journal.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
}

/// What the terminal of this journal directory did with money in the last 48 h, oldest first; nothing for a new one. Only
/// reads, and needs no lock: the terminal may be running.
///
/// # Errors
/// When the journal can't be read or is damaged.
pub fn executions(dir: &Path) -> Result<Vec<Execution>, JournalError> {
    let path = dir.join(FILE);
    let entries = read(&path, &bytes_of(&path)?)?.into_iter().filter_map(|record| match record {
        Record::Entry(entry) => Some(entry),
        Record::Journal { .. }
        | Record::Boarded { .. }
        | Record::Placed { .. }
        | Record::Settings(_)
        | Record::RemoveConfig { .. }
        | Record::ConfigRemoved { .. }
        | Record::RemovalOver
        | Record::Actions
        | Record::Asked { .. } => None,
    });
    Ok(Terminal::restore(Clock::start().now(), entries).executions().to_vec())
}

/// An open journal directory. Its methods block on the disk.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    file: Option<File>,
    length: u64,
    compact_length: u64,
    /// Held as long as this lives; the operating system lets go of it if the process dies.
    _lock: File,
}

impl Journal {
    /// Locks the directory and reads what is there; nothing if it is new.
    pub(crate) fn open(dir: &Path) -> Result<(Journal, Vec<Record>), JournalError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |error| JournalError::Io { path, error }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock_path = dir.join(LOCK);
        let lock =
            private(OpenOptions::new().create(true).write(true)).open(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked(dir.to_path_buf()),
            TryLockError::Error(error) => at(&lock_path)(error),
        })?;
        let path = dir.join(FILE);
        let records = read(&path, &bytes_of(&path)?)?;
        let journal =
            Journal { dir: dir.to_path_buf(), file: None, length: 0, compact_length: 0, _lock: lock };
        Ok((journal, records))
    }

    /// Makes these records the whole journal. Until this has returned, the one before is untouched.
    pub(crate) fn replace(&mut self, records: &[Record]) -> io::Result<()> {
        let line = line(records)?;
        let new = self.dir.join(NEW_FILE);
        let mut file = private(OpenOptions::new().create(true).write(true).truncate(true)).open(&new)?;
        file.write_all(&line)?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(FILE))?;
        File::open(&self.dir)?.sync_all()?;
        self.length = length_of(&line);
        self.compact_length = self.length;
        self.file = Some(file);
        Ok(())
    }

    /// Appends these records in one line, and returns when it is on disk.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("the journal has not been begun"));
        };
        let line = line(records)?;
        file.write_all(&line)?;
        file.sync_data()?;
        self.length += length_of(&line);
        Ok(())
    }

    /// Whether the journal has grown so much that it is worth rewriting.
    pub(crate) fn wants_compaction(&self) -> bool {
        self.length > COMPACT_MIN.max(self.compact_length.saturating_mul(4))
    }
}

/// What is in the file; nothing if there is none.
fn bytes_of(path: &Path) -> Result<Vec<u8>, JournalError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| JournalError::Io { path: path.to_path_buf(), error }),
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        match read_line(line) {
            Some(batch) => records.extend(batch),
            // The first line came by a rename, after it was synced: it can't be torn.
            None if index > 0 && lines.peek().is_none() => {
                tracing::info!(journal = %path.display(), line = index + 1, "dropped a torn last line");
            }
            None => return Err(JournalError::Damaged { path: path.to_path_buf(), line: index + 1 }),
        }
    }
    match records.first() {
        None | Some(Record::Journal { version: 1, .. }) => Ok(records),
        Some(Record::Journal { version, .. }) => {
            Err(JournalError::Version { path: path.to_path_buf(), version: *version })
        }
        Some(_) => Err(JournalError::Damaged { path: path.to_path_buf(), line: 1 }),
    }
}

fn read_line(line: &[u8]) -> Option<Vec<Record>> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    if sum != checksum(json).as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn line(records: &[Record]) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(records)?;
    let mut line = checksum(&json).into_bytes();
    line.reserve(json.len() + 2);
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// The first 64 bits of SHA-256, in hexadecimal.
fn checksum(json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    let first = digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{first:016x}")
}

fn length_of(line: &[u8]) -> u64 {
    u64::try_from(line.len()).unwrap_or(u64::MAX)
}

/// The journal holds the token: nobody else may read it.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use nexo::PoiId;
    use relay::JournalId;
    use relay::terminal::JournalEntry;

    use super::*;

    fn identity() -> Record {
        Record::Journal {
            version: 1,
            journal_id: JournalId::parse("j_1").unwrap(),
            poi_id: PoiId::parse("V400m-324688179").unwrap(),
        }
    }

    fn attempt(number: u64) -> Record {
        Record::Entry(JournalEntry::Attempt(number))
    }

    /// A journal of one compact line and two appended ones.
    fn written(dir: &Path) -> Vec<u8> {
        let (mut journal, records) = Journal::open(dir).unwrap();
        assert_eq!(records, []);
        journal.replace(&[identity()]).unwrap();
        journal.append(&[attempt(1)]).unwrap();
        journal.append(&[attempt(2), attempt(3)]).unwrap();
        drop(journal);
        fs::read(dir.join(FILE)).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let (_, records) = Journal::open(dir.path()).unwrap();
        assert_eq!(records, [identity(), attempt(1), attempt(2), attempt(3)]);
    }

    #[test]
    fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let whole = written(dir.path());
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for end in last..whole.len() {
            fs::write(dir.path().join(FILE), &whole[..end]).unwrap();
            let (_, records) = Journal::open(dir.path()).unwrap();
            assert_eq!(records, [identity(), attempt(1)], "cut at {end}");
        }
        // A page in the middle that never reached the disk.
        let mut holed = whole.clone();
        holed[last + 20..last + 24].fill(0);
        fs::write(dir.path().join(FILE), &holed).unwrap();
        assert_eq!(Journal::open(dir.path()).unwrap().1, [identity(), attempt(1)]);
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = written(dir.path());
        let second = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        bytes[second + 30] ^= 1;
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(JournalError::Damaged { line: 2, .. })));
    }

    #[test]
    fn a_first_line_is_never_torn() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(dir.path()).unwrap().0.replace(&[identity()]).unwrap();
        let bytes = fs::read(dir.path().join(FILE)).unwrap();
        fs::write(dir.path().join(FILE), &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(JournalError::Damaged { line: 1, .. })));
    }

    #[test]
    fn what_was_done_with_money_can_be_read_while_the_journal_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(executions(dir.path()).unwrap(), []);
        written(dir.path());
        let (mut journal, records) = Journal::open(dir.path()).unwrap();
        journal.replace(&records).unwrap();
        let execution = Execution {
            delivery: relay::DeliveryId::parse("d_1").unwrap(),
            kind: relay::terminal::ExecutionKind::Payment,
            service: None,
            sale: nexo::SaleId::parse("TILL-04").unwrap(),
            sale_transaction: None,
            poi_transaction: "t_1".into(),
            amount: "10.99".parse().unwrap(),
            currency: "EUR".into(),
            at: Clock::start().now().wall,
        };
        journal.append(&[Record::Entry(JournalEntry::Executed(execution.clone()))]).unwrap();
        assert_eq!(executions(dir.path()).unwrap(), [execution]);
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let first = Journal::open(dir.path()).unwrap();
        let error = Journal::open(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("is in use by another terminal"), "{error}");
        drop(first);
        assert!(Journal::open(dir.path()).is_ok());
    }

    #[test]
    fn only_the_owner_can_read_a_journal() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
