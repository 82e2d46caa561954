"""Google Photos' side of the emulator: everything that its rooms share."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from grantkeeper.emulator.apis_pages import Pages
from grantkeeper.emulator.bearer import Access
from grantkeeper.emulator.photos_errors import day_is_spent
from grantkeeper.emulator.photos_library import Libraries, Library
from grantkeeper.emulator.photos_limits import Limits
from grantkeeper.emulator.photos_uploads import Uploads
from grantkeeper.emulator.photos_urls import BaseUrls
from grantkeeper.emulator.picker_sessions import OwnPhotos, Sessions
from grantkeeper.emulator.world import World

TOTALS = {
    "photos": (
        *("uploads_begun", "uploads_finished", "bytes_received", "batch_creates", "items_created"),
        *("items_refused", "albums_created", "downloads", "bytes_sent"),
    ),
    "picker": ("sessions_created", "sessions_picked", "downloads", "bytes_sent"),
    "drive": ("uploads_begun", "uploads_finished", "bytes_received", "downloads", "bytes_sent"),
}
"""What is added up for ``/emulator/stats`` beside the requests."""

_PACIFIC = timedelta(hours=8)
"""Google's days begin at midnight in California; the emulator knows no summer time."""


@dataclass
class Photos:
    """
    The libraries, the uploads and the Picker of a world.

    Attributes:
        own: The photos that people took themselves, which no app sees unless they are picked.
        writing: The users (`sub`) of whom a `batchCreate` is under way.
    """

    world: World
    limits: Limits = field(default_factory=Limits)
    libraries: Libraries = field(default_factory=Libraries)
    uploads: Uploads = field(default_factory=Uploads)
    own: OwnPhotos = field(default_factory=OwnPhotos)
    sessions: Sessions = field(default_factory=Sessions)
    pages: Pages = field(default_factory=Pages)
    urls: BaseUrls = field(default_factory=BaseUrls)
    writing: set[str] = field(default_factory=set)
    _spent: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def forget(self) -> None:
        """Begin again: nobody has photos, nothing is under way, the limits are Google's."""
        self.limits = Limits()
        for each in (self.libraries, self.uploads, self.own, self.sessions, self.pages):
            each.forget()
        self._spent.clear()

    def library(self, access: Access) -> Library:
        """What the caller's project made for the caller's user."""
        return self.libraries.of(access.project, access.sub)

    def spend(self, project: str) -> None:
        """
        One call of the Library API.

        Raises:
            ApiError: 429, the project has had its calls for today.
        """
        self._spend("All requests", self.limits.requests_per_day, project)

    def spend_media(self, project: str) -> None:
        """
        One request for bytes.

        Raises:
            ApiError: 429, the project has had its requests for today.
        """
        self._spend("Media bytes requests", self.limits.media_requests_per_day, project)

    def _spend(self, metric: str, limit: int | None, project: str) -> None:
        today = (self.world.now() - _PACIFIC).date().isoformat()
        if limit is not None and self._spent[project, metric, today] >= limit:
            raise day_is_spent(metric, limit, project)
        self._spent[project, metric, today] += 1

    def tally(self, api: str, what: str, number: int = 1) -> None:
        """Add to the totals of ``/emulator/stats``."""
        self.world.count("totals", api, what, number)
