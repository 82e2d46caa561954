-- Listings. Each names the columns of the index that drives it; all of them page by id.
-- {rest} is every other filter, the same in all.

-- name: search_user
SELECT {grant} FROM grants WHERE "user" = :user AND id > :after AND {rest} ORDER BY id LIMIT :limit;

-- name: search_email
SELECT {grant} FROM grants WHERE email_index = :email_index AND id > :after AND {rest}
ORDER BY id LIMIT :limit;

-- A person has few grants: sorting them costs nothing. An expression has no index, so that no plan walks
-- along all ids until it has met the person's.
-- name: search_sub
SELECT {grant} FROM grants WHERE sub = :sub AND id || '' > :after AND {rest} ORDER BY id || '' LIMIT :limit;

-- name: search_client_state
SELECT {grant} FROM grants WHERE client_id = :one_client AND state = :state AND id > :after AND {rest}
ORDER BY id LIMIT :limit;

-- name: search_state
SELECT {grant} FROM grants WHERE state = :state AND id > :after AND {rest} ORDER BY id LIMIT :limit;

-- name: search_all
SELECT {grant} FROM grants WHERE id > :after AND {rest} ORDER BY id LIMIT :limit;
