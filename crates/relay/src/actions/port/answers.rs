//! What an Actions terminal says about what it was sent: which delivery it means, and what the desk hears of it.

use bytes::Bytes;
use nexo::Request;

use super::job::{Job, Known, Stage, Standing, What, identify};
use super::{LookFor, Mode, Port, SILENCE_MAX, hashed};
use crate::actions::client_error::ClientError;
use crate::actions::frame::{FromClient, TerminalAnswer, VoidAnswer};
use crate::actions::json::Members;
use crate::actions::sale::{Misfit, PaymentName, SaleAsk, VoidAsk};
use crate::actions::to_client::ToClient;
use crate::actions::transaction::TransactionId;
use crate::fault::{self, Fault};
use crate::frame::{ResultMessage, ToGateway};
use crate::id::DeliveryId;
use crate::time::Now;

/// What a terminal hears that leaves open which of two payments it means.
const USED_TWICE: &str = "desktopId is required: this transactionId was used more than once";

/// Results of unknown transactions that may be on their way to the disk; more are left for later.
pub(super) const ORPHANS_MAX: usize = 64;

impl Port {
    /// The terminal has stored what it was sent: the first of these kinds that waits for it.
    pub(super) fn received(&mut self, now: Now, kinds: &[What], name: &TransactionId, desktop: Option<&str>) {
        let is = |job: &Job, what| job.is(what, name) && desktop.is_none_or(|d| job.was_asked_by(d));
        let waits = |what: &What| {
            self.jobs
                .iter()
                .find(|job| is(job, *what) && matches!(job.stage, Stage::Out { is_received: false, .. }))
        };
        if let Some(job) = kinds.iter().find_map(waits) {
            let delivery = job.delivery.clone();
            self.note_received(&delivery);
        } else if !self.jobs.iter().any(|job| kinds.iter().any(|what| is(job, *what))) {
            self.refuse(now, ClientError::TRANSACTION_NOT_FOUND);
        }
    }

