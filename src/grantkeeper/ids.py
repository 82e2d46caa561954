"""Ids of records: they sort by the time they were made."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7(now: datetime, random: bytes) -> str:
    """
    A UUIDv7 (RFC 9562 section 5.7) in its text form.

    Texts made in different milliseconds sort in the order of *now*; those of
    one millisecond sort at random.

    Args:
        now: Aware, and not before 1970.
        random: Ten unpredictable bytes, of which 74 bits are used.

    Raises:
        ValueError: *now* is naive or before 1970, or *random* has another length.
    """
    if now.tzinfo is None or now < EPOCH:
        raise ValueError("a UUIDv7 needs an aware time from 1970 on")
    if len(random) != 10:
        raise ValueError("a UUIDv7 needs ten random bytes")
    milliseconds = (now - EPOCH) // timedelta(milliseconds=1)
    dice = int.from_bytes(random)
    high = dice >> 64 & 0x0FFF
    low = dice & 0x3FFF_FFFF_FFFF_FFFF
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
