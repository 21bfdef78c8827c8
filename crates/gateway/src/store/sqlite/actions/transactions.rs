//! Transactions. What writes runs inside a transaction of the writer's, and may be run twice.

use nexo::{Kept, PoiId, ServiceId};
use relay::actions::{Charge, TransactionId};
use relay::ledger::{Digest, Told};
use relay::{ConnectionId, WallMs};
use rusqlite::{Connection, Params, Row, params};

use super::devices::{account_of, group_of};
use crate::store::actions::{
    ActionsDeviceId, Begun, Completed, Completion, Edition, Progress, TRANSACTIONS_PER_PAGE, Transaction,
    TransactionFacts, TransactionSeq, TransactionStatus, Void,
};
use crate::store::sqlite::columns::Columns;
use crate::store::sqlite::fleet::{execute, list, one};
use crate::store::{CompanyCode, CredentialId, StoreError};

/// The columns that [`transaction_of`] reads, of the rows that fit.
macro_rules! transactions {
    ($which:literal) => {
        concat!(
            "SELECT t.seq, t.credential, t.transaction_id, t.digest, t.company, t.merchant, t.store, t.poi_id,
                t.service_id, t.desktop_device, t.desktop_connection, t.created_at, t.updated_at, t.completed_at,
                t.status, t.late, t.edition, t.told_at, t.read_at, t.void, t.voided_at, t.in_part,
                r.payment_request, r.payment_request_changed, r.request, r.request_changed,
                a.response, a.response_changed
            FROM actions_transactions t ",
            $which
        )
    };
}

pub(super) fn begin(connection: &Connection, facts: &TransactionFacts) -> Result<Begun, StoreError> {
    if let Some(found) = latest(connection, &facts.credential, &facts.id)?
        && let Some(begun) = Begun::upon(found, &facts.digest, facts.created)
    {
        return Ok(begun);
    }
    let (merchant, store) = account_of(&facts.group);
    execute(
        connection,
        "INSERT INTO actions_transactions (credential, transaction_id, digest, company, merchant, store, poi_id,
            service_id, desktop_device, desktop_connection, created_at, updated_at, status)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12)",
        params![
            facts.credential.as_str(),
            facts.id.as_str(),
            facts.digest.0,
            facts.company.as_str(),
            merchant,
            store,
            facts.poi.as_str(),
            facts.service.as_str(),
            facts.device.as_ref().map(ActionsDeviceId::as_str),
            facts.connection.as_ref().map(ConnectionId::as_str),
            facts.created.0,
            TransactionStatus::Pending.as_str(),
        ],
    )?;
    let seq = connection.last_insert_rowid();
    execute(
        connection,
        "INSERT INTO actions_requests (seq, payment_request, payment_request_changed, request, request_changed)
        VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            seq,
            &facts.payment_request.bytes()[..],
            facts.payment_request.is_changed(),
            &facts.request.bytes()[..],
            facts.request.is_changed(),
        ],
    )?;
    Ok(Begun::New(TransactionSeq(seq)))
}

pub(super) fn note_progress(
    connection: &Connection,
    seq: TransactionSeq,
    progress: &Progress,
    at: WallMs,
) -> Result<Option<Edition>, StoreError> {
    let Some(standing) = standing(connection, seq)?.filter(Standing::is_running) else { return Ok(None) };
    let (status, edition) = match progress {
        Progress::Runs => (TransactionStatus::Pending, standing.edition),
        Progress::AwaitsReconnect => (TransactionStatus::AwaitingReconnect, standing.edition),
        Progress::GivenUp(response) => {
            keep_response(connection, seq, response)?;
            (TransactionStatus::Failed, standing.edition.next())
        }
    };
    execute(
        connection,
        "UPDATE actions_transactions SET status = ?2, updated_at = ?3, edition = ?4,
            edition_at = iif(?4 > edition, ?3, edition_at)
        WHERE seq = ?1",
        params![seq.0, status.as_str(), at.0, edition.0],
    )?;
    Ok(Some(edition))
}

