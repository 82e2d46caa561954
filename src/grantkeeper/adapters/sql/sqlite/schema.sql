-- The whole schema as a new file gets it; a test compares it with what the migrations make.
-- All that grantkeeper keeps. Times are whole microseconds since 1970 that the caller's clock gave;
-- columns named *_until and changes.at are seconds by the database's own clock. Sets are sorted texts
-- with single spaces.

CREATE TABLE grants (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    sub TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    identity_source TEXT NOT NULL,
    project TEXT,
    user TEXT,
    requested TEXT NOT NULL,
    granted TEXT NOT NULL,
    data_key BLOB,
    refresh_box BLOB,
    refresh_generation INTEGER,
    waiting_box BLOB,
    waiting_generation INTEGER,
    waiting_granted TEXT,
    waiting_ends_at INTEGER,
    generation INTEGER NOT NULL,
    lookups TEXT NOT NULL,
    ends_at INTEGER,
    refreshed_at INTEGER,
    used_at INTEGER,
    probe_at INTEGER,
    uncertain_since INTEGER,
    revocation_due INTEGER,
    revocation_attempts INTEGER NOT NULL,
    revoked_at INTEGER,
    consented_at INTEGER,
    profile_box BLOB,
    profile_generation INTEGER,
    email_index BLOB,
    index_version INTEGER NOT NULL DEFAULT 1,
    keep_alive_at INTEGER,
    version INTEGER NOT NULL
) STRICT;

-- The sub first, so that the one index finds a client's grant and all grants of a person.
CREATE UNIQUE INDEX grants_subject ON grants (sub, issuer, client_id);
CREATE INDEX grants_user ON grants (user, id) WHERE user IS NOT NULL;
CREATE INDEX grants_email ON grants (email_index, id) WHERE email_index IS NOT NULL;
CREATE INDEX grants_client_state ON grants (client_id, state, id);
CREATE INDEX grants_state ON grants (state, id);
CREATE INDEX grants_revocation_due ON grants (revocation_due) WHERE revocation_due IS NOT NULL;
CREATE INDEX grants_uncertain ON grants (uncertain_since) WHERE uncertain_since IS NOT NULL;
CREATE INDEX grants_keep_alive ON grants (keep_alive_at) WHERE keep_alive_at IS NOT NULL;

CREATE TABLE tokens (
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scope_key TEXT NOT NULL,
    token_box BLOB NOT NULL,
    token_generation INTEGER NOT NULL,
    scopes TEXT NOT NULL,
    obtained_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (grant_id, scope_key)
) STRICT;

CREATE INDEX tokens_end ON tokens (expires_at);

CREATE TABLE redemptions (
    code_hash BLOB NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    key_hash BLOB,
    fingerprint BLOB NOT NULL,
    claimed_until REAL NOT NULL,
    data_key BLOB,
    outcome BLOB,
    settled_at INTEGER,
    grant_id TEXT,
    index_version INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE UNIQUE INDEX redemptions_key ON redemptions (key_hash) WHERE key_hash IS NOT NULL;
CREATE INDEX redemptions_end ON redemptions (keep_until);

-- Only what is held or was not given back: the table stays so small that it needs no index on the
-- end. A number is never used again, so that it is a fence.
CREATE TABLE leases (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    held_until REAL NOT NULL
) STRICT;

-- The sweep never drops the newest row, so that numbers only grow.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;

CREATE TABLE callers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    key_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    clients TEXT NOT NULL,
    scopes TEXT NOT NULL,
    permissions TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX callers_name ON callers (name) WHERE revoked_at IS NULL;

CREATE TABLE once (
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;

CREATE INDEX once_end ON once (ends_at);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    public_jwk TEXT NOT NULL,
    data_key BLOB NOT NULL,
    private_box BLOB NOT NULL,
    private_generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    retires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    grant_id TEXT,
    caller TEXT,
    client_id TEXT,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX audit_caller ON audit (caller, seq) WHERE caller IS NOT NULL;

-- Processes at work, and until when nobody doubts that they live.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    started_at INTEGER NOT NULL,
    wrap_ids TEXT NOT NULL,
    index_versions TEXT NOT NULL,
    release TEXT NOT NULL,
    heard_until REAL NOT NULL
) STRICT;

-- How far common work has come.
CREATE TABLE marks (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- Offline work. What is asked of a job is written once; parameters and results are JSON, and may be
-- personal. Each of four indexes has the state before the id: few are looked for among many.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    parameters BLOB NOT NULL,
    scopes TEXT NOT NULL,
    caller TEXT,
    batch TEXT,
    job_key TEXT,
    per_grant INTEGER,
    state TEXT NOT NULL,
    reason TEXT,
    note TEXT,
    attempts INTEGER NOT NULL,
    outages INTEGER NOT NULL,
    due_at INTEGER,
    steps INTEGER NOT NULL,
    done INTEGER NOT NULL,
    total INTEGER NOT NULL,
    doing TEXT,
    result BLOB,
    ordered TEXT,
    started_at INTEGER,
    ended_at INTEGER,
    keep_until INTEGER,
    seal_key BLOB,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_grant ON jobs (grant_id, state, id);
CREATE INDEX jobs_batch ON jobs (batch, state, id) WHERE batch IS NOT NULL;
CREATE INDEX jobs_caller ON jobs (caller, state, id) WHERE caller IS NOT NULL;
CREATE INDEX jobs_name ON jobs (name, state, id);
CREATE INDEX jobs_state ON jobs (state, id);
CREATE UNIQUE INDEX jobs_key ON jobs (grant_id, name, job_key, coalesce(caller, ''), coalesce(batch, ''))
    WHERE job_key IS NOT NULL;
CREATE INDEX jobs_ordered ON jobs (id) WHERE ordered IS NOT NULL;
CREATE INDEX jobs_due ON jobs (due_at, id) WHERE state = 'waiting';
CREATE INDEX jobs_end ON jobs (keep_until) WHERE state IN ('failed', 'done', 'cancelled');
CREATE INDEX jobs_sealed ON jobs (id) WHERE seal_key IS NOT NULL;

-- Jobs that are gone, and which the engine may still know.
CREATE TABLE erased_jobs (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;

-- When a rate will have all of its burst again, and how long whoever asked last has to wait.
CREATE TABLE paces (
    key TEXT NOT NULL PRIMARY KEY,
    full_until REAL NOT NULL,
    wait REAL NOT NULL
) STRICT;

-- What nobody shall use for a while, and how long that while is in seconds.
CREATE TABLE pauses (
    key TEXT NOT NULL PRIMARY KEY,
    paused_until REAL NOT NULL,
    seconds REAL NOT NULL
) STRICT;

-- One row that is written to prove that writing works.
CREATE TABLE pulse (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at REAL NOT NULL
) STRICT;
