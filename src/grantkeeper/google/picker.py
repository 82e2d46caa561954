"""
The Photos Picker API: the user picks, in Google's own page, what the app may read (google-facts 9.4).

A session outlives the user's visit; picking needs the user, reading what was picked does not.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from grantkeeper.errors import ApiMisbehaved, ApiRefused, ApiUnavailable
from grantkeeper.google.pages import pages
from grantkeeper.google.places import trusted
from grantkeeper.google.session import Session
from grantkeeper.protocol import api

PICKER = "https://photospicker.googleapis.com/v1"

MOST_ITEMS = 2000
"""That a user can pick in one session; Google's own default."""

POLL_INTERVAL = 5.0
"""Seconds between two questions where Google does not say."""

BASE_URL_LIFE = timedelta(minutes=60)
BASE_URL_MARGIN = timedelta(minutes=5)
"""So long before its end a `baseUrl` is not begun with."""

LARGEST_ITEM = 256 * 1024 * 1024
"""Bytes of an item that are read into memory, where nobody says otherwise."""

DOWNLOAD_SECONDS = 600.0

_GONE = frozenset({403, 404, 410})
"""What a `baseUrl` that is over may be answered with."""


@dataclass(frozen=True, slots=True)
class PickingSession:
    """
    One visit to Google's picker.

    Attributes:
        uri: Where to send the signed-in user; not in a frame.
        picked: Whether the user has finished.
        poll_after: Seconds until the next question makes sense.
        time_left: Seconds that waiting makes sense for; 0 once it does not.
    """

    id: str
    uri: str = field(default="", repr=False)
    picked: bool = False
    poll_after: float = POLL_INTERVAL
    time_left: float | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PickedItem:
    """
    A photo or video of the user's.

    Attributes:
        video: It is one; a download is then Google's transcode, not the original.
        ready: Google has finished with it; only then a video can be read.
        listed_at: When the `base_url` was given, which is good for an hour.
    """

    id: str
    base_url: str = field(repr=False)
    listed_at: datetime
    video: bool = False
    ready: bool = True
    mime_type: str = ""
    filename: str = field(default="", repr=False)
    created_at: datetime | None = None


