//! POS requests come in, in two dialects: the classic endpoints of the Terminal API, and the Cloud device API.
//!
//! Both are one door to the same exchanges: a payment that was begun in one dialect can be watched and ended in the other.
//! [`take`] is what they share; each has an `answer.rs` that says in one `match` how an answer is written.

mod classic;
mod cloud_device;

mod message;
mod prefer;
mod reading;
mod take;
mod told_body;

use std::sync::Arc;

use axum::Router;

use crate::access::Access;
use crate::actions::payments::Payments;
use crate::exchange::Exchanges;
use crate::fleet::Directory;
use crate::http::body::BodyLimits;
use crate::presence::Presence;

/// What both dialects use.
pub(crate) struct SaleApi {
    pub(crate) access: Arc<Access>,
    pub(crate) exchanges: Arc<Exchanges>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) presence: Arc<Presence>,
    /// Those of desktops: a Sale system may read how one ended.
    pub(crate) payments: Arc<Payments>,
    /// Of POS messages.
    pub(crate) body: BodyLimits,
}

impl SaleApi {
    /// The paths of both dialects.
    pub(crate) fn router(self) -> Router {
        Router::new().merge(classic::router()).merge(cloud_device::router()).with_state(Arc::new(self))
    }
}
