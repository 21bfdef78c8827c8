//! The socket of a desktop: what it asks for comes in, and what it is to be told goes out.
//!
//! Nothing that takes time is done between two frames: a payment is begun by a task of its own, and what is read from the
//! store for this desktop is read while its socket is read too.
//!
//! That a socket takes a result says nothing: the other end may be gone, and that is noticed up to 40 s later. So a ping goes
//! after it, and only what came before a ping that was answered counts as told. Until then it is owed, to this desktop's next
//! connection too.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use futures_util::future::join_all;
use relay::actions::{ClientError, ErrorPace, FromClient, ToClient};
use relay::{Heartbeat, LinkAction, Liveness, Now};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::closing::{Closing, displaced};
use super::{ActionsApi, Visitor, pay};
use crate::actions::desktops::{Desktop, DesktopHandle, DesktopOrder, Farewell, Identity};
use crate::actions::payments::tell::{Slip, Words};
use crate::clock::rfc3339;
use crate::http::listener::Slot;
use crate::http::socket::{Received, Socket};
use crate::ids;

/// Payments of one connection that are just being begun, each for some milliseconds. No till presses that fast.
const BEGINNINGS_MAX: usize = 64;

/// Lists of terminals that one connection may wait for; each is made after the other.
const LISTS_MAX: usize = 16;

/// How long what is on its way to a desktop may take when the gateway stops.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// Results that were written and are not known to have arrived: some bytes each. As many as may be due to one desktop, so that
/// only one is closed as too slow that answers no pings.
const IN_FLIGHT_MAX: usize = 4_096;

/// How long what comes after a page of results may wait for it to arrive.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// What a client hears that asks too often. Ours, like the next two: the page has no words for it.
const TOO_OFTEN: &str = "Too many requests with this API key (limit requests_per_second). This one has begun nothing: send it again later.";

/// See [`BEGINNINGS_MAX`].
const TOO_MANY_BEGINNINGS: &str = "Too many payments of this connection are just being begun (limit beginnings_per_connection). This \
                                   one has begun nothing: send it again in a moment.";

/// See [`LISTS_MAX`].
const TOO_MANY_LISTS: &str =
    "This connection waits for too many lists of terminals (limit lists_per_connection).";

/// One socket from its upgrade to its end.
pub(super) fn serve(api: Arc<ActionsApi>, visitor: Visitor, slot: Slot, socket: WebSocket) {
    let now = api.presence.clock().now();
    let Visitor { caller, groups, device, address, .. } = visitor.clone();
    let desktop = Desktop {
        connection: ids::connection_id(now.wall),
        identity: Identity { credential: caller.credential.clone(), device },
        company: caller.company.clone(),
        groups,
    };
    tracing::debug!(
        credential.id = %caller.credential,
        connection.id = %desktop.connection,
        client.address = %address,
        "desktop connected"
    );
    let handle = api.payments.desktops().open(desktop, || displaced(now.wall));
    let tasks = api.tasks.clone();
    let socket = Socket::new(socket, api.stopping.clone());
    let session = Box::new(Session {
        handle,
        api,
        visitor,
        liveness: Liveness::new(now, Heartbeat::DEFAULT),
        pace: ErrorPace::default(),
        beginnings: Arc::new(Semaphore::new(BEGINNINGS_MAX)),
        errand: None,
        in_flight: VecDeque::new(),
        pings: 0,
        page: None,
        list: None,
        lists_wanted: 0,
        socket,
        slot,
    });
    tasks.spawn(session.live());
}

struct Session {
    /// First, so that it is dropped first: then the desktop has departed.
    handle: DesktopHandle,
    api: Arc<ActionsApi>,
    visitor: Visitor,
    liveness: Liveness,
    pace: ErrorPace,
    beginnings: Arc<Semaphore>,
    /// What is being looked up for it.
    errand: Option<Errand>,
    /// Written, and not known to have arrived; each with the number of the ping that came after it.
    in_flight: VecDeque<(u64, Slip)>,
    pings: u64,
    /// Who waits until nothing is in flight.
    page: Option<oneshot::Sender<Vec<JoinHandle<()>>>>,
    /// A list of terminals that is being made, and how many are to be made yet.
    list: Option<Pin<Box<dyn Future<Output = ToClient> + Send>>>,
    lists_wanted: usize,
    socket: Socket,
    slot: Slot,
}

type Errand = Pin<Box<dyn Future<Output = Found> + Send>>;

/// What an errand has brought.
enum Found {
    /// This is to be told.
    Words(Words),
    /// What was told is in the store; there may be more.
    Noted,
}

impl Session {
    async fn live(mut self: Box<Self>) {
        let closing = self.run().await;
        if closing == Closing::Stopping {
            let _ = tokio::time::timeout(LAST_WORDS_MAX, self.last_words()).await;
        }
        let desktop = self.handle.desktop();
        tracing::debug!(
            credential.id = %desktop.identity.credential,
            connection.id = %desktop.connection,
            code = closing.code(),
            "desktop gone"
        );
        let Session { handle, errand, list, socket, slot, .. } = *self;
        drop((errand, list, handle));
        closing.close(socket).await;
        drop(slot);
    }

