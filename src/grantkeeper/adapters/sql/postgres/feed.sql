-- The change feed. Numbers are drawn before their transactions commit, so a lower one may show up after
-- a higher one: a reader asks again for those that it has not seen.

-- One row at least, even when there is nothing new: the ends of the feed, and that this is no standby.
-- name: poll_changes
SELECT ends.newest, ends.swept, c.seq, c.kind, c.id, c.at
FROM (
    SELECT coalesce((SELECT max(seq) FROM changes), 0) AS newest, (SELECT swept FROM feed) AS swept
) AS ends
LEFT JOIN (
    (SELECT seq, kind, id, at FROM changes WHERE seq = ANY ($2::bigint[]))
    UNION ALL
    (SELECT seq, kind, id, at FROM changes WHERE seq > $1 ORDER BY seq LIMIT $3)
) AS c ON true
ORDER BY c.seq;

-- name: newest_change
SELECT coalesce(max(seq), 0) FROM changes;

-- name: numbers_between
SELECT seq FROM changes WHERE seq > $1 AND seq <= $2;

-- name: change_at
SELECT at FROM changes WHERE seq = $1;

-- It would wait for the disk although there is nothing to keep.
-- name: notify
SELECT set_config('synchronous_commit', 'off', true), pg_notify('grantkeeper', '');
