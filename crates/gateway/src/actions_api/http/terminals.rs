//! `GET /v1/terminals`: the terminals of the desktop's groups, as `getTerminals` lists them, each with a `terminalId`.
//!
//! ```json
//! {"terminals":[{"connectionId":"c_…","terminalId":"TERM-001","deviceId":"TERM-001","connectedAt":"…","lastActivity":"…",
//!   "status":"online","metadata":{}}],"count":1,"timestamp":"…"}
//! ```
//! Source: sibling pages of the Actions page, "List terminals".

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use relay::actions::TerminalInfo;
use serde::Serialize;

use super::ActionsHttp;
use super::error::HttpError;

/// Lists them, the offline ones too.
pub(super) async fn call(State(api): State<Arc<ActionsHttp>>, request: Request) -> Response {
    api.answer(list(&api, request).await)
}

async fn list(api: &ActionsHttp, request: Request) -> Result<Response, HttpError> {
    #[derive(Serialize)]
    struct List {
        terminals: Vec<TerminalInfo>,
        count: usize,
        timestamp: String,
    }

    let taken = api.take(request).await?;
    let mut terminals = api.terminals.list(&taken.caller.company, &taken.groups).await?;
    for terminal in &mut terminals {
        let connection = || terminal.connection_id.as_ref().map(ToString::to_string);
        terminal.terminal_id = terminal.device_id.clone().or_else(connection);
    }
    let list = List { count: terminals.len(), terminals, timestamp: api.clock.now().wall.to_rfc3339() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(list)).into_response())
}
