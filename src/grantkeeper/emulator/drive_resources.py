"""Drive's files in JSON: a stored file becomes a resource, a request body becomes changes."""

import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from grantkeeper.emulator.drive_schemas import CAPABILITIES
from grantkeeper.emulator.drive_store import APP_DATA, DriveFile, Permission
from grantkeeper.emulator.records import User

BINARY = "application/octet-stream"

_MIME_TYPE = re.compile(r"[!#-.0-9A-Z^_a-z+]+/[!#-.0-9A-Z^_a-z+]+")


class MetadataInvalid(ValueError):
    """
    The body of a request does not describe a file.

    Attributes:
        reason: Google's word for it.
        status: 400, or 403 for what may never be written.
    """

    def __init__(self, reason: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


def timestamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds, as Drive writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user_resource(user: User, *, me: bool = True) -> dict[str, Any]:
    return {
        "kind": "drive#user",
        "displayName": user.name,
        "photoLink": user.picture,
        "me": me,
        "permissionId": permission_id(user),
        "emailAddress": user.email,
    }


def permission_id(user: User) -> str:
    """The id of this user's permission on any file: a number of 20 digits."""
    return user.sub[1:].rjust(20, "0")


def permission_resource(permission: Permission) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "kind": "drive#permission",
        "id": permission.id,
        "type": permission.type,
        "role": permission.role,
    }
    if permission.type in ("user", "group"):
        resource["emailAddress"] = permission.who
    elif permission.type == "domain":
        resource["domain"] = permission.who
    if permission.type in ("domain", "anyone"):
        resource["allowFileDiscovery"] = False
    return resource


def owner_permission(user: User) -> Permission:
    return Permission(permission_id(user), "user", "owner", user.email)


def file_resource(file: DriveFile, user: User, project: str) -> dict[str, Any]:
    """
    The whole `File`, as `fields=*` shows it to its owner through an app of *project*.

    `appProperties` are those of *project* only.
    """
    hidden = file.space == APP_DATA
    permissions = [owner_permission(user), *file.permissions]
    resource: dict[str, Any] = {
        "kind": "drive#file",
        "id": file.id,
        "name": file.name,
        "mimeType": file.mime_type,
        "starred": file.starred,
        "trashed": file.trashed,
        "explicitlyTrashed": file.explicitly_trashed,
        "spaces": [file.space],
        "version": str(file.version),
        "webViewLink": f"https://drive.google.com/file/d/{file.id}/view?usp=drivesdk",
        "createdTime": timestamp(file.created_time),
        "modifiedTime": timestamp(file.modified_time),
        "modifiedByMeTime": timestamp(file.modified_time),
        "modifiedByMe": True,
        "viewedByMe": True,
        "viewedByMeTime": timestamp(file.modified_time),
        "owners": [user_resource(user)],
        "lastModifyingUser": user_resource(user),
        "ownedByMe": True,
        "shared": bool(file.permissions),
        "permissions": [permission_resource(permission) for permission in permissions],
        "permissionIds": [permission.id for permission in permissions],
        "capabilities": {
            name: not (hidden and name in ("canShare", "canTrash", "canUntrash")) for name in CAPABILITIES
        },
        "isAppAuthorized": file.project == project,
        "quotaBytesUsed": str(file.size),
        "hasThumbnail": False,
        "thumbnailVersion": "0",
        "copyRequiresWriterPermission": False,
        "viewersCanCopyContent": True,
        "writersCanShare": True,
    }
    if file.parent is not None:
        resource["parents"] = [file.parent]
    if file.description is not None:
        resource["description"] = file.description
    if file.folder_color is not None:
        resource["folderColorRgb"] = file.folder_color
    if file.properties:
        resource["properties"] = dict(file.properties)
    if own := file.app_properties.get(project):
        resource["appProperties"] = dict(own)
    if file.content is not None and not file.is_native:
        resource |= _content_members(file)
    return resource


def _content_members(file: DriveFile) -> dict[str, Any]:
    """Members that only a file with bytes has."""
    stem, _, extension = (file.original_filename or file.name).rpartition(".")
    return {
        "size": str(file.size),
        "md5Checksum": file.checksum("md5"),
        "sha1Checksum": file.checksum("sha1"),
        "sha256Checksum": file.checksum("sha256"),
        "headRevisionId": file.revision,
        "originalFilename": file.original_filename or file.name,
        "fileExtension": extension if stem else "",
        "fullFileExtension": extension if stem else "",
        "webContentLink": f"https://drive.google.com/uc?id={file.id}&export=download",
    }


