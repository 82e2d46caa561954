"""Content on its way out: alt=media, ranges, and what cannot be downloaded."""

from collections.abc import Iterator

import pytest

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import FILE, App, reason

CONTENT = b"0123456789"


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with EmulatorServer() as emulator:
        app = App(emulator, FILE)
        yield app
        app.close()


def path(app: App, content: bytes = CONTENT) -> str:
    return f"/drive/v3/files/{app.put(content, 'image/png', name='a.png')['id']}?alt=media"


def test_a_download_is_the_content_and_its_type(app: App) -> None:
    """
    Byte for byte, under the type the file has.
    """
    response = app.call("GET", path(app))

    assert (200, CONTENT) == (response.status_code, response.content)
    assert ("image/png", "10") == (response.headers["content-type"], response.headers["content-length"])


@pytest.mark.parametrize(
    ("header", "status", "content", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-20", 206, CONTENT, "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=4-2", 200, CONTENT, None),
        ("bytes=0-1,3-4", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
    ],
)
def test_a_range_is_answered_with_that_part(
    app: App, header: str, status: int, content: bytes, content_range: str | None
) -> None:
    """
    RFC 9110 14: one range is served, nonsense is ignored.
    """
    response = app.call("GET", path(app), headers={"Range": header})

    assert (status, content, content_range) == (
        response.status_code,
        response.content,
        response.headers.get("content-range"),
    )


@pytest.mark.parametrize(
    ("content", "header"), [(CONTENT, "bytes=10-"), (b"", "bytes=0-5"), (b"", "bytes=-5")]
)
def test_a_range_after_the_end_is_refused(app: App, content: bytes, header: str) -> None:
    """
    416 tells the true length, which Google's client reads for empty files.
    """
    response = app.call("GET", path(app, content), headers={"Range": header})

    assert (416, "requestedRangeNotSatisfiable") == reason(response)
    assert f"bytes */{len(content)}" == response.headers["content-range"]


def test_folders_and_documents_are_not_downloaded(app: App) -> None:
    """
    `fileNotDownloadable`; documents are exported instead, and other files are not.
    """
    folder = app.create(mimeType="application/vnd.google-apps.folder")["id"]
    document = app.put(b"text", name="d", mimeType="application/vnd.google-apps.document")["id"]
    plain = app.put(b"text", name="p")["id"]

    assert (403, "fileNotDownloadable") == reason(app.call("GET", f"/drive/v3/files/{folder}?alt=media"))
    assert (403, "fileNotDownloadable") == reason(app.call("GET", f"/drive/v3/files/{document}?alt=media"))
    export = f"/drive/v3/files/{document}/export"
    assert b"text" == app.call("GET", export, params={"mimeType": "text/plain"}).content
    assert (400, "badRequest") == reason(app.call("GET", export, params={"mimeType": "image/png"}))
    assert (400, "required") == reason(app.call("GET", export))
    wrong = app.call("GET", f"/drive/v3/files/{plain}/export", params={"mimeType": "text/plain"})
    assert (403, "fileNotExportable") == reason(wrong)
