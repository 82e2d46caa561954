-- oldest: 3
-- `panic --caller` reads what the audit has of one caller, whose lines may be few among very many.

CREATE INDEX audit_caller ON audit (caller, seq) WHERE caller IS NOT NULL;
