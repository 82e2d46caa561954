"""Faults that only an upload can have: they act on what arrives, not on the answer."""

from grantkeeper.emulator.faults import FaultKind

_CHUNKS = {"photos": ("uploads.upload", "uploads.finalize")}

DRIVE_FAULTS = [
    FaultKind(
        "upload_short",
        ("upload", "photos"),
        True,
        "Only part of a chunk is accepted: half in multiples of 256 KiB, or the first `bytes`.",
        kinds=_CHUNKS,
    ),
    FaultKind(
        "upload_cut",
        ("upload", "photos"),
        True,
        "Only part of a chunk arrives (as `upload_short`), then the connection closes.",
        delivery="none",
        kinds=_CHUNKS,
    ),
    FaultKind(
        "upload_gone",
        ("upload", "photos"),
        True,
        "410 at a session's address; the session is lost and the upload starts again.",
        kinds={"photos": ("uploads.upload", "uploads.finalize", "uploads.query")},
    ),
]