pub(super) fn complete(
    connection: &Connection,
    seq: TransactionSeq,
    completion: &Completion,
    at: WallMs,
) -> Result<Option<Completed>, StoreError> {
    let Some(standing) = standing(connection, seq)?.filter(|standing| !standing.is_complete) else {
        return Ok(None);
    };
    let (status, charge, late, void) = match completion {
        Completion::Paid(_, charge) => (TransactionStatus::Completed, Some(charge), false, Void::None),
        Completion::PaidLate(_, charge) => (TransactionStatus::Completed, Some(charge), true, Void::None),
        Completion::PaidLateToVoid(_, charge) => {
            let void = if is_read(connection, seq)? { Void::None } else { Void::Pending };
            (TransactionStatus::Completed, Some(charge), true, void)
        }
        Completion::Failed(_) => (TransactionStatus::Failed, None, false, Void::None),
        Completion::Cancelled(_) => (TransactionStatus::Cancelled, None, false, Void::None),
    };
    let edition = standing.edition.next();
    execute(
        connection,
        "UPDATE actions_transactions SET status = ?2, completed_at = ?3, updated_at = ?3, late = ?4, void = ?5,
            edition = ?6, edition_at = ?3, told_at = NULL, in_part = ?7
        WHERE seq = ?1",
        params![
            seq.0,
            status.as_str(),
            at.0,
            late,
            void.as_str(),
            edition.0,
            charge == Some(&Charge::Part),
        ],
    )?;
    keep_response(connection, seq, completion.response())?;
    Ok(Some(Completed { edition, void }))
}

pub(super) fn note_told(
    connection: &Connection,
    seq: TransactionSeq,
    edition: Edition,
    at: WallMs,
) -> Result<(), StoreError> {
    let sql = "UPDATE actions_transactions SET told_at = ?3
        WHERE seq = ?1 AND edition = ?2 AND edition > 0 AND told_at IS NULL";
    execute(connection, sql, params![seq.0, edition.0, at.0])?;
    Ok(())
}

pub(super) fn note_read(
    connection: &Connection,
    seq: TransactionSeq,
    at: WallMs,
) -> Result<bool, StoreError> {
    let sql = "UPDATE actions_transactions SET read_at = coalesce(read_at, ?2)
        WHERE seq = ?1 AND status = 'COMPLETED' AND void IN ('none', 'failed')";
    Ok(connection.prepare_cached(sql)?.execute(params![seq.0, at.0])? > 0)
}

pub(super) fn note_payment_read(
    connection: &Connection,
    seq: TransactionSeq,
    at: WallMs,
) -> Result<Void, StoreError> {
    let sql = "UPDATE actions_transactions SET read_at = coalesce(read_at, ?2)
        WHERE seq = ?1 AND void IN ('none', 'failed')";
    execute(connection, sql, params![seq.0, at.0])?;
    Ok(standing(connection, seq)?.map_or(Void::None, |standing| standing.void))
}

pub(super) fn set_void(
    connection: &Connection,
    seq: TransactionSeq,
    void: Void,
    at: WallMs,
) -> Result<Option<Edition>, StoreError> {
    let Some(standing) = standing(connection, seq)? else { return Ok(None) };
    let may = match (standing.void, void) {
        (Void::None | Void::Failed, Void::Pending) => {
            standing.status == TransactionStatus::Completed && !is_read(connection, seq)?
        }
        (Void::Pending, Void::Done | Void::Failed) => true,
        _ => false,
    };
    if !may {
        return Ok(None);
    }
    let is_done = void == Void::Done;
    let status = if is_done { TransactionStatus::Voided } else { standing.status };
    let edition = standing.edition.next();
    execute(
        connection,
        "UPDATE actions_transactions SET status = ?2, void = ?3, updated_at = ?4, voided_at = iif(?5, ?4, NULL),
            edition = ?6, edition_at = ?4, told_at = NULL
        WHERE seq = ?1",
        params![seq.0, status.as_str(), void.as_str(), at.0, is_done, edition.0],
    )?;
    Ok(Some(edition))
}

