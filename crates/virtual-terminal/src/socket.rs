//! One WebSocket, with every write under a time limit and small buffers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use relay::{CloseReason, FRAME_OVERHEAD};
use reqwest::Upgraded;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// A gateway that takes nothing for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an end that was asked to close may take to do the same.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest frame that any gateway may send, in bytes.
const FRAME_MAX: usize = 1024 * 1024 + FRAME_OVERHEAD;

/// The terminal's end of a WebSocket.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<Upgraded>);

/// What comes out of a socket.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(Bytes),
    Binary,
    /// A ping, which is answered already, or a pong.
    Alive,
    /// A frame that no gateway may send: close the link.
    TooLarge,
    /// The link is over. None when it broke off, or for a code that links don't use.
    Ended(Option<CloseReason>),
}

impl Socket {
    pub(crate) async fn new(upgraded: Upgraded) -> Socket {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * FRAME_MAX)
            .max_message_size(Some(FRAME_MAX))
            .max_frame_size(Some(FRAME_MAX));
        Socket(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }

    /// The next thing that comes. Cancel safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Text(text.into()),
            Some(Ok(Message::Binary(_))) => Incoming::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Alive,
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.and_then(|f| CloseReason::from_wire(f.code.into(), &f.reason));
                Incoming::Ended(reason)
            }
            Some(Err(Error::Capacity(_))) => Incoming::TooLarge,
            Some(Err(_)) | None => Incoming::Ended(None),
        }
    }

    /// Writes a text frame. Says whether the socket took it.
    pub(crate) async fn send(&mut self, frame: Bytes) -> bool {
        match Utf8Bytes::try_from(frame) {
            Ok(text) => self.write(Message::Text(text)).await,
            // Frames are made of JSON texts.
            Err(_) => false,
        }
    }

    pub(crate) async fn ping(&mut self) -> bool {
        self.write(Message::Ping(Bytes::new())).await
    }

    /// After the other end has closed: hands over the answer to that.
    pub(crate) async fn end(mut self: Box<Self>) {
        // Whoever does not take it has gone already.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.0.flush()).await;
    }

    /// Says why, waits for the other end to do the same, and reads nothing of what comes before that.
    pub(crate) async fn close(mut self: Box<Self>, reason: &CloseReason) {
        let frame =
            CloseFrame { code: CloseCode::from(reason.code()), reason: reason.text().as_ref().into() };
        let closing = async {
            if self.0.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.0.next().await {}
            }
        };
        // Whoever does not close in time is left alone.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }

    async fn write(&mut self, message: Message) -> bool {
        matches!(tokio::time::timeout(WRITE_TIMEOUT, self.0.send(message)).await, Ok(Ok(())))
    }
}
