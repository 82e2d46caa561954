-- oldest: 3
-- Offline work, and rates that all share: new tables alone, which earlier releases do not look at.

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
