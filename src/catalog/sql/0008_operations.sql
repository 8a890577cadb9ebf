-- How often each version of a key may protect something, and how many of these operations
-- it was given. They are taken in blocks, as nonces are.
ALTER TABLE keys ADD COLUMN max_operations INTEGER CHECK (max_operations > 0); -- NULL: not counted
ALTER TABLE versions ADD COLUMN operations INTEGER NOT NULL DEFAULT 0;
