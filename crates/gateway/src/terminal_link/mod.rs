//! Terminals come in: their WebSocket link, boarding, and the maintenance call.
//!
//! Source: our own protocol, `docs/terminal-link.md`.

pub(crate) mod board;
mod link;
mod maintenance;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use nexo::PoiId;
use relay::{ChangeId, CloseReason, Placement, Settings};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::fleet::{Assignments, Directory, Keeper, placement, told_settings};
use crate::http::patience::Patience;
use crate::http::peer::Proxies;
use crate::http::problem::Problem;
use crate::ids::TerminalToken;
use crate::presence::Presence;
use crate::store::fleet_store::{PendingAssignment, PendingState};
use crate::store::{Store, StoreError, Terminal, TokenHash, TokenState};

/// What the terminals' endpoints use.
pub(crate) struct TerminalLink {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) assignments: Arc<Assignments>,
    /// Set when the gateway stops: links are closed with 1001.
    pub(crate) stopping: CancellationToken,
    /// Links are waited for when the gateway stops.
    pub(crate) tasks: TaskTracker,
    /// Whose word about a terminal's address is believed.
    pub(crate) proxies: Proxies,
    /// The longest POS message in bytes.
    pub(crate) body_limit: usize,
    /// For the maintenance call; a link has limits of its own.
    pub(crate) patience: Patience,
}

/// Whom a token belongs to.
pub(super) struct Visitor {
    poi: PoiId,
    token: TokenHash,
    state: TokenState,
    /// How many tokens had ended, and how often the fleet had changed, when it was looked up.
    changes: u64,
    /// None for a terminal that was taken out of its place while its token still hands in results.
    placement: Option<Box<Placement>>,
    settings: Settings,
    /// It is to remove its configuration.
    is_moving: bool,
}

/// Why a terminal is turned away before the upgrade; a vendor reads `code`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("No valid terminal token. Send the one that boarding gave as `Authorization: Bearer <token>`.")]
    BadToken,
    #[error("This token has ended. Hand in results by maintenance, then board again.")]
    BoardAgain,
    #[error("This terminal is in inventory, where no terminal works. Hand in results by maintenance.")]
    NotInStore,
    #[error(
        "WebSockets are switched off for this terminal. Call maintenance until its settings say otherwise."
    )]
    WebSocketsDisabled,
    #[error("This is the terminal link: a WebSocket upgrade that names the subprotocol tillgate.link.v1.")]
    NotALink,
    #[error("The maintenance call can't be read: {0}")]
    BadCall(String),
    #[error("The gateway is stopping. Connect again in a moment.")]
    Stopping,
    #[error("The terminal can't be looked up right now. Try again.")]
    Store(#[from] StoreError),
}

impl TerminalLink {
    /// `/terminal/v1/link` and `/terminal/v1/maintenance`; boarding has a router of its own.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/terminal/v1/link", get(link::open))
            .route("/terminal/v1/maintenance", post(maintenance::call))
            .with_state(Arc::new(self))
    }

    /// Who may open a link.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<(Visitor, Box<Placement>), Refusal> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let mut visitor = self.identify(headers).await?;
        match (visitor.state, visitor.placement.take()) {
            (TokenState::Valid, Some(_)) if !visitor.settings.web_sockets_enabled => {
                Err(Refusal::WebSocketsDisabled)
            }
            (TokenState::Valid, Some(placement)) => Ok((visitor, placement)),
            (_, None) => Err(Refusal::NotInStore),
            _ => Err(Refusal::BoardAgain),
        }
    }

    /// Whose token it is, also one that has ended.
    async fn identify(&self, headers: &HeaderMap) -> Result<Visitor, Refusal> {
        let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (scheme, token) = value.split_once(' ').ok_or(Refusal::BadToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::BadToken);
        }
        let token = TokenHash(TerminalToken::from_text(token.trim()).sha256());
        let changes = self.changes();
        let standing = self.store.token_standing(token).await?.ok_or(Refusal::BadToken)?;
        if standing.is_next {
            // Whoever shows it has stored it.
            self.store.end_rotation(&standing.poi, &standing.id, self.clock().now().wall).await?;
        }
        let terminal = self.directory.terminal(&standing.poi).await?.ok_or(Refusal::BadToken)?;
        Ok(Visitor {
            poi: standing.poi,
            token,
            state: standing.state,
            changes,
            placement: placement(&terminal).map(Box::new),
            settings: told_settings(&terminal.settings),
            is_moving: removal(&terminal).is_some(),
        })
    }

    fn clock(&self) -> Clock {
        self.presence.clock()
    }

    /// Counts what may make another visitor of one that was looked up before.
    fn changes(&self) -> u64 {
        self.presence.tokens_ended().wrapping_add(self.keeper.changes())
    }

    /// Why the link may not stay now that its socket is attached, if it may not. Anything changes seldom, so it seldom asks the store.
    async fn is_no_longer_good(&self, visitor: &Visitor) -> Option<CloseReason> {
        if self.changes() == visitor.changes {
            return None;
        }
        let standing = self.store.token_standing(visitor.token).await;
        match standing {
            Ok(Some(standing)) if standing.state == TokenState::Valid => None,
            // It connects again, and hears at the door why it may not.
            Ok(_) => Some(CloseReason::Draining),
            Err(error) => {
                tracing::error!(%error, poi.id = %visitor.poi, "a token can't be looked up again; the terminal is to come again");
                Some(CloseReason::Draining)
            }
        }
    }

    /// The same as a link says it.
    fn body_limit(&self) -> u32 {
        u32::try_from(self.body_limit).unwrap_or(u32::MAX)
    }
}

/// The change for which a terminal is to remove its configuration.
fn removal(terminal: &Terminal) -> Option<ChangeId> {
    let waits = |pending: &&PendingAssignment| pending.state == PendingState::AwaitingTerminal;
    Some(terminal.pending.as_ref().filter(waits)?.change.clone())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = self.to_string();
        match self {
            Refusal::BadToken => Problem::new(StatusCode::UNAUTHORIZED, text).code("bad-token"),
            Refusal::BoardAgain => Problem::new(StatusCode::FORBIDDEN, text).code("board-again"),
            Refusal::NotInStore => Problem::new(StatusCode::FORBIDDEN, text).code("not-in-store"),
            Refusal::WebSocketsDisabled => {
                Problem::new(StatusCode::FORBIDDEN, text).code("websockets-disabled")
            }
            Refusal::NotALink | Refusal::BadCall(_) => Problem::new(StatusCode::BAD_REQUEST, text),
            Refusal::Stopping => Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, text),
            Refusal::Store(error) => {
                tracing::error!(%error, "a terminal was turned away because the store can't be read");
                Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
        .into_response()
    }
}
