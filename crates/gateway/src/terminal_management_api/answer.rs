//! What could not be done, as the classic error object.

use axum::http::StatusCode;

use crate::access::TooOften;
use crate::fleet::Unreached;
use crate::http::problem::{ClassicError, ErrorType};
use crate::store::{AssignError, Entity, Place, StoreError};

/// One text for what is unknown and for what is somebody else's.
pub(super) fn terminal_not_found() -> ClassicError {
    ClassicError::unprocessable("000", "Terminal not found")
}

/// The same for several, as they were asked for.
pub(super) fn terminals_not_found<'a>(terminals: impl IntoIterator<Item = &'a str>) -> ClassicError {
    let named: Vec<_> = terminals.into_iter().collect();
    ClassicError::unprocessable("000", format!("Terminals not found: {}", named.join(", ")))
}

/// The store failed while something was read.
pub(super) fn unread(error: StoreError) -> ClassicError {
    tracing::error!(%error, "fleet software was refused because the store can't be read");
    ClassicError::try_again(
        StatusCode::SERVICE_UNAVAILABLE,
        "The fleet can't be read now. Nothing was changed; try again.",
    )
}

/// Asked for too often.
pub(super) fn too_often(TooOften { limit, wait }: TooOften) -> ClassicError {
    let message = format!(
        "Too many requests of this kind with this API credential (limit {limit}). This API is not for polling. Wait, then \
         repeat it."
    );
    ClassicError::try_again(StatusCode::TOO_MANY_REQUESTS, message).retry_after(wait)
}

/// Accounts and stores that the caller doesn't reach, or that are not there.
pub(super) fn unreached(error: Unreached) -> ClassicError {
    match error {
        Unreached::Company => invalid_company(),
        Unreached::Merchant => ClassicError::invalid_merchant_account(),
        Unreached::Store => store_not_found(),
        Unreached::Failed(error) => unread(error),
    }
}

/// Why terminals were not assigned.
pub(super) fn not_assigned(error: AssignError) -> ClassicError {
    match error {
        AssignError::NotFound(terminals) => terminals_not_found(terminals.iter().map(nexo::PoiId::as_str)),
        AssignError::Missing(Entity::MerchantAccount(_)) => ClassicError::invalid_merchant_account(),
        AssignError::Missing(Entity::Store(..)) => store_not_found(),
        AssignError::Missing(_) => invalid_company(),
        AssignError::OutOfScope(Place::CompanyInventory) => ClassicError::forbidden(
            "Not allowed: the API credential is for some merchant accounts, not for the company's inventory.",
        ),
        AssignError::OutOfScope(_) => ClassicError::invalid_merchant_account(),
        AssignError::MerchantHasStores(merchant) => ClassicError::unprocessable(
            "000",
            format!(
                "Merchant account {merchant} has stores: assign terminals to one of these, or to the merchant account's \
                 inventory (merchantInventory true)"
            ),
        ),
        AssignError::Store(error) => {
            tracing::error!(%error, "terminals were not assigned because the store failed");
            ClassicError::try_again(
                StatusCode::SERVICE_UNAVAILABLE,
                "The terminals can't be assigned now. Try again: to assign twice is as good as once.",
            )
        }
    }
}

/// No company account, or not the caller's.
fn invalid_company() -> ClassicError {
    ClassicError::new(StatusCode::FORBIDDEN, "901", "Invalid Company Account", ErrorType::Security)
}

fn store_not_found() -> ClassicError {
    ClassicError::unprocessable("000", "The store was not found under this merchant account")
}
