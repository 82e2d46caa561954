"""The Picker API as routes: sessions, and what was picked in them."""

from datetime import datetime
from functools import partial
from typing import Any

from starlette.routing import BaseRoute

from grantkeeper.emulator import photos_errors as errors
from grantkeeper.emulator.apis_routes import Call, Message, table_routes
from grantkeeper.emulator.photos_items import cut
from grantkeeper.emulator.photos_resources import timestamp
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.picker_methods import FOLDER, PICKER
from grantkeeper.emulator.picker_sessions import OwnPhoto, PickingSession


class PickingConfig(Message):
    """How many may be picked; a number of 64 bits comes as text."""

    max_item_count: str | int | None = None


class SessionBody(Message):
    """The body of a create; only the picking configuration counts."""

    id: str = ""
    picker_uri: str = ""
    polling_config: dict[str, Any] | None = None
    expire_time: str = ""
    picking_config: PickingConfig | None = None
    media_items_set: bool = False


def routes(photos: Photos) -> list[BaseRoute]:
    """The rows of the table."""
    handlers = {
        "photospicker.sessions.create": _create,
        "photospicker.sessions.get": _get,
        "photospicker.sessions.delete": _delete,
        "photospicker.mediaItems.list": _list,
    }
    bound = {method: partial(handler, photos) for method, handler in handlers.items()}
    return table_routes(photos.world, PICKER, "picker", bound)


async def _create(photos: Photos, call: Call) -> dict[str, Any]:
    """
    A new session.

    Raises:
        ApiError: 400, a limit that is no number between 1 and Google's; 429, too many sessions are open.
    """
    body = await call.message(SessionBody)
    asked = body.picking_config.max_item_count if body.picking_config is not None else None
    most = photos.limits.picked_items
    if asked is not None:
        if not str(asked).isdecimal() or not 1 <= int(asked) <= most:
            raise errors.invalid(f"pickingConfig.maxItemCount must be between 1 and {most}.")
        asked = int(asked)
    access, now = call.access, photos.world.now()
    if len(photos.sessions.open(access.sub, now, access.project)) >= photos.limits.open_sessions:
        raise errors.exhausted("Too many open picking sessions; delete some.", "sessionsExceeded")
    photos.tally("picker", "sessions_created")
    session = photos.sessions.begin(
        access.sub, access.project, asked or most, asked, now, photos.limits.session_seconds
    )
    return session_resource(photos, session, now)


async def _get(photos: Photos, call: Call) -> dict[str, Any]:
    """How a session stands."""
    return session_resource(photos, _session(photos, call), photos.world.now())


async def _delete(photos: Photos, call: Call) -> dict[str, Any]:
    """End a session; the addresses of what was picked stay good for their hour (unconfirmed)."""
    photos.sessions.delete(_session(photos, call))
    return {}


async def _list(photos: Photos, call: Call) -> dict[str, Any]:
    """
    What was picked.

    Raises:
        ApiError: 400 FAILED_PRECONDITION, the user is not done.
    """
    session = _session(photos, call)
    if session.picked is None:
        raise errors.failed_precondition("The user has not picked yet.", "PENDING_USER_ACTION")
    ids, following = cut(
        photos,
        f"picked/{session.id}",
        session.picked,
        call.arguments["pageSize"] or 50,
        call.arguments["pageToken"],
    )
    picked = (photos.own.get(session.sub, each) for each in ids)
    items = [_picked(photos, session, photo) for photo in picked if photo is not None]
    return ({"mediaItems": items} if items else {}) | following


def _session(photos: Photos, call: Call) -> PickingSession:
    session = photos.sessions.get(call.arguments["sessionId"], photos.world.now())
    if session is None or (session.sub, session.project) != (call.access.sub, call.access.project):
        raise errors.not_found()
    return session


def session_resource(photos: Photos, session: PickingSession, now: datetime) -> dict[str, Any]:
    """A session at *now*; how to poll is told only while there is something to wait for."""
    limits = photos.limits
    shown: dict[str, Any] = {
        "id": session.id,
        "pickerUri": f"{photos.world.base_url}/picker/{session.id}",
        "expireTime": timestamp(session.expires_at),
        "mediaItemsSet": session.picked is not None,
    }
    if session.asked_most is not None:
        shown["pickingConfig"] = {"maxItemCount": str(session.asked_most)}
    if session.picked is None:
        waited = (now - session.began_at).total_seconds()
        shown["pollingConfig"] = {
            "pollInterval": _duration(limits.poll_seconds),
            "timeoutIn": _duration(max(0.0, limits.poll_timeout_seconds - waited)),
        }
    return shown


def _duration(seconds: float) -> str:
    """`3.5s`, as protobuf writes a duration in JSON."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _picked(photos: Photos, session: PickingSession, photo: OwnPhoto) -> dict[str, Any]:
    key = photos.urls.key(photos.world.now(), photo.id, session.project)
    metadata: dict[str, Any] = {"width": photo.look.width, "height": photo.look.height}
    if photo.look.is_video:
        ready = photo.ready_at <= photos.world.now()
        metadata["videoMetadata"] = {"fps": 30, "processingStatus": "READY" if ready else "PROCESSING"}
    else:
        metadata["photoMetadata"] = {}
    return {
        "id": photo.id,
        "createTime": timestamp(photo.taken_at),
        "type": "VIDEO" if photo.look.is_video else "PHOTO",
        "mediaFile": {
            "baseUrl": f"{photos.world.base_url}/{FOLDER}media/{key}",
            "mimeType": photo.look.mime_type,
            "filename": photo.filename,
            "mediaFileMetadata": metadata,
        },
    }
