-- When the gateway rotates a key by itself; how versions end.
ALTER TABLE keys ADD COLUMN rotation_period INTEGER; -- milliseconds; NULL: never
ALTER TABLE keys ADD COLUMN next_rotation INTEGER;

-- The same table with times of its end, and without a tag and a blob where nothing is
-- left of the material.
CREATE TABLE versions_now (
    key_id           TEXT    NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL CHECK (number > 0),
    state            TEXT    NOT NULL,
    backend          TEXT    NOT NULL,
    protection_level TEXT    NOT NULL,
    origin           TEXT    NOT NULL,
    tag              BLOB    UNIQUE CHECK (length(tag) = 16),
    blob             BLOB,
    public_key       BLOB, -- SubjectPublicKeyInfo, DER
    created          INTEGER NOT NULL,
    generated        INTEGER,
    compromised      INTEGER, -- since when it is known to others
    destroys         INTEGER, -- when it is to be destroyed
    destroyed        INTEGER, -- when it was
    PRIMARY KEY (key_id, number),
    CHECK ((tag IS NULL) = (state = 'destroyed')),
    CHECK ((tag IS NULL) = (blob IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO versions_now
SELECT key_id, number, state, backend, protection_level, origin, tag, blob, public_key, created,
    generated, NULL, NULL, NULL
FROM versions;
DROP TABLE versions;
ALTER TABLE versions_now RENAME TO versions;
