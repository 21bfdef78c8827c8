//! The ledger's ops in SQL. Each reads the rows that it names, lets `relay::ledger` decide, and writes that down; it runs
//! inside a transaction of the writer's.

use nexo::{DeviceId, Kept, KeptText, MessageCategory, PoiId, SaleId, ServiceId};
use relay::ledger::{
    Admission, AdmitDecision, Answered, Boarded, Cannot, Digest, Evidence, EvidenceKind, ExchangeKey,
    FenceReason, HelloClaim, IDENTITY_HOURS, LedgerFacts, Op, Outcome, Record, Refused, Reply, Restored,
    Told, decide_admit, decide_fence, decide_hello, may_become, proves_receipt,
};
use relay::{DeliveryId, Epoch, ExchangeId, JournalId, WallMs};
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::columns::Columns;
use crate::store::StoreError;

/// How long a fence stands: as long as the identity that it closes.
const FENCE_MS: i64 = IDENTITY_HOURS * 60 * 60 * 1000;

/// The columns that [`record_of`] reads, of the rows that fit.
macro_rules! records {
    ($which:literal) => {
        concat!(
            "SELECT e.seq, e.exchange_id, e.delivery_id, e.poi_id, e.device_id, e.service_id, e.sale_id, e.category,
                e.digest, e.encrypted, e.admitted_at, e.journal_id, e.epoch, e.received_at, e.webhook_owed,
                e.outcome, e.outcome_detail, a.message
            FROM exchanges e LEFT JOIN exchange_answers a ON a.exchange = e.seq ",
            $which
        )
    };
}

/// Runs one op. When it fails, whatever it wrote is to be rolled back. `clock` gives the time of an op without one.
pub(super) fn apply(
    connection: &Connection,
    op: &Op,
    clock: &(dyn Fn() -> WallMs + Send + Sync),
) -> Result<Reply, StoreError> {
    let ledger = Ledger { connection };
    match op {
        Op::Admit(admission) => ledger.admit(admission),
        Op::Withdraw(delivery) => ledger.withdraw(delivery, clock()),
        Op::Settle { delivery, outcome, evidence } => {
            ledger.settle(delivery, outcome, evidence.as_ref(), clock())
        }
        Op::NoteReceived(delivery) => ledger.note_received(delivery, clock()),
        Op::OweWebhook(delivery) => ledger.owe_webhook(delivery, clock()),
        Op::TakeHello(claim) => ledger.take_hello(claim),
        Op::OpenDeliveries(poi) => ledger.open_deliveries(poi),
        Op::SettleHello { poi, epoch, settled } => ledger.settle_hello(poi, *epoch, settled, clock()),
        Op::Look { keys, company, at } => ledger.look(keys, company, *at),
        Op::FindDelivery(delivery) => ledger.find_delivery(delivery),
        Op::Fence { key, company, reason, at } => ledger.close(key, company, *reason, *at),
        Op::Keep { poi, delivery, evidence, at } => {
            ledger.keep(delivery, poi.as_str(), evidence, *at)?;
            Ok(Reply::Done)
        }
        Op::NoteTold(told) => ledger.note_told(told),
        Op::NoteDevice { poi, device } => ledger.note_device(poi, device),
        Op::Notification { poi, id, message, at } => ledger.notification(poi, id, message, *at),
    }
}

/// What the ledger as a whole can prove.
pub(super) fn facts(connection: &Connection) -> Result<LedgerFacts, StoreError> {
    let sql = "SELECT id, complete_since, restored_at, backup_at FROM ledger_facts";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        let problem = "the table is empty".to_owned();
        return Err(StoreError::BadData { table: "ledger_facts", column: "id", row: "1".into(), problem });
    };
    let columns = Columns::new(row, "ledger_facts", "id")?;
    let restored = columns.moment_option("restored_at")?.zip(columns.moment_option("backup_at")?);
    Ok(LedgerFacts {
        complete_since: columns.moment("complete_since")?,
        restored: restored.map(|(at, backup)| Restored { at, backup }),
    })
}

/// A terminal's boarding, as a `hello` of it is decided by.
pub(super) fn boarded(connection: &Connection, poi: &PoiId) -> Result<Option<Boarded>, StoreError> {
    Ledger { connection }.boarded(poi)
}

struct Ledger<'c> {
    connection: &'c Connection,
}

/// A record and where it stands.
struct Row {
    seq: i64,
    record: Record,
}

