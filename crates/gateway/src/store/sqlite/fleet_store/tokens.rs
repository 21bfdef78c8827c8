//! Tokens in SQL. What writes runs inside a transaction of the writer's.

use nexo::PoiId;
use relay::WallMs;
use rusqlite::{Connection, Row, params};
use serde_json::json;

use super::{assignments, events};
use crate::store::fleet_store::{
    EventKind, NewFleetEvent, RevokedToken, RotationBegun, TokenId, TokenInfo, TokenUse,
};
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{self, ENDED_TOKEN, execute, list, one};
use crate::store::{CompanyCode, CredentialId, StoreError, TokenHash};

/// Tokens that may take the place of a terminal's at once: each is one that the terminal may have stored before its word of
/// that was lost.
const NEXT_TOKENS_MAX: i64 = 4;

pub(super) fn list_all(
    connection: &Connection,
    company: &CompanyCode,
    poi: &PoiId,
    now: WallMs,
) -> Result<Option<Vec<TokenInfo>>, StoreError> {
    if fleet::own_terminal(connection, company, poi)?.is_none() {
        return Ok(None);
    }
    let sql = "SELECT token_id, made_at, ended_at, what FROM (
            SELECT token_id, token_made_at AS made_at, NULL AS ended_at, 'current' AS what
            FROM terminals WHERE poi_id = ?1 AND token_hash IS NOT NULL
            UNION ALL
            SELECT token_id, made_at, NULL AS ended_at, 'next' AS what FROM next_tokens WHERE poi_id = ?1
            UNION ALL
            SELECT token_id, coalesce(made_at, ended_at), ended_at, 'ended' AS what
            FROM ended_tokens WHERE poi_id = ?1 AND ended_at > ?2
        ) ORDER BY made_at DESC, token_id DESC";
    let since = now.minus(ENDED_TOKEN).0;
    list(connection, sql, params![poi.as_str(), since], |row| {
        let columns = Columns::new(row, "terminals", "token_id")?;
        let used_as = match columns.get::<String>("what")?.as_str() {
            "current" => TokenUse::Current,
            "next" => TokenUse::Next,
            _ => TokenUse::Ended { since: columns.moment("ended_at")? },
        };
        Ok(TokenInfo { id: fleet::token_id_of(&columns)?, made: columns.moment("made_at")?, used_as })
    })
    .map(Some)
}

pub(super) fn revoke(
    connection: &Connection,
    company: &CompanyCode,
    poi: &PoiId,
    id: &TokenId,
    by: Option<&CredentialId>,
    at: WallMs,
) -> Result<Option<RevokedToken>, StoreError> {
    if fleet::own_terminal(connection, company, poi)?.is_none() {
        return Ok(None);
    }
    let revoked = if is_current(connection, poi, id)? {
        end_boarding(connection, poi, at)?;
        // Nothing is left on it that it would have to remove.
        assignments::await_nobody(connection, poi)?;
        RevokedToken::Current
    } else if end_next(connection, poi, id, at)? {
        RevokedToken::Next
    } else {
        return Ok(None);
    };
    let event = NewFleetEvent {
        at,
        company: company.clone(),
        poi: Some(poi.clone()),
        kind: EventKind::TokenRevoked,
        data: json!({ "tokenId": id.as_str(), "user": events::user(by) }),
    };
    events::write(connection, &event)?;
    Ok(Some(revoked))
}

fn is_current(connection: &Connection, poi: &PoiId, id: &TokenId) -> Result<bool, StoreError> {
    Ok(current(connection, poi)?.is_some_and(|current| current == *id))
}

/// The name of the terminal's own token; none for one that isn't boarded.
fn current(connection: &Connection, poi: &PoiId) -> Result<Option<TokenId>, StoreError> {
    let sql = "SELECT poi_id, token_id FROM terminals WHERE poi_id = ?1 AND token_hash IS NOT NULL";
    one(connection, sql, [poi.as_str()], |row| fleet::token_id_of(&Columns::new(row, "terminals", "poi_id")?))
}

