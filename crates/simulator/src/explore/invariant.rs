//! What must hold in every state, judged by what was seen of money and answers, not by what the desk thinks of itself.

use std::fmt;

use bytes::Bytes;
use nexo::Kept;
use relay::DeliveryId;
use relay::exchange::{Desk, Heard};
use relay::ledger::{Answered, Outcome, Refused, may_become};
use relay::model::Ledger;
use relay::terminal;

use super::machine::Machine;
use super::pos::{Told, Want};
use super::script::{LAST_PAYMENT, call_of, script, service_name};

/// Where the body of a payment's response begins.
const BODY: &[u8] = br#""PaymentResponse":"#;

/// How many braces close a message around its body.
const CLOSING: usize = 2;

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// The sale was charged twice
    ExecutedTwice,
    /// A POS was told of a success, and nothing was charged
    FalseSuccess,
    /// A POS was told that a payment did not run, and it ran before or after
    FalseFailure,
    /// A text was told as the terminal's word, and it is not
    FalseWord,
    /// A delivery was handed to a link twice, or not as the ledger has it
    HandedOutWrongly,
    /// A call was answered twice, or after its POS had hung up
    AnsweredTwice,
    /// The terminal was told to forget a result that is not on disk
    RecordedTooEarly,
    /// An outcome was replaced, or denies what the terminal had stored
    OutcomeReplaced,
    /// `ok` was told of what the terminal does not have, or without a webhook owed for it
    OkTooEarly,
    /// At rest: a call has no answer
    Unanswered,
    /// At rest: an exchange has no outcome
    Undecided,
    /// At rest: a result that the terminal has on its disk is not in the ledger
    ResultLost,
    /// At rest: a TransactionStatus does not tell the truth
    WrongStatus,
    /// At rest: the desk holds something, or a new sale does not work
    NotAsBefore,
    /// It does not come to rest
    NoRest,
}

impl Invariant {
    pub(crate) const ALL: [Invariant; 15] = [
        Invariant::ExecutedTwice,
        Invariant::FalseSuccess,
        Invariant::FalseFailure,
        Invariant::FalseWord,
        Invariant::HandedOutWrongly,
        Invariant::AnsweredTwice,
        Invariant::RecordedTooEarly,
        Invariant::OutcomeReplaced,
        Invariant::OkTooEarly,
        Invariant::Unanswered,
        Invariant::Undecided,
        Invariant::ResultLost,
        Invariant::WrongStatus,
        Invariant::NotAsBefore,
        Invariant::NoRest,
    ];
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::ExecutedTwice => "a sale is never charged twice",
            Invariant::FalseSuccess => "no success is told without a charge",
            Invariant::FalseFailure => "nobody is told \"did not run\" of what ran or runs later",
            Invariant::FalseWord => "what is told as an approval is one, byte for byte",
            Invariant::HandedOutWrongly => {
                "a delivery is written once, admitted on disk, to the link of its epoch"
            }
            Invariant::AnsweredTwice => "a call is answered once, and not after it hung up",
            Invariant::RecordedTooEarly => "a terminal forgets a result only when it is on disk",
            Invariant::OutcomeReplaced => "an outcome is decided once, and denies nothing that was stored",
            Invariant::OkTooEarly => "`ok` means that the terminal has it and a webhook is owed",
            Invariant::Unanswered => "at rest every call is answered",
            Invariant::Undecided => "at rest every exchange has its outcome",
            Invariant::ResultLost => "at rest no result is lost",
            Invariant::WrongStatus => "at rest TransactionStatus tells the truth",
            Invariant::NotAsBefore => "at rest nothing is left open, and a new sale works",
            Invariant::NoRest => "everything comes to rest",
        })
    }
}

/// An invariant that was broken, and how.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl Violation {
    pub(super) fn new(invariant: Invariant, what: String) -> Violation {
        Violation { invariant, what }
    }

    pub(super) fn answered_twice(call: u64, before: &str, heard: &Heard) -> Violation {
        let what = format!("call {call} ({before}) hears {:?}", heard.answer);
        Violation::new(Invariant::AnsweredTwice, what)
    }
}

