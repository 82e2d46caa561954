-- Grants and their access tokens. Words in braces are column lists of grantkeeper.adapters.records;
-- question marks are numbered when this is read.
-- A save and its line of the change feed are one statement: one trip, and atomic without a transaction.

-- name: grant
SELECT {grant} FROM grants WHERE id = $1;

-- A grant has one token or a few: repeating its columns costs less than a second statement, or than
-- the casts that a union of unlike rows takes.
-- name: grant_with_tokens
SELECT {grant}, {token} FROM grants LEFT JOIN tokens ON grant_id = id WHERE id = $1;

-- name: grant_of_subject
SELECT {grant} FROM grants WHERE sub = $1 AND issuer = $2 AND client_id = $3;

-- name: insert_grant
WITH saved AS (INSERT INTO grants ({grant}) VALUES ({grant_marks}) ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO changes (kind, id) SELECT 'grant', id FROM saved RETURNING 1;

-- Naming an indexed column costs nothing: the update stays on its page (HOT) unless its value differs.
-- A later stamp of `touch` stays; greatest() passes over NULL.
-- name: replace_grant
WITH saved AS (
    UPDATE grants SET
        ({grant_content}) = ROW ({grant_content_marks}),
        used_at = greatest(used_at, ?),
        version = version + 1,
        ({grant_indexed}) = ROW ({grant_indexed_marks})
    WHERE id = ? AND version = ?
    RETURNING id
)
INSERT INTO changes (kind, id) SELECT 'grant', id FROM saved RETURNING 1;

-- name: lock_grant
SELECT FROM grants WHERE id = $1 FOR UPDATE;

-- Its jobs are erased before: they would go with it by themselves, and their ids with them.
-- name: delete_grant
WITH gone AS (DELETE FROM grants WHERE id = $1 AND version = $2 RETURNING id)
INSERT INTO changes (kind, id) SELECT 'grant', id FROM gone RETURNING 1;

-- Locked in order of id, so that two nodes that stamp the same grants cannot wait for each other. What
-- a crash of the database loses of stamps is not worth a wait for its disk.
-- name: touch_grants
UPDATE grants SET used_at = greatest(used_at, ($2::bigint[])[array_position($1::text[], id)])
WHERE (SELECT set_config('synchronous_commit', 'off', true)) = 'off' AND id = ANY (ARRAY (
    SELECT id FROM grants
    WHERE id = ANY ($1::text[])
        AND (used_at IS NULL OR used_at < ($2::bigint[])[array_position($1::text[], id)])
    ORDER BY id FOR NO KEY UPDATE
));

-- name: put_token
INSERT INTO tokens ({token}) VALUES ({token_marks})
ON CONFLICT (grant_id, scope_key) DO UPDATE SET
    token_box = excluded.token_box,
    token_generation = excluded.token_generation,
    scopes = excluded.scopes,
    obtained_at = excluded.obtained_at,
    expires_at = excluded.expires_at;

-- name: drop_tokens
DELETE FROM tokens WHERE grant_id = $1;

-- name: due_revocations
SELECT {grant} FROM grants WHERE revocation_due <= $1 AND state = 'revoked' ORDER BY revocation_due LIMIT $2;

-- name: idle_grants
SELECT {grant} FROM grants WHERE keep_alive_at <= $1 AND keep_alive_at > $2 ORDER BY keep_alive_at LIMIT $3;

-- name: uncertain_grants
SELECT {grant} FROM grants WHERE uncertain_since <= $1 AND uncertain_since > $2
ORDER BY uncertain_since LIMIT $3;
