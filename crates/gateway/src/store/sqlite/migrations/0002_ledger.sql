-- The ledger: exchanges, what became of them, and what was told about them.

-- One row, about the ledger as a whole.
CREATE TABLE ledger_facts (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    complete_since INTEGER NOT NULL,
    restored_at    INTEGER,
    backup_at      INTEGER,
    CHECK ((restored_at IS NULL) = (backup_at IS NULL))
) STRICT;

-- Kept narrow, since a row is written anew at each step; bodies are beside it.
CREATE TABLE exchanges (
    -- The order of first admission.
    seq            INTEGER NOT NULL PRIMARY KEY,
    exchange_id    TEXT NOT NULL UNIQUE,
    -- The attempt that counts; earlier ones are in exchange_attempts.
    delivery_id    TEXT NOT NULL UNIQUE,
    company        TEXT NOT NULL,
    poi_id         TEXT NOT NULL,
    -- '' for messages of another class than Device: NULLs would not be equal.
    device_id      TEXT NOT NULL,
    service_id     TEXT NOT NULL,
    sale_id        TEXT NOT NULL,
    category       TEXT NOT NULL,
    digest         BLOB NOT NULL CHECK (length(digest) = 32),
    encrypted      INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
    credential     TEXT NOT NULL,
    admitted_at    INTEGER NOT NULL,
    journal_id     TEXT,
    epoch          INTEGER NOT NULL,
    -- When the terminal said that it has it.
    received_at    INTEGER,
    outcome        TEXT NOT NULL,
    outcome_detail TEXT NOT NULL,
    -- When it got that outcome.
    settled_at     INTEGER,
    CHECK (CASE outcome
        WHEN 'open' THEN outcome_detail = '' AND settled_at IS NULL
        WHEN 'unknown' THEN outcome_detail = '' AND settled_at IS NOT NULL
        WHEN 'refused' THEN outcome_detail IN ('withdrawn', 'aborted') AND settled_at IS NOT NULL
        WHEN 'never_reached' THEN outcome_detail = '' AND settled_at IS NOT NULL
        WHEN 'answered' THEN outcome_detail IN ('message', 'empty', 'not_replayable') AND settled_at IS NOT NULL
        WHEN 'unknown_final' THEN settled_at IS NOT NULL AND outcome_detail IN
            ('indeterminate', 'forgotten', 'journal_lost', 'ledger_incomplete', 'misfit', 'too_large')
        ELSE FALSE
    END)
) STRICT;

-- The latest record of an identity: rows of one key stand in order of seq.
CREATE INDEX exchanges_by_identity ON exchanges (poi_id, service_id, device_id, company);

-- What a hello has to settle.
CREATE INDEX exchanges_undecided ON exchanges (poi_id) WHERE outcome IN ('open', 'unknown');

CREATE TABLE exchange_requests (
    exchange INTEGER NOT NULL PRIMARY KEY REFERENCES exchanges (seq),
    message  BLOB NOT NULL
) STRICT;

CREATE TABLE exchange_answers (
    exchange INTEGER NOT NULL PRIMARY KEY REFERENCES exchanges (seq),
    message  BLOB NOT NULL
) STRICT;

-- Attempts that a new one has replaced, as they ended.
CREATE TABLE exchange_attempts (
    id             INTEGER NOT NULL PRIMARY KEY,
    exchange       INTEGER NOT NULL REFERENCES exchanges (seq),
    delivery_id    TEXT NOT NULL,
    sale_id        TEXT NOT NULL,
    category       TEXT NOT NULL,
    digest         BLOB NOT NULL CHECK (length(digest) = 32),
    credential     TEXT NOT NULL,
    admitted_at    INTEGER NOT NULL,
    outcome        TEXT NOT NULL,
    outcome_detail TEXT NOT NULL,
    settled_at     INTEGER
) STRICT;

CREATE INDEX exchange_attempts_of ON exchange_attempts (exchange);

-- What happened to an exchange, in order.
CREATE TABLE exchange_events (
    id       INTEGER NOT NULL PRIMARY KEY,
    exchange INTEGER NOT NULL REFERENCES exchanges (seq),
    at       INTEGER NOT NULL,
    what     TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;

CREATE INDEX exchange_events_of ON exchange_events (exchange);

-- Results that a person may need to look at; the delivery may be one that no exchange has.
CREATE TABLE evidence (
    id          INTEGER NOT NULL PRIMARY KEY,
    delivery_id TEXT NOT NULL,
    poi_id      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('misfit', 'too_large', 'conflict', 'orphan')),
    message     BLOB NOT NULL
) STRICT;

CREATE INDEX evidence_of ON evidence (delivery_id);

-- What Sale systems heard, which is not always what is true.
CREATE TABLE told (
    id          INTEGER NOT NULL PRIMARY KEY,
    exchange_id TEXT NOT NULL,
    call        INTEGER NOT NULL,
    what        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    written     INTEGER NOT NULL CHECK (written IN (0, 1))
) STRICT;

CREATE INDEX told_of ON told (exchange_id);

-- ServiceIDs that are closed.
CREATE TABLE fences (
    id         INTEGER NOT NULL PRIMARY KEY,
    company    TEXT NOT NULL,
    poi_id     TEXT NOT NULL,
    device_id  TEXT NOT NULL,
    service_id TEXT NOT NULL,
    reason     TEXT NOT NULL CHECK (reason IN ('told_not_found', 'told_unreachable')),
    at         INTEGER NOT NULL
) STRICT;

CREATE INDEX fences_by_identity ON fences (poi_id, service_id, device_id, company);

-- Notifications of terminals that no POS has yet. A terminal chooses the IDs, so they are its own.
CREATE TABLE notifications (
    id              INTEGER NOT NULL PRIMARY KEY,
    poi_id          TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    at              INTEGER NOT NULL,
    message         BLOB NOT NULL,
    UNIQUE (poi_id, notification_id)
) STRICT;
