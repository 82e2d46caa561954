"""A backend that speaks to the emulator over HTTP, for its tests."""

import base64
import hashlib
from typing import Any

import requests

from grantkeeper.emulator.jose import read
from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.runner import EmulatorServer

PREFIX = "https://www.googleapis.com/auth/"
EMAIL = PREFIX + "userinfo.email"
PROFILE = PREFIX + "userinfo.profile"
APPDATA = PREFIX + "drive.appdata"
FILE = PREFIX + "drive.file"
PHOTOS = PREFIX + "photoslibrary.appendonly"

ADA = "ada.lovelace@example.com"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Backend:
    """A server with a client of its own; unless told, with the emulator's default web client."""

    def __init__(self, emulator: EmulatorServer, client: OAuthClient | None = None) -> None:
        self.emulator = emulator
        self.url = emulator.url
        self.client = client or emulator.world.web_client
        self.http = requests.Session()

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET *path*; redirects are answers, not followed."""
        return self.http.get(self.url + path, allow_redirects=False, timeout=10, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST to *path*."""
        return self.http.post(self.url + path, allow_redirects=False, timeout=10, **options)

    def control(self, call: str, **body: Any) -> Any:
        """A control call that must work."""
        response = self.post(f"/emulator/{call}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def stats(self) -> Any:
        """The counters."""
        return self.get("/emulator/stats").json()

    def token(self, **form: str) -> requests.Response:
        """A request to the token endpoint with the client's credentials; an empty *form* value is sent."""
        own = {"client_id": self.client.id}
        if self.client.secrets:
            own["client_secret"] = self.client.secrets[0]
        return self.post("/token", data=own | form)

    def code(self, email: str = ADA, **body: Any) -> str:
        """A code from the phone, or whichever source is named."""
        return str(self.control("code", email=email, client_id=self.client.id, **body)["code"])

    def redeem(self, code: str, redirect_uri: str | None = "", **form: str) -> requests.Response:
        """Send a code; the *redirect_uri* None is omitted."""
        sent = {} if redirect_uri is None else {"redirect_uri": redirect_uri}
        return self.token(grant_type="authorization_code", code=code, **sent, **form)

    def sign_in(self, email: str = ADA, **body: Any) -> dict[str, Any]:
        """The token answer of a whole sign-in on the phone."""
        response = self.redeem(self.code(email, **body))
        assert response.status_code == 200, response.text
        return dict(response.json())

    def refresh(self, refresh_token: str, **form: str) -> requests.Response:
        """Send a refresh token."""
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **form)

    def api(self, access_token: str) -> int:
        """The status of an API call with *access_token*."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.get("/v1/userinfo", headers=headers).status_code


def claims(id_token: str) -> dict[str, Any]:
    """The claims of an ID token, not verified."""
    return read(id_token)[1]


def refused(response: requests.Response) -> tuple[int, str]:
    """Status and error code of an OAuth error answer."""
    return response.status_code, response.json()["error"]


def scopes(answer: dict[str, Any]) -> set[str]:
    """The scopes of a token answer."""
    return set(answer["scope"].split())
