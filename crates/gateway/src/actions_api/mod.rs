//! Desktops and terminals of the Actions API come in: JSON objects over one WebSocket, `GET /v1`.
//!
//! Source: the Actions page of the specification and its sibling pages; what they leave open is ours, and said to be.

mod closing;
mod desktop;
mod http;
mod open;
mod pay;
mod terminal;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use http::ActionsHttp;

use crate::access::{Access, Caller, Pass, Passes};
use crate::actions::deliveries::Deliveries;
use crate::actions::payments::Payments;
use crate::actions::terminals::Terminals;
use crate::config::ActionsSettings;
use crate::fleet::{Directory, Keeper};
use crate::http::peer::Proxies;
use crate::presence::Presence;
use crate::store::actions::{ActionsDeviceId, ActionsFacts, Group};

/// What the endpoints of the Actions API use.
pub(crate) struct ActionsApi {
    pub(crate) access: Arc<Access>,
    pub(crate) passes: Arc<Passes>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) terminals: Arc<Terminals>,
    pub(crate) payments: Arc<Payments>,
    pub(crate) settings: ActionsSettings,
    /// Set when the gateway stops: sockets are closed with 1001.
    pub(crate) stopping: CancellationToken,
    /// Sockets are waited for when the gateway stops.
    pub(crate) tasks: TaskTracker,
    /// Whose word about a client's address is believed.
    pub(crate) proxies: Proxies,
    /// The longest POS message in bytes; a frame has room for one.
    pub(crate) body_limit: usize,
}

/// Who has come through the door.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// The credential, and what it is to the Actions API.
    pub(crate) caller: Arc<Caller>,
    /// The groups that this connection may use: the one that `x-group-id` names, or all of its key's. One at least.
    pub(crate) groups: Vec<Group>,
    /// What it calls itself: a terminal's is its key's, a desktop's is `x-device-id`.
    pub(crate) device: Option<ActionsDeviceId>,
    /// Where it is.
    pub(crate) address: IpAddr,
    /// Its right to stay: ends when its key is revoked.
    pub(crate) pass: Arc<Pass>,
}

impl ActionsApi {
    /// `GET /v1`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/v1", get(open::open)).with_state(Arc::new(self))
    }
}

/// `x-group-id` names a group that the API key is not for. The text is for whoever reads the client's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x-group-id names no group of this API key. Its groups: {its}.")]
pub(crate) struct OtherGroup {
    /// What may be named, with commas between.
    its: String,
}

/// The groups that a client wants: the one that its `x-group-id` names, or all of its key's.
fn groups_named(facts: &ActionsFacts, id: Option<&str>) -> Result<Vec<Group>, OtherGroup> {
    let Some(id) = id else { return Ok(facts.groups().to_vec()) };
    facts.group_called(id).map(|group| vec![group.clone()]).ok_or_else(|| {
        let its: Vec<_> = facts.groups().iter().map(Group::id).collect();
        OtherGroup { its: its.join(", ") }
    })
}
