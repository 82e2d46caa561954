"""
Resumable uploads: sessions that remember what has arrived, and the Content-Range header that speaks of it.

A session's address is a capability: whoever has it may go on with the upload. It lives one week.
"""

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from grantkeeper.emulator.bearer import Access
from grantkeeper.emulator.drive_fields import Selection
from grantkeeper.emulator.drive_resources import Metadata

CHUNK = 262_144
"""Every chunk but the last is a multiple of this many bytes."""

SESSION_LIFE = timedelta(weeks=1)

_CONTENT_RANGE = re.compile(r"bytes\s+(?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)")


class RangeInvalid(ValueError):
    """A chunk does not fit: what its header says, its length, or where the upload stands."""


@dataclass(frozen=True)
class ContentRange:
    """
    `bytes first-last/total`. A status query (`bytes */total`) has no `first`; an unknown total is None.
    """

    first: int | None
    last: int | None
    total: int | None

    @property
    def is_query(self) -> bool:
        return self.first is None


def parse_content_range(text: str) -> ContentRange:
    """
    Read a Content-Range of RFC 9110 14.4, as a request uses it.

    Raises:
        RangeInvalid: It is malformed, or contradicts itself.
    """
    found = _CONTENT_RANGE.fullmatch(text.strip())
    if found is None:
        raise RangeInvalid("Failed to parse Content-Range header.")
    first, last = (int(found[1]), int(found[2])) if found[1] is not None else (None, None)
    total = None if found[3] == "*" else int(found[3])
    if first is not None and last is not None and (last < first or (total is not None and last >= total)):
        raise RangeInvalid("Failed to parse Content-Range header.")
    return ContentRange(first, last, total)


@dataclass(eq=False)
class UploadSession:
    """
    An upload that has begun.

    Attributes:
        file_id: The file whose content is replaced; None makes a new file.
        selection: The `fields` that the final answer shows, taken from the request that began it.
        total: The length that was announced, if any.
        finished: The id of the file it became.
    """

    id: str = field(repr=False)
    access: Access
    metadata: Metadata
    content_type: str | None
    file_id: str | None
    moves: tuple[tuple[str, ...], tuple[str, ...]]
    selection: Selection | None
    began_at: datetime
    total: int | None = None
    received: bytearray = field(default_factory=bytearray, repr=False)
    finished: str | None = None

    def take(self, span: ContentRange, body: bytes, *, at_most: int | None = None) -> bool:
        """
        Keep a chunk.

        Bytes that are here already are skipped. Of a chunk that is not the last, only whole multiples of
        256 KiB are kept, so the sender must look at what was accepted.

        Args:
            at_most: Keep no more bytes than this of the chunk: a server under load does that.

        Returns:
            Whether the content is complete.

        Raises:
            RangeInvalid: Nothing was kept.
        """
        first, last = span.first, span.last
        if first is None or last is None:
            raise RangeInvalid("Failed to parse Content-Range header.")
        if len(body) != last - first + 1:
            raise RangeInvalid(
                f"Invalid request. There were {len(body)} byte(s) in the request body. "
                f"There should have been {last - first + 1} byte(s) according to the Content-Range header."
            )
        self.agree(span)
        ends = self.total is not None and last + 1 == self.total
        if not ends and len(body) < CHUNK:
            raise RangeInvalid(
                f"A chunk that is not the last has at least {CHUNK} bytes; this one has {len(body)}."
            )
        here = len(self.received)
        if first > here:
            raise RangeInvalid(f"The chunk begins at byte {first}, but only {here} bytes have arrived.")
        kept = body if ends else body[: len(body) - (last + 1) % CHUNK]
        if at_most is not None and at_most < len(kept):
            kept = kept[:at_most]
        self.received += kept[here - first :]
        return self.total is not None and len(self.received) == self.total

    def agree(self, span: ContentRange) -> None:
        """Learn the total from a range that names it; two totals contradict each other."""
        if span.total is None:
            return
        if self.total is not None and self.total != span.total:
            raise RangeInvalid("The total in Content-Range is not the announced length of the upload.")
        if span.total < len(self.received):
            raise RangeInvalid("The total in Content-Range is less than what has arrived.")
        self.total = span.total

    @property
    def range_header(self) -> str | None:
        """The Range of a 308 answer: what has arrived; none when nothing has."""
        return f"bytes=0-{len(self.received) - 1}" if self.received else None


class UploadSessions:
    """The sessions of all users, by the id in their address."""

    def __init__(self) -> None:
        self._sessions: dict[str, UploadSession] = {}

    def forget(self) -> None:
        """Lose all of them."""
        self._sessions.clear()

    def new_id(self) -> str:
        return "AB" + secrets.token_urlsafe(48)

    def add(self, session: UploadSession) -> None:
        self._sessions[session.id] = session

    def get(self, session_id: str, now: datetime) -> UploadSession | None:
        """The session, unless it is unknown, cancelled or older than a week."""
        session = self._sessions.get(session_id)
        if session is not None and now - session.began_at >= SESSION_LIFE:
            del self._sessions[session_id]
            return None
        return session

    def cancel(self, session: UploadSession) -> None:
        del self._sessions[session.id]
