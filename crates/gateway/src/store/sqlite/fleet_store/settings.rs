//! Settings of each level in SQL. What writes runs inside a transaction of the writer's.

use rusqlite::{Connection, Params, params};
use serde_json::json;

use super::events;
use crate::store::fleet_store::{
    EventKind, Level, LevelSettings, NewFleetEvent, SettingValues, SettingsChange, SettingsPatch, V1Booleans,
};
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{self, execute, one};
use crate::store::{CompanyCode, MerchantCode, StoreCode, StoreError};

pub(super) fn at(
    connection: &Connection,
    company: &CompanyCode,
    level: &Level,
) -> Result<Option<LevelSettings>, StoreError> {
    // All levels as of one moment.
    let connection = &*connection.unchecked_transaction()?;
    look(connection, company, level)
}

/// As [`at`], within a transaction.
fn look(
    connection: &Connection,
    company: &CompanyCode,
    level: &Level,
) -> Result<Option<LevelSettings>, StoreError> {
    let Some((merchant, store)) = accounts(connection, company, level)? else { return Ok(None) };
    let mut set = Vec::with_capacity(4);
    set.extend(of_company(connection, company)?);
    if let Some(merchant) = &merchant {
        set.extend(of_merchant(connection, merchant)?);
        if let Some(store) = &store {
            set.extend(of_store(connection, merchant, store)?);
        }
    }
    if let Level::Terminal(poi) = level {
        set.extend(of_terminal(connection, poi.as_str())?);
    }
    let Some(own) = set.pop() else { return Ok(None) };
    let revision = set.iter().chain([&own]).map(|set| set.revision).max().unwrap_or_default();
    let inherited =
        set.into_iter().fold(SettingValues::default(), |inherited, set| set.values.over(inherited));
    Ok(Some(LevelSettings {
        level: level.clone(),
        company: company.clone(),
        merchant,
        own: own.values,
        inherited,
        revision: revision.cast_unsigned(),
    }))
}

/// Merchant account and store that a level of this company belongs to; none when there is no such level.
type Accounts = (Option<MerchantCode>, Option<StoreCode>);

fn accounts(
    connection: &Connection,
    company: &CompanyCode,
    level: &Level,
) -> Result<Option<Accounts>, StoreError> {
    let is_own = |merchant: &MerchantCode| -> Result<bool, StoreError> {
        let account = fleet::merchant_account(connection, merchant)?;
        Ok(account.is_some_and(|account| account.company == *company))
    };
    Ok(match level {
        Level::Company(code) => {
            (code == company && fleet::company(connection, code)?.is_some()).then_some((None, None))
        }
        Level::Merchant(merchant) => is_own(merchant)?.then(|| (Some(merchant.clone()), None)),
        Level::Store(merchant, store) => {
            let is_there = is_own(merchant)? && fleet::store_details(connection, merchant, store)?.is_some();
            is_there.then(|| (Some(merchant.clone()), Some(store.clone())))
        }
        Level::Terminal(poi) => {
            let terminal = fleet::own_terminal(connection, company, poi)?;
            terminal.map(|terminal| (terminal.place.merchant().cloned(), terminal.place.store().cloned()))
        }
    })
}

/// What is set at one level.
struct Set {
    values: SettingValues,
    revision: i64,
}

impl SettingValues {
    /// These, and the others where nothing is set.
    fn over(self, others: SettingValues) -> SettingValues {
        SettingValues {
            web_sockets_enabled: self.web_sockets_enabled.or(others.web_sockets_enabled),
            terminal_api_enabled: self.terminal_api_enabled.or(others.terminal_api_enabled),
            v1_booleans: self.v1_booleans.or(others.v1_booleans),
            display_label: self.display_label.or(others.display_label),
        }
    }
}

fn of_company(connection: &Connection, company: &CompanyCode) -> Result<Option<Set>, StoreError> {
    let sql = "SELECT code AS name, web_sockets_enabled, terminal_api_enabled, v1_booleans, display_label,
        settings_revision FROM companies WHERE code = ?1";
    set_of(connection, "companies", sql, [company.as_str()])
}

fn of_merchant(connection: &Connection, merchant: &MerchantCode) -> Result<Option<Set>, StoreError> {
    let sql = "SELECT code AS name, web_sockets_enabled, terminal_api_enabled, v1_booleans, display_label,
        settings_revision FROM merchant_accounts WHERE code = ?1";
    set_of(connection, "merchant_accounts", sql, [merchant.as_str()])
}

fn of_store(
    connection: &Connection,
    merchant: &MerchantCode,
    store: &StoreCode,
) -> Result<Option<Set>, StoreError> {
    let sql = "SELECT code AS name, web_sockets_enabled, terminal_api_enabled, v1_booleans, display_label,
        settings_revision FROM stores WHERE merchant = ?1 AND code = ?2";
    set_of(connection, "stores", sql, [merchant.as_str(), store.as_str()])
}

fn of_terminal(connection: &Connection, poi: &str) -> Result<Option<Set>, StoreError> {
    let sql = "SELECT poi_id AS name, web_sockets_enabled, terminal_api_enabled, NULL AS v1_booleans,
        display_label, settings_revision FROM terminals WHERE poi_id = ?1";
    set_of(connection, "terminals", sql, [poi])
}

fn set_of(
    connection: &Connection,
    table: &'static str,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<Set>, StoreError> {
    one(connection, sql, parameters, |row| {
        let columns = Columns::new(row, table, "name")?;
        Ok(Set {
            values: SettingValues {
                web_sockets_enabled: columns.get("web_sockets_enabled")?,
                terminal_api_enabled: columns.get("terminal_api_enabled")?,
                v1_booleans: columns.parse_option("v1_booleans", v1_booleans)?,
                display_label: columns.get("display_label")?,
            },
            revision: columns.get("settings_revision")?,
        })
    })
}

