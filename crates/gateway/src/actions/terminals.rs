//! The terminals that a desktop may use: those of its groups, whether they speak the Actions API or are on a link.
//!
//! A terminal's `deviceId` is what its key says, a link terminal's is its POIID: so every terminal has one, and an offline one
//! is listed, without a `connectionId`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexo::PoiId;
use relay::ConnectionId;
use relay::actions::{
    RawJson, TerminalChange, TerminalInfo, TerminalPresence, TerminalStatusUpdate, ToClient,
};

use super::desktops::Desktops;
use crate::clock::rfc3339;
use crate::fleet::Directory;
use crate::presence::{Presence, Seen};
use crate::store::actions::{ActionsDeviceId, DeviceFound, Group, Metadata, RegisteredTerminal};
use crate::store::{CompanyCode, Store, StoreError, Terminal};

/// Terminals in one list: far more than stand in a store, and with their metadata 4 MB at most. The rest is left out.
const LISTED_MAX: usize = 1_000;

/// The longest list of them as a frame, in bytes: each terminal with its metadata, two names, two times and a status.
pub(crate) const LIST_LENGTH_MAX: usize = LISTED_MAX * (Metadata::LENGTH_MAX + 512);

/// Looks terminals up for desktops.
#[derive(Debug)]
pub(crate) struct Terminals {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    presence: Arc<Presence>,
    /// The sockets of Actions terminals. An entry is there exactly as long as its [`Connected`].
    connections: Arc<Mutex<HashMap<ConnectionId, PoiId>>>,
}

/// One socket of an Actions terminal, to be found by its ID. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Connected {
    connections: Arc<Mutex<HashMap<ConnectionId, PoiId>>>,
    connection: ConnectionId,
}

impl Drop for Connected {
    fn drop(&mut self) {
        lock(&self.connections).remove(&self.connection);
    }
}

/// The terminal that a desktop means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Which terminal of the fleet it is.
    pub(crate) poi: PoiId,
    /// Where it stands: one of the desktop's groups.
    pub(crate) group: Group,
    /// What desktops call it: `deviceId`, and `terminalId` as well.
    pub(crate) device: String,
    /// Its connection; none while it is not connected.
    pub(crate) connection: Option<ConnectionId>,
}

impl Target {
    /// The same one, if it is connected: a new payment needs that.
    ///
    /// # Errors
    /// [`NoTarget::NotConnected`].
    pub(crate) fn connected(self) -> Result<Target, NoTarget> {
        if self.connection.is_some() { Ok(self) } else { Err(NoTarget::NotConnected) }
    }
}

