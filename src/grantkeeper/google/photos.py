"""
The Photos Library API: what an app may do since 31 March 2025, which is to see and fill what it made itself.

The user's own photos come through the Picker (`grantkeeper.google.picker`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

from grantkeeper.errors import ApiError, ApiMisbehaved, ApiUnavailable
from grantkeeper.google import photos_upload
from grantkeeper.google.content import Content
from grantkeeper.google.pages import pages
from grantkeeper.google.photos_upload import PhotosUpload
from grantkeeper.google.session import Session
from grantkeeper.google.uploading import CHUNK, Told
from grantkeeper.protocol import api

PHOTOS = "https://photoslibrary.googleapis.com/v1"

MOST_PER_CALL = 50
"""Items of a `batchCreate` and of a `batchAddMediaItems`."""

LONGEST_TITLE = 500
LONGEST_DESCRIPTION = 1000

MOST_ALBUMS = 2000
"""Albums of one app that are looked through for a title."""

SETTLE = 3.0
"""Seconds after a cut call until its effect can be seen, if it had one."""

Exclusive = Callable[[], AbstractAsyncContextManager[Any]]
"""Holds off every other writer to the same user's library, for as long as it is entered."""


@dataclass(frozen=True, slots=True)
class MediaItem:
    """
    A photo or video that the app made.

    Attributes:
        base_url: Where its bytes are for 60 minutes, once it has a suffix; never to be kept.
    """

    id: str
    description: str = field(default="", repr=False)
    filename: str = field(default="", repr=False)
    mime_type: str = ""
    product_url: str = field(default="", repr=False)
    base_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Album:
    """An album that the app made; *items* is Google's count of what is in it."""

    id: str
    title: str = field(repr=False)
    product_url: str = field(default="", repr=False)
    items: int = 0


@dataclass(frozen=True, slots=True)
class NewMedia:
    """Bytes that were uploaded, and what is to be said of them."""

    upload_token: str = field(repr=False)
    file_name: str = field(default="", repr=False)
    description: str = field(default="", repr=False)


