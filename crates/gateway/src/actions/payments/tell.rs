//! What a desktop hears about a transaction, as it stands when the desktop's turn comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexo::PoiId;
use relay::actions::{PaymentComplete, PaymentVoided, ToClient};
use relay::{ConnectionId, WallMs};

use super::Payments;
use crate::actions::desktops::{Desktop, Due, Held, Identity, Owing, Why};
use crate::clock::rfc3339;
use crate::presence::Seen;
use crate::store::actions::{ActionsDeviceId, Edition, Transaction, TransactionSeq, TransactionStatus, Void};
use crate::store::{Pending, StoreError};

/// How long until a look into the store that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a payment was voided, for people: there is one reason.
pub(crate) const VOID_REASON: &str =
    "The terminal's success came after the desktop was told that the outcome is not known.";

/// A frame about a transaction, to be written to the desktop's socket; once the desktop has it, [`Payments::told`].
#[derive(Debug)]
pub(crate) struct Word {
    /// The frame.
    pub(crate) frame: Bytes,
    /// What is to be noted once it has arrived; none for one that its desktop was told before.
    pub(crate) slip: Option<Slip>,
    /// Until it is written.
    _held: Option<Arc<Held>>,
}

/// Says which word it was.
#[derive(Debug)]
pub(crate) struct Slip {
    transaction: TransactionSeq,
    edition: Edition,
}

/// What a desktop's task has to write, and what comes after it.
#[derive(Debug)]
pub(crate) struct Words {
    /// In this order.
    pub(crate) words: Vec<Word>,
    /// There may be more; to be looked for once these are in the store as told.
    pub(crate) is_more: bool,
}

/// The terminal of a payment, in the words of a desktop.
struct Subject {
    terminal: String,
    device: String,
    connection: Option<ConnectionId>,
}

