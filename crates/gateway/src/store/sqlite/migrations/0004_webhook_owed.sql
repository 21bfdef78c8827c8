-- Async requests: their end is owed to the POS by webhook, unless it is one that left nothing to tell ('refused',
-- 'never_reached': then no call ever heard `ok`).
ALTER TABLE exchanges ADD COLUMN webhook_owed INTEGER NOT NULL DEFAULT 0 CHECK (webhook_owed IN (0, 1));
