"""The PostgreSQL that tests bring along starts, crashes, stands still and cleans up."""

import subprocess
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, database_of


def test_a_server_lives_through_restarts_and_leaves_nothing():
    """
    What was committed is there after a crash; when it is closed, process and folder are gone.
    """
    with PostgresServer() as server:
        name = server.create()
        server.execute("CREATE TABLE things (id int); INSERT INTO things VALUES (7)", name)
        server.restart("immediate")
        server.kill()
        server.start()

        assert "7" == server.execute("SELECT id FROM things", name)
        folder, pid = server.folder, server.pid
        assert {pid} < set(server.processes())

    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_paused_server_answers_nothing(postgres_server: PostgresServer):
    """
    It goes on afterwards.
    """
    with postgres_server.paused(), pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [
                "python3",
                "-c",
                f"import socket; socket.create_connection(('127.0.0.1', {postgres_server.port})).recv(1)",
            ],
            timeout=0.3,
            check=True,
        )

    assert "1" == postgres_server.execute("SELECT 1")


def test_a_fixture_gives_an_empty_database(postgres_url: str, postgres_server: PostgresServer):
    """
    Nothing of another test is in it.
    """
    found = postgres_server.execute(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database_of(postgres_url)
    )

    assert "0" == found
