"""`RemoteKeeper`: the calls of a keeper against a running service."""

import re
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from grantkeeper.errors import (
    ERRORS,
    GrantkeeperError,
    HttpFailed,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
    from_record,
)
from grantkeeper.library import remote_answers as answers
from grantkeeper.library.calls import Calls, Page, Scopes, SyncKeeper, plain
from grantkeeper.library.job_calls import RemoteJobs
from grantkeeper.library.loop import Home
from grantkeeper.model import Description, GrantState, Preflight, RedeemedGrant, Revocation, Token
from grantkeeper.ports import Http
from grantkeeper.protocol.discovery import is_safe_url
from grantkeeper.protocol.message import HttpRequest, HttpResponse, retry_after
from grantkeeper.protocol.scopes import Scopes as ScopeSet
from grantkeeper.protocol.scopes import asked
from grantkeeper.secret import AuthorizationCode, CallerKey, CodeVerifier, IdToken

T = TypeVar("T")

SECONDS = 60.0
"""Limit on one call: longer than a service waits for Google and for its own database."""

LARGEST = 8 * 1024 * 1024
"""Bytes of an answer; a page of a thousand grants has under two million."""

_KEY = re.compile(r"[!-~]+")
_FIELDS = frozenset({"error", "error_description", "hint", "remedy"})


@dataclass(frozen=True, slots=True)
class Service:
    """The service at *url*, as its caller sees it; lives on one loop."""

    url: str
    key: CallerKey
    http: Http

    async def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """
        One call, its answer read as *kind*.

        Raises:
            GrantkeeperError: What the service refused, or that it does not answer.
        """
        request = HttpRequest(
            method,
            self.url + path,
            b"" if body is None else msgspec.json.encode(body),
            {
                "authorization": f"Bearer {self.key.reveal()}",
                "content-type": "application/json",
                "x-requested-with": "grantkeeper",
                **(headers or {}),
            },
        )
        try:
            response = await self.http.send(request, seconds=SECONDS, largest=LARGEST)
        except HttpFailed as error:
            raise _unreachable(error) from error
        if response.status >= 300:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.body or b"null", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IssuerMisbehaved(
                "the answer is not one of a grantkeeper service of this release",
                hint="Check GRANTKEEPER_URL, and that service and client are of the same release.",
            ) from error

    async def close(self) -> None:
        """Hang up."""
        close = getattr(self.http, "close", None)
        if close is not None:
            await close()