/// As much of a record as its outcome needs.
struct Standing {
    seq: i64,
    poi: String,
    settled: Option<WallMs>,
    outcome: Outcome,
}

impl Ledger<'_> {
    fn admit(&self, admission: &Admission) -> Result<Reply, StoreError> {
        let new = &admission.record;
        let company = &*admission.caller.company;
        let epoch = self.epoch(&new.key.poi)?;
        let found = self.latest(&new.key, company)?;
        let fence = self.fence(&new.key, company, new.admitted)?;
        match decide_admit(new, epoch, found.as_ref().map(|row| &row.record), fence) {
            AdmitDecision::Insert => {
                self.insert(admission)?;
                Ok(Reply::Admitted(new.exchange.clone()))
            }
            AdmitDecision::TryAgain(exchange) => {
                if let Some(row) = &found {
                    self.try_again(row.seq, admission)?;
                }
                Ok(Reply::Admitted(exchange))
            }
            AdmitDecision::Found => {
                Ok(found.map_or(Reply::Missing, |row| Reply::Found(Box::new(row.record))))
            }
            AdmitDecision::Fenced(reason) => Ok(Reply::Fenced(reason)),
            AdmitDecision::EpochPassed => Ok(Reply::EpochPassed),
        }
    }

    fn insert(&self, admission: &Admission) -> Result<(), StoreError> {
        let new = &admission.record;
        let (outcome, detail) = outcome_words(&new.outcome);
        self.execute(
            "INSERT INTO exchanges (exchange_id, delivery_id, company, poi_id, device_id, service_id, sale_id,
                category, digest, encrypted, credential, admitted_at, journal_id, epoch, received_at, outcome,
                outcome_detail, settled_at, webhook_owed)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            params![
                new.exchange.as_str(),
                new.delivery.as_str(),
                &*admission.caller.company,
                new.key.poi.as_str(),
                device_text(&new.key),
                new.key.service.as_str(),
                new.sale.as_str(),
                new.category.as_str(),
                new.digest.0,
                new.encrypted,
                &*admission.caller.credential,
                new.admitted.0,
                new.journal.as_ref().map(JournalId::as_str),
                new.epoch.0.cast_signed(),
                new.received.then_some(new.admitted.0),
                outcome,
                detail,
                settled_at(&new.outcome, new.admitted),
                new.webhook,
            ],
        )?;
        self.admitted(self.connection.last_insert_rowid(), admission)
    }

    /// A new attempt takes the place of the one before, which goes into the history.
    fn try_again(&self, seq: i64, admission: &Admission) -> Result<(), StoreError> {
        let new = &admission.record;
        let (outcome, detail) = outcome_words(&new.outcome);
        self.execute(
            "INSERT INTO exchange_attempts (exchange, delivery_id, sale_id, category, digest, credential, admitted_at,
                outcome, outcome_detail, settled_at)
            SELECT seq, delivery_id, sale_id, category, digest, credential, admitted_at, outcome, outcome_detail,
                settled_at
            FROM exchanges WHERE seq = ?1",
            [seq],
        )?;
        self.execute(
            "UPDATE exchanges SET delivery_id = ?2, sale_id = ?3, category = ?4, digest = ?5, encrypted = ?6,
                credential = ?7, admitted_at = ?8, journal_id = ?9, epoch = ?10, received_at = ?11, outcome = ?12,
                outcome_detail = ?13, settled_at = ?14, webhook_owed = ?15
            WHERE seq = ?1",
            params![
                seq,
                new.delivery.as_str(),
                new.sale.as_str(),
                new.category.as_str(),
                new.digest.0,
                new.encrypted,
                &*admission.caller.credential,
                new.admitted.0,
                new.journal.as_ref().map(JournalId::as_str),
                new.epoch.0.cast_signed(),
                new.received.then_some(new.admitted.0),
                outcome,
                detail,
                settled_at(&new.outcome, new.admitted),
                new.webhook,
            ],
        )?;
        self.execute("DELETE FROM exchange_answers WHERE exchange = ?1", [seq])?;
        self.admitted(seq, admission)
    }

    /// What an attempt leaves beside its row.
    fn admitted(&self, seq: i64, admission: &Admission) -> Result<(), StoreError> {
        let new = &admission.record;
        self.execute(
            "INSERT INTO exchange_requests (exchange, message) VALUES (?1, ?2)
            ON CONFLICT DO UPDATE SET message = excluded.message",
            params![seq, &admission.message.bytes()[..]],
        )?;
        self.keep_answer(seq, &new.outcome)
    }

    fn withdraw(&self, delivery: &DeliveryId, now: WallMs) -> Result<Reply, StoreError> {
        if let Some(standing) = self.standing(delivery)?
            && standing.outcome == Outcome::Open
        {
            self.set_outcome(&standing, &Outcome::Refused(Refused::Withdrawn), now)?;
        }
        Ok(Reply::Done)
    }

    fn settle(
        &self,
        delivery: &DeliveryId,
        outcome: &Outcome,
        evidence: Option<&Evidence>,
        now: WallMs,
    ) -> Result<Reply, StoreError> {
        let Some(standing) = self.standing(delivery)? else { return Ok(Reply::Missing) };
        if !may_become(&standing.outcome, outcome) {
            return Ok(Reply::Already(standing.outcome));
        }
        self.set_outcome(&standing, outcome, now)?;
        if let Some(evidence) = evidence {
            self.keep(delivery, &standing.poi, evidence, now)?;
        }
        Ok(Reply::Done)
    }

    fn set_outcome(&self, standing: &Standing, outcome: &Outcome, now: WallMs) -> Result<(), StoreError> {
        if let Some(at) = standing.settled {
            let (word, detail) = outcome_words(&standing.outcome);
            self.event(standing.seq, at, word, detail)?; // The row will say it no longer.
        }
        let (word, detail) = outcome_words(outcome);
        self.execute(
            "UPDATE exchanges SET outcome = ?2, outcome_detail = ?3, settled_at = ?4,
                received_at = iif(?5, coalesce(received_at, ?4), received_at)
            WHERE seq = ?1",
            params![standing.seq, word, detail, settled_at(outcome, now), proves_receipt(outcome)],
        )?;
        self.keep_answer(standing.seq, outcome)
    }

    fn keep_answer(&self, seq: i64, outcome: &Outcome) -> Result<(), StoreError> {
        if let Outcome::Answered(Answered::Message(message)) = outcome {
            let sql = "INSERT INTO exchange_answers (exchange, message) VALUES (?1, ?2)";
            self.execute(sql, params![seq, &message.bytes()[..]])?;
        }
        Ok(())
    }

    /// Something that happened to an exchange and that its row does not say.
    fn event(&self, seq: i64, at: WallMs, what: &str, detail: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO exchange_events (exchange, at, what, detail) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![seq, at.0, what, detail])
    }

    fn note_received(&self, delivery: &DeliveryId, now: WallMs) -> Result<Reply, StoreError> {
        let sql = "UPDATE exchanges SET received_at = ?2 WHERE delivery_id = ?1 AND received_at IS NULL";
        self.execute(sql, params![delivery.as_str(), now.0])?;
        Ok(Reply::Done)
    }

    fn owe_webhook(&self, delivery: &DeliveryId, now: WallMs) -> Result<Reply, StoreError> {
        let Some(standing) = self.standing(delivery)? else { return Ok(Reply::Missing) };
        self.execute("UPDATE exchanges SET webhook_owed = 1 WHERE seq = ?1", [standing.seq])?;
        self.event(standing.seq, now, "webhook-owed", "")?;
        Ok(Reply::Done)
    }

    fn take_hello(&self, claim: &HelloClaim) -> Result<Reply, StoreError> {
        let reply = decide_hello(self.boarded(&claim.poi)?.as_ref(), claim);
        if let Reply::Raised { epoch, .. } = &reply {
            self.execute(
                "UPDATE terminals SET attempt = ?2, epoch = ?3, has_said_hello = 1, last_hello_at = ?4,
                    firmware_version = coalesce(?5, firmware_version), platform = coalesce(?6, platform),
                    device = coalesce(?7, device)
                WHERE poi_id = ?1",
                params![
                    claim.poi.as_str(),
                    claim.attempt.cast_signed(),
                    epoch.0.cast_signed(),
                    claim.at.0,
                    claim.firmware_version.as_ref().map(KeptText::as_str),
                    claim.platform.as_ref().map(KeptText::as_str),
                    claim.device.as_ref().map(KeptText::as_str),
                ],
            )?;
        }
        Ok(reply)
    }

    fn boarded(&self, poi: &PoiId) -> Result<Option<Boarded>, StoreError> {
        let sql = "SELECT poi_id, journal_id, attempt, epoch, journal_at FROM terminals
            WHERE poi_id = ?1 AND token_hash IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([poi.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let columns = Columns::new(row, "terminals", "poi_id")?;
        Ok(Some(Boarded {
            journal: columns.parse("journal_id", JournalId::parse)?,
            attempt: columns.get::<i64>("attempt")?.cast_unsigned(),
            epoch: Epoch(columns.get::<i64>("epoch")?.cast_unsigned()),
            at: columns.moment("journal_at")?,
        }))
    }

    /// The terminal's own epoch; 0 for one that was never boarded.
    fn epoch(&self, poi: &PoiId) -> Result<Epoch, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT epoch FROM terminals WHERE poi_id = ?1")?;
        let epoch = statement.query_row([poi.as_str()], |row| row.get::<_, i64>(0)).optional()?;
        Ok(Epoch(epoch.unwrap_or(0).cast_unsigned()))
    }

    fn open_deliveries(&self, poi: &PoiId) -> Result<Reply, StoreError> {
        // The condition is that of the partial index, word for word.
        let sql = records!("WHERE e.poi_id = ?1 AND e.outcome IN ('open', 'unknown') ORDER BY e.seq");
        let rows = self.rows(sql, [poi.as_str()])?;
        Ok(Reply::Records { records: rows.into_iter().map(|row| row.record).collect(), fence: None })
    }

    fn settle_hello(
        &self,
        poi: &PoiId,
        epoch: Epoch,
        settled: &[(DeliveryId, Outcome)],
        now: WallMs,
    ) -> Result<Reply, StoreError> {
        if self.boarded(poi)?.is_none_or(|boarded| boarded.epoch != epoch) {
            return Ok(Reply::EpochPassed);
        }
        for (delivery, outcome) in settled {
            if let Some(standing) = self.standing(delivery)?
                && may_become(&standing.outcome, outcome)
            {
                self.set_outcome(&standing, outcome, now)?;
            }
        }
        Ok(Reply::Done)
    }

    fn look(&self, keys: &[ExchangeKey], company: &str, at: WallMs) -> Result<Reply, StoreError> {
        let mut records = Vec::new();
        for key in keys {
            let latest = self.latest(key, company)?.map(|row| row.record);
            records.extend(latest.filter(|record| record.holds_its_identity(at)));
        }
        let fence = match keys.first() {
            Some(key) => self.fence(key, company, at)?,
            None => None,
        };
        Ok(Reply::Records { records, fence })
    }

    fn find_delivery(&self, delivery: &DeliveryId) -> Result<Reply, StoreError> {
        let rows = self.rows(records!("WHERE e.delivery_id = ?1"), [delivery.as_str()])?;
        Ok(Reply::Records { records: rows.into_iter().map(|row| row.record).collect(), fence: None })
    }

    fn close(
        &self,
        key: &ExchangeKey,
        company: &str,
        reason: FenceReason,
        at: WallMs,
    ) -> Result<Reply, StoreError> {
        let found = self.latest(key, company)?.map(|row| row.record);
        if !decide_fence(found.as_ref(), at) {
            return Ok(found.map_or(Reply::Missing, |record| Reply::Found(Box::new(record))));
        }
        let identity = (company, key.poi.as_str(), device_text(key), key.service.as_str());
        // Whatever is older ends no later than the new one, so nobody would ever see it again.
        self.execute(
            "DELETE FROM fences WHERE company = ?1 AND poi_id = ?2 AND device_id = ?3 AND service_id = ?4 AND at <= ?5",
            params![identity.0, identity.1, identity.2, identity.3, at.0],
        )?;
        self.execute(
            "INSERT INTO fences (company, poi_id, device_id, service_id, at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![identity.0, identity.1, identity.2, identity.3, at.0, fence_word(reason)],
        )?;
        Ok(Reply::Done)
    }

    fn fence(&self, key: &ExchangeKey, company: &str, at: WallMs) -> Result<Option<FenceReason>, StoreError> {
        let sql = "SELECT id, reason FROM fences
            WHERE company = ?1 AND poi_id = ?2 AND device_id = ?3 AND service_id = ?4 AND at > ?5
            ORDER BY id DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let since = at.0.saturating_sub(FENCE_MS);
        let mut rows = statement.query(params![
            company,
            key.poi.as_str(),
            device_text(key),
            key.service.as_str(),
            since
        ])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let columns = Columns::new(row, "fences", "id")?;
        columns.parse("reason", fence_reason).map(Some)
    }

    fn keep(
        &self,
        delivery: &DeliveryId,
        poi: &str,
        evidence: &Evidence,
        at: WallMs,
    ) -> Result<(), StoreError> {
        let kind = match evidence.kind {
            EvidenceKind::Misfit => "misfit",
            EvidenceKind::TooLarge => "too_large",
            EvidenceKind::Conflict => "conflict",
            EvidenceKind::Orphan => "orphan",
        };
        self.execute(
            "INSERT INTO evidence (delivery_id, poi_id, at, kind, message) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![delivery.as_str(), poi, at.0, kind, &evidence.message.bytes()[..]],
        )
    }

    fn note_told(&self, told: &Told) -> Result<Reply, StoreError> {
        self.execute(
            "INSERT INTO told (exchange_id, call, what, at, written) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO NOTHING",
            params![told.exchange.as_str(), told.call.0.cast_signed(), told.what, told.at.0, told.written],
        )?;
        Ok(Reply::Done)
    }

    fn note_device(&self, poi: &PoiId, device: &KeptText) -> Result<Reply, StoreError> {
        self.execute(
            "UPDATE terminals SET device = ?2 WHERE poi_id = ?1",
            params![poi.as_str(), device.as_str()],
        )?;
        Ok(Reply::Done)
    }

    fn notification(
        &self,
        poi: &PoiId,
        id: &DeliveryId,
        message: &Kept,
        at: WallMs,
    ) -> Result<Reply, StoreError> {
        self.execute(
            "INSERT INTO notifications (poi_id, notification_id, at, message) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING",
            params![poi.as_str(), id.as_str(), at.0, &message.bytes()[..]],
        )?;
        Ok(Reply::Done)
    }

    fn latest(&self, key: &ExchangeKey, company: &str) -> Result<Option<Row>, StoreError> {
        let sql = records!(
            "WHERE e.poi_id = ?1 AND e.service_id = ?2 AND e.device_id = ?3 AND e.company = ?4
            ORDER BY e.seq DESC LIMIT 1"
        );
        let identity = params![key.poi.as_str(), key.service.as_str(), device_text(key), company];
        Ok(self.rows(sql, identity)?.pop())
    }

    /// The outcome of the exchange that has this delivery as its latest attempt.
    fn standing(&self, delivery: &DeliveryId) -> Result<Option<Standing>, StoreError> {
        let sql = "SELECT e.seq, e.poi_id, e.outcome, e.outcome_detail, e.settled_at, a.message
            FROM exchanges e LEFT JOIN exchange_answers a ON a.exchange = e.seq WHERE e.delivery_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([delivery.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let columns = Columns::new(row, "exchanges", "seq")?;
        let outcome = outcome_of(&columns)?;
        Ok(Some(Standing {
            seq: columns.get("seq")?,
            poi: columns.get("poi_id")?,
            settled: columns.moment_option("settled_at")?,
            outcome,
        }))
    }

    fn rows(&self, sql: &str, parameters: impl Params) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let columns = Columns::new(row, "exchanges", "seq")?;
            found.push(Row { seq: columns.get("seq")?, record: record_of(&columns)? });
        }
        Ok(found)
    }

    fn execute(&self, sql: &str, parameters: impl Params) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }
}

