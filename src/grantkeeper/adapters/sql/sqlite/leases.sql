-- Leases, by the database's own clock.

-- name: drop_lapsed_lease
DELETE FROM leases WHERE name = ?1 AND held_until <= unixepoch('subsec');

-- name: take_lease
INSERT INTO leases (name, owner, held_until) VALUES (?1, ?2, unixepoch('subsec') + ?3)
ON CONFLICT DO NOTHING
RETURNING version;

-- name: grant_is_at
SELECT 1 FROM grants WHERE id = ?1 AND version = ?2;

-- name: lease_held
SELECT held_until - unixepoch('subsec') FROM leases WHERE name = ?1;

-- name: renew_lease
UPDATE leases SET held_until = unixepoch('subsec') + ?3
WHERE version = ?1 AND name = ?2 AND owner = ?4 AND (?5 OR held_until > unixepoch('subsec'));

-- name: lease_left
SELECT held_until - unixepoch('subsec') FROM leases WHERE version = ?1 AND name = ?2 AND owner = ?3;

-- name: release_lease
DELETE FROM leases WHERE version = ?1 AND name = ?2 AND owner = ?3;

-- name: orphaned_leases
SELECT name FROM leases
WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 AND held_until <= unixepoch('subsec')
ORDER BY name LIMIT ?2;
