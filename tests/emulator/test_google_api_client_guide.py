"""The calls of the guide's Python sample, with the libraries it names: oauth2client 4.1.3 and apiclient."""

import json
from collections.abc import Iterator
from pathlib import Path

import httplib2
import pytest
import requests
from apiclient import discovery
from oauth2client import client

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.google_kit import code, document_url

# oauth2client opens a connection of its own for the token endpoint and never closes it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SCOPES = ["https://www.googleapis.com/auth/drive.appdata", "profile", "email"]


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def client_secret_file(server: EmulatorServer, tmp_path: Path) -> str:
    """The file that the guide downloads from the console."""
    path = tmp_path / "client_secret.json"
    path.write_bytes(requests.get(f"{server.url}/emulator/client_secret.json", timeout=10).content)
    return str(path)


def test_the_guides_sample(server: EmulatorServer, client_secret_file: str) -> None:
    """
    Exchange the code, read the folder, know the user; only the address of the documents is added.
    """
    auth_code = code(server, "ada@example.com", "web-popup", *SCOPES)

    credentials = client.credentials_from_clientsecrets_and_code(client_secret_file, SCOPES, auth_code)
    http_auth = credentials.authorize(httplib2.Http())
    drive_service = discovery.build(
        "drive",
        "v3",
        http=http_auth,
        discoveryServiceUrl=document_url(server),
        static_discovery=False,
    )
    appfolder = drive_service.files().get(fileId="appfolder").execute()

    assert "Application Data" == appfolder["name"]
    user = server.world.user("ada@example.com")
    assert (user.sub, "ada@example.com") == (credentials.id_token["sub"], credentials.id_token["email"])
    assert credentials.refresh_token is not None
    drive_service.close()


def test_the_samples_credentials_refresh(server: EmulatorServer, client_secret_file: str) -> None:
    """
    On 401 oauth2client refreshes at the token endpoint of the client file and sends the call again.
    """
    auth_code = code(server, "grace@example.com", "web-popup", *SCOPES)
    credentials = client.credentials_from_clientsecrets_and_code(client_secret_file, SCOPES, auth_code)
    old = credentials.access_token
    server.world.access_tokens[old].dead = True
    http = credentials.authorize(httplib2.Http())
    response, content = http.request(f"{server.url}/drive/v3/files/appfolder")
    http.close()

    assert (200, "Application Data") == (response.status, json.loads(content)["name"])
    assert old != credentials.access_token


def test_the_sample_sends_a_code_once(server: EmulatorServer, client_secret_file: str) -> None:
    """
    A code that was used is an error of the library's own kind.
    """
    auth_code = code(server, "alan@example.com", "web-popup", *SCOPES)
    client.credentials_from_clientsecrets_and_code(client_secret_file, SCOPES, auth_code)

    with pytest.raises(client.FlowExchangeError, match="invalid_grant"):
        client.credentials_from_clientsecrets_and_code(client_secret_file, SCOPES, auth_code)
