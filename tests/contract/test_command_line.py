"""The command line: results, exit statuses and manners (section 5), and settings (section 6)."""

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.stage import DRIVE_FILE, Google, Stage, environment

OK, FAILED, USAGE, CONSENT_NEEDED, UNAVAILABLE = range(5)


@pytest.fixture(scope="module")
def stage(google_process: Google, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An installation; the service is started by those who need it."""
    stage = Stage(tmp_path_factory.mktemp("commands"), google_process)
    try:
        yield stage
    finally:
        stage.stop()


@pytest.fixture(scope="module")
def grant(stage: Stage) -> str:
    """A grant redeemed on the command line, the code on standard input."""
    code = stage.google.code("cleo@example.com")
    return str(
        json.loads(stage.command("redeem", "--json", stdin=code + "\n", expect=OK).stdout)["grant"]["id"]
    )


def test_init_makes_a_key_file_for_its_owner_alone(stage: Stage) -> None:
    """
    keys.json with mode 600, and grantkeeper.toml.
    """
    assert 0o600 == stat.S_IMODE((stage.folder / "keys.json").stat().st_mode)
    assert (stage.folder / "grantkeeper.toml").is_file()


def test_init_never_overwrites(stage: Stage) -> None:
    """
    A second one leaves every byte.
    """
    files = {name: (stage.folder / name).read_bytes() for name in ("keys.json", "grantkeeper.toml")}

    stage.command("init", expect=OK)

    assert files == {name: (stage.folder / name).read_bytes() for name in files}


def test_a_callers_key_is_printed_once(stage: Stage) -> None:
    """
    `{"key": …}` when it is made, and never again.
    """
    key = stage.caller("printed")

    listed = stage.command("callers", "list", "--json", expect=OK).stdout

    assert "printed" in listed
    assert key not in listed
    assert key.encode() not in (stage.folder / "grantkeeper.db").read_bytes()


def test_results_go_to_standard_output_and_the_rest_elsewhere(stage: Stage, grant: str) -> None:
    """
    A token alone, fit for a pipe.
    """
    done = stage.command("token", grant, expect=OK)

    assert done.stdout.startswith("ya29.") and 1 == len(done.stdout.split())
    refused = stage.command("token", "nonsense")
    assert ("", True) == (refused.stdout, refused.stderr.startswith("grantkeeper: "))


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["token", "{grant}"], OK),
        (["grants", "list"], OK),
        (["grants", "show", "{grant}"], OK),
        (["doctor"], OK),
        (["grants", "show", "nonsense"], FAILED),
        (["token"], USAGE),
        (["nonsense"], USAGE),
        (["token", "--nonsense"], USAGE),
        (["callers", "create", "x", "--permission", "fly"], USAGE),
        (["token", "{grant}", "--scope", DRIVE_FILE], CONSENT_NEEDED),
    ],
)
def test_exit_statuses(stage: Stage, grant: str, arguments: list[str], status: int) -> None:
    """
    0 ok, 1 failed, 2 usage, 3 consent needed; and JSON on standard output, good or bad.
    """
    words = [word.replace("{grant}", grant) for word in arguments]

    done = stage.command(*words, "--json")

    assert status == done.returncode
    assert status == USAGE or json.loads(done.stdout)


def test_an_issuer_that_is_down_is_status_4(stage: Stage, google: Google, grant: str) -> None:
    """
    Unavailable: the same command may work later.
    """
    google.advance(3700)
    google.fault("token", "status_503")

    assert UNAVAILABLE == stage.command("token", grant).returncode
    google.heal()
    assert OK == stage.command("token", grant).returncode


def test_a_code_is_never_an_argument(stage: Stage) -> None:
    """
    Arguments are visible to everybody on the machine; it is usage, and not repeated.
    """
    done = stage.command("redeem", "4/secret-code", stdin="")

    assert USAGE == done.returncode
    assert "4/secret-code" not in done.stdout + done.stderr


def test_grants_are_revoked_and_forgotten(stage: Stage, google: Google) -> None:
    """
    Two promises, two words.
    """
    code = google.code("ends@example.com")
    grant = json.loads(stage.command("redeem", "--json", stdin=code, expect=OK).stdout)["grant"]["id"]

    stage.command("grants", "revoke", grant, expect=OK)
    stage.command("token", grant, expect=CONSENT_NEEDED)
    assert "revoked" == json.loads(stage.command("grants", "show", grant, "--json").stdout)["state"]
    stage.command("grants", "forget", grant, expect=OK)
    stage.command("grants", "show", grant, expect=FAILED)


def test_commands_use_the_service_where_the_environment_names_one(stage: Stage, google: Google) -> None:
    """
    With `GRANTKEEPER_URL` and `GRANTKEEPER_CALLER_KEY_FILE`, from a folder with neither keys nor database.
    """
    stage.serve()
    key = stage.folder / "caller.key"
    key.write_text(stage.key + "\n")
    elsewhere = stage.folder / "elsewhere"
    elsewhere.mkdir()
    env = environment() | {
        "GRANTKEEPER_URL": f"http://127.0.0.1:{stage.port}",
        "GRANTKEEPER_CALLER_KEY_FILE": str(key),
    }

    def run(*arguments: str, stdin: str = "", **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "grantkeeper.cli", *arguments, "--json"],
            cwd=elsewhere,
            env=env | changed,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    redeemed = run("redeem", stdin=google.code("afar@example.com"))
    grant = json.loads(redeemed.stdout)["grant"]["id"]
    assert OK == run("token", grant).returncode
    assert grant in run("grants", "list").stdout
    assert OK == run("grants", "revoke", grant).returncode
    assert CONSENT_NEEDED == run("token", grant).returncode
    assert UNAVAILABLE == run("token", grant, GRANTKEEPER_URL="http://127.0.0.1:1").returncode
    assert [] == list(elsewhere.iterdir())


# -- settings -------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once_without_values(stage: Stage) -> None:
    """
    Names appear, what was set does not.
    """
    env = {
        "GRANTKEEPER_ISSUER": "http://hunter2.example",
        "GRANTKEEPER_REDEEM_LIMIT": "hunter2",
        "GRANTKEEPER_CONDEMN_LIMIT": "hunter2",
        "GRANTKEEPER_TRUSTED_PROXIES": "hunter2",
        "GRANTKEEPER_CLIENT_SECRETS": "hunter2.json",
    }

    done = stage.command("serve", "--port", "0", env=env, expect=FAILED)

    assert [] == [name for name in env if name not in done.stderr]
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "name, value",
    [
        ("KEYS", "nowhere.json"),
        ("ISSUER", "http://accounts.example"),
        ("CLOCK_FILE", "nowhere"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("KEYS_WRAPPED_BY", "gcp-kms://hunter2"),
    ],
)
def test_what_cannot_be_used_does_not_start(stage: Stage, name: str, value: str) -> None:
    """
    No key, no start; an issuer on plain HTTP only on loopback; and the sentence names the setting.
    """
    done = stage.command("serve", "--port", "0", env={f"GRANTKEEPER_{name}": value}, expect=FAILED)

    assert f"GRANTKEEPER_{name}" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_clock_file_is_only_for_an_issuer_on_loopback(stage: Stage) -> None:
    """
    Nobody moves the clock of a real one.
    """
    env = {"GRANTKEEPER_ISSUER": "https://accounts.google.com"}

    assert "GRANTKEEPER_CLOCK_FILE" in stage.command("grants", "list", env=env, expect=FAILED).stderr


def test_a_file_of_another_program_is_refused(stage: Stage, tmp_path: Path) -> None:
    """
    SQLite: the file is grantkeeper's own.
    """
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = foreign.read_bytes()

    stage.command("migrate", env={"GRANTKEEPER_DATABASE_URL": f"sqlite:///{foreign}"}, expect=FAILED)

    assert before == foreign.read_bytes()
