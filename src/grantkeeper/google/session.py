"""What the helpers need: requests to Google's APIs in one user's name, and somebody's time."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from grantkeeper.protocol.api_request import LARGEST_ANSWER
from grantkeeper.protocol.message import HttpResponse


class Session(Protocol):
    """
    Requests with a user's access token.

    The token is added to each request when it is sent, and renewed in between where it must be:
    whoever uses a session never sees one, and may go on for days. What a refused answer means
    is sorted here, so helpers see only good ones, and those that they say they *accept*.
    """

    @property
    def cut_at(self) -> datetime | None:
        """When the last request of an earlier try was sent at the latest, if it was cut off; by `now`."""
        ...

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = None,
        seconds: float = 60.0,
        largest: int = LARGEST_ANSWER,
        idempotent: bool | None = None,
        accept: Collection[int] = frozenset(),
    ) -> HttpResponse:
        """
        Send a request and read the whole answer. Redirects are answers, not errands.

        A 401 is answered once with another token before it is raised. A quota that the session
        can wait out, and what an idempotent request met that may pass, it may try again itself.

        Args:
            headers: More of them; ``authorization`` is the session's own.
            json: The body as JSON, with its ``content-type``, in place of *body*.
            seconds: Limit on one try.
            largest: Bytes of the answer's body that are read at most.
            idempotent: Whether it may be sent again although it may have arrived; ``None``
                goes by the method (`grantkeeper.protocol.api_request.SAFE_METHODS`).
            accept: Statuses outside 200 to 299 that come back as an answer, such as 308.

        Raises:
            QuotaExceeded: Nothing was done; `whose` quota it is.
            ApiUnavailable: It may pass; `may_have_arrived` says whether it may be done all the same.
            ApiMisbehaved: The answer is larger than *largest*.
            TokenRefused: Even a new token is refused.
            ScopeInsufficient: The grant lacks a scope.
            ApiRefused: Any other status that is not accepted.
            ConsentRequired: There is no token to be had; any other error of the keeper likewise.
        """
        ...

    def now(self) -> datetime:
        """The time that expiry goes by: aware, UTC."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait at least *seconds*, and not much longer."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A session whose user writes down what helpers return, such as a job's."""

    async def closed(self, url: str) -> str:
        """
        *url* in a form that is good for requests of this session, or a later one of the same job, alone.

        They raise `SealBroken` where it does not open any more.
        """
        ...


async def kept(session: Session, url: str) -> str:
    """*url*, which opens something by itself, as somebody may keep it."""
    return await session.closed(url) if isinstance(session, Closing) else url
