-- Rates and pauses that all processes share, by the database's own clock. What a crash of the database
-- loses of them is not worth a wait for its disk.

-- The generic cell rate algorithm. A turn is free as long as the burst is not used up; whoever is
-- refused leaves the rate as it was.
-- name: spend
WITH calm AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO paces AS kept (key, full_until, wait)
SELECT $1::text, clock_timestamp() + make_interval(secs => $2), 0 FROM calm
ON CONFLICT (key) DO UPDATE SET (full_until, wait) = (
    SELECT CASE WHEN late > 0 THEN kept.full_until ELSE next END, greatest(late, 0)
    FROM (
        SELECT next, extract(epoch FROM next - at - turn * $3::int)::float8 AS late
        FROM (
            SELECT at, turn, greatest(kept.full_until, at) + turn AS next
            FROM (SELECT clock_timestamp() AS at, make_interval(secs => $2) AS turn) AS moment
        ) AS coming
    ) AS told
)
RETURNING wait;

-- name: pause
WITH calm AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO pauses AS kept (key, paused_until, seconds)
SELECT $1::text, clock_timestamp() + make_interval(secs => $2), $2 FROM calm
ON CONFLICT (key) DO UPDATE SET paused_until = excluded.paused_until, seconds = excluded.seconds
WHERE kept.paused_until < excluded.paused_until;

-- name: pauses
SELECT key, extract(epoch FROM paused_until - clock_timestamp())::float8, seconds FROM pauses
WHERE key = ANY ($1::text[]);

-- name: forget_pauses
DELETE FROM pauses WHERE key = ANY ($1::text[]) AND paused_until <= clock_timestamp();

-- name: sweep_paces
WITH gone AS (
    DELETE FROM paces WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM paces WHERE full_until <= clock_timestamp() - make_interval(secs => $1)
        LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sweep_pauses
WITH gone AS (
    DELETE FROM pauses WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM pauses WHERE paused_until <= clock_timestamp() - make_interval(secs => seconds + $1)
        LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone;
