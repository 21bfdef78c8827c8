//! `payment`: a desktop asks for a payment.

use bytes::Bytes;
use relay::actions::{ClientError, PaymentAsk, PaymentComplete, PaymentFailure, PaymentOutcome, ToClient};
use relay::{ConnectionId, WallMs};

use super::{ActionsApi, Visitor};
use crate::actions::payments::{Beginning, NotBegun, PaymentOf};
use crate::actions::terminals::{NoTarget, Target};
use crate::clock::rfc3339;
use crate::ids;

/// What a desktop hears whose key has as many payments open as may be. Ours: the page has no word for it.
const TOO_MANY_OPEN: &str = "Too many payments of this API key are open (limit exchanges_per_key). This frame has begun nothing: \
                             send it again later.";

/// Reads what is asked for.
///
/// # Errors
/// What the desktop hears.
pub(super) fn read(payment_request: &Bytes, now: WallMs) -> Result<PaymentAsk, ClientError> {
    PaymentAsk::read(payment_request, || ids::transaction_name(now))
}

/// Begins a payment, or joins the one that it repeats. What becomes of it comes as a push; what is to be said at once is
/// returned.
///
/// # Errors
/// What the desktop hears; then this frame has begun nothing.
pub(super) async fn begin(
    api: &ActionsApi,
    visitor: &Visitor,
    connection: &ConnectionId,
    terminal_id: &str,
    ask: PaymentAsk,
) -> Result<Option<ToClient>, ClientError> {
    let target = api.terminals.resolve(&visitor.caller.company, &visitor.groups, terminal_id).await;
    let beginning = match target.and_then(Target::connected) {
        Ok(Target { poi, group, .. }) => {
            let payment = PaymentOf {
                caller: visitor.caller.clone(),
                device: visitor.device.clone(),
                connection: Some(connection.clone()),
                poi,
                called: terminal_id.into(),
                group,
                ask: ask.clone(),
            };
            api.payments.begin(payment).await.map_err(|error| failed(&error))?
        }
        // A payment of before is answered for also when its terminal is away, has another connection now, or was moved.
        Err(NoTarget::Store(error)) => return Err(no_target(NoTarget::Store(error))),
        Err(why) => {
            known(api, visitor, connection, terminal_id, &ask).await?.ok_or_else(|| no_target(why))?
        }
    };
    let is_clash = matches!(beginning, Beginning::Clashes);
    Ok(is_clash.then(|| duplicate(terminal_id, &ask, api.presence.clock().now().wall)))
}

async fn known(
    api: &ActionsApi,
    visitor: &Visitor,
    connection: &ConnectionId,
    terminal_id: &str,
    ask: &PaymentAsk,
) -> Result<Option<Beginning>, ClientError> {
    let found = api.payments.repeat(&visitor.caller, Some(connection), terminal_id, ask).await;
    found.map_err(|error| failed(&error))
}

/// Another payment has this name: that one goes on untouched.
fn duplicate(terminal_id: &str, ask: &PaymentAsk, now: WallMs) -> ToClient {
    let outcome = PaymentOutcome::failed(ask, PaymentFailure::DuplicateTransactionId, now);
    let complete = PaymentComplete {
        terminal_id: terminal_id.to_owned(),
        device_id: None,
        connection_id: None,
        payment_response: outcome.payment_response,
        late: false,
        timestamp: rfc3339(now),
        group_id: None,
    };
    ToClient::PaymentComplete(Box::new(complete))
}

/// What a desktop hears whose terminal can't be used.
fn no_target(why: NoTarget) -> ClientError {
    match why {
        NoTarget::NotConnected | NoTarget::Unknown => ClientError::TERMINAL_NOT_FOUND,
        NoTarget::NoSuchConnection => ClientError::CONNECTION_NOT_FOUND,
        NoTarget::OtherGroup => ClientError::OTHER_GROUP,
        NoTarget::Store(error) => {
            tracing::error!(%error, "a terminal can't be looked up");
            ClientError::FAILED
        }
    }
}

fn failed(error: &NotBegun) -> ClientError {
    match error {
        NotBegun::TooMany => return ClientError::over_limit(TOO_MANY_OPEN),
        NotBegun::Stopping => {}
        NotBegun::TooLate => tracing::warn!("a payment was refused because the store is too slow"),
        NotBegun::Store(error) => {
            tracing::error!(%error, "a payment was refused because the store can't be used");
        }
    }
    ClientError::FAILED
}
