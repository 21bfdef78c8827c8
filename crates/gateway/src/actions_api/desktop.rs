//! The socket of a desktop: what it asks for comes in, and what it is to be told goes out.
//!
//! Frames are answered in the order in which they came, as far as they are answered at once: errors, `pong`, lists, and the
//! beginning of payments. What takes time waits in a line of its own ([`Session::asked`]), while the socket is read on.
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
use relay::actions::{ClientError, ErrorPace, FromClient, PaymentAsk, ToClient};
use relay::{Heartbeat, LinkAction, Liveness, Now};
use tokio::sync::oneshot;
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

/// Frames of one connection that may wait for their answer, each for some milliseconds. No till presses that fast. Those that
/// come then are refused, when their turn comes.
const ASKED_MAX: usize = 64;

/// Refusals that may wait behind them, each a few hundred bytes. After that the socket is not read until one is said.
const REFUSED_MAX: usize = 64;

/// How long what is on its way to a desktop may take when the gateway stops.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// Results that were written and are not known to have arrived: some bytes each. As many as may be due to one desktop, so that
/// only one is closed as too slow that answers no pings.
const IN_FLIGHT_MAX: usize = 4_096;

/// How long what comes after a page of results may wait for it to arrive.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// What a client hears that asks too often. Ours, like the next: the page has no words for it.
const TOO_OFTEN: &str = "Too many requests with this API key (limit requests_per_second). This one has begun nothing: send it again later.";

/// See [`ASKED_MAX`].
const TOO_MANY_FRAMES: &str = "Too many frames of this connection wait for their answer (limit frames_per_connection). This one has \
                               begun nothing: send it again in a moment.";

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
        asked: VecDeque::new(),
        answering: None,
        errand: None,
        in_flight: VecDeque::new(),
        pings: 0,
        page: None,
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
    /// What came in and has no answer yet, in order, behind what is being answered.
    asked: VecDeque<Asked>,
    /// What is being answered: the words for it, if there are any.
    answering: Option<Pin<Box<dyn Future<Output = Option<ToClient>> + Send>>>,
    /// What is being looked up for it.
    errand: Option<Errand>,
    /// Written, and not known to have arrived; each with the number of the ping that came after it.
    in_flight: VecDeque<(u64, Slip)>,
    pings: u64,
    /// Who waits until nothing is in flight.
    page: Option<oneshot::Sender<Vec<JoinHandle<()>>>>,
    socket: Socket,
    slot: Slot,
}

type Errand = Pin<Box<dyn Future<Output = Found> + Send>>;

