//! Payments of desktops, as desktops know them.

use bytes::Bytes;
use nexo::{Kept, MessageCategory, PoiId, SaleId, ServiceId};
use relay::actions::{Charge, Standing, TransactionId};
use relay::ledger::{Digest, IDENTITY_HOURS};
use relay::{ConnectionId, DeliveryId, ExchangeId, WallMs};

use super::{ActionsDeviceId, Group};
use crate::store::{CompanyCode, CredentialId};

/// How long a transaction ID is a transaction's own: as long as the ServiceID that is derived from it.
const IDENTITY_MS: i64 = IDENTITY_HOURS * 60 * 60 * 1000;

/// Names a transaction within the store, in the order of their beginnings: a credential may use a transaction ID again after
/// 48 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransactionSeq(pub(crate) i64);

/// Counts what there was to tell the desktop about one transaction: 0 while there is nothing, 1 the first result, 2 one that
/// came in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Edition(pub(crate) u32);

impl Edition {
    /// The one after it.
    pub(crate) fn next(self) -> Edition {
        Edition(self.0.saturating_add(1))
    }
}

/// What a transaction is, from its beginning on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionFacts {
    /// Whose it is: with [`id`](Self::id) its identity for 48 hours.
    pub(crate) credential: CredentialId,
    /// What the desktop calls it.
    pub(crate) id: TransactionId,
    /// Of the body that asked for it: another body under the same ID is another payment.
    pub(crate) digest: Digest,
    /// The company of desktop and terminal.
    pub(crate) company: CompanyCode,
    /// The group of desktop and terminal.
    pub(crate) group: Group,
    /// The terminal.
    pub(crate) poi: PoiId,
    /// What the ledger knows it under, together with company and terminal.
    pub(crate) service: ServiceId,
    /// The desktop's identity, with the credential. One that has none is told nothing later.
    pub(crate) device: Option<ActionsDeviceId>,
    /// The connection that asked; none for the HTTP sibling. It says nothing once the gateway was started anew.
    pub(crate) connection: Option<ConnectionId>,
    /// The member `paymentRequest`: JSON, as the desktop wrote it.
    pub(crate) payment_request: Kept,
    /// The nexo request.
    pub(crate) request: Kept,
    /// When it began.
    pub(crate) created: WallMs,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Its name within the store.
    pub(crate) seq: TransactionSeq,
    /// What never changes.
    pub(crate) facts: TransactionFacts,
    /// How it stands. What the API says of it is [`told_status`](Self::told_status).
    pub(crate) status: TransactionStatus,
    /// Whether a part of the amount was taken, and no more.
    pub(crate) in_part: bool,
    /// The member `paymentResponse`: JSON, as the desktop is or was told. From the giving up or the completion on.
    pub(crate) response: Option<Kept>,
    /// When it last changed.
    pub(crate) updated: WallMs,
    /// When it got its result. One that was given up has none yet.
    pub(crate) completed: Option<WallMs>,
    /// Whether a success came after the giving up.
    pub(crate) late: bool,
    /// What there is to tell.
    pub(crate) edition: Edition,
    /// When that was handed to the desktop.
    pub(crate) told: Option<WallMs>,
    /// When somebody first read the success by asking for it, here or over the Terminal API. What the ledger has about that
    /// (`told`) counts too.
    pub(crate) read: Option<WallMs>,
    /// Whether the payment is taken back.
    pub(crate) void: Void,
    /// When it was.
    pub(crate) voided: Option<WallMs>,
}

impl Transaction {
    /// Whether somebody has to go on with it: it has no end, or is being voided.
    pub(crate) fn is_open(&self) -> bool {
        self.completed.is_none() || self.void == Void::Pending
    }

    /// Its status in the words of the API, where *completed* is paid in full: a part is a `FAILED`, and its `paymentResponse`
    /// says `PARTIAL_APPROVAL`.
    pub(crate) fn told_status(&self) -> TransactionStatus {
        match self.status {
            TransactionStatus::Completed if self.in_part => TransactionStatus::Failed,
            status => status,
        }
    }
}

/// How a transaction stands, in the words of the API.
///
/// Source: the Actions API's HTTP sibling, `GET /v1/transactions/{transactionId}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionStatus {
    /// It runs.
    Pending,
    /// Its terminal is away, and may still come back in time.
    AwaitingReconnect,
    /// The money was taken, or a part of it.
    Completed,
    /// It was not; or, with no completion, the desktop was told so and the outcome is not known.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// The money was taken and given back.
    Voided,
}