    pub(super) fn note_received(&mut self, delivery: &DeliveryId) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.delivery == *delivery) else { return };
        if let Stage::Out { is_received, .. } = &mut job.stage
            && !std::mem::replace(is_received, true)
        {
            self.tell(ToGateway::Received(delivery.clone()));
        }
    }

    pub(super) fn payment_answered(&mut self, now: Now, desktop: Option<&str>, answer: &TerminalAnswer) {
        if desktop.is_none() && self.must_look_for(&answer.transaction) {
            return self.look(LookFor::Namesakes(answer.clone()), vec![answer.transaction.clone()]);
        }
        let index = match self.find(What::Payment, &answer.transaction, desktop) {
            Found::One(index) => index,
            Found::None => {
                return self.keep_orphan(now, What::Payment, &answer.transaction, desktop, &answer.raw);
            }
            Found::Unclear(why) => {
                // Kept for a person; the terminal keeps it too, if it is one that keeps anything.
                let delivery = orphan(&answer.transaction);
                self.tell(ToGateway::Result(delivery, ResultMessage::Message(answer.raw.clone())));
                return self.refuse(now, ClientError::bad_request(why));
            }
        };
        if let Some(desktop) = desktop {
            // What it calls it itself is what it will be told that is recorded.
            self.jobs[index].desktop.get_or_insert_with(|| desktop.into());
        }
        let message = self.jobs[index].message.clone();
        let composed = match Request::parse(message).ok().and_then(|request| SaleAsk::read(request).ok()) {
            Some(sale) => {
                let job = &self.jobs[index];
                // Its own word for it is what a void will have to name.
                let desktop = desktop.or(job.desktop.as_deref()).unwrap_or(job.delivery.as_str());
                let payment = PaymentName {
                    delivery: job.delivery.clone(),
                    desktop_id: desktop.into(),
                    transaction: sale.transaction().clone(),
                };
                sale.response(answer, &payment, &self.merchant_account)
            }
            // What was asked can't be read any more: to the desk its answer is one that does not fit.
            None => Err(Misfit::OtherCurrency),
        };
        let reason = || error_message(&answer.raw);
        self.answered(now, index, composed, &answer.raw, reason);
        if self.mode == Mode::Acknowledging {
            self.give_up_namesakes(index);
        }
    }

    /// Whether a plain terminal's answer of this name may be to a payment that this port has never heard of: a POS has asked
    /// once more under a new ServiceID, and the terminal says its last result again. One that acknowledges says by its
    /// `resume` what it has, and has forgotten the rest.
    fn must_look_for(&self, name: &TransactionId) -> bool {
        let is_unlooked = |job: &Job| job.is(What::Payment, name) && job.has_namesakes.is_none();
        self.mode == Mode::Plain && !fault::is(Fault::AnswerOfAnyName) && self.jobs.iter().any(is_unlooked)
    }

    /// The ledger knows these of that name.
    pub(super) fn note_namesakes(&mut self, name: &TransactionId, known: &[Known]) {
        let is_namesake = |known: &&Known| {
            let (what, other, _) = identify(&known.message);
            let may_have_come = known.received || known.standing == Standing::UnknownFinal;
            may_have_come && what == What::Payment && other.as_ref() == Some(name)
        };
        let namesakes: Vec<_> = known.iter().filter(is_namesake).map(|known| &known.delivery).collect();
        for job in self.jobs.iter_mut().filter(|job| job.is(What::Payment, name)) {
            job.has_namesakes = Some(namesakes.iter().any(|delivery| **delivery != job.delivery));
        }
    }

    pub(super) fn void_answered(&mut self, now: Now, answer: &VoidAnswer) {
        let raw = FromClient::VoidResponse(answer.clone()).encode();
        let index = match self.find(What::Void, &answer.transaction, answer.desktop_id.as_deref()) {
            Found::One(index) => index,
            Found::None => {
                return self.keep_orphan(
                    now,
                    What::Void,
                    &answer.transaction,
                    answer.desktop_id.as_deref(),
                    &raw,
                );
            }
            Found::Unclear(why) => {
                let delivery = orphan(&answer.transaction);
                self.tell(ToGateway::Result(delivery, ResultMessage::Message(raw)));
                return self.refuse(now, ClientError::bad_request(why));
            }
        };
        let message = self.jobs[index].message.clone();
        let composed = match Request::parse(message).ok().and_then(|request| VoidAsk::read(request).ok()) {
            Some(void) => void.response(answer),
            None => Err(Misfit::OtherCurrency),
        };
        let reason = || answer.error_message.clone().map(String::from);
        self.answered(now, index, composed, &raw, reason);
    }

    fn answered(
        &mut self,
        now: Now,
        index: usize,
        composed: Result<Bytes, Misfit>,
        raw: &Bytes,
        reason: impl FnOnce() -> Option<String>,
    ) {
        let job = &mut self.jobs[index];
        let delivery = job.delivery.clone();
        match composed {
            Err(Misfit::Pending) => {
                let until = now.mono.saturating_add(SILENCE_MAX);
                if let Stage::Out { busy_until, .. } = &mut job.stage {
                    *busy_until = until.max(*busy_until);
                }
            }
            Err(Misfit::Unknown) => {
                job.stage = Stage::Reported { is_answer: false };
                let reason = reason().unwrap_or_else(|| "the terminal can't find out".into());
                self.tell_indeterminate(delivery, &reason);
            }
            Ok(response) => {
                job.stage = Stage::Reported { is_answer: true };
                let named = job.name.clone().filter(|_| fault::is(Fault::RecordedToPortEarly));
                if let (Some(transaction), Mode::Acknowledging) = (named, self.mode) {
                    let desktop_id = self.jobs[index].desktop.clone();
                    self.write(ToClient::PaymentRecorded { transaction, desktop_id, problem: None });
                }
                self.tell(ToGateway::Result(delivery, ResultMessage::Message(response)));
            }
            Err(Misfit::OtherCurrency) => {
                // No answer to what was asked: the desk keeps it as evidence (E15).
                job.stage = Stage::Reported { is_answer: false };
                self.tell(ToGateway::Result(delivery, ResultMessage::Message(raw.clone())));
            }
        }
    }

    /// Which delivery an answer belongs to.
    fn find(&self, what: What, name: &TransactionId, desktop: Option<&str>) -> Found {
        let named = || self.jobs.iter().enumerate().filter(|(_, job)| job.is(what, name));
        if fault::is(Fault::AnswerOfAnyName)
            && let Some(last) = self.jobs.iter().rposition(|job| job.what == what)
        {
            return Found::One(last);
        }
        if let Some(desktop) = desktop {
            let of_desktop = || named().filter(|(_, job)| job.was_asked_by(desktop));
            let out = || of_desktop().rfind(|(_, job)| matches!(job.stage, Stage::Out { .. }));
            let found = match what {
                // Several attempts to void one payment: it means the one that is with it.
                What::Void => out().or_else(|| of_desktop().rfind(|(_, job)| job.is_open())),
                What::Payment | What::Other => None,
            };
            if let Some((index, _)) = found.or_else(|| of_desktop().next_back()) {
                return Found::One(index);
            }
            // It may be an older payment of that name, said once more.
            return match named().next() {
                None => Found::None,
                Some(_) => Found::Unclear("desktopId is not the one that came with this transactionId"),
            };
        }
        let mut all = named();
        match (all.next(), all.next()) {
            (None, _) => Found::None,
            (Some((_, job)), None) if job.has_namesakes == Some(true) => Found::Unclear(USED_TWICE),
            (Some((index, _)), None) => Found::One(index),
            (Some((_, first)), Some(_))
                if what == What::Void && named().all(|(_, job)| job.desktop == first.desktop) =>
            {
                // An older one that was answered is not what it means while another is with it.
                let out = named().rfind(|(_, job)| matches!(job.stage, Stage::Out { .. }));
                let open = out.or_else(|| named().rfind(|(_, job)| job.is_open()));
                open.or_else(|| named().next_back()).map_or(Found::None, |(index, _)| Found::One(index))
            }
            (Some(_), Some(_)) if what == What::Void => Found::Unclear(USED_TWICE),
            (Some(_), Some(_)) => {
                let mut open = named().filter(|(_, job)| job.is_open());
                match (open.next(), open.next()) {
                    // What it has stored came after `paymentRecorded` for the others, so it has none of them any more.
                    (Some((index, job)), None)
                        if self.mode == Mode::Acknowledging
                            && matches!(job.stage, Stage::Out { is_received: true, .. }) =>
                    {
                        Found::One(index)
                    }
                    _ => Found::Unclear(USED_TWICE),
                }
            }
        }
    }

    /// The terminal has answered one of two payments of the same name, which its `resume` could not tell apart. It has one
    /// of them at a time, so it never had the other, or does not have it any more.
    fn give_up_namesakes(&mut self, index: usize) {
        let Some(name) = self.jobs[index].name.clone() else { return };
        let delivery = self.jobs[index].delivery.clone();
        let mut others = Vec::new();
        for job in &mut self.jobs {
            let is_resumed = matches!(job.stage, Stage::Out { is_written_here: false, .. });
            if is_resumed && job.delivery != delivery && job.is(What::Payment, &name) {
                job.stage = Stage::Reported { is_answer: false };
                others.push(job.delivery.clone());
            }
        }
        for other in others {
            self.tell_indeterminate(other, "the terminal had another payment of the same transactionId");
        }
    }

    /// A result for something that this terminal was never sent, as far as anybody knows: evidence (E15).
    fn keep_orphan(
        &mut self,
        now: Now,
        what: What,
        name: &TransactionId,
        desktop: Option<&str>,
        raw: &Bytes,
    ) {
        let delivery = orphan(name);
        if self.mode == Mode::Plain {
            self.tell(ToGateway::Result(delivery, ResultMessage::Message(raw.clone())));
            return self.refuse(now, ClientError::TRANSACTION_NOT_FOUND);
        }
        // It hears that it is recorded, and forgets it; one that finds no room comes again.
        let entry = (delivery.clone(), what, name.clone(), desktop.map(Into::into));
        if !self.orphans.contains(&entry) {
            if self.orphans.len() >= ORPHANS_MAX {
                return;
            }
            self.orphans.push(entry);
        }
        self.tell(ToGateway::Result(delivery, ResultMessage::Message(raw.clone())));
    }
}

/// Which delivery an answer belongs to.
enum Found {
    None,
    One(usize),
    /// It may belong to several, or to none of those it could; what its sender hears.
    Unclear(&'static str),
}

/// What a result is kept under that belongs to no delivery: the same for the same transaction.
pub(super) fn orphan(name: &TransactionId) -> DeliveryId {
    hashed("d_actions-", name.as_str(), DeliveryId::parse)
}

/// Why a terminal can't tell, in its own words.
fn error_message(raw: &Bytes) -> Option<String> {
    let members = Members::of(raw, "")?;
    members.lenient_text("errorMessage").map(Into::into)
}
