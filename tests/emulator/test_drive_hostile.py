"""Requests that mean harm: each ends in a clear answer and a healthy emulator."""

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from grantkeeper.emulator.drive_fields import FieldsInvalid, parse_fields
from grantkeeper.emulator.drive_query import QueryInvalid, parse_query
from grantkeeper.emulator.drive_schemas import shape_of
from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import APPDATA, FILE, App

NINES = "9" * 5000


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with EmulatorServer() as emulator:
        app = App(emulator, APPDATA, FILE)
        yield app
        app.close()


@pytest.mark.parametrize(
    ("verb", "path", "options", "status"),
    [
        ("GET", "/drive/v3/files", {"params": {"pageSize": NINES}}, 400),
        ("GET", "/drive/v3/files", {"params": {"pageSize": "１"}}, 400),
        ("GET", "/drive/v3/files", {"params": {"q": "(" * 3000 + "trashed=true" + ")" * 3000}}, 400),
        ("GET", "/drive/v3/files", {"params": {"q": "not " * 3000 + "trashed=true"}}, 400),
        ("GET", "/drive/v3/files", {"params": {"fields": "files/appProperties" + "/x" * 3000}}, 400),
        ("GET", "/drive/v3/files", {"params": {"q": "name = '\x00'"}}, 200),
        ("GET", "/drive/v3/files/%ff%00%2e%2e", {}, 404),
        ("GET", "/drive/v3/files/..%2f..%2fetc", {}, 404),
        ("POST", "/drive/v3/files", {"data": b"[" * 100_000}, 400),
        ("POST", "/drive/v3/files", {"data": b'{"name": "\xff"}'}, 400),
        ("POST", "/drive/v3/files", {"data": b'{"name": "\\ud800"}'}, 400),
        ("POST", "/drive/v3/files", {"json": {"mimeType": "text/plain\r\nSet-Cookie: a=b"}}, 400),
        ("POST", "/drive/v3/files", {"json": {"createdTime": "0001-01-01T00:00:00+14:00"}}, 400),
        ("POST", "/drive/v3/files", {"json": {"id": {"a": 1}}}, 400),
        ("POST", "/drive/v3/files", {"data": b"x", "headers": {"Content-Encoding": "gzip"}}, 400),
        (
            "POST",
            "/drive/v3/files",
            {"data": gzip.compress(b"{}")[:-9], "headers": {"Content-Encoding": "gzip"}},
            400,
        ),
        ("POST", "/upload/drive/v3/files?uploadType=multipart", {"data": b"\xff" * 100}, 400),
        ("PUT", "/upload/drive/v3/files?upload_id=guess", {"data": b"x"}, 404),
    ],
)
def test_it_is_answered_with_a_reason(
    app: App, verb: str, path: str, options: dict[str, Any], status: int
) -> None:
    """
    Never a 500, and the next request is served.
    """
    response = app.call(verb, path, **options)

    assert status == response.status_code, response.text
    if status >= 400:
        assert status == response.json()["error"]["code"]
    assert 200 == app.call("GET", "/drive/v3/files/appfolder").status_code


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Content-Range", f"bytes 0-{NINES}/{NINES}", 400),
        ("Content-Range", f"bytes */{NINES}", 400),
        ("Content-Range", "bytes ٣-٤/٥", 400),
    ],
)
def test_a_hostile_content_range_is_refused(app: App, name: str, value: str, status: int) -> None:
    """
    Numbers that no computer counts to.
    """
    url = app.call("POST", "/upload/drive/v3/files?uploadType=resumable").headers["location"]

    assert status == app.call("PUT", url, data=b"x", headers={name: value.encode()}).status_code


def test_a_hostile_range_is_ignored(app: App) -> None:
    """
    As any other malformed Range (RFC 9110 14.2).
    """
    made = app.put(b"content", name="a")
    response = app.call(
        "GET", f"/drive/v3/files/{made['id']}?alt=media", headers={"Range": f"bytes={NINES}-"}
    )

    assert (200, b"content") == (response.status_code, response.content)


