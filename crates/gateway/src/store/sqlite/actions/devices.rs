//! Groups, and the terminals in them. What writes runs inside a transaction of the writer's.

use bytes::Bytes;
use nexo::{MessageCategory, PoiId, SaleId, ServiceId};
use relay::actions::Standing;
use relay::ledger::Boarded;
use relay::{ConnectionId, DeliveryId, ExchangeId, JournalId, WallMs};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::ledger;
use crate::store::actions::{
    ActionsDeviceId, ActionsFacts, ActionsTerminal, DeviceFound, Group, Groups, KnownDelivery, Metadata,
    RegisteredTerminal, SealedSecret,
};
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{self, execute, list, one};
use crate::store::{
    CompanyCode, CredentialError, CredentialId, Entity, MerchantCode, NewCredential, NewTerminal, Place,
    Scope, StoreCode, StoreError, TERMINALS_PER_PAGE, TokenHash,
};

/// Keeps what a new credential is to the Actions API; its own row is there.
pub(in crate::store::sqlite) fn keep_facts(
    connection: &Connection,
    new: &NewCredential,
) -> Result<(), CredentialError> {
    let Some(facts) = &new.actions else { return Ok(()) };
    for group in facts.groups() {
        check_group(connection, new, group)?;
    }
    match facts {
        ActionsFacts::Desktop { groups, secret } => keep_desktop(connection, new, groups, secret),
        ActionsFacts::Terminal(terminal) => keep_terminal(connection, new, terminal),
    }
}

/// Whether terminals of this company may stand there, and the credential may reach them.
fn check_group(connection: &Connection, new: &NewCredential, group: &Group) -> Result<(), CredentialError> {
    fleet::check_place(connection, &new.company, group.place())?;
    let merchant = group.place().merchant();
    match &new.scope {
        Scope::Merchants(merchants) if !merchants.iter().any(|m| Some(m) == merchant) => {
            Err(CredentialError::GroupOutOfScope(group.clone()))
        }
        Scope::Merchants(_) | Scope::Company => Ok(()),
    }
}

fn keep_desktop(
    connection: &Connection,
    new: &NewCredential,
    groups: &Groups,
    secret: &SealedSecret,
) -> Result<(), CredentialError> {
    let sql = "UPDATE api_credentials SET actions = 'desktop', actions_secret = ?2 WHERE id = ?1";
    execute(connection, sql, params![new.id.as_str(), secret.0])?;
    for (position, group) in (0_i64..).zip(groups.as_slice()) {
        let (merchant, store) = account_of(group);
        execute(
            connection,
            "INSERT INTO actions_desktop_groups (credential, position, company, merchant, store)
            VALUES (?1, ?2, ?3, ?4, ?5)",
            params![new.id.as_str(), position, new.company.as_str(), merchant, store],
        )?;
    }
    Ok(())
}

fn keep_terminal(
    connection: &Connection,
    new: &NewCredential,
    terminal: &ActionsTerminal,
) -> Result<(), CredentialError> {
    add_to_fleet(connection, new, terminal)?;
    if actions_terminal(connection, &terminal.poi)?.is_some() {
        return Err(CredentialError::AlreadyExists(Entity::KeyOfTerminal(terminal.poi.clone())));
    }
    if in_group(connection, &new.company, &terminal.group, &terminal.device)?.is_some() {
        let entity = Entity::Device(terminal.device.clone(), terminal.group.clone());
        return Err(CredentialError::AlreadyExists(entity));
    }
    // One that was an Actions terminal before may be boarded by that.
    let sql = "SELECT EXISTS (SELECT 1 FROM terminals WHERE poi_id = ?1 AND token_hash IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM actions_terminals WHERE poi_id = ?1)";
    if connection.prepare_cached(sql)?.query_row([terminal.poi.as_str()], |row| row.get(0))? {
        return Err(CredentialError::BoardedTerminal(terminal.poi.clone()));
    }
    // From here on it boards with its key only.
    execute(connection, "DELETE FROM boarding_codes WHERE poi_id = ?1", [terminal.poi.as_str()])?;
    let sql = "UPDATE api_credentials SET actions = 'terminal' WHERE id = ?1";
    execute(connection, sql, [new.id.as_str()])?;
    let (merchant, store) = account_of(&terminal.group);
    execute(
        connection,
        "INSERT INTO actions_terminals (credential, company, merchant, store, poi_id, device_id, metadata)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.id.as_str(),
            new.company.as_str(),
            merchant,
            store,
            terminal.poi.as_str(),
            terminal.device.as_str(),
            terminal.metadata.as_str(),
        ],
    )?;
    Ok(())
}

