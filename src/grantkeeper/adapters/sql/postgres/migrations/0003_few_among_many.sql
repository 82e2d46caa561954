-- oldest: 1
-- outside a transaction
-- `panic --caller` reads what the audit has of one caller, and a rotation of keys the jobs that have one:
-- each may be few among very many.

DROP INDEX CONCURRENTLY IF EXISTS audit_caller;
CREATE INDEX CONCURRENTLY audit_caller ON audit (caller, seq) WHERE caller IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS jobs_sealed;
CREATE INDEX CONCURRENTLY jobs_sealed ON jobs (id) WHERE seal_key IS NOT NULL;
