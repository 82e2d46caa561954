"""Faults that only Google Photos can have."""

from typing import TYPE_CHECKING

import msgspec

from grantkeeper.emulator.faults import Answer, Fault, FaultKind, Missed

if TYPE_CHECKING:
    from grantkeeper.emulator.world import World


def _processing(answer: Answer, fault: Fault, world: "World") -> Answer:
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.DecodeError as nothing:
        raise Missed from nothing
    videos = [item for item in body.get("mediaItems", ()) if item["type"] == "VIDEO"]
    if not videos:
        raise Missed
    for item in videos:
        item["mediaFile"]["mediaFileMetadata"]["videoMetadata"]["processingStatus"] = "PROCESSING"
    return Answer(answer.status, answer.headers, msgspec.json.encode(body))


PHOTOS_FAULTS = [
    FaultKind(
        "batch_partial",
        ("photos",),
        True,
        "Some items of a batchCreate fail: the last half, or the last `items`, with the status `code` (13).",
        kinds={"photos": ("mediaItems.batchCreate",)},
    ),
    FaultKind(
        "upload_forgotten",
        ("photos",),
        True,
        "At an upload's address: of what has arrived only the first `bytes` (0) are left.",
        kinds={"photos": ("uploads.upload", "uploads.finalize", "uploads.query")},
    ),
    FaultKind(
        "picker_processing",
        ("picker",),
        True,
        "The videos in a list of what was picked are still PROCESSING.",
        _processing,
        kinds={"picker": ("mediaItems.list",)},
    ),
]
