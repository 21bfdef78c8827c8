//! Companies, accounts, terminals and boarding in SQL. What writes runs inside a transaction of the writer's.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use nexo::PoiId;
use relay::{JournalId, WallMs};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::actions;
use super::columns::Columns;
use crate::store::{
    BoardRefused, Boarded, CodeError, CodeHash, Company, CompanyCode, Entity, FleetError, MerchantAccount,
    MerchantCode, NewTerminal, Place, StoreCode, StoreDetails, StoreError, StoreStatus, TERMINALS_PER_PAGE,
    Terminal, TokenHash, TokenStanding, TokenState,
};

/// Wrong boarding codes that lock a terminal or an address.
const WRONG_CODES_MAX: i64 = 5;

/// How long it is locked then; also how long a wrong code is remembered.
const LOCK: Duration = Duration::from_secs(15 * 60);

/// How long a boarding code is good again for a terminal that lost the reply.
const CODE_AGAIN: Duration = Duration::from_secs(10 * 60);

/// How long a token that has ended may still hand in results.
const ENDED_TOKEN: Duration = Duration::from_secs(48 * 60 * 60);

pub(super) fn create_company(connection: &Connection, company: &Company) -> Result<(), FleetError> {
    if self::company(connection, &company.code)?.is_some() {
        return Err(FleetError::AlreadyExists(Entity::Company(company.code.clone())));
    }
    let sql = "INSERT INTO companies (code, description) VALUES (?1, ?2)";
    Ok(execute(connection, sql, params![company.code.as_str(), company.description])?)
}

pub(super) fn create_merchant_account(
    connection: &Connection,
    account: &MerchantAccount,
) -> Result<(), FleetError> {
    if merchant_account(connection, &account.code)?.is_some() {
        return Err(FleetError::AlreadyExists(Entity::MerchantAccount(account.code.clone())));
    }
    company_is_there(connection, &account.company)?;
    let sql = "INSERT INTO merchant_accounts (code, company, description) VALUES (?1, ?2, ?3)";
    Ok(execute(
        connection,
        sql,
        params![account.code.as_str(), account.company.as_str(), account.description],
    )?)
}

pub(super) fn create_store(connection: &Connection, store: &StoreDetails) -> Result<(), FleetError> {
    if store_details(connection, &store.merchant, &store.code)?.is_some() {
        return Err(FleetError::AlreadyExists(Entity::Store(store.merchant.clone(), store.code.clone())));
    }
    if merchant_account(connection, &store.merchant)?.is_none() {
        return Err(FleetError::Missing(Entity::MerchantAccount(store.merchant.clone())));
    }
    let (count, first) = in_store_of_its_own(connection, &store.merchant)?;
    if count > 0 {
        return Err(FleetError::HoldsInStoreTerminals { merchant: store.merchant.clone(), count, first });
    }
    let sql = "INSERT INTO stores (merchant, code, description, status) VALUES (?1, ?2, ?3, ?4)";
    let values =
        params![store.merchant.as_str(), store.code.as_str(), store.description, store.status.as_str()];
    Ok(execute(connection, sql, values)?)
}

pub(super) fn add_terminal(connection: &Connection, terminal: &NewTerminal) -> Result<(), FleetError> {
    if self::terminal(connection, &terminal.poi)?.is_some() {
        return Err(FleetError::AlreadyExists(Entity::Terminal(terminal.poi.clone())));
    }
    check_place(connection, &terminal.company, &terminal.place)?;
    let sql = "INSERT INTO terminals (poi_id, company, place, merchant, store, platform, display_label)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let values = params![
        terminal.poi.as_str(),
        terminal.company.as_str(),
        place_word(&terminal.place),
        terminal.place.merchant().map(MerchantCode::as_str),
        terminal.place.store().map(StoreCode::as_str),
        terminal.platform,
        terminal.display_label,
    ];
    Ok(execute(connection, sql, values)?)
}

