//! The socket of an Actions terminal: what a [`Port`] decides is carried out here, on one side towards the terminal's desk,
//! on the other towards the socket.
//!
//! # What counts as a sign of life
//! Anything that arrives, be it a frame, a WebSocket ping or its answer. A terminal that was silent for 30 s gets an unasked
//! `pong`, as the page has it, and a WebSocket ping, which every WebSocket library answers by itself: the page asks no answer to
//! the `pong`, so its absence would prove nothing. One that is still silent 10 s later is gone (4408).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt as _;
use nexo::{MessageCategory, Request};
use relay::actions::{
    Asked, ClientError, Known, Opening, Port, PortOrder, PortSetup, SALE_ID, ToClient, TransactionId, VoidAsk,
};
use relay::exchange::{Arrival, LinkOrder};
use relay::ledger::IDENTITY_HOURS;
use relay::{
    CloseReason, ConnectionId, Deliver, Heartbeat, LinkAction, Liveness, Now, Placement, ProcessId, Settings,
    ToTerminal, Welcome,
};
use tokio::time::{Sleep, sleep_until, timeout};

use super::{ActionsApi, CLOSE_MAX, Visitor};
use crate::actions::terminals::Connected;
use crate::clock::rfc3339;
use crate::http::listener::Slot;
use crate::ids::{self, TerminalToken};
use crate::presence::LinkHandle;
use crate::store::actions::{ActionsTerminal, RequestFilter};
use crate::store::{Pending, Place, TokenHash};

/// How long a terminal may take to read one frame before it counts as too slow a reader (4429).
const WRITE_MAX: Duration = Duration::from_secs(10);

/// How long the store may take to say what a terminal may have; then the socket is closed (4503), and the terminal comes again.
const STORE_MAX: Duration = Duration::from_secs(10);

/// How long it may take to say what a desktop asked for. Then the terminal is sent what the nexo request says of it.
const ASKED_MAX: Duration = Duration::from_secs(2);

/// For how long a terminal may speak of a payment.
const REMEMBERED: Duration = Duration::from_secs(IDENTITY_HOURS.unsigned_abs() * 3600);

/// The alarm of a socket that has none to wait for.
const ALARM_MAX: Duration = Duration::from_secs(3600);

/// Why a socket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// For a reason that links have, too.
    Link(CloseReason),
    /// 1008: one bad frame after another.
    Errors,
}

impl Ending {
    fn code(&self) -> u16 {
        match self {
            Ending::Link(reason) => reason.code(),
            Ending::Errors => 1008,
        }
    }

    fn text(&self) -> &str {
        match self {
            Ending::Link(CloseReason::Replaced { .. }) => "replaced by a newer connection",
            Ending::Link(CloseReason::BoardAgain) => "this API key is not valid any more",
            Ending::Link(CloseReason::Draining) => "connect again in a moment",
            Ending::Link(CloseReason::Silent) => "silent for too long",
            Ending::Link(CloseReason::TooSlow) => "too slow a reader",
            Ending::Link(CloseReason::TooLarge) => "frame too large",
            Ending::Link(CloseReason::Stopping) => "stopping",
            Ending::Link(_) => "done",
            Ending::Errors => "too many errors",
        }
    }
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Ending {
        Ending::Link(reason)
    }
}

/// One socket from its upgrade to its end. What it does is decided by [`Port`] and by the terminal's desk.
pub(super) fn serve(
    api: Arc<ActionsApi>,
    visitor: Visitor,
    terminal: ActionsTerminal,
    slot: Slot,
    socket: WebSocket,
) {
    let clock = api.presence.clock();
    let tasks = api.tasks.clone();
    let connection = ids::connection_id(clock.now().wall);
    // Every connection's ID can name a process: they have the same letters.
    let process = ProcessId::parse(connection.as_str());
    let handle =
        process.ok().and_then(|p| api.presence.displace(&terminal.poi, connection, &p).map(|h| (h, p)));
    let Some((handle, process)) = handle else {
        tracing::warn!(poi.id = %terminal.poi, client.address = %visitor.address, "a terminal has too many sockets open at once");
        tasks.spawn(async move {
            close(socket, &CloseReason::Draining.into()).await;
            drop(slot);
        });
        return;
    };
    tracing::debug!(poi.id = %terminal.poi, connection.id = %handle.connection(), client.address = %visitor.address, "Actions terminal connected");
    let now = clock.now();
    let connected = api.terminals.connected(handle.connection(), &terminal.poi);
    let alarm = Box::pin(sleep_until(clock.instant(now.mono + ALARM_MAX)));
    let liveness = Liveness::new(now, Heartbeat::DEFAULT);
    let session = Box::new(Session {
        handle,
        connected,
        api,
        visitor,
        terminal,
        process,
        liveness,
        alarm,
        socket,
        slot,
    });
    tasks.spawn(session.live());
}

