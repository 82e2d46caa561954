"""The second example: a nightly export into the user's own Drive."""

import json
from collections.abc import AsyncIterator
from typing import Any

import nightly
import pytest
from nightly import NAME, export
from places import EXPORT, Folder
from previews import put

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.google.drive import Drive
from tests.examples.conftest import ADA
from tests.examples.desk import Context
from tests.google.kit import EmulatorSession

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(
    server: EmulatorServer, folder: Folder, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> AsyncIterator[EmulatorSession]:
    """Ada's, for the app's folder in her Drive; her app has improved two photos."""
    monkeypatch.setattr(nightly, "DRIVE_API", server.url)
    put(folder.previews("grant-0", "job-7"), {"0000-after.jpg": b"", "0001-after.jpg": b""})
    session = EmulatorSession(server, ADA, EXPORT)
    yield session
    await session.close()


async def files(session: EmulatorSession, server: EmulatorServer) -> list[Any]:
    return [file async for file in Drive(session, base=server.url).files()]


async def test_two_nights_leave_one_file(session: EmulatorSession, server: EmulatorServer):
    """
    The second night writes over the first; nothing piles up.
    """
    for _ in range(2):
        told = await export(Context(session, []).as_job())

    (file,) = await files(session, server)
    assert (NAME, file.id, 1) == (file.name, told["file"], told["jobs"])
    answer = await session.request("GET", f"{server.url}/drive/v3/files/{file.id}?alt=media")
    assert {"jobs": [{"id": "job-7", "photos": 2}]} == json.loads(answer.body)


def test_it_is_a_schedule_for_all_who_granted_the_scope():
    """
    Every night at three, and for nobody who left the permission out.
    """
    assert export.definition.calendar is not None
    assert {EXPORT} == export.definition.scopes
