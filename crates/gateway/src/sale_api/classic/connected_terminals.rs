//! `POST /connectedTerminals`: which terminals have a live connection, from live presence and never from a memory.
//!
//! Source: Terminal API, "Check the cloud connection".

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use nexo::PoiId;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::super::SaleApi;
use crate::access::Caller;
use crate::http::body;
use crate::http::problem::{ClassicError, ErrorType};
use crate::store::{MerchantCode, StoreCode, StoreError};

/// What is asked for. A member that is `null` or an empty text is as absent: some clients write what nobody set so.
#[derive(Debug, Default, PartialEq, Eq)]
struct Question {
    merchant_account: Option<String>,
    store: Option<String>,
    unique_terminal_id: Option<String>,
}

/// The POIIDs, sorted; empty is not an error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connected {
    unique_terminal_ids: Vec<PoiId>,
}

/// Lists the connected terminals of a merchant account and its stores, or of one store; one terminal is asked itself.
pub(super) async fn call(State(api): State<Arc<SaleApi>>, headers: HeaderMap, body: Body) -> Response {
    match try_call(&api, &headers, body).await {
        Ok(unique_terminal_ids) => Json(Connected { unique_terminal_ids }).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn try_call(api: &SaleApi, headers: &HeaderMap, body: Body) -> Result<Vec<PoiId>, ClassicError> {
    let caller = super::caller(api, headers).await?;
    let bytes = body::read(headers, body, api.body).await?;
    let question = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("The request can't be read: {error}");
        ClassicError::new(StatusCode::BAD_REQUEST, "702", message, ErrorType::Validation)
    })?;
    find(api, &caller, question).await
}

async fn find(api: &SaleApi, caller: &Caller, question: Question) -> Result<Vec<PoiId>, ClassicError> {
    let Some(merchant) = question.merchant_account else {
        let message = "Required field 'merchantAccount' is null";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Err(ClassicError::new(status, "702", message, ErrorType::Validation));
    };
    let merchant = match MerchantCode::parse(&merchant) {
        Ok(code)
            if caller.may_use_merchant(code.as_str())
                && api.directory.has_merchant(&caller.company, &code).await? =>
        {
            code
        }
        _ => return Err(ClassicError::invalid_merchant_account()),
    };
    let store = match question.store.as_deref().map(StoreCode::parse) {
        None => None,
        Some(Ok(code)) if api.directory.has_store(&merchant, &code).await? => Some(code),
        Some(_) => return Err(not_found()),
    };
    let Some(id) = question.unique_terminal_id else {
        let online = |poi: &PoiId| api.presence.is_online(poi);
        return Ok(api.directory.terminals_at(&caller.company, &merchant, store.as_ref(), online).await?);
    };
    let poi = PoiId::parse(&id).map_err(|_| not_found())?;
    let terminal = api.directory.terminal(&poi).await?.filter(|t| {
        t.company == caller.company
            && t.place.merchant() == Some(&merchant)
            && store.as_ref().is_none_or(|s| t.place.store() == Some(s))
    });
    if terminal.is_none() {
        return Err(not_found());
    }
    // One terminal is pinged: the answer is a fact, not a memory.
    Ok(if api.presence.check(&poi).await { vec![poi] } else { Vec::new() })
}

/// One text for what is unknown and for what is somebody else's.
fn not_found() -> ClassicError {
    let message = "The store or terminal was not found under this merchant account";
    ClassicError::new(StatusCode::UNPROCESSABLE_ENTITY, "000", message, ErrorType::Validation)
}

impl From<StoreError> for ClassicError {
    fn from(error: StoreError) -> ClassicError {
        tracing::error!(%error, "connected terminals can't be listed because the store can't be read");
        ClassicError::try_again(StatusCode::SERVICE_UNAVAILABLE, "The list can't be read now. Try again.")
    }
}

/// By hand, for an error must name the member, and an array is no question.
impl<'de> Deserialize<'de> for Question {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Question, D::Error> {
        struct QuestionOf;

        impl<'de> Visitor<'de> for QuestionOf {
            type Value = Question;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a member 'merchantAccount'")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Question, A::Error> {
                let mut question = Question::default();
                let mut seen = [false; 3];
                while let Some(name) = map.next_key::<String>()? {
                    let (seen, member) = match name.as_str() {
                        "merchantAccount" => (&mut seen[0], &mut question.merchant_account),
                        "store" => (&mut seen[1], &mut question.store),
                        "uniqueTerminalId" => (&mut seen[2], &mut question.unique_terminal_id),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if std::mem::replace(seen, true) {
                        return Err(de::Error::custom(format!("field '{name}' came twice")));
                    }
                    *member = match map.next_value::<Value>()? {
                        Value::Null => None,
                        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
                        other => {
                            let came = kind_of(&other);
                            return Err(de::Error::custom(format!(
                                "field '{name}': expected a text, got {came}"
                            )));
                        }
                    };
                }
                Ok(question)
            }
        }

        deserializer.deserialize_map(QuestionOf)
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Question, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_null_or_empty_is_absent_and_what_is_unknown_is_ignored() {
        let bare = Question { merchant_account: Some("M".into()), ..Question::default() };
        for text in [
            r#"{"merchantAccount":"M"}"#,
            r#"{"store":"","merchantAccount":"M","uniqueTerminalId":null,"more":[{}]}"#,
        ] {
            assert_eq!(read(text).unwrap(), bare, "{text}");
        }
        assert_eq!(read(r#"{"merchantAccount":""}"#).unwrap(), Question::default());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, problem) in [
            (r#"["M"]"#, "expected an object with a member 'merchantAccount'"),
            (r#""M""#, "expected an object with a member 'merchantAccount'"),
            (r#"{"merchantAccount":["M"]}"#, "field 'merchantAccount': expected a text, got an array"),
            (r#"{"merchantAccount":"M","store":7}"#, "field 'store': expected a text, got a number"),
            (r#"{"uniqueTerminalId":true}"#, "field 'uniqueTerminalId': expected a text, got a boolean"),
            (r#"{"store":"A","store":"B"}"#, "field 'store' came twice"),
            ("", "EOF"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
