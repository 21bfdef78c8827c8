//! A stream whose peer has to take what is written to it.
//!
//! A client that asks and does not read holds its connection, its answer and a slot for ever: TCP itself waits as long as the
//! peer's machine is there. The stream fails when a write has made no progress for a while, and when what was to be flushed is
//! taken more slowly than any network is. Nothing is kept while none waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes per second that a peer has to take in the long run: a fifth of the slowest mobile network that a till is run on. Without
/// it, one byte now and then would hold an answer for days.
const RATE_MIN: u64 = 1024;

/// Fails with [`io::ErrorKind::TimedOut`] when a write makes no progress for `limit`, or what is written until it is flushed
/// takes longer than `limit` and the time that it needs at [`RATE_MIN`].
pub(super) struct WriteStall<S> {
    inner: S,
    limit: Duration,
    /// Boxed, for a link that is idle for weeks should not carry a timer.
    waiting: Option<Box<Waiting>>,
}

/// From the first write that had to wait until all is flushed.
struct Waiting {
    since: Instant,
    /// Bytes that were taken since.
    taken: u64,
    /// Whether any were taken since the timer was set.
    has_moved: bool,
    timer: Pin<Box<Sleep>>,
}

/// Why the stream failed.
#[derive(Debug, thiserror::Error)]
#[error("the peer takes nothing of what is written to it")]
struct Stalled;

/// Whether an error is that of a peer which took nothing.
pub(super) fn is_stall(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Stalled>())
}

impl<S> WriteStall<S> {
    pub(super) fn new(inner: S, limit: Duration) -> WriteStall<S> {
        WriteStall { inner, limit, waiting: None }
    }

    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(waiting)) = (&wrote, &mut self.waiting) {
            waiting.taken = waiting.taken.saturating_add(u64::try_from(*bytes).unwrap_or(u64::MAX));
            waiting.has_moved |= *bytes > 0;
        }
        self.watch(context, wrote)
    }

    fn flushed(&mut self, context: &mut Context<'_>, flushed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if flushed.is_ready() {
            self.waiting = None;
        }
        self.watch(context, flushed)
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            return done;
        }
        let (limit, now) = (self.limit, Instant::now());
        let waiting = self.waiting.get_or_insert_with(|| {
            let timer = Box::pin(sleep_until(now + limit));
            Box::new(Waiting { since: now, taken: 0, has_moved: false, timer })
        });
        if std::mem::take(&mut waiting.has_moved) {
            let in_all = limit + Duration::from_secs(waiting.taken / RATE_MIN);
            waiting.timer.as_mut().reset((now + limit).min(waiting.since + in_all));
        }
        match waiting.timer.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Stalled))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteStall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.flushed(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.inner).poll_shutdown(context);
        self.flushed(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(4);
        let (mut stream, started) = (WriteStall::new(ours, LIMIT), Instant::now());
        let error = stream.write_all(b"more than four").await.unwrap_err();
        assert_eq!((is_stall(&error), started.elapsed()), (true, LIMIT));
    }

    /// Writes `length` bytes to a peer that takes `piece` of them after each `pause`.
    async fn write_to(length: usize, piece: usize, pause: Duration) -> (io::Result<()>, Duration) {
        let (ours, mut theirs) = duplex(4);
        let (mut stream, started) = (WriteStall::new(ours, LIMIT), Instant::now());
        let reading = tokio::spawn(async move {
            let mut taken = vec![0; piece];
            loop {
                tokio::time::sleep(pause).await;
                if theirs.read_exact(&mut taken).await.is_err() {
                    return;
                }
            }
        });
        let wrote = stream.write_all(&vec![0; length]).await;
        let took = started.elapsed();
        reading.abort();
        (wrote, took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_slow_and_steady_is_waited_for() {
        let (wrote, took) = write_to(400 * 1024, 4 * 1024, Duration::from_secs(3)).await;
        wrote.unwrap();
        assert!(took > LIMIT * 9, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_given_up() {
        let (wrote, took) = write_to(100, 1, LIMIT - Duration::from_secs(1)).await;
        assert!(is_stall(&wrote.unwrap_err()));
        assert_eq!(took, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_a_time_of_its_own() {
        let (ours, mut theirs) = duplex(4);
        let mut stream = WriteStall::new(ours, LIMIT);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LIMIT / 4).await;
                theirs.read_exact(&mut [0; 4]).await.unwrap();
            }
        });
        for _ in 0..10 {
            stream.write_all(b"123456").await.unwrap();
            stream.flush().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_stall() {
        let (ours, mut theirs) = duplex(4);
        let mut stream = WriteStall::new(ours, LIMIT);
        tokio::time::sleep(LIMIT * 10).await;
        stream.write_all(b"late").await.unwrap();
        theirs.read_exact(&mut [0; 4]).await.unwrap();
    }
}
