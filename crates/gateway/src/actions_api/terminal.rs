//! The socket of an Actions terminal: what a [`Port`] decides is carried out here, on one side towards the terminal's desk,
//! on the other towards the socket.
//!
//! # What counts as a sign of life
//! Anything that arrives, be it a frame, a WebSocket ping or its answer. A terminal that was silent for 30 s gets an unasked
//! `pong`, as the page has it, and a WebSocket ping, which every WebSocket library answers by itself: the page asks no answer to
//! the `pong`, so its absence would prove nothing. One that is still silent 10 s later is gone (4408).

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::ws::WebSocket;
use nexo::PoiId;
use relay::actions::{ClientError, Opening, Port, PortOrder, PortSetup, ToClient};
use relay::exchange::{Arrival, LinkOrder};
use relay::{Heartbeat, LinkAction, Liveness, Now, Placement, ProcessId, Settings, ToTerminal, Welcome};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::closing::{Closing, displaced};
use super::{ActionsApi, Visitor};
use crate::access::{Caller, Pass};
use crate::actions::deliveries::Unanswered;
use crate::actions::terminals::Connected;
use crate::clock::rfc3339;
use crate::http::listener::Slot;
use crate::http::socket::{ALARM_MAX, Received, Socket};
use crate::ids;
use crate::presence::LinkHandle;
use crate::store::Place;
use crate::store::actions::{ActionsTerminal, Group};

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
    let socket = Socket::new(socket, api.stopping.clone());
    let connection = ids::connection_id(clock.now().wall);
    // Every connection's ID can name a process: they have the same letters.
    let process = ProcessId::parse(connection.as_str());
    let handle =
        process.ok().and_then(|p| api.presence.displace(&terminal.poi, connection, &p).map(|h| (h, p)));
    let Some((handle, process)) = handle else {
        tracing::warn!(poi.id = %terminal.poi, client.address = %visitor.address, "a terminal has too many sockets open at once");
        tasks.spawn(async move {
            Closing::Draining.close(socket).await;
            drop(slot);
        });
        return;
    };
    tracing::debug!(poi.id = %terminal.poi, connection.id = %handle.connection(), client.address = %visitor.address, "Actions terminal connected");
    // It may have been switched off while it came through the door.
    api.keeper.look_again_at(&terminal.poi);
    let now = clock.now();
    let connected = api.terminals.connected(handle.connection(), &terminal.poi);
    let alarm = Box::pin(sleep_until(clock.instant(now.mono + ALARM_MAX)));
    let liveness = Liveness::new(now, Heartbeat::DEFAULT);
    // What is not needed again is dropped here.
    let (Visitor { caller, pass, .. }, ActionsTerminal { poi, group, .. }) = (visitor, terminal);
    let session = Box::new(Session {
        handle,
        connected,
        api,
        caller,
        pass,
        poi,
        group,
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
    caller: Arc<Caller>,
    /// Its key's right to stay.
    pass: Arc<Pass>,
    poi: PoiId,
    group: Group,
    /// Names this socket.
    process: ProcessId,
    liveness: Liveness,
    /// Goes off when the socket has to be looked at, or earlier.
    alarm: Pin<Box<Sleep>>,
    socket: Socket,
    slot: Slot,
}

impl Session {
    async fn live(mut self: Box<Self>) {
        let closing = match self.run().await {
            Ok(never) => match never {},
            Err(closing) => closing,
        };
        tracing::debug!(poi.id = %self.poi, connection.id = %self.handle.connection(), code = closing.code(), "Actions terminal disconnected");
        let now = self.api.presence.clock().now();
        // Departs first, so that nobody waits for a polite farewell to know that the terminal is gone.
        let Session { handle, connected, socket, slot, .. } = *self;
        drop((handle, connected));
        let last_words = (closing == Closing::Replaced).then(|| displaced(now.wall));
        closing.close_after(last_words, socket).await;
        drop(slot);
    }

    /// Until the socket ends; says why.
    async fn run(&mut self) -> Result<std::convert::Infallible, Closing> {
        let (mut port, mut stored) = Box::pin(self.begin()).await?;
        loop {
            while let Some(order) = self.next_order(&mut port) {
                // In a box, so that an idle socket keeps no room for it.
                Box::pin(self.carry_out(&mut port, order, &mut stored)).await?;
            }
            // Each socket is woken when the gateway stops.
            if self.api.stopping.is_cancelled() {
                return Err(Closing::Stopping);
            }
            self.set_alarm(&port);
            let input = tokio::select! {
                received = self.socket.receive(), if port.takes_frames() => Input::Received(received),
                () = self.handle.ready() => Input::Ready,
                () = &mut self.alarm => Input::Timeout,
                () = self.pass.ended() => return Err(Closing::KeyEnded),
            };
            let now = self.now();
            match input {
                Input::Received(received) => self.read(&mut port, now, received)?,
                Input::Ready => {}
                Input::Timeout => {
                    self.liveness.handle_timeout(now);
                    port.handle_timeout(now);
                    self.alarm.as_mut().reset(self.api.presence.clock().instant(now.mono + ALARM_MAX));
                }
            }
        }
    }

    /// What the terminal's socket begins with, and the highest attempt that was seen of the terminal.
    async fn begin(&mut self) -> Result<(Port, u64), Closing> {
        let boarded = ask(&self.api.stopping, self.api.deliveries.boarded(&self.poi)).await?;
        let stored = boarded.as_ref().map_or(0, |boarded| boarded.attempt);
        let setup = PortSetup {
            plain_journal: Port::plain_journal(self.caller.credential.as_str()),
            boarded: boarded.map(|boarded| boarded.journal),
            merchant_account: self.merchant_account().into(),
        };
        Ok((Port::new(self.now(), setup), stored))
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

    fn read(&mut self, port: &mut Port, now: Now, received: Received) -> Result<(), Closing> {
        self.liveness.handle_alive(now);
        self.handle.heard(now.wall);
        match received {
            Received::Text(text) => port.handle_text(now, &text),
            Received::Binary => port.handle_error(now, ClientError::INVALID_JSON),
            Received::Alive | Received::Answer(_) => {}
            Received::TooLarge => return Err(Closing::TooLarge),
            Received::Gone => return Err(Closing::Normal),
        }
        Ok(())
    }

    /// Whatever the desk, the port or the time has for this socket. The desk first: a socket that was displaced is to close, and to
    /// say and write nothing more.
    fn next_order(&mut self, port: &mut Port) -> Option<Order> {
        let of_desk = self.handle.next_order().map(Order::Desk);
        let of_port = || port.poll_order().map(Order::Port);
        of_desk.or_else(of_port).or_else(|| self.liveness.poll_action().map(Order::Time))
    }

    async fn carry_out(&mut self, port: &mut Port, order: Order, stored: &mut u64) -> Result<(), Closing> {
        match order {
            Order::Desk(order) => self.follow(port, order).await,
            Order::Port(order) => self.obey(port, order, stored).await,
            Order::Time(action) => self.stay_alive(action).await,
        }
    }

    /// What the desk wants of a link.
    async fn follow(&mut self, port: &mut Port, order: LinkOrder) -> Result<(), Closing> {
        match order {
            LinkOrder::Frame(ToTerminal::Welcome(_)) => port.handle_welcome(self.now()),
            LinkOrder::Frame(ToTerminal::Deliver(deliver)) => {
                let (company, poi) = (&self.caller.company, &self.poi);
                let asked = self.api.deliveries.asked(company, poi, &deliver).await;
                port.handle_deliver(self.now(), deliver, asked);
            }
            LinkOrder::Frame(ToTerminal::Recorded { delivery, problem }) => {
                port.handle_recorded(&delivery, problem)
            }
            // A terminal of the Actions API knows none of these.
            LinkOrder::Frame(
                ToTerminal::Settings(_)
                | ToTerminal::RemoveConfig(_)
                | ToTerminal::NewToken(_)
                | ToTerminal::Unknown(_),
            ) => {}
            LinkOrder::Probe => self.liveness.probe(self.now()),
            LinkOrder::Close(reason) => return Err(reason.into()),
        }
        Ok(())
    }

    /// What the port decided.
    async fn obey(&mut self, port: &mut Port, order: PortOrder, stored: &mut u64) -> Result<(), Closing> {
        match order {
            PortOrder::Look(names) => {
                let known = ask(&self.api.stopping, self.api.deliveries.known(&self.poi, names)).await?;
                port.handle_found(self.now(), known);
            }
            PortOrder::Hello(opening) => self.introduce(opening, stored).await?,
            PortOrder::Write(frame, delivery) => {
                self.socket.write(frame.encode()).await?;
                if let Some(delivery) = delivery {
                    port.handle_written(&delivery);
                }
            }
            PortOrder::Tell(frame) => self.handle.frame(frame),
            PortOrder::CloseForErrors => return Err(Closing::Errors),
        }
        Ok(())
    }

    async fn stay_alive(&mut self, action: LinkAction) -> Result<(), Closing> {
        match action {
            LinkAction::Ping => {
                let pong = ToClient::Pong { timestamp: rfc3339(self.now().wall) };
                self.socket.write(pong.encode()).await?;
                Ok(self.socket.ping().await?)
            }
            LinkAction::Probe { alive } => {
                self.handle.probed(alive);
                Ok(())
            }
            LinkAction::Close(reason) => Err(reason.into()),
        }
    }

    /// Says `hello` in the terminal's stead, boarded anew if it has to be.
    async fn introduce(&mut self, opening: Opening, stored: &mut u64) -> Result<(), Closing> {
        if opening.is_new_journal() {
            let (read, journal) = (opening.read.clone(), opening.journal.clone());
            let boarded = self.api.deliveries.board(&self.poi, read, journal);
            let boarded = ask(&self.api.stopping, boarded).await?.ok_or(Closing::KeyEnded)?;
            if boarded.journal != opening.journal {
                tracing::warn!(poi.id = %self.poi, "boarded by another socket of this terminal");
                return Err(Closing::Draining);
            }
            *stored = boarded.attempt;
        }
        let now = self.now();
        let welcome = Welcome {
            connection_id: self.handle.connection().clone(),
            server_time: rfc3339(now.wall),
            heartbeat: Heartbeat::DEFAULT,
            terminal: Placement {
                poi_id: self.poi.clone(),
                merchant_account: self.merchant_account().to_owned(),
                store: match self.group.place() {
                    Place::Store { store, .. } => Some(store.as_str().to_owned()),
                    _ => None,
                },
            },
            settings: Settings::default(),
            body_limit: u32::try_from(self.api.body_limit).unwrap_or(u32::MAX),
        };
        let process = self.process.clone();
        self.handle
            .hello_as(*stored, |attempt| Arrival { hello: opening.into_hello(attempt, process), welcome });
        Ok(())
    }

    fn merchant_account(&self) -> &str {
        self.group.place().merchant().map_or("", |merchant| merchant.as_str())
    }

    fn now(&self) -> Now {
        self.api.presence.clock().now()
    }
}

/// An answer that comes from the store.
async fn ask<T>(
    stopping: &CancellationToken,
    answer: impl Future<Output = Result<T, Unanswered>>,
) -> Result<T, Closing> {
    let answer = tokio::select! {
        answer = answer => answer,
        () = stopping.cancelled() => return Err(Closing::Stopping),
    };
    answer.map_err(|error| {
        tracing::error!(%error, "an Actions terminal is to come again");
        Closing::Draining
    })
}

/// What a socket has to do, by whoever wants it.
enum Order {
    Desk(LinkOrder),
    Port(PortOrder),
    Time(LinkAction),
}

enum Input {
    Received(Received),
    Ready,
    Timeout,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::socket::future_size;

    #[test]
    fn the_task_of_an_idle_terminal_holds_little() {
        // In bytes; of the first, 368 are the WebSocket library's, of the second half are the port.
        let (session, future) = (size_of::<Session>(), future_size(Session::live));
        assert!(session <= 616 && future <= 608, "{session} and {future}");
    }
}
