-- What a restore does beside writing rows. A number is never used again, whatever a node has seen.

-- name: any_row
SELECT 'grants' FROM grants UNION ALL SELECT 'redemptions' FROM redemptions
UNION ALL SELECT 'callers' FROM callers UNION ALL SELECT 'once' FROM once
UNION ALL SELECT 'signing_keys' FROM signing_keys UNION ALL SELECT 'audit' FROM audit LIMIT 1;

-- name: last_numbers
SELECT
    (SELECT coalesce(max(seq), 0) FROM changes),
    (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'leases'),
    (SELECT coalesce(max(seq), 0) FROM audit);

-- name: drop_marks
DELETE FROM marks;

-- name: restore_job
INSERT INTO jobs ({job}) VALUES ({job_marks});

-- name: restore_redemption
INSERT INTO redemptions ({redemption}, claimed_until) VALUES ({redemption_marks}, 0);

-- name: restore_once
INSERT INTO once (kind, key, value, ends_at) VALUES (?, ?, ?, ?);

-- name: restore_event
INSERT INTO audit (seq, {event}) VALUES (?, {event_marks});

-- name: change_everything
INSERT INTO changes (seq, kind, id, at) VALUES (?1, 'all', '', unixepoch('subsec'));

-- name: drop_lease_number
DELETE FROM sqlite_sequence WHERE name = 'leases';

-- name: set_lease_number
INSERT INTO sqlite_sequence (name, seq) VALUES ('leases', ?1);