class Carrier(Protocol):
    """Brings a call to the service and the answer back."""

    def __call__(self, call: Callable[[Service], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]: ...


class RemoteKeeper(Calls):
    """
    The same calls as `grantkeeper.Keeper`, against a service; errors are the same, too.

    For example::

        async with RemoteKeeper("https://keeper.example.com", key) as keeper:
            token = await keeper.access_token(grant_id)

    Args:
        url: Of the service; HTTPS, or plain HTTP on loopback.
        key: The caller key that ``grantkeeper callers create`` printed.
        http: Takes the place of aiohttp.

    Raises:
        ValueError: The key must not go to this address, or is no key.
    """

    def __init__(self, url: str, key: CallerKey | str, *, http: Callable[[], Http] | None = None) -> None:
        self._home = _home(url, key, http)
        self._carry: Carrier = self._home.ask

    @classmethod
    def open(
        cls, url: str, key: CallerKey | str, *, http: Callable[[], Http] | None = None
    ) -> "RemoteKeeper":
        """The same as making one, by the name that `grantkeeper.Keeper` has for it."""
        return cls(url, key, http=http)

    @classmethod
    def open_sync(
        cls, url: str, key: CallerKey | str, *, http: Callable[[], Http] | None = None
    ) -> SyncKeeper:
        """The same, with calls that block; use it with ``with``."""
        keeper = cls(url, key, http=http)
        keeper._carry = keeper._home.block
        return SyncKeeper(keeper)

    # -- the calls ------------------------------------------------------------------------------

    async def redeem(
        self,
        code: AuthorizationCode | str,
        source: str = "ios",
        *,
        client: str | None = None,
        redirect_uri: str | None = None,
        code_verifier: CodeVerifier | str | None = None,
        nonce: str | None = None,
        id_token: IdToken | str | None = None,
        scopes: Scopes = None,
        idempotency_key: str | None = None,
        user: str | None = None,
        expect_subject: str | None = None,
    ) -> RedeemedGrant:
        # With a key the call can be repeated when only the wire between us and the service has failed.
        headers = {"idempotency-key": idempotency_key or token_urlsafe(24)}
        body = _without_none(
            code=plain(code),
            source=source,
            client=client,
            redirect_uri=redirect_uri,
            code_verifier=plain(code_verifier),
            nonce=nonce,
            id_token=plain(id_token),
            scopes=_names(scopes),
            user=user,
            expect_subject=expect_subject,
        )

        async def post(service: Service) -> RedeemedGrant:
            answer = await service.call("POST", "/v1/redeem", answers.Redeemed, body=body, headers=headers)
            return answer.record()

        async def twice(service: Service) -> RedeemedGrant:
            try:
                return await post(service)
            except IssuerUnavailable as error:
                first = error.__cause__
                if not isinstance(first, HttpFailed):
                    raise
            try:
                return await post(service)
            except IssuerUnavailable as error:
                second = error.__cause__
                if not isinstance(second, HttpFailed):
                    raise
                if first.may_have_arrived or second.may_have_arrived:
                    raise OutcomeUnknown("the service may have the code, and its answer was lost") from error
                raise

        return await self._carry(twice)

    async def connected(self, result: str) -> RedeemedGrant:
        body = {"result": result}
        answer = await self._carry(
            lambda service: service.call("POST", "/v1/connect/results", answers.Redeemed, body=body)
        )
        return answer.record()

    async def access_token(
        self, grant_id: str, scopes: Scopes = None, min_ttl: int = 60, rejected: str | None = None
    ) -> Token:
        return await self._carry(_token(grant_id, _names(scopes), min_ttl, rejected))

    async def preflight(
        self,
        id_token: IdToken | str,
        source: str = "ios",
        *,
        client: str | None = None,
        scopes: Scopes = None,
    ) -> Preflight:
        body = _without_none(id_token=plain(id_token), source=source, client=client, scopes=_names(scopes))
        answer = await self._carry(
            lambda service: service.call("POST", "/v1/preflight", answers.Preflighted, body=body)
        )
        return answer.record()

    async def describe(self, grant_id: str) -> Description:
        path = _path(grant_id)
        answer = await self._carry(lambda service: service.call("GET", path, answers.Described))
        return answer.record()

    async def grants(
        self,
        *,
        client: str | None = None,
        subject: str | None = None,
        user: str | None = None,
        state: GrantState | str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        query = urlencode(
            _without_none(client=client, subject=subject, user=user, state=state, limit=limit, cursor=cursor)
        )
        answer = await self._carry(lambda service: service.call("GET", f"/v1/grants?{query}", answers.Listed))
        return Page(tuple(grant.record() for grant in answer.grants), answer.next_cursor)

    async def attach(self, grant_id: str, user: str | None) -> Description:
        path = _path(grant_id)
        answer = await self._carry(
            lambda service: service.call("PATCH", path, answers.Described, body={"user": user})
        )
        return answer.record()

    async def revoke(self, grant_id: str) -> Revocation:
        path = f"{_path(grant_id)}/revoke"
        answer = await self._carry(lambda service: service.call("POST", path, answers.Revoked, body={}))
        return answer.record()

    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        path = _path(grant_id) + ("" if revoke else "?revoke=false")
        await self._carry(lambda service: service.call("DELETE", path, type(None)))

    list = grants

    @property
    def jobs(self) -> RemoteJobs:
        return RemoteJobs(self._carry)

    # -- lifetime -------------------------------------------------------------------------------

    def _source(self) -> "RemoteTokens":
        return RemoteTokens(self._home)

    async def start(self) -> Self:
        await self._carry(_nothing)
        return self

    async def aclose(self) -> None:
        await self._home.aclose()

    def close(self) -> None:
        self._home.close()


class RemoteTokens:
    """
    The tokens of a service, for credentials: see `grantkeeper.library.tokens`.

    There is no word of changes over HTTP, so a token in hand is used until it is
    near its end or Google refuses it, as it does after a revocation.
    """

    def __init__(self, home: Home[Service]) -> None:
        self._home = home
        self._mark = object()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def mark(self, grant_id: str) -> object:
        return self._mark

    def mark_of(self, token: Token) -> object:
        return self._mark

    def fresh(self, grant_id: str, scopes: ScopeSet | None, min_ttl: int) -> None:
        return None

    def fetch(self, grant_id: str, scopes: ScopeSet | None, min_ttl: int, rejected: str | None) -> Token:
        return self._by_our_clock(self._home.wait(_token(grant_id, scopes, min_ttl, rejected)))

    async def ask(self, grant_id: str, scopes: ScopeSet | None, min_ttl: int, rejected: str | None) -> Token:
        return self._by_our_clock(await self._home.ask(_token(grant_id, scopes, min_ttl, rejected)))

    def _by_our_clock(self, token: Token) -> Token:
        """The service's clock may stand elsewhere; how long the token lives is the same everywhere."""
        ends = self.now() + timedelta(seconds=token.expires_in)
        return Token(
            access_token=token.access_token,
            expires_at=ends,
            expires_in=token.expires_in,
            scopes=token.scopes,
            missing_scopes=token.missing_scopes,
            grant=token.grant,
            warning=token.warning,
        )


def _home(url: str, key: CallerKey | str, http: Callable[[], Http] | None) -> Home[Service]:
    url = url.rstrip("/")
    key = CallerKey(key.strip()) if isinstance(key, str) else key
    if not is_safe_url(url):
        raise ValueError("the service's address must begin with https://, or with http:// on loopback")
    if not _KEY.fullmatch(key.reveal()):
        raise ValueError("a caller key has only visible characters")

    async def opening() -> Service:
        return Service(url, key, (http or _aiohttp)())

    return Home(opening, Service.close, name="grantkeeper-remote")


def _aiohttp() -> Http:
    from grantkeeper.adapters.http import AiohttpHttp

    return AiohttpHttp()


async def _nothing(service: Service) -> None:
    """What opening needs as a call."""


def _token(
    grant_id: str, scopes: Collection[str] | None, min_ttl: int, rejected: str | None
) -> Callable[[Service], Coroutine[Any, Any, Token]]:
    body = _without_none(
        grant=grant_id,
        scopes=None if scopes is None else sorted(scopes),
        min_ttl=min_ttl,
        rejected=rejected,
    )

    async def post(service: Service) -> Token:
        return (await service.call("POST", "/v1/token", answers.Handed, body=body)).record()

    return post


def _names(scopes: Scopes) -> "list[str] | None":
    names = asked(scopes)
    return None if names is None else sorted(names)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _path(grant_id: str) -> str:
    return f"/v1/grants/{quote(grant_id, safe='')}"


def _unreachable(error: HttpFailed) -> IssuerUnavailable:
    return IssuerUnavailable(
        "the grantkeeper service does not answer",
        hint="Check GRANTKEEPER_URL and that `grantkeeper serve` runs there; then try again.",
    )


def _refused(response: HttpResponse) -> GrantkeeperError:
    """The error that the service told, as if it had been raised here."""
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    code = body.get("error") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(code, str) or code not in ERRORS:
        text = f"the service answered {response.status} and nothing that this release knows"
        if response.status >= 500 or response.status == 429:
            return IssuerUnavailable(text, retry_after=retry_after(response, datetime.now(UTC)))
        return IssuerMisbehaved(text, hint="Check GRANTKEEPER_URL: something else may answer there.")
    return from_record(
        {
            "error": code,
            "error_description": str(body.get("error_description", code)),
            "hint": body.get("hint"),
            "retry_after": retry_after(response, datetime.now(UTC)),
            "details": {name: value for name, value in body.items() if name not in _FIELDS},
        }
    )
