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

-- What changes many has their keys in arrays, never in a join (see jobs.sql), and locks the rows in order of
-- their keys, so that two who do the same cannot wait for each other.
-- name: rewrap_grants
UPDATE grants SET data_key = ($3::bytea[])[array_position($1::text[], id)], version = version + 1
WHERE id = ANY (ARRAY (
    SELECT id FROM grants
    WHERE id = ANY ($1::text[]) AND data_key = ($2::bytea[])[array_position($1::text[], id)]
    ORDER BY id FOR NO KEY UPDATE
))
RETURNING 1;

-- name: rewrap_redemptions
UPDATE redemptions SET data_key = ($3::bytea[])[array_position($1::text[], encode(code_hash, 'hex'))]
WHERE code_hash = ANY (ARRAY (
    SELECT code_hash FROM redemptions
    WHERE code_hash = ANY (ARRAY (SELECT decode(given.id, 'hex') FROM unnest($1::text[]) AS given (id)))
        AND data_key = ($2::bytea[])[array_position($1::text[], encode(code_hash, 'hex'))]
    ORDER BY code_hash FOR NO KEY UPDATE
))
RETURNING 1;

-- name: rewrap_signing_keys
UPDATE signing_keys SET data_key = ($3::bytea[])[array_position($1::text[], kid)]
WHERE kid = ANY (ARRAY (
    SELECT kid FROM signing_keys
    WHERE kid = ANY ($1::text[]) AND data_key = ($2::bytea[])[array_position($1::text[], kid)]
    ORDER BY kid FOR NO KEY UPDATE
))
RETURNING 1;

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