pub(super) fn v1_booleans(word: &str) -> Result<V1Booleans, String> {
    V1Booleans::parse(word).ok_or_else(|| format!("expected an encoding of booleans, got {word:?}"))
}

pub(super) fn change(
    connection: &Connection,
    change: &SettingsChange,
) -> Result<Option<LevelSettings>, StoreError> {
    let before = look(connection, &change.company, &change.level)?
        .filter(|found| change.scope.reaches_merchant(found.merchant.as_ref()));
    let Some(before) = before else { return Ok(None) };
    let after = patched(&before.own, &change.patch, &change.level);
    let members = differences(&before.own, &after);
    if members.is_empty() {
        return Ok(Some(before));
    }
    let revision = next_revision(connection)?;
    write(connection, &change.level, &after, revision)?;
    write_event(connection, change, &before, &members, revision)?;
    look(connection, &change.company, &change.level)
}

fn patched(before: &SettingValues, patch: &SettingsPatch, level: &Level) -> SettingValues {
    let patch = patch.clone();
    SettingValues {
        web_sockets_enabled: patch.web_sockets_enabled.apply(before.web_sockets_enabled),
        terminal_api_enabled: patch.terminal_api_enabled.apply(before.terminal_api_enabled),
        v1_booleans: match level {
            Level::Terminal(_) => None,
            _ => patch.v1_booleans.apply(before.v1_booleans),
        },
        display_label: patch.display_label.apply(before.display_label.clone()),
    }
}

fn differences(before: &SettingValues, after: &SettingValues) -> Vec<&'static str> {
    let differ = [
        ("webSocketsEnabled", before.web_sockets_enabled != after.web_sockets_enabled),
        ("terminalApiEnabled", before.terminal_api_enabled != after.terminal_api_enabled),
        ("v1Booleans", before.v1_booleans != after.v1_booleans),
        ("displayLabel", before.display_label != after.display_label),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(member, _)| member).collect()
}

fn write(
    connection: &Connection,
    level: &Level,
    values: &SettingValues,
    revision: i64,
) -> Result<(), StoreError> {
    let v1_booleans = values.v1_booleans.map(V1Booleans::as_str);
    let (sockets, api) = (values.web_sockets_enabled, values.terminal_api_enabled);
    let label = values.display_label.as_deref();
    match level {
        Level::Company(code) => execute(
            connection,
            "UPDATE companies SET web_sockets_enabled = ?2, terminal_api_enabled = ?3, v1_booleans = ?4,
                display_label = ?5, settings_revision = ?6 WHERE code = ?1",
            params![code.as_str(), sockets, api, v1_booleans, label, revision],
        ),
        Level::Merchant(code) => execute(
            connection,
            "UPDATE merchant_accounts SET web_sockets_enabled = ?2, terminal_api_enabled = ?3, v1_booleans = ?4,
                display_label = ?5, settings_revision = ?6 WHERE code = ?1",
            params![code.as_str(), sockets, api, v1_booleans, label, revision],
        ),
        Level::Store(merchant, code) => execute(
            connection,
            "UPDATE stores SET web_sockets_enabled = ?2, terminal_api_enabled = ?3, v1_booleans = ?4,
                display_label = ?5, settings_revision = ?6 WHERE merchant = ?7 AND code = ?1",
            params![code.as_str(), sockets, api, v1_booleans, label, revision, merchant.as_str()],
        ),
        Level::Terminal(poi) => execute(
            connection,
            "UPDATE terminals SET web_sockets_enabled = ?2, terminal_api_enabled = ?3, display_label = ?4,
                settings_revision = ?5 WHERE poi_id = ?1",
            params![poi.as_str(), sockets, api, label, revision],
        ),
    }
}

fn write_event(
    connection: &Connection,
    change: &SettingsChange,
    found: &LevelSettings,
    members: &[&str],
    revision: i64,
) -> Result<(), StoreError> {
    let mut data = json!({
        "level": change.level.kind(),
        "companyAccount": change.company.as_str(),
        "user": events::user(change.by.as_ref()),
        "revision": revision,
        "members": members,
    });
    if let Some(merchant) = &found.merchant {
        data["merchantAccount"] = merchant.as_str().into();
    }
    let mut poi = None;
    match &change.level {
        Level::Company(_) | Level::Merchant(_) => {}
        Level::Store(merchant, store) => {
            data["store"] = store.as_str().into();
            data["storeId"] = events::store_id(connection, merchant, store)?.into();
        }
        Level::Terminal(terminal) => {
            data["uniqueTerminalId"] = terminal.as_str().into();
            poi = Some(terminal.clone());
        }
    }
    let (at, company) = (change.at, change.company.clone());
    events::write(connection, &NewFleetEvent { at, company, poi, kind: EventKind::SettingsModified, data })
}

/// The next revision of all settings.
pub(super) fn next_revision(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "UPDATE fleet_counters SET value = value + 1 WHERE name = 'settings_revision' RETURNING value";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

pub(super) fn revision(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT value FROM fleet_counters WHERE name = 'settings_revision'";
    let revision: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
}

pub(super) fn set_time_zone(
    connection: &Connection,
    company: &CompanyCode,
    zone: &str,
) -> Result<bool, StoreError> {
    let sql = "UPDATE companies SET time_zone = ?2 WHERE code = ?1";
    Ok(connection.prepare_cached(sql)?.execute([company.as_str(), zone])? > 0)
}
