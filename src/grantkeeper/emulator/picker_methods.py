"""The Photos Picker API v1 as a table."""

from grantkeeper.emulator.apis_table import Api, Method, Parameter
from grantkeeper.emulator.photos_schemas import PICKER_SCHEMAS
from grantkeeper.emulator.scopes import PICKER_READ

FOLDER = "photospicker/"

_READ = (PICKER_READ,)
_SESSION = Parameter("sessionId", "The id of the session.", location="path", required=True)

_METHODS = (
    Method(
        "photospicker.sessions.create",
        "POST",
        "v1/sessions",
        "A session, in which the user picks at its pickerUri.",
        _READ,
        request="PickingSession",
        response="PickingSession",
    ),
    Method(
        "photospicker.sessions.get",
        "GET",
        "v1/sessions/{sessionId}",
        "Whether the user is done, and how often to ask.",
        _READ,
        (_SESSION,),
        response="PickingSession",
    ),
    Method(
        "photospicker.sessions.delete",
        "DELETE",
        "v1/sessions/{sessionId}",
        "End a session.",
        _READ,
        (_SESSION,),
        response="Empty",
    ),
    Method(
        "photospicker.mediaItems.list",
        "GET",
        "v1/mediaItems",
        "What the user picked, a page at a time.",
        _READ,
        (
            Parameter("sessionId", "The id of the session.", required=True),
            Parameter("pageSize", "Items a page.", "integer", default="50", minimum=0, maximum=100),
            Parameter("pageToken", "The nextPageToken of the page before."),
        ),
        response="ListPickedMediaItemsResponse",
    ),
)

PICKER = Api(
    name="photospicker",
    version="v1",
    title="Google Photos Picker API",
    description="What users pick for an app out of their own photos.",
    revision="20261106",
    service_path="",
    batch_path="batch",
    methods=_METHODS,
    schemas=PICKER_SCHEMAS,
    scopes={PICKER_READ: "See the photos and videos that the user picks."},
    documentation="https://developers.google.com/photos/picker",
    folder=FOLDER,
)
