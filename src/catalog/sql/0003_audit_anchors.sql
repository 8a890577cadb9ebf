-- Checkpoints of the audit log, kept here so that the log cannot be cut off or
-- replaced without a trace. Times are milliseconds since 1970, UTC.
CREATE TABLE audit_anchors (
    sequence  INTEGER PRIMARY KEY CHECK (sequence > 0),
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    key       TEXT    NOT NULL, -- the fingerprint of the key that signed it
    signature BLOB    NOT NULL,
    at        INTEGER NOT NULL
) STRICT;
