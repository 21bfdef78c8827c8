//! The gateway's side of desktops: what they ask for is begun on disk, followed by the real [`Pursuit`], and told in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use judge::What;
use nexo::{Kept, Request, ServiceId};
use relay::actions::{
    FromClient, PaymentAsk, PaymentComplete, PaymentStanding, PaymentVoided, Port, Pursuit, PursuitOrder,
    Resumed, ToClient, Undo, VoidEnd, service_id_of,
};
use relay::exchange::{Asks, Call, Heard, ReplyMode, WAIT_MAX};
use relay::ledger::{Caller, Digest, LedgerError};
use relay::{CallId, DeliveryId, ExchangeId};
use sha2::{Digest as _, Sha256};

use super::Kind;
use super::port::key_of;
use super::transactions::{Change, Changed, Facts, Void};
use crate::network::{ConnectionNumber, End as Side, Packet};
use crate::store::Job;
use crate::tally::Count;
use crate::world::{Event, START, World, poi_id};

/// How soon a change that did not get to the disk is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// All of a gateway's process.
#[derive(Debug, Default)]
pub(crate) struct Pursuits {
    /// By transaction.
    chases: BTreeMap<usize, Chase>,
    /// Which one waits for the answer to this call.
    calls: BTreeMap<CallId, usize>,
    /// Open connections of desktops, and whose they are.
    pub(crate) desktops: BTreeMap<ConnectionNumber, usize>,
    /// Where the result of a transaction goes, for desktops without identity.
    listeners: BTreeMap<usize, ConnectionNumber>,
    last_retry: u64,
    /// Changes that wait to be tried again.
    retries: BTreeMap<u64, (Waiter, Change)>,
}

/// One payment under way.
#[derive(Debug)]
struct Chase {
    pursuit: Pursuit,
    terminal: usize,
    /// What it has ordered and is not done.
    is_out: bool,
    orders: VecDeque<PursuitOrder>,
    is_present: bool,
    armed: Option<Duration>,
}

/// Who waits for a change to be on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiter {
    /// A connection that has asked for a payment.
    Asked(ConnectionNumber),
    /// An order of this transaction's pursuit; whether it is the end.
    Order(usize, bool),
    /// A desktop that looks at a transaction.
    Reader(usize),
    Nobody,
}

/// A desktop's API key.
pub(crate) fn credential_of(desktop: usize) -> String {
    format!("desktop-{desktop}")
}

impl World {
    /// A desktop connects.
    pub(crate) fn take_desktop(&mut self, number: ConnectionNumber, key: &str) {
        let Some(desktop) = (0..self.desktops.len()).find(|desktop| credential_of(*desktop) == key) else {
            return self.respond(number, 401, Bytes::new());
        };
        self.send(number, Side::Gateway, &Packet::Answer(101, Bytes::new()));
        self.gateway.pursuits.desktops.insert(number, desktop);
        if self.desktops[desktop].has_identity {
            let all = &self.store.transactions.0;
            let own = (0..all.len()).filter(|it| all[*it].facts.desktop == desktop);
            for transaction in own.collect::<Vec<_>>() {
                self.tell_desktop(transaction);
            }
        }
    }

    pub(crate) fn lose_desktop(&mut self, number: ConnectionNumber) {
        if self.gateway.pursuits.desktops.remove(&number).is_some() {
            self.gateway.pursuits.listeners.retain(|_, listener| *listener != number);
        }
    }

    /// A frame from a desktop.
    pub(crate) fn desktop_says(&mut self, number: ConnectionNumber, frame: &Bytes) {
        let Some(desktop) = self.gateway.pursuits.desktops.get(&number).copied() else { return };
        let begun = self.gateway_now().wall;
        match FromClient::decode(frame) {
            Ok(FromClient::Payment { terminal_id, payment_request }) => {
                let terminal = (0..self.sites.len()).find(|site| poi_id(*site).as_str() == &*terminal_id);
                let name = payment_request.clone();
                let fresh = || unreachable_name(&name);
                let (Some(terminal), Ok(ask)) = (terminal, PaymentAsk::read(&payment_request, fresh)) else {
                    return;
                };
                let connection = format!("c_{number}");
                let facts = Facts { desktop, ask, terminal, connection, begun };
                self.change(Waiter::Asked(number), Change::Begin(Box::new(facts)));
            }
            Ok(FromClient::Ping) => {
                let pong = ToClient::Pong { timestamp: begun.to_rfc3339() }.encode();
                self.send(number, Side::Gateway, &Packet::Text(pong));
            }
            _ => {}
        }
    }

