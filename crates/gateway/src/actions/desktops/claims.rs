//! Which connection tells which result.
//!
//! What stays true: of one edition of a transaction no two connections are told, unless the later one is a newer connection of
//! the same desktop and the earlier one has not shown that it has it.

use std::collections::HashMap;

use relay::ConnectionId;

use crate::store::actions::{Edition, TransactionSeq};

/// What is on its way to some connection.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<TransactionSeq, Claim>);

/// The right to tell one edition of a transaction. [`Claims::release`] ends it.
#[derive(Clone, Debug)]
struct Claim {
    connection: ConnectionId,
    edition: Edition,
    /// The desktop has it: it stays claimed until that is in the store, whatever becomes of the connection.
    has_arrived: bool,
}

impl Claims {
    /// Takes the right to tell this edition, unless it, or a later one, is another's. `is_newer` tells whether `connection` is a newer
    /// one of the desktop that has the given one.
    pub(super) fn take(
        &mut self,
        connection: &ConnectionId,
        transaction: TransactionSeq,
        edition: Edition,
        is_newer: impl Fn(&ConnectionId) -> bool,
    ) -> bool {
        let is_claimed = self.0.get(&transaction).is_some_and(|claim| {
            let may_take = !claim.has_arrived && is_newer(&claim.connection);
            claim.edition > edition || (claim.edition == edition && !may_take)
        });
        if !is_claimed {
            let claim = Claim { connection: connection.clone(), edition, has_arrived: false };
            self.0.insert(transaction, claim);
        }
        !is_claimed
    }

    /// The desktop has it.
    pub(super) fn note_arrived(&mut self, transaction: TransactionSeq, edition: Edition) {
        if let Some(claim) = self.0.get_mut(&transaction).filter(|claim| claim.edition == edition) {
            claim.has_arrived = true;
        }
    }

    /// It is in the store as told, or will not be told.
    pub(super) fn release(&mut self, transaction: TransactionSeq, edition: Edition) {
        if self.0.get(&transaction).is_some_and(|claim| claim.edition == edition) {
            self.0.remove(&transaction);
        }
    }

    /// A connection has gone: what had not arrived is anybody's again.
    pub(super) fn leave(&mut self, connection: &ConnectionId) {
        self.0.retain(|_, claim| claim.connection != *connection || claim.has_arrived);
    }
}