class Photos:
    """
    The Library API in one user's name.

    Args:
        session: The user's, such as a job's ``ctx.http``.
        exclusive: Google wants one `batchCreate` at a time for each user. By default these
            calls of this object wait for each other; whoever has several workers gives a
            lock that all of them share.
    """

    def __init__(self, session: Session, *, base: str = PHOTOS, exclusive: Exclusive | None = None) -> None:
        lock = asyncio.Lock()
        self.session = session
        self.base = base.rstrip("/")
        self.exclusive: Exclusive = exclusive or (lambda: lock)

    # -- bytes ----------------------------------------------------------------------------------

    async def upload(self, source: bytes | BinaryIO | Content, mime_type: str) -> str:
        """Send the bytes of a photo at once; the upload token, good for a day."""
        return await photos_upload.send_raw(self.session, self.base, source, mime_type)

    async def begin_upload(self, size: int, mime_type: str) -> PhotosUpload:
        """Open an upload that goes on after a cut: what is returned is JSON, for a job to keep in a step."""
        return await photos_upload.begin(self.session, self.base, size, mime_type)

    async def send_upload(
        self,
        upload: PhotosUpload | dict[str, Any],
        source: bytes | BinaryIO | Content,
        *,
        chunk: int = CHUNK,
        told: Told | None = None,
    ) -> str:
        """
        Send what Google does not have yet of an upload; the upload token.

        An upload that Google has lost begins anew within the call.

        Args:
            chunk: Bytes sent at once, and held in memory; each has a token of its own.
            told: Is told how many bytes have arrived, and of how many.

        Raises:
            ApiUnavailable: It goes on later with the same *upload*, from where it stands.
        """
        return await photos_upload.send(
            self.session, self.base, PhotosUpload.from_record(upload), source, chunk=chunk, told=told
        )

    # -- items ----------------------------------------------------------------------------------

    async def batch_create(
        self, media: Sequence[NewMedia], *, album_id: str | None = None
    ) -> list[MediaItem | ApiError]:
        """
        Make items of uploads, 50 in a call; for each the item, or why there is none, in their order.

        In an album they come first. A repeated call makes them again: `create_once` does not.

        Raises:
            ApiUnavailable: A call was cut; those before it are done, and nobody knows of it.
        """
        found: list[MediaItem | ApiError] = []
        async with self.exclusive():
            for first in range(0, len(media), MOST_PER_CALL):
                found += await self.create_some(media[first : first + MOST_PER_CALL], album_id=album_id)
        return found

    async def create_some(
        self, media: Sequence[NewMedia], *, album_id: str | None = None
    ) -> list[MediaItem | ApiError]:
        """One call of `batchCreate` with at most 50; the caller has seen to it that there is no other."""
        tokens = [item.upload_token for item in media]
        if len(set(tokens)) != len(tokens):
            raise ValueError("an upload token makes one item")
        body: dict[str, Any] = {
            "newMediaItems": [
                {
                    "description": item.description,
                    "simpleMediaItem": {"uploadToken": item.upload_token, "fileName": item.file_name},
                }
                for item in media
            ]
        }
        if album_id is not None:
            # First, so that whoever looks for what was just made need not read the whole album.
            body |= {"albumId": album_id, "albumPosition": {"position": "FIRST_IN_ALBUM"}}
        response = await self.session.request(
            "POST", f"{self.base}/mediaItems:batchCreate", json=body, idempotent=False
        )
        results = {
            api.text(result, "uploadToken"): result
            for result in api.objects(api.api_object(response), "newMediaItemResults")
        }
        if set(results) != set(tokens):
            raise ApiMisbehaved("the answer's results are not those of the uploads")
        return [_result(results[token]) for token in tokens]

    async def items(self, *, album_id: str | None = None, most: int = 20_000) -> AsyncIterator[MediaItem]:
        """The app's items, those of an album or all; the newest first, as `batch_create` puts them."""

        async def fetch(token: str | None) -> dict[str, Any]:
            if album_id is None:
                url = f"{self.base}/mediaItems?pageSize=100" + (
                    f"&pageToken={_quoted(token)}" if token else ""
                )
                return api.api_object(await self.session.request("GET", url))
            body = {"albumId": album_id, "pageSize": 100, **({"pageToken": token} if token else {})}
            return api.api_object(
                await self.session.request(
                    "POST", f"{self.base}/mediaItems:search", json=body, idempotent=True
                )
            )

        left = most
        # Twice as many pages as full ones would be: Google may give shorter ones.
        async for page in pages(fetch, most=2 * (most // 100) + 2):
            for item in api.objects(page, "mediaItems"):
                if left == 0:
                    return
                left -= 1
                yield _item(item)

    async def item(self, item_id: str) -> MediaItem:
        """One item, with a fresh `base_url`."""
        url = f"{self.base}/mediaItems/{_quoted(item_id)}"
        return _item(api.api_object(await self.session.request("GET", url)))

    # -- albums ---------------------------------------------------------------------------------

    async def albums(self) -> AsyncIterator[Album]:
        """The albums that the app made."""

        async def fetch(token: str | None) -> dict[str, Any]:
            url = f"{self.base}/albums?pageSize=50" + (f"&pageToken={_quoted(token)}" if token else "")
            return api.api_object(await self.session.request("GET", url))

        async for page in pages(fetch, most=2 * MOST_ALBUMS // 50):
            for album in api.objects(page, "albums"):
                yield _album(album)

    async def album(self, title: str) -> Album:
        """
        The app's album of that title, made if there is none.

        A call that was cut is looked up before it is repeated.

        Raises:
            ValueError: The title is empty or longer than Google takes.
        """
        if not 0 < len(title) <= LONGEST_TITLE:
            raise ValueError(f"a title has 1 to {LONGEST_TITLE} characters")
        async with self.exclusive():
            if (found := await self._album_of(title)) is not None:
                return found
            try:
                response = await self.session.request(
                    "POST", f"{self.base}/albums", json={"album": {"title": title}}, idempotent=False
                )
                return _album(api.api_object(response))
            except (ApiUnavailable, ApiMisbehaved):
                await self.session.pause(SETTLE)
                if (found := await self._album_of(title)) is not None:
                    return found
                raise

    async def add_to_album(self, album_id: str, item_ids: Sequence[str]) -> None:
        """Put items of the app into an album of the app; those that are in it stay, once."""
        url = f"{self.base}/albums/{_quoted(album_id)}:batchAddMediaItems"
        async with self.exclusive():
            for first in range(0, len(item_ids), MOST_PER_CALL):
                body = {"mediaItemIds": list(item_ids[first : first + MOST_PER_CALL])}
                await self.session.request("POST", url, json=body, idempotent=True)

    async def _album_of(self, title: str) -> Album | None:
        async for album in self.albums():
            if album.title == title:
                return album
        return None


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _result(result: dict[str, Any]) -> MediaItem | ApiError:
    failure = api.item_failure(result.get("status"))
    return failure if failure is not None else _item(api.nested(result, "mediaItem"))


def _item(body: dict[str, Any]) -> MediaItem:
    return MediaItem(
        id=api.text(body, "id"),
        description=api.prose(body, "description"),
        filename=api.prose(body, "filename"),
        mime_type=api.prose(body, "mimeType"),
        product_url=api.prose(body, "productUrl"),
        base_url=api.prose(body, "baseUrl"),
    )


def _album(body: dict[str, Any]) -> Album:
    return Album(
        id=api.text(body, "id"),
        title=api.prose(body, "title"),
        product_url=api.prose(body, "productUrl"),
        items=api.number(body, "mediaItemsCount", most=10**9) if "mediaItemsCount" in body else 0,
    )