pub(super) fn latest(
    connection: &Connection,
    credential: &CredentialId,
    id: &TransactionId,
) -> Result<Option<Transaction>, StoreError> {
    let sql = transactions!(
        "JOIN actions_requests r ON r.seq = t.seq LEFT JOIN actions_responses a ON a.seq = t.seq
        WHERE t.credential = ?1 AND t.transaction_id = ?2 ORDER BY t.seq DESC LIMIT 1"
    );
    one(connection, sql, [credential.as_str(), id.as_str()], transaction_of)
}

pub(super) fn of_service(
    connection: &Connection,
    company: &CompanyCode,
    poi: &PoiId,
    service: &ServiceId,
) -> Result<Option<Transaction>, StoreError> {
    let sql = transactions!(
        "JOIN actions_requests r ON r.seq = t.seq LEFT JOIN actions_responses a ON a.seq = t.seq
        WHERE t.poi_id = ?1 AND t.service_id = ?2 AND t.company = ?3 ORDER BY t.seq DESC LIMIT 1"
    );
    one(connection, sql, [poi.as_str(), service.as_str(), company.as_str()], transaction_of)
}

pub(super) fn untold(
    connection: &Connection,
    credential: &CredentialId,
    device: &ActionsDeviceId,
) -> Result<Vec<Transaction>, StoreError> {
    // The condition is that of the partial index, word for word.
    let sql = transactions!(
        "JOIN actions_requests r ON r.seq = t.seq LEFT JOIN actions_responses a ON a.seq = t.seq
        WHERE t.credential = ?1 AND t.desktop_device = ?2
            AND t.told_at IS NULL AND t.edition > 0 AND t.void <> 'pending'
        ORDER BY t.edition_at, t.seq LIMIT ?3"
    );
    page(connection, sql, params![credential.as_str(), device.as_str(), limit()])
}

pub(super) fn unfinished(
    connection: &Connection,
    after: Option<TransactionSeq>,
) -> Result<Vec<Transaction>, StoreError> {
    let sql = transactions!(
        "INDEXED BY actions_transactions_unfinished
        JOIN actions_requests r ON r.seq = t.seq LEFT JOIN actions_responses a ON a.seq = t.seq
        WHERE (t.completed_at IS NULL OR t.void = 'pending') AND t.seq > ?1
        ORDER BY t.seq LIMIT ?2"
    );
    page(connection, sql, params![after.map_or(0, |after| after.0), limit()])
}

fn page(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<Transaction>, StoreError> {
    list(connection, sql, parameters, transaction_of)
}

fn limit() -> i64 {
    i64::try_from(TRANSACTIONS_PER_PAGE).unwrap_or(i64::MAX)
}

/// As much of a transaction as its next step needs.
struct Standing {
    status: TransactionStatus,
    is_complete: bool,
    edition: Edition,
    void: Void,
}

impl Standing {
    /// Nothing was told about it yet.
    fn is_running(&self) -> bool {
        matches!(self.status, TransactionStatus::Pending | TransactionStatus::AwaitingReconnect)
    }
}

fn standing(connection: &Connection, seq: TransactionSeq) -> Result<Option<Standing>, StoreError> {
    let sql = "SELECT seq, status, completed_at, edition, void FROM actions_transactions WHERE seq = ?1";
    one(connection, sql, [seq.0], |row| {
        let columns = Columns::new(row, "actions_transactions", "seq")?;
        Ok(Standing {
            status: status_of(&columns)?,
            is_complete: columns.moment_option("completed_at")?.is_some(),
            edition: Edition(columns.get("edition")?),
            void: void_of(&columns)?,
        })
    })
}

/// Whether anybody may have read that the payment was taken: by asking for the transaction, or as the ledger has told it.
fn is_read(connection: &Connection, seq: TransactionSeq) -> Result<bool, StoreError> {
    // A ServiceID may be another payment's after 48 hours: the last exchange is this one's.
    let sql = "SELECT t.read_at IS NOT NULL OR EXISTS (
            SELECT 1 FROM told WHERE what IN (?2, ?3, ?4) AND exchange_id = (
                SELECT e.exchange_id FROM exchanges e
                WHERE e.poi_id = t.poi_id AND e.service_id = t.service_id AND e.device_id = '' AND e.company = t.company
                ORDER BY e.seq DESC LIMIT 1))
        FROM actions_transactions t WHERE t.seq = ?1";
    let [response, repeated, found] = Told::WITH_ITS_END;
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![seq.0, response, repeated, found], |row| row.get(0))?)
}