impl TransactionStatus {
    const ALL: [TransactionStatus; 6] = [
        Self::Pending,
        Self::AwaitingReconnect,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Voided,
    ];

    /// The status as it is written on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::AwaitingReconnect => "AWAITING_RECONNECT",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Voided => "VOIDED",
        }
    }

    /// Reads a status as it is written on the wire.
    pub(crate) fn parse(text: &str) -> Option<TransactionStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// What there is to tell its desktop.
    pub(crate) edition: Edition,
    /// Whether the payment is taken back: never what was not asked for, and not what was, if somebody has read the success.
    pub(crate) void: Void,
}

/// Whether a late success is taken back (E25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Void {
    /// No.
    None,
    /// It has to be; whether it can be is not known yet.
    Pending,
    /// It was.
    Done,
    /// It could not be: a person has to look.
    Failed,
}

impl Void {
    const ALL: [Void; 4] = [Self::None, Self::Pending, Self::Done, Self::Failed];

    /// As it is written in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    pub(crate) fn parse(text: &str) -> Option<Void> {
        Self::ALL.into_iter().find(|void| void.as_str() == text)
    }
}

/// What became of an attempt to begin a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is on disk.
    New(TransactionSeq),
    /// The same was asked for before: this is how it stands.
    Repeated(Box<Transaction>),
    /// Something else was asked for under this ID.
    Clashes(Box<Transaction>),
}

impl Begun {
    /// What an attempt at `at` comes upon under an ID that this transaction has had last; none when the ID is free again.
    pub(crate) fn upon(found: Transaction, digest: &Digest, at: WallMs) -> Option<Begun> {
        if at.0.saturating_sub(found.facts.created.0) >= IDENTITY_MS {
            return None;
        }
        let is_same = found.facts.digest == *digest;
        let found = Box::new(found);
        Some(if is_same { Begun::Repeated(found) } else { Begun::Clashes(found) })
    }
}

/// How a transaction stands that has no result yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It runs.
    Runs,
    /// Its terminal is away, and may still come back in time.
    AwaitsReconnect,
    /// Its desktop is told this `paymentResponse`, a `FAILED` that says that the outcome is not known. It stays open for the
    /// result.
    GivenUp(Kept),
}

/// The result of a transaction, each with the `paymentResponse` for the desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// The money was taken.
    Paid(Kept, Charge),
    /// The money was taken after the giving up, and stays so: a person decides.
    PaidLate(Kept, Charge),
    /// The money was taken after the giving up, and is to be given back: its void is pending from this moment on, unless
    /// somebody has read the success already.
    PaidLateToVoid(Kept, Charge),
    /// It was not taken.
    Failed(Kept),
    /// Somebody ended it.
    Cancelled(Kept),
}

impl Completion {
    /// What the desktop is told.
    pub(crate) fn response(&self) -> &Kept {
        match self {
            Completion::Paid(response, _)
            | Completion::PaidLate(response, _)
            | Completion::PaidLateToVoid(response, _)
            | Completion::Failed(response)
            | Completion::Cancelled(response) => response,
        }
    }
}

/// A delivery to a terminal, for whoever has to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownDelivery {
    /// The exchange.
    pub(crate) exchange: ExchangeId,
    /// Its attempt that counts.
    pub(crate) delivery: DeliveryId,
    /// The ServiceID, by which a transaction is found.
    pub(crate) service: ServiceId,
    /// Who asked.
    pub(crate) sale: SaleId,
    /// What for.
    pub(crate) category: MessageCategory,
    /// Whether the terminal said that it has it.
    pub(crate) received: bool,
    /// Whether anybody knows what became of it.
    pub(crate) standing: Standing,
    /// The desktop's connection, if it began as a transaction of one that had a connection.
    pub(crate) connection: Option<ConnectionId>,
    /// The request as it is kept: without card data, and so perhaps not as it came.
    pub(crate) request: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in TransactionStatus::ALL {
            assert_eq!(TransactionStatus::parse(status.as_str()), Some(status));
        }
        for void in Void::ALL {
            assert_eq!(Void::parse(void.as_str()), Some(void));
        }
    }
}
