"""Bytes by `baseUrl`. There is no image library here: whatever size is asked for, the original bytes come."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator import photos_errors as errors
from grantkeeper.emulator.apis_bytes import content_answer
from grantkeeper.emulator.apis_routes import counted
from grantkeeper.emulator.bearer import authenticate, require_scope
from grantkeeper.emulator.photos_kinds import MEDIA
from grantkeeper.emulator.photos_library import Item
from grantkeeper.emulator.photos_methods import FOLDER
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.photos_urls import check_suffix, split_suffix
from grantkeeper.emulator.picker_methods import FOLDER as PICKER_FOLDER
from grantkeeper.emulator.picker_sessions import OwnPhoto
from grantkeeper.emulator.scopes import PICKER_READ


def routes(photos: Photos) -> list[BaseRoute]:
    """The two kinds of `baseUrl`: the Library's, which need no token (unconfirmed), and the Picker's."""

    async def library(request: Request) -> Response:
        return await counted(photos.world, "photos", MEDIA, _library(photos, request))

    async def picker(request: Request) -> Response:
        return await counted(photos.world, "picker", MEDIA, _picker(photos, request))

    return [
        Route(f"/{FOLDER}media/{{key}}", library),
        Route(f"/{PICKER_FOLDER}media/{{key}}", picker),
    ]


async def _library(photos: Photos, request: Request) -> Response:
    key, suffix = split_suffix(request.path_params["key"])
    names = photos.urls.read(key, photos.world.now())
    item = photos.libraries.item(names[0]) if len(names) == 1 else None
    if item is None:
        raise errors.not_found()
    photos.spend_media(item.project)
    return _bytes(photos, request, item, suffix, "photos")


async def _picker(photos: Photos, request: Request) -> Response:
    access = authenticate(request)
    require_scope(access, PICKER_READ)
    key, suffix = split_suffix(request.path_params["key"])
    names = photos.urls.read(key, photos.world.now())
    photo = photos.own.get(access.sub, names[0]) if len(names) == 2 else None
    if photo is None or names[1] != access.project:
        raise errors.denied("This baseUrl was made for another user or app.")
    if photo.ready_at > photos.world.now():
        raise errors.failed_precondition("The video is not processed yet.")
    return _bytes(photos, request, photo, suffix, "picker")


def _bytes(photos: Photos, request: Request, item: Item | OwnPhoto, suffix: str, api: str) -> Response:
    download = check_suffix(suffix, video=item.look.is_video)
    name = item.filename.encode("ascii", "replace").decode().replace('"', "'")
    disposition = f'{"attachment" if download else "inline"}; filename="{name}"'
    headers = {"Cache-Control": "private, max-age=3600, no-transform", "Content-Disposition": disposition}
    response = content_answer(request, item.content, item.look.mime_type, headers)
    if request.method == "GET":
        photos.tally(api, "downloads")
        photos.tally(api, "bytes_sent", len(response.body))
    return response
