//! What both dialects do with a request: who asks, what is asked, and what its Sale system is to be told. Only how that is
//! written is the dialect's own.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use nexo::{DecodeError, Request};
use relay::exchange::{Answer, Heard, ReplyMode, StatusAnswer};
use relay::ledger::Told;
use relay::{CallId, WallMs};

use super::told_body::ToldBody;
use super::{SaleApi, message, prefer};
use crate::access::{Caller, Denied};
use crate::exchange::NotTaken;
use crate::http::body::{self, BodyError};

/// Why a request was not taken. Nothing was sent and nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The credential.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The body did not come.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body is no request.
    #[error("{error}")]
    Unreadable {
        /// As it came.
        body: Bytes,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The terminal is not the credential's to use, or the store can't say.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

/// A request, and what its Sale system is to be told.
pub(super) struct Reply {
    request: Request,
    call: CallId,
    heard: Heard,
}

impl SaleApi {
    /// Reads the body as a request.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Request, Refused> {
        let body = body::read(headers, body, self.body).await?;
        Request::parse(body.clone()).map_err(|error| Refused::Unreadable { body, error })
    }

    /// Sends the request and waits for what is to be told, for as long as the Sale system prefers (E11).
    pub(super) async fn send(
        &self,
        caller: &Caller,
        request: Request,
        mode: ReplyMode,
        headers: &HeaderMap,
    ) -> Result<Reply, Refused> {
        let wait = prefer::wait(headers);
        let (call, mut heard) = self.exchanges.send(caller, request.clone(), mode, wait).await?;
        self.note_reading(caller, &request, &mut heard).await;
        Ok(Reply { request, call, heard })
    }

    /// Writes a reply, in a dialect, and notes in the ledger whether the socket took it.
    pub(super) fn tell(
        &self,
        reply: Reply,
        write: impl FnOnce(&Request, Heard, WallMs) -> Response,
    ) -> Response {
        let Reply { request, call, heard } = reply;
        let at = self.now();
        let (what, repeated, exchange) = (word(&heard), heard.repeated, heard.exchange.clone());
        let mut response = write(&request, heard, at);
        if repeated {
            message::mark_repeated(&mut response);
        }
        match exchange {
            None => response,
            Some(exchange) => {
                let told = Told { exchange, call, what, at, written: false };
                response.map(|body| ToldBody::wrap(body, self.presence.clone(), told))
            }
        }
    }

    pub(super) fn now(&self) -> WallMs {
        self.presence.clock().now().wall
    }
}

/// One word for what was told, for `told[]`; the same in both dialects.
fn word(heard: &Heard) -> &'static str {
    match &heard.answer {
        Answer::Response(_) if heard.repeated => Told::RESPONSE_REPEATED,
        Answer::Response(_) => Told::RESPONSE,
        Answer::Ok => "ok",
        Answer::NotDelivered => "not-delivered",
        Answer::NoResponse => "no-response",
        Answer::Failure { .. } => "failure",
        Answer::Status(StatusAnswer::Found(_)) => Told::STATUS_FOUND,
        Answer::Status(StatusAnswer::InProgress) => "status-in-progress",
        Answer::Status(StatusAnswer::NotFound) => "status-not-found",
        Answer::TryAgain => "try-again",
        Answer::TooMany => "too-many",
    }
}