    fn change(&mut self, waiter: Waiter, change: Change) {
        self.submit(Job::Change(waiter, change));
    }

    /// A change is on disk, or nobody knows.
    pub(crate) fn changed(&mut self, waiter: Waiter, change: Change, done: Result<Changed, LedgerError>) {
        let Ok(done) = done else {
            if !matches!(waiter, Waiter::Nobody | Waiter::Reader(_)) {
                self.gateway.pursuits.last_retry += 1;
                let retry = self.gateway.pursuits.last_retry;
                self.gateway.pursuits.retries.insert(retry, (waiter, change));
                self.schedule.after(RETRY, Event::ChangeAgain(retry, self.gateway.life));
            }
            return;
        };
        match (waiter, done) {
            (Waiter::Asked(number), Changed::Begun(transaction)) => {
                self.gateway.pursuits.listeners.insert(transaction, number);
                self.begin_chase(transaction, None);
            }
            (Waiter::Asked(number), Changed::Repeated(transaction)) => {
                self.gateway.pursuits.listeners.insert(transaction, number);
                let it = &self.store.transactions.0[transaction];
                // It was begun under an answer that got lost.
                let runs = !it.is_complete && it.edition == 0;
                if runs && !self.gateway.pursuits.chases.contains_key(&transaction) {
                    self.begin_chase(transaction, Some(Resumed::Open));
                }
                self.tally.count(Count::DesktopRepeats);
                self.tell_again(transaction);
            }
            (Waiter::Order(transaction, is_end), _) => {
                let now = self.gateway_now();
                let is_voiding = self.store.transactions.0[transaction].void == Void::Pending;
                if let Some(chase) = self.gateway.pursuits.chases.get_mut(&transaction) {
                    chase.is_out = false;
                    if is_end {
                        chase.pursuit.handle_ended(now, is_voiding);
                    }
                }
                self.tell_desktop(transaction);
                self.chase(transaction);
            }
            (Waiter::Reader(transaction), Changed::Read(true)) => {
                self.tally.count(Count::DesktopReads);
                self.show_desktop(transaction, None);
            }
            _ => {}
        }
    }

    pub(crate) fn change_again(&mut self, retry: u64) {
        if let Some((waiter, change)) = self.gateway.pursuits.retries.remove(&retry) {
            self.change(waiter, change);
        }
    }

    /// What an earlier life of the gateway has left open.
    pub(crate) fn resume_chases(&mut self) {
        let open: Vec<_> = self.store.transactions.0.iter().enumerate().collect();
        let open: Vec<_> = open
            .into_iter()
            .filter(|(_, it)| !it.is_complete || it.void == Void::Pending)
            .map(|(number, it)| {
                let resumed = match (it.void, it.edition) {
                    (Void::Pending, _) => Resumed::Voiding,
                    (_, 0) => Resumed::Open,
                    _ => Resumed::GivenUp,
                };
                (number, resumed)
            })
            .collect();
        for (number, resumed) in open {
            self.tally.count(Count::PursuitResumed);
            self.begin_chase(number, Some(resumed));
        }
    }

    fn begin_chase(&mut self, transaction: usize, resumed: Option<Resumed>) {
        let now = self.gateway_now();
        let Facts { desktop, ask, terminal, begun, .. } =
            self.store.transactions.0[transaction].facts.clone();
        let service = service_id_of(&credential_of(desktop), ask.transaction());
        let poi = poi_id(terminal);
        let pursuit = match resumed {
            None => Pursuit::begin(now, ask, poi, service, begun),
            Some(resumed) => Pursuit::resume(now, ask, poi, service, begun, resumed),
        };
        let is_present = true;
        let chase =
            Chase { pursuit, terminal, is_out: false, orders: VecDeque::new(), is_present, armed: None };
        self.gateway.pursuits.chases.insert(transaction, chase);
        self.chase(transaction);
    }

