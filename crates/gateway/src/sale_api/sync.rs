//! `POST /sync`: one request, and its answer in the same HTTP response.
//!
//! Source: Terminal API, cloud endpoints.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use nexo::Request;
use relay::exchange::{Answer, Heard, ReplyMode, WAIT_MAX};
use relay::ledger;

use super::told_body::ToldBody;
use super::{SaleApi, answer};
use crate::access::Role;
use crate::exchange::NotTaken;
use crate::http::body::{self, BodyError};
use crate::http::problem::ClassicError;

/// Answers with HTTP 200 whatever became of the request; other statuses say that it was not taken.
pub(super) async fn call(State(api): State<Arc<SaleApi>>, headers: HeaderMap, body: Body) -> Response {
    let caller = match api.access.authenticate(&headers).await.and_then(|c| c.require(Role::TerminalApi)) {
        Ok(caller) => caller,
        Err(denied) => return ClassicError::from(denied).into_response(),
    };
    let clock = api.presence.clock();
    let bytes = match body::read(&headers, body, api.body_limit).await {
        Ok(bytes) => bytes,
        Err(BodyError::TooLarge { .. }) => return answer::too_large(clock.now().wall),
        Err(error) => return ClassicError::from(error).into_response(),
    };
    let request = match Request::parse(bytes.clone()) {
        Ok(request) => request,
        Err(error) => return answer::unreadable(&bytes, &error, clock.now().wall),
    };
    let sent = api.exchanges.send(&caller, request.clone(), ReplyMode::Sync, wait(&headers));
    let (call, heard) = match sent.await {
        Ok(heard) => heard,
        Err(NotTaken::OutOfScope) => {
            return ClassicError::forbidden(format!("Not allowed: {}.", NotTaken::OutOfScope))
                .into_response();
        }
        Err(NotTaken::Store(error)) => {
            tracing::error!(%error, "a request was refused because the store can't be read");
            let heard = Heard { answer: Answer::TryAgain, repeated: false, exchange: None };
            return answer::write(&request, heard, clock.now().wall);
        }
    };
    let at = clock.now().wall;
    let (what, exchange) = (answer::word(&heard), heard.exchange.clone());
    let response = answer::write(&request, heard, at);
    match exchange {
        None => response,
        Some(exchange) => {
            let told = ledger::Told { exchange, call, what, at, written: false };
            response.map(|body| ToldBody::wrap(body, api.presence.clone(), told))
        }
    }
}

/// `Prefer: wait=N` (RFC 7240), in seconds; anything else than 1 to 150 is no preference.
fn wait(headers: &HeaderMap) -> Duration {
    let preferences =
        headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split([',', ';']));
    let seconds = preferences
        .filter_map(|p| p.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .find_map(|(_, value)| value.trim().trim_matches('"').parse::<u64>().ok())
        .filter(|seconds| (1..=WAIT_MAX.as_secs()).contains(seconds));
    seconds.map_or(WAIT_MAX, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &'static str) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert("Prefer", value.parse().unwrap());
        wait(&headers)
    }

    #[test]
    fn a_pos_may_ask_for_a_shorter_wait() {
        assert_eq!(prefer("wait=20"), Duration::from_secs(20));
        assert_eq!(prefer("respond-async, wait=7"), Duration::from_secs(7));
        assert_eq!(prefer("Wait = \"9\""), Duration::from_secs(9));
    }

    #[test]
    fn a_wait_out_of_range_is_no_preference() {
        for value in ["wait=0", "wait=151", "wait=-1", "wait=soon", "waiting=5", ""] {
            assert_eq!(prefer(value), WAIT_MAX, "{value:?}");
        }
    }
}
