"""`grantkeeper panic` by transcript, against Google's faults, and killed in the middle as a real process."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from grantkeeper import Keeper
from grantkeeper.adapters.sqlite_file import connect
from grantkeeper.settings import load_settings
from grantkeeper.testing.google import GoogleEmulator
from tests.cli.conftest import Command

DRIVE = "https://www.googleapis.com/auth/drive.appdata"
FILES = "https://www.googleapis.com/auth/drive.file"


def signed_in(place: Path, google: GoogleEmulator, *emails: str, scopes: tuple[str, ...] = ()) -> list[str]:
    """Grants of these users, whose ids of ours are their e-mails' first parts."""
    with Keeper.open_sync(settings=load_settings(os.environ, place, need_clients=True)) as keeper:
        return [
            keeper.redeem(google.code(email, ["openid", "email", *scopes]), user=email.partition("@")[0]).id
            for email in emails
        ]


def live(google: GoogleEmulator, email: str) -> int:
    """Refresh tokens of *email* that Google still honours."""
    return int(google.get(f"refresh_tokens?email={email}")["live"])


def lines_of(report: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in report.read_text().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "choose grants"),
        (("--dry-run",), "choose grants"),
        (("--all",), "--dry-run"),
        (("--all", "--yes", "--dry-run"), "--dry-run"),
        (("--all", "--client", "default", "--yes"), "alone"),
        (("--client", "nobody", "--yes"), "--client"),
        (("--caller", "nobody", "--yes"), "no caller"),
        (("--older-than", "soon", "--yes"), "--older-than"),
        (("--all", "--yes", "--rate", "0"), "--rate"),
        (("--resume", "x", "--all"), "--resume"),
        (("--resume", "x"), "no panic"),
    ],
)
def test_it_does_nothing_without_a_clear_choice(
    installed: Command, google_emulator: GoogleEmulator, arguments: tuple[str, ...], word: str
) -> None:
    """
    Usage, said in a sentence; nothing begins.
    """
    said = installed("panic", *arguments)

    assert (2, "") == (said.status, said.out)
    assert word in said.err


