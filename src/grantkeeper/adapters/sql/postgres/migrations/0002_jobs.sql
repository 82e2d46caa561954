-- oldest: 1
-- Offline work, and rates that all share: new tables alone, which earlier releases do not look at.

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
