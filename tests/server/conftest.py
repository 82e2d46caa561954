"""The service around a core that a test holds in its hands."""

from typing import Any

import pytest

from grantkeeper.server.app import App, create_app
from tests.server.asking import KEY
from tests.server.fake_core import FakeCore


class Recorder:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def _keep(self, level: str, event: str, ids: dict[str, Any]) -> None:
        self.lines.append((level, event, ids))

    def debug(self, event: str, **ids: Any) -> None:
        self._keep("debug", event, ids)

    def info(self, event: str, **ids: Any) -> None:
        self._keep("info", event, ids)

    def warning(self, event: str, **ids: Any) -> None:
        self._keep("warning", event, ids)

    def error(self, event: str, **ids: Any) -> None:
        self._keep("error", event, ids)

    def named(self, event: str) -> list[dict[str, Any]]:
        """Every line of that name."""
        return [ids for _, name, ids in self.lines if name == event]


@pytest.fixture
def core() -> FakeCore:
    """A core with one caller who may do everything."""
    core = FakeCore()
    core.admit(KEY)
    return core


@pytest.fixture
def log() -> Recorder:
    return Recorder()


@pytest.fixture
def app(core: FakeCore, log: Recorder) -> App:
    return create_app(core, log=log)  # type: ignore[arg-type]
