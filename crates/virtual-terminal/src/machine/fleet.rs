//! What the fleet changes about a terminal: its settings, its place, its configuration as a whole, and its token.
//!
//! What stays true: nothing is confirmed before it is stored, so that a restart at any moment leaves the terminal with what it has
//! told. A configuration is removed only when nothing runs, and that it is removed is said until the gateway answers it.

use std::collections::VecDeque;

use relay::{ChangeId, ChangedSettings, LinkToken, Now, Placement, Settings, ToGateway};

use super::net::Net;
use super::{Action, Machine, Notice, Record};
use crate::secret::Secret;

/// What is under way of the fleet's changes.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// The revision of the settings that are stored; none before there were any.
    applied: Option<u64>,
    removal: Option<Removal>,
    /// On its way into the journal; until it is there the former one is used.
    new_token: Option<Secret>,
    /// What follows an append that is on disk, by its number; in ascending order.
    behind: VecDeque<(u64, Behind)>,
}

/// The configuration is to be removed, or was.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    change: ChangeId,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Whatever runs is finished first.
    Asked,
    /// That it is removed is on its way into the journal.
    Removing,
    /// It is to be said.
    Removed,
    /// It was said over the link that stands.
    Told,
}

#[derive(Debug)]
enum Behind {
    Applied(u64),
    Removed(ChangeId),
    TokenStored(Secret),
}

impl Fleet {
    /// After a restart, from what the journal says.
    pub(super) fn restore(settings: &Settings, removal: Option<Removal>) -> Fleet {
        Fleet { applied: (settings.revision > 0).then_some(settings.revision), removal, ..Fleet::default() }
    }

    /// The settings that are in force and stored.
    pub(super) fn applied(&self) -> Option<u64> {
        self.applied
    }

    /// The change for which the configuration was removed, as long as the gateway has not answered that.
    pub(super) fn removed(&self) -> Option<&ChangeId> {
        self.removal.as_ref().filter(|removal| removal.is_removed()).map(|removal| &removal.change)
    }

    /// Whether what the gateway tells of the configuration is passed over: it was removed, and that has not been answered.
    pub(super) fn is_removing(&self) -> bool {
        self.removal.as_ref().is_some_and(|removal| removal.stage != Stage::Asked)
    }

    /// The terminal was boarded anew: whatever was under way is of its former life.
    pub(super) fn begin_anew(&mut self) {
        self.removal = None;
        self.new_token = None;
        self.behind.retain(|(_, behind)| matches!(behind, Behind::Applied(_)));
    }

    /// The token that the journal has to hold, if it is another than the one in use.
    pub(super) fn new_token(&self) -> Option<&Secret> {
        self.new_token.as_ref()
    }

    /// The entry that restores the removal.
    pub(super) fn record(&self) -> Option<Record> {
        self.removal.as_ref().map(|removal| match removal.stage {
            Stage::Asked => Record::RemoveConfig { change_id: removal.change.clone() },
            Stage::Removing | Stage::Removed | Stage::Told => {
                Record::ConfigRemoved { change_id: removal.change.clone() }
            }
        })
    }
}

impl Removal {
    /// A journal says that it was asked for.
    pub(super) fn asked(change: ChangeId) -> Removal {
        Removal { change, stage: Stage::Asked }
    }

    /// A journal says that it was done.
    pub(super) fn done(change: ChangeId) -> Removal {
        Removal { change, stage: Stage::Removed }
    }

    /// Whether the journal says that the configuration is removed.
    pub(super) fn is_removed(&self) -> bool {
        matches!(self.stage, Stage::Removed | Stage::Told)
    }
}

impl Machine {
    /// The gateway has told changed settings over the link. That is also its answer to a configuration that was removed.
    pub(super) fn handle_settings(&mut self, changed: ChangedSettings) {
        let ChangedSettings { settings, terminal } = changed;
        self.end_removal();
        if self.fleet.is_removing() {
            return; // It was told before it could know of the removal, which it will answer.
        }
        if settings == self.settings && self.fleet.applied == Some(settings.revision) {
            self.send(&ToGateway::Applied(settings.revision));
        }
        self.take_settings(settings, terminal);
    }

    /// These settings are in force from here on; stored first, and then confirmed.
    pub(super) fn take_settings(&mut self, settings: Settings, terminal: Option<Placement>) {
        if let Some(terminal) = terminal {
            self.take_place(terminal);
        }
        if settings == self.settings {
            return;
        }
        tracing::info!(
            revision = settings.revision,
            web_sockets_enabled = settings.web_sockets_enabled,
            terminal_api_enabled = settings.terminal_api_enabled,
            "new settings"
        );
        let revision = settings.revision;
        self.settings = settings.clone();
        let seq = self.append(Record::Settings(settings.clone()));
        self.fleet.behind.push_back((seq, Behind::Applied(revision)));
        self.tell(Notice::Settings(settings));
    }

    fn take_place(&mut self, terminal: Placement) {
        let Placement { poi_id, merchant_account, store } = terminal;
        if poi_id != self.identity.poi_id {
            tracing::warn!(poi.id = %poi_id, "ignored the place of another terminal");
            return;
        }
        self.device.is_configured = true;
        if (&merchant_account, &store) == (&self.device.merchant_account, &self.device.store) {
            return;
        }
        (self.device.merchant_account, self.device.store) = (merchant_account.clone(), store.clone());
        self.append(self.placed());
        self.tell(Notice::Moved { merchant_account, store });
    }

