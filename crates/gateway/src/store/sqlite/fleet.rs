//! Companies, accounts, terminals and boarding in SQL. What writes runs inside a transaction of the writer's.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use nexo::PoiId;
use relay::{ChangeId, JournalId, WallMs};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::actions;
use super::columns::Columns;
use super::fleet_store::{assignments, events, tokens};
use crate::ids;
use crate::store::fleet_store::{
    Address, EffectiveSettings, EventKind, NewFleetEvent, PendingAssignment, PendingState, StoreId, TokenId,
};
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
pub(super) const ENDED_TOKEN: Duration = Duration::from_secs(48 * 60 * 60);

pub(super) fn create_company(connection: &Connection, company: &Company) -> Result<(), FleetError> {
    if self::company(connection, &company.code)?.is_some() {
        return Err(FleetError::AlreadyExists(Entity::Company(company.code.clone())));
    }
    let sql = "INSERT INTO companies (code, description, time_zone) VALUES (?1, ?2, ?3)";
    Ok(execute(connection, sql, params![company.code.as_str(), company.description, company.time_zone])?)
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
    let sql = "INSERT INTO stores (merchant, code, description, status, id, address, phone_number,
            shopper_statement, external_reference)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        store.merchant.as_str(),
        store.code.as_str(),
        store.description,
        store.status.as_str(),
        store.id.as_str(),
        address_text(store.address.as_ref())?,
        store.phone_number,
        store.shopper_statement,
        store.external_reference,
    ];
    Ok(execute(connection, sql, values)?)
}

pub(super) fn add_terminal(connection: &Connection, terminal: &NewTerminal) -> Result<(), FleetError> {
    poi_is_free(connection, &terminal.poi)?;
    check_place(connection, &terminal.company, &terminal.place)?;
    insert_terminal(connection, terminal, None)?;
    let user = events::user(terminal.by.as_ref());
    let event = NewFleetEvent {
        at: terminal.added,
        company: terminal.company.clone(),
        poi: Some(terminal.poi.clone()),
        kind: EventKind::TerminalAdded,
        data: serde_json::json!({ "uniqueTerminalId": terminal.poi.as_str(), "user": user }),
    };
    Ok(events::write(connection, &event)?)
}

/// POIIDs are unique among all companies and for ever, also those that nobody sees.
pub(super) fn poi_is_free(connection: &Connection, poi: &PoiId) -> Result<(), FleetError> {
    let sql = "SELECT retired_at IS NOT NULL FROM terminals WHERE poi_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    match statement.query_row([poi.as_str()], |row| row.get(0)).optional()? {
        None => Ok(()),
        Some(true) => Err(FleetError::Retired(poi.clone())),
        Some(false) => Err(FleetError::AlreadyExists(Entity::Terminal(poi.clone()))),
    }
}

