"""Google's own sign-in libraries for Python against the emulator, unpatched."""

from collections.abc import Iterator
from typing import Any

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.credentials
import google.oauth2.id_token
import pytest
import requests
from google_auth_oauthlib.flow import Flow

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.oauth_kit import ADA, APPDATA, EMAIL, FILE, PROFILE, Backend
from tests.emulator.test_authorization import Browser

GOOGLE = "https://accounts.google.com"


@pytest.fixture
def transport() -> Iterator[google.auth.transport.requests.Request]:
    with requests.Session() as session:
        yield google.auth.transport.requests.Request(session)


@pytest.fixture
def insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    """oauthlib's own switch for plain HTTP on a loopback."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def credentials(backend: Backend, **options: Any) -> google.oauth2.credentials.Credentials:
    return google.oauth2.credentials.Credentials(
        token=None,
        refresh_token=backend.sign_in(scopes=[APPDATA], force=True)["refresh_token"],
        token_uri=f"{backend.url}/token",
        client_id=backend.client.id,
        client_secret=backend.client.secrets[0],
        **options,
    )


def test_google_auth_refreshes(backend: Backend, transport: google.auth.transport.requests.Request) -> None:
    """
    And keeps its refresh token.
    """
    ours = credentials(backend)
    before = ours.refresh_token
    ours.refresh(transport)

    assert ours.valid
    assert 200 == backend.api(str(ours.token))
    assert before == ours.refresh_token


def test_google_auth_sends_its_scopes_at_every_refresh(
    backend: Backend, transport: google.auth.transport.requests.Request
) -> None:
    """
    Which works with granted ones, short names included, and fails with one that was unticked.
    """
    granted = credentials(backend, scopes=["email", APPDATA])
    granted.refresh(transport)
    hopeful = credentials(backend, scopes=[FILE])

    assert {EMAIL, APPDATA, "openid"} == set(granted.granted_scopes)
    with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_scope"):
        hopeful.refresh(transport)


def test_google_auth_reports_a_revoked_grant(
    backend: Backend, transport: google.auth.transport.requests.Request
) -> None:
    """
    With the answer as its second argument.
    """
    ours = credentials(backend)
    backend.control("revoke", email=ADA)

    with pytest.raises(google.auth.exceptions.RefreshError) as caught:
        ours.refresh(transport)

    assert "invalid_grant" == caught.value.args[1]["error"]


def test_google_auth_knows_invalid_rapt(
    backend: Backend, transport: google.auth.transport.requests.Request
) -> None:
    """
    And tells the user about reauthentication.
    """
    ours = credentials(backend)
    backend.control("users", email=ADA, reauth_required=True)

    with pytest.raises(google.auth.exceptions.RefreshError, match=r"[Rr]eauth"):
        ours.refresh(transport)


def test_google_auth_verifies_an_id_token(
    backend: Backend, transport: google.auth.transport.requests.Request
) -> None:
    """
    From the certificates; for the JWK set it wants another library.
    """
    token = backend.sign_in()["id_token"]

    claims = google.oauth2.id_token.verify_token(
        token, transport, audience=backend.client.id, certs_url=f"{backend.url}/oauth2/v1/certs"
    )

    assert (ADA, backend.url) == (claims["email"], claims["iss"])


def test_google_auth_verifies_as_googles_own_under_googles_name() -> None:
    """
    ``verify_oauth2_token`` fixes the issuer and the address of the certificates; the transport, which is
    the caller's to give, leads it here.
    """
    with EmulatorServer(issuer=GOOGLE) as emulator, requests.Session() as session:
        plain = google.auth.transport.requests.Request(session)

        def transport(url: str, **options: Any) -> Any:
            return plain(url.replace("https://www.googleapis.com", emulator.url), **options)

        backend = Backend(emulator)
        token = backend.sign_in()["id_token"]
        claims = google.oauth2.id_token.verify_oauth2_token(token, transport, audience=backend.client.id)
        stranger = backend.control("id_token", email=ADA, aud="somebody-else")["id_token"]
        with pytest.raises(google.auth.exceptions.InvalidValue, match="audience"):
            google.oauth2.id_token.verify_oauth2_token(stranger, transport, audience=backend.client.id)
        backend.close()

    assert (GOOGLE, ADA) == (claims["iss"], claims["email"])


@pytest.mark.usefixtures("insecure")
def test_google_auth_oauthlib_signs_in_through_the_pages(backend: Backend) -> None:
    """
    From the client file, with the PKCE it makes by itself and HTTP Basic at the token endpoint.
    """
    flow = Flow.from_client_config(
        backend.get("/emulator/client_secret.json").json(),
        scopes=["openid", EMAIL, PROFILE, APPDATA],
        redirect_uri=backend.client.redirect_uris[0],
        autogenerate_code_verifier=True,
    )
    url, state = flow.authorization_url(access_type="offline", prompt="consent")
    browser = Browser(backend)
    answer = browser.visit(url).sign_in().decide().answer
    flow.fetch_token(code=answer["code"])
    browser.http.close()

    assert state == answer["state"]
    assert 200 == backend.api(flow.credentials.token)
    assert flow.credentials.refresh_token
    flow.oauth2session.close()


@pytest.mark.usefixtures("insecure")
def test_google_auth_oauthlib_cannot_send_an_empty_redirect_uri(backend: Backend) -> None:
    """
    It leaves the parameter out, which works here and is counted, as nobody knows what Google does.
    """
    flow = Flow.from_client_config(
        backend.get("/emulator/client_secret.json").json(),
        scopes=["openid", EMAIL, PROFILE, APPDATA],
        redirect_uri="",
    )
    flow.fetch_token(code=backend.code(scopes=[APPDATA]))

    assert {"absent": 1} == backend.stats()["redirect_uri"]["ios"]
    flow.oauth2session.close()


@pytest.mark.usefixtures("insecure")
def test_oauthlib_stumbles_over_granular_consent(backend: Backend) -> None:
    """
    Fewer scopes than asked for are an exception there, as with Google.
    """
    flow = Flow.from_client_config(
        backend.get("/emulator/client_secret.json").json(),
        scopes=["openid", EMAIL, PROFILE, APPDATA, FILE],
        redirect_uri=backend.client.redirect_uris[0],
    )

    with pytest.raises(Warning, match="Scope has changed"):
        flow.fetch_token(code=backend.code(scopes=[APPDATA], source="web"))

    flow.oauth2session.close()


def test_google_auth_revokes_through_its_session(
    backend: Backend, transport: google.auth.transport.requests.Request
) -> None:
    """
    The token in the query, as the guide's samples do it.
    """
    ours = credentials(backend)
    response = requests.post(
        f"{backend.url}/revoke",
        params={"token": ours.refresh_token},
        headers={"content-type": "application/x-www-form-urlencoded"},
        timeout=5,
    )

    assert 200 == response.status_code
    with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_grant"):
        ours.refresh(transport)


def test_the_guides_own_client_redeems_a_popup_code(backend: Backend, tmp_path: Any) -> None:
    """
    oauth2client sends ``postmessage`` and a scope along; for a code from the phone that is a mismatch.
    """
    import httplib2
    from oauth2client import client

    file = tmp_path / "client_secret.json"
    file.write_bytes(backend.get("/emulator/client_secret.json").content)
    http = httplib2.Http()

    def redeem(code: str) -> Any:
        flow = client.flow_from_clientsecrets(
            str(file), [APPDATA, "profile", "email"], redirect_uri="postmessage"
        )
        return flow.step2_exchange(code, http=http)

    got = redeem(backend.code(source="web-popup", scopes=["email", "profile", APPDATA]))
    with pytest.raises(client.FlowExchangeError, match="redirect_uri_mismatch"):
        redeem(backend.code(source="ios"))
    http.close()

    assert ADA == got.id_token["email"]
    assert got.refresh_token.startswith("1//")
