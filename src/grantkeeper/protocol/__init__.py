"""The messages of OAuth 2.0 and OpenID Connect: built and read here, sent elsewhere."""