/// A token that was to come ends before it did.
fn end_next(connection: &Connection, poi: &PoiId, id: &TokenId, at: WallMs) -> Result<bool, StoreError> {
    forget_old(connection, at)?;
    let sql = "INSERT INTO ended_tokens (token_hash, poi_id, ended_at, token_id, made_at)
        SELECT token_hash, poi_id, ?3, token_id, made_at FROM next_tokens WHERE poi_id = ?1 AND token_id = ?2";
    let ended = connection.prepare_cached(sql)?.execute(params![poi.as_str(), id.as_str(), at.0])?;
    let sql = "DELETE FROM next_tokens WHERE poi_id = ?1 AND token_id = ?2";
    execute(connection, sql, [poi.as_str(), id.as_str()])?;
    Ok(ended > 0)
}

fn forget_old(connection: &Connection, now: WallMs) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM ended_tokens WHERE ended_at <= ?1", [now.minus(ENDED_TOKEN).0])
}

/// All tokens of a terminal that open links end. Its row is to be changed after that.
pub(in crate::store::sqlite) fn end_all(
    connection: &Connection,
    poi: &PoiId,
    now: WallMs,
) -> Result<(), StoreError> {
    forget_old(connection, now)?;
    execute(
        connection,
        "INSERT INTO ended_tokens (token_hash, poi_id, ended_at, token_id, made_at)
        SELECT token_hash, poi_id, ?2, token_id, token_made_at FROM terminals
        WHERE poi_id = ?1 AND token_hash IS NOT NULL
        UNION ALL
        SELECT token_hash, poi_id, ?2, token_id, made_at FROM next_tokens WHERE poi_id = ?1",
        params![poi.as_str(), now.0],
    )?;
    execute(connection, "DELETE FROM next_tokens WHERE poi_id = ?1", [poi.as_str()])
}

/// A terminal has to be boarded again. Its epoch is raised, so that a link which its token opened is admitted nothing more.
/// False when it had no token.
pub(super) fn end_boarding(connection: &Connection, poi: &PoiId, now: WallMs) -> Result<bool, StoreError> {
    end_all(connection, poi, now)?;
    let sql =
        "UPDATE terminals SET token_hash = NULL, token_id = NULL, token_made_at = NULL, epoch = epoch + 1
        WHERE poi_id = ?1 AND token_hash IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.execute([poi.as_str()])? > 0)
}

pub(super) fn begin_rotation(
    connection: &Connection,
    poi: &PoiId,
    token: TokenHash,
    id: &TokenId,
    at: WallMs,
) -> Result<RotationBegun, StoreError> {
    if current(connection, poi)?.is_none() {
        return Ok(RotationBegun::NotBoarded);
    }
    let sql = "SELECT count(*) FROM next_tokens WHERE poi_id = ?1";
    let count: i64 = connection.prepare_cached(sql)?.query_row([poi.as_str()], |row| row.get(0))?;
    if count >= NEXT_TOKENS_MAX {
        return Ok(RotationBegun::TooMany);
    }
    let sql = "INSERT INTO next_tokens (token_hash, poi_id, token_id, made_at) VALUES (?1, ?2, ?3, ?4)";
    execute(connection, sql, params![token.0, poi.as_str(), id.as_str(), at.0])?;
    Ok(RotationBegun::Begun)
}

pub(super) fn end_rotation(
    connection: &Connection,
    poi: &PoiId,
    id: &TokenId,
    at: WallMs,
) -> Result<bool, StoreError> {
    let Some(former) = current(connection, poi)? else { return Ok(false) };
    let sql = "SELECT token_hash, made_at FROM next_tokens WHERE poi_id = ?1 AND token_id = ?2";
    let next = |row: &Row<'_>| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?));
    let Some((token, made)) = one(connection, sql, [poi.as_str(), id.as_str()], next)? else {
        return Ok(false);
    };
    let sql = "DELETE FROM next_tokens WHERE poi_id = ?1 AND token_id = ?2";
    execute(connection, sql, [poi.as_str(), id.as_str()])?;
    end_all(connection, poi, at)?;
    let sql = "UPDATE terminals SET token_hash = ?2, token_id = ?3, token_made_at = ?4 WHERE poi_id = ?1";
    execute(connection, sql, params![poi.as_str(), token, id.as_str(), made])?;
    if let Some(terminal) = fleet::terminal(connection, poi)? {
        let event = NewFleetEvent {
            at,
            company: terminal.company,
            poi: Some(poi.clone()),
            kind: EventKind::TokenRotated,
            data: json!({ "tokenId": id.as_str(), "formerTokenId": former.as_str() }),
        };
        events::write(connection, &event)?;
    }
    Ok(true)
}
