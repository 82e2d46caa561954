"""
DBOS running in this process: it takes jobs from its queues, and we run them on our loop.

There is one DBOS in a process, and so one runtime.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, NoReturn

from grantkeeper.adapters.dbos_books import WORKFLOW, DbosBooks, end_run, suspend_run
from grantkeeper.adapters.dbos_place import APPLICATION, SCHEMA, VERSION, options, tried_when_idle
from grantkeeper.adapters.dbos_steps import DbosSteps, watchful_check
from grantkeeper.adapters.dbos_values import serializer
from grantkeeper.adapters.engine_log import escaped
from grantkeeper.ports import Run, Suspended

CONNECTIONS = 20
"""To the database, at most; DBOS's own default."""

END_AGAIN_AFTER = 1.0
"""Seconds until the end of a run is written again that could not be: a disk may be full for a while."""


class _Left(BaseException):
    """Ends a run for DBOS without a word: what became of it is written already, or somebody else's to say."""


class DbosRuntime:
    """
    What `DbosEngine.start` begins.

    Args:
        books: For what is not of a run.
    """

    here: "ClassVar[DbosRuntime | None]" = None
    """The one of this process, in which DBOS's call of our one workflow finds itself."""

    def __init__(self, books: DbosBooks, run: Run, *, executor: str, at_once: int) -> None:
        self._books = books
        self._run = run
        self._executor = executor
        self._at_once = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._begun: set[str] = set()
        self._stopping = False
        self._instance: Any = None
        self._unpickle: Any = None

    # -- life -----------------------------------------------------------------------------------

    def make(self) -> None:
        """
        Configure DBOS; blocks.

        Raises:
            RuntimeError: The program uses DBOS itself.
        """
        from dbos import DBOS, _dbos

        if _dbos._dbos_global_instance is not None:
            raise RuntimeError(
                "DBOS runs in this process already; grantkeeper's workers need one of their own"
            )
        _workflow()
        self._instance = DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._books.url,
                "dbos_system_schema": SCHEMA,
                "executor_id": self._executor,
                "application_version": VERSION,
                "serializer": serializer(),
                "db_engine_kwargs": options(self._books.url, pooled=self._books.pooled, size=CONNECTIONS),
                # Nothing here waits for notices; and a pooler hands none on.
                "use_listen_notify": False,
                "run_migrations": False,
                "enable_otlp": False,
                "log_level": "WARNING",
            }
        )
        self._refuse_pickles()
        DbosRuntime.here = self

    def adopt(self) -> None:
        """Have runs begin on the running loop."""
        self._instance._background_event_loop.set_main_loop()

    def launch(self) -> None:
        """Begin to take jobs; blocks."""
        self._instance.launch()
        database = self._instance._sys_db
        tried_when_idle(database.engine)
        database.get_queue = self._limited(database.get_queue)
        database.check_operation_execution = watchful_check(database)

    def _limited(self, get_queue: Callable[..., Any]) -> Callable[..., Any]:
        """
        DBOS's limit is a queue's and the same for all workers; ours is a worker's, and of all its queues.

        DBOS reads a queue's row before each look, and is told what is left. Two looks at the same moment may
        take too many: those wait for a slot.
        """

        def limited(name: str, **rest: Any) -> Any:
            queue = get_queue(name, **rest)
            if queue is not None:
                active = self._instance._active_workflows_set
                left = max(0, self._at_once - len(active.activeList()))
                queue._worker_concurrency = active.count_for_queue(name) + left
            return queue

        return limited

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and wait; what still runs then is cut off."""
        self._stopping = True
        for event in self._instance.background_thread_stop_events:
            event.set()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        left = set(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def destroy(self) -> None:
        """End all that DBOS began, and give back what it has taken and we have not begun; blocks."""
        from dbos import DBOS, _serialization

        DBOS.destroy()
        DbosRuntime.here = None
        setattr(_serialization.DBOSDefaultSerializer, "deserialize", self._unpickle)  # noqa: B010
        self._books.give_back(self._executor, but=self._begun)

    def _refuse_pickles(self) -> None:
        """DBOS reads a value as its row says, and a pickle is code: who can write there would run here."""
        from dbos import _serialization

        def refuse(_: str) -> NoReturn:
            raise ValueError("a pickle in the tables of jobs: grantkeeper has not written it")

        self._unpickle = _serialization.DBOSDefaultSerializer.deserialize
        setattr(_serialization.DBOSDefaultSerializer, "deserialize", refuse)  # noqa: B010

    # -- running --------------------------------------------------------------------------------

    async def do(self, job_id: str, owner: str) -> NoReturn:
        """
        One run, as DBOS began it.

        Args:
            owner: What our claim of the job is called; another claim has another name.
        """
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        async with self._slots:
            if self._stopping:
                raise _Left
            # Whoever is cut off in the middle stays there, for `recover`.
            self._begun.add(job_id)
            await self._do(job_id, owner)
            self._begun.discard(job_id)
        raise _Left

    async def _do(self, job_id: str, owner: str) -> None:
        database = self._instance._sys_db
        end = suspend_run
        try:
            await self._run(job_id, DbosSteps(job_id))
            end = end_run
        except Suspended:
            pass
        except asyncio.CancelledError:
            raise _Left from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not end by it
            escaped(job_id, error)
        while True:
            try:
                return await asyncio.to_thread(end, database, job_id, owner)
            except Exception as error:  # noqa: BLE001 - DBOS would write that the job ended by it
                escaped(job_id, error)
            await asyncio.sleep(END_AGAIN_AFTER)


@cache
def _workflow() -> None:
    """
    Tell DBOS of the one workflow there is.

    A run writes its end itself, by the name of its claim. If it returned, DBOS would write it again; an error
    of DBOS's own would have it wait, as long as that takes, for what the next run comes to.
    """
    from dbos import DBOS
    from dbos._context import assert_current_dbos_context

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    async def job() -> None:
        context = assert_current_dbos_context()
        if DbosRuntime.here is None:
            raise _Left
        await DbosRuntime.here.do(context.workflow_id, str(context.owner_xid))
