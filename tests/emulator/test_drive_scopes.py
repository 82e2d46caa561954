"""Which scope opens what in the emulator's Drive."""

from collections.abc import Iterator

import pytest

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import EMAIL
from tests.emulator.drive_kit import (
    APPDATA,
    FILE,
    FULL,
    METADATA_READONLY,
    READONLY,
    App,
    new_email,
    other_app,
    reason,
)


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test has users of its own."""
    with EmulatorServer() as emulator:
        yield emulator


class Seen:
    """One user's drive: a file of our app, one of another app, and one in our hidden folder."""

    def __init__(self, emulator: EmulatorServer) -> None:
        self.emulator = emulator
        self.email = new_email()
        ours = App(emulator, FILE, APPDATA, email=self.email)
        theirs = App(emulator, FILE, email=self.email, client=other_app(emulator))
        self.ids = {
            "ours": ours.put(b"x", name="ours")["id"],
            "theirs": theirs.put(b"x", name="theirs")["id"],
            "hidden": ours.put(b"x", name="hidden", parents=["appDataFolder"])["id"],
        }
        ours.close()
        theirs.close()
        self.apps: list[App] = []

    def app(self, *scopes: str) -> App:
        app = App(self.emulator, *scopes, email=self.email)
        self.apps.append(app)
        return app


@pytest.fixture
def seen(server: EmulatorServer) -> Iterator[Seen]:
    seen = Seen(server)
    yield seen
    for app in seen.apps:
        app.close()


def outcome(app: App, verb: str, path: str, **options: object) -> int | str:
    """The status of a success, the reason of a refusal."""
    response = app.call(verb, path, **options)
    return response.status_code if response.status_code < 400 else reason(response)[1]


NOT_FOUND, REFUSED = "notFound", "appNotAuthorizedToFile"
NO_SCOPE = "insufficientPermissions"


