-- A number of the key's own, which stands in every ciphertext; what it encrypts with;
-- and what tells a secret key from every other.
ALTER TABLE keys ADD COLUMN uid BLOB;
UPDATE keys SET uid = randomblob(16);
ALTER TABLE keys ADD COLUMN encryption_algorithms TEXT NOT NULL DEFAULT '[]'; -- JSON array of names, the default first
ALTER TABLE versions ADD COLUMN check_value BLOB;

-- The nonces that were given out of each version of a key, by its tag. They are taken in
-- blocks: `next` is the first that nobody can have used. The row outlives the version.
CREATE TABLE nonces (
    tag  BLOB    PRIMARY KEY CHECK (length(tag) = 16),
    next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
