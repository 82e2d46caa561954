-- Leases, by the database's own clock. A released lease keeps its row, so that its version goes on.

-- name: take_lease
INSERT INTO leases (name, owner, version, held_until) VALUES (?1, ?2, 1, unixepoch('subsec') + ?3)
ON CONFLICT (name) DO UPDATE SET
    owner = excluded.owner, version = version + 1, held_until = excluded.held_until
WHERE held_until <= unixepoch('subsec')
RETURNING version, held_until - unixepoch('subsec');

-- name: lease_held
SELECT held_until - unixepoch('subsec') FROM leases WHERE name = ?1;

-- name: renew_lease
UPDATE leases SET held_until = unixepoch('subsec') + ?4
WHERE name = ?1 AND owner = ?2 AND version = ?3 AND held_until > unixepoch('subsec')
RETURNING held_until - unixepoch('subsec');

-- name: lease_left
SELECT held_until - unixepoch('subsec') FROM leases WHERE name = ?1 AND owner = ?2 AND version = ?3;

-- name: release_lease
UPDATE leases SET held_until = unixepoch('subsec')
WHERE name = ?1 AND owner = ?2 AND version = ?3 AND held_until > unixepoch('subsec');
