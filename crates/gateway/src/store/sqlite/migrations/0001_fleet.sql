-- Companies, merchant accounts, stores, terminals, and how terminals are boarded.
-- Moments are milliseconds since 1970-01-01T00:00:00Z. Secrets are kept as SHA-256.

CREATE TABLE companies (
    code        TEXT NOT NULL PRIMARY KEY,
    description TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE merchant_accounts (
    code        TEXT NOT NULL PRIMARY KEY,
    company     TEXT NOT NULL REFERENCES companies (code),
    description TEXT,
    -- So that a foreign key can say "of the same company".
    UNIQUE (company, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE stores (
    merchant    TEXT NOT NULL REFERENCES merchant_accounts (code),
    code        TEXT NOT NULL,
    description TEXT,
    status      TEXT NOT NULL
                CHECK (status IN ('PreActive', 'Active', 'Inactive', 'InactiveWithModifications', 'Closed')),
    PRIMARY KEY (merchant, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE terminals (
    poi_id            TEXT NOT NULL PRIMARY KEY,
    company           TEXT NOT NULL REFERENCES companies (code),
    place             TEXT NOT NULL,
    merchant          TEXT,
    store             TEXT,
    display_label     TEXT,
    settings_revision INTEGER NOT NULL DEFAULT 1,

    -- The boarding. The token's absence is what "not boarded" means; journal, attempt and epoch outlive it.
    token_hash        BLOB UNIQUE CHECK (length(token_hash) = 32),
    boarded_at        INTEGER,
    journal_id        TEXT,
    journal_at        INTEGER,
    attempt           INTEGER NOT NULL DEFAULT 0,
    epoch             INTEGER NOT NULL DEFAULT 0,
    -- Whether a hello came since the token was given: from then on its boarding code is good no more.
    has_said_hello    INTEGER NOT NULL DEFAULT 0 CHECK (has_said_hello IN (0, 1)),

    -- What the device says of itself.
    platform          TEXT,
    firmware_version  TEXT,
    device            TEXT,
    last_hello_at     INTEGER,

    FOREIGN KEY (company, merchant) REFERENCES merchant_accounts (company, code),
    FOREIGN KEY (merchant, store) REFERENCES stores (merchant, code),
    CHECK (CASE place
        WHEN 'company_inventory' THEN merchant IS NULL AND store IS NULL
        WHEN 'merchant_inventory' THEN merchant IS NOT NULL AND store IS NULL
        WHEN 'merchant_in_store' THEN merchant IS NOT NULL AND store IS NULL
        WHEN 'store' THEN merchant IS NOT NULL AND store IS NOT NULL
        ELSE FALSE
    END),
    CHECK (token_hash IS NULL OR place IN ('merchant_in_store', 'store')),
    CHECK (token_hash IS NULL OR (boarded_at IS NOT NULL AND journal_id IS NOT NULL AND journal_at IS NOT NULL))
) STRICT;

-- Lists are in order of POIID; these give it without sorting.
CREATE INDEX terminals_of_company ON terminals (company, poi_id);
CREATE INDEX terminals_of_merchant ON terminals (merchant, poi_id);
CREATE INDEX terminals_of_store ON terminals (merchant, store, poi_id);

-- At most one code for a terminal: a new one replaces it.
CREATE TABLE boarding_codes (
    poi_id     TEXT NOT NULL PRIMARY KEY REFERENCES terminals (poi_id),
    code_hash  BLOB NOT NULL CHECK (length(code_hash) = 32),
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;

-- Tokens that may still hand in results.
CREATE TABLE ended_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    poi_id     TEXT NOT NULL REFERENCES terminals (poi_id),
    ended_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_tokens_by_age ON ended_tokens (ended_at);

-- Wrong boarding codes, counted for a terminal or for an address.
CREATE TABLE boarding_failures (
    kind         TEXT NOT NULL CHECK (kind IN ('terminal', 'address')),
    name         TEXT NOT NULL,
    failures     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    locked_until INTEGER,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX boarding_failures_by_age ON boarding_failures (last_at);
