"""`grantkeeper callers change`: what is named is replaced, the rest stays, and the audit knows."""

import os
from pathlib import Path

import pytest

from grantkeeper.library import adapters
from grantkeeper.settings import load_settings
from tests.cli.conftest import Command


def test_a_rule_is_replaced_and_the_others_stay(installed: Command) -> None:
    """
    By name or id; --any-… lifts a rule.
    """
    made = installed(
        "callers",
        "create",
        "photos",
        "--scope",
        "openid",
        "--permission",
        "token",
        "--expires",
        "9d",
        "--json",
    ).json
    narrow = installed(
        "callers", "change", "photos", "--permission", "redeem", "--client", "default", "--json"
    )
    wide = installed(
        "callers", "change", made["id"], "--any-scope", "--any-client", "--never-expires", "--json"
    )
    told = installed("callers", "change", "photos", "--any-permission")

    rules = ("clients", "scopes", "permissions", "expires_at")
    assert [["default"], ["openid"], ["redeem"], made["expires_at"]] == [narrow.json[rule] for rule in rules]
    assert [[], [], ["redeem"], None] == [wide.json[rule] for rule in rules]
    assert (0, "") == (told.status, told.out)
    assert "photos: permissions was redeem, is any" in told.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("photos",), "what is to change"),
        (("nobody", "--any-scope"), "does not exist"),
        (("photos", "--scope", "openid", "--any-scope"), "contradict"),
        (("photos", "--client", "nobody"), "--client"),
        (("photos", "--expires", "2001-01-01"), "past"),
        (("gone", "--any-scope"), "is revoked"),
    ],
)
def test_what_cannot_be_changed_is_said(installed: Command, arguments: tuple[str, ...], word: str) -> None:
    """
    Usage, and nothing is written.
    """
    installed("callers", "create", "photos")
    installed("callers", "create", "gone")
    installed("callers", "revoke", "gone")
    before = installed("callers", "list").out

    said = installed("callers", "change", *arguments)

    assert (2, before) == (said.status, installed("callers", "list").out)
    assert word in said.err


async def events(place: Path) -> list[tuple[str, str | None, dict[str, str]]]:
    store = await adapters.store(load_settings(os.environ, place))
    try:
        return [(event.name, event.caller, dict(event.detail)) for _, event in await store.events()]
    finally:
        await store.close()


def test_the_audit_knows_what_was_done_to_a_caller(installed: Command, place: Path) -> None:
    """
    Made, changed, ended: each once, with the caller's id and no value of a rule.
    """
    import asyncio

    made = installed("callers", "create", "photos", "--json").json["id"]
    installed("callers", "change", "photos", "--scope", "openid")
    installed("callers", "revoke", "photos")
    installed("callers", "revoke", "photos")

    assert [
        ("caller.created", made, {}),
        ("caller.changed", made, {"changed": "scopes"}),
        ("caller.revoked", made, {}),
    ] == asyncio.run(events(place))
