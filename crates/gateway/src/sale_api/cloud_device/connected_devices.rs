//! `GET /v1/merchants/{merchantAccount}/connectedDevices`: which devices have a live connection, from live presence and never
//! from a memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use nexo::PoiId;
use serde::Serialize;

use super::super::SaleApi;
use super::{Instance, Parameters, Refusal, answer, caller, merchant};
use crate::store::StoreCode;

/// The query, as it came: pairs, so that a filter given twice is seen.
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The POIIDs, sorted; empty is not an error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connected {
    unique_device_ids: Vec<PoiId>,
}

/// Lists the connected devices of a merchant account and its stores, or of the one store of `?store=`.
pub(super) async fn call(
    State(api): State<Arc<SaleApi>>,
    path: Parameters<String>,
    query: Pairs,
    instance: Instance,
    headers: HeaderMap,
) -> Response {
    match find(&api, path, query, &headers).await {
        Ok(unique_device_ids) => Json(Connected { unique_device_ids }).into_response(),
        Err(refusal) => answer::refused(&refusal, &instance, api.now()),
    }
}

async fn find(
    api: &SaleApi,
    path: Parameters<String>,
    query: Pairs,
    headers: &HeaderMap,
) -> Result<Vec<PoiId>, Refusal> {
    let caller = caller(api, headers).await?;
    let Path(named) = path?;
    let merchant = merchant(api, &caller, &named).await?;
    let store = match store(query).map_err(Refusal::Query)? {
        None => None,
        Some(named) => match StoreCode::parse(&named) {
            Ok(code) if api.directory.has_store(&merchant, &code).await? => Some(code),
            _ => return Err(Refusal::NoStore(named)),
        },
    };
    let online = |poi: &PoiId| api.presence.is_online(poi);
    Ok(api.directory.terminals_at(&caller.company, &merchant, store.as_ref(), online).await?)
}

/// The filter. An empty one is none, as in the other dialect; two are refused, for either could be meant.
fn store(query: Pairs) -> Result<Option<String>, String> {
    let Query(pairs) = query.map_err(|error| error.body_text())?;
    let mut stores = pairs.into_iter().filter(|(name, _)| name == "store").map(|(_, value)| value);
    match (stores.next(), stores.next()) {
        (store, None) => Ok(store.filter(|store| !store.is_empty())),
        (_, Some(_)) => Err("the query names several stores, where one can be asked for".into()),
    }
}
