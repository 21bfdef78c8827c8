//! A client's WebSocket, as the task that owns it uses it: what a frame may be, how long one may take, and how it ends.
//!
//! Most sockets are idle, so an idle one holds little: small buffers here, and whatever is seldom needed is made in a box when it
//! is. A future that is handed values keeps room for them in each place that they pass through.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use futures_util::SinkExt as _;
use relay::CloseReason;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Read buffer of an idle socket in bytes, and the most that is read at once. The WebSocket library allocates it at once. A
/// `hello` would make a smaller one as large as this.
const READ_BUFFER: usize = 1024;

/// How long a client may take to read one frame before it counts as too slow a reader (4429).
const WRITE_MAX: Duration = Duration::from_secs(10);

/// How long a frame that is on its way when the gateway stops may still take, and how long a closed socket waits for the client's
/// own close. All farewells together have five seconds.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// The alarm of a socket that has none to wait for.
pub(crate) const ALARM_MAX: Duration = Duration::from_secs(3600);

/// The longest frames of a surface, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    /// That a client may send: with a longer one it is closed (1009).
    pub(crate) received: usize,
    /// That is ever written to it.
    pub(crate) written: usize,
}

/// Prepares an upgrade for a [`Socket`].
pub(crate) fn bounded(upgrade: WebSocketUpgrade, limits: FrameLimits) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        // One frame at a time, with its header, and the answers to pings.
        .max_write_buffer_size(2 * limits.written)
        .max_message_size(limits.received)
        .max_frame_size(limits.received)
}

/// A client's WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: WebSocket,
    stopping: CancellationToken,
}

/// What came from a client.
#[derive(Debug)]
pub(crate) enum Received {
    /// A text frame, whole.
    Text(Bytes),
    /// A binary frame.
    Binary,
    /// A ping, which is answered, or the answer to one without a number.
    Alive,
    /// The answer to the [ping with this number](Socket::ping_with): what was written before it has arrived.
    Answer(u64),
    /// More than it may send; nothing follows.
    TooLarge,
    /// It has closed, or is lost; nothing follows.
    Gone,
}

/// Why a frame was not written, or not wholly. The socket is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The client is gone.
    Gone,
    /// It did not read for 10 s.
    TooSlow,
    /// The gateway stops, and it did not read at once.
    Stopping,
}

impl From<WriteError> for CloseReason {
    fn from(error: WriteError) -> CloseReason {
        match error {
            WriteError::Gone => CloseReason::Normal,
            WriteError::TooSlow => CloseReason::TooSlow,
            WriteError::Stopping => CloseReason::Stopping,
        }
    }
}

impl Socket {
    /// One that was upgraded from a [`bounded`] request. `stopping` is set when the gateway stops.
    pub(crate) fn new(inner: WebSocket, stopping: CancellationToken) -> Socket {
        Socket { inner, stopping }
    }

    /// The next thing that comes. Cancel safe.
    pub(crate) async fn receive(&mut self) -> Received {
        match self.inner.recv().await {
            Some(Ok(Message::Text(text))) => Received::Text(text.into()),
            Some(Ok(Message::Binary(_))) => Received::Binary,
            Some(Ok(Message::Ping(_))) => Received::Alive,
            Some(Ok(Message::Pong(payload))) => match <[u8; 8]>::try_from(&payload[..]) {
                Ok(number) => Received::Answer(u64::from_be_bytes(number)),
                Err(_) => Received::Alive,
            },
            Some(Err(error)) if is_too_large(&error) => Received::TooLarge,
            Some(Ok(Message::Close(_)) | Err(_)) | None => Received::Gone,
        }
    }

    /// Writes a text frame. The call is the beginning; what it returns ends when the client's side has all of it, or never will.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) fn write(&mut self, frame: Bytes) -> impl Future<Output = Result<(), WriteError>> + Send {
        // A frame is made from text and from JSON that was checked to be UTF-8.
        let text = Utf8Bytes::try_from(frame).map(Message::Text).ok();
        self.send(text)
    }

    /// Writes a ping, which every WebSocket library answers by itself.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) fn ping(&mut self) -> impl Future<Output = Result<(), WriteError>> + Send {
        self.send(Some(Message::Ping(Bytes::new())))
    }

    /// Writes a ping whose answer says that it is one to this ping: [`Received::Answer`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) fn ping_with(&mut self, number: u64) -> impl Future<Output = Result<(), WriteError>> + Send {
        self.send(Some(Message::Ping(Bytes::copy_from_slice(&number.to_be_bytes()))))
    }

    fn send(&mut self, message: Option<Message>) -> impl Future<Output = Result<(), WriteError>> + Send {
        // Here, so that the future has no room for the message.
        let started = message.map_or(Ok(()), |message| self.inner.start_send_unpin(message));
        let started = started.map_err(|_| WriteError::Gone);
        async move {
            started?;
            // What was written before is flushed, and the answer to a ping that may wait goes along. Hardly ever does the socket
            // not take all of it at once.
            match poll_fn(|context| Poll::Ready(self.inner.poll_flush_unpin(context))).await {
                Poll::Ready(flushed) => flushed.map_err(|_| WriteError::Gone),
                Poll::Pending => Box::pin(self.flush()).await,
            }
        }
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        let stopped = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(FAREWELL_MAX).await;
        };
        tokio::select! {
            flushed = self.inner.flush() => flushed.map_err(|_| WriteError::Gone),
            () = tokio::time::sleep(WRITE_MAX) => Err(WriteError::TooSlow),
            () = stopped => Err(WriteError::Stopping),
        }
    }

    /// Closes it, after a last text frame if there is one, and waits a moment for the client's own close. A client that has closed
    /// first gets the answer to that instead. `reason` has at most 123 bytes.
    pub(crate) fn close(
        mut self,
        last_words: Option<Bytes>,
        code: u16,
        reason: &str,
    ) -> Pin<Box<impl Future<Output = ()> + Send + use<>>> {
        let frame = CloseFrame { code, reason: reason.into() };
        Box::pin(async move {
            let farewell = async {
                if let Some(frame) = last_words {
                    let _ = self.write(frame).await;
                }
                // After the client's own close nothing more is sent: the answer to it is made already, and written as soon as the
                // socket is read on. Nothing more is read from it but its close.
                let _ = self.inner.send(Message::Close(Some(frame))).await;
                while let Some(Ok(_)) = self.inner.recv().await {}
            };
            let _ = timeout(FAREWELL_MAX, farewell).await;
        })
    }
}

/// Whether the socket failed because the client sent more than the limit.
fn is_too_large(error: &axum::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|e| e.downcast_ref::<tungstenite::Error>());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}

/// The size of the future that an async function returns, for tests of what an idle socket's task holds.
#[cfg(test)]
pub(crate) fn future_size<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
    size_of::<F>()
}
