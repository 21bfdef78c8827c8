//! The socket of a desktop: what it asks for comes in, and what it is to be told goes out.
//!
//! Nothing that takes time is done between two frames: a payment is begun by a task of its own, and what is read from the
//! store for this desktop is read while its socket is read too.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::future::join_all;
use relay::actions::{ClientError, ErrorPace, FromClient, ToClient};
use relay::{CloseReason, Heartbeat, LinkAction, Liveness, Now};
use tokio::sync::Semaphore;
use tokio::time::sleep_until;

use super::{ActionsApi, CLOSE_MAX, Visitor, pay};
use crate::actions::desktops::{Desktop, DesktopHandle, DesktopOrder, Farewell, Identity};
use crate::actions::payments::tell::Words;
use crate::clock::rfc3339;
use crate::http::listener::Slot;
use crate::ids;

/// How long a desktop may take to read one frame before it counts as too slow a reader (4429): as long as a terminal.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Payments of one connection that are just being begun, each for some milliseconds. No till presses that fast.
const BEGINNINGS_MAX: usize = 64;

/// Lists of terminals that one connection may wait for; each is made after the other.
const LISTS_MAX: usize = 16;

/// How long what is on its way to a desktop may take when the gateway stops.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// What a client hears that asks too often. Ours, like the next two: the page has no words for it.
const TOO_OFTEN: &str = "Too many requests with this API key (limit requests_per_second). This one has begun nothing: send it again later.";

/// See [`BEGINNINGS_MAX`].
const TOO_MANY_BEGINNINGS: &str = "Too many payments of this connection are just being begun (limit beginnings_per_connection). This \
                                   one has begun nothing: send it again in a moment.";

/// See [`LISTS_MAX`].
const TOO_MANY_LISTS: &str =
    "This connection waits for too many lists of terminals (limit lists_per_connection).";

