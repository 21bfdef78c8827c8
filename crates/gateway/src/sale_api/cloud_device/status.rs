//! `GET /v1/merchants/{merchantAccount}/devices/{deviceId}/status`: whether one device is there right now.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::super::SaleApi;
use super::{Instance, Parameters, Refusal, answer, caller, device};

/// `{"deviceId":"V400m-100200300","status":"ONLINE"}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceStatus {
    device_id: String,
    status: Connection,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Connection {
    Online,
    Offline,
}

/// The device is pinged: the answer is a fact, not a memory. One that nobody has is offline.
pub(super) async fn call(
    State(api): State<Arc<SaleApi>>,
    path: Parameters<(String, String)>,
    instance: Instance,
    headers: HeaderMap,
) -> Response {
    match check(&api, path, &headers).await {
        Ok(status) => Json(status).into_response(),
        Err(refusal) => answer::refused(&refusal, &instance, api.now()),
    }
}

async fn check(
    api: &SaleApi,
    path: Parameters<(String, String)>,
    headers: &HeaderMap,
) -> Result<DeviceStatus, Refusal> {
    let caller = caller(api, headers).await?;
    let Path((merchant, named)) = path?;
    let status = match device(api, &caller, (&merchant, &named)).await? {
        Some(poi) if api.presence.check(&poi).await => Connection::Online,
        _ => Connection::Offline,
    };
    Ok(DeviceStatus { device_id: named, status })
}
