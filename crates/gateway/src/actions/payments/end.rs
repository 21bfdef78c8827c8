//! How a transaction stands goes to the disk, and then to its desktop.

use nexo::Kept;
use relay::actions::{Charge, End, PaymentOutcome, PaymentStanding, VoidEnd};

use super::Payments;
use super::chase::Chase;
use crate::actions::desktops::{Due, Why};
use crate::store::actions::{Completed, Completion, Edition, Progress, Transaction, Void};

impl Payments {
    /// Keeps how a transaction stands that has no end yet. None when the gateway stops first, here and below.
    pub(super) async fn note(&self, chase: &mut Chase, standing: PaymentStanding) -> Option<()> {
        let (progress, is_word) = match standing {
            PaymentStanding::Runs => (Progress::Runs, false),
            PaymentStanding::AwaitsReconnect => (Progress::AwaitsReconnect, false),
            PaymentStanding::GivenUp(told) => (Progress::GivenUp(Kept::of(&told.payment_response)), true),
        };
        let at = self.presence.clock().now().wall;
        self.keep(|| self.store.note_progress(chase.transaction, progress.clone(), at)).await?;
        if is_word {
            chase.is_given_up = true;
            let edition = self.row(chase).await?.map_or(Edition::default(), |row| row.edition);
            self.announce(chase, edition);
        }
        Some(())
    }

    /// Keeps the end of a transaction; whether its success is being taken back.
    pub(super) async fn end(&self, chase: &mut Chase, end: End, outcome: &PaymentOutcome) -> Option<bool> {
        let response = Kept::of(&outcome.payment_response);
        let completion = match end {
            End::Paid(charge) => Completion::Paid(response, charge),
            End::PaidLate(charge) => Completion::PaidLate(response, charge),
            End::PaidLateToVoid(charge) => Completion::PaidLateToVoid(response, charge),
            End::Failed => Completion::Failed(response),
            End::Cancelled => Completion::Cancelled(response),
        };
        let at = self.presence.clock().now().wall;
        let completed =
            self.keep(|| self.store.complete_transaction(chase.transaction, completion.clone(), at)).await?;
        let Completed { edition, void } = match completed {
            Some(completed) => completed,
            // A write that had failed was there all the same.
            None => match self.row(chase).await? {
                Some(row) => Completed { edition: row.edition, void: row.void },
                None => return Some(false),
            },
        };
        let is_being_voided = void == Void::Pending;
        if is_being_voided {
            tracing::warn!(
                credential.id = %chase.desktop.credential,
                transaction.id = %chase.id,
                "a payment succeeded after its desktop was told that its outcome is not known: it is being voided"
            );
            return Some(true);
        }
        if matches!(end, End::PaidLate(_) | End::PaidLateToVoid(_)) {
            tracing::error!(
                credential.id = %chase.desktop.credential,
                transaction.id = %chase.id,
                "a payment succeeded after its desktop was told that its outcome is not known, and stays: a person decides"
            );
        }
        if matches!(
            end,
            End::Paid(Charge::Part) | End::PaidLate(Charge::Part) | End::PaidLateToVoid(Charge::Part)
        ) {
            tracing::error!(
                credential.id = %chase.desktop.credential,
                transaction.id = %chase.id,
                "a terminal has charged a part of a payment, which nobody asked for: a person decides"
            );
        }
        self.announce(chase, edition);
        Some(false)
    }

    /// Keeps the end of a void.
    pub(super) async fn end_void(&self, chase: &mut Chase, end: VoidEnd) -> Option<()> {
        let void = if end == VoidEnd::Done { Void::Done } else { Void::Failed };
        let at = self.presence.clock().now().wall;
        self.keep(|| self.store.set_void(chase.transaction, void, at)).await?;
        let alarm = match end {
            VoidEnd::Done => None,
            VoidEnd::Refused => {
                Some("a payment that succeeded too late could not be voided: a person decides")
            }
            VoidEnd::Unknown => Some(
                "a payment that succeeded too late may have been voided, and nobody can find out: a person has to look",
            ),
        };
        if let Some(alarm) = alarm {
            tracing::error!(
                credential.id = %chase.desktop.credential,
                transaction.id = %chase.id,
                "{alarm}"
            );
        }
        let edition = self.row(chase).await?.map_or(Edition::default(), |row| row.edition);
        self.announce(chase, edition);
        Some(())
    }

    async fn row(&self, chase: &Chase) -> Option<Option<Transaction>> {
        let row = self.keep(|| self.store.transaction(&chase.desktop.credential, &chase.id)).await?;
        let row = row.filter(|row| row.seq == chase.transaction);
        if row.is_none() {
            tracing::error!(transaction.id = %chase.id, "a transaction that is followed is not in the store");
        }
        Some(row)
    }

    /// There is something to tell, and it is on disk.
    fn announce(&self, chase: &mut Chase, edition: Edition) {
        let mut askers = Vec::new();
        if let Some(one) = self.in_hand().transactions.get(&chase.transaction) {
            one.news.send_replace(edition);
            askers.clone_from(&one.askers);
        }
        let due = Due {
            transaction: chase.transaction,
            id: chase.id.clone(),
            terminal: chase.called.clone(),
            why: Why::Owed,
            held: chase.waits.take(),
        };
        self.desktops.owe(&chase.desktop, &askers, &due);
    }
}
