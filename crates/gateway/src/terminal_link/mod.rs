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
use relay::{Placement, Settings};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fleet::Directory;
use crate::http::patience::Patience;
use crate::http::peer::Proxies;
use crate::http::problem::Problem;
use crate::ids::TerminalToken;
use crate::presence::Presence;
use crate::store::{Store, StoreError, TokenHash, TokenState};

/// What the terminals' endpoints use.
pub(crate) struct TerminalLink {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) presence: Arc<Presence>,
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
    /// How many tokens had ended when this one was looked up.
    tokens_ended: u64,
    /// None for a terminal that was taken out of its place while its token still hands in results.
    placement: Option<Placement>,
    settings: Settings,
}

/// Why a terminal is turned away before the upgrade; a vendor reads `code`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("No valid terminal token. Send the one that boarding gave as `Authorization: Bearer <token>`.")]
    BadToken,
    #[error("This token has ended. Hand in results by maintenance, then board again.")]
    BoardAgain,
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
    async fn authenticate(&self, headers: &HeaderMap) -> Result<(Visitor, Placement), Refusal> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let mut visitor = self.identify(headers).await?;
        match (visitor.state, visitor.placement.take()) {
            (TokenState::Valid, Some(placement)) => Ok((visitor, placement)),
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
        let tokens_ended = self.presence.tokens_ended();
        let standing = self.store.token_standing(token).await?.ok_or(Refusal::BadToken)?;
        let terminal = self.directory.terminal(&standing.poi).await?.ok_or(Refusal::BadToken)?;
        let placement =
            terminal.place.merchant().filter(|_| terminal.place.is_in_store()).map(|merchant| Placement {
                poi_id: terminal.poi.clone(),
                merchant_account: merchant.as_str().to_owned(),
                store: terminal.place.store().map(|store| store.as_str().to_owned()),
            });
        let settings = Settings {
            revision: terminal.settings.revision,
            web_sockets_enabled: terminal.settings.web_sockets_enabled,
            terminal_api_enabled: terminal.settings.terminal_api_enabled,
            display_label: terminal.settings.display_label.clone(),
        };
        Ok(Visitor { poi: standing.poi, token, state: standing.state, tokens_ended, placement, settings })
    }

    /// Whether the token is still good now that its socket is attached. Tokens end seldom, so it seldom asks the store.
    async fn is_still_good(&self, visitor: &Visitor) -> bool {
        if self.presence.tokens_ended() == visitor.tokens_ended {
            return true;
        }
        let standing = self.store.token_standing(visitor.token).await;
        matches!(standing, Ok(Some(standing)) if standing.state == TokenState::Valid)
    }

    /// The same as a link says it.
    fn body_limit(&self) -> u32 {
        u32::try_from(self.body_limit).unwrap_or(u32::MAX)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = self.to_string();
        match self {
            Refusal::BadToken => Problem::new(StatusCode::UNAUTHORIZED, text).code("bad-token"),
            Refusal::BoardAgain => Problem::new(StatusCode::FORBIDDEN, text).code("board-again"),
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
