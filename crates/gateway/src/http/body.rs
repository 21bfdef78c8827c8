//! Reading the body of a request: never more than a limit, never longer than a limit.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::unread::DISCARD_MAX;

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyLimits {
    /// The longest body.
    pub(crate) bytes: usize,
    /// The longest pause in it.
    pub(crate) silence: Duration,
    /// The longest time for all of it.
    pub(crate) time: Duration,
}

/// Why there is no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// More than the limit.
    #[error("the body is over the limit of {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// Its sender fell silent.
    #[error("the body paused for more than {} s", limit.as_secs_f32())]
    Silent {
        /// For this long.
        limit: Duration,
    },
    /// It did not come in time.
    #[error("the body did not come within {} s", limit.as_secs_f32())]
    TooSlow {
        /// In this time.
        limit: Duration,
    },
    /// The connection broke, or its framing is wrong.
    #[error("the body ended early")]
    Broken,
}

impl BodyError {
    /// The status that says so.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Silent { .. } | BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body within its limits, with a length or in chunks.
///
/// # Errors
/// [`BodyError`]; after each of them the connection may be of no more use.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, BodyError> {
    let limit = limits.bytes;
    let announced = body.size_hint().lower();
    // A sender who asks before it sends is told at once, and so is one who would send more than we care to throw away.
    let tolerated = if headers.contains_key(header::EXPECT) { limit } else { limit + DISCARD_MAX };
    if announced > u64::try_from(tolerated).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge { limit });
    }
    let read = timeout(limits.time, collect(body, limits)).await;
    let read = read.unwrap_or(Err(BodyError::TooSlow { limit: limits.time }));
    match &read {
        Err(BodyError::Silent { .. }) => tracing::info!(limit = "body_silence", "a slow client is cut off"),
        Err(BodyError::TooSlow { .. }) => tracing::info!(limit = "body", "a slow client is cut off"),
        Ok(_) | Err(BodyError::TooLarge { .. } | BodyError::Broken) => {}
    }
    read
}

async fn collect(mut body: Body, limits: BodyLimits) -> Result<Bytes, BodyError> {
    let BodyLimits { bytes: limit, silence, .. } = limits;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame =
            match timeout(silence, body.frame()).await.map_err(|_| BodyError::Silent { limit: silence })? {
                None => break,
                Some(frame) => frame.map_err(|_| BodyError::Broken)?,
            };
        let Ok(data) = frame.into_data() else { continue }; // Trailers say nothing that we use.
        if first.len() + rest.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        match (first.is_empty(), rest.is_empty()) {
            // Nearly every body comes in one piece, which needs no copy.
            (true, true) => first = data,
            (false, true) => {
                rest.extend_from_slice(&first);
                rest.extend_from_slice(&data);
                first = Bytes::new();
            }
            (_, false) => rest.extend_from_slice(&data),
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use tokio::time::Instant;

    use super::*;
    use crate::http::patience::Patience;

    fn limits(bytes: usize) -> BodyLimits {
        Patience::default().for_body(bytes)
    }

    fn chunks(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|c| Ok::<_, Infallible>(Bytes::from(*c))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_comes_in_one_piece_or_in_chunks() {
        assert_eq!(read(&HeaderMap::new(), Body::from("abc"), limits(3)).await.unwrap(), "abc");
        assert_eq!(read(&HeaderMap::new(), Body::empty(), limits(3)).await.unwrap(), "");
        assert_eq!(read(&HeaderMap::new(), chunks(&["a", "", "b", "c"]), limits(3)).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        assert_eq!(
            read(&HeaderMap::new(), Body::from("abcd"), limits(3)).await,
            Err(BodyError::TooLarge { limit: 3 })
        );
        assert_eq!(
            read(&HeaderMap::new(), chunks(&["ab", "cd"]), limits(3)).await,
            Err(BodyError::TooLarge { limit: 3 })
        );
    }

    #[tokio::test]
    async fn a_sender_who_asks_first_is_refused_before_it_sends() {
        let mut headers = HeaderMap::new();
        headers.insert(header::EXPECT, "100-continue".parse().unwrap());
        assert_eq!(
            read(&headers, Body::from("abcd"), limits(3)).await,
            Err(BodyError::TooLarge { limit: 3 })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_is_cut_off() {
        let started = Instant::now();
        let body = stream::iter([Ok::<_, Infallible>(Bytes::from("{"))]).chain(stream::pending());
        assert_eq!(
            read(&HeaderMap::new(), Body::from_stream(body), limits(9)).await,
            Err(BodyError::Silent { limit: limits(9).silence })
        );
        assert_eq!(started.elapsed(), limits(9).silence);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_who_drips_is_cut_off() {
        let started = Instant::now();
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            Some((Ok::<_, Infallible>(Bytes::from("x")), ()))
        });
        assert_eq!(
            read(&HeaderMap::new(), Body::from_stream(drops), limits(99)).await,
            Err(BodyError::TooSlow { limit: limits(99).time })
        );
        assert_eq!(started.elapsed(), limits(99).time);
    }
}
