"""What Drive says about a file, in the few fields that matter here."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from grantkeeper.errors import ApiMisbehaved
from grantkeeper.protocol import api

FIELDS = "id,name,mimeType,size,md5Checksum,modifiedTime,version,appProperties"
"""What is asked for; v3 says little by itself."""

LARGEST_FILE = 5_497_558_138_880


@dataclass(frozen=True, slots=True)
class DriveFile:
    """
    A file.

    Attributes:
        size: In bytes; ``None`` for what has none, such as a folder.
        md5: Of the content, in hex digits, as Drive reckons it.
        properties: What this app noted at it (``appProperties``); no other app sees them.
    """

    id: str
    name: str = field(default="", repr=False)
    mime_type: str = ""
    size: int | None = None
    md5: str = ""
    modified_at: datetime | None = None
    version: int | None = None
    properties: dict[str, str] = field(default_factory=dict, repr=False)


def file_of(body: dict[str, Any]) -> DriveFile:
    """
    A file's resource, read.

    Raises:
        ApiMisbehaved: A field is of another type, or there is no id.
    """
    properties = api.nested(body, "appProperties")
    if not all(isinstance(value, str) for value in properties.values()):
        raise ApiMisbehaved("the answer's appProperties are not text")
    return DriveFile(
        id=api.text(body, "id"),
        name=api.prose(body, "name"),
        mime_type=api.prose(body, "mimeType"),
        size=api.number(body, "size", most=LARGEST_FILE) if "size" in body else None,
        md5=api.prose(body, "md5Checksum"),
        modified_at=api.moment(body, "modifiedTime"),
        version=api.number(body, "version", most=2**63 - 1) if "version" in body else None,
        properties=properties,
    )
