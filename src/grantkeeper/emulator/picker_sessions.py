"""People's own photos, and the sessions in which they pick some of them for an app."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from grantkeeper.emulator.photos_library import new_id
from grantkeeper.emulator.photos_media import Look


@dataclass(eq=False)
class OwnPhoto:
    """
    A photo or video that somebody took.

    Attributes:
        ready_at: Until then Google still works on the video.
    """

    id: str
    sub: str
    filename: str
    look: Look
    taken_at: datetime
    ready_at: datetime
    content: bytes = field(repr=False)


class OwnPhotos:
    """Everybody's own photos."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again with none."""
        self._photos: dict[str, dict[str, OwnPhoto]] = {}

    def add(
        self, sub: str, filename: str, look: Look, content: bytes, now: datetime, processing: float = 0.0
    ) -> OwnPhoto:
        """A new photo of *sub*; a video is ready after *processing* seconds."""
        ready = now + timedelta(seconds=processing)
        photo = OwnPhoto(new_id("AP1GczM"), sub, filename, look, now, ready, content)
        self._photos.setdefault(sub, {})[photo.id] = photo
        return photo

    def of(self, sub: str) -> list[OwnPhoto]:
        """The photos of *sub*, the latest first."""
        return list(reversed(self._photos.get(sub, {}).values()))

    def get(self, sub: str, photo_id: str) -> OwnPhoto | None:
        """The photo of that id, if *sub* has it."""
        return self._photos.get(sub, {}).get(photo_id)


class PickInvalid(ValueError):
    """What was picked cannot be: too many, none, or not there. Nothing changed."""


@dataclass(eq=False)
class PickingSession:
    """
    One user picking for one project.

    Attributes:
        most: How many may be picked.
        picked: The ids, in the order in which they were picked; None until the user is done.
    """

    id: str
    sub: str
    project: str
    most: int
    asked_most: int | None
    began_at: datetime
    expires_at: datetime
    picked: tuple[str, ...] | None = None

    def pick(self, photos: list[OwnPhoto]) -> None:
        """
        The user is done.

        Raises:
            PickInvalid: None or too many were picked, or the user was done before.
        """
        if self.picked is not None:
            raise PickInvalid("In this session photos have been picked already.")
        if not photos:
            raise PickInvalid("Pick at least one photo.")
        if len(photos) > self.most:
            raise PickInvalid(f"At most {self.most} can be picked, and these are {len(photos)}.")
        self.picked = tuple(dict.fromkeys(photo.id for photo in photos))


class Sessions:
    """The sessions of all users and projects."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again with none."""
        self._sessions: dict[str, PickingSession] = {}

    def begin(
        self, sub: str, project: str, most: int, asked_most: int | None, now: datetime, seconds: float
    ) -> PickingSession:
        """A new session that lives *seconds*."""
        session = PickingSession(
            str(uuid.uuid4()), sub, project, most, asked_most, now, now + timedelta(seconds=seconds)
        )
        self._sessions[session.id] = session
        return session

    def get(self, session_id: str, now: datetime) -> PickingSession | None:
        """The session, while it lives."""
        session = self._sessions.get(session_id)
        if session is not None and session.expires_at <= now:
            del self._sessions[session_id]
            return None
        return session

    def open(self, sub: str, now: datetime, project: str | None = None) -> list[PickingSession]:
        """The living sessions of *sub*, of one project or all, the oldest first."""
        return [
            session
            for session in list(self._sessions.values())
            if session.sub == sub and session.expires_at > now and project in (None, session.project)
        ]

    def delete(self, session: PickingSession) -> None:
        """End it."""
        self._sessions.pop(session.id, None)