/// Why the connection was displaced.
const REPLACED: &str = "REPLACED_BY_NEW_CONNECTION";

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
    let timestamp = rfc3339(now.wall);
    let handle = api
        .payments
        .desktops()
        .open(desktop, || ToClient::ForceDisconnect { reason: REPLACED.into(), timestamp }.encode());
    let tasks = api.tasks.clone();
    let session = Box::new(Session {
        handle,
        api,
        visitor,
        liveness: Liveness::new(now, Heartbeat::DEFAULT),
        pace: ErrorPace::default(),
        beginnings: Arc::new(Semaphore::new(BEGINNINGS_MAX)),
        errand: None,
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
    /// A list of terminals that is being made, and how many are to be made yet.
    list: Option<Pin<Box<dyn Future<Output = ToClient> + Send>>>,
    lists_wanted: usize,
    socket: WebSocket,
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

/// Why a desktop's socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Normal,
    Stopping,
    Errors,
    TooLarge,
    Silent,
    TooSlow,
    Replaced,
    KeyEnded,
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
        Box::pin(close(socket, closing)).await;
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
                message = self.socket.recv() => Input::Message(message),
                () = self.handle.ready() => Input::Ready,
                found = brought(&mut self.errand) => Input::Found(found),
                list = brought(&mut self.list) => Input::Listed(list),
                () = sleep_until(alarm) => Input::Timeout,
                () = stopping.cancelled() => Input::Ready,
                () = self.visitor.pass.ended() => return Closing::KeyEnded,
            };
            let now = clock.now();
            let done = match input {
                Input::Message(message) => self.read(now, message).await,
                Input::Ready => Ok(()),
                Input::Found(found) => self.tell(found).await,
                Input::Listed(list) => {
                    self.list = None;
                    match list {
                        ToClient::Error(error) => self.refuse(error).await,
                        list => self.write(list.encode()).await,
                    }
                }
                Input::Timeout => self.look_after(now).await,
            };
            if let Err(closing) = done {
                return closing;
            }
        }
    }

    /// A result that is on its way goes out before the connection ends.
    async fn last_words(&mut self) -> Result<(), Closing> {
        loop {
            self.write_what_is_due().await?;
            self.start_errand();
            if self.errand.is_none() {
                return Ok(());
            }
            let found = brought(&mut self.errand).await;
            self.tell(found).await?;
        }
    }

    async fn read(&mut self, now: Now, message: Option<Result<Message, axum::Error>>) -> Result<(), Closing> {
        self.liveness.handle_alive(now);
        match message {
            Some(Ok(Message::Text(text))) => match FromClient::decode(&Bytes::from(text)) {
                Ok(frame) => self.take(now, frame).await,
                Err(error) => self.refuse(error).await,
            },
            Some(Ok(Message::Binary(_))) => self.refuse(ClientError::INVALID_JSON).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Err(error)) if is_too_large(&error) => Err(Closing::TooLarge),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Closing::Normal),
        }
    }

    async fn take(&mut self, now: Now, frame: FromClient) -> Result<(), Closing> {
        match frame {
            FromClient::Ping => self.write(ToClient::Pong { timestamp: rfc3339(now.wall) }.encode()).await,
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
        self.write(ToClient::Error(error).encode()).await?;
        if is_too_many { Err(Closing::Errors) } else { Ok(()) }
    }

    /// A client that was quiet gets a `pong` that it did not ask for, and a ping that its library answers; one that is silent
    /// then is gone.
    async fn look_after(&mut self, now: Now) -> Result<(), Closing> {
        self.liveness.handle_timeout(now);
        while let Some(action) = self.liveness.poll_action() {
            match action {
                LinkAction::Ping => {
                    self.write(ToClient::Pong { timestamp: rfc3339(now.wall) }.encode()).await?;
                    self.send(Message::Ping(Bytes::new())).await?;
                }
                LinkAction::Close(CloseReason::Silent) => return Err(Closing::Silent),
                LinkAction::Close(_) => return Err(Closing::Normal),
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
        let mut notes = Vec::new();
        for word in words {
            self.write(word.frame.clone()).await?;
            // By a task of its own, so that it comes to its end whatever becomes of this socket.
            notes.push(self.api.tasks.spawn(self.api.payments.told(word)));
        }
        if is_more {
            self.errand = Some(Box::pin(async move {
                join_all(notes).await;
                Found::Noted
            }));
        }
        Ok(())
    }

    /// Writes whatever was left for this socket.
    async fn write_what_is_due(&mut self) -> Result<(), Closing> {
        while let Some(order) = self.handle.next_order() {
            match order {
                DesktopOrder::Frame(frame) => self.write(frame).await?,
                DesktopOrder::Refuse(error) => self.refuse(error).await?,
                DesktopOrder::Close(Farewell::TooSlow) => return Err(Closing::TooSlow),
                DesktopOrder::Close(Farewell::Replaced) => return Err(Closing::Replaced),
            }
        }
        Ok(())
    }

    async fn write(&mut self, frame: Bytes) -> Result<(), Closing> {
        // A frame is made from text and from objects that were checked to be UTF-8.
        match Utf8Bytes::try_from(frame) {
            Ok(text) => self.send(Message::Text(text)).await,
            Err(_) => Ok(()),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Closing> {
        // Hardly ever does the socket not take all of it at once.
        self.socket.start_send_unpin(message).map_err(|_| Closing::Normal)?;
        match poll_fn(|context| Poll::Ready(self.socket.poll_flush_unpin(context))).await {
            Poll::Ready(flushed) => flushed.map_err(|_| Closing::Normal),
            Poll::Pending => Box::pin(self.flush()).await,
        }
    }

    async fn flush(&mut self) -> Result<(), Closing> {
        tokio::select! {
            flushed = self.socket.flush() => flushed.map_err(|_| Closing::Normal),
            () = tokio::time::sleep(WRITE_MAX) => Err(Closing::TooSlow),
        }
    }
}

impl Closing {
    /// Codes and texts are those of the terminals' link, and 1008 for a client that breaks the rules.
    fn code(self) -> u16 {
        match self {
            Closing::Normal => 1000,
            Closing::Stopping => 1001,
            Closing::Errors => 1008,
            Closing::TooLarge => 1009,
            Closing::KeyEnded => 4403,
            Closing::Silent => 4408,
            Closing::Replaced => 4409,
            Closing::TooSlow => 4429,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Closing::Normal => "done",
            Closing::Stopping => "stopping",
            Closing::Errors => "too many errors",
            Closing::TooLarge => "frame too large",
            Closing::KeyEnded => "this API key is not valid any more",
            Closing::Silent => "silent for too long",
            Closing::Replaced => "replaced by a new connection",
            Closing::TooSlow => "too slow a reader",
        }
    }
}

async fn close(mut socket: WebSocket, closing: Closing) {
    let frame = CloseFrame { code: closing.code(), reason: closing.text().into() };
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            // Nothing more is read from it but its own close.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = tokio::time::timeout(CLOSE_MAX, farewell).await;
}

enum Input {
    Message(Option<Result<Message, axum::Error>>),
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

/// Whether the socket failed because the desktop sent more than the limit.
fn is_too_large(error: &axum::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|e| e.downcast_ref::<tungstenite::Error>());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}
