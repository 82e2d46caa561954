-- The sweep drops dead access tokens without looking at living ones.

CREATE INDEX tokens_end ON tokens (expires_at);
