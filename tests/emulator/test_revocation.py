"""The revocation endpoint."""

import pytest

from tests.emulator.oauth_kit import ADA, Backend, refused


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("place", ["params", "data"])
def test_a_token_in_the_query_or_the_form_ends_the_grant(backend: Backend, kind: str, place: str) -> None:
    """
    Whichever of the two tokens it is, both die.
    """
    answer = backend.sign_in()

    response = backend.post("/revoke", **{place: {"token": answer[kind]}})

    assert 200 == response.status_code
    assert (400, "invalid_grant") == refused(backend.refresh(answer["refresh_token"]))
    assert 401 == backend.api(answer["access_token"])


def test_the_grant_ends_for_every_client_of_the_project(backend: Backend) -> None:
    """
    A combined authorization ends as a whole, and only that user's.
    """
    sibling = Backend(backend.emulator, backend.emulator.world.desktop_client)
    mine = backend.sign_in()
    theirs = sibling.redeem(sibling.code(force=True)).json()
    bobs = backend.sign_in("bob@example.com")

    backend.post("/revoke", data={"token": mine["access_token"]})

    assert (400, "invalid_grant") == refused(sibling.refresh(theirs["refresh_token"]))
    assert 200 == backend.refresh(bobs["refresh_token"]).status_code
    sibling.close()


def test_another_project_keeps_its_grant(backend: Backend) -> None:
    """
    Grants of different projects have nothing to do with each other.
    """
    made = backend.control("clients", project="999")
    stranger = Backend(backend.emulator, backend.emulator.world.clients[made["client_id"]])
    theirs = stranger.redeem(stranger.code()).json()
    mine = backend.sign_in()

    backend.post("/revoke", data={"token": mine["refresh_token"]})

    assert 200 == stranger.refresh(theirs["refresh_token"]).status_code
    stranger.close()


def test_the_older_path_takes_get(backend: Backend) -> None:
    """
    The iOS SDK's ``disconnect`` calls it so.
    """
    answer = backend.sign_in()

    response = backend.get("/o/oauth2/revoke", params={"token": answer["access_token"]})

    assert 200 == response.status_code
    assert (400, "invalid_grant") == refused(backend.refresh(answer["refresh_token"]))


def test_a_dead_token_is_an_invalid_token(backend: Backend) -> None:
    """
    400, which means the same as success to a client.
    """
    token = backend.sign_in()["refresh_token"]
    backend.post("/revoke", data={"token": token})

    again = backend.post("/revoke", data={"token": token})
    unknown = backend.post("/revoke", data={"token": "nothing"})
    missing = backend.post("/revoke")

    assert (400, "invalid_token") == refused(again)
    assert (400, "invalid_token") == refused(unknown)
    assert (400, "invalid_request") == refused(missing)
    assert {
        "refresh_token": {"ok": 1, "invalid_token": 1},
        "unknown": {"invalid_token": 1, "invalid_request": 1},
    } == backend.stats()["revoke"]


def test_revoking_an_expired_access_token_does_no_harm(backend: Backend) -> None:
    """
    It is not a token any more, so the grant lives on.
    """
    answer = backend.sign_in()
    backend.control("clock", advance=4000)

    assert (400, "invalid_token") == refused(backend.post("/revoke", data={"token": answer["access_token"]}))
    assert 200 == backend.refresh(answer["refresh_token"]).status_code


def test_revoking_a_superseded_token_kills_the_one_that_replaced_it(backend: Backend) -> None:
    """
    The trap of cleaning up: both belong to one grant.
    """
    old = backend.sign_in()["refresh_token"]
    new = backend.sign_in(force=True)["refresh_token"]

    backend.post("/revoke", data={"token": old})

    assert (400, "invalid_grant") == refused(backend.refresh(new))


def test_the_user_takes_back_one_project_or_all(backend: Backend) -> None:
    """
    The control call can name the project.
    """
    backend.sign_in()

    assert {"revoked": 0} == backend.control("revoke", email=ADA, project="999")
    assert {"revoked": 1} == backend.control("revoke", email=ADA, project=backend.client.project)
