"""
Session tokens: the keys that sign them, sealed in the store and shown before they are used.

A key signs for thirty days; its successor is published an hour before it takes
over, and it stays published for a day after, so that no backend meets a token
whose key it could not have seen.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from joserfc.jwk import ECKey

from grantkeeper.errors import StoreConflict
from grantkeeper.keeper.means import Means
from grantkeeper.model import Client, RedeemedGrant, Sealed, Session, SigningKey, Subject
from grantkeeper.ports import SealContext
from grantkeeper.protocol.session import (
    LONGEST_LIFE,
    public_jwk,
    public_jwks,
    session_claims,
    sign_session,
    sign_statement,
)

SIGNS_FOR = timedelta(days=30)
SHOWN_BEFORE = timedelta(hours=1)
SHOWN_AFTER = timedelta(days=1)
OWNER = "grantkeeper"


class Sessions:
    """Signs for apps whose backend knows our public URL; without one there are no sessions."""

    def __init__(self, means: Means, public_url: str | None) -> None:
        self._means = means
        self._public_url = public_url
        self._keys: list[SigningKey] | None = None

    def forget(self) -> None:
        """Read the keys again: another process has made one."""
        self._keys = None

    async def attach(self, result: RedeemedGrant, client: Client, nonce: str | None) -> RedeemedGrant:
        """*result* with a session for the one who just signed in, where there is somebody to sign for."""
        if self._public_url is None:
            return result
        now = self._means.clock.now()
        key = await self._signing(now)
        claims = session_claims(
            issuer=self._public_url,
            client_id=client.client_id,
            subject=Subject(client.issuer, result.subject),
            grant=result.id,
            jti=self._means.dice.bytes(16).hex(),
            now=now,
            nonce=nonce,
        )
        token = sign_session(claims, self._private(key), key.kid)
        return replace(result, session=Session(token, int(LONGEST_LIFE.total_seconds())))

    async def sign(self, statement: Mapping[str, Any], kind: str) -> str:
        """
        *statement* as a compact JWS of the type *kind*, which no session has.

        Raises:
            SealBroken: The key does not open.
        """
        key = await self._signing(self._means.clock.now())
        return sign_statement(statement, self._private(key), key.kid, kind)

    def _private(self, key: SigningKey) -> dict[str, str]:
        opened = self._means.sealer.unseal(key.data_key, key.private.box, self._context(key.kid))
        return msgspec.json.decode(opened, type=dict[str, str])

    async def jwks(self) -> dict[str, Any]:
        """The public keys, for ``/.well-known/jwks.json``; makes the first if there is none."""
        now = self._means.clock.now()
        await self._signing(now)
        return public_jwks(key for key in await self._known() if now < key.retires_at)

    async def _known(self) -> list[SigningKey]:
        if self._keys is None:
            self._keys = await self._means.store.signing_keys()
        return self._keys

    async def _signing(self, now: datetime) -> SigningKey:
        """The newest key that may sign now; sees to it that a successor is published in time."""
        keys = await self._known()
        able = [key for key in keys if key.signs_from <= now < key.signs_from + SIGNS_FOR]
        newest = max(keys, key=lambda key: key.signs_from, default=None)
        if not able:
            return await self._make(now, now)
        if newest is not None and newest.signs_from + SIGNS_FOR - SHOWN_BEFORE <= now:
            await self._make(now, newest.signs_from + SIGNS_FOR)
        return max(able, key=lambda key: key.signs_from)

    async def _make(self, now: datetime, signs_from: datetime) -> SigningKey:
        private = ECKey.generate_key("P-256", private=True).as_dict(private=True)
        kid = self._means.dice.bytes(8).hex()
        data_key = self._means.sealer.new_key("", OWNER)
        box = self._means.sealer.seal(data_key, msgspec.json.encode(private).decode(), self._context(kid))
        key = SigningKey(
            kid=kid,
            public_jwk=msgspec.json.encode(public_jwk(private, kid)).decode(),
            data_key=data_key,
            private=Sealed(box, 0),
            created_at=now,
            signs_from=signs_from,
            retires_at=signs_from + SIGNS_FOR + SHOWN_AFTER,
        )
        try:
            await self._means.store.add_signing_key(key)
        except StoreConflict:
            self._keys = None
            return await self._signing(now)
        self._keys = None
        return key

    @staticmethod
    def _context(kid: str) -> SealContext:
        return SealContext("", OWNER, f"signing key {kid}")
