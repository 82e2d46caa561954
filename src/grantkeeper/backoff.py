"""
When to try again, and when to stop trying: pure tables, with clock and dice as arguments.

Times are seconds of a monotonic clock. The numbers of google-facts 9.1 and
design section 2 live here and nowhere else.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from grantkeeper.model import Provider

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 64.0
LONGEST_RETRY_AFTER = 3600.0


def heeded(retry_after: float) -> float:
    """Seconds that the other side asked for, as far as they are believed: absurd values count as an hour."""
    # In this order what is no number counts as 0.
    return min(max(0.0, retry_after), LONGEST_RETRY_AFTER)


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
    return _at_least(own, retry_after)


def _at_least(own: float, retry_after: float | None) -> float:
    return own if retry_after is None else max(own, heeded(retry_after))


def revocation_pause(attempt: int, roll: float, retry_after: float | None = None) -> float:
    """Seconds until the issuer is told again of a revocation, as `pause`; at most six hours."""
    ceiling = min(10.0 * 2.0 ** min(attempt - 1, 16), 6 * 3600.0)
    return _at_least(ceiling / 2 + ceiling / 2 * roll, retry_after)


PROBE_PAUSES = (60.0, 300.0, 1800.0, 6 * 3600.0)
"""Seconds until a grant in doubt that nobody asks for is probed again, by how often that has failed."""


def probe_pause(attempt: int, roll: float, retry_after: float | None = None) -> float:
    """
    Seconds until the next background probe of a grant in doubt.

    Args:
        attempt: How many probes met trouble that passes, from 1.
        roll: A number in [0, 1); half as much again is spread over it.
        retry_after: As in `pause`.
    """
    return _at_least(PROBE_PAUSES[min(attempt, len(PROBE_PAUSES)) - 1] * (1.0 + roll / 2), retry_after)


REVOCATIONS_PER_SECOND: Mapping[Provider, float] = {Provider.GOOGLE: 10.0, Provider.OIDC: 5.0}
"""
How fast an issuer is told of many revocations, unless somebody says otherwise.

