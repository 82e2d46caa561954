"""
Speaks with an issuer: its addresses and keys kept, its answers read, each message sent as often as it may be.

No grant is held here and nothing is stored. What is sent is decided by
`grantkeeper.protocol`; when to send again is decided by the keepers, but for a
refresh whose client secret was refused: the other secret is tried once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from grantkeeper.errors import (
    AnswerTooLarge,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    HttpFailed,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
)
from grantkeeper.model import Client, Endpoints, Identity
from grantkeeper.ports import Clock, Http
from grantkeeper.protocol.discovery import GOOGLE, GOOGLE_ENDPOINTS, discovery_url, parse_discovery
from grantkeeper.protocol.id_token import Expectation, read_header, verify
from grantkeeper.protocol.key_set import KeySet, parse_key_set
from grantkeeper.protocol.message import LARGEST_ANSWER, HttpRequest, HttpResponse, retry_after
from grantkeeper.protocol.scopes import Scopes
from grantkeeper.protocol.token_endpoint import (
    ScopeRefused,
    SecretRefused,
    TokenAnswer,
    code_request,
    is_transient,
    parse_code,
    parse_refresh,
    parse_revocation,
    refresh_request,
    revocation_request,
)
from grantkeeper.secret import AuthorizationCode, ClientSecret, CodeVerifier, IdToken, RefreshToken

CODE_LIMIT = 10.0
"""Seconds for a code: it cannot be sent again, so its answer is waited for longest."""

HTTP_LIMIT = 10.0
"""Seconds for a refresh with all its sends, and for a revocation."""

KEYS_LIMIT = 5.0
"""Seconds for a document that is only read: keys, discovery."""

PAUSE = 0.5
"""Seconds after a failed fetch in which nobody fetches again: callers come by the hundred."""

DISCOVERY_KEEP = timedelta(days=1)
LONGEST_STALE = timedelta(days=1)
"""How long keys are believed after their time when new ones cannot be had."""

ACCEPT = {"accept": "application/json"}

Kind = TypeVar("Kind")


class AnswerLost(IssuerUnavailable):
    """
    A refresh was sent and no answer came.

    For Google the stored token stays good. An issuer that rotates refresh
    tokens may have replaced it: the grant is uncertain until a refresh works.
    """


class Issuer:
    """
    The way to the issuers of some clients. Belongs to one loop.

    What is read from an issuer is kept by its identifier, so clients of one
    issuer that share an `Issuer` share its keys.
    """

    def __init__(self, http: Http, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._documents: dict[str, _Kept[Endpoints]] = {}
        self._key_sets: dict[str, _Kept[KeySet]] = {}
        self._working: dict[str, ClientSecret] = {}

    # -- what is read -------------------------------------------------------------------------

    async def endpoints(self, client: Client) -> Endpoints:
        """
        Where the client's issuer answers. Google's addresses are known, others are discovered.

        A document is kept for a day and then renewed in the background; while
        that fails the old one serves.

        Raises:
            IssuerUnavailable, IssuerMisbehaved: It was never to be had.
        """
        return await self._endpoints(client.issuer)

    async def _endpoints(self, issuer: str) -> Endpoints:
        if issuer == GOOGLE:
            return GOOGLE_ENDPOINTS
        document = self._documents.get(issuer)
        if document is None:
            document = self._documents[issuer] = _Kept(self._clock, lambda: self._discover(issuer))
        if document.value is None:
            return await document.fetch()
        if not document.fresh(self._clock.now()):
            document.fetch_beside()
        return document.value

    async def keys(self, issuer: str, kid: str | None = None) -> KeySet:
        """
        The keys of *issuer*, fetched when their time is over or *kid* is new.

        An unknown *kid* causes one fetch at most in thirty seconds, for
        strangers choose it. When a fetch fails, keys that have the *kid* serve
        for a day longer.

        Raises:
            IssuerUnavailable, IssuerMisbehaved: They are not to be had.
        """
        kept = self._key_sets.get(issuer)
        if kept is None:
            kept = self._key_sets[issuer] = _Kept(self._clock, lambda: self._fetch_keys(issuer))
        now, known = self._clock.now(), kept.value
        if known is None:
            return await kept.fetch()
        has_kid = kid is None or any(key.kid == kid for key in known.keys)
        if kept.fresh(now) and (has_kid or not known.may_refetch(now)):
            return known
        try:
            return await kept.fetch()
        except (IssuerUnavailable, IssuerMisbehaved):
            if has_kid and now < known.fresh_until + LONGEST_STALE:
                return known
            raise

    async def prepare(self, client: Client) -> None:
        """
        Fetch what redeeming needs beside the code, so that no code is spent in vain.

        Raises:
            IssuerUnavailable: It is not to be had now; nothing was sent.
        """
        try:
            await self.endpoints(client)
            await self.keys(client.issuer)
        except IssuerMisbehaved as error:
            raise IssuerUnavailable(f"nothing was sent: {error.text}", hint=error.hint) from error

    async def verify(self, token: IdToken, expectation: Expectation) -> Identity:
        """
        The identity that *token* proves under the keys of the expected issuer.

        Raises:
            IdTokenRejected: It proves nothing; the error says why.
            IssuerUnavailable, IssuerMisbehaved: The keys are not to be had.
        """
        header = read_header(token, expectation)
        return verify(token, await self.keys(expectation.issuer, header.kid), expectation)

    async def _discover(self, issuer: str) -> tuple[Endpoints, datetime]:
        response = await self._read(discovery_url(issuer), "discovery document")
        return parse_discovery(response, issuer=issuer), self._clock.now() + DISCOVERY_KEEP

    async def _fetch_keys(self, issuer: str) -> tuple[KeySet, datetime]:
        endpoints = await self._endpoints(issuer)
        response = await self._read(endpoints.jwks, "key set")
        found = parse_key_set(response, now=self._clock.now())
        return found, found.fresh_until

    async def _read(self, url: str, what: str) -> HttpResponse:
        try:
            response = await self._http.send(
                HttpRequest("GET", url, headers=ACCEPT), seconds=KEYS_LIMIT, largest=LARGEST_ANSWER
            )
        except AnswerTooLarge as error:
            raise IssuerMisbehaved(f"the issuer's {what} cannot be right: {error}") from error
        except HttpFailed as error:
            raise IssuerUnavailable(f"the issuer's {what} is not to be had: {error}") from error
        if is_transient(response.status):
            raise IssuerUnavailable(
                f"the issuer's {what} answered {response.status}",
                retry_after=retry_after(response, self._clock.now()),
            )
        return response

    # -- what is sent -------------------------------------------------------------------------

    async def redeem(
        self,
        client: Client,
        code: AuthorizationCode,
        redirect_uri: str,
        verifier: CodeVerifier | None = None,
    ) -> TokenAnswer:
        """
        Send *code*, once: on a connection of its own, with one secret, with no second try.

        Raises:
            IssuerUnavailable: Nothing was sent; the code is as good as before.
            OutcomeUnknown: It was sent and no answer came, or the issuer broke down over it.
            GrantkeeperError: As `grantkeeper.protocol.token_endpoint.parse_code`.
        """
        endpoints = await self._endpoints_to_send_to(client)
        secret, *others = self._secrets(client)
        request = code_request(client, endpoints, secret, code, redirect_uri, verifier)
        sent_at = self._clock.now()
        try:
            response = await self._http.send(request, seconds=CODE_LIMIT, largest=LARGEST_ANSWER, fresh=True)
        except AnswerTooLarge as error:
            raise IssuerMisbehaved(f"the code is spent: {error}") from error
        except HttpFailed as error:
            if error.may_have_arrived:
                raise OutcomeUnknown(f"the code was sent and no answer came: {error}") from error
            self._doubt_document(client)
            raise IssuerUnavailable(f"the code was not sent: {error}") from error
        try:
            return parse_code(response, sent_at=sent_at)
        except SecretRefused:
            # This code is spent; the next one goes out with the other secret.
            for other in others:
                self._working[client.client_id] = other
            raise

    async def refresh(
        self, client: Client, refresh_token: RefreshToken, scopes: Scopes | None = None
    ) -> TokenAnswer:
        """
        Send *refresh_token*, once with each secret at most, all within `HTTP_LIMIT`.

        The secret that worked is used first from then on, for codes too.

        Raises:
            AnswerLost: It was sent and no answer came.
            IssuerUnavailable: Ask again later with the same token.
            GrantkeeperError: As `grantkeeper.protocol.token_endpoint.parse_refresh`.
        """
        until = self._clock.monotonic() + HTTP_LIMIT
        endpoints = await self._endpoints_to_send_to(client)
        secrets = self._secrets(client)
        refused: SecretRefused | None = None
        for secret in secrets:
            request = refresh_request(client, endpoints, secret, refresh_token, scopes)
            sent_at = self._clock.now()
            response = await self._send(client, request, until)
            try:
                answer = parse_refresh(response, sent_at=sent_at)
            except SecretRefused as error:
                refused = refused or error
            except (ConsentRequired, GrantBlocked, ScopeRefused):
                # The grant was judged, so the secret had passed.
                self._working[client.client_id] = secret
                raise
            else:
                self._working[client.client_id] = secret
                return answer
        assert refused is not None
        raise refused

    async def revoke(self, client: Client, refresh_token: RefreshToken) -> bool:
        """
        Tell the issuer that a grant is over. Returning means that there is nothing more to tell it.

        An issuer without a revocation endpoint cannot be told.

        Returns:
            Whether the issuer knew the token and ended it; ``False`` for one that was gone already.

        Raises:
            IssuerUnavailable: Tell it again later.
            IssuerMisbehaved: Its answer is none of RFC 7009's.
        """
        until = self._clock.monotonic() + HTTP_LIMIT
        endpoints = await self._endpoints_to_send_to(client)
        if endpoints.revocation is None:
            return False
        secret = self._secrets(client)[0]
        request = revocation_request(endpoints.revocation, refresh_token, client, secret)
        sent_at = self._clock.now()
        return parse_revocation(await self._send(client, request, until), sent_at=sent_at)

    async def _send(self, client: Client, request: HttpRequest, until: float) -> HttpResponse:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise IssuerUnavailable("there was no time left to ask the issuer")
        try:
            return await self._http.send(request, seconds=left, largest=LARGEST_ANSWER)
        except AnswerTooLarge as error:
            raise IssuerMisbehaved(f"the issuer's answer cannot be right: {error}") from error
        except HttpFailed as error:
            if error.may_have_arrived:
                raise AnswerLost(f"no answer came from the issuer: {error}") from error
            self._doubt_document(client)
            raise IssuerUnavailable(f"the issuer cannot be reached: {error}") from error

    def _doubt_document(self, client: Client) -> None:
        """Read the discovery document again before the next call: nobody is where it points."""
        self._documents.pop(client.issuer, None)

    async def _endpoints_to_send_to(self, client: Client) -> Endpoints:
        try:
            return await self.endpoints(client)
        except IssuerMisbehaved as error:
            raise IssuerUnavailable(f"nothing was sent: {error.text}", hint=error.hint) from error

    def _secrets(self, client: Client) -> tuple[ClientSecret, ...]:
        """The client's secrets, the one that last worked first."""
        working = self._working.get(client.client_id)
        if working is None or working not in client.secrets:
            return client.secrets
        return (working, *(secret for secret in client.secrets if secret != working))


