//! One delivery as a port remembers it.

use std::time::Duration;

use bytes::Bytes;
use nexo::{MessageCategory, Request};

use crate::actions::sale::VoidAsk;
use crate::actions::transaction::TransactionId;
use crate::id::DeliveryId;
use crate::ledger::Outcome;
use crate::time::Now;

/// A delivery to this terminal, as the ledger knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Which one.
    pub delivery: DeliveryId,
    /// The nexo request, as it is kept.
    pub message: Bytes,
    /// [`Asked::desktop_id`](super::Asked::desktop_id), as it was given with the delivery; none when none was, or it is not known
    /// any more.
    pub desktop_id: Option<Box<str>>,
    /// It is on disk that the terminal has it, or may have it: it was not refused before it was written.
    pub received: bool,
    /// Whether anybody knows what became of it.
    pub standing: Standing,
}

/// Whether anybody knows what became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not yet: its terminal may tell.
    Open,
    /// Its terminal was heard from and could not tell (*unknown, final*); its result may still come.
    UnknownFinal,
    /// Yes.
    Settled,
}

impl From<&Outcome> for Standing {
    fn from(outcome: &Outcome) -> Standing {
        match outcome {
            Outcome::Open | Outcome::Unknown => Standing::Open,
            Outcome::UnknownFinal(_) => Standing::UnknownFinal,
            Outcome::Refused(_) | Outcome::NeverReached | Outcome::Answered(_) => Standing::Settled,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) delivery: DeliveryId,
    pub(super) what: What,
    /// None for what the terminal has no name for.
    pub(super) name: Option<TransactionId>,
    /// The `desktopId` that it, or the payment that it voids, was sent with, if that is known.
    pub(super) desktop: Option<Box<str>>,
    /// The nexo request.
    pub(super) message: Bytes,
    /// Whether the terminal had other payments of this name in the last 48 h; none while nobody has looked.
    pub(super) has_namesakes: Option<bool>,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Payment,
    Void,
    /// Something that was never meant to be sent.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A `hello` that is being taken names it.
    Resuming { is_written_here: bool },
    /// The terminal may be at work on it until then.
    Out { busy_until: Duration, is_received: bool, is_written_here: bool },
    /// What the terminal says about it is on its way to the disk, or will be said again; whether it is its end.
    Reported { is_answer: bool },
    /// Nobody can tell, or nobody waits for it any more; its result may still come.
    GivenUp,
    /// Its end is on disk.
    Finished,
}

impl Job {
    pub(super) fn of(known: Known) -> Job {
        let Known { delivery, message, desktop_id: desktop, standing, .. } = known;
        let (what, name, payments_desktop) = identify(&message);
        let desktop = payments_desktop.or(desktop);
        let stage = match standing {
            Standing::Open => Stage::Resuming { is_written_here: false },
            Standing::UnknownFinal => Stage::GivenUp,
            Standing::Settled => Stage::Finished,
        };
        Job { delivery, what, name, desktop, message, has_namesakes: None, stage }
    }

    pub(super) fn is(&self, what: What, name: &TransactionId) -> bool {
        self.what == what && self.name.as_ref() == Some(name)
    }

    pub(super) fn was_asked_by(&self, desktop: &str) -> bool {
        self.desktop.as_deref() == Some(desktop) || self.delivery.as_str() == desktop
    }

    /// Whether the terminal may be at work on it.
    pub(super) fn is_busy(&self, now: Now) -> bool {
        match self.stage {
            Stage::Resuming { .. } => true,
            Stage::Out { busy_until, .. } => now.mono < busy_until,
            Stage::Reported { .. } | Stage::GivenUp | Stage::Finished => false,
        }
    }

    /// Whether its end is not known.
    pub(super) fn is_open(&self) -> bool {
        !self.is_finished()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.stage == Stage::Finished
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.stage == Stage::GivenUp
    }
}

/// What a request is to an Actions terminal, and what that calls it. Of a void also the `desktopId` of its payment.
pub(super) fn identify(message: &Bytes) -> (What, Option<TransactionId>, Option<Box<str>>) {
    let Ok(request) = Request::parse(message.clone()) else { return (What::Other, None, None) };
    if request.header().category == MessageCategory::PAYMENT {
        let named = request.sale_transaction_id();
        let name = named.and_then(|named| TransactionId::parse(&named.transaction_id));
        return (What::Payment, name, None);
    }
    if request.header().category == MessageCategory::REVERSAL {
        let Ok(void) = VoidAsk::read(request) else { return (What::Void, None, None) };
        let payment = void.payment();
        return (What::Void, Some(payment.transaction.clone()), Some(payment.desktop_id.clone()));
    }
    (What::Other, None, None)
}
