"""What the tests of the emulator's Google Photos share: apps that call it over HTTP with a user's token."""

from typing import Any

import requests

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import PHOTOS_APPEND, PHOTOS_EDIT, PHOTOS_READ, PICKER_READ
from tests.emulator.drive_kit import mint, new_email

CHUNK = 262_144
UPLOADS = "/photoslibrary/v1/uploads"
ITEMS = "/photoslibrary/v1/mediaItems"
ALBUMS = "/photoslibrary/v1/albums"
SESSIONS = "/photospicker/v1/sessions"
PICKED = "/photospicker/v1/mediaItems"

EVERYTHING = (PHOTOS_APPEND, PHOTOS_READ, PHOTOS_EDIT, PICKER_READ)


class PhotoApp:
    """An app with a token for one user's photos; unless told, of every scope that is left."""

    def __init__(
        self,
        emulator: EmulatorServer,
        *scopes: str,
        email: str | None = None,
        client: OAuthClient | None = None,
    ) -> None:
        self.emulator = emulator
        self.email = email or new_email()
        self.client = client
        self.scopes = scopes or EVERYTHING
        self.token = mint(emulator, self.email, self.scopes, client)
        self.http = requests.Session()

    def new_token(self) -> None:
        """As after a refresh."""
        self.token = mint(self.emulator, self.email, self.scopes, self.client)

    def call(self, verb: str, path: str, *, token: bool = True, **options: Any) -> requests.Response:
        """A request; a path that is an address is used as it is."""
        url = path if path.startswith("http") else self.emulator.url + path
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.http.request(verb, url, timeout=10, allow_redirects=False, headers=headers, **options)

    def good(self, verb: str, path: str, **options: Any) -> Any:
        """The JSON of a call that must work."""
        response = self.call(verb, path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def control(self, call: str, **body: Any) -> Any:
        """A control call that must work."""
        return self.good("POST", f"/emulator/{call}", token=False, json=body)

    def limits(self, **limits: Any) -> None:
        """Other limits than Google's."""
        self.control("photos/limits", **limits)

    # The Library API

    def upload(self, content: bytes | None = None) -> str:
        """An upload token by the raw protocol; by default of a drawn picture."""
        headers = {"Content-Type": "application/octet-stream", "X-Goog-Upload-Protocol": "raw"}
        response = self.call("POST", UPLOADS, data=sample(0) if content is None else content, headers=headers)
        assert response.status_code == 200, response.text
        return response.text

    def begin(self, size: int, kind: str = "image/png") -> str:
        """The address of a resumable upload."""
        headers = {
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Content-Type": kind,
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Raw-Size": str(size),
        }
        response = self.call("POST", UPLOADS, headers=headers)
        assert (200, "active") == (response.status_code, response.headers["x-goog-upload-status"])
        return response.headers["x-goog-upload-url"]

    def command(
        self, url: str, command: str, content: bytes = b"", offset: int | None = None, *, token: bool = True
    ) -> requests.Response:
        """One request to an upload's address."""
        headers = {"X-Goog-Upload-Command": command}
        if offset is not None:
            headers["X-Goog-Upload-Offset"] = str(offset)
        return self.call("POST", url, data=content, headers=headers, token=token)

    def received(self, url: str) -> int:
        """How much has arrived at an upload's address."""
        return int(self.command(url, "query").headers["x-goog-upload-size-received"])

    def create(self, *tokens: str, **body: Any) -> requests.Response:
        """batchCreate; the items are described by their number."""
        items = [
            {
                "description": f"number {number}",
                "simpleMediaItem": {"uploadToken": token, "fileName": f"{number}.png"},
            }
            for number, token in enumerate(tokens)
        ]
        return self.call("POST", f"{ITEMS}:batchCreate", json={"newMediaItems": items, **body})

    def made(self, count: int = 1, **body: Any) -> list[dict[str, Any]]:
        """*count* new items."""
        response = self.create(*(self.upload() for _ in range(count)), **body)
        assert response.status_code == 200, response.text
        return [result["mediaItem"] for result in response.json()["newMediaItemResults"]]

    def album(self, title: str = "Enhanced") -> str:
        """A new album's id."""
        return str(self.good("POST", ALBUMS, json={"album": {"title": title}})["id"])

    def in_album(self, album: str) -> list[str]:
        """The ids in an album, in its order."""
        found = self.good("POST", f"{ITEMS}:search", json={"albumId": album, "pageSize": 100})
        return [item["id"] for item in found.get("mediaItems", [])]

    # The Picker API

    def own(self, count: int = 3) -> list[str]:
        """Photos of the user's own; their ids."""
        added = self.control("photos", email=self.email, samples=count)["photos"]
        return [photo["id"] for photo in added]

    def session(self, **config: Any) -> dict[str, Any]:
        """A new picking session."""
        return dict(self.good("POST", SESSIONS, json={"pickingConfig": config} if config else {}))

    def pick(self, session: str, **what: Any) -> list[str]:
        """The user picks, without a browser."""
        return list(self.control("pick", email=self.email, session=session, **what)["picked"])

    def close(self) -> None:
        self.http.close()


def reason(response: requests.Response) -> tuple[int, str]:
    """Status and name of an error in the newer envelope."""
    error = response.json()["error"]
    assert error["code"] == response.status_code
    assert error["message"]
    return response.status_code, error["status"]


def info(response: requests.Response) -> str:
    """The reason that the details of an error give."""
    detail = response.json()["error"]["details"][0]
    assert detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    return str(detail["reason"])