struct Session {
    /// First, so that it is dropped first: then the terminal has departed.
    handle: LinkHandle,
    connected: Connected,
    api: Arc<ActionsApi>,
    visitor: Visitor,
    terminal: ActionsTerminal,
    /// Names this socket.
    process: ProcessId,
    liveness: Liveness,
    /// Goes off when the socket has to be looked at, or earlier.
    alarm: Pin<Box<Sleep>>,
    socket: WebSocket,
    slot: Slot,
}

impl Session {
    async fn live(mut self: Box<Self>) {
        let ending = match self.run().await {
            Ok(never) => match never {},
            Err(ending) => ending,
        };
        tracing::debug!(poi.id = %self.terminal.poi, connection.id = %self.handle.connection(), code = ending.code(), "Actions terminal disconnected");
        let now = self.api.presence.clock().now();
        // Departs first, so that nobody waits for a polite farewell to know that the terminal is gone.
        let Session { handle, connected, mut socket, slot, .. } = *self;
        drop((handle, connected));
        if matches!(ending, Ending::Link(CloseReason::Replaced { .. })) {
            let reason = "REPLACED_BY_NEW_CONNECTION".into();
            let frame = ToClient::ForceDisconnect { reason, timestamp: rfc3339(now.wall) };
            if let Ok(text) = Utf8Bytes::try_from(frame.encode()) {
                let _ = timeout(CLOSE_MAX, socket.send(Message::Text(text))).await;
            }
        }
        Box::pin(close(socket, &ending)).await;
        drop(slot);
    }

    /// Until the socket ends; says why.
    async fn run(&mut self) -> Result<std::convert::Infallible, Ending> {
        let boarded = self.ask(self.api.store.boarded(&self.terminal.poi)).await?;
        let mut stored = boarded.as_ref().map_or(0, |boarded| boarded.attempt);
        let setup = PortSetup {
            plain_journal: Port::plain_journal(self.visitor.caller.credential.as_str()),
            boarded: boarded.map(|boarded| boarded.journal),
            merchant_account: self.merchant_account().into(),
        };
        let mut port = Port::new(self.now(), setup);
        loop {
            self.carry_out(&mut port, &mut stored).await?;
            // Each socket is woken when the gateway stops.
            if self.api.stopping.is_cancelled() {
                return Err(CloseReason::Stopping.into());
            }
            self.set_alarm(&port);
            let input = tokio::select! {
                message = self.socket.recv(), if port.takes_frames() => Input::Message(message),
                () = self.handle.ready() => Input::Ready,
                () = &mut self.alarm => Input::Timeout,
                () = self.visitor.pass.ended() => return Err(CloseReason::BoardAgain.into()),
            };
            let now = self.now();
            match input {
                Input::Message(message) => self.read(&mut port, now, message)?,
                Input::Ready => {}
                Input::Timeout => {
                    self.liveness.handle_timeout(now);
                    port.handle_timeout(now);
                    self.alarm.as_mut().reset(self.api.presence.clock().instant(now.mono + ALARM_MAX));
                }
            }
        }
    }

    /// Moves the alarm forward if it would go off too late; too early is no harm.
    fn set_alarm(&mut self, port: &Port) {
        let at = self.liveness.poll_timeout();
        let at = port.poll_timeout().map_or(at, |other| other.min(at));
        let at = self.api.presence.clock().instant(at);
        if at < self.alarm.deadline() {
            self.alarm.as_mut().reset(at);
        }
    }