fn keep_response(connection: &Connection, seq: TransactionSeq, response: &Kept) -> Result<(), StoreError> {
    let sql = "INSERT INTO actions_responses (seq, response, response_changed) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET response = excluded.response, response_changed = excluded.response_changed";
    execute(connection, sql, params![seq.0, &response.bytes()[..], response.is_changed()])
}

fn transaction_of(row: &Row<'_>) -> Result<Transaction, StoreError> {
    let columns = Columns::new(row, "actions_transactions", "seq")?;
    let response: Option<Vec<u8>> = columns.get("response")?;
    let response = match response {
        Some(response) => Some(Kept::stored(response.into(), columns.get("response_changed")?)),
        None => None,
    };
    Ok(Transaction {
        seq: TransactionSeq(columns.get("seq")?),
        facts: TransactionFacts {
            credential: columns.parse("credential", CredentialId::parse)?,
            id: columns.parse("transaction_id", transaction_id_of)?,
            digest: Digest(columns.get("digest")?),
            company: columns.parse("company", CompanyCode::parse)?,
            group: group_of(&columns)?,
            poi: columns.parse("poi_id", PoiId::parse)?,
            service: columns.parse("service_id", ServiceId::parse)?,
            device: columns.parse_option("desktop_device", ActionsDeviceId::parse)?,
            connection: columns.parse_option("desktop_connection", ConnectionId::parse)?,
            payment_request: kept(&columns, "payment_request", "payment_request_changed")?,
            request: kept(&columns, "request", "request_changed")?,
            created: columns.moment("created_at")?,
        },
        status: status_of(&columns)?,
        in_part: columns.get("in_part")?,
        response,
        updated: columns.moment("updated_at")?,
        completed: columns.moment_option("completed_at")?,
        late: columns.get("late")?,
        edition: Edition(columns.get("edition")?),
        told: columns.moment_option("told_at")?,
        read: columns.moment_option("read_at")?,
        void: void_of(&columns)?,
        voided: columns.moment_option("voided_at")?,
    })
}

fn transaction_id_of(text: &str) -> Result<TransactionId, String> {
    TransactionId::parse(text).ok_or_else(|| format!("expected {}", TransactionId::EXPECTED))
}

fn kept(columns: &Columns<'_>, text: &'static str, changed: &'static str) -> Result<Kept, StoreError> {
    Ok(Kept::stored(columns.get::<Vec<u8>>(text)?.into(), columns.get(changed)?))
}

fn status_of(columns: &Columns<'_>) -> Result<TransactionStatus, StoreError> {
    columns.parse("status", |text| {
        TransactionStatus::parse(text).ok_or_else(|| format!("expected a status, got {text:?}"))
    })
}

fn void_of(columns: &Columns<'_>) -> Result<Void, StoreError> {
    columns.parse("void", |text| {
        Void::parse(text).ok_or_else(|| format!("expected the state of a void, got {text:?}"))
    })
}
