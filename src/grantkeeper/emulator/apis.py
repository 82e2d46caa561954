"""What all of Google's APIs share: the discovery documents, the directory of them, and batches."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator import apis_people
from grantkeeper.emulator.answers import ApiError, Json
from grantkeeper.emulator.apis_batch import batch
from grantkeeper.emulator.apis_discovery import directory, rest_description
from grantkeeper.emulator.apis_people import PEOPLE
from grantkeeper.emulator.apis_table import Api
from grantkeeper.emulator.drive_methods import DRIVE
from grantkeeper.emulator.photos_methods import PHOTOS
from grantkeeper.emulator.picker_methods import PICKER
from grantkeeper.emulator.world import World

_HOSTS = (PHOTOS, PICKER)
APIS = (DRIVE, PEOPLE, *_HOSTS)


def routes(world: World) -> list[BaseRoute]:
    """The shared routes, and those of the APIs too small for a room of their own."""

    async def drive_batch(request: Request) -> Response:
        return await _batch(request, world, (f"/{DRIVE.service_path}",))

    async def any_batch(request: Request) -> Response:
        return await _batch(request, world, (f"/{DRIVE.service_path}", "/v1/people/"))

    return [
        Route("/discovery/v1/apis", _directory, methods=["GET"]),
        Route("/discovery/v1/apis/{api}/{version}/rest", _document, methods=["GET"]),
        Route(f"/{DRIVE.batch_path}", drive_batch, methods=["POST"]),
        Route("/batch", any_batch, methods=["POST"]),
        *(
            Route(f"/{api.folder}{api.batch_path}", _own_batch(world, api), methods=["POST"])
            for api in _HOSTS
        ),
        *apis_people.routes(world),
    ]


def _own_batch(world: World, api: Api) -> Callable[[Request], Awaitable[Response]]:
    """The batches of an API that has a host of its own at Google."""

    async def own_batch(request: Request) -> Response:
        return await _batch(request, world, (f"/{api.folder}v1/",))

    return own_batch


async def _batch(request: Request, world: World, prefixes: tuple[str, ...]) -> Response:
    try:
        response = await batch(request, world, prefixes)
    except ApiError as error:
        world.count("batch", "batch", error.reason)
        raise
    world.count("batch", "batch", "ok")
    return response


async def _directory(request: Request) -> Response:
    name = request.query_params.get("name")
    apis = tuple(api for api in APIS if name in (None, "", api.name))
    return Json(directory(apis, str(request.base_url)))


async def _document(request: Request) -> Response:
    wanted = (request.path_params["api"], request.path_params["version"])
    for api in APIS:
        if (api.name, api.version) == wanted:
            return Json(rest_description(api, str(request.base_url)))
    raise ApiError(404, "notFound", "Requested entity was not found.")
