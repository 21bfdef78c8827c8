//! Looking terminals and accounts up, with a short memory so that the hot path seldom asks the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nexo::PoiId;

use crate::clock::Clock;
use crate::store::{CompanyCode, MerchantCode, Store, StoreCode, StoreError, TERMINALS_PER_PAGE, Terminal};

/// How long a looked-up terminal is believed. A change by another process takes effect within this time.
const FRESH: Duration = Duration::from_secs(1);

/// Terminals that are remembered at once: those with traffic within [`FRESH`], at the most requests that one node takes.
const REMEMBERED_MAX: usize = 20_000;

/// Terminals and accounts, as the store has them.
#[derive(Debug)]
pub(crate) struct Directory {
    store: Arc<dyn Store>,
    clock: Clock,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    terminals: HashMap<PoiId, Remembered>,
    /// How often anything was forgotten: what was read before that is not remembered after it.
    forgotten: u64,
}

#[derive(Debug)]
struct Remembered {
    at: Duration,
    terminal: Option<Arc<Terminal>>,
}

impl Directory {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Directory {
        Directory { store, clock, memory: Mutex::default() }
    }

    /// A terminal, whosever it is; at most [`FRESH`] old.
    pub(crate) async fn terminal(&self, poi: &PoiId) -> Result<Option<Arc<Terminal>>, StoreError> {
        let now = self.clock.now().mono;
        let forgotten = {
            let memory = self.memory();
            if let Some(known) =
                memory.terminals.get(poi).filter(|known| now.saturating_sub(known.at) < FRESH)
            {
                return Ok(known.terminal.clone());
            }
            memory.forgotten
        };
        let terminal = self.store.terminal(poi).await?.map(Arc::new);
        let mut memory = self.memory();
        if memory.forgotten != forgotten {
            return Ok(terminal);
        }
        let terminals = &mut memory.terminals;
        if terminals.len() >= REMEMBERED_MAX {
            terminals.retain(|_, known| now.saturating_sub(known.at) < FRESH);
        }
        if terminals.len() < REMEMBERED_MAX {
            terminals.insert(poi.clone(), Remembered { at: now, terminal: terminal.clone() });
        }
        Ok(terminal)
    }

    /// This terminal has changed: it is read anew.
    pub(crate) fn forget(&self, poi: &PoiId) {
        let mut memory = self.memory();
        memory.forgotten = memory.forgotten.wrapping_add(1);
        memory.terminals.remove(poi);
    }

    /// Many terminals may have changed.
    pub(crate) fn forget_all(&self) {
        let mut memory = self.memory();
        memory.forgotten = memory.forgotten.wrapping_add(1);
        memory.terminals.clear();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this company has such a merchant account.
    pub(crate) async fn has_merchant(
        &self,
        company: &CompanyCode,
        merchant: &MerchantCode,
    ) -> Result<bool, StoreError> {
        Ok(self.store.merchant_account(merchant).await?.is_some_and(|account| account.company == *company))
    }

    /// Whether this merchant account has such a store.
    pub(crate) async fn has_store(
        &self,
        merchant: &MerchantCode,
        store: &StoreCode,
    ) -> Result<bool, StoreError> {
        Ok(self.store.store_details(merchant, store).await?.is_some())
    }

    /// The terminals of a merchant account and its stores, or of one store, sorted, that `keep` holds for.
    pub(crate) async fn terminals_at(
        &self,
        company: &CompanyCode,
        merchant: &MerchantCode,
        store: Option<&StoreCode>,
        keep: impl Fn(&PoiId) -> bool,
    ) -> Result<Vec<PoiId>, StoreError> {
        let mut kept = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.terminals_at(company, merchant, store, after.as_ref()).await?;
            let last = page.len() < TERMINALS_PER_PAGE;
            after = page.last().map(|terminal| terminal.poi.clone());
            kept.extend(page.into_iter().map(|terminal| terminal.poi).filter(&keep));
            if last {
                return Ok(kept);
            }
        }
    }
}
