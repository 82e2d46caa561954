"""
Our own redirect flow: a browser is sent to the issuer and comes back with a code for us.

State, nonce, PKCE and the return address live in the store, sealed and good
once; the browser holds a cookie that ties the state to it, so that nobody can
be sent into another's sign-in. A user of the app is attached only by a ticket
that the app's backend got with its caller key.
"""

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from grantkeeper.errors import GrantkeeperError, InvalidRequest, SealBroken, from_record
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.plan import LONGEST_USER, Plan
from grantkeeper.keeper.redeem import Redeemer
from grantkeeper.keeper.sessions import Sessions
from grantkeeper.model import Client, GrantState, IdentitySource, RedeemedGrant, Source
from grantkeeper.ports import SealContext
from grantkeeper.protocol.authorization import authorization_url, parse_code
from grantkeeper.protocol.scopes import asked
from grantkeeper.secret import CodeVerifier

STATE_LIFE = timedelta(minutes=10)
TICKET_LIFE = timedelta(minutes=10)
RESULT_LIFE = timedelta(seconds=60)
PUT_BACK = timedelta(minutes=1)
"""How long a value that did not open here waits for another try."""

CALLBACK = "/connect/callback"
OWNER = "connect"


@dataclass(frozen=True, slots=True)
class Begin:
    """Where to send the browser, and the cookie that must come back with it."""

    url: str = field(repr=False)  # It has the cookie's value in it, as the state.
    cookie: str = field(repr=False)
    max_age: int = int(STATE_LIFE.total_seconds())


class _State(msgspec.Struct):
    client: str
    verifier: str
    nonce: str
    return_to: str
    scopes: list[str]
    user: str | None
    expect_subject: str | None


class _Ticket(msgspec.Struct):
    client: str
    user: str
    expect_subject: str | None


class _Result(msgspec.Struct):
    client: str
    grant: RedeemedGrant | None
    error: dict[str, object] | None
    nonce: str


class SignInLost(InvalidRequest):
    """This browser has no such sign-in here; text and hint are for the person in front of it."""


Kept = TypeVar("Kept", bound=msgspec.Struct)


