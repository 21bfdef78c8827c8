//! Answers that may be long: written page by page, so that they take the memory of one page however long they get.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::store::StoreError;

/// A JSON text that is made piece by piece.
pub(super) trait Pages: Send + 'static {
    /// The next piece, and whether it is the last one.
    fn next(&mut self) -> impl Future<Output = Result<Piece, StoreError>> + Send;
}

/// A piece of a JSON text.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: Bytes,
    pub(super) is_last: bool,
}

/// The answer that consists of these pieces: the first one is there before this returns.
///
/// A failure later on breaks the connection off, so that nobody takes a part for the whole.
///
/// # Errors
/// [`StoreError`] of the first piece.
pub(super) async fn answer(mut pages: impl Pages) -> Result<Response, StoreError> {
    let first = pages.next().await?;
    let body = if first.is_last {
        Body::from(first.text)
    } else {
        let rest = stream::try_unfold(Some(pages), |pages| async {
            let Some(mut pages) = pages else { return Ok(None) };
            let piece = pages.next().await.inspect_err(|error| {
                tracing::error!(%error, "a list was broken off because the store can't be read");
            })?;
            Ok::<_, StoreError>(Some((piece.text, (!piece.is_last).then_some(pages))))
        });
        Body::from_stream(stream::once(async { Ok(first.text) }).chain(rest))
    };
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::*;

    /// So many pieces, and then the last one; or a failure, once it is asked for.
    struct Numbers {
        left: u32,
        fails: Option<Arc<Notify>>,
    }

    impl Pages for Numbers {
        async fn next(&mut self) -> Result<Piece, StoreError> {
            match (self.left, &self.fails) {
                (0, Some(fails)) => {
                    fails.notified().await;
                    Err(StoreError::Closed)
                }
                (0, None) => Ok(Piece { text: "end".into(), is_last: true }),
                (n, _) => {
                    self.left -= 1;
                    Ok(Piece { text: format!("{n},").into(), is_last: false })
                }
            }
        }
    }

    #[tokio::test]
    async fn all_pieces_come_in_order() {
        for (left, whole) in [(0, "end"), (3, "3,2,1,end")] {
            let response = answer(Numbers { left, fails: None }).await.unwrap();
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), whole);
        }
    }

    #[tokio::test]
    async fn a_failure_in_mid_list_breaks_the_connection_and_never_looks_complete() {
        let fails = Arc::new(Notify::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = fails.clone();
        let broken = get(async move || answer(Numbers { left: 2, fails: Some(asked) }).await.unwrap());
        let server = tokio::spawn(async { axum::serve(listener, Router::new().route("/", broken)).await });
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        let read = async {
            // What there is comes before the rest is there.
            while !heard.windows(2).any(|bytes| bytes == b"1,") {
                assert_ne!(socket.read_buf(&mut heard).await.unwrap(), 0, "it ended before it failed");
            }
            fails.notify_one();
            // The connection is ended by the server, though nobody asked for that.
            let _ = socket.read_to_end(&mut heard).await;
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the connection is broken off");
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("transfer-encoding: chunked"), "{heard}");
        assert!(!heard.contains("\r\n0\r\n"), "{heard}");
        server.abort();
    }
}
