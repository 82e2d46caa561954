-- Jobs. Words in braces are column lists of grantkeeper.adapters.records; {job_rest} lets through what
-- fits every filter of a listing that is not NULL.

-- name: add_job
INSERT INTO jobs ({job}) SELECT {job_marks} WHERE EXISTS (SELECT 1 FROM grants WHERE id = ?)
ON CONFLICT DO NOTHING;

-- name: job
SELECT {job} FROM jobs WHERE id = ?1;

-- name: job_of_key
SELECT {job} FROM jobs
WHERE name = ?1 AND grant_id = ?2 AND job_key = ?3 AND coalesce(caller, '') = ?4 AND coalesce(batch, '') = '';

-- name: jobs
SELECT {job} FROM jobs WHERE id > :after ORDER BY id LIMIT :limit;

-- name: jobs_of_state
SELECT {job} FROM jobs WHERE state = :state AND id > :after ORDER BY id LIMIT :limit;

-- name: jobs_of_grant_id
SELECT {job} FROM jobs INDEXED BY jobs_grant
WHERE grant_id = :grant_id AND state = :state AND id > :after AND {job_rest} ORDER BY id LIMIT :limit;

-- name: jobs_of_batch
SELECT {job} FROM jobs INDEXED BY jobs_batch
WHERE batch = :batch AND state = :state AND id > :after AND {job_rest} ORDER BY id LIMIT :limit;

-- name: jobs_of_caller
SELECT {job} FROM jobs INDEXED BY jobs_caller
WHERE caller = :caller AND state = :state AND id > :after AND {job_rest} ORDER BY id LIMIT :limit;

-- name: jobs_of_name
SELECT {job} FROM jobs INDEXED BY jobs_name
WHERE name = :name AND state = :state AND id > :after AND {job_rest} ORDER BY id LIMIT :limit;

-- name: change_job
UPDATE jobs SET ({job_standing}) = ({job_standing_marks}), version = version + 1 WHERE id = ? AND version = ?;

-- name: ordered_jobs
SELECT {job} FROM jobs WHERE ordered IS NOT NULL AND id > '' ORDER BY id LIMIT ?1;

-- name: job_told
UPDATE jobs SET ordered = NULL WHERE id = ?1 AND version = ?2;

-- name: due_jobs
SELECT {job} FROM jobs INDEXED BY jobs_due
WHERE state = 'waiting' AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2;

-- name: queued_of
SELECT {job} FROM jobs WHERE grant_id = ?1 AND state = 'queued' ORDER BY id LIMIT ?2;

-- name: count_jobs
SELECT state, count(*) FROM jobs GROUP BY state;

-- name: count_jobs_of_batch
SELECT state, count(*) FROM jobs WHERE batch = ?1 GROUP BY state;

-- name: tell_parked
INSERT INTO changes (kind, id, at)
SELECT 'job', id, unixepoch('subsec') FROM jobs WHERE grant_id = ?1 AND state = 'parked' ORDER BY id;

-- Resumed even if it was never submitted: the engine submits what it does not know.
-- name: wake_jobs
UPDATE jobs SET
    state = 'queued', ordered = 'resume', reason = NULL, note = NULL, due_at = NULL, version = version + 1
WHERE grant_id = ?1 AND state = 'parked';

-- name: tell_jobs_of
INSERT INTO changes (kind, id, at)
SELECT 'job', id, unixepoch('subsec') FROM jobs WHERE grant_id = ?1 ORDER BY id;

-- name: erase_jobs_of
INSERT OR IGNORE INTO erased_jobs (id) SELECT id FROM jobs WHERE grant_id = ?1;

-- name: erased_jobs
SELECT id FROM erased_jobs WHERE id > '' ORDER BY id LIMIT ?1;

-- name: drop_erased
DELETE FROM erased_jobs WHERE id = ?1;

-- name: sweep_jobs
DELETE FROM jobs WHERE rowid IN (
    SELECT rowid FROM jobs WHERE keep_until <= ?1 AND state IN ('failed', 'done', 'cancelled') LIMIT ?2
) RETURNING id;

-- name: erase_job
INSERT OR IGNORE INTO erased_jobs (id) VALUES (?1);
