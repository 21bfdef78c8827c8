//! A terminal connects, is registered, is present: `GET /terminal/v1/link`.
//!
//! Source: our own protocol, `docs/terminal-link.md`.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use relay::exchange::{Arrival, LinkOrder};
use relay::{
    CloseReason, FRAME_OVERHEAD, GatewayLink, Heartbeat, LinkAction, Now, Placement, SUBPROTOCOL, ToGateway,
    Welcome,
};
use tokio::time::{Sleep, sleep_until};

use super::{Refusal, TerminalLink, Visitor};
use crate::clock::rfc3339;
use crate::http::listener::{Peer, Slot};
use crate::http::socket::{ALARM_MAX, FrameLimits, Received, Socket, bounded};
use crate::ids;
use crate::presence::LinkHandle;

/// Telemetry of one link is kept at most this often; what comes faster is not kept, and the next `hello` brings it anyway.
const DEVICE_PACE: Duration = Duration::from_secs(1);

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
    let upgrade = bounded(upgrade, FrameLimits { received: limit, written: limit });
    upgrade.protocols([SUBPROTOCOL]).on_upgrade(move |socket| {
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
    placement: Box<Placement>,
    address: IpAddr,
    slot: Slot,
    socket: WebSocket,
) {
    let clock = api.presence.clock();
    let tasks = api.tasks.clone();
    let socket = Socket::new(socket, api.stopping.clone());
    let connection = ids::connection_id(clock.now().wall);
    let Some(handle) = api.presence.attach(&visitor.poi, connection) else {
        tracing::warn!(poi.id = %visitor.poi, client.address = %address, "a terminal has too many sockets open at once");
        tasks.spawn(async move {
            close(socket, &CloseReason::Draining).await;
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
    placement: Box<Placement>,
    link: GatewayLink,
    /// Goes off when the link has to be looked at, or earlier.
    alarm: Pin<Box<Sleep>>,
    socket: Socket,
    /// When telemetry was last kept, on the monotonic clock.
    device_noted: Option<Duration>,
    slot: Slot,
}

impl Session {
    async fn live(mut self: Box<Self>) {
        if self.visitor.is_moving || self.api.changes() != self.visitor.changes {
            self.api.keeper.look_again_at(&self.visitor.poi);
        }
        let reason = match self.api.is_no_longer_good(&self.visitor).await {
            None => self.run().await,
            Some(reason) => reason,
        };
        tracing::debug!(poi.id = %self.visitor.poi, connection.id = %self.handle.connection(), code = reason.code(), "link closed");
        // Departs first, so that nobody waits for a polite farewell to know that the terminal is gone.
        let Session { handle, socket, slot, .. } = *self;
        drop(handle);
        close(socket, &reason).await;
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
                received = self.socket.receive() => Input::Received(received),
                () = self.handle.ready() => Input::Ready,
                () = &mut self.alarm => Input::Timeout,
            };
            let now = self.api.presence.clock().now();
            match input {
                Input::Received(received) => {
                    if let Err(reason) = self.read(now, received) {
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

    fn read(&mut self, now: Now, received: Received) -> Result<(), CloseReason> {
        self.handle.heard(now.wall);
        match received {
            Received::Text(text) => {
                let frame = self.link.handle_text(now, &text)?;
                self.take(now, frame);
                Ok(())
            }
            Received::Binary => Err(self.link.handle_binary(now)),
            Received::Alive | Received::Answer(_) => {
                self.link.handle_alive(now);
                Ok(())
            }
            Received::TooLarge => Err(CloseReason::TooLarge),
            Received::Gone => Err(CloseReason::Normal),
        }
    }

    fn take(&mut self, now: Now, frame: ToGateway) {
        match frame {
            ToGateway::Hello(hello) => {
                let welcome = Welcome {
                    connection_id: self.handle.connection().clone(),
                    server_time: rfc3339(now.wall),
                    heartbeat: Heartbeat::DEFAULT,
                    terminal: (*self.placement).clone(),
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
                    LinkAction::Ping => self.socket.ping().await?,
                    LinkAction::Close(reason) => return Err(reason),
                    LinkAction::Probe { alive } => self.handle.probed(alive),
                }
            }
            match self.handle.next_order() {
                None => return Ok(()),
                Some(LinkOrder::Frame(frame)) => self.socket.write(frame.encode()).await?,
                Some(LinkOrder::Probe) => self.link.probe(self.api.presence.clock().now()),
                Some(LinkOrder::Close(reason)) => return Err(reason),
            }
        }
    }
}

fn close(socket: Socket, reason: &CloseReason) -> impl Future<Output = ()> + Send + use<> {
    socket.close(None, reason.code(), &reason.text())
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
    fn the_task_of_an_idle_link_holds_little() {
        // In bytes; of the first, 368 are the WebSocket library's.
        let (session, future) = (size_of::<Session>(), future_size(Session::live));
        assert!(session <= 696 && future <= 296, "{session} and {future}");
    }
}
