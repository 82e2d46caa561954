"""Items and albums in the words of the Library API."""

from datetime import datetime
from typing import Any, Literal

from grantkeeper.emulator.apis_routes import Message
from grantkeeper.emulator.photos_errors import invalid
from grantkeeper.emulator.photos_library import Album, Item, Library
from grantkeeper.emulator.photos_state import Photos


class AlbumPosition(Message):
    """Where in an album something goes; default the end."""

    position: Literal[
        "POSITION_TYPE_UNSPECIFIED",
        "FIRST_IN_ALBUM",
        "LAST_IN_ALBUM",
        "AFTER_MEDIA_ITEM",
        "AFTER_ENRICHMENT_ITEM",
    ] = "POSITION_TYPE_UNSPECIFIED"
    relative_media_item_id: str = ""
    relative_enrichment_item_id: str = ""


def place_in(album: Album, position: AlbumPosition | None) -> int:
    """
    The index in the album's order that *position* means.

    Raises:
        ApiError: 400, the item or enrichment it names is not in the album.
    """
    where = position.position if position is not None else "LAST_IN_ALBUM"
    if position is None or where in ("POSITION_TYPE_UNSPECIFIED", "LAST_IN_ALBUM"):
        return len(album.order)
    if where == "FIRST_IN_ALBUM":
        return 0
    after_item = where == "AFTER_MEDIA_ITEM"
    there = album.members if after_item else album.enrichments
    anchor = position.relative_media_item_id if after_item else position.relative_enrichment_item_id
    if anchor not in there:
        raise invalid("The album position names an item that is not in the album.")
    return album.order.index(anchor) + 1


def timestamp(moment: datetime) -> str:
    """RFC 3339, in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def item_resource(photos: Photos, item: Item, *, with_url: bool = True) -> dict[str, Any]:
    """An item; just after it was made Google shows it without a `baseUrl`."""
    here = photos.world.base_url
    metadata = {"creationTime": timestamp(item.created_at)}
    if item.look.width:
        metadata |= {"width": str(item.look.width), "height": str(item.look.height)}
    shown: dict[str, Any] = {"id": item.id}
    if item.description:
        shown["description"] = item.description
    shown["productUrl"] = f"{here}/emulator/photos/{item.id}"
    if with_url:
        key = photos.urls.key(photos.world.now(), item.id)
        shown["baseUrl"] = f"{here}/photoslibrary/media/{key}"
    shown["mimeType"] = item.look.mime_type
    shown["mediaMetadata"] = metadata | (
        {"video": {"status": "READY"}} if item.look.is_video else {"photo": {}}
    )
    shown["filename"] = item.filename
    return shown


def album_resource(photos: Photos, library: Library, album: Album) -> dict[str, Any]:
    """An album; its cover is the first item unless another was chosen."""
    here = photos.world.base_url
    shown: dict[str, Any] = {
        "id": album.id,
        "title": album.title,
        "productUrl": f"{here}/emulator/albums/{album.id}",
        "isWriteable": True,
    }
    if album.members:
        shown["mediaItemsCount"] = str(len(album.members))
        cover = album.cover or next(each for each in album.order if each in album.members)
        key = photos.urls.key(photos.world.now(), cover)
        shown["coverPhotoBaseUrl"] = f"{here}/photoslibrary/media/{key}"
        shown["coverPhotoMediaItemId"] = library.items[cover].id
    return shown
