//! A desktop asks for a payment: it is begun, or it is known already.

use std::sync::Arc;

use nexo::{Kept, PoiId};
use relay::ConnectionId;
use relay::actions::{PaymentAsk, Pursuit, Resumed, TransactionId, service_id_of};
use relay::exchange::COMMIT_WAIT;
use relay::ledger::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::chase::Chase;
use super::{ASKERS_MAX, InHandOne, Payments};
use crate::access::Caller;
use crate::store::actions::{
    ActionsDeviceId, Begun, Edition, Group, Transaction, TransactionFacts, TransactionSeq,
};
use crate::store::{CredentialId, StoreError};

/// A payment that a desktop asks for.
#[derive(Clone, Debug)]
pub(crate) struct PaymentOf {
    /// The desktop's credential.
    pub(crate) caller: Arc<Caller>,
    /// What it calls itself under that.
    pub(crate) device: Option<ActionsDeviceId>,
    /// Its connection; none over HTTP.
    pub(crate) connection: Option<ConnectionId>,
    /// The terminal.
    pub(crate) poi: PoiId,
    /// The terminal as the desktop has called it.
    pub(crate) called: Box<str>,
    /// The terminal's group, which is one of the desktop's.
    pub(crate) group: Group,
    /// What is asked for.
    pub(crate) ask: PaymentAsk,
}

/// What came of it. Over a connection everything but a clash is told by itself; over HTTP there is [`Followed`].
#[derive(Debug)]
pub(crate) enum Beginning {
    /// It runs, since now or since before.
    Followed(Followed),
    /// It was asked for before, and this is how it stands. There are no news to wait for.
    Stands(Box<Transaction>),
    /// Another payment has this name. That one is not touched.
    Clashes,
}

/// A transaction that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Its name in the store.
    pub(crate) transaction: TransactionSeq,
    /// The edition of what there is to tell, as it grows. It ends when no more will come.
    pub(crate) news: watch::Receiver<Edition>,
}