/// Writes the row of a terminal that was checked.
pub(super) fn insert_terminal(
    connection: &Connection,
    terminal: &NewTerminal,
    import: Option<i64>,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO terminals (poi_id, company, place, merchant, store, platform, display_label, country,
            permanent_terminal_id, added_at, import)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let (place, merchant, store) = place_values(&terminal.place);
    let values = params![
        terminal.poi.as_str(),
        terminal.company.as_str(),
        place,
        merchant,
        store,
        terminal.platform,
        terminal.display_label,
        terminal.country.as_ref().map(|country| country.as_str()),
        terminal.permanent_terminal_id.clone().unwrap_or_else(ids::permanent_terminal_id),
        terminal.added.0,
        import,
    ];
    execute(connection, sql, values)
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

/// The terminals in the store that a merchant account itself represents, and those that are on their way there: how many,
/// and the first of them.
fn in_store_of_its_own(
    connection: &Connection,
    merchant: &MerchantCode,
) -> Result<(u64, Vec<PoiId>), StoreError> {
    let those = "FROM (
        SELECT poi_id FROM terminals WHERE merchant = ?1 AND place = 'merchant_in_store'
        UNION
        SELECT poi_id FROM assignments
        WHERE to_merchant = ?1 AND ended_at IS NULL AND to_place = 'merchant_in_store')";
    let sql = format!("SELECT count(*) {those}");
    let count: i64 = connection.prepare_cached(&sql)?.query_row([merchant.as_str()], |row| row.get(0))?;
    let sql = format!("SELECT poi_id {those} ORDER BY poi_id LIMIT {}", FleetError::LISTED_MAX);
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
    let sql = "SELECT code, description, time_zone FROM companies WHERE code = ?1";
    one(connection, sql, [code.as_str()], |row| {
        let columns = Columns::new(row, "companies", "code")?;
        Ok(Company {
            code: columns.parse("code", CompanyCode::parse)?,
            description: columns.get("description")?,
            time_zone: columns.get("time_zone")?,
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
    let sql = stores!("FROM stores s WHERE s.merchant = ?1 AND s.code = ?2");
    one(connection, sql, [merchant.as_str(), code.as_str()], store_of)
}

/// The columns that [`store_of`] reads, of `stores s`.
macro_rules! stores {
    ($which:literal) => {
        concat!(
            "SELECT s.merchant, s.code, s.description, s.status, s.id, s.address, s.phone_number,
                s.shopper_statement, s.external_reference ",
            $which
        )
    };
}

pub(super) use stores;

pub(super) fn store_of(row: &Row<'_>) -> Result<StoreDetails, StoreError> {
    let columns = Columns::new(row, "stores", "code")?;
    Ok(StoreDetails {
        id: columns.parse("id", StoreId::parse)?,
        merchant: columns.parse("merchant", MerchantCode::parse)?,
        code: columns.parse("code", StoreCode::parse)?,
        description: columns.get("description")?,
        status: columns.parse("status", store_status)?,
        address: columns.parse_option("address", |text| serde_json::from_str::<Address>(text))?,
        phone_number: columns.get("phone_number")?,
        shopper_statement: columns.get("shopper_statement")?,
        external_reference: columns.get("external_reference")?,
    })
}

fn store_status(text: &str) -> Result<StoreStatus, String> {
    StoreStatus::parse(text).ok_or_else(|| format!("expected a status, got {text:?}"))
}

/// An address as it is kept.
pub(super) fn address_text(address: Option<&Address>) -> Result<Option<String>, StoreError> {
    let text = address.map(serde_json::to_string).transpose();
    text.map_err(|error| StoreError::Database(error.into()))
}

/// What [`terminal_of`] reads. Whatever is joined is found by its primary key, or, for what is pending, in an index of
/// nothing else. `t` comes first, so that its order is that of the answer.
macro_rules! terminals {
    ($by:literal, $which:literal) => {
        concat!(
            "SELECT t.poi_id, t.company, t.merchant, t.store, t.place,
                t.token_hash IS NOT NULL AS is_boarded, t.boarded_at, t.journal_id, t.journal_at,
                max(t.settings_revision, coalesce(c.settings_revision, 0), coalesce(m.settings_revision, 0),
                    coalesce(s.settings_revision, 0)) AS revision,
                coalesce(t.web_sockets_enabled, s.web_sockets_enabled, m.web_sockets_enabled,
                    c.web_sockets_enabled, 0) AS web_sockets_enabled,
                coalesce(t.terminal_api_enabled, s.terminal_api_enabled, m.terminal_api_enabled,
                    c.terminal_api_enabled, 0) AS terminal_api_enabled,
                coalesce(t.display_label, s.display_label, m.display_label, c.display_label)
                    AS display_label,
                coalesce(s.status, 'Active') AS store_status,
                a.change_id, a.to_merchant, a.to_store, a.to_place, a.state, a.requested_at, a.told_at,
                t.retired_at, t.platform, t.firmware_version, t.device, t.last_hello_at
            FROM terminals t ",
            $by,
            " LEFT JOIN companies c ON c.code = t.company
            LEFT JOIN merchant_accounts m ON m.code = t.merchant
            LEFT JOIN stores s ON s.merchant = t.merchant AND s.code = t.store
            LEFT JOIN assignments a INDEXED BY assignments_pending
                ON a.poi_id = t.poi_id AND a.ended_at IS NULL
            WHERE (t.import IS NULL OR t.import NOT IN (SELECT id FROM open_imports)) AND ",
            $which
        )
    };
}

/// What every request reads: one terminal.
pub(super) const TERMINAL: &str = terminals!("", "t.poi_id = ?1");

pub(super) fn terminal(connection: &Connection, poi: &PoiId) -> Result<Option<Terminal>, StoreError> {
    one(connection, TERMINAL, [poi.as_str()], terminal_of)
}

/// A terminal of this company that is in its fleet. Another company's takes no longer to miss than one that is not there.
pub(super) fn own_terminal(
    connection: &Connection,
    company: &CompanyCode,
    poi: &PoiId,
) -> Result<Option<Terminal>, StoreError> {
    let sql = terminals!("", "t.poi_id = ?1 AND t.company = ?2 AND t.retired_at IS NULL");
    one(connection, sql, [poi.as_str(), company.as_str()], terminal_of)
}

pub(super) fn terminals_at(
    connection: &Connection,
    company: &CompanyCode,
    merchant: &MerchantCode,
    store: Option<&StoreCode>,
    after: Option<&PoiId>,
) -> Result<Vec<Terminal>, StoreError> {
    const PAGE: i64 = TERMINALS_PER_PAGE as i64;
    // '' sorts before every POIID.
    let after = after.map_or("", PoiId::as_str);
    let (company, merchant) = (company.as_str(), merchant.as_str());
    match store {
        None => {
            let sql = terminals!(
                "INDEXED BY terminals_of_merchant",
                "t.company = ?1 AND t.merchant = ?2 AND t.poi_id > ?3 ORDER BY t.poi_id LIMIT ?4"
            );
            list(connection, sql, params![company, merchant, after, PAGE], terminal_of)
        }
        Some(store) => {
            let sql = terminals!(
                "INDEXED BY terminals_of_store",
                "t.company = ?1 AND t.merchant = ?2 AND t.poi_id > ?3 AND t.store = ?5
                ORDER BY t.poi_id LIMIT ?4"
            );
            list(connection, sql, params![company, merchant, after, PAGE, store.as_str()], terminal_of)
        }
    }
}

fn terminal_of(row: &Row<'_>) -> Result<Terminal, StoreError> {
    let columns = Columns::new(row, "terminals", "poi_id")?;
    // In the order of the query.
    Ok(Terminal {
        poi: columns.parse("poi_id", PoiId::parse)?,
        company: columns.parse("company", CompanyCode::parse)?,
        place: place_of(&columns, ["place", "merchant", "store"])?,
        boarded: boarded_of(&columns)?,
        settings: EffectiveSettings {
            revision: columns.get::<i64>("revision")?.cast_unsigned(),
            web_sockets_enabled: columns.get("web_sockets_enabled")?,
            terminal_api_enabled: columns.get("terminal_api_enabled")?,
            display_label: columns.get("display_label")?,
        },
        store_status: columns.parse("store_status", store_status)?,
        pending: pending_of(&columns)?,
        retired: columns.moment_option("retired_at")?,
        platform: columns.get("platform")?,
        firmware_version: columns.get("firmware_version")?,
        device: columns.get("device")?,
        last_hello: columns.moment_option("last_hello_at")?,
    })
}

fn boarded_of(columns: &Columns<'_>) -> Result<Option<Boarded>, StoreError> {
    Ok(match columns.get("is_boarded")? {
        true => Some(Boarded {
            at: columns.moment("boarded_at")?,
            journal: columns.parse("journal_id", JournalId::parse)?,
            journal_at: columns.moment("journal_at")?,
        }),
        false => None,
    })
}

fn pending_of(columns: &Columns<'_>) -> Result<Option<PendingAssignment>, StoreError> {
    let Some(change) = columns.parse_option("change_id", ChangeId::parse)? else { return Ok(None) };
    let state = |word: &str| match word {
        "scheduled" => Ok(PendingState::Scheduled),
        "awaiting_terminal" => Ok(PendingState::AwaitingTerminal),
        _ => Err(format!("expected a state, got {word:?}")),
    };
    Ok(Some(PendingAssignment {
        change,
        to: place_of(columns, ["to_place", "to_merchant", "to_store"])?,
        state: columns.parse("state", state)?,
        requested: columns.moment("requested_at")?,
        told: columns.moment_option("told_at")?,
    }))
}

/// Reads a place from its three columns.
pub(super) fn place_of(
    columns: &Columns<'_>,
    [place, merchant, store]: [&'static str; 3],
) -> Result<Place, StoreError> {
    let merchant = columns.parse_option(merchant, MerchantCode::parse)?;
    let store = columns.parse_option(store, StoreCode::parse)?;
    let word: String = columns.get(place)?;
    match (word.as_str(), merchant, store) {
        ("company_inventory", None, None) => Ok(Place::CompanyInventory),
        ("merchant_inventory", Some(merchant), None) => Ok(Place::MerchantInventory(merchant)),
        ("merchant_in_store", Some(merchant), None) => Ok(Place::MerchantInStore(merchant)),
        ("store", Some(merchant), Some(store)) => Ok(Place::Store { merchant, store }),
        _ => Err(columns.bad(place, format_args!("{word:?} with these accounts is no place"))),
    }
}

/// What goes into the three columns of a place.
pub(super) fn place_values(place: &Place) -> (&'static str, Option<&str>, Option<&str>) {
    let word = match place {
        Place::CompanyInventory => "company_inventory",
        Place::MerchantInventory(_) => "merchant_inventory",
        Place::MerchantInStore(_) => "merchant_in_store",
        Place::Store { .. } => "store",
    };
    (word, place.merchant().map(MerchantCode::as_str), place.store().map(StoreCode::as_str))
}

pub(super) fn make_boarding_code(
    connection: &Connection,
    poi: &PoiId,
    code: CodeHash,
    expires: WallMs,
) -> Result<(), CodeError> {
    let Some(terminal) = terminal(connection, poi)?.filter(|terminal| terminal.retired.is_none()) else {
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
            assignments::await_terminal(connection, &attempt.poi)?;
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
    let terminal = terminal(connection, &attempt.poi)?.filter(|terminal| terminal.retired.is_none());
    let Some(terminal) = terminal else { return Ok(Err(BoardRefused::WrongCode)) };
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
    tokens::end_all(connection, poi, now)?;
    // On the right are the values from before. Without a journal there has been no link whose epoch could pass.
    execute(
        connection,
        "UPDATE terminals SET token_hash = ?2, boarded_at = ?3, journal_id = ?4, has_said_hello = 0,
            token_id = ?5, token_made_at = ?3,
            journal_at = CASE WHEN journal_id IS ?4 THEN journal_at ELSE ?3 END,
            attempt = CASE WHEN journal_id IS ?4 THEN attempt ELSE 0 END,
            epoch = epoch + (journal_id IS NOT NULL)
        WHERE poi_id = ?1",
        params![poi.as_str(), token.0, now.0, journal.as_str(), ids::token_id(now).as_str()],
    )?;
    events::boarded(connection, poi, now)
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
    // By far the most are somebody's own, so that is one look-up.
    let sql = "SELECT poi_id, token_id FROM terminals WHERE token_hash = ?1";
    if let Some(standing) = one(connection, sql, [token.0], |row| standing_of(row, false))? {
        return Ok(Some(standing));
    }
    let sql = "SELECT poi_id, token_id FROM next_tokens WHERE token_hash = ?1";
    if let Some(standing) = one(connection, sql, [token.0], |row| standing_of(row, true))? {
        return Ok(Some(standing));
    }
    let sql = "SELECT poi_id, token_id, ended_at FROM ended_tokens WHERE token_hash = ?1 AND ended_at > ?2";
    one(connection, sql, params![token.0, now.minus(ENDED_TOKEN).0], |row| {
        let since = Columns::new(row, "ended_tokens", "poi_id")?.moment("ended_at")?;
        Ok(TokenStanding { state: TokenState::Ended { since }, ..standing_of(row, false)? })
    })
}

fn standing_of(row: &Row<'_>, is_next: bool) -> Result<TokenStanding, StoreError> {
    let columns = Columns::new(row, "terminals", "poi_id")?;
    Ok(TokenStanding {
        poi: columns.parse("poi_id", PoiId::parse)?,
        id: token_id_of(&columns)?,
        state: TokenState::Valid,
        is_next,
    })
}

/// The name of a token; those that ended before tokens had names are all called alike.
pub(super) fn token_id_of(columns: &Columns<'_>) -> Result<TokenId, StoreError> {
    let id = columns.parse_option("token_id", TokenId::parse)?;
    id.map_or_else(|| TokenId::parse("tk_0").map_err(|error| columns.bad("token_id", error)), Ok)
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
