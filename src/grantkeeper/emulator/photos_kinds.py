"""What a request to Photos is called before any handler has seen it: the name for counters and faults."""

import re
from collections.abc import Mapping

from grantkeeper.emulator.apis_table import Api
from grantkeeper.emulator.photos_methods import FOLDER, PHOTOS
from grantkeeper.emulator.picker_methods import FOLDER as PICKER_FOLDER
from grantkeeper.emulator.picker_methods import PICKER

MEDIA = "media"
"""A request for bytes, at a `baseUrl`."""

_UPLOADS = f"/{FOLDER}v1/uploads"


def upload_kind(headers: Mapping[str, str]) -> str:
    """
    What a request to `uploads` is called, by its headers (names in lower case).

    That is `uploads.` and then `raw`, `start`, `upload`, `finalize`, `query`, `cancel` or `unknown`.
    """
    commands = re.split(r"\s*,\s*", headers.get("x-goog-upload-command", "").strip().lower())
    if commands == [""]:
        return (
            "uploads.raw"
            if headers.get("x-goog-upload-protocol", "raw").lower() == "raw"
            else "uploads.unknown"
        )
    known = [each for each in ("start", "finalize", "upload", "query", "cancel") if each in commands]
    return f"uploads.{known[0] if known else 'unknown'}"


def kind_of(verb: str, path: str, headers: Mapping[str, str]) -> str:
    """
    `mediaItems.batchCreate`, `uploads.raw`, `media` and so on; where there is no method, the verb.

    Args:
        headers: By their names in lower case.
    """
    if path.startswith(_UPLOADS):
        return upload_kind(headers)
    if path.startswith((f"/{FOLDER}media/", f"/{PICKER_FOLDER}media/")):
        return MEDIA
    meant = headers.get("x-http-method-override", verb).upper()
    found = (kind for method, pattern, kind in _PATTERNS if method == meant and pattern.fullmatch(path))
    return next(found, verb.lower())


def _patterns(api: Api) -> list[tuple[str, re.Pattern[str], str]]:
    prefix = f"/{api.folder}{api.service_path}"
    paths = sorted(api.methods, key=lambda method: ":" not in method.path)
    return [
        (
            method.http,
            re.compile(re.escape(prefix) + re.sub(r"\{\+?\w+\}", "[^/]+", method.path)),
            method.kind,
        )
        for method in paths
    ]


_PATTERNS = _patterns(PHOTOS) + _patterns(PICKER)