Google publishes no limit for this (google-facts 2.3). Ten a second is far below what its refreshes
bear, ends a hundred thousand grants in three hours, and is slowed by every 429 anyway.
"""

LEAST_OF_RATE = 1 / 16
RATE_REGAINED = 1.05


@dataclass(slots=True)
class Pace:
    """
    Turns in a row, *rate* in a second; slower while the other side complains.

    A complaint halves the speed and stops all for a growing pause; every success gives a little of
    the speed back. Many that were sent together and fail together are one complaint.
    """

    rate: float
    _now: float = 0.0
    _next: float = 0.0
    _failures: int = 0
    _complained_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._now = self.rate

    def turn(self, now: float) -> float:
        """Seconds to wait for the next turn, which is thereby taken."""
        at = max(now, self._next)
        self._next = at + 1 / self._now
        return at - now

    def succeeded(self) -> None:
        """The other side listened."""
        self._failures = 0
        self._now = min(self.rate, self._now * RATE_REGAINED)

    def failed(self, sent_at: float, now: float, roll: float, retry_after: float | None = None) -> None:
        """It did not; *sent_at* tells one complaint from the next."""
        if sent_at > self._complained_at:
            self._failures += 1
            self._now = max(self.rate * LEAST_OF_RATE, self._now / 2)
            self._complained_at = now
        self._next = max(self._next, now + pause(self._failures, roll, retry_after))


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

    A call that was sent before the circuit shut and reports after it is a
    straggler: whatever it says is no news, neither for the worse (a hundred
    time-outs are one outage) nor for the better.

    Attributes:
        failures: In a row, of the kind `trouble`.
        trips: How often it shut without a success in between; 0 while calls go.
        until: Shut until then; one probe is let through after it.
        since: When it last shut.
    """

    trouble: Trouble | None = None
    failures: int = 0
    trips: int = 0
    until: float = 0.0
    since: float | None = None
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
        """Somebody goes as the probe; if it never reports, another goes after `PROBE_LIMIT`."""
        return replace(self, probing_since=now)

    def succeeded(self, sent_at: float | None = None) -> "Circuit":
        """
        The issuer answered in its right mind.

        Args:
            sent_at: When the call left; without it the call counts as a fresh one.
        """
        return self if self._straggles(sent_at) else Circuit(since=self.since)

    def failed(
        self,
        trouble: Trouble,
        now: float,
        roll: float,
        retry_after: float | None = None,
        sent_at: float | None = None,
    ) -> "Circuit":
        """
        A call failed in a way that is nobody's grant's fault.

        Args:
            retry_after: What the issuer asked for; it shuts the circuit at
                once and is never undercut.
            sent_at: When the call left; without it a call that reports while
                the circuit is shut counts as a straggler.
        """
        asked = now + heeded(retry_after) if retry_after else 0.0
        if self._straggles(sent_at) or (self.trips and now < self.until):
            return replace(self, until=max(self.until, asked)) if self.trips else self
        failures = self.failures + 1 if trouble is self.trouble else 1
        if not self.trips and failures < THRESHOLDS[trouble] and not retry_after:
            return replace(self, trouble=trouble, failures=failures)
        trips = self.trips + 1
        least, most = REST[trouble]
        rest = min(least * 2.0 ** min(trips - 1, 16), most)
        until = max(now + rest / 2 + rest / 2 * roll, asked)
        return Circuit(trouble=trouble, failures=failures, trips=trips, until=until, since=now)

    def _straggles(self, sent_at: float | None) -> bool:
        return sent_at is not None and self.since is not None and sent_at < self.since


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
    belongs to a keeper's loop. Memory is bounded by *capacity* events, of which
    the oldest are forgotten early. No call costs more than the events it forgets.
    """

    limit: CondemnLimit = field(default_factory=CondemnLimit)
    capacity: int = 100_000
    _events: deque[tuple[float, str | None]] = field(default_factory=deque)
    _refused: dict[str, int] = field(default_factory=dict)
    _refusals: int = 0

    def refreshed(self, now: float) -> None:
        """A refresh succeeded."""
        self._add(now, None)

    def refused(self, grant_id: str, now: float) -> None:
        """A refresh got ``invalid_grant``."""
        self._add(now, grant_id)
        self._refused[grant_id] = self._refused.get(grant_id, 0) + 1
        self._refusals += 1

    def paused(self, now: float) -> bool:
        """Whether condemning must wait: too many different grants and too large a share were refused."""
        self._forget(now)
        return len(self._refused) >= self.limit.grants and self._refusals > self.limit.share * len(
            self._events
        )

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
            self._refusals -= 1
            left = self._refused[grant_id] - 1
            if left:
                self._refused[grant_id] = left
            else:
                del self._refused[grant_id]


SLOTS = 16
"""Parts that a meter divides its period into: the more, the less it is too strict at the end of one."""


@dataclass(slots=True)
class Meter:
    """
    At most *count* events in any *period* seconds for each key, all of them at once if need be.

    Events are counted by sixteenths of the period, and one of them counts until
    its whole sixteenth is over: never more than *count* pass, and after a burst
    the wait is at most a sixteenth longer than it had to be. A bucket that
    refills (GCRA) would let nearly twice as many pass in the first period.

    The *capacity* last keys are remembered. A stranger is never refused for
    want of room: whoever was silent longest is forgotten.
    """

    count: int
    period: float
    capacity: int = 50_000
    _used: dict[str, list[int]] = field(default_factory=dict)

    def take(self, key: str, now: float) -> float:
        """Seconds to wait before *key* may go on: 0 means now, and the event is counted."""
        width = self.period / SLOTS
        slot = int(now // width)
        # A flat list of slot, events, slot, events…; the key moves to the end of the dict.
        used = self._used.pop(key, [])
        while used and used[0] < slot - SLOTS:
            del used[:2]
        wait = 0.0
        if sum(used[1::2]) >= self.count:
            wait = max((used[0] + SLOTS + 1) * width - now, 0.001)
        elif used and used[-2] == slot:
            used[-1] += 1
        else:
            used += (slot, 1)
        self._used[key] = used
        if len(self._used) > self.capacity:
            del self._used[next(iter(self._used))]
        return wait
