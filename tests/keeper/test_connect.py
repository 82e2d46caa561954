"""The redirect flow: state and cookie, PKCE, nonce and iss, tickets and results that are good once."""

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest

from grantkeeper.errors import CodeRefused, GrantkeeperError, InvalidRequest, WrongAccount
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import PUBLIC_URL, SCOPES

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"
BACK = "https://app.example.com/back"


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def sign_in(google: GoogleEmulator, asked: Mapping[str, str], email: str = ADA) -> str:
    """What the browser does at Google; the code it comes back with."""
    return google.code(
        email,
        asked["scope"].split(),
        source="web",
        redirect_uri=asked["redirect_uri"],
        nonce=asked["nonce"],
        code_challenge=asked["code_challenge"],
        force=True,
    )


async def test_a_sign_in_by_redirect(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Out with state, nonce and challenge; back with a code; the backend fetches what came of it.
    """
    begun = await core.connect.begin("default", return_to=BACK + "?tab=1", scopes=list(SCOPES))
    asked = query(begun.url)
    code = sign_in(google_emulator, asked)

    address = await core.connect.callback(
        state=asked["state"], cookie=begun.cookie, code=code, error=None, iss=google_emulator.issuer
    )
    grant = await core.connect.result(query(address)["result"])

    assert "1" == query(address)["tab"]
    assert (code.sub, GrantState.ACTIVE) == (grant.subject, grant.state)  # type: ignore[attr-defined]
    assert grant.session is not None
    assert ("S256", PUBLIC_URL + "/connect/callback", "offline") == (
        asked["code_challenge_method"],
        asked["redirect_uri"],
        asked["access_type"],
    )


async def test_everything_is_good_once(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    A state that came back, and a result that was fetched, are gone.
    """
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES))
    asked = query(begun.url)
    came = {"state": asked["state"], "cookie": begun.cookie, "error": None, "iss": google_emulator.issuer}
    address = await core.connect.callback(code=sign_in(google_emulator, asked), **came)
    await core.connect.result(query(address)["result"])

    with pytest.raises(InvalidRequest):
        await core.connect.callback(code="4/0again", **came)
    with pytest.raises(InvalidRequest):
        await core.connect.result(query(address)["result"])


@pytest.mark.parametrize("cookie", [None, "", "another"])
async def test_another_browser_cannot_finish_it(core: KeeperCore, cookie: str | None) -> None:
    """
    The state alone is not enough: the cookie of the browser that began must come with it.
    """
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES))

    with pytest.raises(InvalidRequest):
        await core.connect.callback(
            state=query(begun.url)["state"], cookie=cookie, code="4/0x", error=None, iss=None
        )


async def test_a_state_lives_ten_minutes(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Who comes back later begins again.
    """
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES))
    google_emulator.advance(601)

    with pytest.raises(InvalidRequest):
        await core.connect.callback(
            state=begun.cookie, cookie=begun.cookie, code="4/0x", error=None, iss=google_emulator.issuer
        )


@pytest.mark.parametrize("iss", [None, "https://accounts.google.com", "http://127.0.0.1:1"])
async def test_an_answer_of_another_issuer_is_not_redeemed(
    core: KeeperCore, google_emulator: GoogleEmulator, iss: str | None
) -> None:
    """
    Discovery announces iss, so absent is as wrong as another's; the code is not sent.
    """
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES))
    asked = query(begun.url)

    address = await core.connect.callback(
        state=begun.cookie, cookie=begun.cookie, code=sign_in(google_emulator, asked), error=None, iss=iss
    )

    assert "invalid_request" == query(address)["error"]
    assert 0 == google_emulator.count("token", "authorization_code")


async def test_a_user_who_says_no_returns_with_the_error(core: KeeperCore) -> None:
    """
    The app learns access_denied; there is nothing to fetch.
    """
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES))

    address = await core.connect.callback(
        state=begun.cookie, cookie=begun.cookie, code=None, error="access_denied", iss=None
    )

    assert {"error": "access_denied"} == query(address)


async def test_a_failure_is_told_to_the_backend(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    A code that Google refuses: the browser sees the name, the backend the whole error.
    """
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES))
    address = await core.connect.callback(
        state=begun.cookie, cookie=begun.cookie, code="4/0never", error=None, iss=google_emulator.issuer
    )

    with pytest.raises(CodeRefused):
        await core.connect.result(query(address)["result"])
    assert "code_refused" == query(address)["error"]


@pytest.mark.parametrize(
    "return_to", ["https://evil.example/back", "https://app.example.com/elsewhere", "javascript:alert(1)", ""]
)
async def test_only_listed_addresses_are_returned_to(core: KeeperCore, return_to: str) -> None:
    """
    An open redirect would hand the result to anybody.
    """
    with pytest.raises(InvalidRequest):
        await core.connect.begin("default", return_to=return_to)


async def test_a_ticket_attaches_the_user_and_is_good_once(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Only the app's backend can say whose sign-in it is.
    """
    ticket, _ = await core.connect.ticket("default", "u-1")
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES), ticket=ticket)
    asked = query(begun.url)
    address = await core.connect.callback(
        state=begun.cookie,
        cookie=begun.cookie,
        code=sign_in(google_emulator, asked),
        error=None,
        iss=google_emulator.issuer,
    )
    grant = await core.connect.result(query(address)["result"])

    assert "u-1" == (await core.grant(grant.id)).user
    with pytest.raises(InvalidRequest):
        await core.connect.begin("default", return_to=BACK, ticket=ticket)


async def test_a_ticket_may_insist_on_an_account(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Somebody else signed in: told to the backend, and no link moves.
    """
    ticket, _ = await core.connect.ticket("default", "u-1", "12345")
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES), ticket=ticket)
    address = await core.connect.callback(
        state=begun.cookie,
        cookie=begun.cookie,
        code=sign_in(google_emulator, query(begun.url)),
        error=None,
        iss=google_emulator.issuer,
    )

    with pytest.raises(GrantkeeperError) as caught:
        await core.connect.result(query(address)["result"])
    assert isinstance(caught.value, WrongAccount)
