"""Several processes on one SQLite file: `serve --workers` (sections 6, 7 and 9)."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.stage import Answer, Google, Stage

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def stage(google_process: Google, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Four workers."""
    stage = Stage(tmp_path_factory.mktemp("workers"), google_process)
    try:
        yield stage.serve("--workers", "4")
    finally:
        stage.stop()


def test_two_hundred_requests_make_one_refresh(stage: Stage, google: Google) -> None:
    """
    Over four processes, on an expired grant.
    """
    grant = stage.grant("swarm@example.com")
    google.advance(3700)
    before = google.sent("refresh_token")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: stage.token({"grant": grant}), range(200)))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.json["access_token"] for answer in answers})
    assert before + 1 == google.sent("refresh_token")


def test_a_revoke_is_obeyed_by_every_worker_within_a_second(stage: Stage) -> None:
    """
    No token is handed out later than one second after the revoke was acknowledged.
    """
    grant = stage.grant("leave@example.com")
    with ThreadPoolExecutor(8) as pool:
        assert {200} == {a.status for a in pool.map(lambda _: stage.token({"grant": grant}), range(40))}

    assert 200 == stage.ask("POST", f"/v1/grants/{grant}/revoke", key=stage.key).status
    time.sleep(1)

    with ThreadPoolExecutor(8) as pool:
        assert {409} == {a.status for a in pool.map(lambda _: stage.token({"grant": grant}), range(40))}


def test_a_code_posted_to_all_workers_at_once_is_redeemed_once(stage: Stage, google: Google) -> None:
    """
    The claim is in the database, so whichever process asks is one of many.
    """
    body, before = {"code": google.code("rush@example.com")}, google.sent("authorization_code")

    with ThreadPoolExecutor(50) as pool:
        answers = sorted(answer.error for answer in pool.map(lambda _: stage.redeem(body), range(50)))

    assert [(200, "ok")] + [(409, "code_already_redeemed")] * 49 == answers
    assert before + 1 == google.sent("authorization_code")


def test_a_repeat_at_another_worker_gets_the_first_outcome(stage: Stage, google: Google) -> None:
    """
    Each connection may meet another process; they all know.
    """
    body, key = {"code": google.code("repeat@example.com")}, {"Idempotency-Key": "r" * 22}

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: stage.redeem(body, key), range(12)))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.json["grant"]["id"] for answer in answers})


def test_sigterm_lets_a_refresh_in_flight_finish(stage: Stage, google: Google) -> None:
    """
    The one who waits is answered, what Google gave is kept, and the exit status is 0.
    """
    grant = stage.grant("last@example.com")
    google.advance(3700)
    google.fault("token", "slow", count=1, seconds=2)
    before, answers = google.sent("refresh_token"), list[Answer]()
    waiting = threading.Thread(target=lambda: answers.append(stage.token({"grant": grant})))
    waiting.start()
    until = time.monotonic() + 30
    while google.sent("refresh_token") == before and time.monotonic() < until:
        time.sleep(0.05)

    assert stage.service is not None
    os.kill(stage.service.popen.pid, signal.SIGTERM)
    waiting.join()

    assert 200 == answers[0].status
    assert 0 == stage.stop()
    stage.serve("--workers", "2")
    assert answers[0].json["access_token"] == stage.token({"grant": grant}).json["access_token"]
    assert before + 1 == google.sent("refresh_token")


def test_nothing_secret_is_on_the_disk(stage: Stage, google: Google) -> None:
    """
    The emulator marks every token; no database, journal or log of ours holds a mark.
    """
    stage.grant("disk@example.com")

    found = [
        file.name for file in stage.folder.rglob("*") if file.is_file() and b"GKMARK" in file.read_bytes()
    ]

    assert [] == found
    assert (stage.folder / "grantkeeper.db").stat().st_size > 0
