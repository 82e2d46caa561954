"""The commands by transcript: what they print where, and with which status they end."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.cli.main import app
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.records import NOW
from tests.cli.conftest import Command

ADA = "ada@example.com"
DRIVE = "https://www.googleapis.com/auth/drive.appdata"


def test_init_makes_everything_and_overwrites_nothing(place: Path, command: Command) -> None:
    """
    Keys that only the owner reads, settings, a migrated database; a second time nothing is made.
    """
    first = command("init", "--json")
    keys = (place / "keys.json").read_bytes()
    second = command("init", "--json")

    assert ["grantkeeper.toml", "keys.json"] == first.json["made"]
    assert 0o600 == stat.S_IMODE((place / "keys.json").stat().st_mode)
    assert 0o600 == stat.S_IMODE((place / "grantkeeper.db").stat().st_mode)
    assert [] == second.json["made"]
    assert keys == (place / "keys.json").read_bytes()


def test_init_finds_the_client_file_beside_it(
    place: Path, command: Command, google_emulator: GoogleEmulator
) -> None:
    """
    One client_secret file in the folder is meant.
    """
    assert google_emulator.client_secret is not None
    (place / "client_secret_1.json").write_bytes(google_emulator.client_secret.read_bytes())

    said = command("init")

    assert 'client_secrets = "client_secret_1.json"' in (place / "grantkeeper.toml").read_text()
    assert (0, "") == (said.status, said.out)
    assert "grantkeeper callers create" in said.err


def test_no_key_no_start(installed: Command, place: Path) -> None:
    """
    Without keys.json nothing opens, and the hint says which command makes one.
    """
    (place / "keys.json").unlink()

    said = installed("grants", "list")

    assert (1, "") == (said.status, said.out)
    assert "grantkeeper init" in said.err


def test_init_makes_no_new_key_for_a_database_with_grants(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    A new key would open none of them: the old one is asked for.
    """
    installed("redeem", stdin=google_emulator.code(ADA))
    (place / "keys.json").unlink()

    said = installed("init")

    assert 1 == said.status
    assert "keys.json" in said.err
    assert not (place / "keys.json").exists()