    /// Until the connection ends; says why.
    async fn run(&mut self) -> Closing {
        loop {
            if let Err(closing) = self.write_what_is_due().await {
                return closing;
            }
            if self.api.stopping.is_cancelled() {
                return Closing::Stopping;
            }
            self.start_errand();
            self.start_list();
            let clock = self.api.presence.clock();
            let alarm = clock.instant(self.liveness.poll_timeout());
            let stopping = self.api.stopping.clone();
            let input = tokio::select! {
                received = self.socket.receive() => Input::Received(received),
                () = self.handle.ready() => Input::Ready,
                found = brought(&mut self.errand) => Input::Found(found),
                list = brought(&mut self.list) => Input::Listed(list),
                () = sleep_until(alarm) => Input::Timeout,
                () = stopping.cancelled() => Input::Ready,
                () = self.visitor.pass.ended() => return Closing::KeyEnded,
            };
            let now = clock.now();
            let done = match input {
                Input::Received(received) => self.read(now, received).await,
                Input::Ready => Ok(()),
                Input::Found(found) => self.tell(found).await,
                Input::Listed(list) => {
                    self.list = None;
                    match list {
                        ToClient::Error(error) => self.refuse(error).await,
                        list => self.socket.write(list.encode()).await.map_err(Closing::from),
                    }
                }
                Input::Timeout => self.look_after(now).await,
            };
            if let Err(closing) = done {
                return closing;
            }
        }
    }

    /// A result that is on its way goes out before the connection ends, and is seen to arrive.
    async fn last_words(&mut self) -> Result<(), Closing> {
        loop {
            self.write_what_is_due().await?;
            self.start_errand();
            if self.errand.is_none() && self.in_flight.is_empty() {
                return Ok(());
            }
            let input = tokio::select! {
                received = self.socket.receive() => Input::Received(received),
                found = brought(&mut self.errand) => Input::Found(found),
            };
            match input {
                Input::Found(found) => self.tell(found).await?,
                Input::Received(Received::Answer(number)) => self.note_arrival(number),
                Input::Received(Received::Gone | Received::TooLarge) => return Err(Closing::Normal),
                _ => {} // Nothing more is begun.
            }
        }
    }

    async fn read(&mut self, now: Now, received: Received) -> Result<(), Closing> {
        self.liveness.handle_alive(now);
        match received {
            Received::Text(text) => match FromClient::decode(&text) {
                Ok(frame) => self.take(now, frame).await,
                Err(error) => self.refuse(error).await,
            },
            Received::Binary => self.refuse(ClientError::INVALID_JSON).await,
            Received::Alive => Ok(()),
            Received::Answer(number) => {
                self.note_arrival(number);
                Ok(())
            }
            Received::TooLarge => Err(Closing::TooLarge),
            Received::Gone => Err(Closing::Normal),
        }
    }

    async fn take(&mut self, now: Now, frame: FromClient) -> Result<(), Closing> {
        match frame {
            FromClient::Ping => {
                let pong = ToClient::Pong { timestamp: rfc3339(now.wall) };
                Ok(self.socket.write(pong.encode()).await?)
            }
            FromClient::Pong => Ok(()),
            FromClient::GetTerminals => match self.pace() {
                Ok(()) if self.lists_wanted < LISTS_MAX => {
                    self.lists_wanted += 1;
                    Ok(())
                }
                Ok(()) => self.refuse(ClientError::over_limit(TOO_MANY_LISTS)).await,
                Err(error) => self.refuse(error).await,
            },
            FromClient::Payment { terminal_id, payment_request } => {
                match pay::read(&payment_request, now.wall).and_then(|ask| self.pace().map(|()| ask)) {
                    Ok(ask) => self.pay(terminal_id, ask).await,
                    Err(error) => self.refuse(error).await,
                }
            }
            other => self.refuse(ClientError::only_terminals(other.action())).await,
        }
    }

    /// What asks for work is counted among the requests of its credential.
    fn pace(&self) -> Result<(), ClientError> {
        let paced = self.api.access.pace(&self.visitor.caller.credential);
        paced.map_err(|_| ClientError::over_limit(TOO_OFTEN))
    }

    async fn pay(&mut self, terminal_id: Box<str>, ask: relay::actions::PaymentAsk) -> Result<(), Closing> {
        let Ok(permit) = self.beginnings.clone().try_acquire_owned() else {
            return self.refuse(ClientError::over_limit(TOO_MANY_BEGINNINGS)).await;
        };
        let (api, visitor) = (self.api.clone(), self.visitor.clone());
        let connection = self.handle.desktop().connection.clone();
        self.api.tasks.spawn(async move {
            let paid = pay::begin(&api, &visitor, &connection, &terminal_id, ask).await;
            if let Err(error) = paid {
                api.payments.desktops().refuse(&connection, error);
            }
            drop(permit);
        });
        Ok(())
    }