/// Whether a terminal of this company may come to this place.
pub(super) fn check_place(
    connection: &Connection,
    company: &CompanyCode,
    place: &Place,
) -> Result<(), FleetError> {
    company_is_there(connection, company)?;
    if let Some(merchant) = place.merchant()
        && merchant_account(connection, merchant)?.is_none_or(|account| account.company != *company)
    {
        // One of another company is as if it were not there.
        return Err(FleetError::Missing(Entity::MerchantAccount(merchant.clone())));
    }
    match place {
        Place::CompanyInventory | Place::MerchantInventory(_) => Ok(()),
        Place::MerchantInStore(merchant) => match has_stores(connection, merchant)? {
            true => Err(FleetError::MerchantHasStores(merchant.clone())),
            false => Ok(()),
        },
        Place::Store { merchant, store } => match store_details(connection, merchant, store)? {
            None => Err(FleetError::Missing(Entity::Store(merchant.clone(), store.clone()))),
            Some(_) => Ok(()),
        },
    }
}

fn company_is_there(connection: &Connection, code: &CompanyCode) -> Result<(), FleetError> {
    match company(connection, code)? {
        Some(_) => Ok(()),
        None => Err(FleetError::Missing(Entity::Company(code.clone()))),
    }
}

fn has_stores(connection: &Connection, merchant: &MerchantCode) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM stores WHERE merchant = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([merchant.as_str()], |row| row.get(0))?)
}

/// The terminals in the store that a merchant account itself represents: how many, and the first of them.
fn in_store_of_its_own(
    connection: &Connection,
    merchant: &MerchantCode,
) -> Result<(u64, Vec<PoiId>), StoreError> {
    let sql = "SELECT count(*) FROM terminals WHERE merchant = ?1 AND place = 'merchant_in_store'";
    let count: i64 = connection.prepare_cached(sql)?.query_row([merchant.as_str()], |row| row.get(0))?;
    let sql = format!(
        "SELECT poi_id FROM terminals WHERE merchant = ?1 AND place = 'merchant_in_store' ORDER BY poi_id LIMIT {}",
        FleetError::LISTED_MAX
    );
    let first = list(connection, &sql, [merchant.as_str()], |row| {
        Columns::new(row, "terminals", "poi_id")?.parse("poi_id", PoiId::parse)
    })?;
    Ok((count.unsigned_abs(), first))
}

pub(super) fn has_companies(connection: &Connection) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM companies LIMIT 1")?;
    Ok(statement.exists([])?)
}

pub(super) fn company(connection: &Connection, code: &CompanyCode) -> Result<Option<Company>, StoreError> {
    let sql = "SELECT code, description FROM companies WHERE code = ?1";
    one(connection, sql, [code.as_str()], |row| {
        let columns = Columns::new(row, "companies", "code")?;
        Ok(Company {
            code: columns.parse("code", CompanyCode::parse)?,
            description: columns.get("description")?,
        })
    })
}

pub(super) fn merchant_account(
    connection: &Connection,
    code: &MerchantCode,
) -> Result<Option<MerchantAccount>, StoreError> {
    let sql = "SELECT code, company, description FROM merchant_accounts WHERE code = ?1";
    one(connection, sql, [code.as_str()], |row| {
        let columns = Columns::new(row, "merchant_accounts", "code")?;
        Ok(MerchantAccount {
            code: columns.parse("code", MerchantCode::parse)?,
            company: columns.parse("company", CompanyCode::parse)?,
            description: columns.get("description")?,
        })
    })
}

pub(super) fn store_details(
    connection: &Connection,
    merchant: &MerchantCode,
    code: &StoreCode,
) -> Result<Option<StoreDetails>, StoreError> {
    let sql = "SELECT merchant, code, description, status FROM stores WHERE merchant = ?1 AND code = ?2";
    one(connection, sql, [merchant.as_str(), code.as_str()], |row| {
        let columns = Columns::new(row, "stores", "code")?;
        let status =
            |text: &str| StoreStatus::parse(text).ok_or_else(|| format!("expected a status, got {text:?}"));
        Ok(StoreDetails {
            merchant: columns.parse("merchant", MerchantCode::parse)?,
            code: columns.parse("code", StoreCode::parse)?,
            description: columns.get("description")?,
            status: columns.parse("status", status)?,
        })
    })
}

