//! A gateway that starts goes on with the payments that an earlier run has left.

use std::sync::Arc;

use relay::actions::{PaymentAsk, Pursuit, Resumed};

use super::Payments;
use super::chase::Chase;
use crate::ids;
use crate::store::StoreError;
use crate::store::actions::{Edition, TRANSACTIONS_PER_PAGE, Transaction, Void};

impl Payments {
    /// Takes up every transaction that has no end yet. They are asked for, and never sent again.
    pub(crate) fn recover(self: &Arc<Self>) {
        let payments = self.clone();
        self.tasks.spawn(async move { payments.recover_all().await });
    }

    async fn recover_all(self: Arc<Self>) {
        let (mut after, mut count) = (None, 0_usize);
        loop {
            let Some(page) = self.keep(|| self.store.unfinished_transactions(after)).await else { return };
            let is_last = page.len() < TRANSACTIONS_PER_PAGE;
            after = page.last().map(|row| row.seq);
            count += page.len();
            for row in page {
                // A desktop that was here first may just be beginning it.
                let _held = self.hold(&row.facts.credential, &row.facts.id).await;
                if self.see_to(row.clone()).await.is_err() {
                    self.take_up(row);
                }
            }
            if is_last {
                break;
            }
        }
        if count > 0 {
            tracing::info!(count, "payments of an earlier run are followed to their ends");
        }
    }

    /// A transaction as it stands, followed if it is open. For who holds its name.
    ///
    /// # Errors
    /// The store can't be read.
    pub(super) async fn see_to(self: &Arc<Self>, row: Transaction) -> Result<Transaction, StoreError> {
        if !row.is_open() || self.in_hand().transactions.contains_key(&row.seq) {
            return Ok(row);
        }
        // It may have ended since it was read, and then whoever waits is told by what is in the store.
        let now = self.store.transaction(&row.facts.credential, &row.facts.id).await?;
        let row = now.filter(|now| now.seq == row.seq).unwrap_or(row);
        if row.is_open() {
            self.take_up(row.clone());
        }
        Ok(row)
    }

    /// Follows a transaction of an earlier run, if nobody does yet. For who holds its name.
    fn take_up(self: &Arc<Self>, row: Transaction) {
        if self.in_hand().transactions.contains_key(&row.seq) {
            return;
        }
        let Transaction { seq, facts, edition, void, .. } = row;
        let now = self.presence.clock().now();
        // What was kept has a name.
        let ask = match PaymentAsk::read(facts.payment_request.bytes(), || ids::transaction_name(now.wall)) {
            Ok(ask) => ask,
            Err(error) => {
                tracing::error!(
                    %error,
                    poi.id = %facts.poi,
                    transaction.id = %facts.id,
                    "a payment that is kept can't be read, and its end will not be told: a person has to find out"
                );
                return;
            }
        };
        let resumed = match void {
            Void::Pending => Resumed::Voiding,
            _ if edition > Edition::default() => Resumed::GivenUp,
            _ => Resumed::Open,
        };
        let (poi, service, created) = (facts.poi.clone(), facts.service.clone(), facts.created);
        let pursuit = Pursuit::resume(now, ask, poi, service, created, resumed);
        self.follow(Chase::resumed(facts, seq, pursuit, edition));
    }
}
