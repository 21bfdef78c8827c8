//! Settings of each level: who may read and change them, and how the node learns which terminals a change is for.
//!
//! A change writes one row, however many terminals it is for. Whoever holds terminals follows [`SettingsWatch`] and looks at
//! those that it holds, so that a company's million of absent ones costs nothing; they are told when they come.

use std::sync::Arc;
use std::time::Duration;

use nexo::{PoiId, holds_card_data};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Directory;
use crate::access::Caller;
use crate::clock::Clock;
use crate::store::fleet_store::{Level, LevelSettings, SettingsChange, SettingsPatch, StoreId};
use crate::store::{CompanyCode, MerchantCode, Scope, Store, StoreCode, StoreError, Terminal};

/// Changes that may wait for whoever follows them. Who is further behind looks at all of its terminals, which misses nothing.
const CHANGES_MAX: usize = 256;

/// How often changes by other processes are looked for: one row is read.
const LOOK_PACE: Duration = Duration::from_secs(1);

/// The longest display label, in characters: more than a status bar shows.
const LABEL_CHARACTERS_MAX: usize = 64;

/// Reads and changes settings.
#[derive(Debug)]
pub(crate) struct Settings {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    clock: Clock,
    changes: broadcast::Sender<SettingsChanged>,
}

/// A level as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LevelName {
    /// One with its codes.
    Coded(Level),
    /// A store by its generated ID.
    StoreId(StoreId),
    /// A text that can be nothing's name.
    Nothing,
}

/// Settings took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingsChanged {
    /// Whose.
    pub(crate) company: CompanyCode,
    /// For what.
    pub(crate) level: Level,
    /// The revision that they have now.
    pub(crate) revision: u64,
}

/// Why there are no settings to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSettings {
    /// There is no such level in the caller's company.
    #[error("there is nothing of that name in this company")]
    Unknown,
    /// It is outside of the credential's merchant accounts.
    #[error("the API credential may not use this account")]
    OutOfScope,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Settings {
    /// Settings are kept in `store`; what `directory` remembers of a terminal is forgotten when they change.
    pub(crate) fn new(store: Arc<dyn Store>, directory: Arc<Directory>, clock: Clock) -> Settings {
        Settings { store, directory, clock, changes: broadcast::Sender::new(CHANGES_MAX) }
    }

    /// The settings of a level, on behalf of a caller.
    ///
    /// # Errors
    /// [`NoSettings`].
    pub(crate) async fn read(&self, caller: &Caller, name: &LevelName) -> Result<LevelSettings, NoSettings> {
        let level = self.level(caller, name).await?;
        let settings = self.store.settings_at(&caller.company, &level).await?;
        let settings = settings.ok_or(NoSettings::Unknown)?;
        let is_reached = match &settings.merchant {
            Some(merchant) => caller.may_use_merchant(merchant.as_str()),
            None => caller.scope == Scope::Company,
        };
        if is_reached { Ok(settings) } else { Err(NoSettings::OutOfScope) }
    }

    /// Changes settings of a level on behalf of a caller, and answers with them as they are then. They hold on this node at
    /// once, and on others within a second.
    ///
    /// # Errors
    /// [`NoSettings`]; nothing was changed then.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        name: &LevelName,
        patch: SettingsPatch,
    ) -> Result<LevelSettings, NoSettings> {
        let before = self.read(caller, name).await?;
        let change = SettingsChange {
            company: caller.company.clone(),
            scope: caller.scope.clone(),
            level: before.level,
            patch,
            by: Some(caller.credential.clone()),
            at: self.clock.now().wall,
        };
        let after = self.store.change_settings(change).await?.ok_or(NoSettings::Unknown)?;
        tracing::info!(
            company = %after.company,
            level = after.level.kind(),
            revision = after.revision,
            credential.id = %caller.credential,
            "settings changed"
        );
        self.announce(SettingsChanged {
            company: after.company.clone(),
            level: after.level.clone(),
            revision: after.revision,
        });
        Ok(after)
    }

    /// Says that settings took effect: those that were changed here, and those that a terminal got with its new place.
    pub(crate) fn announce(&self, changed: SettingsChanged) {
        self.directory.forget_all();
        // Nobody may be following.
        let _ = self.changes.send(changed);
    }

    /// Follows changes from here on.
    ///
    /// # Errors
    /// [`StoreError`] when the present revision can't be read.
    pub(crate) async fn watch(&self) -> Result<SettingsWatch, StoreError> {
        let changes = self.changes.subscribe();
        let seen = self.store.settings_revision().await?;
        let mut looks = interval(LOOK_PACE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(SettingsWatch { store: self.store.clone(), changes, looks, seen })
    }

    async fn level(&self, caller: &Caller, name: &LevelName) -> Result<Level, NoSettings> {
        match name {
            LevelName::Coded(level) => Ok(level.clone()),
            LevelName::StoreId(id) => {
                let store = self.store.store_by_id(&caller.company, id).await?.ok_or(NoSettings::Unknown)?;
                Ok(Level::Store(store.merchant, store.code))
            }
            LevelName::Nothing => Err(NoSettings::Unknown),
        }
    }
}

