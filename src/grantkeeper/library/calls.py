"""
What can be asked of a keeper, wherever it is, and the two faces of it: awaited and blocking.

There is one body for each call. A body hands its work to a carrier; the carrier
of the awaited face waits on the caller's loop, that of the blocking face blocks
the thread, so that the same body then runs through without ever suspending.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine
from functools import update_wrapper
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

from grantkeeper.library.job_calls import JobCalls
from grantkeeper.library.tokens import TokenSource
from grantkeeper.model import Description, GrantState, Preflight, RedeemedGrant, Revocation, Token
from grantkeeper.secret import AuthorizationCode, CodeVerifier, IdToken, Secret

if TYPE_CHECKING:
    from grantkeeper.library.auth import GrantAuth
    from grantkeeper.library.google_auth import GrantCredentials

P = ParamSpec("P")
T = TypeVar("T")

Scopes = Collection[str] | str | None
"""Names, or one text with spaces between them; `None` for all that is granted."""


class Page(NamedTuple):
    """Some grants in order of id, and the cursor with which the next ones come; `None` on the last page."""

    grants: tuple[Description, ...]
    next_cursor: str | None


class Calls(ABC):
    """The calls of a keeper, awaited. Errors are those of `grantkeeper.errors`, wherever the keeper is."""

    @abstractmethod
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
        """
        Redeem a one-time code, once, and store the grant it becomes.

        Args:
            source: Where the code was born; decides the ``redirect_uri``.
            client: The client's name in the settings; needed if there are several.
            redirect_uri: Selects one of the client's for ``web`` and ``desktop``.
            id_token: The phone's own, as further evidence of who signed in.
            scopes: What the app asked for; default what the settings say.
            idempotency_key: A repeat with the same key gets the first outcome.
            user: Your own id of the person, attached to the grant.
            expect_subject: Refuse to link another account than this ``sub``.

        Raises:
            CodeRefused, OutcomeUnknown: Sign in again for a new code.
            CodeAlreadyRedeemed, IdempotencyMismatch: This code was posted before.
            WrongAccount, IdentityUnknown: Somebody else, or nobody, is proved.
            IssuerUnavailable: Nothing was sent; the same code may be tried again.
        """

    @abstractmethod
    async def connected(self, result: str) -> RedeemedGrant:
        """
        What came of a sign-in by redirect: *result* is what the browser came back with; good once.

        Raises:
            InvalidRequest: It is unknown, was fetched already, or is older than 60 seconds.
            GrantkeeperError: What the sign-in itself ended with, as `redeem` would raise it.
        """

    @abstractmethod
    async def access_token(
        self, grant_id: str, scopes: Scopes = None, min_ttl: int = 60, rejected: str | None = None
    ) -> Token:
        """
        An access token that lives at least *min_ttl* seconds, refreshed if need be.

        Args:
            scopes: Only these.
            rejected: base64url SHA-256 of a token that Google refused with 401.

        Raises:
            ConsentRequired, GrantBlocked: Somebody must act; the error says who and why.
            GrantNotFound: There is no such grant.
            IssuerUnavailable, StoreUnavailable: Later.
        """

    @abstractmethod
    async def preflight(
        self,
        id_token: IdToken | str,
        source: str = "ios",
        *,
        client: str | None = None,
        scopes: Scopes = None,
    ) -> Preflight:
        """Whether the app must ask for consent before it signs this user in, and how."""

    @abstractmethod
    async def describe(self, grant_id: str) -> Description:
        """
        State, reason, remedy and the ends coming up.

        Raises:
            GrantNotFound: There is no such grant.
        """

    @abstractmethod
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
        """A page of grants, filtered; *subject* is the ``sub`` string."""

    @abstractmethod
    async def attach(self, grant_id: str, user: str | None) -> Description:
        """
        Set, or with ``None`` take away, your own id of the person.

        Raises:
            WrongAccount: The grant is attached to another user.
        """

    @abstractmethod
    async def revoke(self, grant_id: str) -> Revocation:
        """Take the access back: nothing is handed out from now on, and the issuer is told."""

    @abstractmethod
    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        """Erase the grant here, and unless *revoke* is false take the access back first."""

    # -- offline work ---------------------------------------------------------------------------

    @property
    @abstractmethod
    def jobs(self) -> JobCalls:
        """Work to be done for users who are away."""

    # -- tokens for others ----------------------------------------------------------------------

    @abstractmethod
    def _source(self) -> TokenSource:
        """Where credentials get their tokens."""

    def credentials(
        self, grant_id: str, scopes: Scopes = None, quota_project_id: str | None = None
    ) -> "GrantCredentials":
        """
        The grant as ``google.auth`` credentials, for Google's own client libraries.

        They block. In async code use them in a thread, or with ``google.auth.aio``.
        """
        from grantkeeper.library.google_auth import GrantCredentials
        from grantkeeper.protocol.scopes import asked

        return GrantCredentials(self._source(), grant_id, asked(scopes), quota_project_id)

    def auth(self, grant_id: str, scopes: Scopes = None, min_ttl: int = 60) -> "GrantAuth":
        """The grant as the ``auth=`` of httpx- and requests-like clients."""
        from grantkeeper.library.auth import GrantAuth
        from grantkeeper.protocol.scopes import asked

        return GrantAuth(self._source(), grant_id, asked(scopes), min_ttl)

    # -- lifetime -------------------------------------------------------------------------------

    @abstractmethod
    async def start(self) -> Self:
        """Open now rather than at the first call, so that what is wrong is told now."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let what is under way finish, and let go of everything. A second time it does nothing."""

    @abstractmethod
    def close(self) -> None:
        """The same, blocking."""

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _through(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a blocking carrier must not suspend")


def _blocking(
    body: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        answer: T = _through(getattr(self._calls, body.__name__)(*args, **kwargs))
        return answer

    update_wrapper(call, body)
    return call


class SyncJobs:
    """Offline work, asked for with calls that block; as ``keeper.jobs``."""

    def __init__(self, calls: JobCalls) -> None:
        self._calls = calls

    enqueue = _blocking(JobCalls.enqueue)
    get = _blocking(JobCalls.get)
    list = _blocking(JobCalls.list)
    cancel = _blocking(JobCalls.cancel)
    retry = _blocking(JobCalls.retry)


class SyncKeeper:
    """
    A keeper whose calls block and answer directly; made by ``Keeper.open_sync`` and its kin.

    Args:
        calls: A keeper whose carrier blocks.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    redeem = _blocking(Calls.redeem)
    connected = _blocking(Calls.connected)
    access_token = _blocking(Calls.access_token)
    preflight = _blocking(Calls.preflight)
    describe = _blocking(Calls.describe)
    grants = _blocking(Calls.grants)
    list = _blocking(Calls.grants)
    attach = _blocking(Calls.attach)
    revoke = _blocking(Calls.revoke)
    forget = _blocking(Calls.forget)

    @property
    def jobs(self) -> SyncJobs:
        """As `Calls.jobs`."""
        return SyncJobs(self._calls.jobs)

    def credentials(
        self, grant_id: str, scopes: Scopes = None, quota_project_id: str | None = None
    ) -> "GrantCredentials":
        """As `Calls.credentials`."""
        return self._calls.credentials(grant_id, scopes, quota_project_id)

    def auth(self, grant_id: str, scopes: Scopes = None, min_ttl: int = 60) -> "GrantAuth":
        """As `Calls.auth`."""
        return self._calls.auth(grant_id, scopes, min_ttl)

    def start(self) -> Self:
        """As `Calls.start`."""
        _through(self._calls.start())
        return self

    def close(self) -> None:
        """As `Calls.close`."""
        self._calls.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def plain(value: Secret | str | None) -> str | None:
    """What a user handed over, a secret or any kind of text, as the request records want it."""
    if isinstance(value, Secret):
        return value.reveal()
    # What is no text at all goes on as it is: the keeper refuses it by name.
    return str(value) if isinstance(value, str) else value
