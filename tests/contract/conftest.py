"""One emulator for all, and one service for each module of the contract."""

from collections.abc import Iterator

import pytest

from tests.contract.stage import Google, Stage


@pytest.fixture(scope="session")
def _emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Google]:
    """`grantkeeper emulator`, as a process."""
    google = Google(tmp_path_factory.mktemp("google"))
    yield google
    google.process.stop()


@pytest.fixture(scope="module")
def google_process(_emulator: Google) -> Google:
    """The same, new for each module: no accounts, no grants."""
    _emulator.post("reset", {})
    return _emulator


@pytest.fixture
def google(google_process: Google) -> Iterator[Google]:
    """The same, healthy again after each test."""
    yield google_process
    google_process.heal()


@pytest.fixture(scope="module")
def config(google_process: Google) -> str:
    """What a module adds to grantkeeper.toml: nothing, unless it says otherwise."""
    return ""


@pytest.fixture(scope="module")
def stage(google_process: Google, config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """`grantkeeper init`, `callers create` and `serve`, as processes."""
    stage = Stage(tmp_path_factory.mktemp("stage"), google_process, config=config)
    try:
        yield stage.serve()
    finally:
        stage.stop()