def test_a_long_search_does_not_nest(app: App) -> None:
    """
    A chain of thousands of terms is read and answered, however long.
    """
    app.create(name="needle")
    search = " or ".join(["name = 'x'"] * 5000) + " or name = 'needle'"
    response = app.call(
        "POST", "/drive/v3/files", data={"q": search}, headers={"X-HTTP-Method-Override": "GET"}
    )

    assert ["needle"] == [file["name"] for file in response.json()["files"]]


def test_names_of_endless_digits_can_be_sorted(app: App) -> None:
    """
    name_natural compares numbers of any length.
    """
    for name in ("n" + NINES, "n" + "1" + "0" * 5000, "n007", "n8"):
        app.create(name=name, parents=["appDataFolder"])
    names = app.names(spaces="appDataFolder", orderBy="name_natural")

    assert ["n007", "n8", "n" + NINES, "n1" + "0" * 5000] == names


def test_the_declared_type_of_a_media_part_cannot_break_a_header(app: App) -> None:
    """
    A type that is none is passed over; the download is still answered.
    """
    made = app.put(b"content", 'text/"; é', name="a")

    assert "application/octet-stream" == made["mimeType"]
    assert b"content" == app.call("GET", f"/drive/v3/files/{made['id']}?alt=media").content


def test_a_compressed_body_is_unpacked(app: App) -> None:
    """
    Google's Java client compresses what it sends.
    """
    body = gzip.compress(json.dumps({"name": "packed"}).encode())
    response = app.call("POST", "/drive/v3/files", data=body, headers={"Content-Encoding": "gzip"})

    assert "packed" == response.json()["name"]


def test_a_body_that_unpacks_to_too_much_is_refused(app: App) -> None:
    """
    413, and the memory is not filled.
    """
    bomb = gzip.compress(bytes(300 << 20), compresslevel=1)
    response = app.call(
        "POST",
        "/upload/drive/v3/files?uploadType=media",
        data=bomb,
        headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"},
    )

    assert 413 == response.status_code


def test_a_sender_that_hangs_up_leaves_nothing(app: App) -> None:
    """
    Half a body, then silence: no file, and the emulator goes on.
    """
    address = urlsplit(app.emulator.url)
    before = app.names()
    with socket.create_connection((address.hostname, address.port), timeout=30) as line:
        line.sendall(
            f"POST /upload/drive/v3/files?uploadType=media HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {app.token}\r\nContent-Length: 1000\r\n\r\nhalf".encode()
        )

    assert before == app.names()


def test_batches_of_nonsense_are_answered_part_by_part(app: App) -> None:
    """
    Addresses that are none cost only their own call.
    """
    calls = ["GET //[ HTTP/1.1", "GET /drive/v3/files/%zz HTTP/1.1", "BREW /drive/v3/files HTTP/1.1"]
    body = "".join(f"--b\r\nContent-Type: application/http\r\n\r\n{call}\r\n\r\n" for call in calls)
    response = app.call(
        "POST",
        "/batch/drive/v3",
        data=f"{body}--b--".encode(),
        headers={"Content-Type": "multipart/mixed; boundary=b"},
    )

    assert 200 == response.status_code
    for status in ("400", "404", "405"):
        assert f"HTTP/1.1 {status} " in response.text


def test_the_readers_have_a_depth() -> None:
    """
    Right at the limit it works, one deeper it is refused by name.
    """
    parse_query("(" * 49 + "trashed=true" + ")" * 49, project="p", aliases={})
    with pytest.raises(QueryInvalid):
        parse_query("(" * 50 + "trashed=true" + ")" * 50, project="p", aliases={})
    shape = shape_of("File")
    parse_fields("appProperties" + "/x" * 20, shape)
    parse_fields(",".join(["owners/me"] * 100), shape)
    with pytest.raises(FieldsInvalid):
        parse_fields("appProperties" + "/x" * 21, shape)
