"""What a request to share a file says."""

import hashlib

from grantkeeper.emulator import drive_errors as errors
from grantkeeper.emulator.apis_calls import json_of
from grantkeeper.emulator.drive_resources import permission_id
from grantkeeper.emulator.drive_store import Permission
from grantkeeper.emulator.world import World

_TYPES = ("user", "group", "domain", "anyone")
_ROLES = ("organizer", "fileOrganizer", "writer", "commenter", "reader")


def parse_permission(body: bytes, world: World) -> Permission:
    """
    Read the body of `permissions.create`.

    Raises:
        ApiError: 400, a member is missing or makes no sense.
    """
    read = json_of(body)
    if not isinstance(read, dict):
        raise errors.parse_error()
    kind, role = read.get("type"), read.get("role")
    if kind not in _TYPES:
        raise errors.invalid("permission.type", "The permission type field is required.", "required")
    if role not in _ROLES:
        raise errors.invalid("permission.role", "The permission role field is required.", "required")
    if kind == "anyone":
        return Permission("anyoneWithLink", kind, role)
    who = read.get("domain" if kind == "domain" else "emailAddress")
    if not isinstance(who, str) or not who:
        raise errors.invalid("permission.emailAddress", reason="required")
    if kind == "user":
        return Permission(permission_id(world.user(who)), kind, role, who)
    digits = int.from_bytes(hashlib.sha256(who.encode()).digest()[:8], "big")
    return Permission(f"{digits:020d}", kind, role, who)