    /// Carries out what a pursuit orders, one after the other.
    fn chase(&mut self, transaction: usize) {
        loop {
            let Some(terminal) = self.gateway.pursuits.chases.get(&transaction).map(|it| it.terminal) else {
                return;
            };
            let now = self.gateway_now();
            let is_present = self.is_present(terminal);
            let Some(chase) = self.gateway.pursuits.chases.get_mut(&transaction) else { return };
            if std::mem::replace(&mut chase.is_present, is_present) != is_present {
                chase.pursuit.handle_presence(now, is_present);
            }
            while let Some(order) = chase.pursuit.poll_order() {
                chase.orders.push_back(order);
            }
            if chase.is_out {
                return;
            }
            let Some(order) = chase.orders.pop_front() else { break };
            chase.is_out = true;
            self.pursuit_orders(transaction, order);
        }
        let instant = self.schedule.now();
        let Some(chase) = self.gateway.pursuits.chases.get_mut(&transaction) else { return };
        if chase.pursuit.is_over() {
            self.gateway.pursuits.chases.remove(&transaction);
            return;
        }
        if let Some(due) = chase.pursuit.poll_timeout() {
            let due = due.saturating_sub(START).max(instant);
            if chase.armed.is_none_or(|armed| due < armed || armed < instant) {
                chase.armed = Some(due);
                self.schedule.at(due, Event::Pursuit(transaction, self.gateway.life));
            }
        }
    }

    pub(crate) fn pursuit_is_due(&mut self, transaction: usize) {
        let now = self.gateway_now();
        if let Some(chase) = self.gateway.pursuits.chases.get_mut(&transaction) {
            chase.armed = None;
            chase.pursuit.handle_timeout(now);
            self.chase(transaction);
        }
    }

    /// A terminal may have come or gone.
    pub(crate) fn chases_look(&mut self, terminal: usize) {
        let is_present = self.is_present(terminal);
        let concerned =
            |(_, chase): &(&usize, &Chase)| chase.terminal == terminal && chase.is_present != is_present;
        let due: Vec<_> =
            self.gateway.pursuits.chases.iter().filter(concerned).map(|(number, _)| *number).collect();
        for transaction in due {
            self.chase(transaction);
        }
    }

    fn pursuit_orders(&mut self, transaction: usize, order: PursuitOrder) {
        let order_of = |is_end| Waiter::Order(transaction, is_end);
        match order {
            PursuitOrder::Send(message) | PursuitOrder::SendVoid(message) => {
                self.ask_desk(transaction, message);
            }
            PursuitOrder::Ask(question) | PursuitOrder::AskVoid(question) => {
                self.tally.count(Count::PursuitAsks);
                let fresh = ServiceId::parse(&format!("q{}", self.gateway.last_call + 1));
                if let Ok(fresh) = fresh {
                    self.ask_desk(transaction, question.message(&fresh));
                }
            }
            PursuitOrder::Note(PaymentStanding::Runs) => {
                self.change(order_of(false), Change::Runs(transaction));
            }
            PursuitOrder::Note(PaymentStanding::AwaitsReconnect) => {
                self.change(order_of(false), Change::AwaitsReconnect(transaction));
            }
            PursuitOrder::Note(PaymentStanding::GivenUp(outcome)) => {
                self.tally.count(Count::DesktopToldUnknown);
                self.change(order_of(false), Change::GivenUp(transaction, outcome.payment_response));
            }
            PursuitOrder::End(end, outcome) => {
                let response = outcome.payment_response;
                self.change(order_of(true), Change::End(transaction, end, response));
            }
            PursuitOrder::Voided(end) => {
                let is_done = end == VoidEnd::Done;
                self.tally.count(if is_done { Count::Voided } else { Count::VoidFailed });
                self.change(order_of(false), Change::Voided(transaction, is_done));
            }
        }
    }

    /// Sends a request of a pursuit to its terminal's desk.
    fn ask_desk(&mut self, transaction: usize, message: Bytes) {
        let Facts { desktop, terminal, .. } = self.store.transactions.0[transaction].facts.clone();
        self.gateway.last_call += 1;
        let id = CallId(self.gateway.last_call);
        let (Ok(request), Ok(exchange), Ok(delivery)) = (
            Request::parse(message),
            ExchangeId::parse(&format!("x_{}", id.0)),
            DeliveryId::parse(&format!("d_{}", id.0)),
        ) else {
            return;
        };
        let kept = Kept::of(request.bytes());
        let call = Call {
            id,
            digest: Digest(Sha256::digest(kept.bytes()).into()),
            kept,
            caller: Caller { company: "SHOP".into(), credential: credential_of(desktop).into() },
            exchange,
            delivery,
            wait: WAIT_MAX,
            reply: ReplyMode::Sync,
            asks: Asks::LedgerAlone,
            hold: Arc::new(()),
            request,
        };
        self.gateway.pursuits.calls.insert(id, transaction);
        self.at_desk(terminal, |desk, now| desk.handle_call(now, call));
    }

