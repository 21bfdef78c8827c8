//! `GET` and `PATCH …/terminalSettings`: what holds at a level, and what is set there.
//!
//! ```json
//! {"connectivity":{"webSocketsEnabled":true,"terminalApiEnabled":true},"displayLabel":"Till 4",
//!  "terminalManagement":{"v1Booleans":"strings"}}
//! ```
//! Read, each member is what holds: set there, or else inherited, or else the default; a member without any is left out. Changed,
//! a member that is there is set, `null` has it inherited again, an empty object does so for its whole group, and what is left out
//! stays. A terminal has no `terminalManagement`.
//!
//! Source: Management API, paths and the form of a partial change; the members are ours.

mod patch;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::ManagementApi;
use crate::access::{Caller, Denied, Role};
use crate::fleet::{LevelName, NoSettings};
use crate::http::body;
use crate::http::problem::Problem;
use crate::store::fleet_store::{Level, LevelSettings};

/// As it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    connectivity: Connectivity,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminal_management: Option<TerminalManagement>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connectivity {
    web_sockets_enabled: bool,
    terminal_api_enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TerminalManagement {
    v1_booleans: &'static str,
}

type Api = State<Arc<ManagementApi>>;

pub(super) async fn of_company(api: Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&api, &headers, &LevelName::company(&id)).await
}

pub(super) async fn of_merchant(api: Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&api, &headers, &LevelName::merchant(&id)).await
}

pub(super) async fn of_merchants_store(
    api: Api,
    Path((id, reference)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    read(&api, &headers, &LevelName::store(&id, &reference)).await
}

pub(super) async fn of_store(api: Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&api, &headers, &LevelName::store_id(&id)).await
}

pub(super) async fn of_terminal(api: Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&api, &headers, &LevelName::terminal(&id)).await
}

pub(super) async fn change_company(
    api: Api,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&api, &headers, body, &LevelName::company(&id)).await
}

pub(super) async fn change_merchant(
    api: Api,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&api, &headers, body, &LevelName::merchant(&id)).await
}

pub(super) async fn change_merchants_store(
    api: Api,
    Path((id, reference)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&api, &headers, body, &LevelName::store(&id, &reference)).await
}

pub(super) async fn change_store(
    api: Api,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&api, &headers, body, &LevelName::store_id(&id)).await
}

pub(super) async fn change_terminal(
    api: Api,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&api, &headers, body, &LevelName::terminal(&id)).await
}

async fn read(api: &ManagementApi, headers: &HeaderMap, name: &LevelName) -> Response {
    let settings = async {
        let caller = caller(api, headers).await?;
        Ok(api.settings.read(&caller, name).await?)
    };
    answer(api, settings.await)
}

async fn change(api: &ManagementApi, headers: &HeaderMap, body: Body, name: &LevelName) -> Response {
    let settings = async {
        let caller = caller(api, headers).await?;
        let body = body::read(headers, body, api.body).await?;
        // Whether the level is there is told first: what is no level of the caller's is never looked into.
        let level = api.settings.read(&caller, name).await?.level;
        let patch = patch::read(&body, matches!(level, Level::Terminal(_)))?;
        Ok(api.settings.change(&caller, name, patch).await?)
    };
    answer(api, settings.await)
}

fn answer(api: &ManagementApi, settings: Result<LevelSettings, Problem>) -> Response {
    match settings {
        Ok(settings) => Json(written(api, settings)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn caller(api: &ManagementApi, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
    let role = Role::TerminalSettings;
    let caller = api.access.authenticate(headers).await.and_then(|caller| caller.require(role));
    caller.map_err(|denied| match denied {
        Denied::Forbidden(_) => Problem::forbidden(format!(
            "Not allowed: {denied}. Ask whoever manages the API credentials of your company for a key that has it."
        )),
        other => other.into(),
    })
}

fn written(api: &ManagementApi, settings: LevelSettings) -> Written {
    let LevelSettings { level, own, inherited, .. } = settings;
    let v1_booleans = own.v1_booleans.or(inherited.v1_booleans).unwrap_or(api.v1_booleans);
    Written {
        connectivity: Connectivity {
            web_sockets_enabled: own
                .web_sockets_enabled
                .or(inherited.web_sockets_enabled)
                .unwrap_or_default(),
            terminal_api_enabled: own
                .terminal_api_enabled
                .or(inherited.terminal_api_enabled)
                .unwrap_or_default(),
        },
        display_label: own.display_label.or(inherited.display_label),
        terminal_management: match level {
            Level::Terminal(_) => None,
            _ => Some(TerminalManagement { v1_booleans: v1_booleans.as_str() }),
        },
    }
}

impl From<NoSettings> for Problem {
    fn from(error: NoSettings) -> Problem {
        match error {
            // The same for what is another company's.
            NoSettings::Unknown => Problem::not_found("There is nothing of that name in this company."),
            NoSettings::OutOfScope => {
                Problem::forbidden("The API credential may not use this account or terminal.")
            }
            NoSettings::Store(error) => {
                tracing::error!(%error, "settings can't be read or changed, because the store failed");
                Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, "Nothing was changed. Try again.")
            }
        }
    }
}