fn record_of(columns: &Columns<'_>) -> Result<Record, StoreError> {
    let device = columns.parse("device_id", |text| match text {
        "" => Ok(None),
        text => DeviceId::parse(text).map(Some),
    })?;
    Ok(Record {
        exchange: columns.parse("exchange_id", ExchangeId::parse)?,
        delivery: columns.parse("delivery_id", DeliveryId::parse)?,
        key: ExchangeKey {
            poi: columns.parse("poi_id", PoiId::parse)?,
            device,
            service: columns.parse("service_id", ServiceId::parse)?,
        },
        sale: columns.parse("sale_id", SaleId::parse)?,
        category: columns.parse("category", MessageCategory::parse)?,
        digest: Digest(columns.get("digest")?),
        encrypted: columns.get("encrypted")?,
        admitted: columns.moment("admitted_at")?,
        journal: columns.parse_option("journal_id", JournalId::parse)?,
        epoch: Epoch(columns.get::<i64>("epoch")?.cast_unsigned()),
        received: columns.moment_option("received_at")?.is_some(),
        webhook: columns.get("webhook_owed")?,
        outcome: outcome_of(columns)?,
    })
}

fn outcome_of(columns: &Columns<'_>) -> Result<Outcome, StoreError> {
    let detail: String = columns.get("outcome_detail")?;
    let word: String = columns.get("outcome")?;
    Ok(match (word.as_str(), detail.as_str()) {
        ("open", "") => Outcome::Open,
        ("unknown", "") => Outcome::Unknown,
        ("refused", "withdrawn") => Outcome::Refused(Refused::Withdrawn),
        ("refused", "aborted") => Outcome::Refused(Refused::Aborted),
        ("never_reached", "") => Outcome::NeverReached,
        ("answered", "message") => {
            let message: Option<Vec<u8>> = columns.get("message")?;
            let message = message.ok_or_else(|| columns.bad("outcome_detail", "its answer is missing"))?;
            Outcome::Answered(Answered::Message(Kept::stored(message.into(), false)))
        }
        ("answered", "empty") => Outcome::Answered(Answered::Empty),
        ("answered", "not_replayable") => {
            let message: Option<Vec<u8>> = columns.get("message")?;
            Outcome::Answered(match message {
                Some(message) => Answered::Message(Kept::stored(message.into(), true)),
                None => Answered::NotReplayable,
            })
        }
        ("unknown_final", "indeterminate") => Outcome::UnknownFinal(Cannot::Indeterminate),
        ("unknown_final", "forgotten") => Outcome::UnknownFinal(Cannot::Forgotten),
        ("unknown_final", "journal_lost") => Outcome::UnknownFinal(Cannot::JournalLost),
        ("unknown_final", "ledger_incomplete") => Outcome::UnknownFinal(Cannot::LedgerIncomplete),
        ("unknown_final", "misfit") => Outcome::UnknownFinal(Cannot::Misfit),
        ("unknown_final", "too_large") => Outcome::UnknownFinal(Cannot::TooLarge),
        (word, detail) => {
            return Err(
                columns.bad("outcome", format_args!("expected an outcome, got {word:?} with {detail:?}"))
            );
        }
    })
}

