"""
The resources of Drive v3 as schemas: what its discovery document says and what `fields` may choose from.

Every member that Google's `File` has is listed, also those the emulator never fills: a client that asks for
one must not be told that it does not exist.
"""

from typing import Any

from grantkeeper.emulator.apis_schemas import list_of, members, ref
from grantkeeper.emulator.apis_table import Schema
from grantkeeper.emulator.drive_fields import Shape


def _map(value: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"type": value}}


def _object(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _kind(value: str) -> dict[str, Any]:
    return {"type": "string", "default": value, "description": f"Always {value}."}


_USER = {
    "kind": _kind("drive#user"),
    **members("string", "displayName", "emailAddress", "permissionId", "photoLink"),
    **members("boolean", "me"),
}

_PERMISSION = {
    "kind": _kind("drive#permission"),
    **members("string", "id", "type", "role", "emailAddress", "domain", "displayName", "photoLink", "view"),
    **members("boolean", "allowFileDiscovery", "deleted", "pendingOwner", "inheritedPermissionsDisabled"),
    **members("time", "expirationTime"),
    "permissionDetails": list_of({"type": "object"}),
    "teamDrivePermissionDetails": list_of({"type": "object"}),
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
    **members("string", "id", "name", "mimeType", "description", "driveId", "teamDriveId", "resourceKey"),
    **members("string", "originalFilename", "fileExtension", "fullFileExtension", "headRevisionId"),
    **members("string", "md5Checksum", "sha1Checksum", "sha256Checksum", "folderColorRgb"),
    **members("string", "iconLink", "thumbnailLink", "webContentLink", "webViewLink"),
    **members("int64", "size", "version", "quotaBytesUsed", "thumbnailVersion"),
    **members("time", "createdTime", "modifiedTime", "modifiedByMeTime", "viewedByMeTime"),
    **members("time", "sharedWithMeTime", "trashedTime"),
    **members("boolean", "starred", "trashed", "explicitlyTrashed", "shared", "ownedByMe", "isAppAuthorized"),
    **members("boolean", "modifiedByMe", "viewedByMe", "hasThumbnail", "hasAugmentedPermissions"),
    **members("boolean", "copyRequiresWriterPermission", "viewersCanCopyContent", "writersCanShare"),
    **members("boolean", "inheritedPermissionsDisabled"),
    "parents": list_of({"type": "string"}),
    "spaces": list_of({"type": "string"}),
    "permissionIds": list_of({"type": "string"}),
    "owners": list_of(ref("User")),
    "permissions": list_of(ref("Permission")),
    "contentRestrictions": list_of({"type": "object"}),
    "lastModifyingUser": ref("User"),
    "sharingUser": ref("User"),
    "trashingUser": ref("User"),
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
    "user": ref("User"),
    "storageQuota": _object(members("int64", "limit", "usage", "usageInDrive", "usageInDriveTrash")),
    "maxUploadSize": {"type": "string", "format": "int64"},
    "importFormats": _map("any"),
    "exportFormats": _map("any"),
    "maxImportSizes": _map("string"),
    "folderColorPalette": list_of({"type": "string"}),
    "driveThemes": list_of({"type": "object"}),
    "teamDriveThemes": list_of({"type": "object"}),
    **members("boolean", "appInstalled", "canCreateDrives", "canCreateTeamDrives"),
}

_FILE_LIST = {
    "kind": _kind("drive#fileList"),
    "files": list_of(ref("File")),
    "nextPageToken": {"type": "string"},
    "incompleteSearch": {"type": "boolean"},
}

_GENERATED_IDS = {
    "kind": _kind("drive#generatedIds"),
    "ids": list_of({"type": "string"}),
    "space": {"type": "string"},
}

_PERMISSION_LIST = {
    "kind": _kind("drive#permissionList"),
    "permissions": list_of(ref("Permission")),
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
