-- The tenant that a key belongs to; NULL where its creator had none.
ALTER TABLE keys ADD COLUMN tenant TEXT;