@pytest.mark.parametrize(
    ("scope", "file", "get", "content", "patch", "delete"),
    [
        (FULL, "ours", 200, 200, 200, 204),
        (FULL, "theirs", 200, 200, 200, 204),
        (FULL, "hidden", NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (FILE, "ours", 200, 200, 200, 204),
        (FILE, "theirs", NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (FILE, "hidden", NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (APPDATA, "ours", NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (APPDATA, "theirs", NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (APPDATA, "hidden", 200, 200, 200, 204),
        (READONLY, "ours", 200, 200, NO_SCOPE, NO_SCOPE),
        (READONLY, "theirs", 200, 200, NO_SCOPE, NO_SCOPE),
        (READONLY, "hidden", NOT_FOUND, NOT_FOUND, NO_SCOPE, NO_SCOPE),
        (METADATA_READONLY, "theirs", 200, REFUSED, NO_SCOPE, NO_SCOPE),
        (EMAIL, "ours", NO_SCOPE, NO_SCOPE, NO_SCOPE, NO_SCOPE),
    ],
)
def test_a_scope_opens_what_it_says_and_no_more(
    seen: Seen, scope: str, file: str, get: object, content: object, patch: object, delete: object
) -> None:
    """
    Seeing, reading, changing, deleting: by scope and by whose file it is.
    """
    app, path = seen.app(scope), f"/drive/v3/files/{seen.ids[file]}"

    assert get == outcome(app, "GET", path)
    assert content == outcome(app, "GET", path, params={"alt": "media"})
    assert patch == outcome(app, "PATCH", path, json={"description": "d"})
    assert delete == outcome(app, "DELETE", path)


@pytest.mark.parametrize(
    ("scopes", "spaces", "names"),
    [
        ((FULL,), "drive", ["ours", "theirs"]),
        ((FILE,), "drive", ["ours"]),
        ((READONLY,), "drive", ["ours", "theirs"]),
        ((METADATA_READONLY,), "drive", ["ours", "theirs"]),
        ((APPDATA,), "drive", []),
        ((APPDATA,), "appDataFolder", ["hidden"]),
        ((APPDATA, FILE), "drive,appDataFolder", ["hidden", "ours"]),
    ],
)
def test_a_list_holds_what_the_scopes_open(
    seen: Seen, scopes: tuple[str, ...], spaces: str, names: list[str]
) -> None:
    """
    What is not visible is left out in silence.
    """
    assert names == sorted(seen.app(*scopes).names(spaces=spaces))


@pytest.mark.parametrize(
    ("verb", "path", "options"),
    [
        ("GET", "/drive/v3/files/appDataFolder", {}),
        ("GET", "/drive/v3/files/appfolder", {}),
        ("GET", "/drive/v3/files?spaces=appDataFolder", {}),
        ("GET", "/drive/v3/files/generateIds?space=appDataFolder", {}),
        ("POST", "/drive/v3/files", {"json": {"parents": ["appDataFolder"]}}),
    ],
)
def test_the_hidden_space_needs_its_own_scope(
    seen: Seen, verb: str, path: str, options: dict[str, object]
) -> None:
    """
    Even full access to the drive does not open it; the challenge names the scope to ask for.
    """
    response = seen.app(FULL, FILE).call(verb, path, **options)

    assert (403, "insufficientPermissions") == reason(response)
    challenge = response.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert APPDATA in challenge


def test_a_method_names_the_scopes_that_would_open_it(seen: Seen) -> None:
    """
    The challenge has realm, error and scope (RFC 6750 3).
    """
    response = seen.app(EMAIL).call("GET", "/drive/v3/files")

    assert (403, "insufficientPermissions") == reason(response)
    assert (
        'Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="'
        in (response.headers["www-authenticate"])
    )


def test_the_hidden_scope_alone_cannot_write_to_the_drive(seen: Seen) -> None:
    """
    A file without a parent goes to My Drive, which drive.appdata does not open.
    """
    app = seen.app(APPDATA)

    assert NO_SCOPE == outcome(app, "POST", "/drive/v3/files", json={"name": "a"})


def test_an_app_cannot_put_a_file_into_a_folder_it_does_not_see(seen: Seen) -> None:
    """
    drive.file: folders of others are not found, My Drive itself is.
    """
    everything = seen.app(FULL)
    folder_type = "application/vnd.google-apps.folder"
    theirs = App(seen.emulator, FILE, email=seen.email, client=other_app(seen.emulator))
    folder = theirs.create(name="f", mimeType=folder_type)["id"]
    theirs.close()
    root = everything.call("GET", "/drive/v3/files/root").json()["id"]
    app = seen.app(FILE)

    assert NOT_FOUND == outcome(app, "POST", "/drive/v3/files", json={"parents": [folder]})
    assert 200 == outcome(app, "POST", "/drive/v3/files", json={"parents": ["root"]})
    assert 200 == outcome(app, "POST", "/drive/v3/files", json={"parents": [root]})
    not_a_folder = {"parents": [seen.ids["ours"]]}
    assert "parentNotAFolder" == outcome(app, "POST", "/drive/v3/files", json=not_a_folder)


def test_app_properties_are_private_to_the_app(seen: Seen) -> None:
    """
    Two apps that see one file keep their own; `properties` are everyone's.
    """
    path = f"/drive/v3/files/{seen.ids['ours']}"
    ours = seen.app(FULL)
    theirs = App(seen.emulator, FULL, email=seen.email, client=other_app(seen.emulator))
    ours.call("PATCH", path, json={"appProperties": {"k": "ours"}, "properties": {"p": "all"}})
    theirs.call("PATCH", path, json={"appProperties": {"k": "theirs"}})
    shown = {"fields": "appProperties,properties"}

    assert {"appProperties": {"k": "ours"}, "properties": {"p": "all"}} == ours.call(
        "GET", path, params=shown
    ).json()
    assert {"appProperties": {"k": "theirs"}, "properties": {"p": "all"}} == theirs.call(
        "GET", path, params=shown
    ).json()
    theirs.close()
