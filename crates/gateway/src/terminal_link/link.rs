//! A terminal connects, is registered, is present: `GET /terminal/v1/link`.
//!
//! Source: our own protocol, `docs/terminal-link.md`.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::SinkExt as _;
use relay::exchange::{Arrival, LinkOrder};
use relay::{
    CloseReason, FRAME_OVERHEAD, GatewayLink, Heartbeat, LinkAction, Now, Placement, SUBPROTOCOL, ToGateway,
    Welcome,
};
use tokio::time::{Sleep, sleep_until};

use super::{Refusal, TerminalLink, Visitor};
use crate::clock::rfc3339;
use crate::http::listener::{Peer, Slot};
use crate::ids;
use crate::presence::LinkHandle;

/// Read buffer of an idle link in bytes, and the most that is read at once. The WebSocket library allocates it at once, and
/// most links are idle. A `hello` would make a smaller one as large as this.
const READ_BUFFER: usize = 1024;

/// How long a terminal may take to read one frame before it counts as too slow a reader (4429).
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Telemetry of one link is kept at most this often; what comes faster is not kept, and the next `hello` brings it anyway.
const DEVICE_PACE: Duration = Duration::from_secs(1);

/// The alarm of a link that has none to wait for.
const ALARM_MAX: Duration = Duration::from_secs(3600);

/// How long a closed link waits for the terminal's own close.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// `GET /terminal/v1/link`: everything that can be refused is refused before the upgrade is answered.
pub(super) async fn open(
    State(api): State<Arc<TerminalLink>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(slot): Extension<Slot>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let (visitor, placement) = match api.authenticate(&headers).await {
        Ok(known) => known,
        Err(refusal) => return refusal.into_response(),
    };
    let upgrade = match upgrade {
        Ok(upgrade) if names_subprotocol(&headers) => upgrade,
        _ => return Refusal::NotALink.into_response(),
    };
    let limit = api.body_limit + FRAME_OVERHEAD;
    let address = api.proxies.client(peer.ip(), &headers);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * limit)
        .max_message_size(limit)
        .max_frame_size(limit)
        .protocols([SUBPROTOCOL])
        .on_upgrade(move |socket| {
            serve(api, visitor, placement, address, slot, socket);
            // The link has a task of its own: this one, with all that the upgrade needed, ends here.
            std::future::ready(())
        })
}

fn names_subprotocol(headers: &HeaderMap) -> bool {
    let named = headers.get_all("sec-websocket-protocol").iter().filter_map(|v| v.to_str().ok());
    named.flat_map(|v| v.split(',')).any(|name| name.trim() == SUBPROTOCOL)
}

/// One socket from its upgrade to its end. What it does is decided by [`GatewayLink`] and by the terminal's desk.
///
/// What an idle link holds is in one box, and what is seldom needed is made when it is: a future that is handed values keeps
/// room for them in each place that they pass through.
fn serve(
    api: Arc<TerminalLink>,
    visitor: Visitor,
    placement: Placement,
    address: IpAddr,
    slot: Slot,
    socket: WebSocket,
) {
    let clock = api.presence.clock();
    let tasks = api.tasks.clone();
    let connection = ids::connection_id(clock.now().wall);
    let Some(handle) = api.presence.attach(&visitor.poi, connection) else {
        tracing::warn!(poi.id = %visitor.poi, client.address = %address, "a terminal has too many sockets open at once");
        tasks.spawn(async move {
            close(socket, CloseReason::Draining).await;
            drop(slot);
        });
        return;
    };
    let link = GatewayLink::new(clock.now(), Heartbeat::DEFAULT, api.body_limit());
    tracing::debug!(poi.id = %visitor.poi, connection.id = %handle.connection(), client.address = %address, "link opened");
    let alarm = Box::pin(sleep_until(clock.instant(clock.now().mono + ALARM_MAX)));
    let session =
        Box::new(Session { handle, api, visitor, placement, link, alarm, socket, device_noted: None, slot });
    tasks.spawn(session.live());
}

struct Session {
    /// First, so that it is dropped first: then the terminal has departed.
    handle: LinkHandle,
    api: Arc<TerminalLink>,
    visitor: Visitor,
    placement: Placement,
    link: GatewayLink,
    /// Goes off when the link has to be looked at, or earlier.
    alarm: Pin<Box<Sleep>>,
    socket: WebSocket,
    /// When telemetry was last kept, on the monotonic clock.
    device_noted: Option<Duration>,
    slot: Slot,
}

impl Session {
    async fn live(mut self: Box<Self>) {
        let reason = match self.api.is_still_good(&self.visitor).await {
            true => self.run().await,
            false => CloseReason::BoardAgain,
        };
        tracing::debug!(poi.id = %self.visitor.poi, connection.id = %self.handle.connection(), code = reason.code(), "link closed");
        // Departs first, so that nobody waits for a polite farewell to know that the terminal is gone.
        let Session { handle, socket, slot, .. } = *self;
        drop(handle);
        Box::pin(close(socket, reason)).await;
        drop(slot);
    }

