//! The socket of an Actions terminal.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket};

use super::{ActionsApi, Visitor};
use crate::http::listener::Slot;
use crate::store::actions::ActionsTerminal;

/// One socket from its upgrade to its end.
// FIXME: a terminal is closed at once until its socket is served.
pub(super) fn serve(
    api: Arc<ActionsApi>,
    visitor: Visitor,
    terminal: ActionsTerminal,
    slot: Slot,
    mut socket: WebSocket,
) {
    tracing::debug!(poi.id = %terminal.poi, client.address = %visitor.address, "no terminals yet");
    api.tasks.spawn(async move {
        let frame = CloseFrame { code: 1013, reason: "not yet".into() };
        let _ = tokio::time::timeout(super::CLOSE_MAX, socket.send(Message::Close(Some(frame)))).await;
        drop(slot);
    });
}
