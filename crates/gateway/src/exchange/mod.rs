//! The sale flow: a POS's request reaches a terminal, and its answer comes back.
//!
//! The steps are those of the desk that the request is handed to (`relay::exchange`): *route* (is the terminal here, or
//! absent), *admit* (on disk), *deliver* (written to one link, once), *reply* (the first of result, deadline, link lost).
//! This module decides only who may ask, and whether the terminal may be asked ([`switches`]).

mod places;
mod switches;

use std::sync::Arc;
use std::time::Duration;

use nexo::{ErrorCondition, Kept, Request, holds_card_data};
use relay::exchange::{Answer, Asks, Call, Heard, Hold, ReplyMode, Standing, WAIT_MAX};
use relay::{CallId, ledger};
use sha2::{Digest as _, Sha256};

use crate::access::Caller;
use crate::fleet::Directory;
use crate::ids;
use crate::presence::Presence;
use crate::store::{CompanyCode, StoreError, Terminal};
use places::Places;

/// Takes requests of Sale systems to terminals.
#[derive(Debug)]
pub(crate) struct Exchanges {
    presence: Arc<Presence>,
    directory: Arc<Directory>,
    places: Arc<Places>,
}

/// How a request is sent: see [`Call`].
struct Terms {
    reply: ReplyMode,
    asks: Asks,
    wait: Duration,
    hold: Hold,
}

/// Why a request is not even looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The terminal is at a merchant account of the caller's company that the credential may not use.
    #[error("the API credential may not use this terminal's merchant account")]
    OutOfScope,
    /// As many requests of the credential wait as may.
    #[error("as many requests of this API credential wait for terminals as may (limit exchanges_per_key)")]
    TooMany,
    /// The store can't be read. Nothing was sent or recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Exchanges {
    /// Of any one credential `per_key` requests may wait, or be open at their terminals, at once.
    pub(crate) fn new(presence: Arc<Presence>, directory: Arc<Directory>, per_key: u32) -> Exchanges {
        Exchanges { presence, directory, places: Places::new(per_key) }
    }

    /// Sends a request and waits for what its Sale system is to be told: at most `wait`, which is cut to 1-150 s (E11),
    /// and 10 s for one that waits only until the terminal has it (E21).
    ///
    /// Cancel safe: a caller that goes away changes nothing for the terminal (E12).
    ///
    /// # Errors
    /// Nothing was sent; see [`NotTaken`].
    pub(crate) async fn send(
        &self,
        caller: &Caller,
        request: Request,
        reply: ReplyMode,
        wait: Duration,
    ) -> Result<(CallId, Heard), NotTaken> {
        let Some(place) = self.places.take(&caller.credential) else {
            tracing::info!(credential.id = %caller.credential, limit = "exchanges_per_key", "over a limit");
            return Err(NotTaken::TooMany);
        };
        let (standing, barred) = self.standing(caller, &request).await?;
        let who = ledger::Caller {
            company: caller.company.as_str().into(),
            credential: caller.credential.as_str().into(),
        };
        let terms = Terms { reply, asks: Asks::Anybody, wait, hold: place.clone() };
        let heard = self.call(who, standing, barred, request, terms).await;
        drop(place);
        Ok(heard)
    }

    /// Sends a request that the gateway has of itself, about a terminal that it knows to be this company's, as `origin`: a
    /// credential's name, or another word for the ledger. It is not counted among anybody's requests, so that what was begun
    /// can be brought to its end however many wait; who sends has to hold back by himself. No switch bars it, for it settles what
    /// ran before that was off. What it asks about are requests of the
    /// gateway's own, so that a ServiceID without a record is one that was never sent ([`Asks::LedgerAlone`]).
    ///
    /// Cancel safe, as [`send`](Self::send) is.
    pub(crate) async fn send_own(
        &self,
        company: &CompanyCode,
        origin: &str,
        request: Request,
        wait: Duration,
    ) -> Heard {
        let who = ledger::Caller { company: company.as_str().into(), credential: origin.into() };
        let terms = Terms { reply: ReplyMode::Sync, asks: Asks::LedgerAlone, wait, hold: Arc::new(()) };
        self.call(who, Standing::Known, None, request, terms).await.1
    }

    async fn call(
        &self,
        caller: ledger::Caller,
        standing: Standing,
        barred: Option<String>,
        request: Request,
        terms: Terms,
    ) -> (CallId, Heard) {
        let now = self.presence.clock().now().wall;
        let id = self.presence.next_call();
        if let Some(member) = card_data_in_header(&request, standing) {
            let message =
                format!("{member} looks like a card number, which may not stand there. Use another.");
            let answer =
                Answer::Failure { condition: ErrorCondition::MESSAGE_FORMAT, message, exchange: None };
            return (id, Heard { answer, repeated: false, exchange: None });
        }
        let kept = Kept::of(request.bytes());
        let call = Call {
            id,
            digest: ledger::Digest(Sha256::digest(kept.bytes()).into()),
            kept,
            caller,
            exchange: ids::exchange_id(now),
            delivery: ids::delivery_id(now),
            wait: terms.wait.clamp(Duration::from_secs(1), WAIT_MAX),
            reply: terms.reply,
            asks: terms.asks,
            hold: terms.hold,
            request,
        };
        (id, self.presence.call(standing, barred.as_deref(), call).await)
    }

    /// Another company's terminal does not exist, nor does a retired one; one of another merchant account is out of scope. And
    /// why the terminal may not be asked for this now, if it may not.
    async fn standing(
        &self,
        caller: &Caller,
        request: &Request,
    ) -> Result<(Standing, Option<String>), NotTaken> {
        let terminal = self.directory.terminal(&request.header().poi_id).await?;
        let is_there =
            |terminal: &Arc<Terminal>| terminal.company == caller.company && terminal.retired.is_none();
        match terminal.filter(is_there) {
            None => Ok((Standing::Unknown, None)),
            Some(terminal) if !caller.may_use_place(&terminal.place) => Err(NotTaken::OutOfScope),
            Some(terminal) => Ok((Standing::Known, switches::barred(&terminal, &request.header().category))),
        }
    }
}

/// A member of the header that would be kept as it is and looks like a card number. ServiceID and DeviceID are too short
/// for one, and a POIID of the fleet is what somebody has called a terminal.
fn card_data_in_header(request: &Request, standing: Standing) -> Option<&'static str> {
    let header = request.header();
    let of_nobody = (standing == Standing::Unknown).then(|| header.poi_id.as_str());
    let members = [
        ("SaleID", Some(header.sale_id.as_str())),
        ("MessageCategory", Some(header.category.as_str())),
        ("POIID", of_nobody),
    ];
    members.into_iter().find(|(_, text)| text.is_some_and(holds_card_data)).map(|(member, _)| member)
}
