//! Adding a terminal, retiring it, and its tokens. Ours; the Management API has no such calls.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use nexo::PoiId;
use relay::WallMs;
use serde::{Deserialize, Serialize};

use super::ManagementApi;
use crate::access::{Caller, Role};
use crate::clock::rfc3339;
use crate::fleet::settings::label_problem;
use crate::fleet::{NotDone, model_and_serial};
use crate::http::body;
use crate::http::problem::Problem;
use crate::store::fleet_store::{CountryCode, TokenId, TokenInfo, TokenUse};
use crate::store::{FleetError, MerchantCode, NewTerminal, Place, StoreCode};

/// `POST /v3/terminals`: where it is to be is said as in a reassignment, with the store's reference beside its merchant account.
///
/// ```json
/// {"id":"V400m-100200300","merchantId":"DEMO_MERCHANT","storeReference":"STORE_NORTH","countryCode":"NL"}
/// ```
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct New {
    id: String,
    merchant_id: Option<String>,
    store_reference: Option<String>,
    inventory: Option<bool>,
    country_code: Option<String>,
    display_label: Option<String>,
}

/// A terminal as the Management API writes it, as far as it is known before it was ever there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<String>,
    assignment: Assignment,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    company_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_reference: Option<String>,
    status: &'static str,
}

/// `{"data":[{"id":"tk_…","status":"current","createdAt":"…"}]}`
#[derive(Debug, Serialize)]
struct Tokens {
    data: Vec<Token>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    id: String,
    status: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

/// `{"id":"tk_…","status":"next"}`
#[derive(Debug, Serialize)]
struct Rotating {
    id: String,
    status: &'static str,
}

type Api = State<Arc<ManagementApi>>;

pub(super) async fn add(State(api): Api, headers: HeaderMap, body: Body) -> Response {
    let added = async {
        let caller = writer(&api, &headers).await?;
        let body = body::read(&headers, body, api.body).await?;
        let new: New = serde_json::from_slice(&body).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("No terminal was added: {error}."))
        })?;
        let terminal = terminal_of(&caller, &new)?;
        let answer = written(&terminal);
        api.upkeep.add(&caller, terminal).await?;
        Ok::<_, Problem>((StatusCode::CREATED, Json(answer)))
    };
    added.await.into_response()
}

pub(super) async fn retire(State(api): Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let retired = async {
        let caller = writer(&api, &headers).await?;
        api.upkeep.retire(&caller, &poi(&id)?).await?;
        Ok::<_, Problem>(StatusCode::NO_CONTENT)
    };
    retired.await.into_response()
}

pub(super) async fn tokens(State(api): Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let tokens = async {
        let caller = api.access.authenticate(&headers).await;
        let caller =
            caller.and_then(|it| it.require_either(Role::TerminalActionsRead, Role::TerminalActionsWrite))?;
        let tokens = api.upkeep.tokens(&caller, &poi(&id)?).await?;
        Ok::<_, Problem>(Json(Tokens { data: tokens.into_iter().map(shown).collect() }))
    };
    tokens.await.into_response()
}

