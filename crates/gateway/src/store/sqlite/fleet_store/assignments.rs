//! Assignments in SQL. What writes runs inside a transaction of the writer's.

use std::collections::HashSet;

use nexo::PoiId;
use relay::{ChangeId, WallMs};
use rusqlite::{Connection, params};
use serde_json::json;

use super::{events, settings, tokens};
use crate::ids;
use crate::store::assign::{Decision, Former, Found, decide};
use crate::store::fleet_store::{
    Assign, Assigned, Completed, CompletedBy, DueAssignment, EventKind, NewFleetEvent, Retired,
};
use crate::store::sqlite::actions;
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{self, execute, list, one, place_of, place_values};
use crate::store::{AssignError, CompanyCode, CredentialId, Place, Scope, StoreError, Terminal};

pub(super) fn missing(
    connection: &Connection,
    company: &CompanyCode,
    scope: &Scope,
    terminals: &[PoiId],
) -> Result<Vec<PoiId>, StoreError> {
    let mut missing = Vec::new();
    for poi in once_each(terminals) {
        if reached(connection, company, scope, poi)?.is_none() {
            missing.push(poi.clone());
        }
    }
    Ok(missing)
}

fn once_each(terminals: &[PoiId]) -> Vec<&PoiId> {
    let mut seen = HashSet::with_capacity(terminals.len());
    terminals.iter().filter(|poi| seen.insert(*poi)).collect()
}

/// A terminal that somebody of this company and with this scope may change.
fn reached(
    connection: &Connection,
    company: &CompanyCode,
    scope: &Scope,
    poi: &PoiId,
) -> Result<Option<Terminal>, StoreError> {
    let terminal = fleet::own_terminal(connection, company, poi)?;
    Ok(terminal.filter(|terminal| scope.reaches(&terminal.place)))
}

pub(super) fn assign(
    connection: &Connection,
    assign: &Assign,
) -> Result<Vec<(PoiId, Assigned)>, AssignError> {
    fleet::check_place(connection, &assign.company, &assign.target)?;
    if !assign.scope.reaches(&assign.target) {
        return Err(AssignError::OutOfScope(assign.target.clone()));
    }
    let asked = once_each(&assign.terminals);
    let (mut terminals, mut missing) = (Vec::with_capacity(asked.len()), Vec::new());
    for poi in &asked {
        match reached(connection, &assign.company, &assign.scope, poi)? {
            Some(terminal) => terminals.push(terminal),
            None => missing.push((*poi).clone()),
        }
    }
    if !missing.is_empty() {
        return Err(AssignError::NotFound(missing));
    }
    let has_several = terminals.len() > 1;
    let mut answers = Vec::with_capacity(terminals.len());
    for terminal in terminals {
        let answer = assign_one(connection, assign, &terminal, has_several)?;
        answers.push((terminal.poi, answer));
    }
    Ok(answers)
}

fn assign_one(
    connection: &Connection,
    assign: &Assign,
    terminal: &Terminal,
    has_several: bool,
) -> Result<Assigned, StoreError> {
    let pending = terminal.pending.as_ref();
    let is_boarded = holds_config(connection, terminal)?;
    let found = Found { place: &terminal.place, is_boarded, pending };
    let (decision, former) = decide(found, &assign.target, has_several);
    if let Some(pending) = pending {
        match former {
            Former::None | Former::GoesOn => {}
            Former::Cancelled => end(connection, &pending.change, "cancelled", assign.at)?,
            Former::Superseded => end(connection, &pending.change, "superseded", assign.at)?,
        }
    }
    match (decision, former) {
        (Decision::AlreadyThere, _) | (_, Former::GoesOn) => {}
        (Decision::Now, _) => {
            let change = insert(connection, assign, terminal, decision, "scheduled")?;
            complete(connection, &terminal.poi, &change, CompletedBy::Background, assign.at)?;
        }
        (Decision::Schedule, _) => drop(insert(connection, assign, terminal, decision, "scheduled")?),
        (Decision::RemoveConfig, _) => {
            drop(insert(connection, assign, terminal, decision, "awaiting_terminal")?);
        }
    }
    Ok(decision.answer())
}

/// Whether a terminal has to remove its configuration before it moves. One that speaks the Actions API has none, and nobody
/// could ask it to.
fn holds_config(connection: &Connection, terminal: &Terminal) -> Result<bool, StoreError> {
    Ok(terminal.boarded.is_some() && actions::actions_terminal(connection, &terminal.poi)?.is_none())
}