@dataclass(frozen=True)
class Metadata:
    """
    What a request body says about a file.

    `id` and `parents` only count when a file is made; `changes` are attributes of `DriveFile`; of the
    two property maps, a None value deletes the key.
    """

    id: str | None
    parents: tuple[str, ...]
    changes: Mapping[str, Any]
    properties: Mapping[str, str | None]
    app_properties: Mapping[str, str | None]

    @property
    def name(self) -> str | None:
        return self.changes.get("name")

    @property
    def mime_type(self) -> str | None:
        return self.changes.get("mime_type")

    @property
    def touches_time(self) -> bool:
        return "modified_time" in self.changes


NO_METADATA = Metadata(None, (), {}, {}, {})


def parse_metadata(body: Any, *, creating: bool) -> Metadata:
    """
    Read the JSON body of a create, copy or update.

    Members that Drive does not know, and those it knows but lets nobody write to no effect (`kind`), are
    ignored, as Drive does.

    Raises:
        MetadataInvalid: A member has the wrong type, or may not be written this way.
    """
    if not isinstance(body, dict):
        raise MetadataInvalid("parseError", "Parse Error")
    read_only = _READ_ONLY if creating else _READ_ONLY | {"id"}
    if read_only & body.keys():
        raise MetadataInvalid(
            "fieldNotWritable", "The resource body includes fields which are not directly writable.", 403
        )
    if not creating and "parents" in body:
        raise MetadataInvalid(
            "fieldNotWritable",
            "The parents field is not directly writable in update requests. "
            "Use the addParents and removeParents parameters instead.",
            403,
        )
    changes = {
        attribute: read(body[member])
        for member, (attribute, read) in _WRITABLE.items()
        if body.get(member) is not None
    }
    return Metadata(
        id=_text(body["id"]) if body.get("id") is not None else None,
        parents=_texts(body.get("parents")),
        changes=changes,
        properties=_properties(body.get("properties")),
        app_properties=_properties(body.get("appProperties")),
    )


def changed(file: DriveFile, metadata: Metadata, project: str) -> DriveFile:
    """*file* with what *metadata* says; its content and place stay."""
    own = _merged(file.app_properties.get(project, {}), metadata.app_properties)
    return replace(
        file,
        **metadata.changes,
        properties=_merged(file.properties, metadata.properties),
        app_properties={**file.app_properties, project: own},
    )


def media_type(metadata: Metadata, declared: str | None, name: str) -> str:
    """What a content is: as the metadata say, as its part of the request says, or as its name suggests."""
    if metadata.mime_type is not None:
        return metadata.mime_type
    declared = (declared or "").partition(";")[0].strip()
    if declared != BINARY and _MIME_TYPE.fullmatch(declared):
        return declared
    return mimetypes.guess_type(name)[0] or BINARY


def _merged(old: Mapping[str, str], new: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MetadataInvalid("invalid", "Invalid Value")
    return value


def _mime_type(value: Any) -> str:
    # It becomes a header when the file is downloaded.
    if not _MIME_TYPE.fullmatch(_text(value)):
        raise MetadataInvalid("invalid", "Invalid MIME type provided for the uploaded content.")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MetadataInvalid("invalid", "Invalid Value")
    return tuple(_text(item) for item in value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise MetadataInvalid("invalid", "Invalid Value")
    return value


def _time(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(value))
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise MetadataInvalid("invalid", "Invalid Value") from error


def _properties(value: Any) -> dict[str, str | None]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MetadataInvalid("invalid", "Invalid Value")
    return {_property(key, item): item for key, item in value.items()}


def _property(key: str, value: Any) -> str:
    # Drive counts key and value together, in bytes of UTF-8.
    if value is not None and len((key + _text(value)).encode()) > 124:
        raise MetadataInvalid(
            "propertyTooLarge", "The property is larger than the maximum of 124 bytes.", 400
        )
    return key


_WRITABLE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", _text),
    "mimeType": ("mime_type", _mime_type),
    "description": ("description", _text),
    "starred": ("starred", _boolean),
    "trashed": ("trashed", _boolean),
    "createdTime": ("created_time", _time),
    "modifiedTime": ("modified_time", _time),
    "originalFilename": ("original_filename", _text),
    "folderColorRgb": ("folder_color", _text),
}

_READ_ONLY = frozenset(
    {
        "capabilities",
        "driveId",
        "explicitlyTrashed",
        "fileExtension",
        "fullFileExtension",
        "headRevisionId",
        "isAppAuthorized",
        "lastModifyingUser",
        "md5Checksum",
        "modifiedByMe",
        "ownedByMe",
        "owners",
        "permissionIds",
        "permissions",
        "quotaBytesUsed",
        "sha1Checksum",
        "sha256Checksum",
        "shared",
        "size",
        "spaces",
        "version",
        "webContentLink",
        "webViewLink",
    }
)
