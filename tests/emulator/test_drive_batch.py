"""Batches at `/batch/drive/v3`, as they look on the wire."""

from collections.abc import Iterator

import pytest
import requests

from grantkeeper.emulator.apis_batch import LIMIT
from grantkeeper.emulator.apis_multipart import Part, parse_parts
from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import FILE, App, mint, new_email, reason


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test has users of its own."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def app(server: EmulatorServer) -> Iterator[App]:
    app = App(server, FILE)
    yield app
    app.close()


def framed(*calls: str) -> bytes:
    parts = [
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <item+{number}>\r\n\r\n{call}\r\n"
        for number, call in enumerate(calls)
    ]
    return "".join([*parts, "--b--\r\n"]).encode()


def send(app: App, body: bytes, path: str = "/batch/drive/v3", **headers: str) -> requests.Response:
    return app.call(
        "POST", path, data=body, headers={"Content-Type": "multipart/mixed; boundary=b", **headers}
    )


def answers(response: requests.Response) -> list[Part]:
    assert response.status_code == 200, response.text
    return parse_parts(response.content, response.headers["content-type"])


def statuses(response: requests.Response) -> list[int]:
    return [int(part.body.split(b" ")[1]) for part in answers(response)]


@pytest.mark.parametrize("path", ["/batch/drive/v3", "/batch"])
def test_every_call_is_answered_in_its_own_part(app: App, path: str) -> None:
    """
    In order, under a Content-ID made from the call's.
    """
    made = app.create(name="a")
    body = '{"name": "b"}'
    response = send(
        app,
        framed(
            f"GET /drive/v3/files/{made['id']}?fields=name HTTP/1.1\r\nAccept: application/json\r\n",
            "GET /drive/v3/files/nothing\r\n",
            f"PATCH /drive/v3/files/{made['id']} HTTP/1.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}",
            f"DELETE /drive/v3/files/{made['id']}",
        ),
        path,
    )

    assert [200, 404, 200, 204] == statuses(response)
    parts = answers(response)
    assert [f"<response-item+{number}>" for number in range(4)] == [
        part.headers["content-id"] for part in parts
    ]
    assert {"application/http"} == {part.content_type for part in parts}
    assert parts[0].body.endswith(b'{"name":"a"}')
    assert [] == app.names()


def test_a_call_may_bring_its_own_token(server: EmulatorServer, app: App) -> None:
    """
    The outer token holds for the calls that have none; a dead one costs only its own call.
    """
    other = mint(server, email := new_email(), (FILE,))
    about = "GET /drive/v3/about?fields=user/emailAddress HTTP/1.1\r\n"
    response = send(
        app, framed(about, f"{about}Authorization: Bearer {other}\r\n", f"{about}Authorization: Bearer x\r\n")
    )

    assert [200, 200, 401] == statuses(response)
    assert app.email.encode() in answers(response)[0].body
    assert email.encode() in answers(response)[1].body
    assert b'Www-Authenticate: Bearer realm="https://accounts.google.com/"' in answers(response)[2].body


def test_a_fault_strikes_one_call_inside(server: EmulatorServer, app: App) -> None:
    """
    A plan for `drive` counts the calls in a batch like any others; one for `batch` strikes the whole.
    """
    server.world.faults.add("drive", "api_401", count=1)
    call = "GET /drive/v3/files HTTP/1.1\r\n"

    assert [401, 200] == statuses(send(app, framed(call, call)))
    server.world.faults.add("batch", "api_500", count=1)
    assert 500 == send(app, framed(call)).status_code


def test_media_and_other_apis_do_not_go_through(app: App) -> None:
    """
    Refused part by part.
    """
    made = app.put(b"x", name="a")
    response = send(
        app,
        framed(
            f"GET /drive/v3/files/{made['id']}?alt=media HTTP/1.1\r\n",
            "POST /upload/drive/v3/files?uploadType=media HTTP/1.1\r\n",
            "GET /emulator/stats HTTP/1.1\r\n",
            "GET /v1/people/me HTTP/1.1\r\n",
        ),
    )

    assert [400, 400, 400, 400] == statuses(response)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (framed("GET /drive/v3/files"), "application/json"),
        (framed("GET /drive/v3/files"), "multipart/mixed"),
        (b"", "multipart/mixed; boundary=b"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nGET /\r\n--b--", "multipart/mixed; boundary=b"),
        (framed("please list my files"), "multipart/mixed; boundary=b"),
        (framed(*["GET /drive/v3/files"] * (LIMIT + 1)), "multipart/mixed; boundary=b"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(app: App, body: bytes, content_type: str) -> None:
    """
    No call of it is made.
    """
    world = app.emulator.world
    before = world.counted("drive")
    response = app.call("POST", "/batch/drive/v3", data=body, headers={"Content-Type": content_type})

    assert (400, "badRequest") == reason(response)
    assert before == world.counted("drive")


def test_a_batch_of_a_hundred_calls_is_allowed(app: App) -> None:
    """
    The limit itself.
    """
    assert [200] * LIMIT == statuses(send(app, framed(*["GET /drive/v3/files"] * LIMIT)))
