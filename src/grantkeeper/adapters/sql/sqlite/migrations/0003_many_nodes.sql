-- oldest: 3
-- What many nodes need, and what changes keys: who lives, how far common work has come, and which
-- grants are in doubt or unused for long.

ALTER TABLE migrations ADD COLUMN oldest INTEGER NOT NULL DEFAULT 0;

ALTER TABLE grants ADD COLUMN revoked_at INTEGER;
ALTER TABLE grants ADD COLUMN consented_at INTEGER;
ALTER TABLE grants ADD COLUMN index_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE grants ADD COLUMN keep_alive_at INTEGER;

-- Until its next save a grant is due 150 days after what was last heard of its token.
UPDATE grants SET keep_alive_at = coalesce(refreshed_at, created_at) + 150 * 86400000000
WHERE state = 'active' AND refresh_box IS NOT NULL;
UPDATE grants SET keep_alive_at = probe_at WHERE state = 'blocked' AND refresh_box IS NOT NULL;

CREATE INDEX grants_uncertain ON grants (uncertain_since) WHERE uncertain_since IS NOT NULL;
CREATE INDEX grants_keep_alive ON grants (keep_alive_at) WHERE keep_alive_at IS NOT NULL;

ALTER TABLE redemptions ADD COLUMN index_version INTEGER NOT NULL DEFAULT 1;

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    started_at INTEGER NOT NULL,
    wrap_ids TEXT NOT NULL,
    index_versions TEXT NOT NULL,
    release TEXT NOT NULL,
    heard_until REAL NOT NULL
) STRICT;

CREATE TABLE marks (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