/// The columns that [`terminal_of`] reads.
const TERMINAL: &str = "SELECT poi_id, company, place, merchant, store, display_label, settings_revision,
    token_hash IS NOT NULL AS is_boarded, boarded_at, journal_id, journal_at, platform, firmware_version, device,
    last_hello_at FROM terminals";

pub(super) fn terminal(connection: &Connection, poi: &PoiId) -> Result<Option<Terminal>, StoreError> {
    one(connection, &format!("{TERMINAL} WHERE poi_id = ?1"), [poi.as_str()], terminal_of)
}

pub(super) fn terminals_at(
    connection: &Connection,
    company: &CompanyCode,
    merchant: &MerchantCode,
    store: Option<&StoreCode>,
    after: Option<&PoiId>,
) -> Result<Vec<Terminal>, StoreError> {
    // '' sorts before every POIID.
    let after = after.map_or("", PoiId::as_str);
    let order = format!("ORDER BY poi_id LIMIT {TERMINALS_PER_PAGE}");
    let (company, merchant) = (company.as_str(), merchant.as_str());
    match store {
        None => {
            let condition = "WHERE company = ?1 AND merchant = ?2 AND poi_id > ?3";
            let sql = format!("{TERMINAL} INDEXED BY terminals_of_merchant {condition} {order}");
            list(connection, &sql, [company, merchant, after], terminal_of)
        }
        Some(store) => {
            let condition = "WHERE company = ?1 AND merchant = ?2 AND poi_id > ?3 AND store = ?4";
            let sql = format!("{TERMINAL} INDEXED BY terminals_of_store {condition} {order}");
            list(connection, &sql, [company, merchant, after, store.as_str()], terminal_of)
        }
    }
}

fn terminal_of(row: &Row<'_>) -> Result<Terminal, StoreError> {
    let columns = Columns::new(row, "terminals", "poi_id")?;
    let merchant = columns.parse_option("merchant", MerchantCode::parse)?;
    let store = columns.parse_option("store", StoreCode::parse)?;
    let word: String = columns.get("place")?;
    let place = match (word.as_str(), merchant, store) {
        ("company_inventory", None, None) => Place::CompanyInventory,
        ("merchant_inventory", Some(merchant), None) => Place::MerchantInventory(merchant),
        ("merchant_in_store", Some(merchant), None) => Place::MerchantInStore(merchant),
        ("store", Some(merchant), Some(store)) => Place::Store { merchant, store },
        _ => return Err(columns.bad("place", format_args!("{word:?} with these accounts is no place"))),
    };
    let boarded = match columns.get("is_boarded")? {
        true => Some(Boarded {
            at: columns.moment("boarded_at")?,
            journal: columns.parse("journal_id", JournalId::parse)?,
            journal_at: columns.moment("journal_at")?,
        }),
        false => None,
    };
    Ok(Terminal {
        poi: columns.parse("poi_id", PoiId::parse)?,
        company: columns.parse("company", CompanyCode::parse)?,
        place,
        boarded,
        display_label: columns.get("display_label")?,
        settings_revision: columns.get::<i64>("settings_revision")?.cast_unsigned(),
        platform: columns.get("platform")?,
        firmware_version: columns.get("firmware_version")?,
        device: columns.get("device")?,
        last_hello: columns.moment_option("last_hello_at")?,
    })
}

pub(super) fn make_boarding_code(
    connection: &Connection,
    poi: &PoiId,
    code: CodeHash,
    expires: WallMs,
) -> Result<(), CodeError> {
    let Some(terminal) = terminal(connection, poi)? else {
        return Err(CodeError::Missing(Entity::Terminal(poi.clone())));
    };
    if !terminal.place.is_in_store() {
        return Err(CodeError::InInventory { poi: poi.clone(), place: terminal.place });
    }
    if actions::actions_terminal(connection, poi)?.is_some() {
        return Err(CodeError::ActionsTerminal(poi.clone()));
    }
    let sql = "INSERT INTO boarding_codes (poi_id, code_hash, expires_at) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET code_hash = excluded.code_hash, expires_at = excluded.expires_at, used_at = NULL";
    Ok(execute(connection, sql, params![poi.as_str(), code.0, expires.0])?)
}

