"""
Drive where Google's client falls short: uploads that outlive their process, and files that are made once.

For everything else there is Google's own client, with the credentials that a job's context offers.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from grantkeeper.errors import ApiMisbehaved
from grantkeeper.google import drive_upload
from grantkeeper.google.content import Content, as_content
from grantkeeper.google.drive_files import FIELDS, DriveFile, file_of
from grantkeeper.google.drive_upload import DriveUpload, DriveWire, FileExists
from grantkeeper.google.pages import pages
from grantkeeper.google.session import Session
from grantkeeper.google.uploading import CHUNK, GRANULARITY, Told, deliver, whole_chunks
from grantkeeper.protocol import api

DRIVE = "https://www.googleapis.com"

APP_FOLDER = "appDataFolder"
"""The app's own folder, which the user does not see; what is deleted there is gone."""

MARKER_KEY = "grantkeeper"
"""The property that holds a file's marker."""

LONGEST_MARKER = 124 - len(MARKER_KEY)
"""Drive takes 124 bytes for a property's key and value together."""


class Drive:
    """
    Drive in one user's name.

    Args:
        session: The user's, such as a job's ``ctx.http``.
        space: Where files are looked for and made: the app's folder, or ``drive`` for the user's.
    """

    def __init__(self, session: Session, *, base: str = DRIVE, space: str = APP_FOLDER) -> None:
        self._session = session
        self._base = base.rstrip("/")
        # The older spelling is in Google's own guide, and Drive's lists find nothing under it.
        self._space = APP_FOLDER if space == "appfolder" else space

    # -- uploads --------------------------------------------------------------------------------

    async def begin_upload(
        self,
        name: str,
        size: int,
        mime_type: str,
        *,
        file_id: str | None = None,
        replaces: str | None = None,
        parents: Sequence[str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> DriveUpload:
        """
        Open an upload that goes on after a cut: what is returned is JSON, for a job to keep in a step.

        Args:
            file_id: Of the new file, from `new_id`: with it the file is made once however often
                the upload begins. Keep it in a step before this one.
            replaces: Id of a file whose content it becomes, in place of a new file.
            parents: Folders of a new file; default the space.
            properties: Notes of the app's at the file (``appProperties``).

        Raises:
            FileExists: There is a file of *file_id*: an earlier try has made it.
        """
        metadata: dict[str, Any] = {"name": name, "mimeType": mime_type}
        if properties:
            metadata["appProperties"] = dict(properties)
        if replaces is None:
            if parents is not None or self._space != "drive":
                metadata["parents"] = list(parents) if parents is not None else [self._space]
            if file_id is not None:
                metadata["id"] = file_id
        return await drive_upload.begin(
            self._session, self._base, size, mime_type, metadata, replaces=replaces
        )

    async def send_upload(
        self,
        upload: DriveUpload | Mapping[str, Any],
        source: bytes | BinaryIO | Content,
        *,
        chunk: int = CHUNK,
        told: Told | None = None,
    ) -> DriveFile:
        """
        Send what Drive does not have yet of an upload; the file that it becomes.

        An upload that Drive has lost (they live a week) begins anew within the call.

        Args:
            chunk: Bytes sent at once, and held in memory; each has a token of its own.
            told: Is told how many bytes have arrived, and of how many.

        Raises:
            ApiUnavailable: It goes on later with the same *upload*, from where it stands.
            ValueError: *source* has another size than the upload was begun for.
        """
        return await self._send(DriveUpload.from_record(upload), source, chunk=chunk, told=told, at=None)

    # -- files that are made once ---------------------------------------------------------------

    async def new_id(self) -> str:
        """An id for a file that is still to be made (``files.generateIds``)."""
        query = urlencode({"count": 1, "space": self._space})
        body = api.api_object(await self._session.request("GET", f"{self._files}/generateIds?{query}"))
        ids = body.get("ids")
        if not isinstance(ids, list) or len(ids) != 1:
            raise ApiMisbehaved("the answer's ids are not one id")
        return api.text({"ids": ids[0]}, "ids")

    async def create_once(
        self,
        marker: str,
        name: str,
        source: bytes | BinaryIO | Content,
        mime_type: str,
        *,
        file_id: str | None = None,
        chunk: int = CHUNK,
        told: Told | None = None,
    ) -> DriveFile:
        """
        The file with that marker, made of *source* if there is none.

        Args:
            marker: The same for every try and for no other file, such as a job's id or a day.
            file_id: From `new_id`, kept in a step: then even two that do this at the same time
                make one file. Without it one after the other do.
        """
        properties = {MARKER_KEY: _checked(marker)}
        if file_id is None:
            found = await self.find(marker)
            if found is not None:
                return found
            file_id = await self.new_id()
        content = as_content(source)
        try:
            upload = await self.begin_upload(
                name, content.size, mime_type, file_id=file_id, properties=properties
            )
        except FileExists:
            return await self.file(file_id)
        return await self._send(upload, content, chunk=chunk, told=told, at=0)

    async def find(self, marker: str) -> DriveFile | None:
        """The file that `create_once` made with that marker; the oldest if there are several."""
        value = _checked(marker).replace("\\", "\\\\").replace("'", "\\'")
        wanted = f"appProperties has {{ key='{MARKER_KEY}' and value='{value}' }} and trashed = false"
        async for file in self.files(wanted, order="createdTime"):
            return file
        return None

    # -- files ----------------------------------------------------------------------------------

    async def files(self, query: str = "trashed = false", *, order: str = "name") -> AsyncIterator[DriveFile]:
        """The files of the space that *query* finds, in Drive's own language."""

        async def fetch(token: str | None) -> dict[str, Any]:
            arguments = {
                "q": query,
                "spaces": self._space,
                "orderBy": order,
                "pageSize": 1000,
                "fields": f"nextPageToken,files({FIELDS})",
                **({"pageToken": token} if token else {}),
            }
            return api.api_object(await self._session.request("GET", f"{self._files}?{urlencode(arguments)}"))

        async for page in pages(fetch, most=10_000):
            for body in api.objects(page, "files"):
                yield file_of(body)

    async def file(self, file_id: str) -> DriveFile:
        """One file."""
        url = f"{self._files}/{quote(file_id, safe='')}?{urlencode({'fields': FIELDS})}"
        return file_of(api.api_object(await self._session.request("GET", url)))

    @property
    def _files(self) -> str:
        return f"{self._base}/drive/v3/files"

    async def _send(
        self,
        upload: DriveUpload,
        source: bytes | BinaryIO | Content,
        *,
        chunk: int,
        told: Told | None,
        at: int | None,
    ) -> DriveFile:
        content = as_content(source)
        if content.size != upload.size:
            raise ValueError(f"the upload was begun for {upload.size} bytes, and there are {content.size}")
        try:
            return await deliver(
                DriveWire(self._session, self._base, upload),
                content,
                self._session,
                chunk=whole_chunks(chunk, GRANULARITY),
                told=told,
                at=at,
            )
        except FileExists:
            assert upload.file_id is not None
            return await self.file(upload.file_id)


def _checked(marker: str) -> str:
    if not 0 < len(marker.encode()) <= LONGEST_MARKER:
        raise ValueError(f"a marker has 1 to {LONGEST_MARKER} bytes")
    return marker
