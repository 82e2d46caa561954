"""The keys command: rotating in transcripts, and with real services and a rewrap that is killed."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from grantkeeper.adapters.journal import FileJournal
from grantkeeper.adapters.keyfile import read_file
from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.model import JournalEntry, JournalKind
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.processes import Process
from tests.cli.conftest import Command
from tests.keeper.rotation_kit import fill

GRANTKEEPER = [sys.executable, "-m", "grantkeeper.cli"]


def put_grants(place: Path, count: int) -> None:
    """Grants in the database of this place, sealed under its key."""

    async def put() -> None:
        store = open_sqlite(f"sqlite:///{place / 'grantkeeper.db'}")
        try:
            await fill(store, read_file(place / "keys.json"), count)
        finally:
            await store.close()

    asyncio.run(put())


def wait_in_journal(place: Path) -> None:
    """An answer that a dead process left, sealed under the primary key of this place."""

    async def put() -> None:
        sealer = KeysetSealer(read_file(place / "keys.json"))
        journal = FileJournal(place / "journal")
        entry = JournalEntry(
            id="entry-1",
            kind=JournalKind.REFRESH,
            owner="019c8a7e-0000-7000-8000-000000000001",
            client_id="client",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            data_key=sealer.new_key("client", "owner"),
            box=b"sealed",
        )
        await journal.write(entry)
        await journal.close()

    asyncio.run(put())


def test_a_rotation_from_the_first_command_to_the_last(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    rotate, rewrap, prove, and, when nothing can be under way any more, drop; each says how it stands.
    """
    put_grants(place, 30)
    (first,) = (
        key["key"] for key in installed("keys", "list", "--json").json["keys"] if key["kind"] == "wrap"
    )
    rotated = installed("keys", "rotate", "--name", "spring", "--json")
    before = installed("keys", "prove", "--json")
    own = installed("keys", "prove", "--key", first, "--json")
    new = installed("keys", "list", "--json").json["keys"][0]
    refused = installed("keys", "drop", first, "--json")
    moved = installed("keys", "rewrap", "--rate", "0", "--json")
    after = installed("keys", "prove", "--key", first, "--json")
    early = installed("keys", "drop", first, "--json")
    google_emulator.advance(16 * 60)
    dropped = installed("keys", "drop", first, "--json")
    proved = installed("keys", "prove", "--json")
    listed = installed("keys", "list", "--json").json["keys"]

    assert (0, "spring", True) == (rotated.status, rotated.json["key"], rotated.json["distribute"])
    assert (0, 1) == (before.status, own.status)
    assert {"grant": 30} == own.json["left"] == before.json["wrapped"][first]
    assert ("spring", "new") == (new["key"], new["status"])
    assert (1, "it is the one in use") == (refused.status, refused.json["reason"])
    assert (0, {"grant": 30}, 0) == (moved.status, moved.json["moved"], moved.json["broken_count"])
    assert (0, {}, {"grant": 30}) == (after.status, after.json["left"], after.json["wrapped"]["spring"])
    assert (1, False) == (early.status, after.json["settled"])
    assert "may still be under way" in early.json["reason"]
    assert 0 == dropped.status, dropped.err
    assert (0, True) == (proved.status, proved.json["settled"])
    assert [("spring", "primary"), ("index:1", "primary")] == [(key["key"], key["status"]) for key in listed]
    assert 0o600 == (place / "keys.json").stat().st_mode & 0o777


