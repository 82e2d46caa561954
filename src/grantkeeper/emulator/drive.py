"""
Drive v3 as routes: `/drive/v3/…`, and `/upload/drive/v3/…` where content comes with the call.

Every row of `drive_methods` has a handler here; the routes are made from the rows.
"""

from collections.abc import Awaitable, Callable

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator import drive_content as content
from grantkeeper.emulator import drive_errors as errors
from grantkeeper.emulator.apis_calls import arguments, body_of
from grantkeeper.emulator.apis_routes import VERBS, counted, effective, nowhere
from grantkeeper.emulator.apis_table import Method
from grantkeeper.emulator.bearer import ApiError, authenticate, require_scope
from grantkeeper.emulator.drive_call import Call, Drive, metadata_of, write
from grantkeeper.emulator.drive_listing import list_files, space_named
from grantkeeper.emulator.drive_methods import DRIVE, MAX_UPLOAD
from grantkeeper.emulator.drive_resources import owner_permission, permission_resource, user_resource
from grantkeeper.emulator.drive_sharing import parse_permission
from grantkeeper.emulator.drive_store import DriveStore
from grantkeeper.emulator.drive_uploads import UploadSessions
from grantkeeper.emulator.wire import fault_of
from grantkeeper.emulator.world import World

Handler = Callable[[Call], Awaitable[Response]]

_JSON = f"/{DRIVE.service_path}"
_UPLOADS = (f"/upload/{DRIVE.service_path}", f"/resumable/upload/{DRIVE.service_path}")


def routes(world: World) -> list[BaseRoute]:
    """Drive's routes over *world*, with an empty drive for everyone in it."""
    drive = Drive(world, DriveStore(), UploadSessions())
    world.on_reset += [drive.store.forget, drive.sessions.forget]
    found: list[BaseRoute] = []
    for path in dict.fromkeys(method.path for method in DRIVE.methods):
        rows = {method.http: method for method in DRIVE.methods if method.path == path}
        found.append(Route(_JSON + path, _json_endpoint(drive, rows), methods=VERBS))
        uploads = {verb: method for verb, method in rows.items() if method.upload}
        if uploads:
            endpoint = _upload_endpoint(drive, uploads)
            found += [Route(prefix + path, endpoint, methods=VERBS) for prefix in _UPLOADS]
    found += [Route(prefix + "{rest:path}", nowhere, methods=VERBS) for prefix in (_JSON, *_UPLOADS)]
    return found


def _json_endpoint(drive: Drive, rows: dict[str, Method]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        verb, query = await effective(request)
        method = rows.get(verb)
        if method is None:
            return await nowhere(request)
        media = method.download and method.name == "get" and query.get("alt") == "media"
        kind = f"{method.resource}.{method.name}{'.media' if media else ''}"
        return await counted(
            drive.world, "drive", kind, _call(drive, request, method, query, _HANDLERS[method.id])
        )

    return endpoint


def _upload_endpoint(drive: Drive, rows: dict[str, Method]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if "upload_id" in request.query_params:
            return await _counted_resume(drive, request)
        method = rows.get(request.method)
        if method is None:
            return await nowhere(request)
        query = request.query_params
        kind = query.get("uploadType") or query.get("upload_protocol") or "none"
        return await counted(
            drive.world, "upload", kind, _call(drive, request, method, query, content.upload)
        )

    return endpoint


async def _call(
    drive: Drive, request: Request, method: Method, query: QueryParams, handler: Handler
) -> Response:
    access = authenticate(request)
    require_scope(access, *method.scopes)
    if query.get("alt", "json") not in ("json", "media"):
        raise errors.invalid("alt", f"Invalid value '{query['alt']}'.", "invalidParameter")
    call = Call(
        drive=drive,
        request=request,
        method=method,
        arguments=arguments(method, request.path_params, query),
        access=access,
        fields=query.get("fields") or None,
        media=query.get("alt") == "media",
    )
    return await handler(call)


async def _counted_resume(drive: Drive, request: Request) -> Response:
    try:
        kind, response = await content.resume(drive, request, fault_of(request))
    except ApiError as error:
        drive.world.count("upload", "session", error.reason)
        raise
    drive.world.count("upload", kind, "ok" if response.status_code == 200 else str(response.status_code))
    return response


async def _about(call: Call) -> Response:
    if call.fields is None:
        raise errors.required("fields", "The 'fields' parameter is required for this method.")
    desk = call.desk
    used, binned = desk.used()
    return call.answer(
        {
            "kind": "drive#about",
            "user": user_resource(desk.user),
            "storageQuota": {
                "limit": str(call.drive.store.quota),
                "usage": str(used),
                "usageInDrive": str(used),
                "usageInDriveTrash": str(binned),
            },
            "importFormats": {},
            "exportFormats": {"application/vnd.google-apps.document": ["text/plain"]},
            "maxImportSizes": {},
            "maxUploadSize": str(MAX_UPLOAD),
            "appInstalled": True,
            "folderColorPalette": ["#ac725e", "#d06b64", "#f83a22"],
            "driveThemes": [],
            "canCreateDrives": False,
            "canCreateTeamDrives": False,
        }
    )


async def _generate_ids(call: Call) -> Response:
    space = space_named(call.arguments["space"], "space")
    ids = call.desk.reserve(space, call.arguments["count"])
    return call.answer({"kind": "drive#generatedIds", "space": space, "ids": ids})


async def _list(call: Call) -> Response:
    return call.answer(list_files(call))


async def _get(call: Call) -> Response:
    if call.media:
        return content.download(call, call.desk.find_content(call.file_id))
    desk = call.desk
    return call.answer(desk.resource(desk.find(call.file_id)))


async def _write(call: Call) -> Response:
    creating = call.method.name == "create"
    return write(call, metadata_of(await body_of(call.request), creating=creating), None)


async def _delete(call: Call) -> Response:
    call.desk.delete(call.file_id)
    return Response(status_code=204)


async def _copy(call: Call) -> Response:
    metadata = metadata_of(await body_of(call.request), creating=True)
    call.selection()
    desk = call.desk
    return call.answer(desk.resource(desk.copy(call.file_id, metadata)))


async def _export(call: Call) -> Response:
    return content.export(call)


async def _permissions(call: Call) -> Response:
    desk = call.desk
    file = desk.find(call.file_id)
    permissions = [owner_permission(desk.user), *file.permissions]
    return call.answer(
        {"kind": "drive#permissionList", "permissions": [permission_resource(each) for each in permissions]}
    )


async def _share(call: Call) -> Response:
    permission = parse_permission(await body_of(call.request), call.drive.world)
    call.selection()
    return call.answer(permission_resource(call.desk.share(call.file_id, permission)))


_HANDLERS: dict[str, Handler] = {
    "drive.about.get": _about,
    "drive.files.generateIds": _generate_ids,
    "drive.files.list": _list,
    "drive.files.create": _write,
    "drive.files.get": _get,
    "drive.files.update": _write,
    "drive.files.delete": _delete,
    "drive.files.copy": _copy,
    "drive.files.export": _export,
    "drive.permissions.list": _permissions,
    "drive.permissions.create": _share,
}
