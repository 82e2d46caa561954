"""
A grant as google-auth's credentials, for Google's own client libraries.

What a subclass must survive is google-facts 11. The keeper does the refreshing,
once for all who ask; here we only decide whether the token in hand is still the
one to send. That look into the keeper's memory is made before every request, so
a revoked grant stops working here within a second.
"""

from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Never, Self

from google.auth.credentials import CredentialsWithQuotaProject, ReadOnlyScoped, TokenState
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError

from grantkeeper.errors import ConsentRequired, GrantBlocked, GrantkeeperError, GrantNotFound, HttpFailed
from grantkeeper.library.tokens import TokenSource
from grantkeeper.model import Token
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.protocol.scopes import Scopes, normalised

MIN_TTL = 300
"""Seconds a token must live on; more than the 225 at which google-auth begins to call it stale."""

GOOGLES_THRESHOLD = timedelta(seconds=225)
"""What google-auth means by "about to expire" (its REFRESH_THRESHOLD)."""

SOONEST = 300.0
"""Seconds before `MIN_TTL` at which the keeper is asked again, so that it can refresh beside us."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The token in hand; trusted while the mark stays the same, and not beyond *until*."""

    token: str = field(repr=False)
    header: str = field(repr=False)
    fingerprint: str
    expires_at: datetime
    until: datetime
    scopes: Scopes
    mark: object | None


class _Shared:
    """What copies have in common."""

    __slots__ = ("grant_id", "held", "scopes", "source", "turn")

    def __init__(
        self, source: TokenSource, grant_id: str, scopes: Scopes | None, turn: Callable[[str], None] | None
    ) -> None:
        self.source = source
        self.grant_id = grant_id
        self.scopes = scopes
        self.turn = turn
        # One assignment replaces it as a whole, so readers need no lock; one flight is the keeper's care.
        self.held: _Held | None = None


