//! Bringing a state to rest: everything is well again, time passes, and the truth is compared with what can be learnt.

use nexo::Kept;
use relay::ledger::{Answered, Outcome};
use relay::terminal;

use super::invariant::{Invariant, Violation};
use super::log::Log;
use super::pos::{Call, Told, Want};
use super::print::{fingerprint, write_debug};
use super::script::{LAST_PAYMENT, call_of};
use super::step::Step;
use super::world::World;

/// Steps after which a state is said not to come to rest. A drained path takes about a hundred.
const STEPS_MAX: usize = 5000;

impl World {
    /// Lets everything happen that is under way, and as much time pass as anybody waits for; then looks whether all is as
    /// it should be. Answers with a fingerprint of what it came to.
    pub(super) fn come_to_rest(mut self, log: &mut Log) -> Result<u128, Violation> {
        log.step(|| "[at rest] no more faults: everything under way happens, and time passes".into());
        self.drive(log)?;
        for (index, asked) in self.pos.asked.iter().enumerate() {
            if asked.call == Call::Waiting {
                let what = format!("call {index}, {:?}, is not answered", asked.want);
                return Err(Violation::new(Invariant::Unanswered, what));
            }
        }
        for record in self.ledger.records() {
            if record.outcome.is_undecided() {
                let what = format!("{} is {:?}", record.delivery, record.outcome);
                return Err(Violation::new(Invariant::Undecided, what));
            }
        }
        self.check_results()?;
        for service in 0..self.pos.services {
            self.check_status(service, log)?;
        }
        let end = self.end();
        self.check_as_before(log)?;
        Ok(end)
    }

    /// What was charged, told and written down.
    fn end(&self) -> u128 {
        let records =
            self.ledger.records().map(|record| (&record.delivery, &record.outcome, record.received));
        let mut text = String::new();
        write_debug(&(self.seen, &self.pos.asked, records.collect::<Vec<_>>()), &mut text);
        fingerprint(&text)
    }

    /// Everything happens that happens by itself, and time passes.
    pub(super) fn drive(&mut self, log: &mut Log) -> Result<(), Violation> {
        let mut steps = Vec::new();
        for _ in 0..STEPS_MAX {
            steps.clear();
            self.by_itself(&mut steps);
            match steps.first() {
                Some(step) => self.take(*step, log)?,
                None if self.due().is_some() => self.take(Step::Tick, log)?,
                None => return Ok(()),
            }
        }
        Err(Violation::new(Invariant::NoRest, format!("after {STEPS_MAX} steps there is more to do")))
    }

    /// A result that the terminal has on its disk is the ledger's too.
    fn check_results(&self) -> Result<(), Violation> {
        for (delivery, result) in self.machine.results_on_disk() {
            let terminal::Outcome::Message(message) = result else { continue };
            let message = Kept::of(message);
            let message = message.bytes();
            let record = self.ledger.records().find(|record| record.delivery == *delivery);
            let has_it = |outcome: &Outcome| matches!(outcome, Outcome::Answered(Answered::Message(kept)) if kept.bytes() == message);
            // Of an attempt that was replaced by a later one of the same request, the evidence is there.
            let kept =
                self.ledger.evidence().iter().any(|(of, e)| of == delivery && e.message.bytes() == message);
            if !record.is_some_and(|record| has_it(&record.outcome)) && !kept {
                let what = format!("{delivery} has a result, and the ledger has {record:?}");
                return Err(Violation::new(Invariant::ResultLost, what));
            }
        }
        Ok(())
    }

    /// Whoever asks now hears what happened. That nobody can tell is only true when the terminal has lost its journal, or was
    /// killed over this very payment, so that it can't tell itself.
    fn check_status(&mut self, service: u8, log: &mut Log) -> Result<(), Violation> {
        let told = self.ask(Want::Status(service), log)?;
        let nobody_can_tell = self.seen.journal_lost || self.is_indeterminate(service);
        let is_true = match told {
            Call::Heard(Told::Charged) => self.seen.is_charged(service),
            Call::Heard(Told::DidNotRun) => !self.seen.is_charged(service),
            Call::Heard(Told::Unknown) => nobody_can_tell,
            _ => false,
        };
        if is_true {
            return Ok(());
        }
        let was = if self.seen.is_charged(service) { "was charged" } else { "did not run" };
        let what = format!("payment {} {was}, and the POS that asks hears {told:?}", service + 1);
        Err(Violation::new(Invariant::WrongStatus, what))
    }

    /// Whether the terminal's own word about this payment is that it can't tell.
    fn is_indeterminate(&self, service: u8) -> bool {
        self.machine.results_on_disk().any(|(delivery, outcome)| {
            let call = call_of(delivery).and_then(|call| self.pos.asked.get(usize::from(call)));
            matches!(outcome, terminal::Outcome::Indeterminate(_))
                && call.is_some_and(|asked| asked.want == Want::Payment(service))
        })
    }

    fn check_as_before(&mut self, log: &mut Log) -> Result<(), Violation> {
        let told = self.ask(Want::Payment(LAST_PAYMENT), log)?;
        let waits = self.machine.unrecorded();
        if told != Call::Heard(Told::Charged) || waits > 0 || !self.desk.is_idle() {
            let what = format!("a new sale hears {told:?}, {waits} results are unrecorded, {:?}", *self.desk);
            return Err(Violation::new(Invariant::NotAsBefore, what));
        }
        Ok(())
    }

    /// One more call, and all that follows from it.
    fn ask(&mut self, want: Want, log: &mut Log) -> Result<Call, Violation> {
        let number = self.pos.asked.len();
        self.take(Step::Call { want, asynchronous: false }, log)?;
        self.drive(log)?;
        Ok(self.pos.asked.get(number).map_or(Call::Lost, |asked| asked.call))
    }
}