def test_a_dry_run_shows_and_changes_nothing(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Each rule narrows; nobody is asked and no grant is touched.
    """
    ada, bob = signed_in(place, google_emulator, "ada@example.com", "bob@example.com", scopes=(DRIVE,))
    google_emulator.advance(10 * 86400)
    (cy,) = signed_in(place, google_emulator, "cy@example.com", scopes=(FILES,))

    def chosen(*arguments: str) -> set[str]:
        return set(installed("panic", *arguments, "--dry-run", "--json").json["grants"])

    assert {ada, bob, cy} == chosen("--all") == chosen("--client", "default")
    assert {ada, cy} == chosen("--user", "ada", "--user", "cy")
    assert {ada, bob} == chosen("--scope", DRIVE) == chosen("--older-than", "5d")
    assert {cy} == chosen("--newer-than", "5d") == chosen("--scope", FILES, "--newer-than", "5d")
    assert set() == chosen("--user", "ada", "--scope", FILES)
    shown = installed("panic", "--user", "ada", "--dry-run")
    assert f"{ada} default active\n" == shown.out
    assert "1 grants would be revoked" in shown.err
    assert {} == google_emulator.stats().get("revoke", {})
    assert "active" == installed("grants", "show", ada, "--json").json["state"]


def test_a_run_ends_with_a_report_that_proves_itself(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    One line for each grant, ids alone, signed; any change of it is found.
    """
    ada, bob, cy = signed_in(place, google_emulator, "ada@example.com", "bob@example.com", "cy@example.com")
    google_emulator.revoke("bob@example.com")

    done = installed("panic", "--user", "ada", "--user", "bob", "--yes", "--json")
    report = place / done.json["report"]
    proved = installed("panic", "verify", str(report), "--json")
    again = installed("panic", "--resume", done.json["run"], "--json")

    assert (0, 2, {"revoked": 1, "already_gone": 1}) == (
        done.status,
        done.json["grants"],
        done.json["answers"],
    )
    assert done.json["answers"] == proved.json["answers"] == again.json["answers"]
    assert {ada: "revoked", bob: "already_gone"} == {
        line["grant"]: line["answer"] for line in lines_of(report) if line["type"] == "grant"
    }
    assert "example.com" not in report.read_text().replace(done.json["run"], "")
    assert "revoked" == installed("grants", "show", ada, "--json").json["state"]
    assert "active" == installed("grants", "show", cy, "--json").json["state"]
    assert 2 == installed("panic", "--all", "--yes", "--report", str(report)).status

    honest = report.read_bytes().splitlines(keepends=True)
    wrongs = {
        "an answer": [line.replace(b"already_gone", b"revoked") for line in honest],
        "a line less": honest[:1] + honest[2:],
        "the order": [honest[0], honest[2], honest[1], *honest[3:]],
        "who it was": [honest[0].replace(b'"by":"', b'"by":"not-'), *honest[1:]],
        "no signature": honest[:-1],
        "cut": [*honest[:-1], honest[-1][:-5]],
        "more": [*honest, honest[1]],
        "no report": [b"[]\n"],
        "nothing": [],
    }
    for what, lines in wrongs.items():
        report.write_bytes(b"".join(lines))
        assert 1 == installed("panic", "verify", str(report)).status, what


def test_grants_of_a_caller_are_found_in_the_audit(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Only what was handed out to it, however often.
    """
    import asyncio

    from grantkeeper.library.core import KeeperCore

    ada, _ = signed_in(place, google_emulator, "ada@example.com", "bob@example.com")
    installed("callers", "create", "stolen")
    caller = installed("callers", "list", "--json").json["callers"][0]["id"]

    async def hand_out() -> None:
        core = await KeeperCore.open(load_settings(os.environ, place, need_clients=True))
        for _ in range(3):
            await core.access_token(ada, caller=caller)
            await core.audit.flush()
        await core.close()

    asyncio.run(hand_out())
    seen = installed("panic", "--caller", "stolen", "--dry-run", "--json").json
    done = installed("panic", "--caller", caller, "--yes", "--json").json

    assert [ada] == seen["grants"]
    assert (1, {"revoked": 1}) == (done["grants"], done["answers"])


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("status_429", {"count": 2, "retry_after": 1}),
        ("status_503", {"count": 2}),
        ("lost", {"count": 2}),
        ("cut_before", {"count": 2}),
    ],
)
def test_google_in_trouble_is_told_again(
    installed: Command, place: Path, google_emulator: GoogleEmulator, fault: str, options: dict[str, int]
) -> None:
    """
    In the same run, with a pause; in the end every token is dead.
    """
    emails = [f"user{number}@example.com" for number in range(4)]
    signed_in(place, google_emulator, *emails)
    google_emulator.fault("revoke", fault, **options)

    done = installed("panic", "--all", "--yes", "--rate", "50", "--json")

    assert (0, 4) == (done.status, sum(done.json["answers"].values()))
    assert {"revoked", "already_gone"} >= set(done.json["answers"])
    assert [0] * 4 == [live(google_emulator, email) for email in emails]


def test_a_grant_that_does_not_open_is_told_as_failed(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    The run ends, says so with its status, and the grant is revoked here all the same.
    """
    (ada,) = signed_in(place, google_emulator, "ada@example.com")
    with closing(connect(place / "grantkeeper.db", busy_seconds=1)) as db:
        db.execute("UPDATE grants SET data_key = zeroblob(length(data_key))")

    done = installed("panic", "--all", "--yes", "--json")

    assert (4, {"failed": 1}) == (done.status, done.json["answers"])
    failed = next(line for line in lines_of(place / done.json["report"]) if line["type"] == "grant")
    assert ("failed", "seal_broken") == (failed["answer"], failed["reason"])
    assert "revoked" == installed("grants", "show", ada, "--json").json["state"]


@pytest.mark.processes
def test_a_real_process_killed_in_the_middle_is_resumed(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    kill -9 between two answers: every grant is over here already, and the resumed run tells Google the rest.
    """
    emails = [f"user{number:02}@example.com" for number in range(24)]
    grants = signed_in(place, google_emulator, *emails)
    command = [sys.executable, "-m", "grantkeeper.cli", "panic", "--all", "--yes", "--rate", "20"]
    with (place / "log").open("w") as log:
        running = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 30
            while google_emulator.count("revoke", "refresh_token") < 7 and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            running.kill()
            running.wait()
    states = {one["state"] for one in installed("grants", "list", "--json").json["grants"]}
    # After another command has run: by now Google has counted what was on its way when the process died.
    told = google_emulator.count("revoke", "refresh_token")
    with closing(connect(place / "grantkeeper.db", busy_seconds=1)) as db:
        ((settled,),) = db.execute("SELECT count(*) FROM grants WHERE revocation_due IS NULL")
    run = (place / "log").read_text().split("panic ")[1].split()[0]

    done = installed("panic", "--resume", run, "--json")

    assert 7 <= told < 24
    assert {"revoked"} == states
    assert (0, 24) == (done.status, done.json["grants"])
    assert [0] * 24 == [live(google_emulator, email) for email in emails]
    # Nothing that was written down is told again, only what died between Google's count and ours.
    assert settled <= told
    assert told + 24 - settled == sum(google_emulator.stats()["revoke"]["refresh_token"].values())
    lines = [line for line in lines_of(place / done.json["report"]) if line["type"] == "grant"]
    assert sorted(grants) == sorted(line["grant"] for line in lines)
    assert 0 == installed("panic", "verify", done.json["report"]).status
    assert 2 == installed("panic", "--resume", "nothing").status
