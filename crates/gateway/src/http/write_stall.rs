//! A stream whose peer has to take what is written to it.
//!
//! A client that asks and does not read holds its connection, its answer and a slot for ever: TCP itself waits as long as the
//! peer's machine is there. The stream fails when a write has made no progress for a while. Nothing is kept while none waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fails with [`io::ErrorKind::TimedOut`] when a write makes no progress for `limit`.
pub(super) struct WriteStall<S> {
    inner: S,
    limit: Duration,
    /// Boxed, for a link that is idle for weeks should not carry a timer.
    waiting: Option<Pin<Box<Sleep>>>,
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

    fn watch<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.waiting = None;
            return wrote;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        match waiting.as_mut().poll(context) {
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
        self.watch(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.watch(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(context, ended)
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

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_waited_for() {
        let (ours, mut theirs) = duplex(4);
        let (mut stream, started) = (WriteStall::new(ours, LIMIT), Instant::now());
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            while read.len() < 20 {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                let mut piece = [0; 4];
                theirs.read_exact(&mut piece).await.unwrap();
                read.extend_from_slice(&piece);
            }
            read
        });
        stream.write_all(b"twenty bytes exactly").await.unwrap();
        assert_eq!(reading.await.unwrap(), b"twenty bytes exactly");
        assert!(started.elapsed() > LIMIT * 3);
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