/// Somebody shows a boarding code for a terminal.
pub(super) struct BoardingAttempt {
    pub(super) poi: PoiId,
    pub(super) code: CodeHash,
    pub(super) journal: JournalId,
    pub(super) token: TokenHash,
    pub(super) now: WallMs,
    pub(super) address: IpAddr,
}

/// The outer error is the database's; a refusal has to be committed, since it may have counted a wrong code.
pub(super) fn board(
    connection: &Connection,
    attempt: &BoardingAttempt,
) -> Result<Result<Terminal, BoardRefused>, StoreError> {
    match may_board(connection, attempt)? {
        Ok(()) => {
            take_on(connection, &attempt.poi, &attempt.journal, attempt.token, attempt.now)?;
            used_code(connection, attempt).map(Ok)
        }
        Err(BoardRefused::WrongCode) => {
            count_wrong_code(connection, attempt)?;
            Ok(Err(BoardRefused::WrongCode))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

fn may_board(
    connection: &Connection,
    attempt: &BoardingAttempt,
) -> Result<Result<(), BoardRefused>, StoreError> {
    if let Some(left) = locked_for(connection, attempt)? {
        return Ok(Err(BoardRefused::Locked { seconds_left: left }));
    }
    let Some(terminal) = terminal(connection, &attempt.poi)? else { return Ok(Err(BoardRefused::WrongCode)) };
    if !terminal.place.is_in_store() {
        return Ok(Err(BoardRefused::InInventory));
    }
    let sql = "SELECT c.expires_at, c.used_at, t.has_said_hello
        FROM boarding_codes c JOIN terminals t ON t.poi_id = c.poi_id WHERE c.poi_id = ?1 AND c.code_hash = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let code = statement
        .query_row(params![attempt.poi.as_str(), attempt.code.0], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, bool>(2)?))
        })
        .optional()?;
    Ok(match code {
        None => Err(BoardRefused::WrongCode),
        Some((_, Some(used), has_said_hello))
            if has_said_hello || attempt.now >= WallMs(used).plus(CODE_AGAIN) =>
        {
            Err(BoardRefused::CodeUsed)
        }
        Some((_, Some(_), _)) => Ok(()),
        Some((expires, None, _)) if attempt.now.0 >= expires => Err(BoardRefused::CodeExpired),
        Some((_, None, _)) => Ok(()),
    })
}

/// The former token ends, and this one begins.
pub(super) fn take_on(
    connection: &Connection,
    poi: &PoiId,
    journal: &JournalId,
    token: TokenHash,
    now: WallMs,
) -> Result<(), StoreError> {
    let poi = poi.as_str();
    execute(connection, "DELETE FROM ended_tokens WHERE ended_at <= ?1", [now.minus(ENDED_TOKEN).0])?;
    execute(
        connection,
        "INSERT INTO ended_tokens (token_hash, poi_id, ended_at)
        SELECT token_hash, poi_id, ?2 FROM terminals WHERE poi_id = ?1 AND token_hash IS NOT NULL",
        params![poi, now.0],
    )?;
    // On the right are the values from before. Without a journal there has been no link whose epoch could pass.
    execute(
        connection,
        "UPDATE terminals SET token_hash = ?2, boarded_at = ?3, journal_id = ?4, has_said_hello = 0,
            journal_at = CASE WHEN journal_id IS ?4 THEN journal_at ELSE ?3 END,
            attempt = CASE WHEN journal_id IS ?4 THEN attempt ELSE 0 END,
            epoch = epoch + (journal_id IS NOT NULL)
        WHERE poi_id = ?1",
        params![poi, token.0, now.0, journal.as_str()],
    )
}

/// The code was good, and is no more; the terminal as it is now.
fn used_code(connection: &Connection, attempt: &BoardingAttempt) -> Result<Terminal, StoreError> {
    let (poi, now) = (attempt.poi.as_str(), attempt.now);
    let sql = "UPDATE boarding_codes SET used_at = coalesce(used_at, ?2) WHERE poi_id = ?1";
    execute(connection, sql, params![poi, now.0])?;
    execute(connection, "DELETE FROM boarding_failures WHERE kind = 'terminal' AND name = ?1", [poi])?;
    terminal(connection, &attempt.poi)?.ok_or_else(|| StoreError::BadData {
        table: "terminals",
        column: "poi_id",
        row: poi.to_owned(),
        problem: "the row is gone within a transaction".into(),
    })
}

