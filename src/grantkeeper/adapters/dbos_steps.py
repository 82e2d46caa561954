"""
The steps of a run, recorded by DBOS as long as the run has its job. Written for DBOS 3.4.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from grantkeeper.ports import StepsDiffer, Suspended


def watchful_check(database: Any) -> Callable[..., Any]:
    """
    What DBOS asks before each step, in the place of its own ``check_operation_execution``.

    DBOS asks whether the step is recorded already, and for the run's claim only when it records: too late
    for what the step does in the world. Ours asks both at once, in one statement by itself where DBOS needs
    a transaction of two.
    """
    import sqlalchemy as sa
    from dbos import error as dbos_error
    from dbos._context import current_owner_xid
    from dbos._sys_db import db_retry

    job, step = database.tables.workflow_status, database.tables.operation_outputs
    of_place = sa.and_(
        step.c.workflow_uuid == job.c.workflow_uuid, step.c.function_id == sa.bindparam("place")
    )
    kept = (step.c.output, step.c.error, step.c.serialization, step.c.child_workflow_id)
    wanted = (
        sa.select(job.c.owner_xid, step.c.function_name, *kept)
        .select_from(job.outerjoin(step, of_place))
        .where(job.c.workflow_uuid == sa.bindparam("job"))
    )

    @db_retry(sys_db=database)
    def check(job_id: str, place: int, name: str, *, owner_key: str | None = None) -> dict[str, Any] | None:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            found = connection.execute(wanted, {"job": job_id, "place": place}).first()
        if found is None or found.owner_xid != current_owner_xid(job_id):
            # Forgotten, or suspended, or somebody else has it.
            raise dbos_error.DBOSWorkflowConflictIDError(job_id)
        if found.function_name is None:
            return None
        if found.function_name != name:
            raise dbos_error.DBOSUnexpectedStepError(
                workflow_id=job_id, step_id=place, expected_name=name, recorded_name=found.function_name
            )
        return {column.name: getattr(found, column.name) for column in kept} | {"child_shard_key": None}

    return check


class DbosSteps:
    """The steps of one run."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._failed = False

    async def step(self, name: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
        from dbos import DBOS
        from dbos import error as dbos_error

        if self._failed:
            raise RuntimeError("a run asks for a step after one that failed")
        if self._job_id != DBOS.workflow_id or DBOS.step_id is not None:
            raise RuntimeError("a step is asked for outside of its run, or in another step")
        raised: list[BaseException] = []

        async def body() -> bytes:
            # DBOS records an `Exception` as the step's outcome; of this error it records nothing.
            try:
                return await call()
            except BaseException as error:  # noqa: BLE001 - raised again below
                raised.append(error)
                raise dbos_error.DBOSWorkflowCancelledError("not recorded") from None

        try:
            value: bytes = await DBOS.run_step_async({"name": name}, body)
        except BaseException as error:
            self._failed = True
            if raised:
                raise raised[0] from None
            if isinstance(
                error, (dbos_error.DBOSWorkflowCancelledError, dbos_error.DBOSWorkflowConflictIDError)
            ):
                raise Suspended from None
            if isinstance(error, dbos_error.DBOSUnexpectedStepError):
                _, place, _, recorded = error.inputs
                raise StepsDiffer(f"step {place} was {recorded!r} and is {name!r} now") from None
            raise
        return value
