"""
When to try again, and when to stop trying: pure tables, with clock and dice as arguments.

Times are seconds of a monotonic clock. The numbers of google-facts 9.1 and
design section 2 live here and nowhere else.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 64.0
LONGEST_RETRY_AFTER = 3600.0


def pause(attempt: int, roll: float, retry_after: float | None = None) -> float:
    """
    Seconds to wait before the next attempt.

    Args:
        attempt: How many attempts have failed, from 1.
        roll: A number in [0, 1) that spreads the herd over the upper half.
        retry_after: What the other side asked for; never undercut, but for
            absurd values, which count as an hour.
    """
    ceiling = min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 16), LONGEST_PAUSE)
    own = ceiling / 2 + ceiling / 2 * roll
    return own if retry_after is None else max(own, min(retry_after, LONGEST_RETRY_AFTER))


def revocation_pause(attempt: int, roll: float) -> float:
    """Seconds until the issuer is told again of a revocation: a minute at first, at most six hours."""
    ceiling = min(60.0 * 2.0 ** min(attempt - 1, 16), 6 * 3600.0)
    return ceiling / 2 + ceiling / 2 * roll


class Gate(StrEnum):
    """What a circuit says to somebody who wants to call."""

    OPEN = "go"
    PROBE = "go_as_probe"
    SHUT = "wait"


class Trouble(StrEnum):
    """What kind of failure a circuit has seen."""

    UNAVAILABLE = "unavailable"
    MISCONFIGURED = "misconfigured"


THRESHOLDS: Mapping[Trouble, int] = {Trouble.UNAVAILABLE: 5, Trouble.MISCONFIGURED: 1}
"""Failures in a row that shut the circuit: a refused client needs no second opinion."""

REST: Mapping[Trouble, tuple[float, float]] = {
    Trouble.UNAVAILABLE: (1.0, 30.0),
    Trouble.MISCONFIGURED: (5.0, 60.0),
}
"""Shortest and longest rest of a shut circuit, in seconds; it doubles with every failed probe."""

PROBE_LIMIT = 30.0
"""Seconds after which a probe that never reported back is forgotten."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """
    Whether calls for one client make sense now; a value, replaced at every report.

    Attributes:
        failures: In a row, of the kind `trouble`.
        until: Shut until then; one probe is let through after it.
    """

    trouble: Trouble | None = None
    failures: int = 0
    trips: int = 0
    until: float = 0.0
    probing_since: float | None = None

    def gate(self, now: float) -> Gate:
        """What to do at *now*. Who is told ``PROBE`` must call `probing` and then go."""
        if self.trips == 0:
            return Gate.OPEN
        if now < self.until:
            return Gate.SHUT
        if self.probing_since is not None and now < self.probing_since + PROBE_LIMIT:
            return Gate.SHUT
        return Gate.PROBE

    def wait(self, now: float) -> float:
        """Seconds until asking again makes sense; at least one."""
        return max(self.until - now, 1.0)

    def probing(self, now: float) -> "Circuit":
        """Somebody goes as the probe."""
        return replace(self, probing_since=now)

    def succeeded(self) -> "Circuit":
        """The issuer answered in its right mind."""
        return Circuit()

    def failed(
        self, trouble: Trouble, now: float, roll: float, retry_after: float | None = None
    ) -> "Circuit":
        """A call failed in a way that is nobody's grant's fault."""
        failures = self.failures + 1 if trouble is self.trouble else 1
        was_shut = self.trips > 0
        if not was_shut and failures < THRESHOLDS[trouble] and retry_after is None:
            return Circuit(trouble=trouble, failures=failures)
        if was_shut and now < self.until:
            # A straggler that left before the circuit shut: no news.
            return replace(self, trouble=trouble, failures=failures)
        trips = self.trips + 1
        least, most = REST[trouble]
        rest = min(least * 2.0 ** min(trips - 1, 16), most)
        rest = rest / 2 + rest / 2 * roll
        if retry_after is not None:
            rest = max(rest, min(retry_after, LONGEST_RETRY_AFTER))
        return Circuit(trouble=trouble, failures=failures, trips=trips, until=now + rest)


CONDEMN_WINDOW = 300.0


@dataclass(frozen=True, slots=True)
class CondemnLimit:
    """How much bad news about grants is believed (setting ``CONDEMN_LIMIT``)."""

    grants: int = 50
    share: float = 0.2


@dataclass(slots=True)
class Condemnations:
    """
    Whether a refusal is believed, or the issuer may be wrong for everyone.

    Counts the refreshes of one client over five minutes. Not thread-safe; it
    belongs to a keeper's loop. Memory is bounded by *capacity* events.
    """

    limit: CondemnLimit = field(default_factory=CondemnLimit)
    capacity: int = 100_000
    _events: deque[tuple[float, str | None]] = field(default_factory=deque)
    _refused: dict[str, int] = field(default_factory=dict)

    def refreshed(self, now: float) -> None:
        """A refresh succeeded."""
        self._add(now, None)

    def refused(self, grant_id: str, now: float) -> None:
        """A refresh got ``invalid_grant``."""
        self._add(now, grant_id)
        self._refused[grant_id] = self._refused.get(grant_id, 0) + 1

    def paused(self, now: float) -> bool:
        """Whether condemning must wait: too many different grants and too large a share were refused."""
        self._forget(now)
        grants = len(self._refused)
        if grants < self.limit.grants:
            return False
        refusals = sum(self._refused.values())
        return refusals > self.limit.share * len(self._events)

    def _add(self, now: float, grant_id: str | None) -> None:
        self._forget(now)
        if len(self._events) >= self.capacity:
            self._drop()
        self._events.append((now, grant_id))

    def _forget(self, now: float) -> None:
        while self._events and self._events[0][0] <= now - CONDEMN_WINDOW:
            self._drop()

    def _drop(self) -> None:
        _, grant_id = self._events.popleft()
        if grant_id is not None:
            left = self._refused[grant_id] - 1
            if left:
                self._refused[grant_id] = left
            else:
                del self._refused[grant_id]


@dataclass(slots=True)
class Meter:
    """
    The generic cell rate algorithm: *count* events per *period* seconds, with a burst of the same size.

    One number a key; keys whose time has passed are dropped when *capacity* is
    reached, so strangers cannot grow it without end.
    """

    count: int
    period: float
    capacity: int = 50_000
    _due: dict[str, float] = field(default_factory=dict)

    def take(self, key: str, now: float) -> float:
        """Seconds to wait before *key* may go on: 0 means now, and the event is counted."""
        step = self.period / self.count
        due = max(self._due.get(key, now), now)
        if due - now > self.period - step:
            return due - now - (self.period - step)
        if key not in self._due and len(self._due) >= self.capacity:
            self._due = {other: at for other, at in self._due.items() if at > now}
            if len(self._due) >= self.capacity:
                return step
        self._due[key] = due + step
        return 0.0
