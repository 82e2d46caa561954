"""The plan of faults: which are active, for which endpoint, and how often still."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from grantkeeper.emulator.world import World

ENDPOINTS = (
    "auth",
    "token",
    "revoke",
    "certs",
    "discovery",
    "userinfo",
    "tokeninfo",
    "drive",
    "upload",
    "batch",
    "people",
    "photos",
    "picker",
)

Delivery = Literal["whole", "none", "half", "late", "drop by drop"]


@dataclass(slots=True)
class Answer:
    """An HTTP answer on its way out, which a fault may spoil."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


Spoil = Callable[[Answer, "Fault", "World"], Answer]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """
    One entry of the menu.

    Attributes:
        endpoints: Where it can strike.
        processed: The request takes effect before the fault strikes. False means that the emulator's
            state is as if the request had never come. The option ``processed`` of a fault overrides it.
        does: One sentence for the menu.
        spoil: Makes the answer that is sent, from the honest one.
        delivery: How the answer travels.
        outcome: How a request that was not processed is counted; default the name.
        kinds: By endpoint, the only kinds of request that it can strike there; not named, all.
    """

    name: str
    endpoints: tuple[str, ...]
    processed: bool
    does: str
    spoil: Spoil | None = None
    delivery: Delivery = "whole"
    outcome: str | None = None
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Fault:
    """
    An active fault.

    Attributes:
        left: How many requests it still strikes; None, every one until it is deleted.
        skip: How many matching requests pass unharmed before.
        only: Strikes only requests of this kind: at the token endpoint a ``grant_type``, at Photos a method
            such as ``mediaItems.batchCreate``.
        email: Strikes only requests of this user, told by the token that they carry.
        options: What the kind of fault takes, such as ``seconds`` or ``retry_after``.
    """

    kind: FaultKind
    endpoint: str
    left: int | None = None
    skip: int = 0
    only: str | None = None
    email: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def processed(self) -> bool:
        """Whether the request takes effect."""
        return bool(self.options.get("processed", self.kind.processed))

    def seconds(self, default: float) -> float:
        """The option ``seconds``."""
        return float(self.options.get("seconds", default))

    def describe(self) -> dict[str, Any]:
        """For the control side."""
        shown: dict[str, Any] = {"endpoint": self.endpoint, "name": self.kind.name, "count": self.left}
        if self.skip:
            shown["after"] = self.skip
        if self.only is not None:
            shown["grant_type" if self.endpoint == "token" else "kind"] = self.only
        if self.email is not None:
            shown["email"] = self.email
        return shown | self.options

    def strikes(self, endpoint: str, kind: str, email: str | None) -> bool:
        """Whether it is meant for a request of *kind* at *endpoint* that *email* sent."""
        kinds = self.kind.kinds.get(endpoint, (kind,))
        meant = self.endpoint == endpoint and self.only in (None, kind) and kind in kinds
        return meant and (self.email is None or (email or "").lower() == self.email.lower())


class Missed(Exception):
    """Raised by a `Spoil` that finds nothing to spoil in this answer; the fault waits for the next one."""


class FaultPlan:
    """
    The active faults, in the order they were asked for.

    Of several that match a request the oldest strikes, so a test can write a sequence: one ``lost``,
    then two ``status_503``.
    """

    def __init__(self, menu: Mapping[str, FaultKind]) -> None:
        self._menu = menu
        self.active: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        endpoint: str,
        name: str,
        *,
        count: int | None = None,
        after: int = 0,
        grant_type: str | None = None,
        kind: str | None = None,
        email: str | None = None,
        **options: Any,
    ) -> Fault:
        """
        Let *name* strike at *endpoint*, *count* times or until it is deleted.

        Raises:
            ValueError: There is no such fault, or not at this endpoint.

        *grant_type* is the older name of *kind*.
        """
        entry = self._menu.get(name)
        if entry is None:
            raise ValueError(f"there is no fault named {name!r}; GET /emulator/faults lists them")
        if endpoint not in entry.endpoints:
            raise ValueError(f"{name!r} cannot strike at {endpoint!r}, only at: {', '.join(entry.endpoints)}")
        fault = Fault(entry, endpoint, count, after, kind or grant_type, email, options)
        with self._lock:
            self.active.append(fault)
        return fault

    def remove(self, endpoint: str | None = None, name: str | None = None) -> int:
        """Delete the faults that match, all of them by default; how many they were."""
        with self._lock:
            kept = [
                fault
                for fault in self.active
                if endpoint not in (None, fault.endpoint) or name not in (None, fault.kind.name)
            ]
            removed = len(self.active) - len(kept)
            self.active = kept
            return removed

    def take(self, endpoint: str, kind: str, email: str | None = None) -> Fault | None:
        """The fault that strikes this request, used up by one."""
        if not self.active:
            return None
        with self._lock:
            for fault in self.active:
                if not fault.strikes(endpoint, kind, email):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left <= 0:
                        self.active.remove(fault)
                return fault
            return None

    def give_back(self, fault: Fault) -> None:
        """Undo `take`: the fault missed."""
        with self._lock:
            if fault.left is not None:
                fault.left += 1
            if fault not in self.active:
                self.active.insert(0, fault)
