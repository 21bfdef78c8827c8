//! A response body that knows whether the socket took it, for `told[]`: what was said and what was heard are two things.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use relay::ledger::Told;

use crate::presence::Presence;

/// Passes `inner` on, and notes in the ledger, when it is dropped, whether all of it was handed to the socket.
pub(super) struct ToldBody {
    inner: Body,
    presence: Arc<Presence>,
    told: Option<Told>,
}

impl ToldBody {
    /// `inner` with that knowledge; `told.written` is yet to be found out.
    pub(super) fn wrap(inner: Body, presence: Arc<Presence>, told: Told) -> Body {
        Body::new(ToldBody { inner, presence, told: Some(told) })
    }
}

impl http_body::Body for ToldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if self.inner.is_end_stream()
            && let Some(told) = &mut self.told
        {
            told.written = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ToldBody {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            self.presence.note_told(told);
        }
    }
}