fn insert(
    connection: &Connection,
    assign: &Assign,
    terminal: &Terminal,
    decision: Decision,
    state: &str,
) -> Result<ChangeId, StoreError> {
    let change = ids::change_id(assign.at);
    let (from_place, from_merchant, from_store) = place_values(&terminal.place);
    let (to_place, to_merchant, to_store) = place_values(&assign.target);
    execute(
        connection,
        "INSERT INTO assignments (change_id, poi_id, company, from_place, from_merchant, from_store, to_place,
            to_merchant, to_store, answer, state, requested_at, requested_by)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            change.as_str(),
            terminal.poi.as_str(),
            assign.company.as_str(),
            from_place,
            from_merchant,
            from_store,
            to_place,
            to_merchant,
            to_store,
            decision.answer().as_str(),
            state,
            assign.at.0,
            assign.by.as_ref().map(CredentialId::as_str),
        ],
    )?;
    Ok(change)
}

/// A pending assignment ends without being done.
fn end(connection: &Connection, change: &ChangeId, state: &str, at: WallMs) -> Result<(), StoreError> {
    let sql = "UPDATE assignments SET state = ?2, ended_at = ?3 WHERE change_id = ?1 AND ended_at IS NULL";
    execute(connection, sql, params![change.as_str(), state, at.0])
}

pub(super) const DUE: &str =
    "SELECT change_id, poi_id FROM assignments WHERE state = 'scheduled' ORDER BY seq LIMIT ?1";

pub(super) fn due(connection: &Connection, limit: usize) -> Result<Vec<DueAssignment>, StoreError> {
    list(connection, DUE, [i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let columns = Columns::new(row, "assignments", "change_id")?;
        Ok(DueAssignment {
            change: columns.parse("change_id", ChangeId::parse)?,
            poi: columns.parse("poi_id", PoiId::parse)?,
        })
    })
}

pub(super) fn note_told(connection: &Connection, change: &ChangeId, at: WallMs) -> Result<(), StoreError> {
    let sql = "UPDATE assignments SET told_at = ?2 WHERE change_id = ?1 AND told_at IS NULL";
    execute(connection, sql, params![change.as_str(), at.0])
}

/// A terminal has a configuration now that it has to remove before it moves.
pub(in crate::store::sqlite) fn await_terminal(
    connection: &Connection,
    poi: &PoiId,
) -> Result<(), StoreError> {
    let sql = "UPDATE assignments SET state = 'awaiting_terminal' WHERE poi_id = ?1 AND state = 'scheduled'
        AND ended_at IS NULL";
    execute(connection, sql, [poi.as_str()])
}

/// A terminal has no configuration any more that it could remove.
pub(super) fn await_nobody(connection: &Connection, poi: &PoiId) -> Result<(), StoreError> {
    let sql = "UPDATE assignments SET state = 'scheduled' WHERE poi_id = ?1 AND state = 'awaiting_terminal'
        AND ended_at IS NULL";
    execute(connection, sql, [poi.as_str()])
}

/// An assignment as it is kept.
struct Kept {
    from: Place,
    to: Place,
    state: String,
    answer: String,
    token_ended: bool,
}

pub(super) fn complete(
    connection: &Connection,
    poi: &PoiId,
    change: &ChangeId,
    by: CompletedBy,
    at: WallMs,
) -> Result<Option<Completed>, StoreError> {
    let sql =
        "SELECT change_id, from_place, from_merchant, from_store, to_place, to_merchant, to_store, state,
        answer, token_ended FROM assignments WHERE change_id = ?1 AND poi_id = ?2";
    let kept = one(connection, sql, [change.as_str(), poi.as_str()], |row| {
        let columns = Columns::new(row, "assignments", "change_id")?;
        Ok(Kept {
            from: place_of(&columns, ["from_place", "from_merchant", "from_store"])?,
            to: place_of(&columns, ["to_place", "to_merchant", "to_store"])?,
            state: columns.get("state")?,
            answer: columns.get("answer")?,
            token_ended: columns.get("token_ended")?,
        })
    })?;
    let Some(kept) = kept else { return Ok(None) };
    let token_ended = match (kept.state.as_str(), by) {
        ("done", _) => kept.token_ended,
        ("scheduled", CompletedBy::Background) | ("awaiting_terminal", CompletedBy::Terminal) => {
            carry_out(connection, poi, change, &kept, at)?
        }
        _ => return Ok(None),
    };
    let Some(terminal) = fleet::terminal(connection, poi)? else { return Ok(None) };
    let again = kept.state == "done";
    Ok(Some(Completed { terminal, from: kept.from, to: kept.to, token_ended, again }))
}

