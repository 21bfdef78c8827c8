//! `getStoresUnderAccount`: the stores of a company, or of one merchant account; streamed.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use super::listing::{self, Pages, Piece};
use super::members::Members;
use super::{TerminalManagementApi, answer};
use crate::fleet::Queries;
use crate::http::problem::ClassicError;
use crate::store::fleet_store::{Address, FLEET_PAGE};
use crate::store::{CompanyCode, MerchantCode, Scope, StoreDetails, StoreError};

pub(super) async fn call(
    api: &TerminalManagementApi,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ClassicError> {
    let (caller, bytes) = api.take(headers, body, api.body_limit).await?;
    let known = &["companyAccount", "merchantAccount"];
    let members = Members::read(&bytes, "GetStoresUnderAccountRequest", known)?;
    let company = members.required_text("companyAccount")?;
    let company = api.queries.company(&caller, &company).map_err(answer::unreached)?;
    let merchant = match members.text("merchantAccount")? {
        Some(merchant) => Some(api.queries.merchant(&caller, &merchant).await.map_err(answer::unreached)?),
        None => None,
    };
    let (queries, scope) = (api.queries.clone(), caller.scope.clone());
    let stores = Stores { queries, company, scope, merchant, after: None };
    listing::answer(stores).await.map_err(answer::unread)
}

/// A store, as far as this API shows it.
///
/// Source: POS Terminal Management API, `Store`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireStore {
    store: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<WireAddress>,
    status: &'static str,
    merchant_account_code: String,
}

/// Where a store is. There is no third line here.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAddress {
    #[serde(skip_serializing_if = "Option::is_none")]
    street_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    street_address2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_or_province: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<String>,
}

impl WireStore {
    pub(super) fn of(store: StoreDetails) -> WireStore {
        WireStore {
            store: store.code.as_str().to_owned(),
            description: store.description,
            address: store.address.map(WireAddress::of).filter(|address| *address != WireAddress::default()),
            status: store.status.as_str(),
            merchant_account_code: store.merchant.as_str().to_owned(),
        }
    }
}

impl WireAddress {
    fn of(address: Address) -> WireAddress {
        WireAddress {
            street_address: address.street_address,
            street_address2: address.street_address2,
            city: address.city,
            postal_code: address.postal_code,
            state_or_province: address.state_or_province,
            country_code: address.country_code,
        }
    }
}

/// A list on its way out.
struct Stores {
    queries: Queries,
    company: CompanyCode,
    scope: Scope,
    merchant: Option<MerchantCode>,
    after: Option<StoreDetails>,
}

impl Pages for Stores {
    async fn next(&mut self) -> Result<Piece, StoreError> {
        let after = self.after.as_ref();
        let page = self.queries.stores_of(&self.company, &self.scope, self.merchant.as_ref(), after).await?;
        let is_last = page.len() < FLEET_PAGE;
        let mut text = Vec::new();
        let mut before: &[u8] = if after.is_none() { br#"{"stores":["# } else { b"," };
        for store in &page {
            text.extend_from_slice(before);
            before = b",";
            // It can always be written, and a Vec takes all of it.
            let _ = serde_json::to_writer(&mut text, &WireStore::of(store.clone()));
        }
        if page.is_empty() && after.is_none() {
            text.extend_from_slice(before);
        }
        if is_last {
            text.extend_from_slice(b"]}");
        }
        self.after = page.into_iter().next_back();
        Ok(Piece { text: Bytes::from(text), is_last })
    }
}
