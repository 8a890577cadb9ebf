-- What the gateway knows: keys, their versions, other names, answers to repeat,
-- and a row for every change. Times are milliseconds since 1970, UTC.

CREATE TABLE catalog (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    instance_id TEXT    NOT NULL,
    revision    INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id                   TEXT    PRIMARY KEY,
    key_type             TEXT    NOT NULL,
    purpose              TEXT    NOT NULL,
    signature_algorithms TEXT    NOT NULL, -- JSON array of names, the default first
    protection_floor     TEXT,
    backend              TEXT    NOT NULL,
    labels               TEXT    NOT NULL, -- JSON object
    description          TEXT    NOT NULL,
    owner                TEXT    NOT NULL,
    not_before           INTEGER,
    expires              INTEGER,
    destroy_after        INTEGER NOT NULL, -- milliseconds
    primary_version      INTEGER NOT NULL,
    min_protect          INTEGER NOT NULL,
    min_process          INTEGER NOT NULL,
    revision             INTEGER NOT NULL,
    created              INTEGER NOT NULL,
    updated              INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE aliases (
    alias  TEXT PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX aliases_of_key ON aliases (key_id);

CREATE TABLE versions (
    key_id           TEXT    NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL CHECK (number > 0),
    state            TEXT    NOT NULL,
    backend          TEXT    NOT NULL,
    protection_level TEXT    NOT NULL,
    origin           TEXT    NOT NULL,
    tag              BLOB    NOT NULL UNIQUE CHECK (length(tag) = 16),
    blob             BLOB    NOT NULL,
    public_key       BLOB, -- SubjectPublicKeyInfo, DER
    created          INTEGER NOT NULL,
    generated        INTEGER,
    PRIMARY KEY (key_id, number)
) STRICT, WITHOUT ROWID;

-- Tags of intents that were given up. A device may show an object of such a tag
-- later (a token that was searched beside a creation, a device that answered
-- late): the sweep removes those, and only those.
CREATE TABLE withdrawn (
    tag     BLOB    PRIMARY KEY CHECK (length(tag) = 16),
    backend TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Answers to be given again when a call is repeated. `answer` is NULL while the
-- first call is still at work.
CREATE TABLE requests (
    principal   TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    key_id      TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    answer      TEXT,
    created     INTEGER NOT NULL,
    PRIMARY KEY (principal, action, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (created);

CREATE TABLE changes (
    revision INTEGER PRIMARY KEY,
    key_id   TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