/// The terminal moves. True when its token ended with that.
fn carry_out(
    connection: &Connection,
    poi: &PoiId,
    change: &ChangeId,
    kept: &Kept,
    at: WallMs,
) -> Result<bool, StoreError> {
    // The key of an Actions terminal is for one group: elsewhere it is nobody's.
    let keeps_token = kept.to.is_in_store() && actions::actions_terminal(connection, poi)?.is_none();
    let token_ended = !keeps_token && tokens::end_boarding(connection, poi, at)?;
    if !kept.to.is_in_store() {
        execute(connection, "DELETE FROM boarding_codes WHERE poi_id = ?1", [poi.as_str()])?;
    }
    let (place, merchant, store) = place_values(&kept.to);
    let revision = settings::next_revision(connection)?;
    execute(
        connection,
        "UPDATE terminals SET place = ?2, merchant = ?3, store = ?4, settings_revision = ?5 WHERE poi_id = ?1",
        params![poi.as_str(), place, merchant, store, revision],
    )?;
    let psp_reference = ids::assignment_psp_reference();
    execute(
        connection,
        "UPDATE assignments SET state = 'done', ended_at = ?2, psp_reference = ?3, token_ended = ?4
        WHERE change_id = ?1",
        params![change.as_str(), at.0, psp_reference, token_ended],
    )?;
    write_event(connection, poi, change, kept, &psp_reference, at)?;
    Ok(token_ended)
}

/// Everything that whoever is told of the assignment has to hear, as it was at that moment.
fn write_event(
    connection: &Connection,
    poi: &PoiId,
    change: &ChangeId,
    kept: &Kept,
    psp_reference: &str,
    at: WallMs,
) -> Result<(), StoreError> {
    let Some(terminal) = fleet::terminal(connection, poi)? else { return Ok(()) };
    let company = fleet::company(connection, &terminal.company)?;
    let zone = company.map_or_else(|| "UTC".to_owned(), |company| company.time_zone);
    let account = kept.to.merchant().map_or(terminal.company.as_str(), |merchant| merchant.as_str());
    let mut data = json!({
        "changeId": change.as_str(),
        "result": kept.answer,
        "assignedToAccount": account,
        "eventDate": { "epochMs": at.0, "timeZone": zone },
        "pspReference": psp_reference,
        "uniqueTerminalId": poi.as_str(),
    });
    if let Some((code, id)) = events::store_names(connection, &kept.to)? {
        data["assignedToStore"] = code.as_str().into();
        data["assignedToStoreId"] = id.into();
    }
    let event = NewFleetEvent {
        at,
        company: terminal.company,
        poi: Some(poi.clone()),
        kind: EventKind::AssignmentComplete,
        data,
    };
    events::write(connection, &event)
}

pub(super) fn retire(
    connection: &Connection,
    company: &CompanyCode,
    scope: &Scope,
    poi: &PoiId,
    by: Option<&CredentialId>,
    at: WallMs,
) -> Result<Option<Retired>, StoreError> {
    let Some(terminal) = reached(connection, company, scope, poi)? else { return Ok(None) };
    if let Some(pending) = &terminal.pending {
        end(connection, &pending.change, "cancelled", at)?;
    }
    let token_ended = tokens::end_boarding(connection, poi, at)?;
    execute(connection, "DELETE FROM boarding_codes WHERE poi_id = ?1", [poi.as_str()])?;
    execute(
        connection,
        "UPDATE terminals SET place = 'company_inventory', merchant = NULL, store = NULL, retired_at = ?2
        WHERE poi_id = ?1",
        params![poi.as_str(), at.0],
    )?;
    let event = NewFleetEvent {
        at,
        company: company.clone(),
        poi: Some(poi.clone()),
        kind: EventKind::TerminalRetired,
        data: json!({ "uniqueTerminalId": poi.as_str(), "user": events::user(by) }),
    };
    events::write(connection, &event)?;
    Ok(Some(Retired { token_ended }))
}
