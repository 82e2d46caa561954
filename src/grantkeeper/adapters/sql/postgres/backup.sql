-- What a restore does beside copying rows. A number is never used again, whatever a node has seen.

-- name: any_row
SELECT 'grants' WHERE EXISTS (SELECT FROM grants)
UNION ALL SELECT 'redemptions' WHERE EXISTS (SELECT FROM redemptions)
UNION ALL SELECT 'callers' WHERE EXISTS (SELECT FROM callers)
UNION ALL SELECT 'once' WHERE EXISTS (SELECT FROM once)
UNION ALL SELECT 'signing_keys' WHERE EXISTS (SELECT FROM signing_keys)
UNION ALL SELECT 'audit' WHERE EXISTS (SELECT FROM audit)
LIMIT 1;

-- Sequences are read past their transactions, so that these are no less than what is in any row.
-- name: last_numbers
SELECT
    greatest((SELECT coalesce(max(seq), 0) FROM changes),
             coalesce(pg_sequence_last_value(pg_get_serial_sequence('changes', 'seq')::regclass), 0)),
    coalesce(pg_sequence_last_value('lease_versions'::regclass), 0),
    greatest((SELECT coalesce(max(seq), 0) FROM audit),
             coalesce(pg_sequence_last_value(pg_get_serial_sequence('audit', 'seq')::regclass), 0));

-- name: drop_marks
DELETE FROM marks;

-- name: restored_mark
INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: drop_restored_mark
DELETE FROM marks WHERE name = $1;

-- name: set_numbers
SELECT setval(pg_get_serial_sequence('changes', 'seq'), $1::bigint),
       setval('lease_versions', $2::bigint),
       setval(pg_get_serial_sequence('audit', 'seq'), $3::bigint);

-- name: change_everything
INSERT INTO changes (seq, kind, id) OVERRIDING SYSTEM VALUE VALUES ($1, 'all', '');

-- Whoever reads from below it is told to look at everything.
-- name: sweep_to
UPDATE feed SET swept = $1;

-- name: restore_event
INSERT INTO audit (seq, {event}) OVERRIDING SYSTEM VALUE VALUES (?, {event_marks});
