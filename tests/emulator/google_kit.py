"""Google's own Python clients, pointed at the emulator by their own configuration and not patched."""

import contextlib
from collections.abc import Iterator
from typing import Any

import google.oauth2.credentials
import googleapiclient.discovery
import requests

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import APPDATA, FILE, new_email


def client_file(emulator: EmulatorServer) -> dict[str, Any]:
    """The `web` member of the emulator's client_secret.json."""
    return requests.get(f"{emulator.url}/emulator/client_secret.json", timeout=10).json()["web"]


def code(emulator: EmulatorServer, email: str, source: str, *scopes: str) -> str:
    """A one-time code, as the app on the phone or the page in the browser gets it."""
    body = {"email": email, "scopes": ["openid", *scopes], "source": source}
    response = requests.post(f"{emulator.url}/emulator/code", json=body, timeout=10)
    assert response.status_code == 200, response.text
    return response.json()["code"]


def signed_in(
    emulator: EmulatorServer, *scopes: str, email: str | None = None
) -> google.oauth2.credentials.Credentials:
    """Stock credentials of Google's library, from a code that was redeemed at the emulator."""
    client = client_file(emulator)
    form = {
        "grant_type": "authorization_code",
        "code": code(emulator, email or new_email(), "ios", *(scopes or (APPDATA, FILE))),
        "redirect_uri": "",
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    }
    answer = requests.post(client["token_uri"], data=form, timeout=10).json()
    return google.oauth2.credentials.Credentials(
        answer["access_token"],
        refresh_token=answer["refresh_token"],
        token_uri=client["token_uri"],
        client_id=client["client_id"],
        client_secret=client["client_secret"],
    )


def document_url(emulator: EmulatorServer) -> str:
    """Where discovery documents are, as `build` wants it."""
    return emulator.url + "/discovery/v1/apis/{api}/{apiVersion}/rest"


@contextlib.contextmanager
def drive(emulator: EmulatorServer, **options: Any) -> Iterator[Any]:
    """A Drive client built from the emulator's discovery document."""
    service = googleapiclient.discovery.build(
        "drive", "v3", discoveryServiceUrl=document_url(emulator), static_discovery=False, **options
    )
    with service:
        yield service
