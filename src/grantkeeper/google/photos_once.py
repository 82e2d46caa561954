"""
Photos that are made exactly once, although `batchCreate` knows no idempotency key.

Each item carries a marker of the job's at the end of its description. Before anything is made, and
after every call that was cut, the app's own items are looked through for the markers, and only what
is missing is made.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from grantkeeper.backoff import pause
from grantkeeper.errors import ApiError, ApiMisbehaved, ApiUnavailable
from grantkeeper.google.photos import LONGEST_DESCRIPTION, MOST_PER_CALL, SETTLE, MediaItem, NewMedia, Photos

LOOK_BACK = 1000
"""Of the newest items so many are looked through; ten requests at most."""

MOST_TROUBLES = 3

_MARKER = re.compile(r"[A-Za-z0-9._:/-]{1,120}")
_MARKED = re.compile(r"\[([A-Za-z0-9._:/-]{1,120})\]\s*\Z")


@dataclass(frozen=True, slots=True)
class OnceItem:
    """
    What shall be in the library once.

    Attributes:
        marker: The same for every try of this item and for nothing else in the user's library,
            such as the job's id and the item's number: ``"018f…/3"``.
        upload_token: Of the bytes; lives a day.
        again: Uploads the bytes once more, for a job that was parked for longer.
    """

    marker: str
    upload_token: str = field(repr=False)
    file_name: str = field(default="", repr=False)
    description: str = field(default="", repr=False)
    again: Callable[[], Awaitable[str]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if _MARKER.fullmatch(self.marker) is None:
            raise ValueError("a marker has 1 to 120 letters, digits and . _ : / -")
        if len(self.marked) > LONGEST_DESCRIPTION:
            raise ValueError(f"description and marker have {LONGEST_DESCRIPTION} characters at most")

    @property
    def marked(self) -> str:
        """The description as the user reads it, with the marker."""
        return f"{self.description} [{self.marker}]".lstrip()


def marker_of(description: str) -> str | None:
    """The marker at the end of a description."""
    found = _MARKED.search(description)
    return found[1] if found else None


async def find_created(
    photos: Photos, markers: Iterable[str], *, album_id: str | None = None, look_back: int = LOOK_BACK
) -> dict[str, str]:
    """
    Ids of the app's items that carry one of *markers*, by marker.

    It stops at the last one found, else after *look_back* items, the newest first.
    """
    wanted, found = set(markers), dict[str, str]()
    if wanted:
        async for item in photos.items(album_id=album_id, most=look_back):
            marker = marker_of(item.description)
            if marker in wanted and marker is not None:
                found.setdefault(marker, item.id)
                if len(found) == len(wanted):
                    break
    return found


async def create_once(
    photos: Photos,
    items: Sequence[OnceItem],
    *,
    album_id: str | None = None,
    look_back: int = LOOK_BACK,
    settle: float = SETTLE,
) -> list[str]:
    """
    See that each of *items* is in the library, or in an album of the app, once; their ids, in order.

    Call it again with the same markers after whatever happened. While it runs nobody else may make
    items for this user: `Photos.exclusive` is held from the first look to the last call.

    Args:
        look_back: How many items the app may have made since the first try.
        settle: Seconds to wait after a cut call before it is looked up, or left to the next try. A
            call that takes effect later than that is the one way in which an item can come to be there
            twice. A job whose worker died comes back later than that by itself.

    Raises:
        ApiUnavailable: Call it again later. So with `ApiMisbehaved` and `QuotaExceeded`.
        ApiRefused: Google refuses an item for good; the others are made.
        ValueError: Two items have the same marker.
    """
    if len({item.marker for item in items}) != len(items):
        raise ValueError("two items have the same marker")
    dance = _Dance(photos, album_id, look_back, settle)
    async with photos.exclusive():
        await dance.look([item.marker for item in items])
        await dance.make(items)
    if dance.refused:
        raise next(iter(dance.refused.values()))
    return [dance.found[item.marker] for item in items]


class _Dance:
    """One call of `create_once`: what was found or made, and what was refused."""

    def __init__(self, photos: Photos, album_id: str | None, look_back: int, settle: float) -> None:
        self._photos = photos
        self._album_id = album_id
        self._look_back = look_back
        self._settle = settle
        self._troubles = 0
        self._renewed: dict[str, str] = {}
        """Upload tokens that took the place of expired ones."""
        self.found: dict[str, str] = {}
        self.refused: dict[str, ApiError] = {}

    async def look(self, markers: Iterable[str]) -> None:
        """Find what an earlier call has made."""
        self.found |= await find_created(
            self._photos, markers, album_id=self._album_id, look_back=self._look_back
        )

    async def make(self, items: Sequence[OnceItem]) -> None:
        """Make what is missing, until nothing is or it is refused."""
        while missing := [item for item in items if not self._settled(item.marker)]:
            batch = missing[:MOST_PER_CALL]
            try:
                results = await self._photos.create_some(
                    [self._media(item) for item in batch], album_id=self._album_id
                )
            except (ApiUnavailable, ApiMisbehaved) as error:
                await self._after_trouble(batch, error)
                continue
            await self._read(batch, results)

    def _settled(self, marker: str) -> bool:
        return marker in self.found or marker in self.refused

    def _media(self, item: OnceItem) -> NewMedia:
        token = self._renewed.get(item.marker, item.upload_token)
        return NewMedia(token, item.file_name, item.marked)

    async def _after_trouble(self, batch: Sequence[OnceItem], error: ApiError) -> None:
        """Wait, and see what of a batch is there all the same."""
        self._troubles += 1
        cut = not isinstance(error, ApiUnavailable) or error.may_have_arrived
        if self._troubles > MOST_TROUBLES:
            if cut:
                # Whoever calls again looks at once, perhaps sooner than its effect can be seen.
                await self._photos.session.pause(self._settle)
            raise error
        wait = pause(self._troubles, 0.5, error.retry_after)
        if not cut:
            await self._photos.session.pause(wait)
            return
        await self._photos.session.pause(max(wait, self._settle))
        await self.look(item.marker for item in batch)

    async def _read(self, batch: Sequence[OnceItem], results: Sequence[MediaItem | ApiError]) -> None:
        """Take down what one call has done."""
        failures: dict[str, ApiError] = {}
        for item, result in zip(batch, results, strict=True):
            if isinstance(result, MediaItem):
                self.found[item.marker] = result.id
            else:
                failures[item.marker] = result
        if not failures:
            self._troubles = 0
            return
        # An upload token that an earlier, cut call has used up is refused, and its item may be there by now.
        await self.look(failures)
        failed = [item for item in batch if item.marker in failures and item.marker not in self.found]
        passing = [item for item in failed if isinstance(failures[item.marker], ApiUnavailable)]
        for item in failed:
            error = failures[item.marker]
            if item in passing:
                continue
            if (
                item.again is not None
                and item.marker not in self._renewed
                and error.reason == "INVALID_ARGUMENT"
            ):
                self._renewed[item.marker] = await item.again()
            else:
                self.refused[item.marker] = error
        if passing:
            await self._after_trouble(passing, failures[passing[0].marker])
