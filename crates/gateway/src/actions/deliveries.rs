//! What an Actions terminal's socket has to know: how the terminal is boarded, which deliveries it may have or may speak of, and
//! what a desktop asked for.
//!
//! Each answer comes within a bounded time, or the terminal is to come again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexo::{Kept, MessageCategory, PoiId, Request};
use relay::actions::{Asked, Known, SALE_ID, TransactionId, VoidAsk};
use relay::ledger::{Boarded, IDENTITY_HOURS};
use relay::{ConnectionId, Deliver, JournalId};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::fleet::Boarding;
use crate::store::actions::{RequestFilter, Transaction};
use crate::store::{CompanyCode, Store, StoreError};

/// How long the store may take to say what a terminal may have.
const STORE_MAX: Duration = Duration::from_secs(10);

/// How long it may take to say what a desktop asked for. Then the terminal is sent what the nexo request says of it.
const ASKED_MAX: Duration = Duration::from_secs(2);

/// For how long a terminal may speak of a payment.
const REMEMBERED: Duration = Duration::from_secs(IDENTITY_HOURS.unsigned_abs() * 3600);

/// Looks deliveries up for the sockets of Actions terminals.
#[derive(Debug)]
pub(crate) struct Deliveries {
    store: Arc<dyn Store>,
    boarding: Arc<Boarding>,
    clock: Clock,
}

/// Why there is no answer. The terminal is to connect again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The store can't be used.
    #[error("the store can't be used: {0}")]
    Store(#[from] StoreError),
    /// It did not answer within 10 s.
    #[error("the store does not answer")]
    TooLate,
}

impl Deliveries {
    /// Looks them up in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, boarding: Arc<Boarding>, clock: Clock) -> Deliveries {
        Deliveries { store, boarding, clock }
    }

    /// The terminal's journal, with the highest attempt seen; none when it is not boarded.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub(crate) async fn boarded(&self, poi: &PoiId) -> Result<Option<Boarded>, Unanswered> {
        in_time(self.store.boarded(poi)).await
    }

    /// Boards it with this journal, after the one that was `read`. What it is boarded with then: another socket's journal, if
    /// that one was quicker. None when it is no longer at its group.
    ///
    /// # Errors
    /// [`Unanswered`]; then it may be boarded all the same.
    pub(crate) async fn board(
        &self,
        poi: &PoiId,
        read: Option<JournalId>,
        journal: JournalId,
    ) -> Result<Option<Boarded>, Unanswered> {
        in_time(self.boarding.board_actions(poi, read, journal)).await
    }

    /// The deliveries that the terminal may have, and those of the last 48 h of these names.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub(crate) async fn known(
        &self,
        poi: &PoiId,
        names: Vec<TransactionId>,
    ) -> Result<Vec<Known>, Unanswered> {
        let since = self.clock.now().wall.minus(REMEMBERED);
        let wanted =
            (!names.is_empty()).then(|| -> RequestFilter { Box::new(move |request| bears(request, &names)) });
        let found = in_time(self.store.deliveries(poi, since, wanted)).await?;
        let known = found.into_iter().map(|delivery| Known {
            desktop_id: delivery.connection.as_ref().map(|connection| connection.as_str().into()),
            delivery: delivery.delivery,
            message: delivery.request,
            received: delivery.received,
            standing: delivery.standing,
        });
        Ok(known.collect())
    }

    /// What a desktop of this company has asked for with this very message, in its own words; none when no desktop has, or when it
    /// can't be looked up.
    pub(crate) async fn asked(&self, company: &CompanyCode, poi: &PoiId, deliver: &Deliver) -> Option<Asked> {
        let request = Request::parse(deliver.message.clone()).ok()?;
        let header = request.header();
        if header.sale_id.as_str() != SALE_ID {
            return None;
        }
        let found = self.store.transaction_of_service(company, poi, header.service_id.as_ref()?);
        let transaction = match timeout(ASKED_MAX, found).await {
            Ok(Ok(transaction)) => transaction?,
            Ok(Err(error)) => {
                tracing::error!(%error, delivery.id = %deliver.delivery, "a desktop's own words can't be read");
                return None;
            }
            Err(_) => {
                tracing::error!(delivery.id = %deliver.delivery, "a desktop's own words took too long to read");
                return None;
            }
        };
        in_own_words(&transaction, deliver)
    }
}