    /// The gateway moves the terminal elsewhere. Asked once more it says so once more.
    pub(super) fn handle_remove_config(&mut self, change: ChangeId) {
        if let Some(removal) = &mut self.fleet.removal
            && removal.change == change
        {
            if removal.stage == Stage::Told {
                removal.stage = Stage::Removed;
            }
            return;
        }
        let waits = self.terminal.running().is_some();
        tracing::info!(change.id = %change, waits, "the configuration is to be removed");
        self.append(Record::RemoveConfig { change_id: change.clone() });
        self.fleet.removal = Some(Removal::asked(change));
        self.tell(Notice::RemovesConfig { waits });
    }

    /// The gateway has answered that the configuration is removed, or changed its mind.
    pub(super) fn end_removal(&mut self) {
        if self.fleet.removal.take_if(|removal| removal.is_removed()).is_some() {
            self.append(Record::RemovalOver);
        }
    }

    /// From the next connect on this proves who the terminal is; stored first, and then confirmed.
    pub(super) fn handle_new_token(&mut self, token: &LinkToken) {
        let token = Secret::new(token.reveal());
        if self.identity.token.as_ref() == Some(&token) {
            self.fleet.new_token = None;
            self.send(&ToGateway::TokenStored);
            return;
        }
        let seq = self.append(Record::Boarded { token: token.clone() });
        self.fleet.new_token = Some(token.clone());
        self.fleet.behind.push_back((seq, Behind::TokenStored(token)));
    }

    /// What waited for the disk goes on.
    pub(super) fn go_on_behind(&mut self) {
        let stored = self.disk.stored;
        while let Some((_, behind)) = self.fleet.behind.pop_front_if(|(seq, _)| *seq <= stored) {
            match behind {
                Behind::Applied(revision) => {
                    self.fleet.applied = Some(revision);
                    if self.is_welcomed() {
                        self.send(&ToGateway::Applied(revision));
                    }
                }
                Behind::Removed(change) => self.removed(&change),
                Behind::TokenStored(token) => {
                    if self.fleet.new_token.take_if(|new| *new == token).is_some() {
                        tracing::info!("a new token is stored");
                        self.tell(Notice::NewToken);
                    }
                    self.identity.token = Some(token);
                    if self.is_welcomed() {
                        self.send(&ToGateway::TokenStored);
                    }
                }
            }
        }
    }

    fn removed(&mut self, change: &ChangeId) {
        let Some(removal) = self.fleet.removal.as_mut().filter(|removal| removal.change == *change) else {
            return;
        };
        removal.stage = Stage::Removed;
        tracing::info!(change.id = %change, "the configuration is removed");
        if !matches!(self.net, Net::Linked { .. }) {
            self.call_now();
        }
    }

    /// A link was welcomed: what was said over an older one may not have been heard.
    pub(super) fn confirm_again(&mut self) {
        if let Some(removal) = &mut self.fleet.removal
            && removal.stage == Stage::Told
        {
            removal.stage = Stage::Removed;
        }
    }

    /// Removes the configuration once nothing runs, and says so behind every result. Says whether there was anything to do.
    pub(super) fn go_on_removing(&mut self) -> bool {
        let welcomed = self.is_welcomed();
        let Some(removal) = &mut self.fleet.removal else { return false };
        let change = removal.change.clone();
        match removal.stage {
            Stage::Asked if self.terminal.running().is_none() && !self.terminal.is_broken() => {
                removal.stage = Stage::Removing;
                self.forget_config();
                let seq = self.append(Record::ConfigRemoved { change_id: change.clone() });
                self.fleet.behind.push_back((seq, Behind::Removed(change)));
                self.tell(Notice::ConfigRemoved);
                true
            }
            Stage::Removed if welcomed => {
                removal.stage = Stage::Told;
                self.send(&ToGateway::ConfigRemoved(change));
                true
            }
            Stage::Asked | Stage::Removing | Stage::Removed | Stage::Told => false,
        }
    }

    /// Whether the terminal may have a link is all that is kept: that is about the terminal and not about its merchant.
    pub(super) fn forget_config(&mut self) {
        self.device.is_configured = false;
        self.device.merchant_account.clear();
        self.device.store = None;
        self.settings = without_config(&self.settings);
        self.fleet.applied = None;
        self.fleet.behind.retain(|(_, behind)| !matches!(behind, Behind::Applied(_)));
    }

    fn is_welcomed(&self) -> bool {
        matches!(self.net, Net::Linked { since: Some(_), .. }) && !self.is_stopping()
    }

    /// The settings that a maintenance call told. One that was begun before a change may answer after it: while a link stands, it tells
    /// all there is, and only what is newer counts.
    pub(super) fn take_maintained_settings(
        &mut self,
        settings: Option<Settings>,
        terminal: Option<Placement>,
    ) {
        let Some(settings) = settings else { return };
        if !self.is_welcomed() || settings.revision > self.settings.revision {
            self.take_settings(settings, terminal);
        }
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        self.orders.push_back(Action::Tell(notice));
    }

    /// For the journal that was read: a restart between two steps goes on with the second one.
    pub(super) fn now_restored(&mut self, now: Now) {
        self.now = now;
        if self.fleet.removed().is_some() {
            self.device.is_configured = false;
        }
    }
}

/// What is left of settings when the configuration is removed.
pub(super) fn without_config(settings: &Settings) -> Settings {
    Settings { web_sockets_enabled: settings.web_sockets_enabled, ..Settings::default() }
}
