"""The world as tests in the same process see it."""

import pytest

from grantkeeper.emulator.issuing import issue_code
from grantkeeper.emulator.scopes import canonical, joined
from grantkeeper.emulator.world import World
from tests.emulator.oauth_kit import ADA, APPDATA, EMAIL, PROFILE


@pytest.fixture
def world() -> World:
    return World("http://127.0.0.1:1")


def test_an_account_is_made_at_first_sight_and_kept(world: World) -> None:
    """
    Whatever the case of its address, and with the same subject in another world.
    """
    ada = world.user(ADA)

    assert ada is world.user(ADA.upper())
    assert ada is world.user_by_sub(ada.sub)
    assert ada.sub == World("http://127.0.0.1:2").user(ADA).sub
    assert len(ada.sub) == 21
    assert ada.sub.isdigit()


@pytest.mark.parametrize(
    "email, name",
    [("ada.lovelace@x.example", "Ada Lovelace"), ("bob@x.example", "Bob Example"), ("@", "User Example")],
)
def test_an_account_is_named_after_its_address(world: World, email: str, name: str) -> None:
    """
    Good enough to be told apart on a page.
    """
    assert name == world.user(email).name


def test_clients_are_the_same_at_every_start(world: World) -> None:
    """
    So a saved client file stays good when the emulator is started again.
    """
    again = World("http://127.0.0.1:2")

    assert world.web_client.id == again.web_client.id
    assert world.web_client.secrets == again.web_client.secrets
    assert len({client.id for client in world.clients.values()}) == len(world.clients) == 4


def test_no_secret_shows_in_a_repr(world: World) -> None:
    """
    Failing tests print their values.
    """
    client, user = world.web_client, world.user(ADA)
    code = issue_code(world, client, user, frozenset({"openid"}), "ios", nonce="n")
    refresh = world.new_refresh_token(client, code.grant, code.scopes)
    access, _ = world.new_access_token(client, code.grant, code.scopes, refresh_token=refresh)
    shown = f"{client!r} {code!r} {refresh!r} {access!r}"

    assert all(secret not in shown for secret in (code.value, refresh.value, access.value, client.secrets[0]))


def test_expired_access_tokens_are_forgotten_in_time(world: World) -> None:
    """
    A load test of hours does not fill the memory.
    """
    client = world.web_client
    grant = world.consent(client, world.user(ADA), frozenset({"openid"}))
    for _ in range(4000):
        world.new_access_token(client, grant, grant.scopes)
    world.advance(3601)
    for _ in range(100):
        world.new_access_token(client, grant, grant.scopes)

    assert 100 == len(world.access_tokens)


def test_reset_tells_whoever_keeps_state_elsewhere(world: World) -> None:
    """
    Drive forgets its files with the users.
    """
    told: list[str] = []
    world.on_reset.append(lambda: told.append("reset"))
    world.reset()

    assert ["reset"] == told


@pytest.mark.parametrize(
    "asked, canonical_scopes",
    [
        (["email"], {"openid", EMAIL}),
        (["profile", "openid"], {"openid", PROFILE}),
        ([EMAIL], {"openid", EMAIL}),
        ([APPDATA], {APPDATA}),
        ([], set()),
    ],
)
def test_scopes_have_one_name(asked: list[str], canonical_scopes: set[str]) -> None:
    """
    Google answers with URLs and adds openid.
    """
    assert canonical_scopes == canonical(asked)


def test_the_order_of_scopes_is_not_the_requests() -> None:
    """
    Nobody may rely on it.
    """
    assert f"openid {EMAIL} {APPDATA}" == joined([APPDATA, EMAIL, "openid"])
