"""The service against its own description: requests made from it, good and bad, meet only what it says."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from grantkeeper.server.app import create_app
from grantkeeper.server.operations import Operation
from grantkeeper.server.routes import ROUTES
from tests.server.asking import KEYED, Running
from tests.server.conftest import Recorder
from tests.server.fake_core import FakeCore

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
EXAMPLES = 12


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    core = FakeCore()
    core.admit(KEYED["Authorization"].removeprefix("Bearer "))
    core.settings.redeem_limit.count = 1_000_000
    with Running(create_app(core, log=Recorder())) as running:  # type: ignore[arg-type]
        yield running


def modes() -> list[object]:
    """Every route with good requests, and with bad ones where anything can be wrong."""
    plain = {"session_keys", "alive", "ready", "metrics", "openapi", "docs", "home", "style"}
    good = [pytest.param(one, GenerationMode.POSITIVE, id=f"{one.name}-good") for one in ROUTES]
    bad = [
        pytest.param(one, GenerationMode.NEGATIVE, id=f"{one.name}-bad")
        for one in ROUTES
        if one.name not in plain
    ]
    return [*good, *bad]


@pytest.mark.parametrize(("operation", "mode"), modes())
def test_every_answer_is_one_that_the_description_knows(
    served: Running, operation: Operation, mode: GenerationMode
) -> None:
    """
    Status, media type, headers and schema; never a 500; with a caller key and without.
    """
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    described = schema[operation.path][operation.method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy(generation_mode=mode), keyed=st.booleans())
    def check(case: Case, keyed: bool) -> None:
        answer = case.call(headers=dict(KEYED) if keyed else {}, allow_redirects=False)
        case.validate_response(answer, checks=CHECKS)

    check()
