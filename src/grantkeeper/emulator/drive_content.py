"""Content on its way in and out: downloads with Range, and the three kinds of upload."""

import re

from starlette.requests import Request
from starlette.responses import Response

from grantkeeper.emulator import drive_errors as errors
from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.apis_bytes import content_answer
from grantkeeper.emulator.apis_calls import body_of
from grantkeeper.emulator.apis_multipart import MultipartInvalid, parse_parts
from grantkeeper.emulator.bearer import ApiError, authenticate, bearer_token
from grantkeeper.emulator.drive_call import Call, Drive, metadata_of, moves, write
from grantkeeper.emulator.drive_fields import select
from grantkeeper.emulator.drive_files import Media
from grantkeeper.emulator.drive_methods import MAX_UPLOAD
from grantkeeper.emulator.drive_resources import NO_METADATA, Metadata
from grantkeeper.emulator.drive_store import DriveFile
from grantkeeper.emulator.drive_uploads import (
    CHUNK,
    ContentRange,
    RangeInvalid,
    UploadSession,
    parse_content_range,
)
from grantkeeper.emulator.faults import Fault


def download(call: Call, file: DriveFile) -> Response:
    """
    A file's bytes, or the one range of them that was asked for.

    Raises:
        ApiError: 403, the file has no bytes of its own; 416, the range begins after its end.
    """
    if file.is_native or file.content is None:
        raise errors.not_downloadable()
    headers = {"Cache-Control": "private, max-age=0, must-revalidate", "Content-Disposition": "attachment"}
    response = content_answer(call.request, file.content, file.mime_type, headers)
    call.drive.tally("downloads")
    call.drive.tally("bytes_sent", len(response.body))
    return response


def export(call: Call) -> Response:
    """A document of Google's editors as plain text, the one format the emulator can make."""
    file = call.desk.find_content(call.file_id)
    if not file.is_native or file.is_folder:
        raise errors.not_exportable()
    if call.arguments["mimeType"] != "text/plain":
        raise errors.conversion_not_supported()
    return Response(file.content or b"", media_type="text/plain")


async def upload(call: Call) -> Response:
    """The first request of any upload; for the two simple kinds it is the last as well."""
    query = call.request.query_params
    kind = query.get("uploadType") or query.get("upload_protocol")
    body = await body_of(call.request)
    if kind in ("media", "raw"):
        return _at_once(call, NO_METADATA, Media(body, call.request.headers.get("content-type")))
    if kind == "multipart":
        return _multipart(call, body)
    if kind == "resumable":
        return _begin(call, body)
    raise errors.invalid("uploadType", f"Invalid value '{kind or ''}'.", "invalidParameter")


def _multipart(call: Call, body: bytes) -> Response:
    try:
        parts = parse_parts(body, call.request.headers.get("content-type", ""))
    except MultipartInvalid as error:
        raise errors.bad_request(f"Malformed multipart body: {error}.") from error
    if len(parts) != 2:
        raise errors.bad_request("Malformed multipart body: it has one part of metadata and one of media.")
    metadata = metadata_of(parts[0].body, creating=call.method.name == "create")
    return _at_once(call, metadata, Media(parts[1].body, parts[1].content_type))


def _at_once(call: Call, metadata: Metadata, media: Media) -> Response:
    """An upload that is one request."""
    drive = call.drive
    drive.tally("uploads_begun")
    drive.tally("bytes_received", len(media.content))
    response = write(call, metadata, media)
    drive.tally("uploads_finished")
    return response


