-- Processes at work, marks of common work, and where data keys lie.

-- A report that a crash of the database loses is made again within seconds.
-- name: report_node
WITH calm AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO nodes ({node}, heard_until)
SELECT $1, $2::bigint, $3, $4, $5, clock_timestamp() + make_interval(secs => $6) FROM calm
ON CONFLICT (id) DO UPDATE SET
    wrap_ids = excluded.wrap_ids,
    index_versions = excluded.index_versions,
    heard_until = excluded.heard_until;

-- name: living_nodes
SELECT {node} FROM nodes WHERE heard_until > clock_timestamp() ORDER BY started_at, id;

-- name: drop_node
DELETE FROM nodes WHERE id = $1;

-- name: mark
SELECT value FROM marks WHERE name = $1;

-- name: set_mark
WITH saved AS (
    INSERT INTO marks (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
    RETURNING name
)
INSERT INTO changes (kind, id) SELECT 'mark', name FROM saved;

-- A mark that was not there is one that another may be writing: whoever comes second finds it.
-- name: swap_mark
WITH added AS (
    INSERT INTO marks (name, value) SELECT $1, $2::bytea WHERE $3::bytea IS NULL
    ON CONFLICT (name) DO NOTHING
    RETURNING name
),
changed AS (UPDATE marks SET value = $2::bytea WHERE name = $1 AND value = $3::bytea RETURNING name),
saved AS (SELECT name FROM added UNION ALL SELECT name FROM changed),
told AS (INSERT INTO changes (kind, id) SELECT 'mark', name FROM saved)
SELECT name FROM saved;

-- name: drop_mark
WITH gone AS (DELETE FROM marks WHERE name = $1)
INSERT INTO changes (kind, id) VALUES ('mark', $1);

-- name: data_keys_of_grants
SELECT id, client_id, data_key FROM grants WHERE id > $1 AND data_key IS NOT NULL ORDER BY id LIMIT $2;

-- name: data_keys_of_redemptions
SELECT encode(code_hash, 'hex'), client_id, data_key FROM redemptions
WHERE code_hash > decode($1, 'hex') AND data_key IS NOT NULL ORDER BY code_hash LIMIT $2;

-- name: data_keys_of_signing_keys
SELECT kid, '', data_key FROM signing_keys WHERE kid > $1 ORDER BY kid LIMIT $2;

-- name: data_keys_of_jobs
SELECT id, '', seal_key FROM jobs WHERE id > $1 AND seal_key IS NOT NULL ORDER BY id LIMIT $2;

-- Rows are locked in order of their keys, so that two who do the same cannot wait for each other.
-- name: rewrap_grants
WITH changed AS (
    SELECT g.id, c.old, c.new FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS c (id, old, new)
    JOIN grants AS g ON g.id = c.id WHERE g.data_key = c.old
    ORDER BY g.id FOR NO KEY UPDATE OF g
)
UPDATE grants SET data_key = changed.new, version = version + 1 FROM changed
WHERE grants.id = changed.id AND grants.data_key = changed.old
RETURNING 1;

-- name: rewrap_redemptions
WITH changed AS (
    SELECT r.code_hash, c.old, c.new FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS c (id, old, new)
    JOIN redemptions AS r ON r.code_hash = decode(c.id, 'hex') WHERE r.data_key = c.old
    ORDER BY r.code_hash FOR NO KEY UPDATE OF r
)
UPDATE redemptions SET data_key = changed.new FROM changed
WHERE redemptions.code_hash = changed.code_hash AND redemptions.data_key = changed.old
RETURNING 1;

-- name: rewrap_signing_keys
UPDATE signing_keys SET data_key = c.new
FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS c (id, old, new)
WHERE kid = c.id AND data_key = c.old
RETURNING 1;

-- Without a join, as all that changes many jobs.
-- name: rewrap_jobs
UPDATE jobs SET seal_key = ($3::bytea[])[array_position($1::text[], id)], version = version + 1
WHERE id = ANY (ARRAY (
    SELECT id FROM jobs
    WHERE id = ANY ($1::text[]) AND seal_key = ($2::bytea[])[array_position($1::text[], id)]
    ORDER BY id FOR NO KEY UPDATE
))
RETURNING 1;

-- Only what has hashes counts.
-- name: index_versions
SELECT 'grant', index_version, count(*) FROM grants
WHERE email_index IS NOT NULL OR lookups <> '' GROUP BY index_version
UNION ALL
SELECT 'redemption', index_version, count(*) FROM redemptions GROUP BY index_version;

-- name: grants_behind_index
SELECT {grant} FROM grants
WHERE id > $2 AND index_version <> $1 AND (email_index IS NOT NULL OR lookups <> '') ORDER BY id LIMIT $3;