/// Outcome and detail as they are written; `outcome_of` reads them.
fn outcome_words(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Open => ("open", ""),
        Outcome::Unknown => ("unknown", ""),
        Outcome::Refused(Refused::Withdrawn) => ("refused", "withdrawn"),
        Outcome::Refused(Refused::Aborted) => ("refused", "aborted"),
        Outcome::NeverReached => ("never_reached", ""),
        Outcome::Answered(Answered::Message(message)) if message.is_changed() => {
            ("answered", "not_replayable")
        }
        Outcome::Answered(Answered::Message(_)) => ("answered", "message"),
        Outcome::Answered(Answered::Empty) => ("answered", "empty"),
        Outcome::Answered(Answered::NotReplayable) => ("answered", "not_replayable"),
        Outcome::UnknownFinal(Cannot::Indeterminate) => ("unknown_final", "indeterminate"),
        Outcome::UnknownFinal(Cannot::Forgotten) => ("unknown_final", "forgotten"),
        Outcome::UnknownFinal(Cannot::JournalLost) => ("unknown_final", "journal_lost"),
        Outcome::UnknownFinal(Cannot::LedgerIncomplete) => ("unknown_final", "ledger_incomplete"),
        Outcome::UnknownFinal(Cannot::Misfit) => ("unknown_final", "misfit"),
        Outcome::UnknownFinal(Cannot::TooLarge) => ("unknown_final", "too_large"),
    }
}

fn settled_at(outcome: &Outcome, now: WallMs) -> Option<i64> {
    (*outcome != Outcome::Open).then_some(now.0)
}

fn device_text(key: &ExchangeKey) -> &str {
    key.device.as_ref().map_or("", DeviceId::as_str)
}

fn fence_word(reason: FenceReason) -> &'static str {
    match reason {
        FenceReason::ToldNotFound => "told_not_found",
        FenceReason::ToldUnreachable => "told_unreachable",
    }
}

fn fence_reason(word: &str) -> Result<FenceReason, String> {
    match word {
        "told_not_found" => Ok(FenceReason::ToldNotFound),
        "told_unreachable" => Ok(FenceReason::ToldUnreachable),
        _ => Err(format!("expected a reason, got {word:?}")),
    }
}
