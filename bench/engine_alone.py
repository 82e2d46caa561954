"""
The engine by itself: a worker of DBOS as its documentation shows one, for the work of `bench.jobs_app`.

Called as ``python -m bench.engine_alone URL AT_ONCE``. Its queue has groups of which one runs at a time, and
is looked into as often as ours. It ends with SIGTERM.
"""

import logging
import signal
import sys
import time
from typing import Any
from uuid import uuid4

APPLICATION = "bench"
QUEUE = "bench"
VERSION = "bench-1"
POLL_SECONDS = 0.2
READY = "working on bench"
"""What it says once it is ready."""


def work(url: str, at_once: int) -> None:
    """Until SIGTERM."""
    from dbos import DBOS

    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": url,
            "executor_id": uuid4().hex,
            "application_version": VERSION,
            "use_listen_notify": False,
            "enable_otlp": False,
            "log_level": "ERROR",
        }
    )

    @DBOS.step()
    async def one() -> int:
        return 1

    @DBOS.step()
    async def two() -> int:
        return 2

    @DBOS.step()
    async def three() -> int:
        return 3

    @DBOS.workflow(name="three_steps")
    async def three_steps() -> int:
        return await one() + await two() + await three()

    @DBOS.workflow(name="began_at")
    async def began_at() -> float:
        return time.time()

    # Before there are threads: all of them are to leave the signal to this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    DBOS.launch()
    DBOS.register_queue(
        QUEUE, worker_concurrency=at_once, partition_concurrency=1, polling_interval_sec=POLL_SECONDS
    )
    print(READY, flush=True)
    signal.sigwait({signal.SIGTERM})
    DBOS.destroy()


class Client:
    """Asks for work, and for what became of it. Everything blocks."""

    def __init__(self, url: str) -> None:
        from dbos import DBOSClient

        self._client = DBOSClient(
            system_database_url=url, use_listen_notify=False, application_name=APPLICATION
        )

    def close(self) -> None:
        """Let go of the database."""
        self._client.destroy()

    def enqueue(self, name: str, groups: list[str]) -> list[str]:
        """One of that *name* for each of *groups*, in one transaction; their ids."""
        from dbos._enqueue_options import build_enqueue_status

        database = self._client._sys_db
        made = []
        for group in groups:
            options: Any = {
                "workflow_name": name,
                "workflow_id": uuid4().hex,
                "queue_name": QUEUE,
                "queue_partition_key": group,
                "app_version": VERSION,
                "application_name": APPLICATION,
            }
            made.append(build_enqueue_status(options, database.serializer, (), {}))
        database.init_workflows([row for _, row in made])
        return [workflow_id for workflow_id, _ in made]

    def ended(self, since: float) -> tuple[int, float]:
        """
        How many of those asked for since then are ended, and when the last step was: seconds since 1970.

        The end of a workflow is stamped by the database, which on SQLite and Python 3.11 knows whole
        seconds alone; a step's by the worker that did it.
        """
        import sqlalchemy as sa

        database, first = self._client._sys_db, int(since * 1000)
        table, steps = database.tables.workflow_status, database.tables.operation_outputs
        ended = sa.select(sa.func.count()).where(table.c.status == "SUCCESS", table.c.created_at >= first)
        last = sa.select(sa.func.max(steps.c.completed_at_epoch_ms)).where(
            steps.c.completed_at_epoch_ms >= first
        )
        with database.engine.begin() as connection:
            return connection.execute(ended).scalar_one(), (connection.execute(last).scalar() or 0) / 1000

    def result(self, workflow_id: str) -> Any:
        """What it returned."""
        return self._client.retrieve_workflow(workflow_id).get_result()


if __name__ == "__main__":
    logging.getLogger("dbos").addHandler(logging.NullHandler())
    work(sys.argv[1], int(sys.argv[2]))