/// Adds the terminal at its group, unless it is there already.
fn add_to_fleet(
    connection: &Connection,
    new: &NewCredential,
    terminal: &ActionsTerminal,
) -> Result<(), CredentialError> {
    match fleet::terminal(connection, &terminal.poi)? {
        None => {
            let place = terminal.group.place().clone();
            let added = NewTerminal::new(terminal.poi.clone(), new.company.clone(), place, new.created);
            Ok(fleet::add_terminal(connection, &added)?)
        }
        // POIIDs are unique among all companies: one of another company's can't be had.
        Some(found) if found.company != new.company => {
            Err(CredentialError::AlreadyExists(Entity::Terminal(found.poi)))
        }
        Some(found) if found.retired.is_some() => Err(CredentialError::RetiredTerminal(found.poi)),
        Some(found) if found.place != *terminal.group.place() => {
            Err(CredentialError::TerminalElsewhere { poi: found.poi, place: found.place })
        }
        Some(_) => Ok(()),
    }
}

/// What a credential is to the Actions API, by the row of `api_credentials`.
pub(in crate::store::sqlite) fn facts_of(
    connection: &Connection,
    columns: &Columns<'_>,
    id: &CredentialId,
) -> Result<Option<ActionsFacts>, StoreError> {
    let Some(word) = columns.get::<Option<String>>("actions")? else { return Ok(None) };
    match word.as_str() {
        "desktop" => {
            let sql = "SELECT credential, merchant, store FROM actions_desktop_groups WHERE credential = ?1 ORDER BY position";
            let groups = list(connection, sql, [id.as_str()], |row| {
                group_of(&Columns::new(row, "actions_desktop_groups", "credential")?)
            })?;
            let groups = Groups::new(groups).map_err(|error| columns.bad("actions", error))?;
            let secret: Option<Vec<u8>> = columns.get("actions_secret")?;
            let secret = secret.ok_or_else(|| columns.bad("actions_secret", "a desktop has one"))?;
            Ok(Some(ActionsFacts::Desktop { groups, secret: SealedSecret(secret.into()) }))
        }
        "terminal" => {
            let sql = format!("{TERMINAL} WHERE a.credential = ?1");
            let terminal = one(connection, &sql, [id.as_str()], terminal_of)?;
            let terminal = terminal.ok_or_else(|| columns.bad("actions", "there is no such terminal"))?;
            Ok(Some(ActionsFacts::Terminal(terminal.terminal)))
        }
        _ => Err(columns.bad("actions", format_args!("expected a type of device, got {word:?}"))),
    }
}

/// The columns that [`terminal_of`] reads.
const TERMINAL: &str = "SELECT a.credential, a.merchant, a.store, a.poi_id, a.device_id, a.metadata
    FROM actions_terminals a JOIN api_credentials c ON c.id = a.credential";

pub(super) fn actions_terminals(
    connection: &Connection,
    group: &Group,
    after: Option<&PoiId>,
) -> Result<Vec<RegisteredTerminal>, StoreError> {
    let (merchant, store) = account_of(group);
    let sql = format!(
        "{TERMINAL} WHERE a.merchant = ?1 AND a.store IS ?2 AND a.poi_id > ?3 AND c.revoked_at IS NULL
        ORDER BY a.poi_id LIMIT {TERMINALS_PER_PAGE}"
    );
    // '' sorts before every POIID.
    list(connection, &sql, params![merchant, store, after.map_or("", PoiId::as_str)], terminal_of)
}