class Picker:
    """The Picker API in one user's name; *session* is the user's, such as a job's ``ctx.http``."""

    def __init__(self, session: Session, *, base: str = PICKER) -> None:
        self._session = session
        self._base = base.rstrip("/")

    async def create(self, *, most: int | None = None) -> PickingSession:
        """
        Open a session, in which the user can pick at most *most* items.

        Google allows few that are open: see that each is deleted.
        """
        if most is not None and not 0 < most <= MOST_ITEMS:
            raise ValueError(f"a user can pick 1 to {MOST_ITEMS} items")
        body = {} if most is None else {"pickingConfig": {"maxItemCount": str(most)}}
        # A repeated call leaves a session that nobody visits, and that expires.
        response = await self._session.request("POST", f"{self._base}/sessions", json=body, idempotent=True)
        return self._session_of(api.api_object(response))

    async def get(self, session_id: str) -> PickingSession:
        """How the session stands."""
        url = f"{self._base}/sessions/{quote(session_id, safe='')}"
        return self._session_of(api.api_object(await self._session.request("GET", url)))

    async def wait(self, session: PickingSession) -> PickingSession:
        """
        Ask until the user has finished, never sooner than Google says.

        Returns:
            The session as it last was: not `picked` if Google says that waiting is over.
        """
        while not session.picked:
            over = session.expires_at is not None and self._session.now() >= session.expires_at
            if over or session.time_left == 0:
                break
            await self._session.pause(session.poll_after)
            session = await self.get(session.id)
        return session

    async def items(self, session_id: str) -> list[PickedItem]:
        """
        Everything that was picked.

        Raises:
            ApiRefused: 400, the user has not finished; 404, the session is gone.
        """
        listed_at = self._session.now()

        async def fetch(token: str | None) -> dict[str, Any]:
            url = f"{self._base}/mediaItems?sessionId={quote(session_id, safe='')}&pageSize=100"
            url += f"&pageToken={quote(token, safe='')}" if token else ""
            return api.api_object(await self._session.request("GET", url))

        found: dict[str, PickedItem] = {}
        async for page in pages(fetch, most=2 * MOST_ITEMS // 100):
            for body in api.objects(page, "mediaItems"):
                item = self._item_of(body, listed_at)
                found[item.id] = item
        return list(found.values())

    async def download(
        self,
        item: PickedItem,
        session_id: str,
        *,
        suffix: str | None = None,
        largest: int = LARGEST_ITEM,
    ) -> bytes:
        """
        The bytes of an item: of a photo as it is, without its place; of a video Google's transcode.

        A `base_url` that is too old, or that Google no longer knows, is listed again.

        Args:
            suffix: Another form of it, such as ``"=w2048-h1024"``.
            largest: Bytes that are read into memory at most.

        Raises:
            ApiRefused: Google does not give it.
            ApiMisbehaved: It is larger than *largest*, or no longer in the session.
            ApiUnavailable: A video that Google has not finished with, or an outage.
        """
        fresh = self._session.now() - item.listed_at < BASE_URL_LIFE - BASE_URL_MARGIN
        if fresh and item.ready:
            try:
                return await self._bytes(item, suffix, largest)
            except ApiRefused as refusal:
                if refusal.status not in _GONE:
                    raise
        item = await self._again(item, session_id)
        if not item.ready:
            raise ApiUnavailable("Google has not finished with a video", may_have_arrived=False)
        return await self._bytes(item, suffix, largest)

    async def delete(self, session_id: str) -> None:
        """Close a session; one that is gone already is closed."""
        url = f"{self._base}/sessions/{quote(session_id, safe='')}"
        await self._session.request("DELETE", url, accept={404})

    async def _again(self, item: PickedItem, session_id: str) -> PickedItem:
        for found in await self.items(session_id):
            if found.id == item.id:
                return found
        raise ApiMisbehaved("a picked item is no longer in its session")

    async def _bytes(self, item: PickedItem, suffix: str | None, largest: int) -> bytes:
        form = suffix if suffix is not None else "=dv" if item.video else "=d"
        url = trusted(item.base_url, base=self._base) + form
        response = await self._session.request("GET", url, seconds=DOWNLOAD_SECONDS, largest=largest)
        return response.body

    def _session_of(self, body: dict[str, Any]) -> PickingSession:
        picked = body.get("mediaItemsSet", False)
        if not isinstance(picked, bool):
            raise ApiMisbehaved("the answer's mediaItemsSet is not true or false")
        polling = api.nested(body, "pollingConfig")
        asked = api.duration(polling, "pollInterval")
        return PickingSession(
            id=api.text(body, "id"),
            uri=trusted(body["pickerUri"], base=self._base) if "pickerUri" in body else "",
            picked=picked,
            # None, or none at all, would be a loop that never rests.
            poll_after=asked or POLL_INTERVAL,
            time_left=api.duration(polling, "timeoutIn"),
            expires_at=api.moment(body, "expireTime"),
        )

    def _item_of(self, body: dict[str, Any], listed_at: datetime) -> PickedItem:
        file = api.nested(body, "mediaFile")
        video = api.nested(api.nested(file, "mediaFileMetadata"), "videoMetadata")
        return PickedItem(
            id=api.text(body, "id"),
            base_url=trusted(file.get("baseUrl"), base=self._base),
            listed_at=listed_at,
            video=body.get("type") == "VIDEO",
            ready=video.get("processingStatus", "READY") == "READY",
            mime_type=api.prose(file, "mimeType"),
            filename=api.prose(file, "filename"),
            created_at=api.moment(body, "createTime"),
        )
