"""Closing and opening what a grant keeps: which field is bound to what is decided here alone."""

import hashlib
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace

import msgspec

from grantkeeper.errors import SealBroken
from grantkeeper.model import Grant, Profile, Sealed, StoredToken
from grantkeeper.ports import SealContext, Sealer
from grantkeeper.secret import AccessToken, RefreshToken

RISC_PREFIX = 16


def normal_email(email: str) -> str:
    """One spelling for look-ups; never an identity."""
    return email.strip().casefold()


def wrapped_under(sealer: Sealer, data_key: bytes) -> int:
    """Id of the wrapping key that *data_key* is under, here or not; 0 where it is damaged."""
    try:
        return sealer.wrap_id(data_key)
    except SealBroken:
        return 0


class Seals:
    """A `Sealer` that knows grants."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def new_key(self, grant: Grant) -> bytes:
        """A data key for *grant*."""
        return self._sealer.new_key(grant.client_id, grant.id)

    def _seal(self, grant: Grant, value: str, field: str, generation: int) -> Sealed:
        if grant.data_key is None:
            raise SealBroken("the grant has no data key any more")
        context = SealContext(grant.client_id, grant.id, field, generation)
        return Sealed(self._sealer.seal(grant.data_key, value, context), generation)

    def _unseal(self, grant: Grant, sealed: Sealed | None, field: str) -> str:
        if grant.data_key is None or sealed is None:
            raise SealBroken("the grant has nothing sealed of that kind any more")
        context = SealContext(grant.client_id, grant.id, field, sealed.generation)
        return self._sealer.unseal(grant.data_key, sealed.box, context)

    def seal_refresh_token(self, grant: Grant, token: RefreshToken, generation: int) -> Sealed:
        """*token*, closed as that *generation* of the grant's refresh tokens."""
        return self._seal(grant, token.reveal(), "refresh_token", generation)

    def refresh_token(self, grant: Grant) -> RefreshToken:
        """
        The refresh token in use, for the request that is about to be built.

        Raises:
            SealBroken: It does not open.
        """
        return RefreshToken(self._unseal(grant, grant.refresh_token, "refresh_token"))

    def seal_access_token(self, grant: Grant, token: AccessToken, scope_key: str) -> Sealed:
        """*token*, bound to the scope set it was asked for."""
        return self._seal(grant, token.reveal(), f"access_token {scope_key}", grant.generation)

    def access_token(self, grant: Grant, stored: StoredToken) -> AccessToken:
        """
        A cached access token.

        Raises:
            SealBroken: It does not open.
        """
        return AccessToken(self._unseal(grant, stored.sealed, f"access_token {stored.scope_key}"))

    def seal_profile(self, grant: Grant, profile: Profile) -> Sealed:
        """*profile*, closed like a token: it is personal data."""
        return self._seal(grant, msgspec.json.encode(profile).decode(), "profile", grant.generation)

    def profile(self, grant: Grant) -> Profile | None:
        """
        The stored profile.

        Raises:
            SealBroken: It does not open.
        """
        if grant.profile is None or grant.data_key is None:
            return None
        return msgspec.json.decode(self._unseal(grant, grant.profile, "profile"), type=Profile)

    def hashed(
        self, grant: Grant, *, token: RefreshToken | None = None, profile: Profile | None = None
    ) -> Grant:
        """
        *grant* with the keyed hashes of a new refresh token or profile, or of those it has.

        A row never has hashes of two index keys: when the key in use is another than the
        row's, all of them are made anew. A profile that is damaged cannot be found any more.

        Raises:
            SealBroken: The refresh token of *grant* does not open, or the index key in use is not here.
        """
        version = self._sealer.index_version
        if version != grant.index_version:
            if profile is None and grant.email_index is not None:
                with suppress(SealBroken):
                    profile = self.profile(grant)
                grant = replace(grant, email_index=None)
            if token is None and grant.lookups:
                token = None if grant.refresh_token is None else self.refresh_token(grant)
                grant = replace(grant, lookups=())
            grant = replace(grant, index_version=version)
        if profile is not None:
            grant = replace(grant, email_index=self.email_index(profile.email))
        if token is not None:
            grant = replace(grant, lookups=self.lookups(token))
        return grant

    def email_index(self, email: str | None) -> bytes | None:
        """The keyed hash by which an e-mail is found."""
        return None if email is None else self._sealer.digest("email", normal_email(email))

    def email_indexes(self, email: str) -> tuple[bytes, ...]:
        """The same under every index key that may have been used."""
        return self._sealer.digests("email", normal_email(email))

    def lookups(self, token: RefreshToken) -> tuple[bytes, ...]:
        """
        Keyed hashes of what Google's security events name a refresh token by (google-facts 8).

        Which spelling of the doubled SHA-512 Google uses is not confirmed, so
        both of the inner hash are kept; a look-up folds the base64 alphabets.
        """
        revealed = token.reveal().encode()
        inner = hashlib.sha512(revealed)
        raw = b64encode(hashlib.sha512(inner.digest()).digest()).decode()
        text = b64encode(hashlib.sha512(inner.hexdigest().encode()).digest()).decode()
        return (
            self._sealer.digest("risc-prefix", token.reveal()[:RISC_PREFIX]),
            self._sealer.digest("risc-sha512", raw),
            self._sealer.digest("risc-sha512", text),
        )
