"""Time, dice and the network."""

from datetime import datetime
from typing import Protocol

from grantkeeper.protocol.message import HttpRequest, HttpResponse


class Clock(Protocol):
    """What time it is, for people and for waiting."""

    def now(self) -> datetime:
        """The time that rules expiry and retention: aware, UTC; tests and the emulator move it."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for limits, sleeps and backoff; nothing moves them."""
        ...


class Dice(Protocol):
    """Randomness."""

    def roll(self) -> float:
        """A number in [0, 1), for jitter."""
        ...

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes, for ids, keys and nonces."""
        ...


class Http(Protocol):
    """One request out, one answer in."""

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        """
        Send *request* and read the whole answer. Redirects are answers, not errands.

        Args:
            seconds: Limit on everything together.
            largest: Bytes of the answer's body that are read at most.
            fresh: Use a connection of its own, so that one which the other
                side has just closed cannot make the outcome unknown.

        Raises:
            HttpFailed: No usable answer; it says whether the request may have arrived.
        """
        ...
