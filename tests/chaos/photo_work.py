"""
The job of the chaos parts: one picked photo is read, improved, uploaded, and made once in the user's album.

Every step writes a line into the diary before it does anything, and what it returns, which the engine
records, names that line. So whoever reads both afterwards sees which beginning was recorded, and whether
there was another one after it. The emulator and the seconds that improving takes come from the environment.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from grantkeeper import JobContext, job
from grantkeeper.errors import ApiError
from grantkeeper.google import Album, MediaItem, NewMedia, OnceItem, Photos, Picker, Session, create_once

SCOPES = (
    "https://www.googleapis.com/auth/photospicker.mediaitems.readonly",
    "https://www.googleapis.com/auth/photoslibrary.appendonly",
    "https://www.googleapis.com/auth/photoslibrary.readonly.appcreateddata",
)
ALBUM = "Enhanced"
DIARY = "diary"
PICTURES = "pictures"
GOOGLE_URL = "CHAOS_GOOGLE"
SECONDS = "CHAOS_SECONDS"

STEPS = ("fetch", "improve", "find_album", "begin", "send", "make", "close")


class Noted(msgspec.Struct):
    """What a step returns: the line of the diary that it began with, and a word for later steps."""

    line: str
    told: str = ""


class Begun(msgspec.Struct):
    """An upload that goes on after a cut."""

    line: str
    upload: dict[str, str | int]


class Made(msgspec.Struct):
    """
    An item of the album.

    Attributes:
        calls: Of `batchCreate`, in this beginning of the step.
        looked_up: The item was found by its marker, and no call of this beginning told its id.
    """

    line: str
    item: str
    calls: int
    looked_up: bool


@job(scopes=SCOPES)
async def improve_photo(ctx: JobContext, session: str) -> str:
    """Improve the photo that was picked in *session*; the id of the new item."""
    await ctx.step(fetch, ctx, session)
    await ctx.step(improve, ctx.id)
    album = await ctx.step(find_album, ctx)
    begun = await ctx.step(begin, ctx)
    sent = await ctx.step(send, ctx, begun.upload)
    made = await ctx.step(make, ctx, album.told, sent.told)
    await ctx.step(close, ctx, session)
    return made.item


async def fetch(ctx: JobContext, session: str) -> Noted:
    line = _note(ctx.id, "fetch")
    picker = _picker(ctx)
    (item,) = await picker.items(session)
    _write(f"{ctx.id}-picked", await picker.download(item, session))
    return Noted(line)


def improve(job_id: str) -> Noted:
    """A few bytes more; as long as the work of a picture takes."""
    line = _note(job_id, "improve")
    time.sleep(float(os.environ[SECONDS]))
    _write(job_id, _picture(f"{job_id}-picked").read_bytes() + b"improved by " + job_id.encode())
    return Noted(line)


async def find_album(ctx: JobContext) -> Noted:
    line = _note(ctx.id, "find_album")
    album: Album = await _photos(ctx).album(ALBUM)
    return Noted(line, album.id)


async def begin(ctx: JobContext) -> Begun:
    line = _note(ctx.id, "begin")
    upload = await _photos(ctx).begin_upload(_picture(ctx.id).stat().st_size, "image/png")
    return Begun(line, upload.as_record())


async def send(ctx: JobContext, upload: dict[str, str | int]) -> Noted:
    line = _note(ctx.id, "send")
    return Noted(line, await _photos(ctx).send_upload(upload, _picture(ctx.id).read_bytes()))


async def make(ctx: JobContext, album: str, upload_token: str) -> Made:
    line = _note(ctx.id, "make")
    photos = _photos(ctx)

    async def again() -> str:
        return await photos.upload(_picture(ctx.id).read_bytes(), "image/png")

    item = OnceItem(f"{ctx.id}/0", upload_token, f"{ctx.id}.png", "Improved", again=again)
    (made,) = await create_once(photos, [item], album_id=album)
    return Made(line, made, photos.calls, made not in photos.told)


async def close(ctx: JobContext, session: str) -> Noted:
    line = _note(ctx.id, "close")
    await _picker(ctx).delete(session)
    return Noted(line)


class CountedPhotos(Photos):
    """Knows which items its own calls were told of."""

    def __init__(self, session: Session, *, base: str) -> None:
        super().__init__(session, base=base)
        self.calls = 0
        self.told: set[str] = set()

    async def create_some(
        self, media: Sequence[NewMedia], *, album_id: str | None = None
    ) -> list[MediaItem | ApiError]:
        self.calls += 1
        results = await super().create_some(media, album_id=album_id)
        self.told |= {result.id for result in results if isinstance(result, MediaItem)}
        return results


def _photos(ctx: JobContext) -> CountedPhotos:
    return CountedPhotos(ctx.http, base=f"{os.environ[GOOGLE_URL]}/photoslibrary/v1")


def _picker(ctx: JobContext) -> Picker:
    return Picker(ctx.http, base=f"{os.environ[GOOGLE_URL]}/photospicker/v1")


def _note(job_id: str, step: str) -> str:
    """A new line of the diary, written in one piece; its name."""
    line = uuid4().hex
    diary = os.open(DIARY, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(diary, f"{job_id} {step} {line}\n".encode())
    finally:
        os.close(diary)
    return line


def _picture(name: str) -> Path:
    return Path(PICTURES) / f"{name}.png"


def _write(name: str, content: bytes) -> None:
    """In one piece: whoever is killed leaves no half of it."""
    beside = _picture(f"{name}-{uuid4().hex}")
    beside.write_bytes(content)
    beside.replace(_picture(name))
