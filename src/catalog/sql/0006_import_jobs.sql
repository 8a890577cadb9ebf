-- Keys whose every version is imported; and the key pairs under which material is wrapped
-- on its way here.
ALTER TABLE keys ADD COLUMN import_only INTEGER NOT NULL DEFAULT 0 CHECK (import_only IN (0, 1));

CREATE TABLE import_jobs (
    id               TEXT    PRIMARY KEY,
    method           TEXT    NOT NULL,
    owner            TEXT    NOT NULL,
    backend          TEXT    NOT NULL,
    protection_level TEXT    NOT NULL,
    tag              BLOB    NOT NULL UNIQUE CHECK (length(tag) = 16),
    blob             BLOB    NOT NULL,
    public_key       BLOB, -- SubjectPublicKeyInfo, DER; NULL while it is still to be made
    created          INTEGER NOT NULL,
    expires          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