pub(in crate::store::sqlite) fn actions_terminal(
    connection: &Connection,
    poi: &PoiId,
) -> Result<Option<RegisteredTerminal>, StoreError> {
    let sql = format!("{TERMINAL} WHERE a.poi_id = ?1 AND c.revoked_at IS NULL");
    one(connection, &sql, [poi.as_str()], terminal_of)
}

pub(super) fn find_device(
    connection: &Connection,
    company: &CompanyCode,
    groups: &[Group],
    device: &ActionsDeviceId,
) -> Result<DeviceFound, StoreError> {
    for group in groups {
        if let Some(found) = in_group(connection, company, group, device)? {
            return Ok(DeviceFound::Own(Box::new(found)));
        }
    }
    let sql = "SELECT 1 FROM actions_terminals a JOIN api_credentials c ON c.id = a.credential
        WHERE a.company = ?1 AND a.device_id = ?2 AND c.revoked_at IS NULL";
    match connection.prepare_cached(sql)?.exists([company.as_str(), device.as_str()])? {
        true => Ok(DeviceFound::OtherGroup),
        false => Ok(DeviceFound::Nobody),
    }
}

fn in_group(
    connection: &Connection,
    company: &CompanyCode,
    group: &Group,
    device: &ActionsDeviceId,
) -> Result<Option<RegisteredTerminal>, StoreError> {
    let (merchant, store) = account_of(group);
    let sql = format!(
        "{TERMINAL} WHERE a.company = ?1 AND a.device_id = ?2 AND a.merchant = ?3 AND a.store IS ?4
        AND c.revoked_at IS NULL"
    );
    one(connection, &sql, params![company.as_str(), device.as_str(), merchant, store], terminal_of)
}

pub(super) fn groups_called(
    connection: &Connection,
    company: &CompanyCode,
    id: &str,
) -> Result<Vec<Group>, StoreError> {
    let sql = "SELECT s.merchant, s.code AS store
        FROM merchant_accounts m JOIN stores s ON s.merchant = m.code AND s.code = ?2 WHERE m.company = ?1
        UNION ALL
        SELECT m.code AS merchant, NULL AS store FROM merchant_accounts m
        WHERE m.company = ?1 AND m.code = ?2 AND NOT EXISTS (SELECT 1 FROM stores s WHERE s.merchant = m.code)
        ORDER BY merchant";
    list(connection, sql, [company.as_str(), id], |row| {
        group_of(&Columns::new(row, "merchant_accounts", "merchant")?)
    })
}

pub(super) fn board(
    connection: &Connection,
    poi: &PoiId,
    read: Option<&JournalId>,
    journal: &JournalId,
    token: TokenHash,
    at: WallMs,
) -> Result<Option<Boarded>, StoreError> {
    let Some(found) = actions_terminal(connection, poi)? else { return Ok(None) };
    let sql = "SELECT company FROM api_credentials WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let company: Option<String> =
        statement.query_row([found.credential.as_str()], |row| row.get(0)).optional()?;
    let terminal = fleet::terminal(connection, poi)?;
    let is_there = terminal.is_some_and(|terminal| {
        Some(terminal.company.as_str()) == company.as_deref()
            && terminal.place == *found.terminal.group.place()
    });
    if !is_there {
        return Ok(None);
    }
    let boarded = ledger::boarded(connection, poi)?;
    let now = boarded.as_ref().map(|boarded| &boarded.journal);
    if now.is_some_and(|now| *now == *journal || Some(now) != read) {
        return Ok(boarded);
    }
    fleet::take_on(connection, poi, journal, token, at)?;
    ledger::boarded(connection, poi)
}

/// What both queries of [`deliveries`] have in common.
macro_rules! deliveries {
    ($which:literal) => {
        concat!(
            "SELECT e.seq, e.exchange_id, e.delivery_id, e.service_id, e.sale_id, e.category, e.received_at, e.outcome,
                r.message, (SELECT t.desktop_connection FROM actions_transactions t
                    WHERE t.poi_id = e.poi_id AND t.service_id = e.service_id AND t.company = e.company
                    ORDER BY t.seq DESC LIMIT 1) AS desktop_connection
            FROM exchanges e JOIN exchange_requests r ON r.exchange = e.seq ",
            $which
        )
    };
}