/// What this transaction's desktop has asked for, if this is its message: not that of a Sale system, under a ServiceID that
/// the desktop's payment had more than 48 h before.
fn in_own_words(transaction: &Transaction, deliver: &Deliver) -> Option<Asked> {
    let facts = &transaction.facts;
    if facts.request != Kept::of(&deliver.message) {
        return None;
    }
    // Without a connection, as over HTTP, the delivery's own name serves.
    let connection = facts.connection.as_ref().map(ConnectionId::as_str);
    Some(Asked {
        desktop_id: connection.unwrap_or(deliver.delivery.as_str()).into(),
        payment_request: facts.payment_request.bytes().clone(),
    })
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, Unanswered> {
    Ok(timeout(STORE_MAX, answer).await.map_err(|_| Unanswered::TooLate)??)
}

/// Whether a request is a payment or a void of one of these names.
fn bears(request: &Bytes, names: &[TransactionId]) -> bool {
    let Ok(request) = Request::parse(request.clone()) else { return false };
    if request.header().category == MessageCategory::REVERSAL {
        return VoidAsk::read(request).is_ok_and(|void| names.contains(&void.payment().transaction));
    }
    let named = request.sale_transaction_id();
    named.is_some_and(|named| names.iter().any(|name| name.as_str() == named.transaction_id))
}

#[cfg(test)]
mod tests {
    use nexo::ServiceId;
    use relay::ledger::Digest;
    use relay::{DeliveryId, WallMs};

    use super::*;
    use crate::store::actions::{Edition, Group, TransactionFacts, TransactionSeq, TransactionStatus, Void};
    use crate::store::{CredentialId, MerchantCode, Place};

    #[test]
    fn a_desktops_own_words_stand_for_its_own_message_only() {
        let request = Bytes::from_static(br#"{"SaleToPOIRequest":{"PaymentRequest":{}}}"#);
        let merchant = MerchantCode::parse("ACME_EU").unwrap();
        let transaction = Transaction {
            seq: TransactionSeq(1),
            facts: TransactionFacts {
                credential: CredentialId::parse("c1").unwrap(),
                id: TransactionId::parse("T-1").unwrap(),
                digest: Digest([1; 32]),
                company: CompanyCode::parse("ACME").unwrap(),
                group: Group::at(&Place::MerchantInStore(merchant)).unwrap(),
                poi: PoiId::parse("ACT1-000000001").unwrap(),
                service: ServiceId::parse("T1").unwrap(),
                device: None,
                connection: Some(ConnectionId::parse("c_1").unwrap()),
                payment_request: Kept::of(&Bytes::from_static(br#"{"amount": "12.50"}"#)),
                request: Kept::of(&request),
                created: WallMs(0),
            },
            status: TransactionStatus::Pending,
            in_part: false,
            response: None,
            updated: WallMs(0),
            completed: None,
            late: false,
            edition: Edition::default(),
            told: None,
            read: None,
            void: Void::None,
            voided: None,
        };
        let delivered = |message: Bytes| Deliver {
            delivery: DeliveryId::parse("d_1").unwrap(),
            time_left_ms: 1000,
            message,
        };
        let own = in_own_words(&transaction, &delivered(request)).unwrap();
        assert_eq!((&*own.desktop_id, &own.payment_request[..]), ("c_1", &br#"{"amount": "12.50"}"#[..]));
        // A Sale system's, more than 48 h later.
        let other = Bytes::from_static(br#"{"SaleToPOIRequest":{"PaymentRequest":{"a":1}}}"#);
        assert_eq!(in_own_words(&transaction, &delivered(other)), None);
    }
}
