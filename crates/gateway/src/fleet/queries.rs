//! What a caller may see and move of its company's fleet, whichever surface it asks at.
//!
//! What stays true: another company's things are answered exactly as what does not exist, by the same look-ups.

use std::sync::Arc;

use jiff::tz::TimeZone;
use nexo::PoiId;
use relay::WallMs;

use super::countries::country_name;
use super::details::{TerminalStatus, told_moment, zone_named};
use crate::access::Caller;
use crate::presence::Presence;
use crate::store::fleet_store::{CountryCode, ListFilter, Listed, TerminalRecord};
use crate::store::{CompanyCode, MerchantCode, Scope, Store, StoreCode, StoreDetails, StoreError};

/// Looks fleets up.
#[derive(Clone, Debug)]
pub(crate) struct Queries {
    store: Arc<dyn Store>,
    presence: Arc<Presence>,
}

/// Why something is out of a caller's reach.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreached {
    /// It is no company account, or not the caller's.
    #[error("it is not this credential's company account")]
    Company,
    /// It is no merchant account, or not the caller's company's, or not in the credential's scope.
    #[error("it is no merchant account that this credential may use")]
    Merchant,
    /// The merchant account has no such store.
    #[error("the merchant account has no such store")]
    Store,
    /// The store can't be asked.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// What changes with time about a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// When it was last there, or what is to become of it.
    pub(crate) status: TerminalStatus,
    /// In capitals.
    pub(crate) country: Option<&'static str>,
    /// With the offset of its company's zone.
    pub(crate) last_activity: Option<String>,
    /// With the offset of its company's zone.
    pub(crate) last_transaction: Option<String>,
}

impl Queries {
    /// Looks up in `store` what is kept, and in `presence` who is there now.
    pub(crate) fn new(store: Arc<dyn Store>, presence: Arc<Presence>) -> Queries {
        Queries { store, presence }
    }

    /// A terminal that the caller reaches.
    pub(crate) async fn terminal(
        &self,
        caller: &Caller,
        poi: &PoiId,
    ) -> Result<Option<TerminalRecord>, StoreError> {
        let found = self.store.find_terminal(&caller.company, poi).await?;
        Ok(found.filter(|record| caller.scope.reaches(&record.terminal.place)))
    }

    /// What changes with time about a terminal, as of now.
    pub(crate) fn describe(&self, record: &TerminalRecord) -> Described {
        let is_online = self.presence.is_online(&record.terminal.poi);
        describe(record, is_online, self.presence.clock().now().wall)
    }

    /// The caller's company, if this is its code.
    ///
    /// # Errors
    /// [`Unreached::Company`].
    pub(crate) fn company(&self, caller: &Caller, code: &str) -> Result<CompanyCode, Unreached> {
        if caller.company.as_str() == code { Ok(caller.company.clone()) } else { Err(Unreached::Company) }
    }

    /// A merchant account that the caller reaches.
    ///
    /// # Errors
    /// [`Unreached::Merchant`] or [`Unreached::Failed`].
    pub(crate) async fn merchant(&self, caller: &Caller, code: &str) -> Result<MerchantCode, Unreached> {
        let code = MerchantCode::parse(code).map_err(|_| Unreached::Merchant)?;
        if !caller.may_use_merchant(code.as_str()) {
            return Err(Unreached::Merchant);
        }
        match self.store.merchant_account(&code).await? {
            Some(account) if account.company == caller.company => Ok(code),
            _ => Err(Unreached::Merchant),
        }
    }

    /// A store of a merchant account that the caller reaches.
    ///
    /// # Errors
    /// [`Unreached::Store`] or [`Unreached::Failed`].
    pub(crate) async fn store(&self, merchant: &MerchantCode, code: &str) -> Result<StoreCode, Unreached> {
        let code = StoreCode::parse(code).map_err(|_| Unreached::Store)?;
        match self.store.store_details(merchant, &code).await? {
            Some(_) => Ok(code),
            None => Err(Unreached::Store),
        }
    }

    /// The next page of a list of terminals; a short one is the last. See [`Store`].
    pub(crate) async fn terminals_of(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        filter: &ListFilter,
        after: Option<&Listed>,
    ) -> Result<Vec<Listed>, StoreError> {
        self.store.terminals_of(company, scope, filter, after).await
    }

    /// The next page of a list of stores; a short one is the last. See [`Store`].
    pub(crate) async fn stores_of(
        &self,
        company: &CompanyCode,
        scope: &Scope,
        merchant: Option<&MerchantCode>,
        after: Option<&StoreDetails>,
    ) -> Result<Vec<StoreDetails>, StoreError> {
        self.store.stores_of(company, scope, merchant, after).await
    }

    /// Those of these terminals that the caller doesn't reach, each once, in the order in which they were given.
    pub(crate) async fn missing(
        &self,
        caller: &Caller,
        terminals: &[PoiId],
    ) -> Result<Vec<PoiId>, StoreError> {
        self.store.missing_terminals(&caller.company, &caller.scope, terminals).await
    }
}

fn describe(record: &TerminalRecord, is_online: bool, now: WallMs) -> Described {
    let zone: TimeZone = zone_named(&record.time_zone);
    let terminal = &record.terminal;
    // Activity is noted once a minute at most; that it has connected is known at once.
    let last_there = record.last_activity.max(terminal.last_hello);
    let pending = terminal.pending.as_ref().map(|pending| &pending.to);
    let store_address = record.store.as_ref().and_then(|store| store.address.as_ref());
    let of_store = store_address.and_then(|address| address.country_code.as_deref());
    let country = record.country.as_ref().map(CountryCode::as_str).or(of_store);
    Described {
        status: TerminalStatus::of(pending, is_online, last_there, &zone, now),
        country: country.and_then(country_name),
        last_activity: last_there.and_then(|at| told_moment(at, &zone, now)),
        last_transaction: record.last_transaction.and_then(|at| told_moment(at, &zone, now)),
    }
}
