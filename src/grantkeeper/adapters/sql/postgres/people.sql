-- Callers, things good once, signing keys, the audit.

-- name: add_caller
WITH saved AS (INSERT INTO callers ({caller}) VALUES ({caller_marks}) ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO changes (kind, id) SELECT 'caller', id FROM saved RETURNING 1;

-- name: caller_of_key
SELECT {caller} FROM callers WHERE key_hash = $1;

-- name: callers
SELECT {caller} FROM callers ORDER BY name, created_at, id;

-- An id before a name, a living caller before a revoked one, the newest first.
-- name: caller_named
SELECT {caller} FROM callers WHERE id = $1 OR name = $1
ORDER BY id = $1 DESC, revoked_at IS NULL DESC, created_at DESC, id DESC LIMIT 1;

-- name: revoke_caller
WITH saved AS (UPDATE callers SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id)
INSERT INTO changes (kind, id) SELECT 'caller', id FROM saved RETURNING 1;

-- name: change_caller
WITH saved AS (
    UPDATE callers SET clients = $2, scopes = $3, permissions = $4, expires_at = $5
    WHERE id = $1 AND revoked_at IS NULL
    RETURNING id
)
INSERT INTO changes (kind, id) SELECT 'caller', id FROM saved RETURNING 1;

-- name: put_once
INSERT INTO once (kind, key, value, ends_at) VALUES ($1, $2, $3, $5)
ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at
WHERE once.ends_at <= $4 OR once.value = excluded.value
RETURNING 1;

-- name: take_once
DELETE FROM once WHERE kind = $1 AND key = $2 RETURNING value, ends_at > $3;

-- name: signing_keys
SELECT {signing_key} FROM signing_keys ORDER BY created_at, kid;

-- name: add_signing_key
WITH saved AS (
    INSERT INTO signing_keys ({signing_key}) VALUES ({signing_key_marks}) ON CONFLICT DO NOTHING RETURNING kid
)
INSERT INTO changes (kind, id) SELECT 'signing_key', kid FROM saved RETURNING 1;

-- name: append_events
INSERT INTO audit ({event})
SELECT {event}
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    WITH ORDINALITY AS given ({event}, place)
ORDER BY place;

-- name: events
SELECT seq, {event} FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2;

-- Compared as a whole, so that no plan walks along all events until it has met a page of those few.
-- name: events_of_caller
SELECT seq, {event} FROM audit
WHERE (caller, seq) > ($3, $1) AND (caller, seq) < ($3, 9223372036854775807) AND caller IS NOT NULL
ORDER BY caller, seq LIMIT $2;
