"""
A grant as the ``auth=`` of other people's HTTP clients: requests, httpx, and what is like them.

Neither library is imported. requests calls the object; httpx wants its own base
class and then asks for one of two generators. A refused token is told to the
keeper and the request is sent once more with another, if its body can be.
"""

import sys
from collections.abc import AsyncGenerator, Generator
from typing import Any

from grantkeeper.library.tokens import TokenSource
from grantkeeper.model import Token
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.protocol.scopes import Scopes

HEADER = "Authorization"
UNAUTHORISED = 401

HTTPX_LIKE = ("httpx", "httpx2")
"""Modules whose ``Auth`` a client compares with, if they are loaded at all."""

_kinds: dict[tuple[type, ...], type] = {}


class GrantAuth:
    """
    Puts the user's token into requests; made by ``keeper.auth(grant_id)``.

    For example::

        httpx.AsyncClient(auth=keeper.auth(grant.id))
        requests.get(url, auth=keeper.auth(grant.id))
    """

    requires_request_body = False
    requires_response_body = False

    def __init__(
        self,
        source: TokenSource,
        grant_id: str,
        scopes: Scopes | None,
        min_ttl: int,
    ) -> None:
        self._source = source
        self._grant_id = grant_id
        self._scopes = scopes
        self._min_ttl = min_ttl

    def __repr__(self) -> str:
        return f"GrantAuth({self._grant_id})"

    # httpx takes anything callable that is not an instance of its Auth for a function of the request,
    # and would never ask it again after a 401. isinstance() believes this property.
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _kind()

    # -- requests -------------------------------------------------------------------------------

    def __call__(self, request: Any) -> Any:
        """Prepare a request of requests, or of a client that calls its auth in the same way."""
        token = self._token()
        _put(request, token)
        if not hasattr(request, "register_hook"):
            return request
        position = _position(request.body)

        def again(response: Any, **options: Any) -> Any:
            if not _refused(response, token):
                return response
            return self._send_again(response, token, position, options)

        request.register_hook("response", again)
        return request

    def _send_again(self, response: Any, refused: Token, position: int | None, options: Any) -> Any:
        other = self._token(refused)
        body = response.request.body
        whole = body is None or isinstance(body, (bytes, str))
        if _same(other, refused) or not (whole or position is not None):
            return response
        # The connection goes back to the pool only when its answer has been read.
        _ = response.content
        response.close()
        request = response.request.copy()
        if position is not None:
            body.seek(position)
        _put(request, other)
        second = response.connection.send(request, **options)
        second.history.append(response)
        second.request = request
        return second

    # -- httpx ----------------------------------------------------------------------------------

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """What ``httpx.Client`` runs."""
        token = self._token()
        _put(request, token)
        response = yield request
        if _refused(response, token):
            other = self._token(token)
            if not _same(other, token) and _in_memory(request):
                _put(request, other)
                yield request

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """What ``httpx.AsyncClient`` runs."""
        token = await self._awaited()
        _put(request, token)
        response = yield request
        if _refused(response, token):
            other = await self._awaited(token)
            if not _same(other, token) and _in_memory(request):
                _put(request, other)
                yield request

    auth_flow = sync_auth_flow

    # -- tokens ---------------------------------------------------------------------------------

    def _token(self, refused: Token | None = None) -> Token:
        if refused is None:
            token = self._source.fresh(self._grant_id, self._scopes, self._min_ttl)
            if token is not None:
                return token
        return self._source.fetch(self._grant_id, self._scopes, self._min_ttl, _name(refused))

    async def _awaited(self, refused: Token | None = None) -> Token:
        return await self._source.ask(self._grant_id, self._scopes, self._min_ttl, _name(refused))


def _kind() -> type:
    """`GrantAuth`, and in the eyes of every loaded httpx its own ``Auth`` as well."""
    modules = (sys.modules.get(name) for name in HTTPX_LIKE)
    bases = tuple(base for base in (getattr(module, "Auth", None) for module in modules) if base is not None)
    if bases not in _kinds:
        _kinds[bases] = type("GrantAuth", (GrantAuth, *bases), {}) if bases else GrantAuth
    return _kinds[bases]


def _name(refused: Token | None) -> str | None:
    return None if refused is None else fingerprint(refused.access_token)


def _same(one: Token, other: Token) -> bool:
    return one.access_token == other.access_token


def _put(request: Any, token: Token) -> None:
    request.headers[HEADER] = f"Bearer {token.reveal()}"


def _refused(response: Any, token: Token) -> bool:
    """Whether *token* was refused; after a redirect to a foreign host it was not even sent."""
    if response.status_code != UNAUTHORISED:
        return False
    sent = response.request.headers.get(HEADER)
    return bool(sent == f"Bearer {token.reveal()}")


def _position(body: Any) -> int | None:
    """Where a file that can be rewound stands; `None` for a body of another kind."""
    try:
        return int(body.tell())
    except (AttributeError, OSError):
        return None


def _in_memory(request: Any) -> bool:
    """Whether an httpx request can be sent twice: its body is not a stream that has been read."""
    try:
        _ = request.content
    except RuntimeError:
        return False
    return True
