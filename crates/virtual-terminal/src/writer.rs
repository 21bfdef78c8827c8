//! The way to the disk: records gather while a write is under way, and go out together in the next one.

use std::future::pending;
use std::io;

use tokio::task::JoinHandle;

use crate::journal::Journal;
use crate::machine::Record;

/// Writes one journal, on a thread that may block, one write at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    journal: Slot,
    waiting: Vec<Record>,
    /// The number of the last of what waits.
    waiting_seq: Option<u64>,
    /// The next write makes the journal anew.
    rewrite: bool,
}

#[derive(Debug)]
enum Slot {
    Idle(Journal),
    Busy {
        write: JoinHandle<(Journal, io::Result<()>)>,
        seq: u64,
    },
    /// A write failed: there will be no other. The journal stays locked.
    Failed {
        _journal: Option<Journal>,
    },
}

/// A write has ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// Everything up to this number is on disk.
    Stored(u64),
    Failed(io::Error),
}

impl Writer {
    pub(crate) fn new(journal: Journal) -> Writer {
        Writer { journal: Slot::Idle(journal), waiting: Vec::new(), waiting_seq: None, rewrite: false }
    }

    /// Has the whole journal written anew, in place of what waits.
    pub(crate) fn rewrite(&mut self, seq: u64) {
        self.rewrite = true;
        self.waiting_seq = Some(seq);
    }

    pub(crate) fn push(&mut self, record: Record, seq: u64) {
        self.waiting.push(record);
        self.waiting_seq = Some(seq);
    }

    /// Begins the next write if there is something to write and none is under way. `whole` gives everything that the
    /// journal has to hold by now.
    pub(crate) fn begin(&mut self, whole: impl FnOnce() -> Vec<Record>) {
        if !matches!(self.journal, Slot::Idle(_)) {
            return;
        }
        let Some(seq) = self.waiting_seq.take() else { return };
        let Slot::Idle(mut journal) = std::mem::replace(&mut self.journal, Slot::Failed { _journal: None })
        else {
            return;
        };
        let rewrite = self.rewrite || journal.wants_compaction();
        let mut records = std::mem::take(&mut self.waiting);
        if rewrite {
            self.rewrite = false;
            records = whole();
        }
        let write = tokio::task::spawn_blocking(move || {
            let done = if rewrite { journal.replace(&records) } else { journal.append(&records) };
            (journal, done)
        });
        self.journal = Slot::Busy { write, seq };
    }

    /// The end of the write that is under way; never, if there is none. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Written {
        let Slot::Busy { write, seq } = &mut self.journal else { return pending().await };
        let ended = write.await;
        let seq = *seq;
        match ended {
            Ok((journal, Ok(()))) => {
                self.journal = Slot::Idle(journal);
                Written::Stored(seq)
            }
            Ok((journal, Err(error))) => {
                self.journal = Slot::Failed { _journal: Some(journal) };
                Written::Failed(error)
            }
            Err(error) => {
                self.journal = Slot::Failed { _journal: None };
                Written::Failed(io::Error::other(error))
            }
        }
    }

    /// Lets a write that is under way end, so that the directory is free once this is dropped.
    pub(crate) async fn end(mut self) {
        if let Slot::Busy { .. } = self.journal {
            self.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use nexo::PoiId;
    use relay::JournalId;
    use relay::terminal::JournalEntry;

    use super::*;
    use crate::secret::Secret;

    fn whole() -> Vec<Record> {
        vec![Record::Journal {
            version: 1,
            journal_id: JournalId::parse("j_1").unwrap(),
            poi_id: PoiId::parse("V400m-1").unwrap(),
        }]
    }

    fn attempt(number: u64) -> Record {
        Record::Entry(JournalEntry::Attempt(number))
    }

    fn boarded(token: &str) -> Record {
        Record::Boarded { token: Secret::new(token) }
    }

    async fn write(writer: &mut Writer) -> u64 {
        writer.begin(whole);
        match writer.wait().await {
            Written::Stored(seq) => seq,
            Written::Failed(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn what_gathers_during_a_write_goes_out_in_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Journal::open(dir.path()).unwrap().0);
        writer.rewrite(1);
        writer.begin(whole);
        writer.push(attempt(1), 2);
        writer.push(attempt(2), 3);
        writer.push(boarded("t"), 4);
        assert!(matches!(writer.wait().await, Written::Stored(1)));
        assert_eq!(write(&mut writer).await, 4);
        writer.begin(whole);
        assert!(matches!(writer.journal, Slot::Idle(_)), "nothing is left to write");
        writer.end().await;
        let records = Journal::open(dir.path()).unwrap().1;
        assert_eq!(records[1..], [attempt(1), attempt(2), boarded("t")]);
    }

    #[tokio::test]
    async fn a_journal_that_has_grown_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Journal::open(dir.path()).unwrap().0);
        writer.rewrite(1);
        write(&mut writer).await;
        writer.push(boarded(&"t".repeat(5 * 1024 * 1024)), 2);
        write(&mut writer).await;
        writer.push(attempt(1), 3);
        assert_eq!(write(&mut writer).await, 3);
        writer.end().await;
        assert_eq!(Journal::open(dir.path()).unwrap().1, whole());
    }

    #[tokio::test]
    async fn a_write_that_failed_is_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Journal::open(dir.path()).unwrap().0);
        // Nothing can be appended to a journal that has not been begun.
        writer.push(attempt(1), 1);
        writer.begin(whole);
        assert!(matches!(writer.wait().await, Written::Failed(_)));
        writer.push(attempt(2), 2);
        writer.begin(whole);
        assert!(matches!(writer.journal, Slot::Failed { .. }));
    }
}