/// What a wrong code is counted for.
fn counted_for(attempt: &BoardingAttempt) -> [(&'static str, String); 2] {
    [("terminal", attempt.poi.as_str().to_owned()), ("address", network(attempt.address))]
}

/// An IPv6 host has a whole /64 to choose its address from, so that is what is counted.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
    }
}

/// Seconds until both the terminal and the address may try again.
fn locked_for(connection: &Connection, attempt: &BoardingAttempt) -> Result<Option<u32>, StoreError> {
    let sql =
        "SELECT locked_until FROM boarding_failures WHERE kind = ?1 AND name = ?2 AND locked_until > ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut until: Option<i64> = None;
    for (kind, name) in counted_for(attempt) {
        let locked = statement.query_row(params![kind, name, attempt.now.0], |row| row.get(0)).optional()?;
        until = until.max(locked);
    }
    Ok(until.map(|until| {
        let left_ms = until.saturating_sub(attempt.now.0);
        u32::try_from((left_ms + 999) / 1000).unwrap_or(u32::MAX)
    }))
}

fn count_wrong_code(connection: &Connection, attempt: &BoardingAttempt) -> Result<(), StoreError> {
    let now = attempt.now;
    // Keeps the table as short as 15 minutes are, whatever comes.
    execute(connection, "DELETE FROM boarding_failures WHERE last_at <= ?1", [now.minus(LOCK).0])?;
    let terminal_is_there = terminal(connection, &attempt.poi)?.is_some();
    for (kind, name) in counted_for(attempt) {
        if kind == "terminal" && !terminal_is_there {
            continue;
        }
        execute(
            connection,
            "INSERT INTO boarding_failures (kind, name, failures, last_at) VALUES (?1, ?2, 1, ?3)
            ON CONFLICT DO UPDATE SET failures = failures + 1, last_at = excluded.last_at",
            params![kind, name, now.0],
        )?;
        execute(
            connection,
            "UPDATE boarding_failures SET failures = 0, locked_until = ?4
            WHERE kind = ?1 AND name = ?2 AND failures >= ?3",
            params![kind, name, WRONG_CODES_MAX, now.plus(LOCK).0],
        )?;
    }
    Ok(())
}

pub(super) fn token_standing(
    connection: &Connection,
    token: TokenHash,
    now: WallMs,
) -> Result<Option<TokenStanding>, StoreError> {
    let valid = one(connection, "SELECT poi_id FROM terminals WHERE token_hash = ?1", [token.0], |row| {
        let poi = Columns::new(row, "terminals", "poi_id")?.parse("poi_id", PoiId::parse)?;
        Ok(TokenStanding { poi, state: TokenState::Valid })
    })?;
    if valid.is_some() {
        return Ok(valid);
    }
    let sql = "SELECT poi_id, ended_at FROM ended_tokens WHERE token_hash = ?1 AND ended_at > ?2";
    one(connection, sql, params![token.0, now.minus(ENDED_TOKEN).0], |row| {
        let columns = Columns::new(row, "ended_tokens", "poi_id")?;
        let state = TokenState::Ended { since: columns.moment("ended_at")? };
        Ok(TokenStanding { poi: columns.parse("poi_id", PoiId::parse)?, state })
    })
}

fn place_word(place: &Place) -> &'static str {
    match place {
        Place::CompanyInventory => "company_inventory",
        Place::MerchantInventory(_) => "merchant_inventory",
        Place::MerchantInStore(_) => "merchant_in_store",
        Place::Store { .. } => "store",
    }
}

/// The first row, if there is one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(read).transpose()
}

/// All rows.
pub(super) fn list<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// A statement that answers nothing.
pub(super) fn execute(connection: &Connection, sql: &str, parameters: impl Params) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}
