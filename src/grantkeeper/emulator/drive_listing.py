"""`files.list`: which files, in which order, on which page."""

import re
from collections.abc import Callable
from typing import Any

from grantkeeper.emulator import drive_errors as errors
from grantkeeper.emulator.drive_call import Call
from grantkeeper.emulator.drive_files import ALIASES, Desk
from grantkeeper.emulator.drive_query import QueryInvalid, parse_query
from grantkeeper.emulator.drive_store import SPACES, DriveFile


def list_files(call: Call) -> dict[str, Any]:
    """
    The `FileList` that a call asks for.

    Raises:
        ApiError: 400, a parameter makes no sense; 403, a space is not open to this token.
    """
    if call.arguments["corpora"] not in ("user", "allDrives"):
        raise errors.invalid("corpora")
    desk = call.desk
    token = call.arguments["pageToken"]
    found = _matching(call, desk) if token is None else _continued(call, desk, token)
    size = call.arguments["pageSize"]
    page, rest = found[:size], found[size:]
    answer: dict[str, Any] = {
        "kind": "drive#fileList",
        "incompleteSearch": False,
        "files": [desk.resource(file) for file in page],
    }
    if rest:
        answer["nextPageToken"] = call.drive.store.pages.keep(tuple(file.id for file in rest))
    return answer


def space_named(name: str, parameter: str) -> str:
    """The space of that name; the older `appfolder` still works."""
    space = ALIASES.get(name, name)
    if space not in SPACES or name == "root":
        raise errors.invalid(parameter)
    return space


def _matching(call: Call, desk: Desk) -> list[DriveFile]:
    spaces = [space_named(name.strip(), "spaces") for name in call.arguments["spaces"].split(",")]
    files = desk.visible(spaces)
    try:
        condition = parse_query(
            call.arguments["q"] or "", project=call.access.project, aliases=desk.aliases()
        )
    except QueryInvalid as error:
        raise errors.invalid("q") from error
    return ordered([file for file in files if condition(file)], call.arguments["orderBy"])


def _continued(call: Call, desk: Desk, token: str) -> list[DriveFile]:
    """What is left of a list that was begun; files deleted since are passed over."""
    rest = call.drive.store.pages.rest(token)
    if rest is None:
        raise errors.invalid("pageToken")
    files = (call.drive.store.get(call.access.sub, file_id) for file_id in rest[0])
    return [file for file in files if file is not None and desk.sees(file)]


def ordered(files: list[DriveFile], order_by: str | None) -> list[DriveFile]:
    """
    Sort by the keys of `orderBy`; without any, the latest change comes first.

    Raises:
        ApiError: 400, an unknown key.
    """
    files = sorted(files, key=lambda file: file.version, reverse=True)
    # Sorting is stable: the last key first, the first key last.
    for clause in reversed((order_by or "recency desc").split(",")):
        words = clause.split()
        if len(words) not in (1, 2) or words[0] not in _KEYS or words[1:] not in ([], ["desc"]):
            raise errors.invalid("orderBy")
        files.sort(key=_KEYS[words[0]], reverse=len(words) == 2)
    return files


def _natural(file: DriveFile) -> list[tuple[bool, int, str]]:
    """Digits count as numbers: 2 before 12. Of two numbers the one with more digits is greater."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", file.name.casefold())
    return [
        (False, len(number := piece.lstrip("0")), number) if piece.isdecimal() else (True, 0, piece)
        for piece in pieces
    ]


_KEYS: dict[str, Callable[[DriveFile], Any]] = {
    "createdTime": lambda file: file.created_time,
    "folder": lambda file: not file.is_folder,
    "modifiedByMeTime": lambda file: file.modified_time,
    "modifiedTime": lambda file: file.modified_time,
    "name": lambda file: file.name,
    "name_natural": _natural,
    "quotaBytesUsed": lambda file: file.size,
    "recency": lambda file: max(file.created_time, file.modified_time),
    "sharedWithMeTime": lambda file: 0,
    "starred": lambda file: not file.starred,
    "viewedByMeTime": lambda file: file.modified_time,
}
