"""Faults that only an upload can have: they act on what arrives, not on the answer."""

from grantkeeper.emulator.faults import FaultKind

DRIVE_FAULTS = [
    FaultKind(
        "upload_short",
        ("upload",),
        True,
        "Only part of a chunk is accepted: half in multiples of 256 KiB, or the first `bytes`.",
    ),
    FaultKind(
        "upload_cut",
        ("upload",),
        True,
        "Only part of a chunk arrives (as `upload_short`), then the connection closes.",
        delivery="none",
    ),
    FaultKind(
        "upload_gone",
        ("upload",),
        True,
        "410 at a session's address; the session is lost and the upload starts again.",
    ),
]
