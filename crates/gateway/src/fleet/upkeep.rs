//! Terminals come and go, and so do their tokens: what fleet software does to one terminal.

use std::sync::Arc;

use nexo::PoiId;
use relay::LinkToken;
use tokio_util::task::TaskTracker;

use crate::access::Caller;
use crate::clock::Clock;
use crate::fleet::Keeper;
use crate::ids::{self, TerminalToken};
use crate::presence::Presence;
use crate::store::fleet_store::{RevokedToken, RotationBegun, TokenId, TokenInfo};
use crate::store::{FleetError, NewTerminal, Store, StoreError, TokenHash};

/// Adds and retires terminals, and looks after their tokens.
#[derive(Debug)]
pub(crate) struct Upkeep {
    store: Arc<dyn Store>,
    presence: Arc<Presence>,
    keeper: Arc<Keeper>,
    clock: Clock,
    tasks: TaskTracker,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    /// There is no such terminal in the caller's company.
    #[error("there is no such terminal in this company")]
    Unknown,
    /// It is at a place of the caller's company that the credential may not use.
    #[error("the API credential may not use the place of this terminal")]
    OutOfScope,
    /// The terminal has no such token that opens links.
    #[error("the terminal has no such token that could be revoked")]
    NoToken,
    /// Only a link can carry a new token.
    #[error("the terminal is not connected, so it can't be given a new token")]
    NotConnected,
    /// It holds more tokens than it may already, and any of them may be the one that it uses.
    #[error("the terminal has not taken the tokens that it was given before")]
    TooManyTokens,
    /// The fleet's rules, or the database.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Upkeep {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        presence: Arc<Presence>,
        keeper: Arc<Keeper>,
        tasks: TaskTracker,
    ) -> Upkeep {
        let clock = presence.clock();
        Upkeep { store, presence, keeper, clock, tasks }
    }

    /// Adds a terminal, not boarded.
    ///
    /// # Errors
    /// [`NotDone`].
    pub(crate) async fn add(&self, caller: &Caller, terminal: NewTerminal) -> Result<(), NotDone> {
        if !caller.may_use_place(&terminal.place) {
            return Err(NotDone::OutOfScope);
        }
        let poi = terminal.poi.clone();
        let by = Some(caller.credential.clone());
        let added = NewTerminal { by, added: self.clock.now().wall, ..terminal };
        self.store.add_terminal(added).await?;
        self.keeper.look_at(&poi);
        tracing::info!(poi.id = %poi, credential.id = %caller.credential, "terminal added");
        Ok(())
    }

    /// Retires a terminal for good; its link is closed.
    ///
    /// # Errors
    /// [`NotDone`].
    pub(crate) async fn retire(&self, caller: &Caller, poi: &PoiId) -> Result<(), NotDone> {
        self.reach(caller, poi).await?;
        let (by, at) = (Some(&caller.credential), self.clock.now().wall);
        let retired = self.store.retire_terminal(&caller.company, &caller.scope, poi, by, at);
        let (keeper, retiring) = (self.keeper.clone(), poi.clone());
        // In a task of its own: who hangs up in between must not keep the link open.
        let retired = self.tasks.spawn(async move {
            let retired = retired.await;
            keeper.look_at(&retiring);
            retired
        });
        retired.await.unwrap_or(Err(StoreError::Closed))?.ok_or(NotDone::Unknown)?;
        tracing::info!(poi.id = %poi, credential.id = %caller.credential, "terminal retired");
        Ok(())
    }

    /// The tokens of a terminal, newest first.
    ///
    /// # Errors
    /// [`NotDone`].
    pub(crate) async fn tokens(&self, caller: &Caller, poi: &PoiId) -> Result<Vec<TokenInfo>, NotDone> {
        self.reach(caller, poi).await?;
        self.store.tokens(&caller.company, poi).await?.ok_or(NotDone::Unknown)
    }

    /// Ends a token at once. With the terminal's own its link is closed, and it has to be boarded again.
    ///
    /// # Errors
    /// [`NotDone`].
    pub(crate) async fn revoke(&self, caller: &Caller, poi: &PoiId, token: &TokenId) -> Result<(), NotDone> {
        self.reach(caller, poi).await?;
        let (by, at) = (Some(&caller.credential), self.clock.now().wall);
        let revoked = self.store.revoke_token(&caller.company, poi, token, by, at);
        let (keeper, presence, revoking) = (self.keeper.clone(), self.presence.clone(), poi.clone());
        // As above. Whoever has the token may not keep the link for a moment longer.
        let revoked = self.tasks.spawn(async move {
            let revoked = revoked.await;
            if !matches!(revoked, Ok(None | Some(RevokedToken::Next))) {
                presence.token_ended(&revoking);
            }
            keeper.look_at(&revoking);
            revoked
        });
        revoked.await.unwrap_or(Err(StoreError::Closed))?.ok_or(NotDone::NoToken)?;
        tracing::info!(poi.id = %poi, token.id = %token, credential.id = %caller.credential, "token revoked");
        Ok(())
    }

    /// Gives a connected terminal a new token, which takes the place of its own once it has stored it. The new one's name.
    ///
    /// # Errors
    /// [`NotDone`]; the terminal's own token is as good as before then.
    pub(crate) async fn rotate(&self, caller: &Caller, poi: &PoiId) -> Result<TokenId, NotDone> {
        self.reach(caller, poi).await?;
        if !self.presence.is_online(poi) {
            return Err(NotDone::NotConnected);
        }
        if !self.presence.takes_token(poi) {
            return Err(NotDone::TooManyTokens);
        }
        let (token, at) = (TerminalToken::fresh(), self.clock.now().wall);
        let id = ids::token_id(at);
        let Some(told) = LinkToken::parse(token.reveal()) else { return Err(NotDone::NotConnected) };
        match self.store.begin_rotation(poi, TokenHash(token.sha256()), &id, at).await? {
            RotationBegun::Begun => {}
            RotationBegun::NotBoarded => return Err(NotDone::NotConnected),
            RotationBegun::TooMany => return Err(NotDone::TooManyTokens),
        }
        if !self.presence.new_token(poi, told, id.clone()) {
            return Err(NotDone::NotConnected); // It has just gone; what was begun ends with the next rotation.
        }
        tracing::info!(poi.id = %poi, token.id = %id, credential.id = %caller.credential, "token given");
        Ok(id)
    }

    /// Another company's terminal does not exist, nor does a retired one.
    async fn reach(&self, caller: &Caller, poi: &PoiId) -> Result<(), NotDone> {
        let terminal = self.store.terminal(poi).await?;
        let terminal = terminal.filter(|it| it.company == caller.company && it.retired.is_none());
        let terminal = terminal.ok_or(NotDone::Unknown)?;
        if caller.may_use_place(&terminal.place) { Ok(()) } else { Err(NotDone::OutOfScope) }
    }
}
