//! `POST /terminal/v1/maintenance`: what a terminal can do without a link. It hands in results, tells its state, and
//! learns its settings; so no switch can cut a result off.
//!
//! Source: our own protocol, `docs/terminal-link.md`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use relay::exchange::Report;
use relay::{
    ChangeId, DeliveryId, JournalId, Placement, ProcessId, RESUME_MAX, ResultMessage, Settings, Telemetry,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Refusal, TerminalLink, Visitor, removal};
use crate::fleet::{placement, told_settings};
use crate::http::body;
use crate::http::problem::Problem;
use crate::store::TokenState;

/// How long a call waits for its results to be on disk; what is not recorded by then is handed in again.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// When a terminal calls next, unless something makes it call earlier.
const NEXT_CALL_SECONDS: u32 = 6 * 60 * 60;

/// The same while it may have no link: it finds out soon that it may again.
const NEXT_CALL_DISABLED_SECONDS: u32 = 5 * 60;

/// The longest call: every delivery that one terminal can have open, at the body limit, would be 33 MiB; a call with
/// more than this hands the rest in with the next one.
const CALL_MAX: usize = 4 * 1024 * 1024;

/// What a terminal says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    #[expect(
        dead_code,
        reason = "results are matched by their delivery alone; the journal is told for people who debug"
    )]
    journal_id: JournalId,
    #[serde(default)]
    #[expect(dead_code, reason = "told for people who debug")]
    process_id: Option<ProcessId>,
    #[serde(default)]
    device: Option<Telemetry>,
    #[serde(default, borrow)]
    results: Vec<HandedIn<'a>>,
    /// The settings that are in force at the terminal.
    #[serde(default)]
    applied_revision: Option<u64>,
    /// The change for which it has removed its configuration.
    #[serde(default)]
    config_removed: Option<ChangeId>,
}

/// What became of one delivery; exactly one of the three.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HandedIn<'a> {
    delivery_id: DeliveryId,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    too_large: Option<u64>,
    #[serde(default)]
    indeterminate: Option<String>,
}

/// What it is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    recorded: Vec<Recorded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminal: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove_config: Option<RemoveConfig>,
    actions: [(); 0],
    next_call_seconds: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RemoveConfig {
    change_id: ChangeId,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    delivery_id: DeliveryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// `POST /terminal/v1/maintenance`. A token that has ended hands in results for 48 h, and nothing else.
pub(super) async fn call(
    State(api): State<Arc<TerminalLink>>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let visitor = match api.identify(&headers).await {
        Ok(visitor) => visitor,
        Err(refusal) => return refusal.into_response(),
    };
    let bytes = match body::read(&headers, body, api.patience.for_body(CALL_MAX)).await {
        Ok(bytes) => bytes,
        Err(error) => return Problem::from(error).into_response(),
    };
    let call: Call<'_> = match serde_json::from_slice(&bytes) {
        Ok(call) => call,
        Err(error) => return Refusal::BadCall(error.to_string()).into_response(),
    };
    if call.results.len() > RESUME_MAX {
        return Refusal::BadCall(format!("at most {RESUME_MAX} results in one call")).into_response();
    }
    if let (TokenState::Valid, Some(device)) = (visitor.state, &call.device) {
        api.presence.note_device(&visitor.poi, device.0.get().as_bytes());
    }
    let reports: Result<Vec<_>, Refusal> = call
        .results
        .into_iter()
        .map(|result| report(&result, &bytes, api.body_limit).map(|report| (result.delivery_id, report)))
        .collect();
    let reports = match reports {
        Ok(reports) => reports,
        Err(refusal) => return refusal.into_response(),
    };
    let handed_in = reports.into_iter().map(|(delivery_id, report)| {
        let (api, poi) = (&api, &visitor.poi);
        async move {
            let problem = api.presence.hand_in(poi, delivery_id.clone(), report, RECORD_MAX).await?;
            Some(Recorded { delivery_id, problem })
        }
    });
    let recorded = join_all(handed_in).await.into_iter().flatten().collect();
    let mut answer = Answer {
        recorded,
        settings: None,
        terminal: None,
        remove_config: None,
        actions: [],
        next_call_seconds: NEXT_CALL_SECONDS,
    };
    if visitor.state == TokenState::Valid {
        if let Some(revision) = call.applied_revision {
            tracing::debug!(poi.id = %visitor.poi, revision, "settings applied");
        }
        if let Err(refusal) = tell_fleet(&api, &visitor, call.config_removed, &mut answer).await {
            return refusal.into_response();
        }
    }
    Json(answer).into_response()
}

/// Takes what the terminal says about its fleet's changes, and tells it what is so now. One whose token has ended by that is
/// told nothing more.
async fn tell_fleet(
    api: &TerminalLink,
    visitor: &Visitor,
    removed: Option<ChangeId>,
    answer: &mut Answer,
) -> Result<(), Refusal> {
    if let Some(change) = removed {
        api.assignments.confirmed(&visitor.poi, &change).await?;
    }
    let Some(terminal) = api.store.terminal(&visitor.poi).await? else { return Ok(()) };
    if terminal.boarded.is_none() {
        return Ok(());
    }
    let settings = told_settings(&terminal.settings);
    if !settings.web_sockets_enabled {
        answer.next_call_seconds = NEXT_CALL_DISABLED_SECONDS;
    }
    (answer.settings, answer.terminal) = (Some(settings), placement(&terminal));
    if let Some(change_id) = removal(&terminal) {
        if let Some(pending) = terminal.pending.as_ref().filter(|pending| pending.told.is_none()) {
            let now = api.clock().now().wall;
            api.store.note_assignment_told(&pending.change, now).await?;
        }
        answer.remove_config = Some(RemoveConfig { change_id });
    }
    Ok(())
}

/// What a result says; a call in which one says two things is refused as a whole, as on the link. One that is over the limit
/// of a link is too large here as well: it must not depend on the way it comes by what becomes of it (E15).
fn report(result: &HandedIn<'_>, bytes: &Bytes, body_limit: usize) -> Result<Report, Refusal> {
    match (&result.indeterminate, result.too_large, result.message) {
        (Some(reason), None, None) => Ok(Report::Indeterminate(reason.clone())),
        (None, Some(length), None) => Ok(Report::Result(ResultMessage::TooLarge(length))),
        (None, None, Some(message)) if message.get().len() > body_limit => {
            let length = u64::try_from(message.get().len()).unwrap_or(u64::MAX);
            Ok(Report::Result(ResultMessage::TooLarge(length)))
        }
        (None, None, Some(message)) => {
            Ok(Report::Result(ResultMessage::Message(bytes.slice_ref(message.get().as_bytes()))))
        }
        (None, None, None) => Ok(Report::Result(ResultMessage::Empty)),
        _ => {
            let problem = "has more than one of message, tooLarge and indeterminate";
            Err(Refusal::BadCall(format!("the result of {} {problem}", result.delivery_id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_over_the_limit_of_a_link_is_too_large_by_maintenance_too() {
        let bytes = Bytes::from_static(br#"{"deliveryId":"d_1","message":{"SaleToPOIResponse":{}}}"#);
        let result: HandedIn<'_> = serde_json::from_slice(&bytes).unwrap();
        let length = br#"{"SaleToPOIResponse":{}}"#.len();
        let taken = report(&result, &bytes, length).unwrap();
        assert!(matches!(taken, Report::Result(ResultMessage::Message(message)) if message.len() == length));
        let refused = report(&result, &bytes, length - 1).unwrap();
        assert_eq!(refused, Report::Result(ResultMessage::TooLarge(length as u64)));
    }
}