impl Payments {
    /// Looks up what is owed to a desktop. Ends only with an answer; drop it when the desktop goes.
    pub(crate) async fn look_up(&self, desktop: &Desktop, owing: Owing) -> Words {
        loop {
            let found = match &owing {
                Owing::All => self.all(desktop).await,
                Owing::One(due) => self.one(desktop, due).await,
            };
            match found {
                Ok(words) => return words,
                Err(error) => tracing::error!(%error, "a desktop waits because the store can't be read"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// A desktop has shown that it has a word. The note is on its way when this returns, and in the store when what it returns
    /// ends.
    pub(crate) fn told(self: &Arc<Self>, slip: Slip) -> impl Future<Output = ()> + Send + use<> {
        let Slip { transaction, edition } = slip;
        self.desktops.note_arrived(transaction, edition);
        let at = self.presence.clock().now().wall;
        let note = self.store.note_transaction_told(transaction, edition, at);
        let payments = self.clone();
        async move { payments.noted(transaction, edition, note).await }
    }

    async fn noted(&self, transaction: TransactionSeq, edition: Edition, note: Pending<()>) {
        let mut note = Some(note);
        let at = self.presence.clock().now().wall;
        let write =
            || note.take().unwrap_or_else(|| self.store.note_transaction_told(transaction, edition, at));
        // A gateway that stops before it is in the store tells it once more.
        let _ = self.keep(write).await;
        self.desktops.release(transaction, edition);
    }

    /// Everything that its identity was not told yet: a page of it.
    async fn all(&self, desktop: &Desktop) -> Result<Words, StoreError> {
        let nothing = Words { words: Vec::new(), is_more: false };
        let Identity { credential, device: Some(device) } = &desktop.identity else { return Ok(nothing) };
        let mut words = Vec::new();
        for row in self.store.untold_transactions(credential, device).await? {
            words.extend(self.owed(desktop, &row, None, None).await?);
        }
        Ok(Words { is_more: !words.is_empty(), words })
    }

    async fn one(&self, desktop: &Desktop, due: &Due) -> Result<Words, StoreError> {
        let row = self.store.transaction(&desktop.identity.credential, &due.id).await?;
        let word = match row.filter(|row| row.seq == due.transaction) {
            None => None,
            Some(row) => match due.why {
                Why::Owed => self.owed(desktop, &row, due.terminal.as_deref(), due.held.clone()).await?,
                Why::Asked => self.asked(desktop, &row, due).await?,
            },
        };
        Ok(Words { words: word.into_iter().collect(), is_more: false })
    }

    /// News, once.
    async fn owed(
        &self,
        desktop: &Desktop,
        row: &Transaction,
        called: Option<&str>,
        held: Option<Arc<Held>>,
    ) -> Result<Option<Word>, StoreError> {
        if row.told.is_some() {
            return Ok(None);
        }
        let Some(frame) = self.frame(row, called).await? else { return Ok(None) };
        let asker = row.facts.connection.as_ref();
        if !self.desktops.claim(&desktop.connection, asker, row.seq, row.edition) {
            return Ok(None);
        }
        Ok(Some(Word { frame, slip: Some(Slip { transaction: row.seq, edition: row.edition }), _held: held }))
    }

    /// The answer to a repeated request. Who asks for a success has read it, so that it is not voided any more (E25).
    async fn asked(
        &self,
        desktop: &Desktop,
        row: &Transaction,
        due: &Due,
    ) -> Result<Option<Word>, StoreError> {
        let now = self.presence.clock().now().wall;
        if row.status == TransactionStatus::Completed
            && !self.store.note_transaction_read(row.seq, now).await?
        {
            // It is being voided: the desktop hears of that when it is done.
            return Ok(None);
        }
        let Some(frame) = self.frame(row, due.terminal.as_deref()).await? else { return Ok(None) };
        // Whose it is has been told by this; another till of the same key has not taken it from him, nor another connection from
        // the one that has begun it and is here.
        let is_own = desktop.identity.device == row.facts.device;
        let is_claimed = is_own
            && row.told.is_none()
            && self.desktops.claim(&desktop.connection, row.facts.connection.as_ref(), row.seq, row.edition);
        let slip = is_claimed.then_some(Slip { transaction: row.seq, edition: row.edition });
        Ok(Some(Word { frame, slip, _held: due.held.clone() }))
    }

    /// The frame that says how a transaction stands; none while there is nothing to tell.
    async fn frame(&self, row: &Transaction, called: Option<&str>) -> Result<Option<Bytes>, StoreError> {
        if row.edition == Edition::default() || row.void == Void::Pending {
            return Ok(None);
        }
        let device = self.device_of(&row.facts.poi).await?;
        let connection = match self.presence.seen(&row.facts.poi) {
            Seen::Online { connection, .. } => Some(connection),
            Seen::Reconnecting | Seen::Offline => None,
        };
        let terminal = called.map_or_else(|| device.clone(), str::to_owned);
        let subject = Subject { terminal, device, connection };
        Ok(frame_of(row, subject, self.presence.clock().now().wall))
    }

    /// What desktops call a terminal: a terminal of the link has no other name than its POIID.
    async fn device_of(&self, poi: &PoiId) -> Result<String, StoreError> {
        let found = self.store.actions_terminal(poi).await?;
        Ok(found.map_or_else(
            || poi.as_str().to_owned(),
            |found| ActionsDeviceId::as_str(&found.terminal.device).to_owned(),
        ))
    }

    /// Another call of one connection for a transaction that has something to tell.
    pub(super) fn answer(&self, connection: &ConnectionId, row: &Transaction, called: &str) {
        let due = Due {
            transaction: row.seq,
            id: row.facts.id.clone(),
            terminal: Some(called.into()),
            why: Why::Asked,
            held: None,
        };
        self.desktops.answer(connection, due);
    }
}

fn frame_of(row: &Transaction, subject: Subject, now: WallMs) -> Option<Bytes> {
    let Subject { terminal, device, connection } = subject;
    let (timestamp, group_id) = (rfc3339(now), Some(row.facts.group.id().to_owned()));
    if let (TransactionStatus::Voided, Some(at)) = (row.status, row.voided) {
        let voided = PaymentVoided {
            transaction: row.facts.id.clone(),
            terminal_id: terminal,
            device_id: Some(device),
            void_reason: VOID_REASON.to_owned(),
            voided_at: rfc3339(at),
            timestamp,
            group_id,
        };
        return Some(ToClient::PaymentVoided(Box::new(voided)).encode());
    }
    let complete = PaymentComplete {
        terminal_id: terminal,
        device_id: Some(device),
        connection_id: connection,
        payment_response: row.response.as_ref()?.bytes().clone(),
        late: row.late && row.status == TransactionStatus::Completed,
        timestamp,
        group_id,
    };
    Some(ToClient::PaymentComplete(Box::new(complete)).encode())
}