class Connect:
    """Runs sign-ins by redirect. Belongs to one loop."""

    def __init__(self, means: Means, redeemer: Redeemer, sessions: Sessions, public_url: str | None) -> None:
        self._means = means
        self._redeemer = redeemer
        self._sessions = sessions
        self._public_url = public_url

    @property
    def callback_url(self) -> str:
        """
        What must be registered as a redirect URI at the issuer.

        Raises:
            InvalidRequest: Nobody has told us our own address.
        """
        if self._public_url is None:
            raise InvalidRequest("the redirect flow needs GRANTKEEPER_PUBLIC_URL")
        return self._public_url.rstrip("/") + CALLBACK

    async def begin(
        self,
        client: str,
        *,
        return_to: str | None,
        scopes: object = None,
        ticket: str | None = None,
        login_hint: str | None = None,
        force_consent: bool = True,
    ) -> Begin:
        """
        Start a sign-in.

        Args:
            return_to: Where the browser goes in the end; one of the client's own.
            ticket: From `ticket`; attaches the new grant to the app's user.

        Raises:
            ClientUnknown, InvalidRequest: The request is wrong, or the ticket is.
            IssuerUnavailable, IssuerMisbehaved: The issuer's addresses are not to be had.
        """
        known = self._means.client(client)
        state, nonce = self._random(), self._random()
        verifier = CodeVerifier(self._random() + self._random())
        bearer = None if ticket is None else await self._take("connect-ticket", ticket, _Ticket)
        if ticket is not None and (bearer is None or bearer.client != known.name):
            raise InvalidRequest("the ticket is unknown, used or older than 10 minutes")
        kept = _State(
            client=known.name,
            verifier=verifier.reveal(),
            nonce=nonce,
            return_to=self._return_address(known, return_to),
            scopes=sorted(asked(scopes) or known.scopes),
            user=None if bearer is None else bearer.user,
            expect_subject=None if bearer is None else bearer.expect_subject,
        )
        endpoints = await self._means.issuer.endpoints(known)
        url = authorization_url(
            known,
            endpoints,
            redirect_uri=self.callback_url,
            scopes=frozenset(kept.scopes),
            state=state,
            nonce=nonce,
            verifier=verifier,
            login_hint=login_hint,
            force_consent=force_consent,
        )
        await self._put("connect-state", state, kept, STATE_LIFE)
        return Begin(url, state)

    async def callback(
        self, *, state: str | None, cookie: str | None, code: str | None, error: str | None, iss: str | None
    ) -> str:
        """
        The browser came back; redeem what it brings.

        Returns:
            The return address, with ``result`` or, if it did not work, ``error``.

        Raises:
            SignInLost: This browser did not begin this sign-in, or not lately.
        """
        if not state or cookie != state:
            raise SignInLost(
                "this sign-in was not started in this browser",
                hint="Go back to the app and start the sign-in again.",
            )
        kept = await self._take("connect-state", state, _State)
        if kept is None:
            raise SignInLost(
                "this sign-in was finished already, or took longer than 10 minutes",
                hint="Go back to the app and start the sign-in again.",
            )
        client = self._means.client(kept.client)
        if error is not None or code is None:
            return _with(kept.return_to, error=_known_error(error))
        result = _Result(client=kept.client, grant=None, error=None, nonce=kept.nonce)
        try:
            await self._check_issuer(client, iss)
            result.grant = await self._redeemer.carry_out(
                Plan(
                    client=client,
                    source=Source.WEB,
                    code=parse_code(code),
                    redirect_uri=self.callback_url,
                    verifier=CodeVerifier(kept.verifier),
                    nonce=kept.nonce,
                    id_token=None,
                    requested=frozenset(kept.scopes),
                    key=None,
                    trusted=True,
                    caller=None,
                    user=kept.user,
                    expect_subject=kept.expect_subject,
                )
            )
        except GrantkeeperError as failure:
            result.error = failure.as_record()
        secret = self._random()
        if result.grant is not None:
            # The session is made when the backend asks for the result, so that it is not half spent by then.
            result.grant = replace(result.grant, session=None)
        await self._put("connect-result", secret, result, RESULT_LIFE)
        if result.error is not None:
            return _with(kept.return_to, result=secret, error=str(result.error["error"]))
        return _with(kept.return_to, result=secret)

    async def ticket(
        self, client: str | None, user: str, expect_subject: str | None = None
    ) -> tuple[str, int]:
        """
        A ticket that attaches the next sign-in to *user*, and the seconds it is good for.

        Raises:
            ClientUnknown, InvalidRequest: The request is wrong.
        """
        known = self._means.client(client)
        if not 0 < len(user) <= LONGEST_USER:
            raise InvalidRequest(f"user must have 1 to {LONGEST_USER} characters")
        secret = self._random()
        await self._put("connect-ticket", secret, _Ticket(known.name, user, expect_subject), TICKET_LIFE)
        return secret, int(TICKET_LIFE.total_seconds())

    async def result(self, result: str) -> RedeemedGrant:
        """
        What came of a sign-in; good once, for the app's backend.

        Raises:
            InvalidRequest: There is no such result any more.
            GrantkeeperError: What the sign-in itself ended with.
        """
        kept = await self._take("connect-result", result, _Result)
        if kept is None:
            raise InvalidRequest("the result is unknown, was fetched already or is older than 60 seconds")
        if kept.grant is None:
            raise from_record(kept.error or {})
        client = self._means.client(kept.client)
        grant = await self._means.store.get(kept.grant.id)
        by_answer = grant is not None and grant.identity_source is IdentitySource.ANSWER
        if kept.grant.state is not GrantState.ACTIVE or not by_answer:
            return kept.grant
        return await self._sessions.attach(kept.grant, client, kept.nonce)

    async def _check_issuer(self, client: Client, iss: str | None) -> None:
        """The mix-up defence of RFC 9207: required where discovery announces it."""
        endpoints = await self._means.issuer.endpoints(client)
        if iss is None and not endpoints.iss_in_answer:
            return
        if iss != client.issuer:
            raise InvalidRequest("the answer came from another issuer than the one that was asked")

    @staticmethod
    def _return_address(client: Client, wanted: str | None) -> str:
        if not client.return_to:
            raise InvalidRequest(f"the client {client.name} has no return_to in its settings")
        if wanted is None:
            if len(client.return_to) == 1:
                return client.return_to[0]
            raise InvalidRequest("return_to must say which of the client's addresses to return to")
        if urlunsplit(urlsplit(wanted)._replace(query="")) not in client.return_to:
            raise InvalidRequest("return_to is not one of the client's addresses")
        return wanted

    # -- things that are good once ------------------------------------------------------------

    def _random(self) -> str:
        return urlsafe_b64encode(self._means.dice.bytes(32)).decode().rstrip("=")

    async def _put(self, kind: str, secret: str, value: msgspec.Struct, life: timedelta) -> None:
        now, sealer = self._means.clock.now(), self._means.sealer
        data_key = sealer.new_key("", OWNER)
        box = sealer.seal(data_key, msgspec.json.encode(value).decode(), SealContext("", OWNER, kind))
        key = sealer.digest(kind, secret)
        await self._means.store.put_once(
            kind, key, msgspec.msgpack.encode([data_key, box]), now=now, until=now + life
        )

    async def _take(self, kind: str, secret: str, shape: type[Kept]) -> Kept | None:
        now, sealer = self._means.clock.now(), self._means.sealer
        for key in sealer.digests(kind, secret):
            value = await self._means.store.take_once(kind, key, now=now)
            if value is not None:
                data_key, box = msgspec.msgpack.decode(value, type=tuple[bytes, bytes])
                try:
                    opened = sealer.unseal(data_key, box, SealContext("", OWNER, kind))
                except SealBroken:
                    # Another node may have the key.
                    await self._means.store.put_once(kind, key, value, now=now, until=now + PUT_BACK)
                    raise
                return msgspec.json.decode(opened, type=shape)
        return None


def _with(address: str, **added: str) -> str:
    """*address* with more in its query."""
    parts = urlsplit(address)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *added.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _known_error(error: str | None) -> str:
    """An error name that may be passed on: the issuer's where it looks like one (RFC 6749 4.1.2.1)."""
    plain = (
        error is not None and 0 < len(error) <= 64 and error.replace("_", "").isalnum() and error.isascii()
    )
    return error if plain and error is not None else "invalid_request"
