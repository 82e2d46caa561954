"""The records' few properties, and that none of them shows what it must not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from grantkeeper.model import (
    Caller,
    Grant,
    GrantState,
    IdentitySource,
    Permission,
    Profile,
    Redemption,
    RedemptionState,
    Sealed,
    Session,
    StoredToken,
    Subject,
    Token,
    caller_meant,
    seal_owner,
)
from grantkeeper.secret import AccessToken, SessionToken
from tests.ground.support import NOW, client

GRANT = Grant(
    id="g",
    client_id="ours",
    subject=Subject("https://issuer.test", "1"),
    state=GrantState.ACTIVE,
    identity_source=IdentitySource.ANSWER,
    created_at=NOW,
    requested=frozenset({"a", "b"}),
    granted=frozenset({"b", "c"}),
    refresh_token=Sealed(b"box", 1),
    data_key=b"wrapped",
    lookups=(b"look-up",),
    email_index=b"indexed mail",
)


def test_missing_is_what_was_asked_for_and_not_given():
    """
    Having more than was asked takes nothing away from what is missing.
    """
    assert frozenset({"a"}) == GRANT.missing


@pytest.mark.parametrize("state", GrantState)
def test_a_grant_is_refreshable_while_its_token_may_be_tried(state):
    """
    A stored token may be tried in every state but revoked; without one nothing may.
    """
    assert (state is not GrantState.REVOKED) == replace(GRANT, state=state).refreshable
    assert replace(GRANT, state=state, refresh_token=None).refreshable is False


def caller(**rules):
    """A caller with these rules."""
    return Caller(id="c", name="photos", key_hash=b"hash", created_at=NOW, **rules)


@pytest.mark.parametrize("permission", Permission)
def test_empty_rules_allow_everything(permission):
    """
    A caller made without flags may do everything with every client.
    """
    assert caller().may(permission)
    assert caller().sees("default")


def test_a_rule_allows_what_it_names_and_nothing_else():
    """
    One permission and one client are that permission and that client.
    """
    narrow = caller(permissions=frozenset({Permission.TOKEN}), clients=frozenset({"default"}))

    assert narrow.may(Permission.TOKEN)
    assert not narrow.may(Permission.REDEEM)
    assert narrow.sees("default")
    assert not narrow.sees("other")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("photos", "new"),
        ("old", "old"),
        ("gone", "gone"),
        ("twins", "twins"),
        ("away", "later"),
        ("none", None),
    ],
)
def test_a_name_means_the_living_and_an_id_whoever_has_it(word, meant):
    """
    A name can be used again after its caller was revoked; an id never.
    """

    def known(key, name, day, revoked=None):
        return replace(caller(), id=key, name=name, created_at=NOW + timedelta(day), revoked_at=revoked)

    callers = [
        known("old", "photos", 1, NOW),
        known("new", "photos", 2),
        known("gone", "photos", 3, NOW),
        known("earlier", "away", 1, NOW),
        known("later", "away", 2, NOW),
        known("twins", "drive", 1, NOW),
        known("other", "twins", 2),
    ]

    found = caller_meant(callers, word)

    assert meant == (None if found is None else found.id)


def test_a_token_is_read_in_one_visible_way():
    """
    The hand-out reveals its token on demand and prints stars.
    """
    token = Token(
        access_token=AccessToken("ya29.secret"),
        expires_at=NOW,
        expires_in=60,
        scopes=frozenset(),
        missing_scopes=frozenset(),
        grant="g",
    )

    assert "ya29.secret" == token.reveal()
    assert "ya29.secret" not in repr(token)


RECORDS = [
    GRANT,
    client(),
    caller(),
    Sealed(b"box", 1),
    StoredToken("g", "", Sealed(b"box", 1), frozenset(), NOW, NOW),
    Profile("1", email="ada@box.test", name="Ada box", picture="https://box.test/ada"),
    Session(SessionToken("box"), 300),
    Redemption(
        code_hash=b"hash",
        client_id="ours",
        owner="me",
        state=RedemptionState.CLAIMED,
        created_at=NOW,
        keep_until=NOW,
        key_hash=b"hash",
        fingerprint=b"print",
        data_key=b"wrapped",
        outcome=b"box",
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_in_a_log_shows_no_key_box_or_person(record):
    """
    The repr of a record has ids and states; sealed values, hashes and personal data are left out.
    """
    shown = repr(record)

    for hidden in ("box", "wrapped", "hash=", "b'hash'", "look-up", "indexed mail", "hush", "print=", "Ada"):
        assert hidden not in shown


def test_what_a_job_seals_is_bound_to_that_job():
    """
    By its id, and by a word that no grant's id begins with: the same id elsewhere opens nothing.
    """
    assert "job:01950000-0000-7000-8000-000000000001" == seal_owner("01950000-0000-7000-8000-000000000001")
