//! The part of a request's body that nobody wanted.
//!
//! A refusal often needs no body: a wrong key is known by the head. Were it answered at once, and the connection left or
//! closed with the body still on its way, a sender that is in the middle of it would meet a reset instead of the answer. So
//! what is left is read and thrown away before the answer goes out. This is done in one place, below all surfaces.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How much is thrown away: eight times the longest message that is usually taken, for whoever sends too much should still be
/// there to read that it is too much.
pub(super) const DISCARD_MAX: usize = 1024 * 1024;

/// A body that comes back when whoever it was lent to drops it early.
struct Lent<B: HttpBody> {
    rest: Option<Rest<B>>,
    back: Option<oneshot::Sender<Rest<B>>>,
}

struct Rest<B> {
    body: B,
    /// Whether anybody has asked for it: that is when a client that waits for `100 Continue` hears it.
    begun: bool,
}

/// What may come back of a body that was lent.
pub(super) struct Unread<B>(Option<oneshot::Receiver<Rest<B>>>);

/// Lends a body to a handler.
pub(super) fn lend<B>(body: B) -> (Body, Unread<B>)
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    if body.is_end_stream() {
        return (Body::empty(), Unread(None));
    }
    let (back, unread) = oneshot::channel();
    let rest = Some(Rest { body, begun: false });
    (Body::new(Lent { rest, back: Some(back) }), Unread(Some(unread)))
}

impl<B: HttpBody<Data = Bytes> + Unpin> Unread<B> {
    /// Throws away what the handler has left, once it has answered with this `status`; `asked_first` is a request with
    /// `Expect: 100-continue`. Returns whether the connection is good for another request. It is not when too much is left, or
    /// it does not come within `time`.
    pub(super) async fn discard(self, asked_first: bool, status: StatusCode, time: Duration) -> bool {
        let Some(Ok(Rest { mut body, begun })) = self.0.map(|mut unread| unread.try_recv()) else {
            return true;
        };
        // Whoever was too slow already is waited for no more, and who asked before it sent has not sent it.
        let is_not_coming = status == StatusCode::REQUEST_TIMEOUT || (asked_first && !begun);
        let announced = body.size_hint().lower();
        if is_not_coming || announced > u64::try_from(DISCARD_MAX).unwrap_or(u64::MAX) {
            return false;
        }
        let throw_away = async {
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > DISCARD_MAX {
                    return false;
                }
            }
            true
        };
        timeout(time, throw_away).await.unwrap_or_else(|_| {
            tracing::info!(limit = "unread_body", "a slow client is cut off");
            false
        })
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        rest.begun = true;
        let frame = Pin::new(&mut rest.body).poll_frame(context);
        if let Poll::Ready(None) = &frame {
            self.rest = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.body.size_hint())
    }
}

impl<B: HttpBody> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(rest), Some(back)) = (self.rest.take(), self.back.take())
            && !rest.body.is_end_stream()
        {
            // The connection may be gone, and then nobody waits for it.
            let _ = back.send(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use tokio::time::Instant;

    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    fn chunks(count: usize, length: usize) -> Body {
        let chunk = Bytes::from(vec![b' '; length]);
        Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(chunk); count]))
    }

    fn stuck() -> Body {
        Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from("{"))]).chain(stream::pending()))
    }

    /// Whether the connection is good for more after this body was lent, not read, and the request answered so.
    async fn is_good(body: Body, asked_first: bool, status: StatusCode) -> bool {
        let (lent, unread) = lend(body);
        drop(lent);
        unread.discard(asked_first, status, TIME).await
    }

    #[tokio::test]
    async fn what_was_read_to_its_end_leaves_nothing() {
        let (lent, unread) = lend(chunks(3, 10));
        assert_eq!(lent.collect().await.unwrap().to_bytes().len(), 30);
        assert!(unread.discard(false, StatusCode::OK, TIME).await);
        assert!(is_good(Body::empty(), false, StatusCode::OK).await);
    }

    #[tokio::test]
    async fn what_was_not_read_is_thrown_away_up_to_a_limit() {
        for (body, good) in [
            (chunks(3, 10), true),
            (Body::from(vec![0; DISCARD_MAX]), true),
            (Body::from(vec![0; DISCARD_MAX + 1]), false),
            (chunks(2, DISCARD_MAX), false),
        ] {
            assert_eq!(is_good(body, false, StatusCode::UNAUTHORIZED).await, good);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_waited_for_no_longer_than_its_time() {
        let started = Instant::now();
        assert!(!is_good(stuck(), false, StatusCode::UNAUTHORIZED).await);
        assert_eq!(started.elapsed(), TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_too_slow_or_asked_before_it_sent_is_not_waited_for() {
        let started = Instant::now();
        assert!(!is_good(stuck(), false, StatusCode::REQUEST_TIMEOUT).await);
        assert!(!is_good(stuck(), true, StatusCode::UNAUTHORIZED).await);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