    /// Until the link ends; says why.
    async fn run(&mut self) -> CloseReason {
        loop {
            if let Err(reason) = self.write_what_is_due().await {
                return reason;
            }
            // Each socket is woken when the gateway stops.
            if self.api.stopping.is_cancelled() {
                return CloseReason::Stopping;
            }
            self.set_alarm();
            let input = tokio::select! {
                message = self.socket.recv() => Input::Message(message),
                () = self.handle.ready() => Input::Ready,
                () = &mut self.alarm => Input::Timeout,
            };
            let now = self.api.presence.clock().now();
            match input {
                Input::Message(message) => {
                    if let Err(reason) = self.read(now, message) {
                        return reason;
                    }
                }
                Input::Ready => {}
                Input::Timeout => {
                    self.link.handle_timeout(now);
                    self.alarm.as_mut().reset(self.api.presence.clock().instant(now.mono + ALARM_MAX));
                }
            }
        }
    }

    /// Moves the alarm forward if it would go off too late. It is left where it is if it goes off too early, as after each
    /// frame: that costs less than to move it each time.
    fn set_alarm(&mut self) {
        if let Some(at) = self.link.poll_timeout() {
            let at = self.api.presence.clock().instant(at);
            if at < self.alarm.deadline() {
                self.alarm.as_mut().reset(at);
            }
        }
    }

    fn read(&mut self, now: Now, message: Option<Result<Message, axum::Error>>) -> Result<(), CloseReason> {
        self.handle.heard(now.wall);
        match message {
            Some(Ok(Message::Text(text))) => {
                let frame = self.link.handle_text(now, &Bytes::from(text))?;
                self.take(now, frame);
                Ok(())
            }
            Some(Ok(Message::Binary(_))) => Err(self.link.handle_binary(now)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                self.link.handle_alive(now);
                Ok(())
            }
            Some(Err(error)) if is_too_large(&error) => Err(CloseReason::TooLarge),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(CloseReason::Normal),
        }
    }

    fn take(&mut self, now: Now, frame: ToGateway) {
        match frame {
            ToGateway::Hello(hello) => {
                let welcome = Welcome {
                    connection_id: self.handle.connection().clone(),
                    server_time: rfc3339(now.wall),
                    heartbeat: Heartbeat::DEFAULT,
                    terminal: self.placement.clone(),
                    settings: self.visitor.settings.clone(),
                    body_limit: self.api.body_limit(),
                };
                self.handle.hello(Arrival { hello: *hello, welcome });
            }
            ToGateway::Device(device) => {
                let noted = self.device_noted.replace(now.mono);
                if noted.is_none_or(|at| now.mono >= at + DEVICE_PACE) {
                    self.api.presence.note_device(&self.visitor.poi, &device);
                } else {
                    self.device_noted = noted;
                }
            }
            frame => self.handle.frame(frame),
        }
    }

    /// Writes whatever the link and the desk have for this socket.
    async fn write_what_is_due(&mut self) -> Result<(), CloseReason> {
        loop {
            while let Some(action) = self.link.poll_action() {
                match action {
                    LinkAction::Ping => self.write(Message::Ping(Bytes::new())).await?,
                    LinkAction::Close(reason) => return Err(reason),
                    LinkAction::Probe { alive } => self.handle.probed(alive),
                }
            }
            match self.handle.next_order() {
                None => return Ok(()),
                Some(LinkOrder::Frame(frame)) => {
                    // A frame is made from text and from messages that were checked to be UTF-8.
                    if let Ok(text) = Utf8Bytes::try_from(frame.encode()) {
                        self.write(Message::Text(text)).await?;
                    }
                }
                Some(LinkOrder::Probe) => self.link.probe(self.api.presence.clock().now()),
                Some(LinkOrder::Close(reason)) => return Err(reason),
            }
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), CloseReason> {
        // What was written before is flushed, and the answer to a ping that may wait goes along. Hardly ever does the socket
        // not take all of it at once.
        self.socket.start_send_unpin(message).map_err(|_| CloseReason::Normal)?;
        match poll_fn(|context| Poll::Ready(self.socket.poll_flush_unpin(context))).await {
            Poll::Ready(flushed) => flushed.map_err(|_| CloseReason::Normal),
            Poll::Pending => Box::pin(self.flush()).await,
        }
    }

    async fn flush(&mut self) -> Result<(), CloseReason> {
        tokio::select! {
            flushed = self.socket.flush() => flushed.map_err(|_| CloseReason::Normal),
            () = tokio::time::sleep(WRITE_MAX) => Err(CloseReason::TooSlow),
            () = self.api.stopping.cancelled() => Err(CloseReason::Stopping),
        }
    }
}

async fn close(mut socket: WebSocket, reason: CloseReason) {
    let frame = CloseFrame { code: reason.code(), reason: reason.text().as_ref().into() };
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
    Timeout,
}

/// Whether the socket failed because the terminal sent more than the limit.
fn is_too_large(error: &axum::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|e| e.downcast_ref::<tungstenite::Error>());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}
