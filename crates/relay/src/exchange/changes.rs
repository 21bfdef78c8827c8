//! What the fleet wants of a terminal's link: changed settings, the removal of its configuration, a new token, and that it is closed
//! down.
//!
//! What stays true: from the moment that a link is closed down, or that its terminal is asked to remove its configuration, no new
//! request is written to it; and neither cuts off what the terminal has, as long as that ends within [`WAIT_MAX`].

use std::time::Duration;

use nexo::MessageCategory;

use super::{Desk, Effect, LinkOrder, Purpose, State, WAIT_MAX};
use crate::frame::{ChangedSettings, RESUME_MAX, ToTerminal, Welcome};
use crate::id::{ChangeId, ConnectionId, DeliveryId};
use crate::ledger::Outcome;
use crate::link::CloseReason;
use crate::link_token::LinkToken;
use crate::presence::Lease;
use crate::time::Now;

/// The present link is to go as soon as nothing is open.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    reason: CloseReason,
    since: Duration,
}

/// The terminal is to remove its configuration.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    change: ChangeId,
    /// The link on which it was asked to.
    asked_on: Option<ConnectionId>,
}

impl Desk {
    /// The terminal's settings have changed, or its place has: its present link is told, and so is one whose `hello` is being taken.
    /// Only told; whoever is told nothing here learns it with its next `welcome` or maintenance call.
    pub fn handle_settings(&mut self, now: Now, changed: ChangedSettings) {
        if self.lease().is_some() {
            self.order(LinkOrder::Frame(ToTerminal::Settings(Box::new(changed.clone()))));
        }
        self.told_settings = Some(Box::new(changed));
        self.conclude(now);
    }

    /// A boarded terminal is assigned to another place: it is asked once on each link to remove its configuration, until
    /// [`handle_removal_over`](Self::handle_removal_over). Until then new requests are answered as for an absent terminal. To be said
    /// again when a terminal of which this is true opens a socket, for a desk that nobody needs is forgotten; saying it twice does
    /// nothing.
    pub fn handle_remove_config(&mut self, now: Now, change: ChangeId) {
        if self.removal.as_ref().is_none_or(|removal| removal.change != change) {
            self.removal = Some(Box::new(Removal { change, asked_on: None }));
        }
        if let Some(connection) = self.lease().map(|l| l.connection.clone()) {
            self.ask_for_removal(connection);
        }
        self.conclude(now);
    }

    /// The configuration need not be removed any more: the terminal has been moved, or stays where it is.
    pub fn handle_removal_over(&mut self) {
        self.removal = None;
    }

    /// The terminal is to prove itself with this token from its next connect on. It says so once that is stored.
    pub fn handle_new_token(&mut self, now: Now, token: LinkToken) {
        if self.lease().is_some() {
            self.order(LinkOrder::Frame(ToTerminal::NewToken(token)));
        }
        self.conclude(now);
    }

    /// The terminal may have no link any more. Of these sockets of it the present one is closed down: new requests are answered as for
    /// an absent terminal at once, and it closes when no exchange is open and nothing that the terminal has is unrecorded, at most
    /// [`WAIT_MAX`] later. The others end now. A socket that is attached later is none of them.
    pub fn handle_closing_down(
        &mut self,
        now: Now,
        connections: impl IntoIterator<Item = ConnectionId>,
        reason: &CloseReason,
    ) {
        let present = self.lease().map(|l| l.connection.clone());
        if present.is_some() {
            let since = self.closing.as_ref().map_or(now.mono, |closing| closing.since);
            self.closing = Some(Box::new(Closing { reason: reason.clone(), since }));
            self.presence.close_down(true);
            self.answer_checks(false);
        }
        let others = connections.into_iter().filter(|connection| Some(connection) != present.as_ref());
        self.end_sockets(now, others, reason);
        self.closing_timeout(now);
        self.conclude(now);
    }