/// A frame that waits for its answer.
enum Asked {
    Ping,
    List,
    /// In a box: it is larger than all others, and seldom there.
    Payment(Box<(Box<str>, PaymentAsk)>),
    /// One that can't be carried out.
    Refused(ClientError),
}

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
        let Session { handle, errand, answering, socket, slot, .. } = *self;
        drop((errand, answering, handle));
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
            if let Err(closing) = self.answer_what_was_asked().await {
                return closing;
            }
            let has_room = self.asked.len() < ASKED_MAX.saturating_add(REFUSED_MAX);
            let clock = self.api.presence.clock();
            let alarm = clock.instant(self.liveness.poll_timeout());
            let stopping = self.api.stopping.clone();
            let input = tokio::select! {
                received = self.socket.receive(), if has_room => Input::Received(received),
                () = self.handle.ready() => Input::Ready,
                found = brought(&mut self.errand) => Input::Found(found),
                answer = brought(&mut self.answering) => Input::Answer(answer),
                () = sleep_until(alarm) => Input::Timeout,
                () = stopping.cancelled() => Input::Ready,
                () = self.visitor.pass.ended() => return Closing::KeyEnded,
            };
            let now = clock.now();
            let done = match input {
                Input::Received(received) => self.read(now, received),
                Input::Ready => Ok(()),
                Input::Found(found) => self.tell(found).await,
                Input::Answer(answer) => {
                    self.answering = None;
                    self.answer(answer).await
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

    fn read(&mut self, now: Now, received: Received) -> Result<(), Closing> {
        self.liveness.handle_alive(now);
        let asked = match received {
            Received::Text(text) => match FromClient::decode(&text) {
                Ok(frame) => self.take(now, frame),
                Err(error) => Some(Asked::Refused(error)),
            },
            Received::Binary => Some(Asked::Refused(ClientError::INVALID_JSON)),
            Received::Alive => None,
            Received::Answer(number) => {
                self.note_arrival(number);
                None
            }
            Received::TooLarge => return Err(Closing::TooLarge),
            Received::Gone => return Err(Closing::Normal),
        };
        match asked {
            Some(asked) if self.asked.len() < ASKED_MAX => self.asked.push_back(asked),
            Some(_) => self.asked.push_back(Asked::Refused(ClientError::over_limit(TOO_MANY_FRAMES))),
            None => {}
        }
        Ok(())
    }

    /// What there is to answer.
    fn take(&self, now: Now, frame: FromClient) -> Option<Asked> {
        let asked = match frame {
            FromClient::Ping => Ok(Asked::Ping),
            FromClient::Pong => return None,
            FromClient::GetTerminals => self.pace().map(|()| Asked::List),
            FromClient::Payment { terminal_id, payment_request } => {
                let ask = pay::read(&payment_request, now.wall);
                ask.and_then(|ask| self.pace().map(|()| Asked::Payment(Box::new((terminal_id, ask)))))
            }
            other => Err(ClientError::only_terminals(other.action())),
        };
        Some(asked.unwrap_or_else(Asked::Refused))
    }

    /// What asks for work is counted among the requests of its credential.
    fn pace(&self) -> Result<(), ClientError> {
        let paced = self.api.access.pace(&self.visitor.caller.credential);
        paced.map_err(|_| ClientError::over_limit(TOO_OFTEN))
    }

    /// Answers one frame after the other, as far as that takes no time.
    async fn answer_what_was_asked(&mut self) -> Result<(), Closing> {
        while self.answering.is_none()
            && let Some(asked) = self.asked.pop_front()
        {
            match asked {
                Asked::Ping => {
                    let timestamp = rfc3339(self.api.presence.clock().now().wall);
                    self.socket.write(ToClient::Pong { timestamp }.encode()).await?;
                }
                Asked::Refused(error) => self.refuse(error).await?,
                Asked::List => self.answering = Some(Box::pin(list(self.api.clone(), self.visitor.clone()))),
                Asked::Payment(payment) => self.begin(*payment),
            }
        }
        if self.asked.is_empty() {
            self.asked = VecDeque::new(); // Most desktops are idle.
        }
        Ok(())
    }

    fn begin(&mut self, (terminal_id, ask): (Box<str>, PaymentAsk)) {
        let (api, visitor) = (self.api.clone(), self.visitor.clone());
        let connection = self.handle.desktop().connection.clone();
        // By a task of its own, so that it comes to its end whatever becomes of this socket.
        let begun = self.api.tasks.spawn(async move {
            let begun = pay::begin(&api, &visitor, &connection, &terminal_id, ask).await;
            begun.unwrap_or_else(|error| Some(ToClient::Error(error)))
        });
        self.answering =
            Some(Box::pin(async move { begun.await.unwrap_or(Some(ToClient::Error(ClientError::FAILED))) }));
    }

    async fn answer(&mut self, answer: Option<ToClient>) -> Result<(), Closing> {
        match answer {
            Some(ToClient::Error(error)) => self.refuse(error).await,
            Some(answer) => Ok(self.socket.write(answer.encode()).await?),
            None => Ok(()),
        }
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
                DesktopOrder::Close(Farewell::TooSlow) => return Err(Closing::TooSlow),
                DesktopOrder::Close(Farewell::Replaced) => return Err(Closing::Replaced),
            }
        }
        Ok(())
    }
}

/// The terminals that it may use.
async fn list(api: Arc<ActionsApi>, visitor: Visitor) -> Option<ToClient> {
    let listed = api.terminals.list(&visitor.caller.company, &visitor.groups).await;
    let timestamp = rfc3339(api.presence.clock().now().wall);
    Some(match listed {
        Ok(terminals) => ToClient::TerminalsResponse { terminals, timestamp },
        Err(error) => {
            tracing::error!(%error, "terminals can't be listed");
            ToClient::Error(ClientError::FAILED)
        }
    })
}

enum Input {
    Received(Received),
    Ready,
    Found(Found),
    Answer(Option<ToClient>),
    Timeout,
}

/// What is brought; never, while nobody is on the way.
async fn brought<T>(errand: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match errand {
        Some(errand) => errand.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::socket::future_size;

    #[test]
    fn the_task_of_an_idle_desktop_holds_little() {
        // In bytes; of the first, 368 are the WebSocket library's.
        let (session, future) = (size_of::<Session>(), future_size(Session::live));
        assert!(session <= 704 && future <= 632, "{session} and {future}");
    }
}
