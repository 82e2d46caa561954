"""The pytest plugin and its fixture, as another project's suite meets them."""

import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grantkeeper.adapters.clock import FileClock
from grantkeeper.testing.google import GoogleEmulator

DRIVE = "https://www.googleapis.com/auth/drive.appdata"


def test_a_code_is_text_and_knows_whose_it_is(google_emulator):
    """So that it can be posted as it is, and the answer's subject compared."""
    first = google_emulator.code("mia@example.com")
    again = google_emulator.code("mia@example.com", scopes=["openid", DRIVE], source="android")
    other = google_emulator.code("noah@example.com", scopes=f"openid {DRIVE}")

    assert first.sub == again.sub != other.sub
    assert first != again
    assert isinstance(first, str)


def test_the_clock_is_moved_for_all_who_share_the_file(google_emulator):
    """A keeper with this clock file is an hour older as well."""
    clock = FileClock(google_emulator.clock_file)
    google_emulator.advance(3600)
    ahead = clock.now() - datetime.now(UTC)
    clock.close()

    assert abs(ahead - timedelta(hours=1)) < timedelta(seconds=5)


def test_faults_strike_and_heal(google_emulator):
    """Here at discovery, which needs no client."""
    google_emulator.fault("discovery", "status_503", count=1, retry_after=1)
    google_emulator.fault("certs", "status_503")
    planned = google_emulator.get("fault")
    google_emulator.heal()

    assert ["discovery", "certs"] == [fault["endpoint"] for fault in planned]
    assert [] == google_emulator.get("fault")


def test_counters_are_zero_where_nothing_was_counted(google_emulator):
    """Also for words that the emulator has not met yet."""
    assert 0 == google_emulator.count("token", "refresh_token")
    assert 0 == google_emulator.count("nowhere", "never", "ok")
    assert "token" in google_emulator.stats()


def test_the_client_file_is_the_emulators(google_emulator):
    """A `web` client, ready for a keeper."""
    content = google_emulator.get("client_secret.json")

    assert content["web"]["client_id"] in google_emulator.client_secret.read_text()
    assert 1 <= len(google_emulator.app_client_ids)


def test_the_emulators_own_sentence_is_told(google_emulator):
    """A misspelt fault is an error, not silence."""
    with pytest.raises(ValueError, match="no fault named"):
        google_emulator.fault("token", "no_such_fault")


def test_the_user_takes_access_back_and_events_happen(google_emulator):
    """Both are calls of the control side."""
    google_emulator.code("mia@example.com")
    google_emulator.revoke("mia@example.com")
    event = google_emulator.event("account-disabled", "mia@example.com")
    google_emulator.rotate_keys()

    assert "the account is disabled" == event["effect"]


def test_reset_forgets_what_was_counted(google_emulator):
    """For suites that share one emulator."""
    google_emulator.fault("certs", "status_503")
    google_emulator.reset()

    assert [] == google_emulator.get("fault")


def test_a_proxy_of_the_environment_is_not_used(google_emulator, monkeypatch):
    """The emulator is on this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert google_emulator.url == GoogleEmulator(f"{google_emulator.url}/").issuer
    assert "token" in GoogleEmulator(google_emulator.url).stats()


def run_python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_the_plugin_imports_nothing_of_ours_until_it_is_used():
    """It is loaded into every pytest run of every project that has grantkeeper installed."""
    printed = run_python(
        """
        import sys
        import grantkeeper.testing.plugin
        print(*sorted(name for name in sys.modules if name.startswith(("grantkeeper", "aiohttp", "uvicorn"))))
        """
    )

    assert ["grantkeeper", "grantkeeper.testing", "grantkeeper.testing.plugin"] == printed.split()


def test_a_foreign_suite_uses_the_fixture(tmp_path: Path):
    """With nothing but grantkeeper installed; each test gets a world of its own."""
    (tmp_path / "test_foreign.py").write_text(
        textwrap.dedent(
            """
            import pytest

            seen = []

            @pytest.mark.parametrize("number", [1, 2])
            def test_sign_in(google_emulator, number):
                code = google_emulator.code("mia@example.com")
                seen.append(google_emulator.url)
                assert code.sub
                assert google_emulator.client_secret.exists()
                assert len(set(seen)) == number
            """
        )
    )
    script = "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"
    options = ["-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-c", script, *options, "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.anyio
async def test_a_kit_runs_jobs_against_the_same_emulator(job_kit, google_emulator):
    """A user of the fixture `google_emulator` is one of the kit's."""
    from grantkeeper import job

    @job(scopes=[DRIVE])
    async def work(ctx, word: str):
        return await ctx.step(len, word), (await ctx.token()).scopes == frozenset({DRIVE})

    async with job_kit(work) as kit:
        run = await kit.run(work, await kit.signed_in("mia@example.com"), word="four")

    assert ("done", [4, True], {"len": 4}) == (run.state, run.result, run.steps)
    assert kit.google is google_emulator
