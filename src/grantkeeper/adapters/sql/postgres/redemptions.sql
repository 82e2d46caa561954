-- Which codes were sent. {redemption} is what a record holds; claimed_until is the database's own.

-- name: redemption
SELECT {redemption}, claimed_until <= clock_timestamp() FROM redemptions WHERE code_hash = $1;

-- name: redemption_of_key
SELECT {redemption}, claimed_until <= clock_timestamp() FROM redemptions WHERE key_hash = $1;

-- name: claim
INSERT INTO redemptions ({redemption}, claimed_until)
VALUES ({redemption_marks}, clock_timestamp() + make_interval(secs => ?)) ON CONFLICT DO NOTHING
RETURNING 1;

-- name: reclaim
UPDATE redemptions SET owner = $3, claimed_until = clock_timestamp() + make_interval(secs => $4)
WHERE code_hash = $1 AND owner = $2 AND state = 'answered' AND claimed_until <= clock_timestamp()
RETURNING 1;

-- name: unclaim
DELETE FROM redemptions WHERE code_hash = $1 AND owner = $2 AND state = 'claimed';

-- name: settle
UPDATE redemptions SET
    state = $3, keep_until = $4, fingerprint = $5, data_key = $6, outcome = $7, settled_at = $8, grant_id = $9,
    index_version = $10,
    claimed_until = CASE WHEN $3 = 'answered' THEN clock_timestamp() ELSE claimed_until END
WHERE code_hash = $1 AND owner = $2 AND state IN ('claimed', 'answered')
RETURNING 1;
