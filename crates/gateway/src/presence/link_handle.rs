//! What one terminal's socket holds of its terminal's desk.

use std::sync::Arc;

use nexo::PoiId;
use relay::exchange::{Arrival, LinkOrder, Report, Source};
use relay::{ConnectionId, ToGateway};
use tokio::sync::Notify;

use super::{Counter, Inner, Presence};
use crate::fault::{self, Fault};

/// Sockets of one terminal at once: the present one, its successor, and a few that are dying.
const LINKS_MAX: usize = 8;

/// One socket of a terminal, from its upgrade to its end. Dropping it is the departure.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    presence: Arc<Presence>,
    counter: Arc<Counter>,
    connection: ConnectionId,
    wake: Arc<Notify>,
}

impl Presence {
    /// A socket of this terminal has opened; the terminal is not present before its `hello` is accepted. None when the
    /// terminal has [`LINKS_MAX`] sockets already.
    pub(crate) fn attach(self: &Arc<Self>, poi: &PoiId, connection: ConnectionId) -> Option<LinkHandle> {
        let wake = Arc::new(Notify::new());
        let mut attached = false;
        let counter = self.with_desk(poi, |inner, _| {
            attached = inner.links.len() < LINKS_MAX;
            if attached {
                inner.links.reserve_exact(1); // Hardly ever are there two.
                inner.links.push((connection.clone(), wake.clone()));
            }
        });
        attached.then(|| LinkHandle { presence: self.clone(), counter, connection, wake })
    }
}

impl LinkHandle {
    /// The socket's ID.
    pub(crate) fn connection(&self) -> &ConnectionId {
        &self.connection
    }

    /// Returns when [`next_order`](Self::next_order) may have something. Cancel safe.
    pub(crate) async fn ready(&self) {
        self.wake.notified().await;
    }

    /// The next thing that this socket must do, if any.
    pub(crate) fn next_order(&self) -> Option<LinkOrder> {
        let mut order = None;
        self.drive(|inner, now| order = inner.desk.poll_transmit(now, &self.connection));
        order
    }

    /// The terminal has said `hello`.
    pub(crate) fn hello(&self, arrival: Arrival) {
        self.drive(|inner, now| inner.desk.handle_hello(now, arrival));
    }

    /// A frame that is not the `hello`.
    pub(crate) fn frame(&self, frame: ToGateway) {
        let connection = &self.connection;
        match frame {
            ToGateway::Received(delivery) => {
                self.drive(|inner, _| inner.desk.handle_received(connection, &delivery))
            }
            ToGateway::Result(delivery, message) => self.report(delivery, Report::Result(message)),
            ToGateway::Indeterminate(delivery, reason) => {
                self.report(delivery, Report::Indeterminate(reason))
            }
            ToGateway::Notify(id, message) => {
                self.drive(|inner, now| inner.desk.handle_notification(now, connection, id, message));
            }
            ToGateway::Hello(_) | ToGateway::Device(_) | ToGateway::Applied(_) | ToGateway::Unknown(_) => {}
        }
    }

    /// Whether anything came after a [`LinkOrder::Probe`].
    pub(crate) fn probed(&self, alive: bool) {
        self.drive(|inner, now| inner.desk.handle_probe(now, &self.connection, alive));
    }

    fn report(&self, delivery: relay::DeliveryId, report: Report) {
        let source = Source::Link(self.connection.clone());
        self.drive(|inner, now| inner.desk.handle_report(now, source, delivery, report));
    }

    fn drive(&self, input: impl FnOnce(&mut Inner, relay::Now)) {
        self.presence.drive(&self.counter, input);
    }
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        self.drive(|inner, now| {
            inner.links.retain(|(c, _)| *c != self.connection);
            let lease = inner.desk.presence().lease().filter(|_| fault::is(Fault::EpochNotPassed));
            let present = lease.map(|lease| lease.connection.clone());
            inner.desk.handle_gone(now, present.as_ref().unwrap_or(&self.connection));
        });
    }
}
