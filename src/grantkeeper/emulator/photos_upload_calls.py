"""
`/uploads` of the Library API: bytes go in by either protocol, an upload token comes out as plain text.

The resumable protocol is the one with `X-Goog-Upload-…` headers. It is not Drive's: no 308, no Content-Range.
"""

import re

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator import photos_errors as errors
from grantkeeper.emulator.apis_calls import body_of
from grantkeeper.emulator.apis_routes import counted
from grantkeeper.emulator.bearer import ApiError, authenticate, bearer_token, require_scope
from grantkeeper.emulator.faults import Fault
from grantkeeper.emulator.photos_kinds import upload_kind
from grantkeeper.emulator.photos_media import look_at
from grantkeeper.emulator.photos_methods import FOLDER
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.photos_uploads import GRANULARITY, ChunkInvalid, Upload, Uploaded
from grantkeeper.emulator.scopes import PHOTOS_APPEND
from grantkeeper.emulator.wire import fault_of

_PATH = f"/{FOLDER}v1/uploads"


def routes(photos: Photos) -> list[BaseRoute]:
    """The one path, which both protocols use."""

    async def uploads(request: Request) -> Response:
        kind = upload_kind(request.headers)
        return await counted(photos.world, "photos", kind, _answer(photos, request, kind))

    return [Route(_PATH, uploads, methods=["POST", "PUT"])]


async def _answer(photos: Photos, request: Request, kind: str) -> Response:
    if "upload_id" in request.query_params:
        return await _resumed(photos, request, kind)
    access = authenticate(request)
    require_scope(access, PHOTOS_APPEND)
    photos.spend(access.project)
    if kind == "uploads.start":
        return _begun(photos, request, access.sub, access.project)
    if kind != "uploads.raw":
        raise errors.invalid("X-Goog-Upload-Protocol must be raw, or resumable with the command start.")
    photos.tally("photos", "uploads_begun")
    content = await body_of(request)
    if not content:
        raise errors.invalid("The request has no bytes.")
    look = look_at(content)
    _check_size(photos, len(content), video=look is not None and look.is_video)
    photos.tally("photos", "bytes_received", len(content))
    return _token(photos, Uploaded(access.sub, access.project, photos.world.now(), content))


def _token(photos: Photos, uploaded: Uploaded) -> Response:
    photos.tally("photos", "uploads_finished")
    token = photos.uploads.finish(photos.world.secret("CAIS", "ut"), uploaded)
    return PlainTextResponse(token)


def _begun(photos: Photos, request: Request, sub: str, project: str) -> Response:
    text = request.headers.get("x-goog-upload-raw-size", "")
    if request.headers.get("x-goog-upload-protocol", "").lower() != "resumable":
        raise errors.invalid("The command start belongs to X-Goog-Upload-Protocol: resumable.")
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) == 0:
        raise errors.invalid("X-Goog-Upload-Raw-Size must say how many bytes will come.")
    video = request.headers.get("x-goog-upload-content-type", "").startswith("video/")
    _check_size(photos, int(text), video=video)
    photos.tally("photos", "uploads_begun")
    upload = photos.uploads.begin(sub, project, int(text), photos.world.now())
    url = request.url.include_query_params(upload_id=upload.id, upload_protocol="resumable")
    # The address is a capability; the token that opened it has no place in it.
    headers = {
        "X-Goog-Upload-URL": str(url.remove_query_params("access_token")),
        "X-Goog-Upload-Chunk-Granularity": str(GRANULARITY),
    }
    return _stands(upload, headers)


def _check_size(photos: Photos, size: int, *, video: bool) -> None:
    limit = photos.limits.video_bytes if video else photos.limits.photo_bytes
    if size > limit:
        what = "video" if video else "photo"
        raise ApiError(413, "uploadTooLarge", f"A {what} has at most {limit} bytes.", name="INVALID_ARGUMENT")


async def _resumed(photos: Photos, request: Request, kind: str) -> Response:
    """
    A request to an upload's address.

    A token is not needed; one that is sent must work, as with Drive.

    Raises:
        ApiError: 404, unknown or older than a week; 410, lost by a fault; 400, the chunk does not fit.
    """
    if bearer_token(request) is not None:
        authenticate(request)
    upload = photos.uploads.get(request.query_params["upload_id"], photos.world.now())
    if upload is None:
        raise errors.not_found("Upload session not found.")
    fault = fault_of(request)
    if fault is not None and fault.kind.name == "upload_gone":
        photos.uploads.drop(upload)
        raise ApiError(410, "gone", "The upload session is gone; start again.", name="NOT_FOUND")
    if fault is not None and fault.kind.name == "upload_forgotten":
        del upload.received[int(fault.options.get("bytes", 0)) :]
    if kind == "uploads.query":
        return _stands(upload, {"X-Goog-Upload-Size-Received": str(len(upload.received))})
    if upload.status != "active":
        raise _refused(upload, f"The upload is {upload.status}.")
    if kind == "uploads.cancel":
        upload.status, upload.received = "cancelled", bytearray()
        return _stands(upload, {})
    if kind not in ("uploads.upload", "uploads.finalize"):
        raise _refused(upload, "X-Goog-Upload-Command must be upload, finalize, query or cancel.")
    return await _chunk(photos, request, upload, fault, last=kind == "uploads.finalize")


async def _chunk(
    photos: Photos, request: Request, upload: Upload, fault: Fault | None, *, last: bool
) -> Response:
    chunk = await body_of(request)
    offset = request.headers.get("x-goog-upload-offset", "")
    if not re.fullmatch(r"[0-9]{1,15}", offset) and chunk:
        raise _refused(upload, "X-Goog-Upload-Offset must say where the chunk begins.")
    before = len(upload.received)
    try:
        at = int(offset or before)
        complete = upload.take(at, chunk, last=last, at_most=_at_most(fault, len(chunk)))
    except ChunkInvalid as wrong:
        raise _refused(upload, str(wrong)) from wrong
    photos.tally("photos", "bytes_received", len(upload.received) - before)
    if not complete:
        return _stands(upload, {})
    content, upload.received, upload.status = bytes(upload.received), bytearray(), "final"
    response = _token(photos, Uploaded(upload.sub, upload.project, photos.world.now(), content))
    response.headers["X-Goog-Upload-Status"] = upload.status
    return response


def _at_most(fault: Fault | None, length: int) -> int | None:
    """How much of a chunk a planned fault lets in: half, in whole multiples, or what the fault says."""
    if fault is None or fault.kind.name not in ("upload_short", "upload_cut"):
        return None
    if "bytes" in fault.options:
        return int(fault.options["bytes"])
    return length // 2 // GRANULARITY * GRANULARITY


def _stands(upload: Upload, headers: dict[str, str]) -> Response:
    return Response(headers={"X-Goog-Upload-Status": upload.status, "Content-Length": "0", **headers})


def _refused(upload: Upload, message: str) -> ApiError:
    error = errors.invalid(message)
    error.headers["X-Goog-Upload-Status"] = upload.status
    return error
