"""One call to Drive on its way through the emulator: who asks, for what, and how it is answered."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from grantkeeper.emulator import drive_errors as errors
from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.apis_calls import json_of
from grantkeeper.emulator.apis_table import Method
from grantkeeper.emulator.bearer import Access, ApiError
from grantkeeper.emulator.drive_fields import FieldsInvalid, Selection, parse_fields, select
from grantkeeper.emulator.drive_files import Desk, Media
from grantkeeper.emulator.drive_resources import Metadata, MetadataInvalid, parse_metadata
from grantkeeper.emulator.drive_schemas import shape_of
from grantkeeper.emulator.drive_store import DriveStore
from grantkeeper.emulator.drive_uploads import UploadSessions
from grantkeeper.emulator.world import World

_FILE = "kind,id,name,mimeType"

#: What v3 answers with when `fields` is not given: very little.
_DEFAULT_FIELDS = {
    "File": _FILE,
    "FileList": f"kind,incompleteSearch,nextPageToken,files({_FILE})",
    "Permission": "kind,id,type,role",
    "PermissionList": "kind,nextPageToken,permissions(kind,id,type,role)",
}


@dataclass(frozen=True)
class Drive:
    """Drive's side of the emulator: the world it is in, the files and the uploads under way."""

    world: World
    store: DriveStore
    sessions: UploadSessions

    def tally(self, what: str, number: int = 1) -> None:
        """Add to the totals of ``/emulator/stats``."""
        self.world.count("totals", "drive", what, number)

    def desk(self, access: Access) -> Desk:
        user = self.world.users_by_sub[access.sub]
        return Desk(self.store, access, user, self.world.now())


@dataclass(frozen=True)
class Call:
    """
    A call that passed authentication and the scope check.

    `arguments` are the method's parameters by name, with their defaults; `media` says that the content is
    asked for (`alt=media`) and not the resource.
    """

    drive: Drive
    request: Request
    method: Method
    arguments: dict[str, Any]
    access: Access
    fields: str | None
    media: bool

    @property
    def desk(self) -> Desk:
        return self.drive.desk(self.access)

    @property
    def file_id(self) -> str:
        return str(self.arguments["fileId"])

    def selection(self) -> Selection | None:
        """
        The part of the answer that is wanted; None for all of it.

        Raises:
            ApiError: 400, `fields` names something the answer has not.
        """
        schema = self.method.response or "File"
        text = self.fields or _DEFAULT_FIELDS.get(schema) or "*"
        try:
            return parse_fields(text, shape_of(schema))
        except FieldsInvalid as error:
            raise errors.invalid("fields", str(error), "invalidParameter") from error

    def answer(self, resource: dict[str, Any]) -> Response:
        return Json(select(resource, self.selection()))


def metadata_of(body: bytes, *, creating: bool) -> Metadata:
    """
    What a JSON body says about a file; an empty body says nothing.

    Raises:
        ApiError: 400 or 403, in Drive's words.
    """
    try:
        return parse_metadata(json_of(body) if body.strip() else {}, creating=creating)
    except MetadataInvalid as error:
        raise ApiError(error.status, error.reason, str(error)) from error


def write(call: Call, metadata: Metadata, media: Media | None) -> Response:
    """Make or change the file the call is about, and show it."""
    # A misspelt `fields` must not leave a file behind.
    call.selection()
    desk = call.desk
    if call.method.name == "create":
        file = desk.create(metadata, media)
    else:
        add, remove = moves(call)
        file = desk.update(call.file_id, metadata, media, add, remove)
    return call.answer(desk.resource(file))


def moves(call: Call) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`addParents` and `removeParents`; a create has neither."""
    return _ids(call.arguments.get("addParents")), _ids(call.arguments.get("removeParents"))


def _ids(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
