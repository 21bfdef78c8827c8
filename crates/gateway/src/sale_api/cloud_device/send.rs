//! `POST /v1/merchants/{merchantAccount}/devices/{deviceId}/sync` and `/async`: one request, and its answer in the same HTTP
//! response, or `ok` as soon as the device has it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use nexo::DecodeError;
use relay::exchange::ReplyMode;

use super::super::SaleApi;
use super::super::take::{Refused, Reply};
use super::{Instance, Parameters, Refusal, answer, caller, device};

/// The merchant account and the device.
type Names = Parameters<(String, String)>;

/// Answers with HTTP 200 whatever became of the request; other statuses say that it was not taken.
pub(super) async fn sync(
    State(api): State<Arc<SaleApi>>,
    path: Names,
    instance: Instance,
    headers: HeaderMap,
    body: Body,
) -> Response {
    send(&api, ReplyMode::Sync, (path, instance), &headers, body).await
}

/// The same, for a Sale system that does not wait for the end (E21).
pub(super) async fn r#async(
    State(api): State<Arc<SaleApi>>,
    path: Names,
    instance: Instance,
    headers: HeaderMap,
    body: Body,
) -> Response {
    send(&api, ReplyMode::Async, (path, instance), &headers, body).await
}

async fn send(
    api: &SaleApi,
    mode: ReplyMode,
    (path, instance): (Names, Instance),
    headers: &HeaderMap,
    body: Body,
) -> Response {
    match take(api, mode, path, headers, body).await {
        Ok(reply) => {
            api.tell(reply, |request, heard, now| answer::write(request, mode, heard, &instance, now))
        }
        Err(refusal) => answer::refused(&refusal, &instance, api.now()),
    }
}

async fn take(
    api: &SaleApi,
    mode: ReplyMode,
    path: Names,
    headers: &HeaderMap,
    body: Body,
) -> Result<Reply, Refusal> {
    let caller = caller(api, headers).await?;
    let Path((merchant, named)) = path?;
    device(api, &caller, (&merchant, &named)).await?;
    let request = api.read(headers, body).await;
    let other = match &request {
        Ok(request) => Some(&request.header().poi_id),
        // Enough could be read to see whom it is for.
        Err(Refused::Unreadable { error: DecodeError::ServiceId { header, .. }, .. }) => Some(&header.poi_id),
        Err(_) => None,
    };
    if let Some(poi) = other.filter(|poi| poi.as_str() != named) {
        return Err(Refusal::OtherDevice { poi: poi.to_string(), device: named });
    }
    // Whose the terminal is, is looked at once more there: nobody's and another company's are answered as unreachable.
    Ok(api.send(&caller, request?, mode, headers).await?)
}
