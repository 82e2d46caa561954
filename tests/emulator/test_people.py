"""The People API's `people/me`."""

from collections.abc import Iterator

import pytest

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import EMAIL, PROFILE
from tests.emulator.drive_kit import App


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test has users of its own."""
    with EmulatorServer() as emulator:
        yield emulator


def person(emulator: EmulatorServer, path: str, *scopes: str) -> tuple[int, dict[str, object]]:
    """Status and body of a call for ada."""
    app = App(emulator, *scopes, email="ada.lovelace@example.com")
    response = app.call("GET", path)
    app.close()
    return response.status_code, response.json()


def test_it_shows_what_the_scopes_allow(server: EmulatorServer) -> None:
    """
    Names and photos for profile, the address for email; other members that Google has are just absent.
    """
    path = "/v1/people/me?personFields=names,emailAddresses,photos,birthdays"

    _, both = person(server, path, PROFILE, EMAIL)
    assert {"resourceName", "etag", "names", "emailAddresses", "photos"} == both.keys()
    assert {"resourceName", "etag", "names", "photos"} == person(server, path, PROFILE)[1].keys()
    assert {"resourceName", "etag", "emailAddresses"} == person(server, path, EMAIL)[1].keys()


def test_me_has_a_name_of_its_own(server: EmulatorServer) -> None:
    """
    people/{sub} is the same person; anybody else is not found.
    """
    sub = server.world.user("ada.lovelace@example.com").sub
    fields = "?personFields=names"

    me = person(server, f"/v1/people/me{fields}", PROFILE)
    assert f"people/{sub}" == me[1]["resourceName"]
    assert me == person(server, f"/v1/people/{sub}{fields}", PROFILE)
    assert 404 == person(server, f"/v1/people/c1{fields}", PROFILE)[0]


@pytest.mark.parametrize(
    ("path", "scope", "status", "name"),
    [
        ("/v1/people/me", PROFILE, 400, "INVALID_ARGUMENT"),
        ("/v1/people/me?personFields=", PROFILE, 400, "INVALID_ARGUMENT"),
        ("/v1/people/me?personFields=names,shoes", PROFILE, 400, "INVALID_ARGUMENT"),
        ("/v1/people/me?personFields=names", "openid", 403, "PERMISSION_DENIED"),
    ],
)
def test_errors_have_the_newer_envelope(
    server: EmulatorServer, path: str, scope: str, status: int, name: str
) -> None:
    """
    A status by name instead of a list of reasons.
    """
    answered, body = person(server, path, scope)

    assert status == answered
    assert {"code": status, "status": name} == {
        key: body["error"][key]  # type: ignore[index]
        for key in ("code", "status")
    }