/// What an observer who sees everything has seen. Payments and deliveries are bits: those of `1 << service` and
/// `1 << call`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    charged: u8,
    /// Payments of which a POS was told that they did not run.
    buried: u8,
    handed_out: u32,
    /// Deliveries that were on the terminal's disk.
    stored: u32,
    pub(super) journal_lost: bool,
}

impl Seen {
    pub(super) fn is_charged(&self, service: u8) -> bool {
        self.charged & bit(service) != 0
    }

    /// The card is charged for this payment.
    pub(super) fn charged(&mut self, service: u8) -> Result<(), Violation> {
        let of_this_sale = if service == LAST_PAYMENT { bit(LAST_PAYMENT) } else { !bit(LAST_PAYMENT) };
        if self.charged & of_this_sale != 0 {
            let what = format!("{} is charged, and the sale was charged before", service_name(service));
            return Err(Violation::new(Invariant::ExecutedTwice, what));
        }
        if self.buried & bit(service) != 0 {
            let what =
                format!("{} is charged after a POS was told that it did not run", service_name(service));
            return Err(Violation::new(Invariant::FalseFailure, what));
        }
        self.charged |= bit(service);
        Ok(())
    }

    /// A POS is told something.
    pub(super) fn told(&mut self, want: Want, told: Told, ledger: &Ledger) -> Result<(), Violation> {
        let service = want.service();
        let name = service_name(service);
        match (want, told) {
            (_, Told::Charged) if !self.is_charged(service) => {
                let what = format!("a POS is told that {name} was charged, and it was not");
                Err(Violation::new(Invariant::FalseSuccess, what))
            }
            (Want::Payment(_) | Want::Status(_), Told::DidNotRun) if self.is_charged(service) => {
                let what = format!("a POS is told that {name} did not run, and it was charged");
                Err(Violation::new(Invariant::FalseFailure, what))
            }
            (Want::Payment(_) | Want::Status(_), Told::DidNotRun) => {
                self.buried |= bit(service);
                Ok(())
            }
            (Want::Payment(_), Told::Ok) => {
                let poi = script().payment(service).request.service_id();
                let record = ledger.records().filter(|record| record.key.service == *poi).last();
                match record {
                    Some(record) if record.webhook && self.stored & delivery_bit(&record.delivery) != 0 => {
                        Ok(())
                    }
                    _ => Err(Violation::new(Invariant::OkTooEarly, format!("ok for {name}: {record:?}"))),
                }
            }
            _ => Ok(()),
        }
    }

    /// A payment's own response is told, or what a terminal repeats of it.
    pub(super) fn check_word(&self, want: Want, told: Told, message: &Bytes) -> Result<(), Violation> {
        let service = want.service();
        let holds = |word: &Bytes| match want {
            Want::Payment(_) => message == word,
            // In the words of the terminal, or the ledger's copy: either way its members stand in it as they came.
            _ => word.windows(BODY.len()).position(|window| window == BODY).is_some_and(|body| {
                let members = &word[body + BODY.len()..word.len() - CLOSING];
                message.windows(members.len()).any(|window| window == members)
            }),
        };
        let words = [false, true].map(|card_data| script().approval(service, card_data));
        if told != Told::Charged || words.into_iter().any(holds) {
            return Ok(());
        }
        let what = format!("told of {}: {message:?}", service_name(service));
        Err(Violation::new(Invariant::FalseWord, what))
    }

