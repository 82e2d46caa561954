-- Leases, by the database's own clock.

-- {dead} says that whoever has a lease is dead though its time is not over: nobody holds the lock
-- that vouches for the owner, and the server has run all the while.

-- A lease that is held is seen without a write: whoever waits for it asks again and again.
-- Under the row's lock the number is drawn anew, so that it grows with every taking. That of a new row was
-- drawn before there was one to lock: whoever drew a later one may have had the lease and given it back.
-- name: take_lease
INSERT INTO leases AS held (name, owner, version, orphaned, held_until, life, server_start)
SELECT $1::text, $2::text, nextval('lease_versions'), false, clock_timestamp() + make_interval(secs => $3),
    $4::int, pg_postmaster_start_time()
WHERE NOT EXISTS (
    SELECT FROM leases AS held WHERE name = $1 AND held_until > clock_timestamp() AND {dead} IS NOT TRUE
) AND ($5::text IS NULL OR EXISTS (SELECT FROM grants WHERE id = $5::text AND version = $6::bigint))
ON CONFLICT (name) DO UPDATE SET
    owner = excluded.owner,
    version = nextval('lease_versions'),
    orphaned = true,
    held_until = clock_timestamp() + make_interval(secs => $3),
    life = excluded.life,
    server_start = excluded.server_start
WHERE held.held_until <= clock_timestamp() OR {dead}
RETURNING version, orphaned, version < pg_sequence_last_value('lease_versions'::regclass);

-- name: number_lease
UPDATE leases SET version = nextval('lease_versions') WHERE name = $1 AND version = $2 AND owner = $3
RETURNING version;

-- name: lease_held
SELECT extract(epoch FROM held_until - clock_timestamp())::float8 FROM leases WHERE name = $1;

-- name: renew_lease
UPDATE leases SET
    held_until = clock_timestamp() + make_interval(secs => $4),
    life = $6::int,
    server_start = pg_postmaster_start_time()
WHERE name = $1 AND version = $2 AND owner = $3 AND ($5 OR held_until > clock_timestamp())
RETURNING 1;

-- name: lease_left
SELECT extract(epoch FROM held_until - clock_timestamp())::float8 FROM leases
WHERE name = $1 AND version = $2 AND owner = $3;

-- name: release_lease
DELETE FROM leases WHERE name = $1 AND version = $2 AND owner = $3;

-- name: orphaned_leases
SELECT name FROM leases AS held
WHERE name >= $1 AND starts_with(name, $1) AND (held_until <= clock_timestamp() OR {dead})
ORDER BY name LIMIT $2;

-- name: begin_life
SELECT pg_try_advisory_lock({locks}, $1);

-- The leases of a process whose session was cut and who lives all the same.
-- name: go_on_living
UPDATE leases SET life = $2 WHERE life = $1 AND server_start = pg_postmaster_start_time();

-- name: still_living
SELECT 1;
