//! The Cloud device API: the same exchanges by a path that names the merchant account and the device, with errors as RFC 7807
//! has them.
//!
//! Source: Cloud device API v1.

mod answer;
mod connected_devices;
mod send;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, Uri};
use axum::routing::{get, post};
use nexo::PoiId;

use super::SaleApi;
use super::take::Refused;
use crate::access::{Caller, Denied, Role};
use crate::store::{MerchantCode, StoreError};

pub(super) fn router() -> Router<Arc<SaleApi>> {
    let other_method = |api, uri| async { answer::other_method(api, uri) };
    let device = "/v1/merchants/{merchantAccount}/devices/{deviceId}";
    Router::new()
        .route(&format!("{device}/sync"), post(send::sync).fallback(other_method))
        .route(&format!("{device}/async"), post(send::r#async).fallback(other_method))
        .route(&format!("{device}/status"), get(status::call).fallback(other_method))
        .route(
            "/v1/merchants/{merchantAccount}/connectedDevices",
            get(connected_devices::call).fallback(other_method),
        )
}

/// The request's path as it came, for the member `instance` of an error.
type Instance = Uri;

/// The parameters of a path, percent-decoded, or why they can't be.
type Parameters<T> = Result<Path<T>, PathRejection>;

/// Why a call was not answered as asked.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// As in the other dialect.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What the path says is no UTF-8 once percent-decoded.
    #[error("the path can't be read: {0}")]
    Path(#[from] PathRejection),
    /// The query can't be read.
    #[error("{0}")]
    Query(String),
    /// There is no such merchant account, or it is not the credential's: nobody can tell which.
    #[error("there is no merchant account \"{0}\" that the API credential may use")]
    NoMerchant(String),
    /// The merchant account has no such store.
    #[error("the merchant account has no store \"{0}\"")]
    NoStore(String),
    /// The device is the company's, and at a merchant account that the credential may not use.
    #[error("the API credential may not use this device's merchant account")]
    OutOfScope,
    /// The device is the company's, and the credential's to use, and not at the merchant account of the path.
    #[error("the device \"{device}\" is not at the merchant account \"{merchant}\"")]
    Elsewhere {
        /// Of the path.
        device: String,
        /// Of the path.
        merchant: String,
    },
    /// The message is for another terminal than the path.
    #[error("the path names the device \"{device}\", the message the POIID \"{poi}\"")]
    OtherDevice {
        /// Of the path.
        device: String,
        /// Of the message.
        poi: String,
    },
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        Refused::from(denied).into()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refused::from(crate::exchange::NotTaken::from(error)).into()
    }
}

/// Who calls.
async fn caller(api: &SaleApi, headers: &HeaderMap) -> Result<Arc<Caller>, Denied> {
    api.access.authenticate(headers).await?.require(Role::CloudDeviceApi)
}

/// The merchant account of the path. One that is another company's is refused like one that is not there.
async fn merchant(api: &SaleApi, caller: &Caller, merchant: &str) -> Result<MerchantCode, Refusal> {
    match MerchantCode::parse(merchant) {
        Ok(code)
            if caller.may_use_merchant(code.as_str())
                && api.directory.has_merchant(&caller.company, &code).await? =>
        {
            Ok(code)
        }
        _ => Err(Refusal::NoMerchant(merchant.to_owned())),
    }
}

/// The device of the path, at the merchant account of the path; none when there is no such device, or it is another
/// company's, which nobody can tell apart.
async fn device(
    api: &SaleApi,
    caller: &Caller,
    (merchant, device): (&str, &str),
) -> Result<Option<PoiId>, Refusal> {
    let poi = PoiId::parse(device).ok();
    let terminal = match &poi {
        Some(poi) => api.directory.terminal(poi).await?.filter(|t| t.company == caller.company),
        None => None,
    };
    let at = terminal.as_ref().and_then(|terminal| terminal.place.merchant()).map(MerchantCode::as_str);
    if at == Some(merchant) && caller.may_use_merchant(merchant) {
        return Ok(poi); // So the merchant account is there, and the company's.
    }
    self::merchant(api, caller, merchant).await?;
    match terminal {
        None => Ok(None),
        Some(terminal) if !caller.may_use_place(&terminal.place) => Err(Refusal::OutOfScope),
        Some(_) => Err(Refusal::Elsewhere { device: device.to_owned(), merchant: merchant.to_owned() }),
    }
}
