"""
The resources of Drive v3 as schemas: what its discovery document says and what `fields` may choose from.

Every member that Google's `File` has is listed, also those the emulator never fills: a client that asks for
one must not be told that it does not exist.
"""

from typing import Any

from grantkeeper.emulator.apis_table import Schema
from grantkeeper.emulator.drive_fields import Shape


def _of(kind: str, *names: str) -> dict[str, dict[str, Any]]:
    """Members of one simple kind."""
    if kind == "int64":
        # A number of 64 bits does not survive JavaScript, so Google sends it as text.
        return {name: {"type": "string", "format": "int64"} for name in names}
    if kind == "time":
        return {name: {"type": "string", "format": "date-time"} for name in names}
    return {name: {"type": kind} for name in names}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(schema: str) -> dict[str, Any]:
    return {"$ref": schema}


def _map(value: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"type": value}}


def _object(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _kind(value: str) -> dict[str, Any]:
    return {"type": "string", "default": value, "description": f"Always {value}."}


_USER = {
    "kind": _kind("drive#user"),
    **_of("string", "displayName", "emailAddress", "permissionId", "photoLink"),
    **_of("boolean", "me"),
}

_PERMISSION = {
    "kind": _kind("drive#permission"),
    **_of("string", "id", "type", "role", "emailAddress", "domain", "displayName", "photoLink", "view"),
    **_of("boolean", "allowFileDiscovery", "deleted", "pendingOwner", "inheritedPermissionsDisabled"),
    **_of("time", "expirationTime"),
    "permissionDetails": _list({"type": "object"}),
    "teamDrivePermissionDetails": _list({"type": "object"}),
}

_CAPABILITIES = (
    "canAddChildren",
    "canChangeCopyRequiresWriterPermission",
    "canComment",
    "canCopy",
    "canDelete",
    "canDownload",
    "canEdit",
    "canListChildren",
    "canModifyContent",
    "canReadRevisions",
    "canRemoveChildren",
    "canRename",
    "canShare",
    "canTrash",
    "canUntrash",
)

_FILE = {
    "kind": _kind("drive#file"),
    **_of("string", "id", "name", "mimeType", "description", "driveId", "teamDriveId", "resourceKey"),
    **_of("string", "originalFilename", "fileExtension", "fullFileExtension", "headRevisionId"),
    **_of("string", "md5Checksum", "sha1Checksum", "sha256Checksum", "folderColorRgb"),
    **_of("string", "iconLink", "thumbnailLink", "webContentLink", "webViewLink"),
    **_of("int64", "size", "version", "quotaBytesUsed", "thumbnailVersion"),
    **_of("time", "createdTime", "modifiedTime", "modifiedByMeTime", "viewedByMeTime"),
    **_of("time", "sharedWithMeTime", "trashedTime"),
    **_of("boolean", "starred", "trashed", "explicitlyTrashed", "shared", "ownedByMe", "isAppAuthorized"),
    **_of("boolean", "modifiedByMe", "viewedByMe", "hasThumbnail", "hasAugmentedPermissions"),
    **_of("boolean", "copyRequiresWriterPermission", "viewersCanCopyContent", "writersCanShare"),
    **_of("boolean", "inheritedPermissionsDisabled"),
    "parents": _list({"type": "string"}),
    "spaces": _list({"type": "string"}),
    "permissionIds": _list({"type": "string"}),
    "owners": _list(_ref("User")),
    "permissions": _list(_ref("Permission")),
    "contentRestrictions": _list({"type": "object"}),
    "lastModifyingUser": _ref("User"),
    "sharingUser": _ref("User"),
    "trashingUser": _ref("User"),
    "properties": _map("string"),
    "appProperties": _map("string"),
    "exportLinks": _map("string"),
    "capabilities": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "clientEncryptionDetails": _map("any"),
    "contentHints": _map("any"),
    "downloadRestrictions": _map("any"),
    "imageMediaMetadata": _map("any"),
    "labelInfo": _map("any"),
    "linkShareMetadata": _map("any"),
    "shortcutDetails": _map("any"),
    "videoMediaMetadata": _map("any"),
}

_ABOUT = {
    "kind": _kind("drive#about"),
    "user": _ref("User"),
    "storageQuota": _object(_of("int64", "limit", "usage", "usageInDrive", "usageInDriveTrash")),
    "maxUploadSize": {"type": "string", "format": "int64"},
    "importFormats": _map("any"),
    "exportFormats": _map("any"),
    "maxImportSizes": _map("string"),
    "folderColorPalette": _list({"type": "string"}),
    "driveThemes": _list({"type": "object"}),
    "teamDriveThemes": _list({"type": "object"}),
    **_of("boolean", "appInstalled", "canCreateDrives", "canCreateTeamDrives"),
}

_FILE_LIST = {
    "kind": _kind("drive#fileList"),
    "files": _list(_ref("File")),
    "nextPageToken": {"type": "string"},
    "incompleteSearch": {"type": "boolean"},
}

_GENERATED_IDS = {
    "kind": _kind("drive#generatedIds"),
    "ids": _list({"type": "string"}),
    "space": {"type": "string"},
}

_PERMISSION_LIST = {
    "kind": _kind("drive#permissionList"),
    "permissions": _list(_ref("Permission")),
    "nextPageToken": {"type": "string"},
}

SCHEMAS: dict[str, Schema] = {
    name: {"id": name, **_object(properties)}
    for name, properties in {
        "About": _ABOUT,
        "File": _FILE,
        "FileList": _FILE_LIST,
        "GeneratedIds": _GENERATED_IDS,
        "Permission": _PERMISSION,
        "PermissionList": _PERMISSION_LIST,
        "User": _USER,
    }.items()
}

#: What a file may do for its owner; the emulator knows no other role.
CAPABILITIES = _CAPABILITIES


def shape_of(name: str) -> Shape:
    """What `fields` may choose from in the resource of that schema name."""
    return _members(SCHEMAS[name]) or {}


def _members(schema: Schema) -> Shape | None:
    if "$ref" in schema:
        return _members(SCHEMAS[schema["$ref"]])
    if schema.get("type") == "array":
        return _members(schema["items"])
    if "properties" in schema:
        return {name: _members(member) for name, member in schema["properties"].items()}
    if schema.get("type") == "object":
        # A map, or an object nobody fills: any name may be asked for, to any depth.
        return _ANY
    return None


_ANY: dict[str, Shape | None] = {}
_ANY["*"] = _ANY
