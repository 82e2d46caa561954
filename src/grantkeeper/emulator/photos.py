"""Google Photos: the Library API under `/photoslibrary/`, the Picker API under `/photospicker/`."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator import (
    control_photos,
    photos_albums,
    photos_downloads,
    photos_items,
    photos_pages,
    photos_upload_calls,
    picker,
)
from grantkeeper.emulator.apis_routes import VERBS, Call, counted, table_routes
from grantkeeper.emulator.bearer import authenticate
from grantkeeper.emulator.photos_create import batch_create
from grantkeeper.emulator.photos_errors import sharing_is_gone
from grantkeeper.emulator.photos_methods import FOLDER, PHOTOS
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.world import World

_HANDLERS: dict[str, Callable[[Photos, Call], Awaitable[Any]]] = {
    "photoslibrary.mediaItems.batchCreate": batch_create,
    "photoslibrary.mediaItems.batchGet": photos_items.batch_get,
    "photoslibrary.mediaItems.get": photos_items.get,
    "photoslibrary.mediaItems.list": photos_items.list_items,
    "photoslibrary.mediaItems.search": photos_items.search,
    "photoslibrary.mediaItems.patch": photos_items.patch,
    "photoslibrary.albums.create": photos_albums.create,
    "photoslibrary.albums.get": photos_albums.get,
    "photoslibrary.albums.list": photos_albums.list_albums,
    "photoslibrary.albums.patch": photos_albums.patch,
    "photoslibrary.albums.batchAddMediaItems": photos_albums.add_items,
    "photoslibrary.albums.batchRemoveMediaItems": photos_albums.remove_items,
    "photoslibrary.albums.addEnrichment": photos_albums.add_enrichment,
}

#: What ended on 31 March 2025, and is refused by name.
_GONE = (
    "v1/albums/{albumId}:share",
    "v1/albums/{albumId}:unshare",
    "v1/sharedAlbums",
    "v1/sharedAlbums:join",
    "v1/sharedAlbums:leave",
    "v1/sharedAlbums/{shareToken}",
)


def routes(world: World) -> list[BaseRoute]:
    """Both APIs over *world*, and the control calls that go with them."""
    photos = Photos(world)
    world.on_reset.append(photos.forget)
    bound = {method: partial(handler, photos) for method, handler in _HANDLERS.items()}
    return [
        *photos_upload_calls.routes(photos),
        *photos_downloads.routes(photos),
        *_gone(photos),
        *table_routes(world, PHOTOS, "photos", bound, lambda access: photos.spend(access.project)),
        *picker.routes(photos),
        *photos_pages.routes(photos),
        *control_photos.routes(photos),
    ]


def _gone(photos: Photos) -> list[BaseRoute]:
    async def refuse(request: Request) -> Response:
        photos.spend(authenticate(request).project)
        raise sharing_is_gone()

    async def refused(request: Request) -> Response:
        return await counted(photos.world, "photos", "sharing", refuse(request))

    return [Route(f"/{FOLDER}{path}", refused, methods=VERBS) for path in _GONE]
