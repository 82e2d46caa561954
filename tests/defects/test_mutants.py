"""Every proof bites: against a product that has the defect it fails, and without the mutant it passes."""

import pytest

from tests.defects import test_defects
from tests.defects.services import Services
from tests.defects.stage import Stage
from tests.mutants import mutant, names, put_in

pytestmark = pytest.mark.anyio

IN_PROCESSES = ["d1_no_guard"]
HERE = [name for name in names() if name not in IN_PROCESSES]
DEFECTS = [f"D{number}" for number in range(1, 10)]


@pytest.mark.parametrize("name", HERE)
async def test_a_proof_notices_its_mutant(stage: Stage, name: str) -> None:
    """
    The proof fails by what it asserts, not by an accident; as it stands it passes, which is its own test.
    """
    proof = getattr(test_defects, mutant(name).test)

    with put_in(name), pytest.raises(AssertionError):
        await proof(stage)


@pytest.mark.processes
@pytest.mark.parametrize("name", IN_PROCESSES)
async def test_a_proof_notices_its_mutant_in_processes(services: Services, name: str) -> None:
    """
    The same for what only processes show: each of them has the mutant for life.
    """
    services.mutant = name
    proof = getattr(test_defects, mutant(name).test)

    with pytest.raises(AssertionError, match="1 == "):
        await proof(services)


def test_every_proof_has_a_mutant_and_every_defect_a_proof() -> None:
    """
    Nothing is proved by a test that could not fail.
    """
    mutants = [mutant(name) for name in names()]
    proofs = {name for name in vars(test_defects) if name.startswith("test_")}

    assert proofs == {one.test for one in mutants}
    assert DEFECTS == sorted({one.docstring.split(",")[0] for one in mutants})
    for one in mutants:
        assert one.name.split("_")[0] == one.test.split("_")[1] == one.docstring.split(",")[0].lower()
