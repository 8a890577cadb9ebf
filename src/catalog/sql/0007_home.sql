-- Where the catalog lies, and how often nonces were given out, so that a copy of it is told
-- from the one that goes on.
ALTER TABLE catalog ADD COLUMN home BLOB; -- NULL: not known yet
ALTER TABLE catalog ADD COLUMN blocks INTEGER NOT NULL DEFAULT 0;
