-- Leases, by the database's own clock.

-- A lease that is held is seen without a write: whoever waits for it asks again and again.
-- Under the row's lock the number is drawn anew, so that it grows with every taking.
-- name: take_lease
INSERT INTO leases AS held (name, owner, version, orphaned, held_until)
SELECT $1::text, $2::text, nextval('lease_versions'), false, clock_timestamp() + make_interval(secs => $3)
WHERE NOT EXISTS (SELECT FROM leases WHERE name = $1 AND held_until > clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
    owner = excluded.owner,
    version = nextval('lease_versions'),
    orphaned = true,
    held_until = clock_timestamp() + make_interval(secs => $3)
WHERE held.held_until <= clock_timestamp()
RETURNING version, orphaned;

-- name: lease_held
SELECT extract(epoch FROM held_until - clock_timestamp())::float8 FROM leases WHERE name = $1;

-- name: renew_lease
UPDATE leases SET held_until = clock_timestamp() + make_interval(secs => $4)
WHERE name = $1 AND version = $2 AND owner = $3 AND held_until > clock_timestamp()
RETURNING 1;

-- name: lease_left
SELECT extract(epoch FROM held_until - clock_timestamp())::float8 FROM leases
WHERE name = $1 AND version = $2 AND owner = $3;

-- name: release_lease
DELETE FROM leases WHERE name = $1 AND version = $2 AND owner = $3;

-- name: orphaned_leases
SELECT name FROM leases
WHERE name >= $1 AND starts_with(name, $1) AND held_until <= clock_timestamp()
ORDER BY name LIMIT $2;
