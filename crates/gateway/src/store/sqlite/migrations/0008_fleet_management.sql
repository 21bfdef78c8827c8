-- Looking after a fleet: settings at every level, assignments, tokens with names, events, and imports.

-- Settings: none where nothing is set, and then those of the level above hold. Each change takes the next revision of all.
ALTER TABLE companies ADD COLUMN web_sockets_enabled INTEGER CHECK (web_sockets_enabled IN (0, 1));
ALTER TABLE companies ADD COLUMN terminal_api_enabled INTEGER CHECK (terminal_api_enabled IN (0, 1));
ALTER TABLE companies ADD COLUMN v1_booleans TEXT CHECK (v1_booleans IN ('strings', 'booleans'));
ALTER TABLE companies ADD COLUMN display_label TEXT;
ALTER TABLE companies ADD COLUMN settings_revision INTEGER NOT NULL DEFAULT 0;
-- An IANA name.
ALTER TABLE companies ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';

ALTER TABLE merchant_accounts ADD COLUMN web_sockets_enabled INTEGER CHECK (web_sockets_enabled IN (0, 1));
ALTER TABLE merchant_accounts ADD COLUMN terminal_api_enabled INTEGER CHECK (terminal_api_enabled IN (0, 1));
ALTER TABLE merchant_accounts ADD COLUMN v1_booleans TEXT CHECK (v1_booleans IN ('strings', 'booleans'));
ALTER TABLE merchant_accounts ADD COLUMN display_label TEXT;
ALTER TABLE merchant_accounts ADD COLUMN settings_revision INTEGER NOT NULL DEFAULT 0;

ALTER TABLE stores ADD COLUMN web_sockets_enabled INTEGER CHECK (web_sockets_enabled IN (0, 1));
ALTER TABLE stores ADD COLUMN terminal_api_enabled INTEGER CHECK (terminal_api_enabled IN (0, 1));
ALTER TABLE stores ADD COLUMN v1_booleans TEXT CHECK (v1_booleans IN ('strings', 'booleans'));
ALTER TABLE stores ADD COLUMN display_label TEXT;
ALTER TABLE stores ADD COLUMN settings_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stores ADD COLUMN id TEXT;
-- A JSON object.
ALTER TABLE stores ADD COLUMN address TEXT;
ALTER TABLE stores ADD COLUMN phone_number TEXT;
ALTER TABLE stores ADD COLUMN shopper_statement TEXT;
ALTER TABLE stores ADD COLUMN external_reference TEXT;

UPDATE stores SET id = 'ST' || hex(randomblob(11));

CREATE UNIQUE INDEX stores_by_id ON stores (id);

-- A store that a program of the release before makes while this one is there.
CREATE TRIGGER stores_have_ids AFTER INSERT ON stores WHEN NEW.id IS NULL
BEGIN
    UPDATE stores SET id = 'ST' || hex(randomblob(11)) WHERE merchant = NEW.merchant AND code = NEW.code;
END;

ALTER TABLE terminals ADD COLUMN web_sockets_enabled INTEGER CHECK (web_sockets_enabled IN (0, 1));
ALTER TABLE terminals ADD COLUMN terminal_api_enabled INTEGER CHECK (terminal_api_enabled IN (0, 1));
ALTER TABLE terminals ADD COLUMN country TEXT CHECK (length(country) = 2);
ALTER TABLE terminals ADD COLUMN permanent_terminal_id TEXT;
-- None for one that was there before this was noted.
ALTER TABLE terminals ADD COLUMN added_at INTEGER;
ALTER TABLE terminals ADD COLUMN last_transaction_at INTEGER;
ALTER TABLE terminals ADD COLUMN last_activity_at INTEGER;
ALTER TABLE terminals ADD COLUMN token_id TEXT;
ALTER TABLE terminals ADD COLUMN token_made_at INTEGER;
ALTER TABLE terminals ADD COLUMN retired_at INTEGER
    CHECK (retired_at IS NULL OR (place = 'company_inventory' AND token_hash IS NULL));
-- The import that brought it. While that is open the terminal is not there yet.
ALTER TABLE terminals ADD COLUMN import INTEGER;

UPDATE terminals SET permanent_terminal_id = printf('%08d', abs(random() % 100000000));
UPDATE terminals SET token_id = 'tk_' || lower(hex(randomblob(16))), token_made_at = boarded_at
WHERE token_hash IS NOT NULL;