    /// The terminal has stored these.
    pub(super) fn note_stored<'a>(
        &mut self,
        deliveries: impl Iterator<Item = &'a DeliveryId>,
        ledger: &Ledger,
    ) -> Result<(), Violation> {
        for delivery in deliveries {
            self.stored |= delivery_bit(delivery);
            let denied =
                ledger.records().find(|record| record.delivery == *delivery && denies(&record.outcome));
            if let Some(record) = denied {
                let what = format!("the terminal stores {delivery}, and the ledger has {:?}", record.outcome);
                return Err(Violation::new(Invariant::OutcomeReplaced, what));
            }
        }
        Ok(())
    }

    /// A delivery is written to the present link.
    pub(super) fn handed_out(
        &mut self,
        delivery: &DeliveryId,
        ledger: &Ledger,
        desk: &Desk,
    ) -> Result<(), Violation> {
        let wrong = |what: String| Err(Violation::new(Invariant::HandedOutWrongly, what));
        if self.handed_out & delivery_bit(delivery) != 0 {
            return wrong(format!("{delivery} is written twice"));
        }
        self.handed_out |= delivery_bit(delivery);
        let Some(record) = ledger.records().find(|record| record.delivery == *delivery) else {
            return wrong(format!("{delivery} is written before it is on disk"));
        };
        if !record.outcome.is_undecided() {
            return wrong(format!("{delivery} is written with outcome {:?}", record.outcome));
        }
        let lease = desk.presence().lease().map(|lease| lease.epoch);
        if lease != Some(record.epoch) || lease != ledger.epoch(&record.key.poi) {
            return wrong(format!(
                "{delivery} of epoch {:?} is written to a link of {lease:?}",
                record.epoch
            ));
        }
        Ok(())
    }

    /// The terminal is told that a result is on disk.
    pub(super) fn recorded(
        &self,
        delivery: &DeliveryId,
        ledger: &Ledger,
        machine: &Machine,
    ) -> Result<(), Violation> {
        let record = ledger.records().find(|record| record.delivery == *delivery);
        let kept = ledger.evidence().iter().filter(|(of, _)| of == delivery);
        let is_on_disk = match machine.results_on_disk().find(|(of, _)| *of == delivery) {
            Some((_, terminal::Outcome::Message(message))) => {
                let message = Kept::of(message);
                let message = message.bytes();
                let answered = record.is_some_and(|record| {
                    matches!(&record.outcome, Outcome::Answered(Answered::Message(m)) if m.bytes() == message)
                });
                answered || kept.map(|(_, evidence)| evidence.message.bytes()).any(|kept| kept == message)
            }
            _ => {
                let decided = record.is_some_and(|record| {
                    matches!(record.outcome, Outcome::Answered(_) | Outcome::UnknownFinal(_))
                });
                decided || kept.count() > 0
            }
        };
        match is_on_disk {
            true => Ok(()),
            false => {
                let what = format!("{delivery} is recorded, and the ledger has {record:?}");
                Err(Violation::new(Invariant::RecordedTooEarly, what))
            }
        }
    }

    /// The ledger has changed.
    pub(super) fn check_outcomes(&self, before: &Ledger, after: &Ledger) -> Result<(), Violation> {
        let replaced = |what: String| Err(Violation::new(Invariant::OutcomeReplaced, what));
        for record in after.records() {
            let delivery = &record.delivery;
            let earlier = before.records().find(|earlier| earlier.delivery == *delivery);
            let (new, old) = (&record.outcome, earlier.map(|earlier| &earlier.outcome));
            if old == Some(new) {
                continue;
            }
            if let Some(old) = old.filter(|old| !may_become(old, new)) {
                return replaced(format!("{delivery} was {old:?} and becomes {new:?}"));
            }
            if denies(new) && self.stored & delivery_bit(delivery) != 0 {
                return replaced(format!("{delivery} becomes {new:?}, and the terminal had stored it"));
            }
            if *new == Outcome::Refused(Refused::Withdrawn) && self.handed_out & delivery_bit(delivery) != 0 {
                return replaced(format!("{delivery} becomes {new:?}, and it was written to a link"));
            }
        }
        Ok(())
    }
}

/// Whether this outcome says that the terminal never had it.
fn denies(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NeverReached | Outcome::Refused(_))
}

fn bit(service: u8) -> u8 {
    1 << service.min(7)
}

fn delivery_bit(delivery: &DeliveryId) -> u32 {
    1 << call_of(delivery).unwrap_or(31).min(31)
}
