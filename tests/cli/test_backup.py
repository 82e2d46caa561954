"""`grantkeeper backup` and `grantkeeper restore` as a person uses them."""

import json
import logging
import stat
from pathlib import Path

import pytest

from grantkeeper.adapters.sqlite_backup import SqliteTarget
from grantkeeper.errors import StoreUnavailable
from grantkeeper.testing.google import GoogleEmulator
from tests.backup.sums import resealed
from tests.cli.conftest import Command

ADA, BOB = "ada@example.com", "bob@example.com"
DEAD = "those revoked since are dead at Google and a probe finds out"


def sign_in(command: Command, google: GoogleEmulator, email: str, *arguments: str) -> str:
    """A new grant's id."""
    said = command("redeem", "--json", *arguments, stdin=google.code(email))
    assert 0 == said.status, said
    return str(said.json["grant"]["id"])


def move(monkeypatch: pytest.MonkeyPatch, name: str = "new.db") -> None:
    """From here on commands use another database, which is not there yet."""
    monkeypatch.setenv("GRANTKEEPER_DATABASE_URL", f"sqlite:///{name}")


def test_there_and_back(
    installed: Command, place: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A transcript: what is said on the way, and that the grants work afterwards.
    """
    grant = sign_in(installed, google_emulator, ADA)
    installed("callers", "create", "photos")

    backed_up = installed("backup", "copy")
    move(monkeypatch)
    restored = installed("restore", "copy")
    token = installed("token", grant)
    callers = installed("callers", "list", "--json")

    assert (0, "") == (backed_up.status, backed_up.out)
    assert "grantkeeper: copy holds 1 grants, 1 callers and " in backed_up.err
    assert "hint: The keys are not in it. Keep a copy of keys.json in another place." in backed_up.err
    assert 0o600 == stat.S_IMODE((place / "copy").stat().st_mode)
    assert 0 == restored.status
    lines = restored.err.splitlines()
    assert lines[0].endswith("UTC is whole, and keys.json opens it")
    assert lines[1].startswith("grantkeeper: restored 1 grants, 1 callers and ")
    assert f"grantkeeper: restored grants are uncertain; {DEAD}" == lines[2]
    assert lines[3].startswith("hint: Revoke and forget again")
    assert token.out.startswith("ya29.")
    assert ["photos"] == [one["name"] for one in callers.json["callers"]]


def test_a_restored_database_is_no_news_for_ever(
    installed: Command,
    google_emulator: GoogleEmulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    Commands that open it afterwards say nothing of it; `restore` has said what follows.
    """
    grant = sign_in(installed, google_emulator, ADA)
    installed("backup", "copy")
    move(monkeypatch)
    installed("restore", "copy")
    caplog.clear()
    shown = installed("grants", "show", grant)

    assert (0, "") == (shown.status, shown.err)
    assert [] == [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_for_programs(
    installed: Command, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    JSON says what is in the file, which keys it needs, and that they are not in it.
    """
    sign_in(installed, google_emulator, ADA)
    keys = json.loads(Path("keys.json").read_text())

    backed_up = installed("backup", "copy", "--json").json
    move(monkeypatch)
    restored = installed("restore", "copy", "--json").json

    assert (False, "sqlite", 1) == (backed_up["keys"], backed_up["database"], backed_up["rows"]["grants"])
    assert [keys["wrap"]["primaryKeyId"]] == backed_up["wrap_ids"]
    assert [1] == backed_up["index_versions"]
    assert restored["warning"].endswith(DEAD)
    for name in ("at", "release", "database", "schema", "rows", "wrap_ids"):
        assert backed_up[name] == restored[name]


def test_neither_keys_nor_tokens_are_in_it(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Nothing of keys.json, no token or e-mail in the clear, and no access token at all.
    """
    grant = sign_in(installed, google_emulator, ADA)
    token = installed("token", grant).out.strip()
    keys = json.loads((place / "keys.json").read_text())

    installed("backup", "copy")

    text = (place / "copy").read_text()
    secrets = [key["keyData"]["value"] for key in keys["wrap"]["key"]]
    secrets += [key["key"] for key in keys["index"]["keys"]]
    for secret in (*secrets, token, "1//", ADA):
        assert secret not in text
    assert '"table":"tokens"' not in text


def test_a_file_that_is_there_is_kept(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Unless --force is said.
    """
    (place / "copy").write_text("precious")

    refused = installed("backup", "copy", "--json")
    kept = (place / "copy").read_text()
    forced = installed("backup", "copy", "--force")

    assert (1, "backup_refused") == (refused.status, refused.json["error"])
    assert "--force" in refused.err
    assert "precious" == kept
    assert 0 == forced.status
    assert (place / "copy").read_text().startswith('{"grantkeeper_backup":1')


def test_what_was_revoked_since_is_found_dead(
    installed: Command, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is active in the backup; the first request for a token asks Google and says revoked.
    """
    by_user = sign_in(installed, google_emulator, ADA)
    by_us = sign_in(installed, google_emulator, BOB)
    assert installed("token", by_user).out.startswith("ya29.")
    installed("backup", "copy")
    google_emulator.revoke(ADA)
    assert installed("grants", "revoke", by_us, "--json").json["told"]

    move(monkeypatch)
    installed("restore", "copy")
    shown = [installed("grants", "show", one, "--json").json for one in (by_user, by_us)]
    asked = {one: installed("token", one, "--json") for one in (by_user, by_us)}

    assert [("active", True)] * 2 == [(one["state"], one["uncertain"]) for one in shown]
    for said in asked.values():
        assert (3, "consent_required", "revoked") == (said.status, said.json["error"], said.json["reason"])


def test_a_token_that_was_rotated_since_is_honest_about_it(
    installed: Command, place: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An issuer that gives a new refresh token each time refuses the one of the backup: the user is
    asked, once, and told why.
    """
    client_id = json.loads((google_emulator.client_secret or Path()).read_text())["web"]["client_id"]
    google_emulator.call("PATCH", "clients", {"client_id": client_id, "rotation": True})
    with (place / "grantkeeper.toml").open("a", encoding="utf-8") as file:
        file.write('\n[clients.default]\nprovider = "oidc"\n')
    try:
        grant = sign_in(installed, google_emulator, ADA)
        installed("backup", "copy")
        google_emulator.advance(3700)
        assert installed("token", grant).out.startswith("ya29.")

        move(monkeypatch)
        installed("restore", "copy")
        said = installed("token", grant, "--json")
    finally:
        google_emulator.call("PATCH", "clients", {"client_id": client_id, "rotation": False})

    assert (3, "consent_required", "answer_lost") == (said.status, said.json["error"], said.json["reason"])


def test_other_keys_are_refused_before_anything_is_written(
    installed: Command, place: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The sentence names the key that is missing; with the right ones the same command works.
    """
    sign_in(installed, google_emulator, ADA)
    installed("backup", "copy")
    wrap_id = json.loads((place / "keys.json").read_text())["wrap"]["primaryKeyId"]
    (place / "keys.json").rename(place / "right.json")
    move(monkeypatch)
    installed("init")

    refused = installed("restore", "copy")
    listed = installed("callers", "list", "--json")
    (place / "right.json").replace(place / "keys.json")
    restored = installed("restore", "copy")

    assert 1 == refused.status
    assert f"sealed under key {wrap_id}, which keys.json does not have" in refused.err
    assert "hint: Give back the keys.json of the time of the backup" in refused.err
    assert (0, []) == (listed.status, listed.json["callers"])
    assert 0 == restored.status


def test_other_keys_are_noticed_without_a_grant(
    installed: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nothing is sealed in it, and still the proof over the whole tells.
    """
    installed("callers", "create", "photos")
    installed("backup", "copy")
    (place / "keys.json").unlink()
    move(monkeypatch)
    installed("init")

    said = installed("restore", "copy")

    assert 1 == said.status
    assert "made under another keys.json, or was altered" in said.err


def test_a_caller_put_in_by_somebody_is_refused(
    installed: Command, place: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Every sum can be made to fit; the proof needs keys.json.
    """
    sign_in(installed, google_emulator, ADA)
    installed("callers", "create", "photos")
    installed("backup", "copy")
    lines = (place / "copy").read_bytes().splitlines(keepends=True)
    begin = next(number for number, line in enumerate(lines) if b'{"table":"callers"' in line)
    row = json.loads(lines[begin + 1])
    lines.insert(begin + 2, json.dumps(["mine", "mine", "bWluZQ==", *row[3:]]).encode() + b"\n")
    (place / "copy").write_bytes(resealed(lines))
    move(monkeypatch)

    said = installed("restore", "copy", "--json")

    assert (1, "backup_refused") == (said.status, said.json["error"])
    assert "altered" in said.err
    assert 0 == installed("init").status
    assert [] == installed("callers", "list", "--json").json["callers"]


def test_nothing_is_restored_over_anything(installed: Command, google_emulator: GoogleEmulator) -> None:
    """
    The database of the backup itself is not empty; the remedy is named.
    """
    grant = sign_in(installed, google_emulator, ADA)
    installed("backup", "copy")

    said = installed("restore", "copy")

    assert 1 == said.status
    assert "the database is not empty: it has grants" in said.err
    assert "GRANTKEEPER_DATABASE_URL" in said.err
    assert installed("token", grant).out.startswith("ya29.")


def test_a_half_restored_database_is_not_opened(
    installed: Command, place: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No command does, and each says what to do.
    """
    grant = sign_in(installed, google_emulator, ADA)
    installed("backup", "copy")
    move(monkeypatch)

    def stop(*_: object) -> None:
        raise StoreUnavailable("the disk of the database is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteTarget, "finish", stop)
        assert 4 == installed("restore", "copy").status

    for arguments in (
        ("grants", "list"),
        ("callers", "create", "x"),
        ("token", grant),
        ("init",),
        ("serve",),
    ):
        said = installed(*arguments)
        assert 1 == said.status, arguments
        assert "a restore into this database was begun and is not finished" in said.err
        assert "hint: Wait for it if it runs; else run grantkeeper restore FILE again." in said.err
    assert 1 == installed("backup", "another").status
    assert 0 == installed("restore", "copy").status
    assert installed("token", grant).out.startswith("ya29.")


def test_a_database_that_is_not_there_is_not_made(
    installed: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A backup of nothing would look like one of something.
    """
    move(monkeypatch, "typo.db")

    said = installed("backup", "copy")

    assert 1 == said.status
    assert "there is no database here to back up" in said.err
    assert [] == [one.name for one in place.iterdir() if one.name.startswith(("copy", "typo"))]


@pytest.mark.parametrize("file", ["nothing", "keys.json", "grantkeeper.db"])
def test_what_is_no_backup_is_refused(installed: Command, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By a sentence; nothing is marked as half restored.
    """
    move(monkeypatch)

    said = installed("restore", file)

    assert 1 == said.status
    assert "Traceback" not in said.err
    assert 0 == installed("init").status
