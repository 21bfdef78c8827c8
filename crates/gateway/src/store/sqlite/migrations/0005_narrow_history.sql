-- What a row of exchanges says by itself (admitted, received, settled, each with its time) is not written twice: events
-- hold only what a row says no longer, or never did.

-- Clustered by exchange: what was told is looked up by it, and one tree is written instead of two.
CREATE TABLE told_by_exchange (
    exchange_id TEXT NOT NULL,
    at          INTEGER NOT NULL,
    call        INTEGER NOT NULL,
    what        TEXT NOT NULL,
    written     INTEGER NOT NULL CHECK (written IN (0, 1)),
    PRIMARY KEY (exchange_id, at, call)
) STRICT, WITHOUT ROWID;

INSERT INTO told_by_exchange (exchange_id, at, call, what, written)
SELECT exchange_id, at, call, what, written FROM told WHERE true
ON CONFLICT DO NOTHING;

DROP TABLE told;

ALTER TABLE told_by_exchange RENAME TO told;

DELETE FROM exchange_events
WHERE what IN ('admitted', 'received') OR EXISTS (
    SELECT 1 FROM exchanges e
    WHERE e.seq = exchange_events.exchange AND e.outcome = exchange_events.what
        AND e.outcome_detail = exchange_events.detail AND e.settled_at = exchange_events.at
);