/// Why a payment was not begun. What was asked for does not run; it may be asked for again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBegun {
    /// As many transactions of the credential are open as may be.
    #[error("as many payments of this API credential are open as may (limit exchanges_per_key)")]
    TooMany,
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Stopping,
    /// The store did not take it in time. It never runs; should it be kept after all, that will be its result.
    #[error("the payment can't be kept in time")]
    TooLate,
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Payments {
    /// Begins a payment, or joins the one that it repeats.
    ///
    /// Cancel safe: what was begun is followed, whoever waits.
    ///
    /// # Errors
    /// [`NotBegun`].
    pub(crate) async fn begin(self: &Arc<Self>, payment: PaymentOf) -> Result<Beginning, NotBegun> {
        let (sender, receiver) = oneshot::channel();
        let payments = self.clone();
        self.tasks.spawn(async move { payments.begin_now(payment, sender).await });
        receiver.await.unwrap_or(Err(NotBegun::Stopping))
    }

    /// The same payment, if this desktop's credential has asked for it within 48 h: for a terminal that can't be found any
    /// more. None when there is none of that name, and then nothing happens.
    ///
    /// # Errors
    /// The store can't be read, or another call of that name takes too long.
    pub(crate) async fn repeat(
        self: &Arc<Self>,
        caller: &Caller,
        connection: Option<&ConnectionId>,
        called: &str,
        ask: &PaymentAsk,
    ) -> Result<Option<Beginning>, NotBegun> {
        let held = timeout(COMMIT_WAIT, self.hold(&caller.credential, ask.transaction())).await;
        let _held = held.map_err(|_| NotBegun::TooLate)?;
        let digest = |found: &Transaction| digest_of(&found.facts.poi, &Kept::of(ask.raw()));
        Ok(self.known(&caller.credential, ask.transaction(), digest, connection, called).await?)
    }

    /// What the store has under this name, whose holder asks.
    async fn known(
        self: &Arc<Self>,
        credential: &CredentialId,
        id: &TransactionId,
        digest: impl FnOnce(&Transaction) -> Digest,
        connection: Option<&ConnectionId>,
        called: &str,
    ) -> Result<Option<Beginning>, StoreError> {
        let Some(found) = self.store.transaction(credential, id).await? else { return Ok(None) };
        let digest = digest(&found);
        Ok(match Begun::upon(found, &digest, self.presence.clock().now().wall) {
            Some(Begun::Repeated(found)) => Some(self.join(found, connection, called).await?),
            Some(Begun::Clashes(_)) => Some(Beginning::Clashes),
            Some(Begun::New(_)) | None => None,
        })
    }

    async fn begin_now(
        self: Arc<Self>,
        payment: PaymentOf,
        answer: oneshot::Sender<Result<Beginning, NotBegun>>,
    ) {
        let facts = self.facts_of(&payment);
        if self.draining.is_cancelled() {
            return drop(answer.send(Err(NotBegun::Stopping)));
        }
        let credential = facts.credential.clone();
        let Ok(_held) = timeout(COMMIT_WAIT, self.hold(&credential, &facts.id)).await else {
            return drop(answer.send(Err(NotBegun::TooLate)));
        };
        let is_over = {
            let mut in_hand = self.in_hand();
            let is_over = in_hand.of_key.get(&credential).is_some_and(|count| *count >= self.per_key);
            if !is_over {
                in_hand.count(&credential);
            }
            is_over
        };
        if is_over {
            // A repeat takes no place.
            let (connection, called) = (facts.connection.as_ref(), &payment.called);
            let known = self.known(&credential, &facts.id, |_| facts.digest, connection, called).await;
            if let Ok(None) = known {
                tracing::info!(credential.id = %credential, limit = "exchanges_per_key", "over a limit");
            }
            return drop(
                answer.send(known.map_err(NotBegun::from).and_then(|it| it.ok_or(NotBegun::TooMany))),
            );
        }
        let mut begun = self.store.begin_transaction(facts.clone());
        let mut answer = Some(answer);
        let mut tell = |beginning| answer.take().map(|answer| answer.send(beginning));
        let kept = match timeout(COMMIT_WAIT, &mut begun).await {
            Ok(kept) => kept,
            Err(_) => {
                // Nobody may be made to pay later than he expects: if it is kept after all, it ends unsent.
                tell(Err(NotBegun::TooLate));
                begun.await
            }
        };
        let is_in_time = answer.is_some();
        let mut tell = |beginning| answer.take().map(|answer| answer.send(beginning));
        match kept {
            Ok(Begun::New(transaction)) => {
                let now = self.presence.clock().now();
                let PaymentOf { caller, called, ask, .. } = payment;
                let (poi, service, created) = (facts.poi.clone(), facts.service.clone(), facts.created);
                let pursuit = match is_in_time {
                    true => Pursuit::begin(now, ask, poi, service, created),
                    false => Pursuit::resume(now, ask, poi, service, created, Resumed::Open),
                };
                let chase = Chase::begun(facts, transaction, caller, called, pursuit, self.wait());
                // The chase counts for itself.
                let followed = self.follow(chase);
                self.in_hand().uncount(&credential);
                tell(Ok(Beginning::Followed(followed)));
            }
            Ok(Begun::Repeated(found)) => {
                self.in_hand().uncount(&credential);
                let joined = self.join(found, facts.connection.as_ref(), &payment.called).await;
                tell(joined.map_err(NotBegun::from));
            }
            Ok(Begun::Clashes(_)) => {
                self.in_hand().uncount(&credential);
                tell(Ok(Beginning::Clashes));
            }
            Err(error) => {
                self.in_hand().uncount(&credential);
                tell(Err(error.into()));
            }
        }
    }

    fn facts_of(&self, payment: &PaymentOf) -> TransactionFacts {
        let PaymentOf { caller, device, connection, poi, group, ask, .. } = payment;
        let created = self.presence.clock().now().wall;
        let service = service_id_of(caller.credential.as_str(), ask.transaction());
        let payment_request = Kept::of(ask.raw());
        TransactionFacts {
            credential: caller.credential.clone(),
            id: ask.transaction().clone(),
            digest: digest_of(poi, &payment_request),
            company: caller.company.clone(),
            group: group.clone(),
            poi: poi.clone(),
            service: service.clone(),
            device: device.clone(),
            connection: connection.clone(),
            payment_request,
            request: Kept::of(&ask.message(poi, &service, created)),
            created,
        }
    }

    /// Another call for a transaction that was begun before. For who holds its name.
    async fn join(
        self: &Arc<Self>,
        found: Box<Transaction>,
        connection: Option<&ConnectionId>,
        called: &str,
    ) -> Result<Beginning, StoreError> {
        // A gateway that has just started may not have come to it yet.
        let found = Box::new(self.see_to(*found).await?);
        let mut is_told_now = true;
        let mut in_hand = self.in_hand();
        let followed = in_hand.transactions.get_mut(&found.seq).map(|one| {
            // What was announced has gone to those who asked before. What is on disk and was not is announced in a moment.
            let announced = *one.news.borrow();
            is_told_now = announced > Edition::default() && announced >= found.edition;
            if let Some(connection) = connection
                && !one.askers.contains(connection)
            {
                one.take_in(connection, |asker| self.desktops.is_here(asker));
            }
            Followed { transaction: found.seq, news: one.news.subscribe() }
        });
        drop(in_hand);
        if let Some(connection) = connection
            && is_told_now
        {
            self.answer(connection, &found, called);
        }
        Ok(followed.map_or(Beginning::Stands(found), Beginning::Followed))
    }
}

impl InHandOne {
    /// One more waits, in the place of one that has gone if there are too many.
    fn take_in(&mut self, connection: &ConnectionId, is_here: impl Fn(&ConnectionId) -> bool) {
        if self.askers.len() >= ASKERS_MAX {
            self.askers.retain(is_here);
        }
        if self.askers.len() < ASKERS_MAX {
            self.askers.push(connection.clone());
        }
    }
}

/// What makes two calls the same payment: the terminal, whatever it was called, and the desktop's own object.
fn digest_of(poi: &PoiId, payment_request: &Kept) -> Digest {
    let mut hash = Sha256::new();
    // The length keeps apart what would be the same text one after the other.
    hash.update((poi.as_str().len() as u64).to_be_bytes());
    hash.update(poi.as_str().as_bytes());
    hash.update(payment_request.bytes());
    Digest(hash.finalize().into())
}