class _Kept(Generic[Kind]):
    """Something fetched, kept until its time is over; one fetch at a time, and a pause after a failed one."""

    def __init__(self, clock: Clock, fetch: Callable[[], Awaitable[tuple[Kind, datetime]]]) -> None:
        self.value: Kind | None = None
        self._clock = clock
        self._fetch = fetch
        self._fetched_at = self._until = datetime.max.replace(tzinfo=UTC)
        self._flight: asyncio.Task[Kind] | None = None
        self._failure: tuple[float, GrantkeeperError] | None = None

    def fresh(self, now: datetime) -> bool:
        """Whether the value's time is not over. A clock that was set back to before the fetch ends it too."""
        return self._fetched_at <= now < self._until

    async def fetch(self) -> Kind:
        """The value, fetched anew, once for all who ask meanwhile. Who waits may leave; the fetch goes on."""
        return await asyncio.shield(self._start())

    def fetch_beside(self) -> None:
        """Fetch in the background; the old value stays if that fails."""
        self._start()

    def _start(self) -> "asyncio.Task[Kind]":
        if self._flight is None:
            self._flight = asyncio.create_task(self._run())
            self._flight.add_done_callback(self._landed)
        return self._flight

    async def _run(self) -> Kind:
        if self._failure is not None and self._clock.monotonic() < self._failure[0] + PAUSE:
            raise self._failure[1].with_traceback(None)
        try:
            self.value, self._until = await self._fetch()
        except GrantkeeperError as error:
            self._failure = (self._clock.monotonic(), error)
            raise
        self._fetched_at, self._failure = self._clock.now(), None
        return self.value

    def _landed(self, flight: "asyncio.Task[Kind]") -> None:
        self._flight = None
        # Looked at, so that nobody is told of an exception that was never retrieved.
        if not flight.cancelled():
            flight.exception()
