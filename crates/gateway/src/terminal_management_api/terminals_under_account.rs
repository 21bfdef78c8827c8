//! `getTerminalsUnderAccount`: who is where, in a company, a merchant account or a store; streamed.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;

use super::listing::{self, Pages, Piece};
use super::members::{Members, missing};
use super::{TerminalManagementApi, answer};
use crate::fleet::Queries;
use crate::http::problem::ClassicError;
use crate::store::fleet_store::{FLEET_PAGE, ListFilter, Listed};
use crate::store::{CompanyCode, MerchantCode, Place, Scope, StoreError};

pub(super) async fn call(
    api: &TerminalManagementApi,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ClassicError> {
    let (caller, bytes) = api.take(headers, body, api.body_limit).await?;
    let known = &["companyAccount", "merchantAccount", "store"];
    let members = Members::read(&bytes, "GetTerminalsUnderAccountRequest", known)?;
    let company = members.required_text("companyAccount")?;
    let (merchant, store) = (members.text("merchantAccount")?, members.text("store")?);
    if store.is_some() && merchant.is_none() {
        return Err(missing("merchantAccount"));
    }
    api.access.pace_list(&caller.credential).map_err(answer::too_often)?;
    let company = api.queries.company(&caller, &company).map_err(answer::unreached)?;
    let filter = match merchant {
        None => ListFilter::All,
        Some(merchant) => {
            let merchant = api.queries.merchant(&caller, &merchant).await.map_err(answer::unreached)?;
            match store {
                None => ListFilter::Merchant(merchant),
                Some(store) => {
                    let store = api.queries.store(&merchant, &store).await.map_err(answer::unreached)?;
                    ListFilter::Store(merchant, store)
                }
            }
        }
    };
    let terminals = Terminals {
        queries: api.queries.clone(),
        written: Written::begin(&company),
        company,
        scope: caller.scope.clone(),
        filter,
        after: None,
    };
    listing::answer(terminals).await.map_err(answer::unread)
}

/// A list on its way out.
struct Terminals {
    queries: Queries,
    company: CompanyCode,
    scope: Scope,
    filter: ListFilter,
    after: Option<Listed>,
    written: Written,
}

impl Pages for Terminals {
    async fn next(&mut self) -> Result<Piece, StoreError> {
        let page =
            self.queries.terminals_of(&self.company, &self.scope, &self.filter, self.after.as_ref()).await?;
        let is_last = page.len() < FLEET_PAGE;
        for terminal in &page {
            self.written.push(terminal);
        }
        self.after = page.into_iter().next_back();
        if is_last {
            self.written.end();
        }
        Ok(Piece { text: self.written.take(), is_last })
    }
}

/// The answer as far as it is written: terminals come in its order, so that all it has to know is where it stands.
#[derive(Debug)]
struct Written {
    text: Vec<u8>,
    at: Option<Place>,
    has_merchants: bool,
}

impl Written {
    fn begin(company: &CompanyCode) -> Written {
        let mut written = Written { text: Vec::new(), at: None, has_merchants: false };
        written.raw(r#"{"companyAccount":"#);
        written.quoted(company.as_str());
        written
    }

    /// Writes one terminal. Places have to come in the order of the answer.
    fn push(&mut self, Listed { poi, place }: &Listed) {
        if self.at.as_ref() == Some(place) {
            self.raw(",");
        } else {
            self.move_to(place);
        }
        self.quoted(poi.as_str());
    }

    fn end(&mut self) {
        self.leave(None);
        self.raw(if self.has_merchants { "]}" } else { "}" });
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.text))
    }

    fn move_to(&mut self, place: &Place) {
        let former = self.leave(Some(place));
        if let Some(merchant) = place.merchant().filter(|merchant| former.merchant() != Some(*merchant)) {
            self.open_merchant(merchant);
        }
        match place {
            Place::CompanyInventory | Place::MerchantInventory(_) => self.raw(r#","inventoryTerminals":["#),
            Place::MerchantInStore(_) => self.raw(r#","inStoreTerminals":["#),
            Place::Store { merchant, store } => {
                let is_next = matches!(&former, Place::Store { merchant: former, .. } if former == merchant);
                self.raw(if is_next { r#",{"store":"# } else { r#","stores":[{"store":"# });
                self.quoted(store.as_str());
                self.raw(r#","inStoreTerminals":["#);
            }
        }
        self.at = Some(place.clone());
    }

    fn open_merchant(&mut self, merchant: &MerchantCode) {
        self.raw(if self.has_merchants { "," } else { r#","merchantAccounts":["# });
        self.has_merchants = true;
        self.raw(r#"{"merchantAccount":"#);
        self.quoted(merchant.as_str());
    }

    /// Closes what is open and does not hold `next`, too. Where it stood; before all places that is as in the inventory of
    /// the company, which has no merchant account either.
    fn leave(&mut self, next: Option<&Place>) -> Place {
        let Some(place) = self.at.take() else { return Place::CompanyInventory };
        let stays_at_merchant = next.is_some_and(|next| next.merchant() == place.merchant());
        self.raw(match (&place, stays_at_merchant) {
            (Place::CompanyInventory, _) => "]",
            (Place::MerchantInventory(_) | Place::MerchantInStore(_), true) => "]",
            (Place::MerchantInventory(_) | Place::MerchantInStore(_), false) => "]}",
            (Place::Store { .. }, true) => "]}",
            (Place::Store { .. }, false) => "]}]}",
        });
        place
    }

    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn quoted(&mut self, text: &str) {
        // A text can always be written, and a Vec takes all of it.
        let _ = serde_json::to_writer(&mut self.text, text);
    }
}

#[cfg(test)]
mod tests {
    use nexo::PoiId;
    use serde_json::{Value, json};

    use super::*;
    use crate::store::StoreCode;

    fn merchant(code: &str) -> MerchantCode {
        MerchantCode::parse(code).unwrap()
    }

    fn store(of: &str, code: &str) -> Place {
        Place::Store { merchant: merchant(of), store: StoreCode::parse(code).unwrap() }
    }

    fn written(terminals: &[(&str, Place)]) -> Value {
        let mut written = Written::begin(&CompanyCode::parse("CO").unwrap());
        let mut text = Vec::new();
        for (poi, place) in terminals {
            written.push(&Listed { poi: PoiId::parse(poi).unwrap(), place: place.clone() });
            text.extend(written.take());
        }
        written.end();
        text.extend(written.take());
        serde_json::from_slice(&text)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
    }

    #[test]
    fn all_places_have_their_lists() {
        let list = written(&[
            ("A-1", Place::CompanyInventory),
            ("A-2", Place::CompanyInventory),
            ("B-\"1", Place::MerchantInventory(merchant("M1"))),
            ("B-2", Place::MerchantInStore(merchant("M1"))),
            ("C-1", Place::MerchantInventory(merchant("M2"))),
            ("C-2", store("M2", "S1")),
            ("C-3", store("M2", "S1")),
            ("C-4", store("M2", "S2")),
            ("D-1", store("M3", "S2")),
            ("E-1", Place::MerchantInStore(merchant("M4"))),
        ]);
        assert_eq!(
            list,
            json!({"companyAccount": "CO", "inventoryTerminals": ["A-1", "A-2"], "merchantAccounts": [
                {"merchantAccount": "M1", "inventoryTerminals": ["B-\"1"], "inStoreTerminals": ["B-2"]},
                {"merchantAccount": "M2", "inventoryTerminals": ["C-1"], "stores": [
                    {"store": "S1", "inStoreTerminals": ["C-2", "C-3"]},
                    {"store": "S2", "inStoreTerminals": ["C-4"]}]},
                {"merchantAccount": "M3", "stores": [{"store": "S2", "inStoreTerminals": ["D-1"]}]},
                {"merchantAccount": "M4", "inStoreTerminals": ["E-1"]}]})
        );
    }

    #[test]
    fn every_sequence_of_places_is_one_json_object() {
        let places = [
            Place::CompanyInventory,
            Place::MerchantInventory(merchant("M1")),
            Place::MerchantInStore(merchant("M1")),
            store("M1", "S1"),
            store("M1", "S2"),
            Place::MerchantInventory(merchant("M2")),
            store("M2", "S1"),
        ];
        for chosen in 0..1_u32 << places.len() {
            let listed: Vec<_> = (0..places.len())
                .filter(|n| chosen & (1 << n) != 0)
                .map(|n| ("T-1", places[n].clone()))
                .collect();
            let list = written(&listed).to_string();
            assert_eq!(list.matches("T-1").count(), listed.len(), "{list}");
        }
        assert_eq!(written(&[]), json!({"companyAccount": "CO"}));
    }
}