def test_an_index_key_is_rotated_the_same_way(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Its rewrap makes new hashes, and the version can be proved to be gone.
    """
    put_grants(place, 5)
    rotated = installed("keys", "rotate", "--index", "--json")
    moved = installed("keys", "rewrap", "--json")
    proved = installed("keys", "prove", "--key", "index:1", "--json")
    google_emulator.advance(16 * 60)
    dropped = installed("keys", "drop", "index:1")
    wrong = installed("keys", "rotate", "--index", "--name", "x")

    assert ("index:2", {"index": 5}) == (rotated.json["key"], moved.json["moved"])
    assert (0, {"index:2": {"grant": 5}}) == (proved.status, proved.json["indexed"])
    assert 0 == dropped.status, dropped.err
    assert 2 == wrong.status


def test_an_answer_in_a_journal_holds_its_key(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    A key under which a dead process left an answer is not proved to be free, and is not dropped.
    """
    first = installed("keys", "list", "--json").json["keys"][0]["key"]
    wait_in_journal(place)
    installed("keys", "rotate", "--name", "spring")
    installed("keys", "rewrap")
    google_emulator.advance(16 * 60)
    proved = installed("keys", "prove", "--key", first, "--json")
    refused = installed("keys", "drop", first, "--json")
    shutil.rmtree(place / "journal")
    free = installed("keys", "prove", "--key", first)
    dropped = installed("keys", "drop", first)

    assert (1, {"journal": 1}) == (proved.status, proved.json["left"])
    assert 1 == refused.status
    assert "still under it: 1 × journal; start the service" in refused.json["reason"]
    assert (0, 0) == (free.status, dropped.status)
    assert "in the journals of this machine" in free.err


def test_a_journal_that_cannot_be_read_proves_nothing(installed: Command, place: Path) -> None:
    """
    What was not read may be under any key.
    """
    (place / "journal" / "of-nobody.journal").mkdir(parents=True)
    proved = installed("keys", "prove")

    assert 4 == proved.status
    assert "a journal cannot be read" in proved.err


def test_what_people_read(installed: Command, place: Path) -> None:
    """
    A new key must be distributed, and the command says so; a table tells what is where.
    """
    put_grants(place, 2)
    rotated = installed("keys", "rotate", "--name", "spring")
    listed = installed("keys", "list")
    moved = installed("keys", "rewrap")
    proved = installed("keys", "prove")
    again = installed("keys", "rotate", "--name", "spring")
    unknown = installed("keys", "prove", "--key", "autumn")

    assert "" == rotated.out
    assert "Copy keys.json to every node now" in rotated.err
    assert ["wrap", "spring"] == listed.out.splitlines()[1].split()[:2]
    assert "moved 2 × grant in" in moved.err
    assert ["spring", "grant", "2"] == proved.out.splitlines()[1].split()
    assert "covered: refresh tokens" in proved.err
    assert "nothing is left under another key" in proved.err
    assert (2, 2) == (again.status, unknown.status)


def test_without_keys_nothing_is_rotated(command: Command, place: Path) -> None:
    """
    A new file would be a new installation.
    """
    refused = command("keys", "rotate", "--json")

    assert (1, "settings_invalid") == (refused.status, refused.json["error"])
    assert not (place / "keys.json").exists()


def test_unwrapping_what_is_not_wrapped_is_a_mistake(installed: Command) -> None:
    """
    And so is a URI that no service has.
    """
    assert 2 == installed("keys", "unwrap").status
    assert 2 == installed("keys", "wrap", "https://kms.example/key").status


@pytest.mark.processes
def test_a_rewrap_that_is_killed_twice_goes_on(installed: Command, place: Path) -> None:
    """
    Kill -9 in the middle, twice; the third run finds what is left, and the proof holds.
    """
    put_grants(place, 3000)
    (first,) = (
        key["key"] for key in installed("keys", "list", "--json").json["keys"] if key["kind"] == "wrap"
    )
    installed("keys", "rotate", "--name", "spring")
    left = [3000]
    for _ in range(2):
        moving = subprocess.Popen(
            [*GRANTKEEPER, "keys", "rewrap", "--rate", "150"], cwd=place, stderr=subprocess.DEVNULL
        )
        try:
            give_up = time.monotonic() + 60
            while time.monotonic() < give_up:
                now = installed("keys", "prove", "--key", first, "--json").json["left"].get("grant", 0)
                if now < left[-1] - 40:
                    break
        finally:
            moving.kill()
            moving.wait()
        left.append(installed("keys", "prove", "--key", first, "--json").json["left"].get("grant", 0))
    last = installed("keys", "rewrap", "--rate", "0", "--json")

    assert 3000 > left[1] > left[2] > 0
    assert (0, left[2]) == (last.status, last.json["moved"]["grant"])
    assert 0 == installed("keys", "prove", "--key", first).status


class Serving(Process):
    """A real service with a keys.json of its own on the database of *place*."""

    def __init__(self, place: Path, keys: Path) -> None:
        super().__init__(
            [*GRANTKEEPER, "serve", "--port", "0"],
            folder=place,
            environment={**os.environ, "GRANTKEEPER_KEYS": str(keys)},
            log=keys.with_name("serve.log"),
        )

    def readyz(self) -> tuple[int, str]:
        """Its status, and what it says of the keys."""
        answer = requests.get(self.url + "/readyz", timeout=10)
        return answer.status_code, answer.json()["checks"]["keys"]


@pytest.mark.processes
def test_two_services_of_which_one_lacks_the_key(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Nothing is moved before it has the key, which it reads by itself; and a broken file changes nothing.
    """
    other = place / "other"
    other.mkdir()
    shutil.copy2(place / "keys.json", other / "keys.json")
    put_grants(place, 3)
    with Serving(place, place / "keys.json") as first, Serving(place, other / "keys.json") as last:
        started = [first.ready().readyz(), last.ready().readyz()]
        installed("keys", "rotate", "--name", "spring")
        refused = installed("keys", "rewrap", "--wait", "8", "--json")
        listed = installed("keys", "list", "--json").json
        (other / "keys.json").write_bytes((place / "keys.json").read_bytes()[:300])
        said: Any = None
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up and (said is None or said[1] == "ok"):
            time.sleep(0.2)
            said = last.readyz()
        shutil.copy2(place / "keys.json", other / "keys.json")
        moved = installed("keys", "rewrap", "--wait", "30", "--json")
        mended = [first.readyz(), last.readyz()]
        redeemed = [
            requests.post(
                service.url + "/v1/redeem",
                json={"code": google_emulator.code(f"user{number}@example.com")},
                headers={"X-Requested-With": "test"},
                timeout=20,
            ).status_code
            for number, service in enumerate((first, last))
        ]
        proved = installed("keys", "prove", "--json")
        ended = [first.stop(), last.stop()]

    assert [(200, "ok")] * 2 == started
    assert (4, 1) == (refused.status, len(refused.json["lacking"]))
    assert ("spring", "new", 1) == tuple(listed["keys"][0][name] for name in ("key", "status", "nodes"))
    assert 2 == listed["nodes"]
    assert 200 == said[0]
    assert "the keys read before go on" in said[1]
    assert (0, 3) == (moved.status, moved.json["moved"]["grant"])
    assert [(200, "ok")] * 2 == mended
    assert [200, 200] == redeemed
    assert 0 == proved.status, json.dumps(proved.json)
    assert {"spring"} == set(proved.json["wrapped"])
    assert [0, 0] == ended
