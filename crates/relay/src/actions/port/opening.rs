//! How a port introduces its terminal to the desk: what the ledger knows, then a `hello`, then the `welcome`.

use std::collections::HashSet;

use super::job::{Job, Known, Stage, What};
use super::{LookFor, Mode, Phase, Port, PortOrder, SILENCE_MAX};
use crate::actions::frame::Resume;
use crate::actions::transaction::TransactionId;
use crate::fault::{self, Fault};
use crate::frame::Hello;
use crate::id::{DeliveryId, JournalId, ProcessId};
use crate::time::Now;

/// What a terminal's `hello` is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its journal.
    pub journal: JournalId,
    /// The one that it was boarded with when this socket last read that, or gave it one.
    pub read: Option<JournalId>,
    /// The deliveries that the terminal has, or may have.
    pub resume: Vec<DeliveryId>,
}

impl Opening {
    /// Whether it is another one than the terminal was boarded with: board it with this one first. Attempts are counted anew then.
    pub fn is_new_journal(&self) -> bool {
        self.read.as_ref() != Some(&self.journal)
    }

    /// The `hello`. `attempt` is above every one that was stored or given for this journal before, and was taken when this
    /// socket was opened, so that an older one can't win later (E14); `process` names the socket.
    pub fn into_hello(self, attempt: u64, process: ProcessId) -> Hello {
        Hello {
            link_version: 1,
            journal_id: self.journal,
            attempt,
            process_id: process,
            firmware_version: None,
            platform: None,
            resume: self.resume,
            device: None,
        }
    }
}

impl Port {
    /// Begins to introduce the terminal: with what it says it has, or as a plain one. A terminal that turns out to acknowledge
    /// after it was introduced as a plain one is introduced again, on the same socket.
    pub(super) fn begin(&mut self, resume: Option<Resume>) {
        self.phase = Phase::Looking;
        let names = resume.iter().flat_map(|r| r.payments.iter().chain(r.voids.iter().flatten()));
        let names = names.cloned().collect();
        self.look(LookFor::Hello(resume), names);
    }

    pub(super) fn look(&mut self, what: LookFor, names: Vec<TransactionId>) {
        self.looks.push_back(what);
        self.orders.push_back(PortOrder::Look(names));
    }

    /// What the ledger knows: the answer to the oldest [`PortOrder::Look`].
    pub fn handle_found(&mut self, now: Now, known: Vec<Known>) {
        match self.looks.pop_front() {
            Some(LookFor::Hello(resume)) if matches!(self.phase, Phase::Looking) => self.say(resume, known),
            Some(LookFor::Silence) if matches!(self.phase, Phase::Open) => self.give_up(now, &known),
            Some(LookFor::Namesakes(answer)) if matches!(self.phase, Phase::Open) => {
                self.note_namesakes(&answer.transaction, &known);
                self.payment_answered(now, None, &answer);
            }
            _ => {}
        }
    }

    /// The desk has accepted the `hello`: the terminal is present.
    pub fn handle_welcome(&mut self, now: Now) {
        let Phase::Saying { journal } = std::mem::replace(&mut self.phase, Phase::Open) else {
            return;
        };
        self.boarded = Some(journal);
        let busy_until = now.mono.saturating_add(SILENCE_MAX);
        for job in &mut self.jobs {
            if let Stage::Resuming { is_written_here } = job.stage {
                job.stage = Stage::Out { busy_until, is_received: true, is_written_here };
            }
        }
        if let Some(frame) = self.deferred.take() {
            self.take(now, *frame);
        }
    }

    fn say(&mut self, resume: Option<Resume>, known: Vec<Known>) {
        for known in known {
            if !self.jobs.iter().any(|job| job.delivery == known.delivery) {
                self.jobs.push(Job::of(known));
            }
        }
        let has = resume
            .as_ref()
            .map(|resume| named(resume, &self.jobs).into_iter().cloned().collect::<HashSet<_>>());
        let mut resumed = Vec::new();
        for job in &mut self.jobs {
            let is_written_here = match job.stage {
                Stage::Resuming { is_written_here } | Stage::Out { is_written_here, .. } => is_written_here,
                Stage::Reported { .. } | Stage::GivenUp | Stage::Finished => continue,
            };
            // What was written to this very socket before the `resume` was read the terminal may still find in it.
            let forgets = resume.is_none() && fault::is(Fault::PlainResumesNothing);
            let has_it =
                !forgets && (is_written_here || has.as_ref().is_none_or(|has| has.contains(&job.delivery)));
            if has_it {
                job.stage = Stage::Resuming { is_written_here };
                resumed.push(job.delivery.clone());
            } else {
                // The `hello` settles it; should its result come all the same, it is known whose it is.
                job.stage = Stage::GivenUp;
            }
        }
        let journal = match resume {
            Some(resume) => {
                self.mode = Mode::Acknowledging;
                // It is about to say again what became of these: that much of them has to be remembered.
                for job in &mut self.jobs {
                    let has_it = has.as_ref().is_some_and(|has| has.contains(&job.delivery));
                    if has_it && (job.is_finished() || job.is_given_up()) {
                        job.stage = Stage::Reported { is_answer: true };
                    }
                }
                resume.journal
            }
            None => self.plain_journal.clone(),
        };
        self.phase = Phase::Saying { journal: journal.clone() };
        let opening = Opening { journal, read: self.boarded.clone(), resume: resumed };
        self.orders.push_back(PortOrder::Hello(opening));
        self.forget();
    }

    /// Nothing was heard of some payments for too long: nobody can tell what became of them, unless it is known by now.
    fn give_up(&mut self, now: Now, known: &[Known]) {
        let mut silent = Vec::new();
        for job in &mut self.jobs {
            let Stage::Out { busy_until, .. } = job.stage else { continue };
            if now.mono < busy_until {
                continue;
            }
            let standing = known.iter().find(|k| k.delivery == job.delivery).map(|k| k.standing);
            job.stage = match standing {
                Some(super::Standing::Open) => {
                    silent.push(job.delivery.clone());
                    Stage::Reported { is_answer: false }
                }
                Some(super::Standing::UnknownFinal) => Stage::GivenUp,
                Some(super::Standing::Settled) | None => Stage::Finished,
            };
        }
        for delivery in silent {
            self.tell_indeterminate(delivery, "the terminal has said nothing about it for 60 s");
        }
        self.forget();
    }
}

/// The deliveries that a terminal says it has. Where it leaves open which of two it means, both.
fn named<'a>(resume: &Resume, jobs: &'a [Job]) -> Vec<&'a DeliveryId> {
    let mut all = Vec::new();
    let mut name_all = |what, names: &[TransactionId], desktops: Option<&Vec<Box<str>>>| {
        for (index, name) in names.iter().enumerate() {
            let desktop = desktops.and_then(|desktops| desktops.get(index));
            let bears = |job: &&Job| job.is(what, name);
            let is_exact = |job: &Job| desktop.is_some_and(|desktop| job.was_asked_by(desktop));
            let any_exact = jobs.iter().filter(bears).any(is_exact);
            let chosen = jobs.iter().filter(bears).filter(|job| !any_exact || is_exact(job));
            all.extend(chosen.map(|job| &job.delivery));
        }
    };
    name_all(What::Payment, &resume.payments, resume.desktops.as_ref());
    match &resume.voids {
        Some(voids) => name_all(What::Void, voids, resume.void_desktops.as_ref()),
        None => name_all(What::Void, &resume.payments, resume.desktops.as_ref()),
    }
    all
}
