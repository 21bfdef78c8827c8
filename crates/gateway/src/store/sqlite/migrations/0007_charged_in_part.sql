-- What a terminal took a part of, though all of it was asked for: money was taken, and it is no success.
ALTER TABLE actions_transactions ADD COLUMN in_part INTEGER NOT NULL DEFAULT 0
    CHECK (in_part = 0 OR in_part = 1 AND status IN ('COMPLETED', 'VOIDED'));
