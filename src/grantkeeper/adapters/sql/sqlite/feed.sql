-- The change feed.

-- name: add_change
INSERT INTO changes (kind, id, at) VALUES (?1, ?2, unixepoch('subsec'));

-- name: feed_ends
SELECT coalesce((SELECT min(seq) FROM changes), 0), coalesce((SELECT max(seq) FROM changes), 0);

-- name: changes_after
SELECT seq, kind, id FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2;
