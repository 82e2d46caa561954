"""Up to the next release and back to this one, while two nodes serve."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backup.load import Load
from tests.backup.next_release import RELEASE, next_release
from tests.contract.stage import Google, Process, Stage, ask
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@dataclass
class Node:
    """A process that serves, of one release or the other."""

    process: Process
    port: int

    def release(self) -> str:
        """What it says that it is."""
        return str(ask(self.port, "GET", "/openapi.json").json["info"]["version"])


class Fleet:
    """Nodes on one database."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._made = 0
        self.nodes: list[Node] = []

    def start(self, path: Path | None = None) -> Node:
        """One more node; of the release that lies at *path*, where it is given."""
        self._made += 1
        process = Process(
            ["serve", "--port", "0"], self.stage.folder, environment(self.stage, path), f"node-{self._made}"
        )
        node = Node(process, 0)
        self.nodes.append(node)
        node.port = process.port("/readyz")
        return node

    def stop(self) -> None:
        for node in self.nodes:
            node.process.stop()


def environment(stage: Stage, path: Path | None) -> dict[str, str]:
    """The settings of *stage*, with another release in front."""
    if path is None:
        return dict(stage.env)
    return stage.env | {"PYTHONPATH": f"{path}:{stage.env['PYTHONPATH']}"}


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Of database."""
    return str(request.param)


@pytest.fixture
def stage(kind: str, google: Google, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """An installation on a database of that kind."""
    if kind == "sqlite":
        yield Stage(tmp_path, google)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield Stage(tmp_path, google, env={"DATABASE_URL": url})


@pytest.fixture
def fleet(stage: Stage) -> Iterator[Fleet]:
    """No node yet."""
    fleet = Fleet(stage)
    yield fleet
    fleet.stop()


def replaced(fleet: Fleet, load: Load, old: Node, path: Path | None) -> Node:
    """A node of the other release in the place of *old*: the new one first, as a balancer would do it."""
    new = fleet.start(path)
    load.with_also([new.port])
    load.some()
    # Its last requests are under way when it is told to stop: what is cut off is asked again, elsewhere.
    assert 0 == old.process.stop()
    load.without(old.port)
    load.some()
    return new


def test_up_and_down_by_one_release_under_load(
    kind: str, stage: Stage, fleet: Fleet, google: Google, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    The next release migrates while this one serves; nodes are replaced one by one, there and back, and
    no request fails, tokens and sign-ins alike.
    """
    following = next_release(tmp_path_factory.mktemp("next"), kind)
    first, second = fleet.start(), fleet.start()
    load = Load(google, stage.key, [first.port, second.port], [])
    code = google.code("ada@example.com", force=True)
    redeemed = ask(first.port, "POST", "/v1/redeem", {"code": code}, {"X-Requested-With": "test"})
    load.grants.append(redeemed.json["grant"]["id"])

    with load.running():
        load.some()
        migrated = stage.command("migrate", "--json", expect=0, env=environment(stage, following))
        load.some()
        up = [replaced(fleet, load, node, following) for node in (first, second)]
        releases = [node.release() for node in up]
        with load.codes:
            google.advance(3700)
        load.some()
        down = [replaced(fleet, load, node, None) for node in up]
        back = [node.release() for node in down]

    assert {"database": "migrated"} == json.loads(migrated.stdout)
    assert [] == load.wrong
    assert [RELEASE] * 2 == releases
    assert RELEASE not in back
    assert load.answers["redeem"] > 10
    assert load.answers["token"] > 100
    # Every sign-in that was acknowledged, by whichever release, is there.
    listed = json.loads(stage.command("grants", "list", "--limit", "1000", "--json", expect=0).stdout)
    assert set(load.grants) == {grant["id"] for grant in listed["grants"]}


def test_on_the_schema_of_the_next_release_this_one_makes_no_backup(
    kind: str, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    It would leave out what only the next one knows: that one does it, and brings back one of this.
    """
    following = next_release(tmp_path_factory.mktemp("next"), kind)
    theirs = environment(stage, following)
    stage.command("backup", "ours", expect=0)
    stage.command("migrate", expect=0, env=theirs)

    refused = stage.command("backup", "copy", "--json")
    # Into files, whatever the kind of what was backed up.
    too_new = {"GRANTKEEPER_DATABASE_URL": "sqlite:///new.db"}
    newer = {"GRANTKEEPER_DATABASE_URL": "sqlite:///newer.db"}
    backed_up = stage.command("backup", "theirs", "--json", expect=0, env=theirs)
    ours = stage.command("restore", "ours", "--json", expect=0, env=theirs | newer)
    theirs_here = stage.command("restore", "theirs", env=too_new)

    assert (1, "backup_refused") == (refused.returncode, json.loads(refused.stdout)["error"])
    assert "newer release" in refused.stderr
    assert kind == json.loads(ours.stdout)["database"]
    assert json.loads(backed_up.stdout)["schema"] > json.loads(ours.stdout)["schema"]
    assert 1 == theirs_here.returncode
    assert f"made by release '{RELEASE}'" in theirs_here.stderr