def test_keys_of_another_deployment_take_no_sign_in(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    The first to redeem has the wrong keys.json: it refuses, and with the right one the same code is good.
    """
    keys, code = place / "keys.json", google_emulator.code(ADA)
    ours = keys.read_bytes()
    generate_keys(place / "other.json", name="other", now=NOW)
    keys.write_bytes((place / "other.json").read_bytes())
    foreign = installed("redeem", stdin=code)
    keys.write_bytes(ours)
    again = installed("redeem", "--json", stdin=code)

    assert foreign.status != 0
    assert "lacks the wrapping key" in foreign.err
    assert (0, "active") == (again.status, again.json["grant"]["state"])


def test_new_keys_are_those_of_a_database_without_grants(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Who lost keys.json before anybody signed in makes another, and goes on.
    """
    (place / "keys.json").unlink()
    installed("init")

    said = installed("redeem", "--json", stdin=google_emulator.code(ADA))

    assert (0, "active") == (said.status, said.json["grant"]["state"])


def test_every_wrong_setting_is_told_at_once(installed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Names, never values.
    """
    monkeypatch.setenv("GRANTKEEPER_REDEEM_LIMIT", "hunter2")
    monkeypatch.setenv("GRANTKEEPER_CONDEMN_LIMIT", "hunter2")
    monkeypatch.setenv("GRANTKEEPER_DATABASE_ULR", "hunter2")

    said = installed("grants", "list")

    assert 1 == said.status
    for name in ("GRANTKEEPER_REDEEM_LIMIT", "GRANTKEEPER_CONDEMN_LIMIT", "GRANTKEEPER_DATABASE_ULR"):
        assert name in said.err
    assert "hunter2" not in said.err


@pytest.mark.parametrize("arguments", [("grants", "list"), ("jobs", "list"), ("serve",)])
def test_the_wrong_directory_is_told(command: Command, place: Path, arguments: tuple[str, ...]) -> None:
    """
    Where there is no grantkeeper.toml that is said, with what makes one; nothing is made there meanwhile.
    """
    lost = command(*arguments)
    made = list(place.iterdir())
    command("init")
    without_client = command(*arguments)

    assert (1, []) == (lost.status, made)
    assert "There is no grantkeeper.toml here" in lost.err
    assert "`grantkeeper init`" in lost.err
    assert "client_secrets in grantkeeper.toml" in without_client.err
    assert "There is no grantkeeper.toml" not in without_client.err


def test_the_main_job(installed: Command, google_emulator: GoogleEmulator) -> None:
    """
    A code from standard input becomes a grant; a token of it is all there is on standard output.
    """
    redeemed = installed("redeem", "--json", "--user", "u-1", stdin=google_emulator.code(ADA) + "\n")
    grant = redeemed.json["grant"]["id"]
    google_emulator.advance(3700)
    token = installed("token", grant)
    as_json = installed("token", "--user", "u-1", "--scope", DRIVE, "--json")
    listed = installed("grants", "list", "--json")
    shown = installed("grants", "show", grant)
    revoked = installed("grants", "revoke", grant, "--json")
    after = installed("token", grant)
    forgotten = installed("grants", "forget", grant)
    gone = installed("grants", "show", grant)

    assert ADA == redeemed.json["profile"]["email"]
    assert token.out.startswith("ya29.")
    assert 1 == token.out.count("\n")
    assert [DRIVE] == as_json.json["scopes"]
    assert [grant] == [one["id"] for one in listed.json["grants"]]
    assert "active" in shown.out
    assert (True, "revoked") == (revoked.json["told"], revoked.json["state"])
    assert (3, "") == (after.status, after.out)
    assert "hint:" in after.err
    assert 0 == forgotten.status
    assert 1 == gone.status


def test_a_user_who_must_consent_is_status_three(installed: Command, google_emulator: GoogleEmulator) -> None:
    """
    With --json the reason stands on standard output as well.
    """
    grant = installed("redeem", "--json", stdin=google_emulator.code(ADA)).json["grant"]["id"]
    google_emulator.revoke(ADA)
    google_emulator.advance(3700)

    said = installed("token", grant, "--json")

    assert 3 == said.status
    assert ("consent_required", "revoked") == (said.json["error"], said.json["reason"])


def test_google_away_is_status_four(installed: Command, google_emulator: GoogleEmulator) -> None:
    """
    Later may help; scripts can tell.
    """
    grant = installed("redeem", "--json", stdin=google_emulator.code(ADA)).json["grant"]["id"]
    google_emulator.fault("token", "status_503")
    google_emulator.advance(3700)

    said = installed("token", grant)

    assert (4, "") == (said.status, said.out)
    assert "issuer_unavailable" in said.err


def test_preflight_reads_the_id_token_from_a_file(
    installed: Command, google_emulator: GoogleEmulator, place: Path
) -> None:
    """
    No secret is an argument; what is wrong with the token is said.
    """
    (place / "id_token").write_text(google_emulator.id_token(ADA))

    said = installed("preflight", "--id-token-file", "id_token")

    assert 1 == said.status
    assert "azp" in said.err


def test_a_caller_key_is_shown_once(installed: Command) -> None:
    """
    The key is the result; the list has names and rules only.
    """
    made = installed("callers", "create", "web", "--permission", "token", "--expires", "90d", "--json")
    plain = installed("callers", "create", "worker")
    twice = installed("callers", "create", "web")
    listed = installed("callers", "list", "--json")
    revoked = installed("callers", "revoke", "web")
    unknown = installed("callers", "revoke", "nobody")

    assert made.json["key"].startswith("gk_")
    assert 1 == plain.out.count("\n")
    assert 2 == twice.status
    assert ["web", "worker"] == [one["name"] for one in listed.json["callers"]]
    assert made.json["key"] not in listed.out
    assert (0, 2) == (revoked.status, unknown.status)


@pytest.mark.parametrize(
    "arguments",
    [
        ("callers", "create", "x", "--client", "nosuch"),
        ("callers", "create", "x", "--permission", "everything"),
        ("callers", "create", "x", "--expires", "yesterday"),
        ("callers", "create", "x", "--expires", "2020-01-01"),
        ("callers", "create", "x", "--scope", 'a"b'),
        ("token",),
        ("token", "id", "--min-ttl", "9999"),
        ("token", "id", "--min-ttl", "soon"),
        ("grants", "list", "--state", "nice"),
        ("redeem",),
        ("redeem", "--source", "toaster"),
        ("redeem", "--code", "4/0secret"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_status_two(installed: Command, arguments: tuple[str, ...]) -> None:
    """
    With a sentence on standard error and nothing on standard output.
    """
    said = installed(*arguments, stdin="")

    assert (2, "") == (said.status, said.out)
    assert said.err.startswith("grantkeeper: ")


def test_doctor_finds_what_is_wrong_and_mends_permissions(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    Healthy is 0; a key file that others can read is not, until it is mended.
    """
    healthy = installed("doctor", "--json")
    (place / "keys.json").chmod(0o644)
    ill = installed("doctor")
    mended = installed("doctor", "--fix", "--json")

    assert (0, True) == (healthy.status, healthy.json["ok"])
    assert 1 == ill.status
    assert "wrong" in ill.out
    assert (0, True) == (mended.status, mended.json["ok"])
    assert 0o600 == stat.S_IMODE((place / "keys.json").stat().st_mode)


def test_doctor_tells_another_deployments_keys(
    installed: Command, place: Path, google_emulator: GoogleEmulator
) -> None:
    """
    A keys.json that did not seal this database is wrong, however well it works by itself.
    """
    installed("redeem", stdin=google_emulator.code("ada@example.com"))
    healthy = installed("doctor", "--json")
    (place / "keys.json").unlink()
    generate_keys(place / "keys.json")
    ill = installed("doctor", "--json")

    seals = [check["verdict"] for said in (healthy, ill) for check in said.json["checks"]
             if check["check"] == "seals"]  # fmt: skip
    assert (0, 1, ["ok", "wrong"]) == (healthy.status, ill.status, seals)


def test_doctor_says_that_google_is_not_reached(installed: Command, google_emulator: GoogleEmulator) -> None:
    """
    The check that fails is named.
    """
    google_emulator.fault("discovery", "status_503")

    said = installed("doctor", "--json")

    wrong = [check for check in said.json["checks"] if check["verdict"] == "wrong"]
    assert (1, ["issuer"]) == (said.status, [check["check"] for check in wrong])
    assert "Retry-After" not in wrong[0]["hint"]
    assert "emulator" in wrong[0]["hint"]


def test_a_file_that_is_missing_is_named(installed: Command, place: Path) -> None:
    """
    With the whole path, for it may be another directory than was meant; what may be a secret is not told.
    """
    backup = installed("backup", "nowhere/backup.gkb")
    report = installed("panic", "verify", "nowhere/report.jsonl")
    code = installed("redeem", "--code-file", "4/0-marker")
    (place / "keys.json").unlink()
    keys = installed("grants", "list")

    assert "nowhere/backup.gkb cannot be made: No such file or directory" in backup.err
    assert "nowhere/report.jsonl cannot be read: No such file or directory" in report.err
    assert "the code cannot be read: No such file or directory" in code.err
    assert "marker" not in code.err
    assert f"GRANTKEEPER_KEYS: there is no such file as {place / 'keys.json'}, and" in keys.err


def test_a_clock_that_is_not_the_emulators_is_told(
    installed: Command, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who forgot the clock file in one terminal hears of clocks, from the sign-in and from doctor.
    """
    google_emulator.advance(14800)
    together = installed("doctor", "--json")
    monkeypatch.delenv("GRANTKEEPER_CLOCK_FILE")
    refused = installed("redeem", stdin=google_emulator.code(ADA))
    apart = installed("doctor", "--json")

    (clock,) = [check for check in apart.json["checks"] if check["check"] == "clock"]
    assert 0 == together.status
    assert "the ID token's iat is in the future" in refused.err
    assert "GRANTKEEPER_CLOCK_FILE" in refused.err
    assert (1, "wrong") == (apart.status, clock["verdict"])
    assert "GRANTKEEPER_CLOCK_FILE" in clock["hint"]


def helps(within: App, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command that is there, with --help."""
    yield (*before, "--help")
    for name in within:
        if not name.startswith("-"):
            yield from helps(within[name], *before, name)


def test_no_help_shows_markup(command: Command) -> None:
    """
    It is read in a terminal, and nothing turns signs into letters there.
    """
    shown = {" ".join(arguments): command(*arguments).out for arguments in helps(app)}

    assert len(shown) > 30
    assert [] == [name for name, text in shown.items() if "`" in text]


def test_a_secret_given_as_an_argument_is_not_printed(installed: Command) -> None:
    """
    It is refused as usage, and the sentence does not repeat it.
    """
    said = installed("redeem", "4/the-code-itself", "--json")

    assert 2 == said.status
    assert "4/the-code-itself" not in said.out + said.err


@pytest.mark.parametrize("arguments", [("--workers", "0"), ("--port", "65536"), ("--port", "-1")])
def test_a_number_that_cannot_be_is_usage(installed: Command, arguments: tuple[str, str]) -> None:
    """
    Before anything is opened.
    """
    assert 2 == installed("serve", *arguments).status


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--host", "192.0.2.1"), 1, "cannot listen on 192.0.2.1 port 8085: Cannot assign requested address"),
        (("--port", "99999"), 2, "--port must be 0 to 65535"),
        (("--clock-file", "nowhere/clock"), 1, "--clock-file nowhere/clock cannot be written: No such file"),
        (("--issuer", "garbage"), 2, "--issuer must be an https URL"),
    ],
)
def test_an_emulator_that_cannot_start_says_why(
    command: Command, arguments: tuple[str, str], status: int, said: str
) -> None:
    """
    In one sentence with a hint, as the service does; no traceback, and nothing listens.
    """
    ended = command("emulator", *arguments)

    assert (status, "") == (ended.status, ended.out)
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("server", ["emulator", "serve"])
def test_a_port_that_is_taken_is_said(installed: Command, server: str) -> None:
    """
    By emulator and service alike.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = installed(server, "--port", str(port))

    assert 1 == ended.status
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in ended.err
    assert "hint: Choose another --host or --port" in ended.err


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64])
def test_a_host_that_is_none_is_said(command: Command, host: str) -> None:
    """
    Whether its name is not known or cannot be one.
    """
    ended = command("emulator", "--host", host)

    assert 1 == ended.status
    assert f"cannot listen on {host} port 8085: " in ended.err


def test_a_refusal_in_json_has_the_remedy_of_the_services(
    installed: Command, google_emulator: GoogleEmulator
) -> None:
    """
    Reason, what is missing, and who can mend it.
    """
    code = google_emulator.code("leaver@example.com")
    grant = installed("redeem", "--json", stdin=code).json["grant"]["id"]
    installed("grants", "revoke", grant)

    said = installed("token", grant, "--json")

    assert 3 == said.status
    assert {"error", "error_description", "hint", "reason", "missing_scopes", "remedy"} <= said.json.keys()
