//! The door of the Actions API: everything that can be refused is refused before the upgrade is answered.
//!
//! # The key
//! In the header `x-api-key`; from a browser, which can't set headers, as the subprotocol `x-api-key.<key>`; in the query as
//! `x-api-key` only where the settings allow it. The first of these that is there counts.
//!
//! A browser takes no answer that names none of the subprotocols that it offered. One that offers [`SUBPROTOCOL`] besides its
//! key gets that one back; only to one that offers nothing else its key is sent back, for it is all that may be.
//!
//! # The origin
//! A key that a browser can show (subprotocol, query) is taken from a web page only if its origin is listed. With the key in the
//! header `Origin` is not looked at: no page can set that header, and who can set it can set `Origin` just as well. Some client
//! libraries send an `Origin` that they have made up.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use relay::FRAME_OVERHEAD;

use super::{ActionsApi, OtherGroup, Visitor, desktop, groups_named, terminal};
use crate::access::{Denied, Role};
use crate::actions::terminals::LIST_LENGTH_MAX;
use crate::config::ActionsSettings;
use crate::http::listener::{Peer, Slot};
use crate::http::origin::Origin;
use crate::http::problem::Problem;
use crate::http::socket::{FrameLimits, bounded};
use crate::ids::ApiKey;
use crate::store::KeyHash;
use crate::store::actions::{ActionsDeviceId, ActionsFacts, ActionsTerminal};

/// What a browser may offer besides its key, so that the key is not sent back.
const SUBPROTOCOL: &str = "tillgate.actions.v1";

/// What the subprotocol begins with that is a key.
const KEY_PREFIX: &str = "x-api-key.";

/// Why a client is turned away before the upgrade. The text is for whoever reads its log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("This is a WebSocket: send an upgrade, such as `new WebSocket(\"wss://…/v1\")` does.")]
    NotAnUpgrade,
    #[error("The WebSocket upgrade must have version 13.")]
    OtherVersion,
    #[error("The WebSocket upgrade has no Sec-WebSocket-Key.")]
    NoWebSocketKey,
    #[error(
        "No API key. Send one in the header x-api-key, or from a browser as the subprotocol x-api-key.<key>."
    )]
    NoKey,
    #[error(
        "An API key in the address is not taken here. Send it in the header x-api-key, or from a browser as the subprotocol \
         x-api-key.<key>; or set allow_key_in_query in [actions]."
    )]
    KeyInQuery,
    #[error("This API key is not valid: it was never made, or it was revoked.")]
    BadKey,
    #[error("{0}")]
    Denied(Denied),
    #[error(
        "This API key is for no device of the Actions API. Make one with `tillgate key new --role actions-desktop` or \
         `--role actions-terminal`."
    )]
    NoActions,
    #[error("Web pages of this origin may not connect. List it in origins in [actions].")]
    OtherOrigin,
    #[error(transparent)]
    OtherGroup(#[from] OtherGroup),
    #[error("x-device-id: {0}.")]
    BadDevice(String),
    #[error(
        "This API key is for the terminal {0}, and x-device-id names another: each terminal has a key of its own."
    )]
    OtherDevice(ActionsDeviceId),
    #[error("The terminal of this API key is no longer at the key's group. Make a new key for it.")]
    Moved,
    #[error(
        "WebSockets are switched off for this terminal. Switch webSocketsEnabled on in its terminal settings."
    )]
    SwitchedOff,
    #[error("The gateway is stopping. Connect again in a moment.")]
    Stopping,
    #[error("The terminal can't be looked up right now. Try again.")]
    Unavailable,
}

/// `GET /v1`.
pub(super) async fn open(
    State(api): State<Arc<ActionsApi>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(slot): Extension<Slot>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Refusal::from(rejection).into_response(),
    };
    let shown = Shown::read(&headers, query.as_deref().unwrap_or_default());
    let address = api.proxies.client(peer.ip(), &headers);
    let (visitor, kind) = match api.let_in(&shown, address).await {
        Ok(known) => known,
        Err(refusal) => return refusal.into_response(),
    };
    let limit = api.body_limit + FRAME_OVERHEAD;
    let written = match kind {
        Kind::Desktop => limit.max(LIST_LENGTH_MAX),
        Kind::Terminal(_) => limit,
    };
    let upgrade = bounded(upgrade, FrameLimits { received: limit, written }).protocols(shown.subprotocol);
    // A socket has a task of its own: this one, with all that the upgrade needed, ends here.
    match kind {
        Kind::Desktop => upgrade.on_upgrade(|socket| async { desktop::serve(api, visitor, slot, socket) }),
        Kind::Terminal(terminal) => {
            upgrade.on_upgrade(|socket| async { terminal::serve(api, visitor, terminal, slot, socket) })
        }
    }
}

/// What has come through the door.
enum Kind {
    Desktop,
    Terminal(ActionsTerminal),
}

