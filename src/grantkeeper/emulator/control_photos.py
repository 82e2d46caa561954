"""The control calls for Google Photos: a person's own photos, what apps made, picking, and the limits."""

import base64
import binascii
import hashlib
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.control_calls import Body, ControlError, call, read
from grantkeeper.emulator.photos_library import Item, Library
from grantkeeper.emulator.photos_limits import Limits
from grantkeeper.emulator.photos_media import look_at
from grantkeeper.emulator.photos_resources import timestamp
from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.picker_sessions import OwnPhoto, PickingSession, PickInvalid
from grantkeeper.emulator.records import User


class PhotosBody(Body):
    """Photos for a person's own library: one with its *content* (base64), or *samples* drawn ones."""

    email: str
    filename: str | None = None
    content: str | None = None
    samples: int = 0
    processing_seconds: float = 0.0


class PickBody(Body):
    """What a person picks: the *ids* (or file names), or the first *count* of the library."""

    email: str
    session: str | None = None
    count: int | None = None
    ids: list[str] | None = None


def routes(photos: Photos) -> list[BaseRoute]:
    """``/emulator/photos`` and ``/emulator/pick``."""

    async def add(request: Request) -> dict[str, Any]:
        return {"photos": [_own(photo) for photo in await _added(photos, request)]}

    async def show(request: Request) -> dict[str, Any]:
        return _shown(photos, _user(photos, request.query_params.get("email")))

    async def pick(request: Request) -> dict[str, Any]:
        return _pick(photos, await read(request, PickBody))

    async def limits(request: Request) -> dict[str, Any]:
        return msgspec.structs.asdict(photos.limits)

    async def change_limits(request: Request) -> dict[str, Any]:
        changes = await read(request, dict[str, Any])
        try:
            photos.limits = msgspec.convert(msgspec.structs.asdict(photos.limits) | changes, Limits)
        except msgspec.ValidationError as wrong:
            raise ControlError("invalid_request", str(wrong)) from wrong
        return msgspec.structs.asdict(photos.limits)

    async def content(request: Request) -> Response:
        item = photos.libraries.item(request.path_params["id"])
        if item is None:
            return PlainTextResponse("no app made an item of this id", 404)
        return Response(item.content, media_type=item.look.mime_type)

    return [
        call("/emulator/photos", {"GET": show, "POST": add}),
        call("/emulator/photos/limits", {"GET": limits, "POST": change_limits, "PATCH": change_limits}),
        Route("/emulator/photos/{id}", content),
        call("/emulator/pick", {"POST": pick}),
    ]


def _user(photos: Photos, email: str | None) -> User:
    if not email:
        raise ControlError("invalid_request", "whose photos are meant? email= says it")
    return photos.world.user(email)


async def _added(photos: Photos, request: Request) -> list[OwnPhoto]:
    """From a JSON body, or from a body of plain bytes whose rest stands in the query."""
    if await _is_json(request):
        body = await read(request, PhotosBody)
        try:
            content = None if body.content is None else base64.b64decode(body.content, validate=True)
        except binascii.Error as wrong:
            raise ControlError("invalid_request", f"content is not base64: {wrong}") from wrong
    else:
        query = request.query_params
        try:
            body = msgspec.convert(dict(query), PhotosBody, strict=False)
        except msgspec.ValidationError as wrong:
            raise ControlError("invalid_request", str(wrong)) from wrong
        content = await request.body() or None
    sub = _user(photos, body.email).sub
    if (content is None) == (body.samples < 1):
        raise ControlError("invalid_request", "either content or samples, and one of them")
    if content is not None:
        return [_add(photos, sub, body, content, body.filename)]
    have = len(photos.own.of(sub))
    return [
        _add(photos, sub, body, sample(number), f"IMG_{number + 1:04d}.png")
        for number in range(have, have + body.samples)
    ]


async def _is_json(request: Request) -> bool:
    """By its type, or, as ``curl -d`` names none, by its look; photos never begin so."""
    if request.headers.get("content-type", "").partition(";")[0] == "application/json":
        return True
    return "email" not in request.query_params and (await request.body()).lstrip().startswith(b"{")


def _add(photos: Photos, sub: str, body: PhotosBody, content: bytes, filename: str | None) -> OwnPhoto:
    look = look_at(content)
    if look is None:
        raise ControlError("not_media", "these bytes are neither a photo nor a video")
    name = filename or f"photo.{look.mime_type.partition('/')[2]}"
    now = photos.world.now()
    return photos.own.add(sub, name, look, content, now, body.processing_seconds)


def _own(photo: OwnPhoto) -> dict[str, Any]:
    return {"id": photo.id, "filename": photo.filename, **_content(photo)}


def _content(photo: OwnPhoto | Item) -> dict[str, Any]:
    return {
        "mime_type": photo.look.mime_type,
        "bytes": len(photo.content),
        "sha256": hashlib.sha256(photo.content).hexdigest(),
    }


def _shown(photos: Photos, user: User) -> dict[str, Any]:
    """A person's own photos, and what apps made: every item with the titles of the albums that hold it."""
    libraries = photos.libraries.of_user(user.sub)
    return {
        "photos": [_own(photo) for photo in photos.own.of(user.sub)],
        "created": [_made(library, item) for library in libraries for item in library.items.values()],
        "albums": [
            {"id": album.id, "title": album.title, "project": library.project, "items": album.items}
            for library in libraries
            for album in library.albums.values()
        ],
    }


def _made(library: Library, item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "project": item.project,
        "filename": item.filename,
        "description": item.description,
        "albums": [album.title for album in library.albums_of(item.id)],
        "created_at": timestamp(item.created_at),
        **_content(item),
    }


def _pick(photos: Photos, body: PickBody) -> dict[str, Any]:
    user = photos.world.user(body.email)
    session = _session(photos, user, body.session)
    own = photos.own.of(user.sub)
    if body.ids is not None:
        known = {photo.filename: photo for photo in own} | {photo.id: photo for photo in own}
        missing = [each for each in body.ids if each not in known]
        if missing:
            raise ControlError("photo_unknown", f"{body.email} has no photo {missing[0]}", 404)
        chosen = [known[each] for each in body.ids]
    else:
        chosen = own if body.count is None else own[: body.count]
        if body.count is not None and len(chosen) < body.count:
            raise ControlError("photo_unknown", f"{body.email} has only {len(own)} photos", 404)
    try:
        session.pick(chosen)
    except PickInvalid as wrong:
        raise ControlError("pick_invalid", str(wrong), 409) from wrong
    photos.tally("picker", "sessions_picked")
    return {"session": session.id, "picked": list(session.picked or ())}


def _session(photos: Photos, user: User, session_id: str | None) -> PickingSession:
    """The session of that id, or the user's latest that waits."""
    now = photos.world.now()
    if session_id is None:
        waiting = [each for each in photos.sessions.open(user.sub, now) if each.picked is None]
        found = waiting[-1] if waiting else None
    else:
        found = photos.sessions.get(session_id, now)
    if found is None:
        raise ControlError("session_unknown", "there is no such session, or its time is over", 404)
    if found.sub != user.sub:
        raise ControlError("wrong_account", "the session is another account's", 409)
    return found
