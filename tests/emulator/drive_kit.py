"""What the tests of the emulator's Drive share: apps with a token, which call it over HTTP."""

import itertools
import json
from typing import Any

import requests

from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import DRIVE_APPDATA, DRIVE_FILE, PREFIX

FULL = PREFIX + "drive"
READONLY = PREFIX + "drive.readonly"
METADATA_READONLY = PREFIX + "drive.metadata.readonly"
APPDATA = DRIVE_APPDATA
FILE = DRIVE_FILE

_users = itertools.count(1)


def new_email() -> str:
    """An address that no other test uses, so that tests share an emulator and no files."""
    return f"user{next(_users)}@example.com"


def mint(
    emulator: EmulatorServer, email: str, scopes: tuple[str, ...], client: OAuthClient | None = None
) -> str:
    """An access token as a sign-in would earn it."""
    world = emulator.world
    app = client or world.web_client
    with world.lock:
        grant = world.consent(app, world.user(email), frozenset(scopes))
        token, _ = world.new_access_token(app, grant, frozenset(scopes))
    return token.value


def other_app(emulator: EmulatorServer, name: str = "other") -> OAuthClient:
    """A client of another project."""
    return emulator.world.add_client(OAuthClient(f"{name}.apps", "web", f"project-{name}", secrets=["s"]))


class App:
    """An app with a token for one user's drive."""

    def __init__(
        self,
        emulator: EmulatorServer,
        *scopes: str,
        email: str | None = None,
        client: OAuthClient | None = None,
    ) -> None:
        self.emulator = emulator
        self.email = email or new_email()
        self.token = mint(emulator, self.email, scopes or (APPDATA, FILE), client)
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, verb: str, path: str, **options: Any) -> requests.Response:
        """A request; a path that is an address is used as it is."""
        url = path if path.startswith("http") else self.emulator.url + path
        return self.http.request(verb, url, timeout=10, allow_redirects=False, **options)

    def create(self, **metadata: Any) -> dict[str, Any]:
        """A new file's whole resource."""
        response = self.call("POST", "/drive/v3/files", params={"fields": "*"}, json=metadata)
        assert response.status_code == 200, response.text
        return response.json()

    def put(self, content: bytes, content_type: str = "text/plain", **metadata: Any) -> dict[str, Any]:
        """A new file with content, by multipart upload; its whole resource."""
        body = (
            b"--cut\r\nContent-Type: application/json\r\n\r\n"
            + json.dumps(metadata).encode()
            + f"\r\n--cut\r\nContent-Type: {content_type}\r\n\r\n".encode()
            + content
            + b"\r\n--cut--\r\n"
        )
        response = self.call(
            "POST",
            "/upload/drive/v3/files",
            params={"uploadType": "multipart", "fields": "*"},
            data=body,
            headers={"Content-Type": "multipart/related; boundary=cut"},
        )
        assert response.status_code == 200, response.text
        return response.json()

    def names(self, **params: Any) -> list[str]:
        """The names that a list answers with, in its order."""
        response = self.call("GET", "/drive/v3/files", params=params)
        assert response.status_code == 200, response.text
        return [file["name"] for file in response.json()["files"]]

    def close(self) -> None:
        self.http.close()


def reason(response: requests.Response) -> tuple[int, str]:
    """Status and reason of an error in Drive's envelope."""
    error = response.json()["error"]
    assert error["code"] == response.status_code
    assert error["errors"][0]["message"] == error["message"]
    return response.status_code, error["errors"][0]["reason"]
