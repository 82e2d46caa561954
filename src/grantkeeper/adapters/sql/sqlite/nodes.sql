-- Processes at work, marks of common work, and where data keys lie.

-- name: report_node
INSERT INTO nodes ({node}, heard_until) VALUES ({node_marks}, unixepoch('subsec') + ?)
ON CONFLICT (id) DO UPDATE SET
    wrap_ids = excluded.wrap_ids,
    index_versions = excluded.index_versions,
    heard_until = excluded.heard_until;

-- name: living_nodes
SELECT {node} FROM nodes WHERE heard_until > unixepoch('subsec') ORDER BY started_at, id;

-- name: drop_node
DELETE FROM nodes WHERE id = ?1;

-- name: mark
SELECT value FROM marks WHERE name = ?1;

-- name: set_mark
INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: drop_mark
DELETE FROM marks WHERE name = ?1;

-- name: data_keys_of_grants
SELECT id, client_id, data_key FROM grants WHERE id > ?1 AND data_key IS NOT NULL ORDER BY id LIMIT ?2;

-- name: data_keys_of_redemptions
SELECT lower(hex(code_hash)), client_id, data_key FROM redemptions
WHERE code_hash > unhex(?1) AND data_key IS NOT NULL ORDER BY code_hash LIMIT ?2;

-- name: data_keys_of_signing_keys
SELECT kid, '', data_key FROM signing_keys WHERE kid > ?1 ORDER BY kid LIMIT ?2;

-- name: data_keys_of_jobs
SELECT id, '', seal_key FROM jobs WHERE id > ?1 AND seal_key IS NOT NULL ORDER BY id LIMIT ?2;

-- name: rewrap_grant
UPDATE grants SET data_key = ?3, version = version + 1 WHERE id = ?1 AND data_key = ?2;

-- name: rewrap_redemption
UPDATE redemptions SET data_key = ?3 WHERE code_hash = unhex(?1) AND data_key = ?2;

-- name: rewrap_signing_key
UPDATE signing_keys SET data_key = ?3 WHERE kid = ?1 AND data_key = ?2;

-- name: rewrap_job
UPDATE jobs SET seal_key = ?3, version = version + 1 WHERE id = ?1 AND seal_key = ?2;

-- Only what has hashes counts.
-- name: index_versions
SELECT 'grant', index_version, count(*) FROM grants
WHERE email_index IS NOT NULL OR lookups <> '' GROUP BY index_version
UNION ALL
SELECT 'redemption', index_version, count(*) FROM redemptions GROUP BY index_version;

-- name: grants_behind_index
SELECT {grant} FROM grants
WHERE id > ?2 AND index_version <> ?1 AND (email_index IS NOT NULL OR lookups <> '') ORDER BY id LIMIT ?3;