-- The order of lists of a whole company, as one text: merchant account, kind of place, store, POIID. A space comes before all
-- that may be in a code, so that a shorter code comes before a longer one.
ALTER TABLE terminals ADD COLUMN list_key TEXT GENERATED ALWAYS AS (
    coalesce(merchant, '')
    || CASE place
        WHEN 'company_inventory' THEN ' 0 '
        WHEN 'merchant_inventory' THEN ' 1 '
        WHEN 'merchant_in_store' THEN ' 2 '
        ELSE ' 3 '
    END
    || coalesce(store, '') || ' ' || poi_id
) VIRTUAL;

CREATE INDEX terminals_in_order ON terminals (company, list_key, import) WHERE retired_at IS NULL;
-- Nothing has read it.
DROP INDEX terminals_of_company;

CREATE TABLE fleet_counters (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who was connected before there was a switch stays so.
INSERT INTO fleet_counters (name, value) VALUES ('settings_revision', 2);
UPDATE companies SET web_sockets_enabled = 1, terminal_api_enabled = 1, settings_revision = 2;

CREATE TABLE assignments (
    -- The order in which they were asked for.
    seq           INTEGER NOT NULL PRIMARY KEY,
    change_id     TEXT NOT NULL UNIQUE,
    poi_id        TEXT NOT NULL REFERENCES terminals (poi_id),
    company       TEXT NOT NULL REFERENCES companies (code),
    from_place    TEXT NOT NULL,
    from_merchant TEXT,
    from_store    TEXT,
    to_place      TEXT NOT NULL,
    to_merchant   TEXT,
    to_store      TEXT,
    -- What the caller was told.
    answer        TEXT NOT NULL CHECK (answer IN ('Done', 'AssignmentScheduled', 'RemoveConfigScheduled')),
    state         TEXT NOT NULL
                  CHECK (state IN ('scheduled', 'awaiting_terminal', 'done', 'superseded', 'cancelled')),
    requested_at  INTEGER NOT NULL,
    -- None for the operator of the installation.
    requested_by  TEXT,
    told_at       INTEGER,
    ended_at      INTEGER,
    psp_reference TEXT,
    token_ended   INTEGER NOT NULL DEFAULT 0 CHECK (token_ended IN (0, 1)),
    FOREIGN KEY (company, to_merchant) REFERENCES merchant_accounts (company, code),
    FOREIGN KEY (to_merchant, to_store) REFERENCES stores (merchant, code),
    CHECK ((ended_at IS NULL) = (state IN ('scheduled', 'awaiting_terminal'))),
    CHECK ((psp_reference IS NOT NULL) = (state = 'done'))
) STRICT;

CREATE INDEX assignments_of_terminal ON assignments (poi_id, seq);
-- At most one is still to happen to a terminal.
CREATE UNIQUE INDEX assignments_pending ON assignments (poi_id) WHERE ended_at IS NULL;
CREATE INDEX assignments_due ON assignments (seq) WHERE state = 'scheduled';
-- Those that are to bring a terminal into the store which a merchant account itself represents.
CREATE INDEX assignments_to_merchant ON assignments (to_merchant)
    WHERE ended_at IS NULL AND to_place = 'merchant_in_store';

-- Tokens that were given to a terminal, and take the place of its own as soon as one of them is there.
CREATE TABLE next_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    poi_id     TEXT NOT NULL REFERENCES terminals (poi_id),
    token_id   TEXT NOT NULL,
    made_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX next_tokens_of_terminal ON next_tokens (poi_id);

ALTER TABLE ended_tokens ADD COLUMN token_id TEXT;
ALTER TABLE ended_tokens ADD COLUMN made_at INTEGER;

UPDATE ended_tokens SET token_id = 'tk_' || lower(hex(randomblob(16)));

CREATE INDEX ended_tokens_of_terminal ON ended_tokens (poi_id);

CREATE TABLE fleet_events (
    seq     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    company TEXT NOT NULL REFERENCES companies (code),
    -- No reference: an event outlives what it is about.
    poi_id  TEXT,
    kind    TEXT NOT NULL,
    -- A JSON object.
    data    TEXT NOT NULL
) STRICT;

CREATE INDEX fleet_events_of_company ON fleet_events (company, seq);
CREATE INDEX fleet_events_of_terminal ON fleet_events (poi_id, seq) WHERE poi_id IS NOT NULL;

-- An import that was begun and not ended; its terminals are not there yet.
CREATE TABLE open_imports (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    company    TEXT NOT NULL REFERENCES companies (code),
    begun_by   TEXT,
    -- When it last wrote: one that was silent for long was broken off.
    touched_at INTEGER NOT NULL,
    -- All its rows are from here on.
    first_row  INTEGER NOT NULL,
    count      INTEGER NOT NULL DEFAULT 0
) STRICT;
