"""Nodes on one PostgreSQL: all that a user changes is the URL (sections 6, 7 and 9)."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.stage import Answer, Google, Process, Stage, ask
from tests.postgres import PASSWORD, PostgresServer, database_of

pytestmark = pytest.mark.processes

MARKERS = ("GKMARK", "R0tNQVJL", "dLTUFSS", "HS01BUk")
"""What the emulator puts into every token, as it is and inside base64."""


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def stage(google_process: Google, url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """`init` has made the schema; one node serves."""
    stage = Stage(tmp_path_factory.mktemp("postgres"), google_process, env={"DATABASE_URL": url})
    try:
        yield stage.serve()
    finally:
        stage.stop()


@pytest.fixture(scope="module")
def other(stage: Stage) -> Iterator[int]:
    """The port of a second node, with two workers."""
    process = Process(["serve", "--port", "0", "--workers", "2"], stage.folder, stage.env, "other")
    try:
        yield process.port("/readyz")
    finally:
        process.stop()


def token_of(port: int, stage: Stage, grant: str) -> Answer:
    """``POST /v1/token`` at any node."""
    return ask(port, "POST", "/v1/token", {"grant": grant}, {"Authorization": f"Bearer {stage.key}"})


def test_a_grant_made_at_one_node_serves_at_the_other(stage: Stage, other: int, google: Google) -> None:
    """
    With the token that the first one got: Google is not asked.
    """
    grant = stage.grant("both@example.com")
    before = google.sent("refresh_token")
    first, second = stage.token({"grant": grant}), token_of(other, stage, grant)

    assert (200, 200) == (first.status, second.status)
    assert first.json["access_token"] == second.json["access_token"]
    assert before == google.sent("refresh_token")


def test_nodes_refresh_once_between_them(stage: Stage, other: int, google: Google) -> None:
    """
    Two hundred requests on an expired grant.
    """
    grant = stage.grant("swarm@example.com")
    google.advance(3700)
    before = google.sent("refresh_token")
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda turn: token_of((stage.port, other)[turn % 2], stage, grant), range(200))
        )

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.json["access_token"] for answer in answers})
    assert before + 1 == google.sent("refresh_token")


def test_a_revoke_is_obeyed_by_the_other_node_within_a_second(stage: Stage, other: int) -> None:
    """
    No token is handed out later than one second after the revoke was acknowledged.
    """
    grant = stage.grant("leave@example.com")
    before = {token_of(other, stage, grant).status for _ in range(10)}
    revoked = stage.ask("POST", f"/v1/grants/{grant}/revoke", key=stage.key)
    time.sleep(1)
    after = {token_of(other, stage, grant).status for _ in range(10)}

    assert ({200}, 200, {409}) == (before, revoked.status, after)


def test_a_caller_that_is_removed_is_unknown_everywhere_within_a_second(stage: Stage, other: int) -> None:
    """
    By a command, in a process of its own.
    """
    key = stage.caller("fleeting")
    headers = {"Authorization": f"Bearer {key}"}
    before = ask(other, "GET", "/v1/grants", None, headers).status
    stage.command("callers", "revoke", "fleeting", expect=0)
    time.sleep(1)

    assert (200, 401) == (before, ask(other, "GET", "/v1/grants", None, headers).status)


def test_a_code_posted_to_all_nodes_at_once_is_redeemed_once(
    stage: Stage, other: int, google: Google
) -> None:
    """
    The claim is in the database.
    """
    body, before = {"code": google.code("rush@example.com")}, google.sent("authorization_code")
    with ThreadPoolExecutor(20) as pool:
        answers = sorted(
            answer.error
            for answer in pool.map(
                lambda turn: ask(
                    (stage.port, other)[turn % 2],
                    "POST",
                    "/v1/redeem",
                    body,
                    {"X-Requested-With": "contract"},
                ),
                range(20),
            )
        )

    assert [(200, "ok")] + [(409, "code_already_redeemed")] * 19 == answers
    assert before + 1 == google.sent("authorization_code")


def test_nothing_in_the_database_is_a_secret(
    stage: Stage, other: int, url: str, postgres_server: PostgresServer
) -> None:
    """
    Neither a token nor a key, an e-mail or a password; not in the nodes' logs either.
    """
    token_of(other, stage, stage.grant("leaks@example.com"))
    time.sleep(0.3)
    dump = postgres_server.dump(database_of(url))
    logs = "".join(path.read_text(errors="replace") for path in stage.folder.glob("*.log"))

    assert "INSERT INTO public.tokens" in dump
    for secret in (*MARKERS, "leaks@example.com", stage.key, PASSWORD):
        assert secret not in dump, secret
        assert secret not in logs, secret
        # A box is written in hex.
        assert secret.encode().hex() not in dump, secret


def test_serve_refuses_a_database_that_was_not_migrated(
    stage: Stage, postgres_server: PostgresServer
) -> None:
    """
    It names the command that migrates, which is all it takes; nobody's password is told.
    """
    with postgres_server.database() as url:
        env = {"GRANTKEEPER_DATABASE_URL": url}
        for arguments in (["serve", "--port", "0"], ["serve", "--port", "0", "--workers", "2"]):
            refused = stage.command(*arguments, env=env)
            assert 1 == refused.returncode
            assert "grantkeeper migrate" in refused.stderr
            assert PASSWORD not in refused.stderr
        stage.command("migrate", expect=0, env=env)
        stage.command("callers", "list", expect=0, env=env)


def test_doctor_looks_at_the_server(stage: Stage) -> None:
    """
    And finds nothing wrong with it.
    """
    said = stage.command("doctor").stdout

    assert "PostgreSQL can be read and written" in said
    assert "wrong" not in next(line for line in said.splitlines() if "PostgreSQL" in line)


def test_a_server_that_is_away_is_not_now(stage: Stage) -> None:
    """
    A command says so by its exit status.
    """
    url = f"postgresql://grantkeeper:{PASSWORD}@127.0.0.1:9/grants"
    done = stage.command("grants", "list", env={"GRANTKEEPER_DATABASE_URL": url})

    assert 4 == done.returncode
    assert PASSWORD not in done.stdout + done.stderr