pub(super) async fn revoke(
    State(api): Api,
    Path((id, token)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let revoked = async {
        let caller = writer(&api, &headers).await?;
        let poi = poi(&id)?;
        let token = TokenId::parse(&token).map_err(|_| Problem::from(NotDone::NoToken))?;
        api.upkeep.revoke(&caller, &poi, &token).await?;
        Ok::<_, Problem>(StatusCode::NO_CONTENT)
    };
    revoked.await.into_response()
}

pub(super) async fn rotate(State(api): Api, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let rotated = async {
        let caller = writer(&api, &headers).await?;
        let token = api.upkeep.rotate(&caller, &poi(&id)?).await?;
        let answer = Rotating { id: token.as_str().to_owned(), status: "next" };
        Ok::<_, Problem>((StatusCode::ACCEPTED, Json(answer)))
    };
    rotated.await.into_response()
}

async fn writer(api: &ManagementApi, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
    let caller = api.access.authenticate(headers).await;
    Ok(caller.and_then(|caller| caller.require(Role::TerminalActionsWrite))?)
}

/// What can't be a POIID is no terminal's.
fn poi(id: &str) -> Result<PoiId, NotDone> {
    PoiId::parse(id).map_err(|_| NotDone::Unknown)
}

fn terminal_of(caller: &Caller, new: &New) -> Result<NewTerminal, Box<Problem>> {
    let wrong = |name: &'static str, value: &str, message: String| {
        let problem = Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("No terminal was added: {name}: {message}."),
        );
        Box::new(problem.invalid_field(name, value, message))
    };
    let poi = PoiId::parse(&new.id).map_err(|error| wrong("id", &new.id, error.to_string()))?;
    let merchant = match &new.merchant_id {
        None => None,
        Some(text) => {
            Some(MerchantCode::parse(text).map_err(|error| wrong("merchantId", text, error.to_string()))?)
        }
    };
    let place = match (merchant, &new.store_reference, new.inventory) {
        (None, None, None | Some(true)) => Place::CompanyInventory,
        (None, None, Some(false)) => {
            return Err(wrong(
                "inventory",
                "false",
                "a company has inventory only: name a merchantId".to_owned(),
            ));
        }
        (None, Some(store), _) => {
            return Err(wrong("storeReference", store, "name the merchantId of the store too".to_owned()));
        }
        (Some(merchant), Some(store), None | Some(false)) => {
            let store =
                StoreCode::parse(store).map_err(|error| wrong("storeReference", store, error.to_string()))?;
            Place::Store { merchant, store }
        }
        (Some(_), Some(_), Some(true)) => {
            return Err(wrong("inventory", "true", "a store has none: leave it out".to_owned()));
        }
        (Some(merchant), None, Some(true)) => Place::MerchantInventory(merchant),
        (Some(merchant), None, Some(false)) => Place::MerchantInStore(merchant),
        (Some(_), None, None) => {
            let message = "say true or false with a merchantId that has no storeReference beside it";
            return Err(wrong("inventory", "", message.to_owned()));
        }
    };
    let country = match &new.country_code {
        None => None,
        Some(text) => Some(CountryCode::parse(text).ok_or_else(|| {
            wrong("countryCode", text, "expected two capital letters such as NL".to_owned())
        })?),
    };
    if let Some(label) = &new.display_label
        && let Some(problem) = label_problem(label)
    {
        return Err(wrong("displayLabel", label, problem));
    }
    // Its moment is that of adding.
    let terminal = NewTerminal::new(poi, caller.company.clone(), place, WallMs(0));
    Ok(NewTerminal { country, display_label: new.display_label.clone(), ..terminal })
}

fn written(terminal: &NewTerminal) -> Added {
    let parts = model_and_serial(terminal.poi.as_str());
    let place = &terminal.place;
    Added {
        id: terminal.poi.as_str().to_owned(),
        model: parts.map(|(model, _)| model.to_owned()),
        serial_number: parts.map(|(_, serial)| serial.to_owned()),
        country_code: terminal.country.map(|country| country.as_str().to_owned()),
        assignment: Assignment {
            company_id: terminal.company.as_str().to_owned(),
            merchant_id: place.merchant().map(|merchant| merchant.as_str().to_owned()),
            store_reference: place.store().map(|store| store.as_str().to_owned()),
            status: if place.is_in_store() { "deployed" } else { "inventory" },
        },
    }
}

fn shown(token: TokenInfo) -> Token {
    let (status, ended) = match token.used_as {
        TokenUse::Current => ("current", None),
        TokenUse::Next => ("next", None),
        TokenUse::Ended { since } => ("ended", Some(since)),
    };
    Token {
        id: token.id.as_str().to_owned(),
        status,
        created_at: rfc3339(token.made),
        ended_at: ended.map(rfc3339),
    }
}

impl From<Box<Problem>> for Problem {
    fn from(problem: Box<Problem>) -> Problem {
        *problem
    }
}

impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Problem {
        let refused = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        match error {
            NotDone::Unknown => Problem::not_found("There is no such terminal in this company."),
            NotDone::NoToken => Problem::not_found("The terminal has no such token that could be revoked."),
            NotDone::OutOfScope => {
                Problem::forbidden("The API credential may not use the place of this terminal.")
            }
            NotDone::NotConnected => {
                refused("The terminal is not connected, and only its link can carry a new token.".to_owned())
            }
            NotDone::TooManyTokens => refused(
                "The terminal has not taken the tokens that it was given before. Revoke one, or wait."
                    .to_owned(),
            ),
            // A POIID is one device's in all of the world: that it is in use says nothing of whose it is.
            NotDone::Fleet(FleetError::AlreadyExists(_)) => {
                refused("No terminal was added: this POIID is in use.".to_owned())
            }
            NotDone::Fleet(FleetError::Retired(_)) => refused(
                "No terminal was added: a terminal of this POIID was retired, and it is not used again."
                    .to_owned(),
            ),
            NotDone::Fleet(FleetError::Store(error)) | NotDone::Store(error) => {
                tracing::error!(%error, "nothing was done to a terminal, because the store failed");
                Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, "Nothing was done. Try again.")
            }
            // Another company's accounts are not there either.
            NotDone::Fleet(FleetError::Missing(_)) => refused(
                "No terminal was added: there is no such merchant account or store in this company."
                    .to_owned(),
            ),
            NotDone::Fleet(error) => refused(format!("No terminal was added: {error}.")),
        }
    }
}