class GrantCredentials(CredentialsWithQuotaProject, ReadOnlyScoped):
    """
    Credentials of one grant, made by ``keeper.credentials(grant_id)``.

    They may be used by many threads at once, and they block: not for the event
    loop of the keeper, and for another loop only through
    ``google.auth.aio.transport.sessions`` or a thread.

    Args:
        turn: Is called with the URL before each request, and returns when it may be sent; it may raise.
    """

    def __init__(
        self,
        source: TokenSource,
        grant_id: str,
        scopes: Collection[str] | None = None,
        quota_project_id: str | None = None,
        turn: Callable[[str], None] | None = None,
    ) -> None:
        self._shared = _Shared(source, grant_id, normalised(scopes) if scopes else None, turn)
        super().__init__()  # type: ignore[no-untyped-call]
        self._quota_project_id = quota_project_id

    @property
    def grant_id(self) -> str:
        """Which grant this is."""
        return self._shared.grant_id

    # -- the token, as google-auth knows it -----------------------------------------------------

    @property
    def token(self) -> str | None:
        """The access token in hand; assigning anything drops it, for the keeper alone decides what it is."""
        held = self._shared.held
        return None if held is None else held.token

    @token.setter
    def token(self, value: object) -> None:
        self._shared.held = None

    @property
    def expiry(self) -> datetime | None:
        """When the token in hand ends, naive and in UTC as google-auth wants it; assigning drops it."""
        held = self._shared.held
        return None if held is None else held.expires_at.replace(tzinfo=None)

    @expiry.setter
    def expiry(self, value: object) -> None:
        self._shared.held = None

    @property
    def expired(self) -> bool:
        """Whether the token in hand has ended, or will within 225 seconds by the keeper's clock."""
        held = self._shared.held
        return held is not None and self._shared.source.now() >= held.expires_at - GOOGLES_THRESHOLD

    @property
    def valid(self) -> bool:
        """Whether a request would go out without asking the keeper first."""
        return self._from_memory() is not None and not self.expired

    @property
    def token_state(self) -> TokenState:
        """As `google.auth.credentials.Credentials.token_state`, by the keeper's clock and memory."""
        held = self._from_memory() or self._shared.held
        now = self._shared.source.now()
        if held is None or now >= held.expires_at or self._changed(held):
            return TokenState.INVALID
        return TokenState.STALE if now >= held.expires_at - GOOGLES_THRESHOLD else TokenState.FRESH

    # -- scopes ---------------------------------------------------------------------------------

    @property
    def scopes(self) -> list[str] | None:
        """The named scopes; where none were named, those of the token in hand."""
        held = self._shared.held
        known = self._shared.scopes or (None if held is None else held.scopes)
        return None if known is None else sorted(known)

    @property
    def granted_scopes(self) -> list[str] | None:
        """What the token in hand opens."""
        held = self._shared.held
        return None if held is None else sorted(held.scopes)

    @property
    def requires_scopes(self) -> bool:
        """Never: a user's grant has the scopes that the user gave."""
        return False

    def has_scopes(self, scopes: Collection[str]) -> bool:
        """Whether all of *scopes* are among `scopes`, by whatever name of theirs."""
        return normalised(scopes) <= set(self.scopes or ())

    # -- before and after a request -------------------------------------------------------------

    def before_request(self, request: Any, method: str, url: str, headers: MutableMapping[str, str]) -> None:
        """
        Put a token into *headers* that the keeper stands for now.

        Raises:
            google.auth.exceptions.RefreshError: There is none; our own error is its cause.
            google.auth.exceptions.TransportError: The network failed.
            RuntimeError: This is the keeper's own loop, or the keeper is closed.
        """
        shared = self._shared
        if shared.turn is not None:
            shared.turn(url)
        held = shared.held
        if held is None or self._changed(held) or shared.source.now() >= held.until:
            held = self._current()
        headers["authorization"] = held.header
        if self._quota_project_id is not None:
            headers["x-goog-user-project"] = self._quota_project_id

    def refresh(self, request: Any) -> None:
        """
        Ask the keeper for a token; *request* is not used.

        Google's transports call this when an API has answered 401. A token in
        hand that has not ended is therefore one that was refused: the keeper is
        told which, and adopts a newer one or refreshes.

        Raises:
            google.auth.exceptions.RefreshError: There is none; our own error is its cause.
            google.auth.exceptions.TransportError: The network failed.
            RuntimeError: This is the keeper's own loop, or the keeper is closed.
        """
        held = self._shared.held
        ended = held is None or self._shared.source.now() >= held.expires_at
        self._fetch(rejected=None if held is None or ended else held.fingerprint)

    def _current(self) -> _Held:
        held = self._from_memory()
        if held is not None and self._shared.source.now() < held.until:
            return held
        held = self._shared.held
        if self._use_non_blocking_refresh and held is not None and not self._changed(held):
            return self._beside(held)
        return self._fetch()

    def _beside(self, held: _Held) -> _Held:
        """After `with_non_blocking_refresh`: a thread asks while the token in hand still works."""
        # The worker copies the request deeply, which one with a socket does not survive; ours is not used.
        worker = self._refresh_worker
        alive = self._shared.source.now() < held.expires_at
        if alive and worker.start_refresh(_Errand(self), object()):  # type: ignore[no-untyped-call]
            return held
        renewed = self._fetch()
        worker.clear_error()  # type: ignore[no-untyped-call]
        return renewed

    def _from_memory(self) -> _Held | None:
        """The token in hand, or the one that the keeper has put in its place."""
        shared = self._shared
        held = shared.held
        if held is not None and not self._changed(held) and shared.source.now() < held.until:
            return held
        token = shared.source.fresh(shared.grant_id, shared.scopes, MIN_TTL)
        return None if token is None else self._hold(token)

    def _changed(self, held: _Held) -> bool:
        return held.mark is None or self._shared.source.mark(self._shared.grant_id) is not held.mark

    def _fetch(self, rejected: str | None = None) -> _Held:
        shared = self._shared
        try:
            token = shared.source.fetch(shared.grant_id, shared.scopes, MIN_TTL, rejected)
        except GrantkeeperError as error:
            if isinstance(error, (ConsentRequired, GrantBlocked, GrantNotFound)):
                shared.held = None
            raise _translated(error) from error
        return self._hold(token)

    def _hold(self, token: Token) -> _Held:
        shared = self._shared
        now = shared.source.now()
        value = token.reveal()
        left = (token.expires_at - now).total_seconds()
        held = shared.held = _Held(
            token=value,
            header=f"Bearer {value}",
            fingerprint=fingerprint(token.access_token),
            expires_at=token.expires_at.astimezone(UTC),
            until=now + timedelta(seconds=_trusted(left)),
            scopes=token.scopes,
            mark=shared.source.mark_of(token),
        )
        return held

    # -- copies ---------------------------------------------------------------------------------

    def with_quota_project(self, quota_project_id: str | None) -> "GrantCredentials":
        """A copy that bills another project; grant and token are shared with this one."""
        copy = self.__copy__()
        copy._quota_project_id = quota_project_id
        return copy

    def __copy__(self) -> Self:
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError(
            "credentials of a keeper do not pickle: pass the grant's id, "
            "and call credentials(grant_id) on a keeper of the other process"
        )

    # -- about ----------------------------------------------------------------------------------

    def get_cred_info(self) -> dict[str, str]:
        """For the error messages of Google's libraries; no secret and no e-mail address is in it."""
        return {
            "credential_source": "grantkeeper",
            "credential_type": "user grant",
            "principal": self._shared.grant_id,
        }

    def __repr__(self) -> str:
        return f"GrantCredentials({self._shared.grant_id})"


class _Errand:
    """What google-auth's background thread refreshes: for age alone, so that no token is called refused."""

    def __init__(self, credentials: GrantCredentials) -> None:
        self._credentials = credentials

    def refresh(self, request: object) -> None:
        self._credentials._fetch()


def _trusted(left: float) -> float:
    """
    For how many of the *left* seconds a token is sent without asking the keeper again.

    Ten minutes before the end of a usual one the keeper is asked, and once more
    when half of what remains above `MIN_TTL` is gone: it refreshes meanwhile.
    One that lives shorter than we ask for cannot be had any better for a minute.
    """
    if left > MIN_TTL:
        spare = left - MIN_TTL
        return spare - min(SOONEST, spare / 2)
    return min(60.0, left / 2)


def _translated(error: GrantkeeperError) -> GoogleAuthError:
    """The error that google-auth's callers know how to take."""
    message = f"{error.code}: {error.text}. {error.hint}".rstrip()
    if isinstance(error.__cause__, HttpFailed):
        return TransportError(message, retryable=True)  # type: ignore[no-untyped-call]
    return RefreshError(message, error.as_record(), retryable=error.retry)  # type: ignore[no-untyped-call]