    /// The answer to a request of a pursuit, if it is one.
    pub(crate) fn pursuit_hears(&mut self, id: CallId, heard: &Heard) -> bool {
        let Some(transaction) = self.gateway.pursuits.calls.remove(&id) else { return false };
        let now = self.gateway_now();
        let undo = self.undo_of(transaction);
        let terminal = self.store.transactions.0[transaction].facts.terminal;
        if let Some(chase) = self.gateway.pursuits.chases.get_mut(&transaction) {
            chase.is_out = false;
            chase.pursuit.handle_answer(now, heard, undo);
        }
        self.at_desk(terminal, |desk, _| desk.handle_hang_up(id));
        self.schedule.after(Duration::ZERO, Event::Pursuit(transaction, self.gateway.life));
        true
    }

    fn undo_of(&self, transaction: usize) -> Undo {
        let terminal = self.store.transactions.0[transaction].facts.terminal;
        let plain = Port::plain_journal(&key_of(terminal));
        let journal = self.store.ledger.boarded(&poi_id(terminal)).map(|boarded| &boarded.journal);
        match self.sites[terminal].kind {
            Kind::Link => Undo::Possible,
            _ if journal.is_some_and(|journal| *journal != plain) => Undo::Possible,
            _ => Undo::Impossible,
        }
    }

    /// Tells what there is to tell about a transaction that was not told yet.
    pub(crate) fn tell_desktop(&mut self, transaction: usize) {
        if !self.store.transactions.0[transaction].is_told {
            self.tell_again(transaction);
        }
    }

    fn tell_again(&mut self, transaction: usize) {
        let it = &self.store.transactions.0[transaction];
        if it.edition == 0 || it.void == Void::Pending {
            return;
        }
        let (desktop, edition) = (it.facts.desktop, it.edition);
        let connected = |number: &ConnectionNumber| self.gateway.pursuits.desktops.contains_key(number);
        let listener = self.gateway.pursuits.listeners.get(&transaction).copied().filter(connected);
        let own = self.gateway.pursuits.desktops.iter().rfind(|(_, of)| **of == desktop);
        let own = own.map(|(number, _)| *number).filter(|_| self.desktops[desktop].has_identity);
        let Some(number) = own.or(listener) else { return };
        self.show_desktop(transaction, Some(number));
        self.change(Waiter::Nobody, Change::Told(transaction, edition));
    }

    /// Shows a transaction as it is: over a connection, or to somebody who looks at it.
    fn show_desktop(&mut self, transaction: usize, number: Option<ConnectionNumber>) {
        let now = self.gateway_now().wall.to_rfc3339();
        let it = &self.store.transactions.0[transaction];
        let desktop = it.facts.desktop;
        let terminal_id = poi_id(it.facts.terminal).to_string();
        let frame = match it.void {
            Void::Done => ToClient::PaymentVoided(Box::new(PaymentVoided {
                transaction: it.facts.ask.transaction().clone(),
                terminal_id,
                device_id: None,
                void_reason: "late".into(),
                voided_at: now.clone(),
                timestamp: now,
                group_id: None,
            })),
            _ => ToClient::PaymentComplete(Box::new(PaymentComplete {
                terminal_id,
                device_id: None,
                connection_id: None,
                payment_response: it.response.clone().unwrap_or_default(),
                late: it.late,
                timestamp: now,
                group_id: None,
            })),
        };
        let frame = frame.encode();
        self.log(What::ToDesktop { desktop: credential_of(desktop), frame: frame.clone() });
        if let Some(number) = number {
            self.send(number, Side::Gateway, &Packet::Text(frame));
        }
    }

    /// Somebody in the shop looks at the latest payment of a desktop.
    pub(crate) fn desktop_reads(&mut self, desktop: usize) {
        let all = &self.store.transactions.0;
        let own = (0..all.len()).rev().find(|it| all[*it].facts.desktop == desktop);
        if let Some(transaction) = own.filter(|_| self.gateway.is_alive) {
            self.change(Waiter::Reader(transaction), Change::Read(transaction));
        }
    }

    /// Whether nobody follows anything any more that could still end.
    pub(crate) fn pursuits_rest(&self) -> bool {
        self.gateway.pursuits.retries.is_empty()
            && self.store.transactions.0.iter().all(|it| it.edition > 0 && it.void != Void::Pending)
    }
}

/// Every desktop of this world names its payments.
fn unreachable_name(_: &Bytes) -> relay::actions::TransactionId {
    #[expect(clippy::expect_used, reason = "a text of this file")]
    relay::actions::TransactionId::parse("unnamed").expect("a name")
}
