-- oldest: 1
-- outside a transaction
-- `panic --caller` reads what the audit has of one caller, whose lines may be few among very many.

DROP INDEX CONCURRENTLY IF EXISTS audit_caller;
CREATE INDEX CONCURRENTLY audit_caller ON audit (caller, seq) WHERE caller IS NOT NULL;