    /// Says that a frame could not be carried out, which may be once too often.
    async fn refuse(&mut self, error: ClientError) -> Result<(), Closing> {
        let now = self.api.presence.clock().now();
        let is_too_many = self.pace.is_exhausted_by(now, &error);
        self.socket.write(ToClient::Error(error).encode()).await?;
        if is_too_many { Err(Closing::Errors) } else { Ok(()) }
    }

    /// A client that was quiet gets a `pong` that it did not ask for, and a ping that its library answers; one that is silent
    /// then is gone.
    async fn look_after(&mut self, now: Now) -> Result<(), Closing> {
        self.liveness.handle_timeout(now);
        while let Some(action) = self.liveness.poll_action() {
            match action {
                LinkAction::Ping => {
                    let pong = ToClient::Pong { timestamp: rfc3339(now.wall) };
                    self.socket.write(pong.encode()).await?;
                    self.socket.ping().await?;
                }
                LinkAction::Close(reason) => return Err(reason.into()),
                LinkAction::Probe { .. } => {} // Nobody probes a desktop.
            }
        }
        Ok(())
    }

    /// Begins to make the next list, if one is wanted, one after the other.
    fn start_list(&mut self) {
        if self.list.is_some() || self.lists_wanted == 0 {
            return;
        }
        self.lists_wanted -= 1;
        let (api, visitor) = (self.api.clone(), self.visitor.clone());
        self.list = Some(Box::pin(async move {
            let listed = api.terminals.list(&visitor.caller.company, &visitor.groups).await;
            let timestamp = rfc3339(api.presence.clock().now().wall);
            match listed {
                Ok(terminals) => ToClient::TerminalsResponse { terminals, timestamp },
                Err(error) => {
                    tracing::error!(%error, "terminals can't be listed");
                    ToClient::Error(ClientError::FAILED)
                }
            }
        }));
    }

    /// Begins to look up what this desktop is owed, if anything, one after the other.
    fn start_errand(&mut self) {
        if self.errand.is_some() {
            return;
        }
        if let Some(owing) = self.handle.next_owing() {
            let (payments, desktop) = (self.api.payments.clone(), self.handle.desktop().clone());
            self.errand =
                Some(Box::pin(async move { Found::Words(payments.look_up(&desktop, owing).await) }));
        }
    }

    async fn tell(&mut self, found: Found) -> Result<(), Closing> {
        self.errand = None;
        let Found::Words(Words { words, is_more }) = found else {
            self.handle.look_again();
            return Ok(());
        };
        let number = self.pings.saturating_add(1);
        let before = self.in_flight.len();
        for word in words {
            if self.in_flight.len() >= IN_FLIGHT_MAX {
                return Err(Closing::TooSlow);
            }
            self.socket.write(word.frame.clone()).await?;
            self.in_flight.extend(word.slip.map(|slip| (number, slip)));
        }
        if self.in_flight.len() > before {
            self.pings = number;
            self.socket.ping_with(number).await?;
        }
        if is_more {
            let (sender, arrived) = oneshot::channel();
            self.page = Some(sender);
            self.errand = Some(Box::pin(async move {
                if let Ok(Ok(notes)) = tokio::time::timeout(ARRIVAL_MAX, arrived).await {
                    join_all(notes).await;
                }
                Found::Noted
            }));
        }
        Ok(())
    }

    /// What was written before the ping that this answers has arrived: a client answers in order, and may leave out all but the
    /// last.
    fn note_arrival(&mut self, number: u64) {
        let mut notes = Vec::new();
        while self.in_flight.front().is_some_and(|(ping, _)| *ping <= number) {
            let Some((_, slip)) = self.in_flight.pop_front() else { break };
            // By a task of its own, so that it comes to its end whatever becomes of this socket.
            notes.push(self.api.tasks.spawn(self.api.payments.told(slip)));
        }
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new(); // Most desktops are idle.
            if let Some(page) = self.page.take() {
                let _ = page.send(notes); // Who waits may have given up.
            }
        }
    }

    /// Writes whatever was left for this socket.
    async fn write_what_is_due(&mut self) -> Result<(), Closing> {
        while let Some(order) = self.handle.next_order() {
            match order {
                DesktopOrder::Frame(frame) => self.socket.write(frame).await?,
                DesktopOrder::Refuse(error) => self.refuse(error).await?,
                DesktopOrder::Close(Farewell::TooSlow) => return Err(Closing::TooSlow),
                DesktopOrder::Close(Farewell::Replaced) => return Err(Closing::Replaced),
            }
        }
        Ok(())
    }
}

enum Input {
    Received(Received),
    Ready,
    Found(Found),
    Listed(ToClient),
    Timeout,
}

/// What is brought; never, while nobody is on the way.
async fn brought<T>(errand: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match errand {
        Some(errand) => errand.await,
        None => std::future::pending().await,
    }
}
