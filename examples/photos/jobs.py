"""What the workers do: `enhance` improves what a user has picked, and adds it to the album "Enhanced"."""

import asyncio
import hashlib
from functools import partial
from typing import Any

from improve import CannotImprove, improve
from nightly import export
from places import ADDING, PHOTOS_API, PICKER_API, PICKING, READING, Folder
from previews import preview, put

from grantkeeper import JobContext, job
from grantkeeper.google.photos import MOST_PER_CALL, Photos
from grantkeeper.google.photos_once import OnceItem, create_once
from grantkeeper.google.picker import BASE_URL_LIFE, BASE_URL_MARGIN, PickedItem, Picker

__all__ = ["enhance", "export"]

ALBUM = "Enhanced"
SAID = "Improved by Brighter"


@job(scopes=[PICKING, ADDING, READING])
async def enhance(ctx: JobContext, session: str) -> dict[str, Any]:
    """
    Improve each photo that was picked in *session*, and see that the album has it once.

    One job for a visit to the picker and not one for each photo: what was picked is listed once,
    and one call creates fifty items. Google counts calls, and wants one `batchCreate` at a time.
    """
    visit = Visit(ctx, session)
    picked = await ctx.named_step("list", visit.listed)
    album = await ctx.named_step("album", visit.album)
    made: list[dict[str, Any]] = []
    for first in range(0, len(picked), MOST_PER_CALL):
        ready = []
        for number, item in enumerate(picked[first : first + MOST_PER_CALL], first):
            await ctx.progress(len(made), len(picked), "Improving")
            photo = await ctx.named_step(f"improve {number}", visit.improved, number, item)
            made.append({"number": number, "name": item["name"], "trouble": photo.get("trouble")})
            if photo.get("trouble"):
                continue
            upload = await ctx.named_step(f"begin {number}", visit.begun, photo)
            token = await ctx.named_step(f"upload {number}", visit.uploaded, photo, upload)
            ready.append(photo | {"token": token})
        await ctx.named_step(f"create from {first}", visit.created, ready, album["id"])
    await ctx.named_step("close", visit.closed)
    await ctx.progress(sum(not one["trouble"] for one in made), len(picked), "Done")
    return {"album": album["url"], "photos": made}


class Visit:
    """The steps: each may be cut off anywhere and is then done again, and what it returns is kept."""

    def __init__(self, ctx: JobContext, session: str) -> None:
        self._job, self._session = ctx.id, session
        self._picker = Picker(ctx.http, base=PICKER_API)
        self._photos = Photos(ctx.http, base=PHOTOS_API, exclusive=partial(ctx.exclusive, "photos"))
        self._now = ctx.http.now
        folder = Folder.here()
        self._work = folder.work(ctx.grant_id, ctx.id)
        self._previews = folder.previews(ctx.grant_id, ctx.id)
        self._items: dict[str, PickedItem] = {}

    async def listed(self) -> list[dict[str, str]]:
        """What was picked: never its addresses, which live an hour."""
        found = await self._picker.items(self._session)
        self._items = {item.id: item for item in found}
        return [{"id": item.id, "name": item.filename, "type": item.mime_type} for item in found]

    async def album(self) -> dict[str, str]:
        """The album of the app in the user's library, new at the first time."""
        album = await self._photos.album(ALBUM)
        return {"id": album.id, "url": album.product_url}

    async def improved(self, number: int, item: dict[str, str]) -> dict[str, Any]:
        """The better picture, in the work folder: where, and what it must be; or why there is none."""
        photo = {"number": number, **item}
        try:
            better = await self._better(photo)
        except CannotImprove as error:
            return {"trouble": str(error)}
        return photo | {"bytes": len(better), "sha256": hashlib.sha256(better).hexdigest()}

    async def begun(self, photo: dict[str, Any]) -> dict[str, Any]:
        """An upload that goes on where it was cut off."""
        return (await self._photos.begin_upload(photo["bytes"], photo["type"])).as_record()

    async def uploaded(self, photo: dict[str, Any], upload: dict[str, Any]) -> str:
        """Google has the bytes; the token is good for a day."""
        better = await self._found(photo)
        if len(better) != upload["size"]:
            return await self._photos.upload(better, photo["type"])
        return await self._photos.send_upload(upload, better)

    async def created(self, ready: list[dict[str, Any]], album_id: str) -> list[str]:
        """The items are in the album. Each carries a marker, by which a call that was cut is looked up."""
        return await create_once(self._photos, [self._once(photo) for photo in ready], album_id=album_id)

    async def closed(self) -> None:
        """Google allows few open visits; and the pictures are in the album, not here."""
        await self._picker.delete(self._session)
        await asyncio.to_thread(put, self._work, {})

    def _once(self, photo: dict[str, Any]) -> OnceItem:
        async def again() -> str:
            return await self._photos.upload(await self._found(photo), photo["type"])

        return OnceItem(f"{self._job}/{photo['number']}", photo["token"], photo["name"], SAID, again)

    async def _better(self, photo: dict[str, Any]) -> bytes:
        """Download, improve, keep; on another machine than before simply once more."""
        item = await self._item(photo["id"])
        if item.video:
            raise CannotImprove("it is a video")
        original = await self._picker.download(item, self._session)
        better = await asyncio.to_thread(improve, original)
        before, after = await asyncio.to_thread(lambda: (preview(original), preview(better)))
        name = f"{photo['number']:04d}"
        await asyncio.to_thread(
            put, self._previews, {f"{name}-before.jpg": before, f"{name}-after.jpg": after}
        )
        await asyncio.to_thread(put, self._work, {name: better})
        return better

    async def _found(self, photo: dict[str, Any]) -> bytes:
        """The better picture from the work folder, if it is there and is the one that was recorded."""
        path = self._work / f"{photo['number']:04d}"
        kept = await asyncio.to_thread(lambda: path.read_bytes() if path.is_file() else b"")
        if hashlib.sha256(kept).hexdigest() == photo["sha256"]:
            return kept
        return await self._better(photo)

    async def _item(self, item_id: str) -> PickedItem:
        """An item whose address is not too old."""
        item = self._items.get(item_id)
        if item is None or self._now() - item.listed_at > BASE_URL_LIFE - BASE_URL_MARGIN:
            self._items = {found.id: found for found in await self._picker.items(self._session)}
            item = self._items[item_id]
        return item
