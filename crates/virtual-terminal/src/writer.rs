//! The way to the disk: records gather while a write is under way, and go out together in the next one.

use std::future::pending;
use std::io;

use tokio::task::JoinHandle;

use crate::journal::{Journal, Record};

/// Writes one journal, on a thread that may block, one write at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    journal: Slot,
    waiting: Vec<Record>,
    /// The number of the last entry that waits.
    waiting_seq: Option<u64>,
    /// The next write makes the journal anew.
    rewrite: bool,
}

#[derive(Debug)]
enum Slot {
    Idle(Journal),
    Busy {
        write: JoinHandle<(Journal, io::Result<()>)>,
        seq: Option<u64>,
    },
    /// A write failed: there will be no other. The journal stays locked.
    Failed {
        _journal: Option<Journal>,
    },
}

/// A write has ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// Every entry up to this number is on disk.
    Stored(Option<u64>),
    Failed(io::Error),
}

impl Writer {
    pub(crate) fn new(journal: Journal) -> Writer {
        Writer { journal: Slot::Idle(journal), waiting: Vec::new(), waiting_seq: None, rewrite: false }
    }

    /// Has the whole journal written anew, in place of what waits.
    pub(crate) fn rewrite(&mut self) {
        self.rewrite = true;
    }

    pub(crate) fn push(&mut self, record: Record, seq: Option<u64>) {
        self.waiting.push(record);
        self.waiting_seq = seq.or(self.waiting_seq);
    }

    /// Begins the next write if there is something to write and none is under way. `whole` gives everything that the
    /// journal has to hold by now.
    pub(crate) fn begin(&mut self, whole: impl FnOnce() -> Vec<Record>) {
        let Slot::Idle(journal) = &self.journal else { return };
        let rewrite = self.rewrite || (!self.waiting.is_empty() && journal.wants_compaction());
        if !rewrite && self.waiting.is_empty() {
            return;
        }
        let Slot::Idle(mut journal) = std::mem::replace(&mut self.journal, Slot::Failed { _journal: None })
        else {
            return;
        };
        let mut records = std::mem::take(&mut self.waiting);
        if rewrite {
            self.rewrite = false;
            records = whole();
        }
        let write = tokio::task::spawn_blocking(move || {
            let done = if rewrite { journal.replace(&records) } else { journal.append(&records) };
            (journal, done)
        });
        self.journal = Slot::Busy { write, seq: self.waiting_seq.take() };
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

    /// Whether all is written that ever will be.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.journal {
            Slot::Idle(_) => self.waiting.is_empty() && !self.rewrite,
            Slot::Busy { .. } => false,
            Slot::Failed { .. } => true,
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

    async fn write(writer: &mut Writer) -> Option<u64> {
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
        writer.rewrite();
        writer.begin(whole);
        writer.push(attempt(1), Some(1));
        writer.push(attempt(2), Some(2));
        writer.push(Record::Boarded { token: "t".into() }, None);
        assert!(matches!(writer.wait().await, Written::Stored(None)));
        assert!(!writer.is_settled());
        assert_eq!(write(&mut writer).await, Some(2));
        assert!(writer.is_settled());
        writer.end().await;
        let records = Journal::open(dir.path()).unwrap().1;
        assert_eq!(records[1..], [attempt(1), attempt(2), Record::Boarded { token: "t".into() }]);
    }

    #[tokio::test]
    async fn a_journal_that_has_grown_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Journal::open(dir.path()).unwrap().0);
        writer.rewrite();
        write(&mut writer).await;
        writer.push(Record::Boarded { token: "t".repeat(5 * 1024 * 1024) }, None);
        write(&mut writer).await;
        writer.push(attempt(1), Some(1));
        assert_eq!(write(&mut writer).await, Some(1));
        writer.end().await;
        assert_eq!(Journal::open(dir.path()).unwrap().1, whole());
    }

    #[tokio::test]
    async fn a_write_that_failed_is_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Journal::open(dir.path()).unwrap().0);
        // Nothing can be appended to a journal that has not been begun.
        writer.push(attempt(1), Some(1));
        writer.begin(whole);
        assert!(matches!(writer.wait().await, Written::Failed(_)));
        writer.push(attempt(2), Some(2));
        writer.begin(whole);
        assert!(writer.is_settled());
    }
}
