//! Lists and details of stores in SQL. What writes runs inside a transaction of the writer's.

use rusqlite::{Connection, params};

use crate::store::fleet_store::{FLEET_PAGE, StoreChange, StoreId, StorePatch};
use crate::store::sqlite::fleet::{self, address_text, execute, list, one, store_of, stores};
use crate::store::{CompanyCode, MerchantCode, Scope, StoreCode, StoreDetails, StoreError};

/// '' sorts before every code. Both orders are those of keys, so nothing is sorted.
pub(super) const STORES_OF: &str = stores!(
    "FROM merchant_accounts m JOIN stores s ON s.merchant = m.code
    WHERE m.company = ?1 AND m.code >= ?2 AND (m.code > ?2 OR s.code > ?3) ORDER BY m.code, s.code LIMIT ?4"
);

pub(super) fn stores_of(
    connection: &Connection,
    company: &CompanyCode,
    scope: &Scope,
    merchant: Option<&MerchantCode>,
    after: Option<&StoreDetails>,
) -> Result<Vec<StoreDetails>, StoreError> {
    let after = after.map_or(("", ""), |after| (after.merchant.as_str(), after.code.as_str()));
    let mut merchants: Vec<&MerchantCode> = match (scope, merchant) {
        (Scope::Company, None) => {
            let values = params![company.as_str(), after.0, after.1, FLEET_PAGE.cast_signed()];
            return list(connection, STORES_OF, values, store_of);
        }
        (Scope::Merchants(merchants), None) => merchants.iter().collect(),
        (_, Some(merchant)) => {
            if scope.reaches_merchant(Some(merchant)) {
                vec![merchant]
            } else {
                Vec::new()
            }
        }
    };
    merchants.sort();
    let mut found = Vec::new();
    for merchant in merchants.into_iter().filter(|merchant| merchant.as_str() >= after.0) {
        let after = if merchant.as_str() == after.0 { after.1 } else { "" };
        let sql = stores!(
            "FROM merchant_accounts m JOIN stores s ON s.merchant = m.code
            WHERE m.company = ?1 AND m.code = ?2 AND s.code > ?3 ORDER BY s.code LIMIT ?4"
        );
        let left = (FLEET_PAGE - found.len()).cast_signed();
        found.extend(list(
            connection,
            sql,
            params![company.as_str(), merchant.as_str(), after, left],
            store_of,
        )?);
        if found.len() == FLEET_PAGE {
            break;
        }
    }
    Ok(found)
}

pub(super) fn by_id(
    connection: &Connection,
    company: &CompanyCode,
    id: &StoreId,
) -> Result<Option<StoreDetails>, StoreError> {
    let sql = stores!(
        "FROM stores s JOIN merchant_accounts m ON m.code = s.merchant WHERE s.id = ?1 AND m.company = ?2"
    );
    one(connection, sql, [id.as_str(), company.as_str()], store_of)
}

pub(super) fn update(
    connection: &Connection,
    change: StoreChange,
) -> Result<Option<StoreDetails>, StoreError> {
    let Some(before) = reached(connection, &change)? else { return Ok(None) };
    let after = patched(before, change.patch);
    execute(
        connection,
        "UPDATE stores SET status = ?3, description = ?4, address = ?5, phone_number = ?6, shopper_statement = ?7,
            external_reference = ?8 WHERE merchant = ?1 AND code = ?2",
        params![
            after.merchant.as_str(),
            after.code.as_str(),
            after.status.as_str(),
            after.description,
            address_text(after.address.as_ref())?,
            after.phone_number,
            after.shopper_statement,
            after.external_reference,
        ],
    )?;
    Ok(Some(after))
}

fn patched(before: StoreDetails, patch: StorePatch) -> StoreDetails {
    StoreDetails {
        status: patch.status.unwrap_or(before.status),
        description: patch.description.apply(before.description),
        address: patch.address.apply(before.address),
        phone_number: patch.phone_number.apply(before.phone_number),
        shopper_statement: patch.shopper_statement.apply(before.shopper_statement),
        external_reference: patch.external_reference.apply(before.external_reference),
        ..before
    }
}

fn reached(connection: &Connection, change: &StoreChange) -> Result<Option<StoreDetails>, StoreError> {
    let (merchant, store): (&MerchantCode, &StoreCode) = (&change.merchant, &change.store);
    let account = fleet::merchant_account(connection, merchant)?;
    let is_own = account.is_some_and(|account| account.company == change.company);
    if !is_own || !change.scope.reaches_merchant(Some(merchant)) {
        return Ok(None);
    }
    fleet::store_details(connection, merchant, store)
}
