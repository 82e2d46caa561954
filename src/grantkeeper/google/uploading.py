"""
One way to bring bytes to Google whatever happens on the way; Photos and Drive only spell it differently.

Nothing that has arrived is sent again: after a cut, and before the first byte of an upload that an
earlier process began, Google is asked how far it is.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from grantkeeper.backoff import pause
from grantkeeper.errors import ApiMisbehaved, ApiRefused, ApiUnavailable
from grantkeeper.google.content import Content
from grantkeeper.google.session import Session

CHUNK = 8 * 1024 * 1024
"""Bytes of a chunk, where nobody says otherwise; as many are held in memory."""

GRANULARITY = 262_144
"""Every chunk but the last is a multiple of this, where Google names no other."""

CHUNK_SECONDS = 300.0
"""Limit on sending one chunk."""

MOST_TROUBLES = 5
"""Failures in a row, without a byte arriving in between, after which the upload is left for later."""

OUT_OF_STEP = frozenset({400, 409, 412, 416})
"""Statuses of a chunk that does not fit where the upload stands."""

MOST_BEGINNINGS = 3
"""How often one call begins anew, because Google has lost what it had."""

Told = Callable[[int, int], Awaitable[None]]
"""Is told how many bytes have arrived, and of how many."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """All bytes have arrived; what became of them."""

    value: T


class UploadGone(Exception):
    """Google no longer knows the upload: it begins anew."""


class Wire(Protocol[T]):
    """How an API spells an upload. Every method may raise `UploadGone`."""

    async def begin(self) -> None:
        """Open an upload, in which nothing has arrived; it takes the place of the one before."""
        ...

    async def ask(self) -> int | Done[T]:
        """How many bytes have arrived."""
        ...

    async def send(self, offset: int, chunk: bytes) -> int | Done[T]:
        """Send *chunk* as the bytes from *offset*; how many have arrived then."""
        ...


async def deliver(
    wire: Wire[T], content: Content, session: Session, *, chunk: int, told: Told | None, at: int | None
) -> T:
    """
    Send what Google does not have yet.

    Args:
        chunk: Bytes sent at once; a multiple of the granularity.
        at: How many have arrived; ``None``: ask.

    Raises:
        ApiUnavailable: It goes on later, from where it stands; so with any error that time mends.
        ApiMisbehaved: The answers contradict what was sent.
        ValueError: *content* ends early, or cannot be read again.
    """
    size = content.size
    # How many bytes were known to have arrived at most, so that standing still is noticed.
    furthest, troubles, beginnings = -1, 0, 0
    while True:
        limit = size
        try:
            if at is None:
                answer = await wire.ask()
            else:
                part = await content.read(at, min(chunk, size - at))
                if len(part) != min(chunk, size - at):
                    raise ValueError("the content has fewer bytes than it said")
                limit = at + len(part)
                answer = await wire.send(at, part)
        except UploadGone:
            beginnings += 1
            if beginnings > MOST_BEGINNINGS:
                raise ApiUnavailable(
                    "Google lost an upload again and again", may_have_arrived=False
                ) from None
            await wire.begin()
            at, furthest = 0, 0
            continue
        except (ApiUnavailable, ApiMisbehaved) as error:
            # Nobody knows what arrived, not even after an answer that cannot be read.
            troubles += 1
            if troubles > MOST_TROUBLES:
                raise
            await session.pause(pause(troubles, 0.5, error.retry_after))
            at = None
            continue
        except ApiRefused as refusal:
            troubles += 1
            if at is None or refusal.status not in OUT_OF_STEP or troubles > MOST_TROUBLES:
                raise
            # It stands elsewhere than we think: another process may be at it, which is not dead after all.
            at = None
            continue
        if isinstance(answer, Done):
            if told is not None:
                await told(size, size)
            return answer.value
        if not 0 <= answer <= limit:
            raise ApiMisbehaved("the answer counts bytes that were not sent")
        if answer > furthest:
            furthest, troubles = answer, 0
            if told is not None:
                await told(answer, size)
        else:
            troubles += 1
            if troubles > MOST_TROUBLES:
                raise ApiUnavailable("an upload does not get on")
            await session.pause(pause(troubles, 0.5))
        # All is there and not said to be done: ask until it is. Of nothing, the end is still to be sent.
        at = answer if answer < size or size == 0 else None


def whole_chunks(chunk: int, granularity: int) -> int:
    """*chunk*, down to a multiple of *granularity*, and one of it at least."""
    return max(chunk // granularity, 1) * granularity