impl ActionsApi {
    async fn let_in(&self, shown: &Shown, address: IpAddr) -> Result<(Visitor, Kind), Refusal> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let key = shown.key(&self.settings)?;
        let caller = self.access.authenticate_key(key.reveal()).await.map_err(|denied| match denied {
            Denied::Unauthorized => Refusal::BadKey,
            denied => Refusal::Denied(denied),
        })?;
        let facts = caller.actions.clone().ok_or(Refusal::NoActions)?;
        let groups = groups_named(&facts, shown.group.as_deref())?;
        let device = shown.device()?;
        let (role, device, kind) = match facts {
            ActionsFacts::Desktop { .. } => (Role::ActionsDesktop, device, Kind::Desktop),
            ActionsFacts::Terminal(terminal) => {
                if device.is_some_and(|device| device != terminal.device) {
                    return Err(Refusal::OtherDevice(terminal.device));
                }
                self.check_place(&terminal).await?;
                (Role::ActionsTerminal, Some(terminal.device.clone()), Kind::Terminal(terminal))
            }
        };
        let caller = caller.require(role).map_err(Refusal::Denied)?;
        let pass = Arc::new(self.passes.open(KeyHash(key.sha256())));
        Ok((Visitor { caller, groups, device, address, pass }, kind))
    }

    /// A terminal may have been moved since its key was made, or may have no WebSocket.
    async fn check_place(&self, terminal: &ActionsTerminal) -> Result<(), Refusal> {
        let found = self.directory.terminal(&terminal.poi).await.map_err(|error| {
            tracing::error!(%error, "a terminal was turned away because the store can't be read");
            Refusal::Unavailable
        })?;
        match found.filter(|found| found.place == *terminal.group.place()) {
            Some(found) if found.settings.web_sockets_enabled => Ok(()),
            Some(_) => Err(Refusal::SwitchedOff),
            None => Err(Refusal::Moved),
        }
    }
}

/// What a client shows of itself.
#[derive(Debug)]
struct Shown {
    key: Option<ShownKey>,
    /// As the header `Origin` has it; an empty one is none.
    origin: Option<String>,
    group: Option<String>,
    device: Option<String>,
    /// What it is answered of the subprotocols that it offers.
    subprotocol: Option<String>,
}

/// A key, and where it was.
#[derive(Debug)]
enum ShownKey {
    Header(ApiKey),
    Subprotocol(ApiKey),
    Query(ApiKey),
}

impl Shown {
    fn read(headers: &HeaderMap, query: &str) -> Shown {
        let header =
            |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let member = |name| {
            form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
        };
        // Some clients send a header empty when they have nothing for it.
        let there = |value: &String| !value.is_empty();
        let offered: Vec<&str> = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let with_key = offered.iter().find_map(|name| Some((*name, name.strip_prefix(KEY_PREFIX)?)));
        let in_header =
            header("x-api-key").filter(there).map(|key| ShownKey::Header(ApiKey::from_text(&key)));
        let in_subprotocol = || with_key.map(|(_, key)| ShownKey::Subprotocol(ApiKey::from_text(key)));
        let in_query =
            || member("x-api-key").filter(there).map(|key| ShownKey::Query(ApiKey::from_text(&key)));
        Shown {
            key: in_header.or_else(in_subprotocol).or_else(in_query),
            origin: header("origin").filter(there),
            group: header("x-group-id").filter(there).or_else(|| member("x-group-id").filter(there)),
            device: header("x-device-id").filter(there).or_else(|| member("x-device-id").filter(there)),
            subprotocol: match offered.contains(&SUBPROTOCOL) {
                true => Some(SUBPROTOCOL.to_owned()),
                false => with_key.map(|(name, _)| name.to_owned()),
            },
        }
    }

    /// The key, if it may come from there.
    fn key(&self, settings: &ActionsSettings) -> Result<&ApiKey, Refusal> {
        let key = match self.key.as_ref().ok_or(Refusal::NoKey)? {
            ShownKey::Header(key) => return Ok(key),
            ShownKey::Query(_) if !settings.allow_key_in_query => return Err(Refusal::KeyInQuery),
            ShownKey::Subprotocol(key) | ShownKey::Query(key) => key,
        };
        let is_listed =
            |origin: &String| origin.parse::<Origin>().is_ok_and(|origin| settings.origins.contains(&origin));
        match self.origin.as_ref().is_none_or(is_listed) {
            true => Ok(key),
            false => Err(Refusal::OtherOrigin),
        }
    }

    fn device(&self) -> Result<Option<ActionsDeviceId>, Refusal> {
        let device = self.device.as_deref().map(ActionsDeviceId::parse).transpose();
        device.map_err(|error| Refusal::BadDevice(error.to_string()))
    }
}

impl From<WebSocketUpgradeRejection> for Refusal {
    fn from(rejection: WebSocketUpgradeRejection) -> Refusal {
        match rejection {
            WebSocketUpgradeRejection::InvalidWebSocketVersionHeader(_) => Refusal::OtherVersion,
            WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_) => Refusal::NoWebSocketKey,
            _ => Refusal::NotAnUpgrade,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = self.to_string();
        let status = match self {
            Refusal::NotAnUpgrade => {
                let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, text);
                return ([(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")], problem)
                    .into_response();
            }
            Refusal::OtherVersion => {
                let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, text);
                let version = [(header::SEC_WEBSOCKET_VERSION, "13"), (header::UPGRADE, "websocket")];
                return (version, problem).into_response();
            }
            Refusal::Denied(denied) => return Problem::from(denied).into_response(),
            Refusal::Stopping | Refusal::Unavailable => {
                return Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, text).into_response();
            }
            Refusal::NoWebSocketKey | Refusal::BadDevice(_) => StatusCode::BAD_REQUEST,
            Refusal::NoKey | Refusal::KeyInQuery | Refusal::BadKey => StatusCode::UNAUTHORIZED,
            Refusal::NoActions
            | Refusal::OtherOrigin
            | Refusal::OtherGroup(_)
            | Refusal::OtherDevice(_)
            | Refusal::Moved
            | Refusal::SwitchedOff => StatusCode::FORBIDDEN,
        };
        Problem::new(status, text).into_response()
    }
}