pub(super) fn deliveries(
    connection: &Connection,
    poi: &PoiId,
    since: WallMs,
    wanted: Option<&(dyn Fn(&Bytes) -> bool + Send)>,
) -> Result<Vec<KnownDelivery>, StoreError> {
    let mut found = Vec::new();
    // The condition is that of the partial index, word for word.
    let open = deliveries!("WHERE e.poi_id = ?1 AND e.outcome IN ('open', 'unknown')");
    each_delivery(connection, open, params![poi.as_str()], |seq, delivery| found.push((seq, delivery)))?;
    // Sorting is left to the end, when only those are there that are wanted.
    let decided = match wanted {
        None => deliveries!("WHERE e.poi_id = ?1 AND e.admitted_at > ?2 AND e.outcome = 'unknown_final'"),
        Some(_) => {
            deliveries!("WHERE e.poi_id = ?1 AND e.admitted_at > ?2 AND e.outcome NOT IN ('open', 'unknown')")
        }
    };
    each_delivery(connection, decided, params![poi.as_str(), since.0], |seq, delivery| {
        let is_unknown = delivery.standing == Standing::UnknownFinal;
        if is_unknown || wanted.is_some_and(|wanted| wanted(&delivery.request)) {
            found.push((seq, delivery));
        }
    })?;
    found.sort_by_key(|(seq, _)| *seq);
    Ok(found.into_iter().map(|(_, delivery)| delivery).collect())
}

fn each_delivery(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    mut take: impl FnMut(i64, KnownDelivery),
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        let columns = Columns::new(row, "exchanges", "seq")?;
        let outcome: String = columns.get("outcome")?;
        let delivery = KnownDelivery {
            exchange: columns.parse("exchange_id", ExchangeId::parse)?,
            delivery: columns.parse("delivery_id", DeliveryId::parse)?,
            service: columns.parse("service_id", ServiceId::parse)?,
            sale: columns.parse("sale_id", SaleId::parse)?,
            category: columns.parse("category", MessageCategory::parse)?,
            received: columns.moment_option("received_at")?.is_some(),
            standing: match outcome.as_str() {
                "open" | "unknown" => Standing::Open,
                "unknown_final" => Standing::UnknownFinal,
                _ => Standing::Settled,
            },
            connection: columns.parse_option("desktop_connection", ConnectionId::parse)?,
            request: Bytes::from(columns.get::<Vec<u8>>("message")?),
        };
        take(columns.get("seq")?, delivery);
    }
    Ok(())
}

fn terminal_of(row: &Row<'_>) -> Result<RegisteredTerminal, StoreError> {
    let columns = Columns::new(row, "actions_terminals", "credential")?;
    Ok(RegisteredTerminal {
        credential: columns.parse("credential", CredentialId::parse)?,
        terminal: ActionsTerminal {
            poi: columns.parse("poi_id", PoiId::parse)?,
            group: group_of(&columns)?,
            device: columns.parse("device_id", ActionsDeviceId::parse)?,
            metadata: columns.parse("metadata", Metadata::parse)?,
        },
    })
}

/// Reads the columns `merchant` and `store`.
pub(super) fn group_of(columns: &Columns<'_>) -> Result<Group, StoreError> {
    let merchant = columns.parse("merchant", MerchantCode::parse)?;
    let place = match columns.parse_option("store", StoreCode::parse)? {
        Some(store) => Place::Store { merchant, store },
        None => Place::MerchantInStore(merchant),
    };
    Group::at(&place).ok_or_else(|| columns.bad("merchant", "it is no group"))
}

/// What goes into the columns `merchant` and `store`.
pub(super) fn account_of(group: &Group) -> (Option<&str>, Option<&str>) {
    let place = group.place();
    (place.merchant().map(MerchantCode::as_str), place.store().map(StoreCode::as_str))
}
