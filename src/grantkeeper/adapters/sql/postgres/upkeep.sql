-- Proof of life and the sweep. Every deletion walks an index from its oldest end, is bounded, and passes
-- over what somebody works on.

-- name: pulse
INSERT INTO pulse (one, at) VALUES (1, clock_timestamp()) ON CONFLICT (one) DO UPDATE SET at = excluded.at;

-- name: sweep_redemptions
WITH gone AS (
    DELETE FROM redemptions WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM redemptions WHERE keep_until <= $1 ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sweep_tokens
WITH gone AS (
    DELETE FROM tokens WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sweep_once
WITH gone AS (
    DELETE FROM once WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM once WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sweep_leases
WITH gone AS (
    DELETE FROM leases WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM leases WHERE held_until <= clock_timestamp() - make_interval(secs => $1)
        -- Names that begin as one of these are sought by who sees to what the dead left.
        AND NOT name ^@ ANY ($3::text[])
        LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sweep_nodes
WITH gone AS (
    DELETE FROM nodes WHERE heard_until <= clock_timestamp() - make_interval(secs => $1) RETURNING 1
)
SELECT count(*) FROM gone;

-- The newest row stays, and a reader can tell whether its place was swept away.
-- name: sweep_changes
WITH gone AS (
    DELETE FROM changes WHERE seq = ANY (ARRAY (
        SELECT seq FROM (SELECT seq, at FROM changes ORDER BY seq LIMIT $3) AS oldest
        WHERE seq < (SELECT max(seq) FROM changes)
          AND (at <= clock_timestamp() - make_interval(secs => $1)
               OR seq <= (SELECT max(seq) FROM changes) - $2::bigint)
    )) RETURNING seq
),
told AS (
    UPDATE feed SET swept = greatest(swept, (SELECT max(seq) FROM gone)) WHERE EXISTS (SELECT FROM gone)
)
SELECT count(*) FROM gone;
