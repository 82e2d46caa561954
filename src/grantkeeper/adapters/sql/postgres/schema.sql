-- The whole schema as a new database gets it; a test compares it with what the migrations make.
-- All that grantkeeper keeps. Times are whole microseconds since 1970 that the caller's clock gave;
-- columns named *_until, changes.at and pulse.at are times of the database's own clock. Sets are sorted
-- texts with single spaces. Whatever is compared or sorted is so by bytes (COLLATE "C"): as Python does
-- it, and the same on every system that the database may move to.
-- No index of grants holds a column that every refresh changes, and pages have room: a refresh is
-- written into the page where the grant lies (HOT).

CREATE TABLE grants (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    sub TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    identity_source TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C",
    "user" TEXT COLLATE "C",
    requested TEXT COLLATE "C" NOT NULL,
    granted TEXT COLLATE "C" NOT NULL,
    data_key BYTEA,
    refresh_box BYTEA,
    refresh_generation BIGINT,
    waiting_box BYTEA,
    waiting_generation BIGINT,
    waiting_granted TEXT COLLATE "C",
    waiting_ends_at BIGINT,
    generation BIGINT NOT NULL,
    lookups TEXT COLLATE "C" NOT NULL,
    ends_at BIGINT,
    refreshed_at BIGINT,
    used_at BIGINT,
    probe_at BIGINT,
    uncertain_since BIGINT,
    revocation_due BIGINT,
    revocation_attempts BIGINT NOT NULL,
    revoked_at BIGINT,
    consented_at BIGINT,
    profile_box BYTEA,
    profile_generation BIGINT,
    email_index BYTEA,
    index_version BIGINT NOT NULL,
    keep_alive_at BIGINT,
    version BIGINT NOT NULL
) WITH (fillfactor = 80);

-- The sub first, so that the one index finds a client's grant and all grants of a person.
CREATE UNIQUE INDEX grants_subject ON grants (sub, issuer, client_id);
CREATE INDEX grants_user ON grants ("user", id) WHERE "user" IS NOT NULL;
CREATE INDEX grants_email ON grants (email_index, id) WHERE email_index IS NOT NULL;
CREATE INDEX grants_client_state ON grants (client_id, state, id);
CREATE INDEX grants_state ON grants (state, id);
CREATE INDEX grants_revocation_due ON grants (revocation_due) WHERE revocation_due IS NOT NULL;
CREATE INDEX grants_uncertain ON grants (uncertain_since) WHERE uncertain_since IS NOT NULL;
CREATE INDEX grants_keep_alive ON grants (keep_alive_at) WHERE keep_alive_at IS NOT NULL;

CREATE TABLE tokens (
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scope_key TEXT COLLATE "C" NOT NULL,
    token_box BYTEA NOT NULL,
    token_generation BIGINT NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    obtained_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (grant_id, scope_key)
) WITH (fillfactor = 80);

CREATE INDEX tokens_end ON tokens (expires_at);

CREATE TABLE redemptions (
    code_hash BYTEA NOT NULL PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    keep_until BIGINT NOT NULL,
    key_hash BYTEA,
    fingerprint BYTEA NOT NULL,
    claimed_until TIMESTAMPTZ NOT NULL,
    data_key BYTEA,
    outcome BYTEA,
    settled_at BIGINT,
    grant_id TEXT COLLATE "C",
    index_version BIGINT NOT NULL
) WITH (fillfactor = 60);

CREATE UNIQUE INDEX redemptions_key ON redemptions (key_hash) WHERE key_hash IS NOT NULL;
CREATE INDEX redemptions_end ON redemptions (keep_until);

-- Only what is held or was not given back: the table stays so small that it needs no index on the
-- end, which every renewal would change. Rows come and go with every refresh: vacuum it often.
CREATE TABLE leases (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    orphaned BOOLEAN NOT NULL,
    held_until TIMESTAMPTZ NOT NULL,
    life INTEGER,
    server_start TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- A number is never used again, so that it is a fence.
CREATE SEQUENCE lease_versions AS BIGINT;

CREATE TABLE changes (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The highest number that was swept from the feed.
CREATE TABLE feed (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    swept BIGINT NOT NULL
);

INSERT INTO feed (one, swept) VALUES (1, 0);

CREATE TABLE callers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    key_hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    clients TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE UNIQUE INDEX callers_name ON callers (name) WHERE revoked_at IS NULL;

CREATE TABLE once (
    kind TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    value BYTEA NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE INDEX once_end ON once (ends_at);

CREATE TABLE signing_keys (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    public_jwk TEXT COLLATE "C" NOT NULL,
    data_key BYTEA NOT NULL,
    private_box BYTEA NOT NULL,
    private_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retires_at BIGINT NOT NULL
);

CREATE TABLE audit (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C",
    caller TEXT COLLATE "C",
    client_id TEXT COLLATE "C",
    detail TEXT COLLATE "C" NOT NULL
);

CREATE INDEX audit_caller ON audit (caller, seq) WHERE caller IS NOT NULL;

-- Processes at work, and until when nobody doubts that they live.
CREATE TABLE nodes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL,
    wrap_ids TEXT COLLATE "C" NOT NULL,
    index_versions TEXT COLLATE "C" NOT NULL,
    release TEXT COLLATE "C" NOT NULL,
    heard_until TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- How far common work has come.
CREATE TABLE marks (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- Offline work. What is asked of a job is written once; parameters and results are JSON, and may be
-- personal. Each of four indexes has the state before the id: few are looked for among many.
CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    parameters BYTEA NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    caller TEXT COLLATE "C",
    batch TEXT COLLATE "C",
    job_key TEXT COLLATE "C",
    per_grant BIGINT,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    note TEXT COLLATE "C",
    attempts BIGINT NOT NULL,
    outages BIGINT NOT NULL,
    due_at BIGINT,
    steps BIGINT NOT NULL,
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    doing TEXT COLLATE "C",
    result BYTEA,
    ordered TEXT COLLATE "C",
    started_at BIGINT,
    ended_at BIGINT,
    keep_until BIGINT,
    seal_key BYTEA,
    version BIGINT NOT NULL
) WITH (fillfactor = 80);

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
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

-- When a rate will have all of its burst again, and how long whoever asked last has to wait.
CREATE TABLE paces (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    full_until TIMESTAMPTZ NOT NULL,
    wait DOUBLE PRECISION NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What nobody shall use for a while, and how long that while is in seconds.
CREATE TABLE pauses (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    paused_until TIMESTAMPTZ NOT NULL,
    seconds DOUBLE PRECISION NOT NULL
);

-- One row that is written to prove that writing works.
CREATE TABLE pulse (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 10);
