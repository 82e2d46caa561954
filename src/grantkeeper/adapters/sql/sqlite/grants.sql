-- Grants and their access tokens. Words in braces are column lists of grantkeeper.adapters.records.

-- name: grant
SELECT {grant} FROM grants WHERE id = ?1;

-- One statement sees one moment, and a join of the two takes three times as long. The grant's row is
-- the one with a version.
-- name: grant_with_tokens
SELECT {grant} FROM grants WHERE id = ?1
UNION ALL
SELECT {token}, {token_padding} FROM tokens WHERE grant_id = ?1;

-- name: grant_of_subject
SELECT {grant} FROM grants WHERE sub = ?1 AND issuer = ?2 AND client_id = ?3;

-- name: insert_grant
INSERT INTO grants ({grant}) VALUES ({grant_marks}) ON CONFLICT DO NOTHING;

-- The usual save changes nothing that an index holds, so it names no indexed column: naming one
-- rewrites its index whether or not the value changes. A later stamp of `touch` stays.
-- name: replace_grant_content
UPDATE grants SET
    ({grant_content}) = ({grant_content_marks}),
    used_at = coalesce(max(used_at, ?), used_at, ?),
    version = version + 1
WHERE id = ? AND version = ? AND state = ? AND user IS ? AND email_index IS ? AND revocation_due IS ?
  AND uncertain_since IS ? AND keep_alive_at IS ?;

-- name: replace_grant
UPDATE grants SET
    ({grant_content}) = ({grant_content_marks}),
    used_at = coalesce(max(used_at, ?), used_at, ?),
    version = version + 1,
    ({grant_indexed}) = ({grant_indexed_marks})
WHERE id = ? AND version = ?;

-- name: delete_grant
DELETE FROM grants WHERE id = ?1 AND version = ?2;

-- name: touch_grant
UPDATE grants SET used_at = ?1 WHERE id = ?2 AND (used_at IS NULL OR used_at < ?1);

-- name: put_token
INSERT INTO tokens ({token}) VALUES ({token_marks})
ON CONFLICT (grant_id, scope_key) DO UPDATE SET
    token_box = excluded.token_box,
    token_generation = excluded.token_generation,
    scopes = excluded.scopes,
    obtained_at = excluded.obtained_at,
    expires_at = excluded.expires_at;

-- name: drop_tokens
DELETE FROM tokens WHERE grant_id = ?1;

-- name: due_revocations
SELECT {grant} FROM grants WHERE revocation_due <= ?1 AND +state = 'revoked' ORDER BY revocation_due LIMIT ?2;

-- name: idle_grants
SELECT {grant} FROM grants WHERE keep_alive_at <= ?1 AND keep_alive_at > ?2 ORDER BY keep_alive_at LIMIT ?3;

-- name: uncertain_grants
SELECT {grant} FROM grants WHERE uncertain_since <= ?1 AND uncertain_since > ?2
ORDER BY uncertain_since LIMIT ?3;
