//! What one terminal's socket holds of its terminal's desk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nexo::PoiId;
use relay::exchange::{Arrival, LinkOrder, Report, Source};
use relay::{ConnectionId, ProcessId, ToGateway, ToTerminal, WallMs};
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
    wake: Arc<Wake>,
}

/// What a desk holds of one socket.
#[derive(Debug, Default)]
pub(super) struct Wake {
    ready: Notify,
    /// When anything last came from it, by the wall clock. It is only shown.
    heard: AtomicI64,
}

impl Wake {
    /// The socket may have something to do.
    pub(super) fn now(&self) {
        self.ready.notify_one();
    }

    /// When anything last came from it; the epoch when nothing did.
    pub(super) fn heard(&self) -> WallMs {
        WallMs(self.heard.load(Ordering::Relaxed))
    }
}

impl Presence {
    /// A socket of this terminal has opened; the terminal is not present before its `hello` is accepted. None when the
    /// terminal has [`LINKS_MAX`] sockets already.
    pub(crate) fn attach(self: &Arc<Self>, poi: &PoiId, connection: ConnectionId) -> Option<LinkHandle> {
        self.attach_with(poi, connection, |_, _| {})
    }

    /// The same for a terminal that does not end its older sockets itself: they end here, told that `winner` took their
    /// place, and say no `hello` any more.
    pub(crate) fn displace(
        self: &Arc<Self>,
        poi: &PoiId,
        connection: ConnectionId,
        winner: &ProcessId,
    ) -> Option<LinkHandle> {
        self.attach_with(poi, connection, |inner, now| {
            let older: Vec<_> = inner.links.iter().map(|(connection, _)| connection.clone()).collect();
            inner.desk.handle_displaced(now, older, winner);
        })
    }

    fn attach_with(
        self: &Arc<Self>,
        poi: &PoiId,
        connection: ConnectionId,
        before: impl Fn(&mut Inner, relay::Now),
    ) -> Option<LinkHandle> {
        let wake = Arc::new(Wake::default());
        let mut attached = false;
        let counter = self.with_desk(poi, |inner, now| {
            attached = inner.links.len() < LINKS_MAX;
            if attached {
                before(inner, now);
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
        self.wake.ready.notified().await;
    }

    /// The next thing that this socket must do, if any.
    pub(crate) fn next_order(&self) -> Option<LinkOrder> {
        let mut order = None;
        self.drive(|inner, now| {
            order = inner.desk.poll_transmit(now, &self.connection);
            if let Some(LinkOrder::Frame(ToTerminal::Welcome(welcome))) = &order {
                inner.told_revision = inner.told_revision.max(welcome.settings.revision);
                // Which token it has it shows by the one that it came with.
                inner.next_token = None;
            }
        });
        order
    }

    /// The terminal has said `hello`.
    pub(crate) fn hello(&self, arrival: Arrival) {
        self.drive(|inner, now| inner.desk.handle_hello(now, arrival));
    }

    /// Says `hello` in the terminal's stead, with an `attempt` above `stored` and above every one that was given before. A socket
    /// that was displaced says nothing: its close is waiting.
    pub(crate) fn hello_as(&self, stored: u64, arrival: impl FnOnce(u64) -> Arrival) {
        self.drive(|inner, now| {
            if inner.links.last().is_some_and(|(newest, _)| *newest == self.connection) {
                inner.attempt = inner.attempt.max(stored).saturating_add(1);
                inner.desk.handle_hello(now, arrival(inner.attempt));
            }
        });
    }

    /// Something came from the socket.
    pub(crate) fn heard(&self, at: WallMs) {
        self.wake.heard.store(at.0, Ordering::Relaxed);
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
            ToGateway::Applied(revision) => {
                self.drive(|inner, _| inner.desk.handle_applied(connection, revision));
            }
            ToGateway::ConfigRemoved(change) => {
                self.drive(|inner, _| inner.desk.handle_config_removed(connection, change));
            }
            ToGateway::TokenStored => self.drive(|inner, _| inner.desk.handle_token_stored(connection)),
            ToGateway::Hello(_) | ToGateway::Device(_) | ToGateway::Unknown(_) => {}
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
            self.presence.note_departure(inner);
            inner.links.retain(|(c, _)| *c != self.connection);
            let lease = inner.desk.presence().lease().filter(|_| fault::is(Fault::EpochNotPassed));
            let present = lease.map(|lease| lease.connection.clone());
            inner.desk.handle_gone(now, present.as_ref().unwrap_or(&self.connection));
        });
    }
}
