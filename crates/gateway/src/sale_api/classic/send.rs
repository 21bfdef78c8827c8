//! `POST /sync` and `/async`: one request, and its answer in the same HTTP response, or `ok` as soon as the terminal has it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use relay::exchange::ReplyMode;

use super::super::SaleApi;
use super::super::take::{Refused, Reply};
use super::{answer, caller};

/// Answers with HTTP 200 whatever became of the request; other statuses say that it was not taken.
pub(super) async fn sync(State(api): State<Arc<SaleApi>>, headers: HeaderMap, body: Body) -> Response {
    send(&api, ReplyMode::Sync, &headers, body).await
}

/// The same, for a Sale system that does not wait for the end (E21).
pub(super) async fn r#async(State(api): State<Arc<SaleApi>>, headers: HeaderMap, body: Body) -> Response {
    send(&api, ReplyMode::Async, &headers, body).await
}

async fn send(api: &SaleApi, mode: ReplyMode, headers: &HeaderMap, body: Body) -> Response {
    match take(api, mode, headers, body).await {
        Ok(reply) => api.tell(reply, |request, heard, now| answer::write(request, mode, heard, now)),
        Err(refused) => answer::refused(&refused, api.now()),
    }
}

async fn take(api: &SaleApi, mode: ReplyMode, headers: &HeaderMap, body: Body) -> Result<Reply, Refused> {
    let caller = caller(api, headers).await?;
    let request = api.read(headers, body).await?;
    api.send(&caller, request, mode, headers).await
}