impl LevelName {
    /// A company account.
    pub(crate) fn company(code: &str) -> LevelName {
        CompanyCode::parse(code).map_or(LevelName::Nothing, |code| LevelName::Coded(Level::Company(code)))
    }

    /// A merchant account.
    pub(crate) fn merchant(code: &str) -> LevelName {
        MerchantCode::parse(code).map_or(LevelName::Nothing, |code| LevelName::Coded(Level::Merchant(code)))
    }

    /// A store of a merchant account.
    pub(crate) fn store(merchant: &str, code: &str) -> LevelName {
        match (MerchantCode::parse(merchant), StoreCode::parse(code)) {
            (Ok(merchant), Ok(code)) => LevelName::Coded(Level::Store(merchant, code)),
            _ => LevelName::Nothing,
        }
    }

    /// A store by its generated ID.
    pub(crate) fn store_id(id: &str) -> LevelName {
        StoreId::parse(id).map_or(LevelName::Nothing, LevelName::StoreId)
    }

    /// A terminal.
    pub(crate) fn terminal(poi: &str) -> LevelName {
        PoiId::parse(poi).map_or(LevelName::Nothing, |poi| LevelName::Coded(Level::Terminal(poi)))
    }
}

/// Follows changes of settings, by this process and by others.
#[derive(Debug)]
pub(crate) struct SettingsWatch {
    store: Arc<dyn Store>,
    changes: broadcast::Receiver<SettingsChanged>,
    looks: Interval,
    /// The revision up to which everything was told.
    seen: u64,
}

/// Whose settings may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// Those of whatever belongs to this level.
    At(CompanyCode, Level),
    /// Anybody's: another process changed them, or more changed than was followed.
    Any,
}

impl SettingsWatch {
    /// Whose settings may have changed since the last call. It may say too much, and never too little; whoever hears it compares
    /// revisions. A change by this process is told at once, one by another within a second or two.
    ///
    /// Cancel safe: what was not told is told by the next call.
    pub(crate) async fn next(&mut self) -> Touched {
        loop {
            tokio::select! {
                changed = self.changes.recv() => match changed {
                    Ok(changed) => if let Some(touched) = self.heard(changed) { return touched },
                    Err(RecvError::Lagged(_)) => return Touched::Any,
                    // Nobody here changes anything any more.
                    Err(RecvError::Closed) => { self.looks.tick().await; }
                },
                _ = self.looks.tick() => match self.store.settings_revision().await {
                    Ok(revision) if revision > self.seen => {
                        self.seen = revision;
                        return Touched::Any;
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "changes of settings can't be looked for"),
                },
            }
        }
    }

    fn heard(&mut self, changed: SettingsChanged) -> Option<Touched> {
        if changed.revision <= self.seen {
            return None; // It was told with `Any`, or nothing was changed.
        }
        // A revision in between is another process's, or one that is still to be announced.
        let is_next = changed.revision == self.seen + 1;
        self.seen = changed.revision;
        Some(if is_next { Touched::At(changed.company, changed.level) } else { Touched::Any })
    }
}

impl Touched {
    /// The one terminal that it is about, if there is only one.
    pub(crate) fn only(&self) -> Option<&PoiId> {
        match self {
            Touched::At(_, Level::Terminal(poi)) => Some(poi),
            Touched::At(..) | Touched::Any => None,
        }
    }

    /// Whether this terminal, as it is in the store now, may have other settings than before.
    pub(crate) fn covers(&self, terminal: &Terminal) -> bool {
        let Touched::At(company, level) = self else { return true };
        terminal.company == *company
            && match level {
                Level::Company(_) => true,
                Level::Merchant(merchant) => terminal.place.merchant() == Some(merchant),
                Level::Store(merchant, store) => {
                    terminal.place.merchant() == Some(merchant) && terminal.place.store() == Some(store)
                }
                Level::Terminal(poi) => terminal.poi == *poi,
            }
    }
}

/// What is wrong with a display label.
pub(crate) fn label_problem(text: &str) -> Option<String> {
    let characters = text.chars().count();
    if !(1..=LABEL_CHARACTERS_MAX).contains(&characters) {
        return Some(format!("expected 1 to {LABEL_CHARACTERS_MAX} characters, got {characters}"));
    }
    if text.chars().any(char::is_control) {
        return Some("expected no control characters".to_owned());
    }
    // It is kept, and shown to everybody.
    holds_card_data(text).then(|| "looks like a card number".to_owned())
}
