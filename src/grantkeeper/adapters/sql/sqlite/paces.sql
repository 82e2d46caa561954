-- Rates and pauses that all processes share, by the database's own clock.

-- The generic cell rate algorithm. A turn is free as long as the burst is not used up; whoever is
-- refused leaves the rate as it was. A microsecond is what a clock of this size cannot tell.
-- name: spend
INSERT INTO paces (key, full_until, wait) VALUES (?1, unixepoch('subsec') + ?2, 0.0)
ON CONFLICT DO UPDATE SET
    full_until = iif(
        max(full_until, unixepoch('subsec')) + ?2 - unixepoch('subsec') - ?2 * ?3 > 0.000001,
        full_until,
        max(full_until, unixepoch('subsec')) + ?2
    ),
    wait = iif(
        max(full_until, unixepoch('subsec')) + ?2 - unixepoch('subsec') - ?2 * ?3 > 0.000001,
        max(full_until, unixepoch('subsec')) + ?2 - unixepoch('subsec') - ?2 * ?3,
        0.0
    )
RETURNING wait;

-- name: pause
INSERT INTO pauses (key, paused_until, seconds) VALUES (?1, unixepoch('subsec') + ?2, ?2)
ON CONFLICT DO UPDATE SET paused_until = excluded.paused_until, seconds = excluded.seconds
WHERE paused_until < excluded.paused_until;

-- name: pauses
SELECT key, paused_until - unixepoch('subsec'), seconds FROM pauses
WHERE key IN (SELECT value FROM json_each(?1));

-- name: forget_pauses
DELETE FROM pauses
WHERE key IN (SELECT value FROM json_each(?1)) AND paused_until <= unixepoch('subsec');

-- name: sweep_paces
DELETE FROM paces WHERE key IN (
    SELECT key FROM paces WHERE full_until <= unixepoch('subsec') - ?1 LIMIT ?2
);

-- name: sweep_pauses
DELETE FROM pauses WHERE key IN (
    SELECT key FROM pauses WHERE paused_until + seconds <= unixepoch('subsec') - ?1 LIMIT ?2
);
