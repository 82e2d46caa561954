"""What every test shares."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, configuration, settings

configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / ".build" / "hypothesis")
# No deadline: a busy machine is slow, not wrong. CI tries the same examples each time, people new ones.
settings.register_profile(
    "grantkeeper",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("grantkeeper")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, the only loop the product runs on."""
    return "asyncio"