/// Why a desktop can't use the terminal that it names. Each surface says so in its own words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTarget {
    /// It is there, and not connected.
    #[error("the terminal is not connected")]
    NotConnected,
    /// No connection of its company's terminals has this ID, or none any more.
    #[error("there is no such connection")]
    NoSuchConnection,
    /// No terminal of its company is called that.
    #[error("there is no such terminal")]
    Unknown,
    /// Its company's, and in none of its groups.
    #[error("the terminal is in another group")]
    OtherGroup,
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Terminals {
    /// Looks them up in these.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        directory: Arc<Directory>,
        presence: Arc<Presence>,
    ) -> Terminals {
        Terminals { store, directory, presence, connections: Arc::default() }
    }

    /// A socket of this terminal has opened.
    pub(crate) fn connected(&self, connection: &ConnectionId, poi: &PoiId) -> Connected {
        lock(&self.connections).insert(connection.clone(), poi.clone());
        Connected { connections: self.connections.clone(), connection: connection.clone() }
    }

    /// The terminals of these groups, each with its `metadata`; those of one group after another, Actions terminals first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn list(
        &self,
        company: &CompanyCode,
        groups: &[Group],
    ) -> Result<Vec<TerminalInfo>, StoreError> {
        let mut list = Vec::new();
        for group in groups {
            let actions = self.actions_terminals(group).await?;
            let links = self.link_terminals(company, group, &actions).await?;
            for RegisteredTerminal { terminal, .. } in actions {
                list.push(info(
                    terminal.device.as_str(),
                    &self.presence.seen(&terminal.poi),
                    Some(&terminal.metadata),
                ));
            }
            for poi in links {
                list.push(info(poi.as_str(), &self.presence.seen(&poi), None));
            }
            if list.len() > LISTED_MAX {
                tracing::warn!(group = %group, terminals = list.len(), "a list of terminals is too long and was cut");
                list.truncate(LISTED_MAX);
                break;
            }
        }
        Ok(list)
    }

    /// The terminal that a desktop of these groups names, be it connected or not. In this order: a `deviceId` in its groups, the
    /// connection of a terminal in its groups, the POIID of a link terminal there; then others of its company, which it hears
    /// of; and nothing of any other company.
    ///
    /// # Errors
    /// [`NoTarget`], but for [`NoTarget::NotConnected`].
    pub(crate) async fn resolve(
        &self,
        company: &CompanyCode,
        groups: &[Group],
        terminal_id: &str,
    ) -> Result<Target, NoTarget> {
        let mut in_other_group = false;
        if let Ok(device) = ActionsDeviceId::parse(terminal_id) {
            match self.store.find_actions_device(company, groups, &device).await? {
                DeviceFound::Own(found) => return Ok(self.target(*found)),
                DeviceFound::OtherGroup => in_other_group = true,
                DeviceFound::Nobody => {}
            }
        }
        let connection = connection_form(terminal_id);
        if let Some(connection) = &connection {
            match self.at_connection(company, groups, connection).await? {
                Found::Own(target) => return Ok(*target),
                Found::OtherGroup => in_other_group = true,
                Found::Nobody => {}
            }
        }
        if let Ok(poi) = PoiId::parse(terminal_id) {
            match self.link_terminal(company, groups, &poi).await? {
                Found::Own(target) => return Ok(*target),
                Found::OtherGroup => in_other_group = true,
                Found::Nobody => {}
            }
        }
        Err(match (in_other_group, connection) {
            (true, _) => NoTarget::OtherGroup,
            (false, Some(_)) => NoTarget::NoSuchConnection,
            (false, None) => NoTarget::Unknown,
        })
    }

    /// The terminal behind a connection. Links are looked for in the desktop's own groups only.
    async fn at_connection(
        &self,
        company: &CompanyCode,
        groups: &[Group],
        connection: &ConnectionId,
    ) -> Result<Found, StoreError> {
        let is_of = |target: &Target| target.connection.as_ref() == Some(connection);
        let known = lock(&self.connections).get(connection).cloned();
        if let Some(poi) = known {
            let Some(found) = self.store.actions_terminal(&poi).await? else { return Ok(Found::Nobody) };
            let is_ours =
                self.directory.terminal(&poi).await?.is_some_and(|terminal| terminal.company == *company);
            let target = self.target(found);
            return Ok(match (is_ours && is_of(&target), groups.contains(&target.group)) {
                (true, true) => Found::Own(Box::new(target)),
                (true, false) => Found::OtherGroup,
                (false, _) => Found::Nobody,
            });
        }
        for group in groups {
            for poi in self.link_terminals(company, group, &[]).await? {
                let target = self.link_target(poi, group.clone());
                if is_of(&target) {
                    return Ok(Found::Own(Box::new(target)));
                }
            }
        }
        Ok(Found::Nobody)
    }

    /// A link terminal by its POIID. An Actions terminal has another name.
    async fn link_terminal(
        &self,
        company: &CompanyCode,
        groups: &[Group],
        poi: &PoiId,
    ) -> Result<Found, StoreError> {
        let found = self.directory.terminal(poi).await?.filter(|terminal| terminal.company == *company);
        let Some(group) = found.and_then(|terminal| Group::at(&terminal.place)) else {
            return Ok(Found::Nobody);
        };
        if self.store.actions_terminal(poi).await?.is_some() {
            return Ok(Found::Nobody);
        }
        Ok(match groups.contains(&group) {
            true => Found::Own(Box::new(self.link_target(poi.clone(), group))),
            false => Found::OtherGroup,
        })
    }

    async fn actions_terminals(&self, group: &Group) -> Result<Vec<RegisteredTerminal>, StoreError> {
        let mut all: Vec<RegisteredTerminal> = Vec::new();
        while all.len() <= LISTED_MAX {
            let page = self.store.actions_terminals(group, all.last().map(|last| &last.terminal.poi)).await?;
            let is_last = page.len() < crate::store::TERMINALS_PER_PAGE;
            all.extend(page);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// The terminals at a group's place but for these.
    async fn link_terminals(
        &self,
        company: &CompanyCode,
        group: &Group,
        others: &[RegisteredTerminal],
    ) -> Result<Vec<PoiId>, StoreError> {
        let Some(merchant) = group.place().merchant() else { return Ok(Vec::new()) };
        let is_link = |terminal: &Terminal| {
            terminal.place == *group.place() && !others.iter().any(|other| other.terminal.poi == terminal.poi)
        };
        let mut all = Vec::new();
        let mut after = None;
        while all.len() <= LISTED_MAX {
            let page =
                self.store.terminals_at(company, merchant, group.place().store(), after.as_ref()).await?;
            let is_last = page.len() < crate::store::TERMINALS_PER_PAGE;
            after = page.last().map(|last| last.poi.clone());
            all.extend(page.into_iter().filter(is_link).map(|terminal| terminal.poi));
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    fn target(&self, found: RegisteredTerminal) -> Target {
        let terminal = found.terminal;
        let connection = connection_of(&self.presence.seen(&terminal.poi));
        Target {
            poi: terminal.poi,
            group: terminal.group,
            device: terminal.device.as_str().to_owned(),
            connection,
        }
    }

    fn link_target(&self, poi: PoiId, group: Group) -> Target {
        let connection = connection_of(&self.presence.seen(&poi));
        Target { group, device: poi.as_str().to_owned(), connection, poi }
    }

    /// Tells the desktops of its group whenever a terminal comes or goes. Never returns.
    pub(crate) async fn tell_changes(&self, desktops: &Desktops) -> std::convert::Infallible {
        loop {
            for poi in self.presence.changed().await {
                if let Err(error) = self.tell_change(desktops, &poi).await {
                    tracing::error!(%error, poi.id = %poi, "desktops were not told that a terminal came or went");
                }
            }
        }
    }

    async fn tell_change(&self, desktops: &Desktops, poi: &PoiId) -> Result<(), StoreError> {
        let Some(terminal) = self.directory.terminal(poi).await? else { return Ok(()) };
        let Some(group) = Group::at(&terminal.place) else { return Ok(()) };
        if !desktops.has_group(&terminal.company, &group) {
            return Ok(());
        }
        let device = match self.store.actions_terminal(poi).await? {
            Some(found) => found.terminal.device.as_str().to_owned(),
            None => poi.as_str().to_owned(),
        };
        let frame = update(device, &self.presence.seen(poi), &group, self.presence.clock().now().wall);
        desktops.tell_group(&terminal.company, &group, &frame.encode());
        Ok(())
    }
}

/// Whose terminal was found.
enum Found {
    Own(Box<Target>),
    OtherGroup,
    Nobody,
}

/// The text as a connection's ID, if it has the form of one: `c_`, then letters and digits.
fn connection_form(text: &str) -> Option<ConnectionId> {
    let rest = text.strip_prefix("c_")?;
    let has_form = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    ConnectionId::parse(text).ok().filter(|_| has_form)
}

fn connection_of(seen: &Seen) -> Option<ConnectionId> {
    match seen {
        Seen::Online { connection, .. } => Some(connection.clone()),
        Seen::Reconnecting | Seen::Offline => None,
    }
}

/// A terminal in a list.
fn info(device: &str, seen: &Seen, metadata: Option<&Metadata>) -> TerminalInfo {
    let metadata = metadata.and_then(|metadata| RawJson::object(metadata.as_str()));
    let (status, connected_at, last_activity) = match seen {
        Seen::Online { since, last_activity, .. } => {
            (TerminalPresence::Online, Some(rfc3339(*since)), Some(rfc3339(*last_activity)))
        }
        Seen::Reconnecting => (TerminalPresence::Reconnecting, None, None),
        Seen::Offline => (TerminalPresence::Offline, None, None),
    };
    TerminalInfo {
        connection_id: connection_of(seen),
        terminal_id: None,
        device_id: Some(device.to_owned()),
        connected_at,
        last_activity,
        status,
        metadata: Some(metadata.unwrap_or_default()),
    }
}

/// What the desktops of a group are told. Of one that is gone for good only its name, as the sibling page has it.
fn update(device: String, seen: &Seen, group: &Group, now: relay::WallMs) -> ToClient {
    let update = |status, device_id, terminal_info| TerminalStatusUpdate {
        terminal_id: device.clone(),
        connection_id: connection_of(seen),
        device_id,
        status,
        terminal_info,
        timestamp: rfc3339(now),
        group_id: group.id().to_owned(),
    };
    ToClient::TerminalStatusUpdate(Box::new(match seen {
        Seen::Online { .. } => {
            let shown = info(&device, seen, None);
            let shown = TerminalInfo { terminal_id: Some(device.clone()), metadata: None, ..shown };
            update(TerminalChange::Connected, Some(device.clone()), Some(shown))
        }
        Seen::Reconnecting => update(TerminalChange::Reconnecting, Some(device.clone()), None),
        Seen::Offline => update(TerminalChange::Disconnected, None, None),
    }))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
