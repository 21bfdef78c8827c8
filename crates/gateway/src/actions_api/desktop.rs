//! The socket of a desktop.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket};

use super::{ActionsApi, Visitor};
use crate::http::listener::Slot;

/// One socket from its upgrade to its end.
// FIXME: a desktop is closed at once until its socket is served.
pub(super) fn serve(api: Arc<ActionsApi>, visitor: Visitor, slot: Slot, mut socket: WebSocket) {
    tracing::debug!(
        client.address = %visitor.address,
        credential.id = %visitor.caller.credential,
        groups = ?visitor.groups,
        device = ?visitor.device,
        "no desktops yet"
    );
    api.tasks.spawn(async move {
        let frame = CloseFrame { code: 1013, reason: "not yet".into() };
        let _ = tokio::time::timeout(super::CLOSE_MAX, socket.send(Message::Close(Some(frame)))).await;
        drop(slot);
    });
}
