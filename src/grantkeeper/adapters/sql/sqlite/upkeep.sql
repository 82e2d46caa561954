-- Proof of life and the sweep. Every deletion walks an index from its oldest end and is bounded.

-- name: pulse
INSERT INTO pulse (one, at) VALUES (1, unixepoch('subsec')) ON CONFLICT DO UPDATE SET at = excluded.at;

-- name: sweep_redemptions
DELETE FROM redemptions WHERE rowid IN (SELECT rowid FROM redemptions WHERE keep_until <= ?1 LIMIT ?2);

-- name: sweep_tokens
DELETE FROM tokens WHERE rowid IN (SELECT rowid FROM tokens WHERE expires_at <= ?1 LIMIT ?2);

-- name: sweep_once
DELETE FROM once WHERE rowid IN (SELECT rowid FROM once WHERE ends_at <= ?1 LIMIT ?2);

-- name: sweep_leases
DELETE FROM leases WHERE version IN (
    SELECT version FROM leases WHERE held_until <= unixepoch('subsec') - ?1
        -- Names that begin as one of these are sought by who sees to what the dead left.
        AND substr(name, 1, instr(name, ':')) NOT IN (SELECT value FROM json_each(?3))
    LIMIT ?2
);

-- name: sweep_nodes
DELETE FROM nodes WHERE heard_until <= unixepoch('subsec') - ?1;

-- The newest row stays: the next number is one more than it.
-- name: sweep_changes
DELETE FROM changes WHERE seq IN (
    SELECT seq FROM (SELECT seq, at FROM changes ORDER BY seq LIMIT ?3)
    WHERE seq < (SELECT max(seq) FROM changes)
      AND (at <= unixepoch('subsec') - ?1 OR seq <= (SELECT max(seq) FROM changes) - ?2)
);
