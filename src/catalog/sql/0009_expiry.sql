-- The time of expiry that was warned of, so that it is warned of once.
ALTER TABLE keys ADD COLUMN expiry_warned INTEGER;
