-- The Actions API: its credentials, and the payments of its desktops.

-- None for a credential that may not speak it.
ALTER TABLE api_credentials ADD COLUMN actions TEXT CHECK (actions IN ('desktop', 'terminal'));

-- What a desktop signs HTTP requests with, under a key that is not in the database.
ALTER TABLE api_credentials ADD COLUMN actions_secret BLOB CHECK (actions_secret IS NULL OR actions = 'desktop');

CREATE TABLE actions_desktop_groups (
    credential TEXT NOT NULL,
    -- The order in which they were given.
    position   INTEGER NOT NULL,
    company    TEXT NOT NULL,
    merchant   TEXT NOT NULL,
    -- None when the merchant account itself represents the store.
    store      TEXT,
    PRIMARY KEY (credential, position),
    FOREIGN KEY (credential, company) REFERENCES api_credentials (id, company),
    FOREIGN KEY (company, merchant) REFERENCES merchant_accounts (company, code),
    FOREIGN KEY (merchant, store) REFERENCES stores (merchant, code)
) STRICT, WITHOUT ROWID;

-- Terminal and device ID are unique among the credentials that were not revoked.
CREATE TABLE actions_terminals (
    credential TEXT NOT NULL PRIMARY KEY,
    company    TEXT NOT NULL,
    merchant   TEXT NOT NULL,
    store      TEXT,
    poi_id     TEXT NOT NULL REFERENCES terminals (poi_id),
    device_id  TEXT NOT NULL,
    -- A JSON object.
    metadata   TEXT NOT NULL,
    FOREIGN KEY (credential, company) REFERENCES api_credentials (id, company),
    FOREIGN KEY (company, merchant) REFERENCES merchant_accounts (company, code),
    FOREIGN KEY (merchant, store) REFERENCES stores (merchant, code)
) STRICT, WITHOUT ROWID;

CREATE INDEX actions_terminals_by_poi ON actions_terminals (poi_id);
CREATE INDEX actions_terminals_by_device ON actions_terminals (company, device_id);
CREATE INDEX actions_terminals_of_group ON actions_terminals (merchant, store, poi_id);

-- Kept narrow, since a row is written anew at each step; bodies are beside it.
CREATE TABLE actions_transactions (
    -- The order of their beginnings.
    seq                INTEGER NOT NULL PRIMARY KEY,
    credential         TEXT NOT NULL,
    transaction_id     TEXT NOT NULL,
    digest             BLOB NOT NULL CHECK (length(digest) = 32),
    company            TEXT NOT NULL,
    merchant           TEXT NOT NULL,
    store              TEXT,
    poi_id             TEXT NOT NULL,
    service_id         TEXT NOT NULL,
    desktop_device     TEXT,
    desktop_connection TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    -- When it got its result; none also after a giving up ('FAILED' without it).
    completed_at       INTEGER,
    status             TEXT NOT NULL,
    late               INTEGER NOT NULL DEFAULT 0 CHECK (late IN (0, 1)),
    -- Counts what there was to tell; since when it is to be told, and when it was.
    edition            INTEGER NOT NULL DEFAULT 0,
    edition_at         INTEGER,
    told_at            INTEGER,
    read_at            INTEGER,
    void               TEXT NOT NULL DEFAULT 'none' CHECK (void IN ('none', 'pending', 'done', 'failed')),
    voided_at          INTEGER,
    CHECK (CASE status
        WHEN 'PENDING' THEN completed_at IS NULL AND edition = 0
        WHEN 'AWAITING_RECONNECT' THEN completed_at IS NULL AND edition = 0
        WHEN 'COMPLETED' THEN completed_at IS NOT NULL AND edition > 0 AND void <> 'done'
        WHEN 'FAILED' THEN edition > 0
        WHEN 'CANCELLED' THEN completed_at IS NOT NULL AND edition > 0
        WHEN 'VOIDED' THEN completed_at IS NOT NULL AND edition > 0 AND void = 'done'
        ELSE FALSE
    END),
    CHECK (void = 'none' OR status IN ('COMPLETED', 'VOIDED')),
    CHECK ((void = 'done') = (voided_at IS NOT NULL)),
    CHECK ((edition = 0) = (edition_at IS NULL)),
    CHECK (told_at IS NULL OR edition > 0)
) STRICT;

-- The latest of an ID: rows of one key stand in order of seq.
CREATE INDEX actions_transactions_by_id ON actions_transactions (credential, transaction_id);
CREATE INDEX actions_transactions_by_service ON actions_transactions (poi_id, service_id, company);

-- What waits for a desktop, in order.
CREATE INDEX actions_transactions_untold ON actions_transactions (credential, desktop_device, edition_at)
    WHERE told_at IS NULL AND edition > 0 AND void <> 'pending' AND desktop_device IS NOT NULL;

-- What a gateway that starts has to go on with.
CREATE INDEX actions_transactions_unfinished ON actions_transactions (seq)
    WHERE completed_at IS NULL OR void = 'pending';

-- `*_changed`: card data was taken out, so that it is not the original.
CREATE TABLE actions_requests (
    seq                     INTEGER NOT NULL PRIMARY KEY REFERENCES actions_transactions (seq),
    payment_request         BLOB NOT NULL,
    payment_request_changed INTEGER NOT NULL CHECK (payment_request_changed IN (0, 1)),
    request                 BLOB NOT NULL,
    request_changed         INTEGER NOT NULL CHECK (request_changed IN (0, 1))
) STRICT;

CREATE TABLE actions_responses (
    seq              INTEGER NOT NULL PRIMARY KEY REFERENCES actions_transactions (seq),
    response         BLOB NOT NULL,
    response_changed INTEGER NOT NULL CHECK (response_changed IN (0, 1))
) STRICT;