def _begin(call: Call, body: bytes) -> Response:
    """Open a session and say where it is."""
    creating = call.method.name == "create"
    metadata = metadata_of(body, creating=creating)
    total = call.request.headers.get("x-upload-content-length")
    if total is not None and not re.fullmatch(r"[0-9]{1,19}", total):
        raise errors.invalid("X-Upload-Content-Length", "Invalid value for: X-Upload-Content-Length")
    if total is not None and int(total) > MAX_UPLOAD:
        raise ApiError(413, "uploadTooLarge", "The content is larger than Drive accepts.")
    desk = call.desk
    if creating:
        desk.check_create(metadata)
    else:
        desk.check_update(call.file_id, metadata, with_media=True)
    drive = call.drive
    session = UploadSession(
        id=drive.sessions.new_id(),
        access=call.access,
        metadata=metadata,
        content_type=call.request.headers.get("x-upload-content-type"),
        file_id=None if creating else call.file_id,
        moves=moves(call),
        selection=call.selection(),
        began_at=drive.world.now(),
        total=int(total) if total is not None else None,
    )
    drive.sessions.add(session)
    drive.tally("uploads_begun")
    url = call.request.url.include_query_params(uploadType="resumable", upload_id=session.id)
    # The address is a capability; the token that opened it has no place in it.
    url = url.remove_query_params("access_token")
    return Response(status_code=200, headers={"Location": str(url), "X-GUploader-UploadID": session.id})


async def resume(drive: Drive, request: Request, fault: Fault | None) -> tuple[str, Response]:
    """
    A request to a session's address: a chunk, a status query or the end of it.

    A token is not needed; one that is sent must work, so that a client whose token ran out in the middle
    of an upload finds out.

    Returns:
        What kind of request it was, for the counters, and the answer.

    Raises:
        ApiError: 404 for a session that is unknown or older than a week; 400, the chunk does not fit.
    """
    if bearer_token(request) is not None:
        authenticate(request)
    session = drive.sessions.get(request.query_params["upload_id"], drive.world.now())
    if session is None:
        raise ApiError(404, "notFound", "Upload session not found.", location=("parameter", "upload_id"))
    if fault is not None and fault.kind.name == "upload_gone":
        drive.sessions.cancel(session)
        raise ApiError(410, "gone", "The upload session is gone; start again.")
    if request.method == "DELETE":
        drive.sessions.cancel(session)
        return "cancel", Response(status_code=499)
    body = await body_of(request)
    header = request.headers.get("content-range")
    try:
        # Without the header the body is all of the content; so an empty file can be sent.
        span = parse_content_range(header) if header is not None else None
        if session.finished is not None:
            return "status", _shown(drive, session)
        if span is None:
            if session.total not in (None, len(body)):
                raise RangeInvalid(f"{session.total} bytes were announced, {len(body)} have come.")
            session.received = bytearray(body)
            drive.tally("bytes_received", len(body))
            return "chunk", _finished(drive, session)
        if span.is_query:
            session.agree(span)
            complete = session.total == len(session.received)
            return "status", _finished(drive, session) if complete else _unfinished(session)
        before = len(session.received)
        complete = session.take(span, body, at_most=_limit(fault, span))
        drive.tally("bytes_received", len(session.received) - before)
    except RangeInvalid as error:
        raise errors.bad_request(str(error)) from error
    return "chunk", _finished(drive, session) if complete else _unfinished(session)


def _limit(fault: Fault | None, span: ContentRange) -> int | None:
    """How much of a chunk a planned fault lets in: half, in whole multiples, or what the fault says."""
    if fault is None or fault.kind.name not in ("upload_short", "upload_cut"):
        return None
    if "bytes" in fault.options:
        return int(fault.options["bytes"])
    length = (span.last or 0) - (span.first or 0) + 1
    return length // 2 // CHUNK * CHUNK


def _unfinished(session: UploadSession) -> Response:
    headers = {"X-GUploader-UploadID": session.id, "Content-Length": "0"}
    if session.range_header is not None:
        headers["Range"] = session.range_header
    return Response(status_code=308, headers=headers)


def _finished(drive: Drive, session: UploadSession) -> Response:
    desk = drive.desk(session.access)
    media = Media(bytes(session.received), session.content_type)
    if session.file_id is None:
        file = desk.create(session.metadata, media)
    else:
        file = desk.update(session.file_id, session.metadata, media, *session.moves)
    session.finished = file.id
    drive.tally("uploads_finished")
    session.received = bytearray()
    return _shown(drive, session)


def _shown(drive: Drive, session: UploadSession) -> Response:
    desk = drive.desk(session.access)
    file = desk.find(session.finished or "")
    headers = {"X-GUploader-UploadID": session.id}
    return Json(select(desk.resource(file), session.selection), 200, headers)