    fn read(
        &mut self,
        port: &mut Port,
        now: Now,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<(), Ending> {
        self.liveness.handle_alive(now);
        self.handle.heard(now.wall);
        match message {
            Some(Ok(Message::Text(text))) => port.handle_text(now, &Bytes::from(text)),
            Some(Ok(Message::Binary(_))) => port.handle_error(now, ClientError::INVALID_JSON),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) if is_too_large(&error) => return Err(CloseReason::TooLarge.into()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(CloseReason::Normal.into()),
        }
        Ok(())
    }

    /// Whatever the port, the desk and the time have for this socket.
    async fn carry_out(&mut self, port: &mut Port, stored: &mut u64) -> Result<(), Ending> {
        loop {
            // The desk first: a socket that was displaced is to close, and to say and write nothing more.
            if let Some(order) = self.handle.next_order() {
                self.follow(port, order).await?;
            } else if let Some(order) = port.poll_order() {
                self.obey(port, order, stored).await?;
            } else if let Some(action) = self.liveness.poll_action() {
                self.stay_alive(action).await?;
            } else {
                return Ok(());
            }
        }
    }

    /// What the desk wants of a link.
    async fn follow(&mut self, port: &mut Port, order: LinkOrder) -> Result<(), Ending> {
        match order {
            LinkOrder::Frame(ToTerminal::Welcome(_)) => port.handle_welcome(self.now()),
            LinkOrder::Frame(ToTerminal::Deliver(deliver)) => {
                let asked = self.asked(&deliver).await;
                port.handle_deliver(self.now(), deliver, asked);
            }
            LinkOrder::Frame(ToTerminal::Recorded { delivery, problem }) => {
                port.handle_recorded(&delivery, problem)
            }
            LinkOrder::Frame(ToTerminal::Unknown(_)) => {}
            LinkOrder::Probe => self.liveness.probe(self.now()),
            LinkOrder::Close(reason) => return Err(reason.into()),
        }
        Ok(())
    }

    /// What the port decided.
    async fn obey(&mut self, port: &mut Port, order: PortOrder, stored: &mut u64) -> Result<(), Ending> {
        match order {
            PortOrder::Look(names) => {
                let known = self.look(names).await?;
                port.handle_found(self.now(), known);
            }
            PortOrder::Hello(opening) => self.introduce(opening, stored).await?,
            PortOrder::Write(frame, delivery) => {
                self.write(&frame).await?;
                if let Some(delivery) = delivery {
                    port.handle_written(&delivery);
                }
            }
            PortOrder::Tell(frame) => self.handle.frame(frame),
            PortOrder::CloseForErrors => return Err(Ending::Errors),
        }
        Ok(())
    }

    async fn stay_alive(&mut self, action: LinkAction) -> Result<(), Ending> {
        match action {
            LinkAction::Ping => {
                self.write(&ToClient::Pong { timestamp: rfc3339(self.now().wall) }).await?;
                self.send(Message::Ping(Bytes::new())).await
            }
            LinkAction::Probe { alive } => {
                self.handle.probed(alive);
                Ok(())
            }
            LinkAction::Close(reason) => Err(reason.into()),
        }
    }

    /// The deliveries that the terminal may have, or may speak of.
    async fn look(&mut self, names: Vec<TransactionId>) -> Result<Vec<Known>, Ending> {
        let since = self.now().wall.minus(REMEMBERED);
        let wanted =
            (!names.is_empty()).then(|| -> RequestFilter { Box::new(move |request| bears(request, &names)) });
        let found = self.ask(self.api.store.deliveries(&self.terminal.poi, since, wanted)).await?;
        let known = found.into_iter().map(|delivery| Known {
            desktop_id: delivery.connection.as_ref().map(|connection| connection.as_str().into()),
            delivery: delivery.delivery,
            message: delivery.request,
            received: delivery.received,
            standing: delivery.standing,
        });
        Ok(known.collect())
    }

    /// Says `hello` in the terminal's stead, boarded anew if it has to be.
    async fn introduce(&mut self, opening: Opening, stored: &mut u64) -> Result<(), Ending> {
        if opening.is_new_journal {
            // Nobody has the secret: the terminal's key has proved who it is.
            let token = TokenHash(TerminalToken::fresh().sha256());
            let journal = opening.journal.clone();
            let boarded = self.api.store.board_actions(&self.terminal.poi, journal, token, self.now().wall);
            let boarded = self.ask(boarded).await?.ok_or(CloseReason::BoardAgain)?;
            *stored = boarded.attempt;
        }
        let now = self.now();
        let welcome = Welcome {
            connection_id: self.handle.connection().clone(),
            server_time: rfc3339(now.wall),
            heartbeat: Heartbeat::DEFAULT,
            terminal: Placement {
                poi_id: self.terminal.poi.clone(),
                merchant_account: self.merchant_account().to_owned(),
                store: match self.terminal.group.place() {
                    Place::Store { store, .. } => Some(store.as_str().to_owned()),
                    _ => None,
                },
            },
            settings: Settings { revision: 0, display_label: None },
            body_limit: u32::try_from(self.api.body_limit).unwrap_or(u32::MAX),
        };
        let process = self.process.clone();
        self.handle
            .hello_as(*stored, |attempt| Arrival { hello: opening.into_hello(attempt, process), welcome });
        Ok(())
    }

    /// What a desktop has asked for, in its own words; none when no desktop has.
    async fn asked(&mut self, deliver: &Deliver) -> Option<Asked> {
        let request = Request::parse(deliver.message.clone()).ok()?;
        let header = request.header();
        if header.sale_id.as_str() != SALE_ID {
            return None;
        }
        let (company, poi) = (&self.visitor.caller.company, &self.terminal.poi);
        let found = self.api.store.transaction_of_service(company, poi, header.service_id.as_ref()?);
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
        // Without a connection, as over HTTP, the delivery's own name serves.
        let connection = transaction.facts.connection.as_ref().map(ConnectionId::as_str);
        Some(Asked {
            desktop_id: connection.unwrap_or(deliver.delivery.as_str()).into(),
            payment_request: transaction.facts.payment_request.bytes().clone(),
        })
    }

    /// An answer of the store, unless that takes too long.
    async fn ask<T>(&mut self, pending: Pending<T>) -> Result<T, Ending> {
        let answer = tokio::select! {
            answer = timeout(STORE_MAX, pending) => answer,
            () = self.api.stopping.cancelled() => return Err(CloseReason::Stopping.into()),
        };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::error!(poi.id = %self.terminal.poi, %error, "an Actions terminal was closed because the store can't be used");
                Err(CloseReason::Draining.into())
            }
            Err(_) => {
                tracing::error!(poi.id = %self.terminal.poi, "an Actions terminal was closed because the store does not answer");
                Err(CloseReason::Draining.into())
            }
        }
    }

    async fn write(&mut self, frame: &ToClient) -> Result<(), Ending> {
        match Utf8Bytes::try_from(frame.encode()) {
            Ok(text) => self.send(Message::Text(text)).await,
            // A frame is made from text and from JSON that was checked to be UTF-8.
            Err(_) => Ok(()),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        // Hardly ever does the socket not take all of it at once.
        self.socket.start_send_unpin(message).map_err(|_| CloseReason::Normal)?;
        match poll_fn(|context| Poll::Ready(self.socket.poll_flush_unpin(context))).await {
            Poll::Ready(flushed) => Ok(flushed.map_err(|_| CloseReason::Normal)?),
            Poll::Pending => Box::pin(self.flush()).await,
        }
    }

    async fn flush(&mut self) -> Result<(), Ending> {
        tokio::select! {
            flushed = self.socket.flush() => Ok(flushed.map_err(|_| CloseReason::Normal)?),
            () = tokio::time::sleep(WRITE_MAX) => Err(CloseReason::TooSlow.into()),
            () = self.api.stopping.cancelled() => Err(CloseReason::Stopping.into()),
        }
    }

    fn merchant_account(&self) -> &str {
        self.terminal.group.place().merchant().map_or("", |merchant| merchant.as_str())
    }

    fn now(&self) -> Now {
        self.api.presence.clock().now()
    }
}

/// Whether a request is a payment or a void of one of these names.
fn bears(request: &Bytes, names: &[TransactionId]) -> bool {
    let Ok(request) = Request::parse(request.clone()) else { return false };
    if request.header().category == MessageCategory::REVERSAL {
        return VoidAsk::read(request).is_ok_and(|void| names.contains(void.transaction()));
    }
    let named = request.sale_transaction_id();
    named.is_some_and(|named| names.iter().any(|name| name.as_str() == named.transaction_id))
}

async fn close(mut socket: WebSocket, ending: &Ending) {
    let frame = CloseFrame { code: ending.code(), reason: ending.text().into() };
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            // Nothing more is read from it but its own close.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = timeout(CLOSE_MAX, farewell).await;
}

enum Input {
    Message(Option<Result<Message, axum::Error>>),
    Ready,
    Timeout,
}

/// Whether the socket failed because the client sent more than the limit.
fn is_too_large(error: &axum::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|e| e.downcast_ref::<tungstenite::Error>());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}
