"""Drive v3 as a table: the methods the emulator has, with their parameters and the scopes that open them."""

from grantkeeper.emulator.apis_table import Api, Method, Parameter
from grantkeeper.emulator.drive_schemas import SCHEMAS
from grantkeeper.emulator.scopes import DRIVE_APPDATA, DRIVE_FILE, PREFIX

DRIVE_FULL = PREFIX + "drive"
DRIVE_READONLY = PREFIX + "drive.readonly"
DRIVE_METADATA = PREFIX + "drive.metadata"
DRIVE_METADATA_READONLY = PREFIX + "drive.metadata.readonly"

_WRITE = (DRIVE_FULL, DRIVE_APPDATA, DRIVE_FILE)
_UPDATE = (*_WRITE, DRIVE_METADATA)
_READ = (*_WRITE, DRIVE_METADATA, DRIVE_METADATA_READONLY, DRIVE_READONLY)
_SHARE = (DRIVE_FULL, DRIVE_FILE)
_SHARED = (*_SHARE, DRIVE_METADATA, DRIVE_METADATA_READONLY, DRIVE_READONLY)
_EXPORT = (DRIVE_FULL, DRIVE_FILE, DRIVE_READONLY)

MAX_UPLOAD = 5_497_558_138_880

_FILE_ID = Parameter("fileId", "The id of the file, or an alias.", location="path", required=True)
_ALL_DRIVES = Parameter(
    "supportsAllDrives",
    "Whether the app knows shared drives.",
    "boolean",
    default="false",
)
_KEEP_REVISION = Parameter(
    "keepRevisionForever", "Whether the new revision is kept for ever.", "boolean", default="false"
)
_IGNORE_VISIBILITY = Parameter(
    "ignoreDefaultVisibility",
    "Whether the default visibility is bypassed.",
    "boolean",
    default="false",
)

_METHODS = (
    Method(
        "drive.about.get",
        "GET",
        "about",
        "The user and the quota. The parameter fields is required.",
        _READ,
        response="About",
    ),
    Method(
        "drive.files.generateIds",
        "GET",
        "files/generateIds",
        "Ids for files that will be created later.",
        _WRITE,
        (
            Parameter("count", "How many.", "integer", default="10", minimum=1, maximum=1000),
            Parameter("space", "The space they are for: drive or appDataFolder.", default="drive"),
            Parameter("type", "What they are for: files.", default="files"),
        ),
        response="GeneratedIds",
    ),
    Method(
        "drive.files.list",
        "GET",
        "files",
        "The user's files, a page at a time.",
        _READ,
        (
            Parameter("corpora", "Where to search: user or allDrives.", default="user"),
            Parameter("orderBy", "Sort keys joined by commas, each may be followed by desc."),
            Parameter("pageSize", "Files a page.", "integer", default="100", minimum=1, maximum=1000),
            Parameter("pageToken", "The nextPageToken of the page before."),
            Parameter("q", "A search."),
            Parameter("spaces", "Spaces joined by commas: drive, appDataFolder.", default="drive"),
            Parameter(
                "includeItemsFromAllDrives", "Whether shared drives are searched.", "boolean", default="false"
            ),
            _ALL_DRIVES,
        ),
        response="FileList",
    ),
    Method(
        "drive.files.create",
        "POST",
        "files",
        "A new file, with or without content.",
        _WRITE,
        (_IGNORE_VISIBILITY, _KEEP_REVISION, _ALL_DRIVES),
        request="File",
        response="File",
        upload=True,
    ),
    Method(
        "drive.files.get",
        "GET",
        "files/{fileId}",
        "A file's metadata, or its content with alt=media.",
        _READ,
        (
            _FILE_ID,
            Parameter(
                "acknowledgeAbuse",
                "Whether a flagged file is wanted.",
                "boolean",
                default="false",
            ),
            _ALL_DRIVES,
        ),
        response="File",
        download=True,
    ),
    Method(
        "drive.files.update",
        "PATCH",
        "files/{fileId}",
        "Change a file's metadata, its content or both.",
        _UPDATE,
        (
            _FILE_ID,
            Parameter("addParents", "Ids of folders to add, joined by commas."),
            Parameter("removeParents", "Ids of folders to remove, joined by commas."),
            _KEEP_REVISION,
            _ALL_DRIVES,
        ),
        request="File",
        response="File",
        upload=True,
    ),
    Method(
        "drive.files.delete",
        "DELETE",
        "files/{fileId}",
        "Delete a file for good, a folder with all that is in it.",
        _WRITE,
        (_FILE_ID, _ALL_DRIVES),
    ),
    Method(
        "drive.files.copy",
        "POST",
        "files/{fileId}/copy",
        "A copy of a file, with the changes of the body.",
        _WRITE,
        (_FILE_ID, _IGNORE_VISIBILITY, _KEEP_REVISION, _ALL_DRIVES),
        request="File",
        response="File",
    ),
    Method(
        "drive.files.export",
        "GET",
        "files/{fileId}/export",
        "A document of Google's editors in another format.",
        _EXPORT,
        (_FILE_ID, Parameter("mimeType", "The format.", required=True)),
        download=True,
    ),
    Method(
        "drive.permissions.list",
        "GET",
        "files/{fileId}/permissions",
        "Who may do what with a file.",
        _SHARED,
        (_FILE_ID, _ALL_DRIVES),
        response="PermissionList",
    ),
    Method(
        "drive.permissions.create",
        "POST",
        "files/{fileId}/permissions",
        "Share a file. It is recorded and listed; the drive of the other user does not show the file.",
        _SHARE,
        (
            _FILE_ID,
            Parameter("sendNotificationEmail", "Whether a mail is sent.", "boolean"),
            _ALL_DRIVES,
        ),
        request="Permission",
        response="Permission",
    ),
)

DRIVE = Api(
    name="drive",
    version="v3",
    title="Google Drive API",
    description="The emulator's part of the Google Drive API.",
    revision="20261106",
    service_path="drive/v3/",
    batch_path="batch/drive/v3",
    methods=_METHODS,
    schemas=SCHEMAS,
    scopes={
        DRIVE_FULL: "See, edit, create and delete all of a user's files.",
        DRIVE_APPDATA: "See, create and delete the app's own configuration data.",
        DRIVE_FILE: "See, edit, create and delete only the files used with this app.",
        DRIVE_METADATA: "See and change information about the files.",
        DRIVE_METADATA_READONLY: "See information about the files.",
        DRIVE_READONLY: "See and download all of a user's files.",
    },
    documentation="https://developers.google.com/workspace/drive/",
    upload_limit=MAX_UPLOAD,
)
