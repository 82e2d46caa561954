-- oldest: 3
-- `panic --caller` reads what the audit has of one caller, and a rotation of keys the jobs that have one:
-- each may be few among very many.

CREATE INDEX audit_caller ON audit (caller, seq) WHERE caller IS NOT NULL;
CREATE INDEX jobs_sealed ON jobs (id) WHERE seal_key IS NOT NULL;
