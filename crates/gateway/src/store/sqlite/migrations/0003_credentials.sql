-- API credentials.

CREATE TABLE api_credentials (
    seq           INTEGER NOT NULL PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    company       TEXT NOT NULL REFERENCES companies (code),
    scope         TEXT NOT NULL CHECK (scope IN ('company', 'merchants')),
    -- A JSON array of names.
    roles         TEXT NOT NULL,
    key_hash      BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    username      TEXT NOT NULL UNIQUE,
    password_hash BLOB NOT NULL CHECK (length(password_hash) = 32),
    description   TEXT,
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER,
    -- So that a foreign key can say "of the same company".
    UNIQUE (id, company)
) STRICT;

CREATE INDEX api_credentials_of_company ON api_credentials (company);

-- What a credential of scope 'merchants' reaches.
CREATE TABLE api_credential_merchants (
    credential TEXT NOT NULL,
    company    TEXT NOT NULL,
    merchant   TEXT NOT NULL,
    PRIMARY KEY (credential, merchant),
    FOREIGN KEY (credential, company) REFERENCES api_credentials (id, company),
    FOREIGN KEY (company, merchant) REFERENCES merchant_accounts (company, code)
) STRICT, WITHOUT ROWID;