    /// The terminal may have a link after all: one that still stands goes on as if nothing had been.
    pub fn handle_reopened(&mut self, now: Now) {
        if self.closing.take().is_some() {
            self.presence.close_down(false);
        }
        self.conclude(now);
    }

    /// The terminal says that these settings are in force.
    pub fn handle_applied(&mut self, connection: &ConnectionId, revision: u64) {
        if self.is_present(connection) {
            self.effects.push_back(Effect::Applied { connection: connection.clone(), revision });
        }
    }

    /// The terminal says that its configuration is removed.
    pub fn handle_config_removed(&mut self, connection: &ConnectionId, change: ChangeId) {
        if self.is_present(connection) {
            self.effects.push_back(Effect::ConfigRemoved { connection: connection.clone(), change });
        }
    }

    /// The terminal says that its new token is stored.
    pub fn handle_token_stored(&mut self, connection: &ConnectionId) {
        if self.is_present(connection) {
            self.effects.push_back(Effect::TokenStored { connection: connection.clone() });
        }
    }

    /// Where a new request of this category goes, if it goes anywhere. An Abort passes as long as there may be something to abort.
    pub(super) fn route(&self, category: &MessageCategory) -> Option<&Lease> {
        if *category == MessageCategory::ABORT && !self.owed.is_empty() {
            return self.lease();
        }
        self.presence.route().filter(|_| self.removal.is_none())
    }

    /// The terminal may hold this unrecorded. The oldest makes room in a list that no terminal that keeps T5 could fill.
    pub(super) fn note_owed(&mut self, delivery: DeliveryId) {
        if self.owed.len() >= RESUME_MAX {
            self.owed.remove(0);
        }
        self.owed.push(delivery);
    }

    /// A welcome tells no settings that are older than what was told since it was composed.
    pub(super) fn bring_up_to_date(&self, welcome: &mut Welcome) {
        if let Some(told) = self.told_settings.as_ref()
            && told.settings.revision > welcome.settings.revision
        {
            welcome.settings = told.settings.clone();
            if let Some(terminal) = &told.terminal {
                welcome.terminal = terminal.clone();
            }
        }
    }

    /// Asks the present link, once, to remove the configuration.
    pub(super) fn ask_for_removal(&mut self, present: ConnectionId) {
        if let Some(removal) = &mut self.removal
            && removal.asked_on.as_ref() != Some(&present)
        {
            let frame = ToTerminal::RemoveConfig(removal.change.clone());
            removal.asked_on = Some(present);
            self.order(LinkOrder::Frame(frame));
        }
    }

    /// When the link that is being closed down goes: now, once nothing is open.
    pub(super) fn closing_due(&self) -> Option<Duration> {
        let closing = self.closing.as_ref()?;
        Some(if self.is_quiet() { closing.since } else { closing.since + WAIT_MAX })
    }

    pub(super) fn closing_timeout(&mut self, now: Now) {
        if self.closing_due().is_some_and(|due| now.mono >= due)
            && let Some(closing) = self.closing.take()
        {
            self.end_link(now, closing.reason);
        }
    }

    /// Whether closing the present link would cut nothing off: what was asked has ended, what has ended is recorded, and the terminal
    /// was told so.
    fn is_quiet(&self) -> bool {
        let is_over = |x: &super::Exchange| match x.state {
            State::Loose => true,
            // It is being written down as one that never reached the terminal.
            State::Admitting { .. } => x.record.outcome != Outcome::Open,
            _ => false,
        };
        let is_being_kept = |(_, purpose): &(_, Purpose)| {
            matches!(purpose, Purpose::Keep { .. } | Purpose::Notification { .. })
        };
        self.orders.is_empty()
            && !self.ops.iter().any(is_being_kept)
            && self.owed.is_empty()
            && self.unplaced.is_empty()
            && self.exchanges.iter().all(is_over)
    }

    fn is_present(&self, connection: &ConnectionId) -> bool {
        self.lease().is_some_and(|l| l.connection == *connection)
    }
}
