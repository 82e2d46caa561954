-- Jobs. Words in braces are column lists of grantkeeper.adapters.records; {job_rest} lets through what
-- fits every filter of a listing that is not NULL.
-- A change and its line of the change feed are one statement. Whoever locks a grant and jobs locks the
-- grant first, and jobs in order of id.
-- Jobs of one state come and go by the thousand between two counts of the database's, so a plan may
-- take many for none. What changes many has their ids in an array, never in a join: a join of two sides
-- that seem to be empty compares each with each.

-- The grants are locked against being deleted. In order of their keys, so that two who add the same
-- cannot wait for each other.
-- name: add_jobs
WITH given AS (
    SELECT * FROM unnest({job_arrays}) AS given ({job}) ORDER BY grant_id, name, job_key, caller, batch, id
),
added AS (
    INSERT INTO jobs ({job})
    SELECT given.* FROM given CROSS JOIN LATERAL (
        SELECT FROM grants WHERE grants.id = given.grant_id FOR KEY SHARE
    ) AS held
    ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO changes (kind, id) SELECT 'job', id FROM added ORDER BY id RETURNING 1;

-- name: job
SELECT {job} FROM jobs WHERE id = $1;

-- name: job_of_key
SELECT {job} FROM jobs
WHERE name = $1 AND grant_id = $2 AND job_key = $3 AND coalesce(caller, '') = $4 AND coalesce(batch, '') = '';

-- name: jobs
SELECT {job} FROM jobs WHERE id > :after ORDER BY id LIMIT :limit;

-- Rows are compared as wholes, so that no plan walks along all ids until it has met a page of those few
-- that fit: only the index that is meant has this order. No id has a character beyond the tilde.
-- name: jobs_of_state
SELECT {job} FROM jobs
WHERE (state, id) > (:state, :after) AND (state, id) < (:state, '~')
ORDER BY state, id LIMIT :limit;

-- name: jobs_of_grant_id
SELECT {job} FROM jobs
WHERE (grant_id, state, id) > (:grant_id, :state, :after) AND (grant_id, state, id) < (:grant_id, :state, '~') AND {job_rest}
ORDER BY grant_id, state, id LIMIT :limit;

-- name: jobs_of_batch
SELECT {job} FROM jobs
WHERE (batch, state, id) > (:batch, :state, :after) AND (batch, state, id) < (:batch, :state, '~') AND batch IS NOT NULL AND {job_rest}
ORDER BY batch, state, id LIMIT :limit;

-- name: jobs_of_caller
SELECT {job} FROM jobs
WHERE (caller, state, id) > (:caller, :state, :after) AND (caller, state, id) < (:caller, :state, '~') AND caller IS NOT NULL AND {job_rest}
ORDER BY caller, state, id LIMIT :limit;

-- name: jobs_of_name
SELECT {job} FROM jobs
WHERE (name, state, id) > (:name, :state, :after) AND (name, state, id) < (:name, :state, '~') AND {job_rest}
ORDER BY name, state, id LIMIT :limit;

-- name: change_job
WITH saved AS (
    UPDATE jobs SET ({job_standing}) = ROW ({job_standing_marks}), version = version + 1
    WHERE id = ? AND version = ?
    RETURNING {job}
),
told AS (INSERT INTO changes (kind, id) SELECT 'job', id FROM saved WHERE NOT ?::boolean)
SELECT {job} FROM saved;

-- The same of a job that is parked: it waits for a commit that is at the grant, and holds up the next.
-- So either that commit wakes the job, or whoever parks it can read what that commit wrote.
-- name: park_job
WITH mine AS MATERIALIZED (
    SELECT jobs.id FROM jobs JOIN grants ON grants.id = jobs.grant_id WHERE jobs.id = :id
    FOR SHARE OF grants
),
saved AS (
    UPDATE jobs SET ({job_standing}) = ROW ({job_standing_marks}), version = version + 1
    FROM mine WHERE jobs.id = mine.id AND version = ?
    RETURNING {saved_job}
),
told AS (INSERT INTO changes (kind, id) SELECT 'job', id FROM saved WHERE NOT ?::boolean)
SELECT {job} FROM saved;

-- name: ordered_jobs
SELECT {job} FROM jobs WHERE ordered IS NOT NULL ORDER BY id LIMIT $1;

-- name: jobs_told
WITH given AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS pairs (id, version) ORDER BY id)
UPDATE jobs SET ordered = NULL WHERE id = ANY (ARRAY (
    SELECT mine.id FROM given CROSS JOIN LATERAL (
        SELECT jobs.id FROM jobs WHERE id = given.id AND version = given.version AND ordered IS NOT NULL
        FOR NO KEY UPDATE
    ) AS mine
));

-- name: due_jobs
SELECT {job} FROM jobs WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at, id LIMIT $2;

-- name: queued_of
SELECT {job} FROM jobs
WHERE (grant_id, state, id) > ($1, 'queued', '') AND (grant_id, state, id) < ($1, 'queued', '~')
ORDER BY grant_id, state, id LIMIT $2;

-- name: count_jobs
SELECT state, count(*) FROM jobs GROUP BY state;

-- name: count_jobs_of_batch
SELECT state, count(*) FROM jobs WHERE batch = $1 GROUP BY state;

-- What is to be woken, and what is to be erased: locked, for the two that are given the ids in parts.
-- name: parked_of
SELECT id FROM jobs
WHERE (grant_id, state, id) > ($1, 'parked', '') AND (grant_id, state, id) < ($1, 'parked', '~')
ORDER BY grant_id, state, id FOR NO KEY UPDATE;

-- Resumed even if it was never submitted: the engine submits what it does not know.
-- name: wake_jobs
WITH woken AS (
    UPDATE jobs SET
        state = 'queued', ordered = 'resume', reason = NULL, note = NULL, due_at = NULL, version = version + 1
    WHERE id = ANY ($1::text[])
    RETURNING id
)
INSERT INTO changes (kind, id) SELECT 'job', id FROM woken ORDER BY id;

-- name: all_of
SELECT id FROM jobs WHERE grant_id = $1 ORDER BY id FOR UPDATE;

-- name: erase_jobs
WITH gone AS (DELETE FROM jobs WHERE id = ANY ($1::text[]) RETURNING id),
kept AS (INSERT INTO erased_jobs (id) SELECT id FROM gone ON CONFLICT DO NOTHING)
INSERT INTO changes (kind, id) SELECT 'job', id FROM gone ORDER BY id;

-- name: erased_jobs
SELECT id FROM erased_jobs ORDER BY id LIMIT $1;

-- name: drop_erased
DELETE FROM erased_jobs WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM erased_jobs WHERE id = ANY ($1::text[]) FOR UPDATE SKIP LOCKED
));

-- name: sweep_jobs
WITH gone AS (
    DELETE FROM jobs WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM jobs WHERE keep_until <= $1 AND state IN ('failed', 'done', 'cancelled')
        ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING id
),
kept AS (INSERT INTO erased_jobs (id) SELECT id FROM gone ON CONFLICT DO NOTHING)
SELECT count(*) FROM gone;
