"""
What we ask of DBOS's tables, with or without its runtime. Everything here blocks.

DBOS offers calls for most of it, which look first and write then. Orders are carried out by several workers
at once, and so each of these is one statement that holds its condition. They were written for DBOS 3.4.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Any

from grantkeeper.adapters.dbos_place import APPLICATION, VERSION, need_dbos, place_of, system_database
from grantkeeper.adapters.dbos_values import read
from grantkeeper.ports import StepRecord, Ticket

WORKFLOW = "grantkeeper.job"

POLL_SECONDS = 0.2
"""How often each worker looks into each queue."""

ANY_NUMBER = 1_000_000
"""A limit that is none. A queue without one has no groups: one user could fill it."""

AGAIN = {"again": True}
"""
Stands in the attributes of a job that was resumed while a run of it had not ended yet: whoever resumes may
have seen our row say that it waits, a moment before the engine hears of it.
"""

AT_MOST = 500
"""Ids in one statement."""


def queue_of(at_once: int | None) -> str:
    """The queue of tickets with that limit."""
    return f"grantkeeper-{'any' if at_once is None else at_once}"


class DbosBooks:
    """
    DBOS's tables, opened at the first use.

    Args:
        url: Of the database of grants.
        pooled: See `options`.
    """

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        self.url = place_of(url)
        self.pooled = pooled
        self._database: Any = None
        self._queues: set[int | None] = set()

    def open(self) -> Any:
        """The tables, made where there are none."""
        if self._database is None:
            need_dbos()
            self._database = system_database(self.url, pooled=self.pooled)
            self._database._insert_rows = _insert_rows
        return self._database

    def close(self) -> None:
        """Let go of connections; the next call opens it again."""
        database, self._database = self._database, None
        if database is not None:
            database.destroy()
            database.engine.dispose()

    # -- orders ---------------------------------------------------------------------------------

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Enqueue those that are new."""
        from dbos._enqueue_options import build_enqueue_status

        database = self.open()
        rows = []
        for ticket in {ticket.id: ticket for ticket in tickets}.values():
            self._need_queue(ticket.at_once)
            _, row = build_enqueue_status(
                {
                    "workflow_name": WORKFLOW,
                    "workflow_id": ticket.id,
                    "queue_name": queue_of(ticket.at_once),
                    "queue_partition_key": ticket.group,
                    "app_version": VERSION,
                    "application_name": APPLICATION,
                },
                database.serializer,
                (),
                {},
            )
            rows.append(row)
        database.init_workflows(rows)

    def _need_queue(self, at_once: int | None) -> None:
        if at_once in self._queues:
            return
        self.open().upsert_queue(
            name=queue_of(at_once),
            concurrency=None,
            # For the moment before a worker's own limit is known; see `DbosRuntime`.
            worker_concurrency=1,
            partition_concurrency=ANY_NUMBER if at_once is None else at_once,
            rate_limit_max=None,
            rate_limit_period_sec=None,
            polling_interval_sec=POLL_SECONDS,
            update_existing=False,
        )
        self._queues.add(at_once)

    def resume(self, tickets: Sequence[Ticket]) -> None:
        """Enqueue those that are new or suspended; those that run shall run once more when they are."""
        import sqlalchemy as sa

        database = self.open()
        table = database.tables.workflow_status
        self.submit(tickets)
        by_limit = sorted(tickets, key=lambda ticket: ticket.at_once or 0)
        for at_once, group in groupby(by_limit, key=lambda ticket: ticket.at_once):
            for ids in _portions([ticket.id for ticket in group]):
                running = table.c.workflow_uuid.in_(ids), table.c.status == "PENDING"
                suspended = table.c.workflow_uuid.in_(ids), table.c.status == "CANCELLED"
                # In this order: a run that ends between the two is seen by the second.
                for change in (
                    sa.update(table).where(*running).values(attributes=AGAIN),
                    sa.update(table)
                    .where(*suspended)
                    .values(
                        status="ENQUEUED",
                        queue_name=queue_of(at_once),
                        attributes=sa.null(),
                        owner_xid=None,
                        started_at_epoch_ms=None,
                        completed_at=None,
                        updated_at=database._now_ms_sql(),
                    ),
                ):
                    with database.engine.begin() as connection:
                        connection.execute(change)

    def suspend(self, job_ids: Sequence[str]) -> None:
        """Take them from whoever has them."""
        for ids in _portions(job_ids):
            self.open().cancel_workflows(ids)

    def forget(self, job_ids: Sequence[str]) -> None:
        """Delete them; a run of one finds that it is nobody's."""
        self.suspend(job_ids)
        for ids in _portions(job_ids):
            self.open().delete_workflows(ids)

    def recover(self, executor: str) -> int:
        """Enqueue again what *executor* has; how many that were."""
        return self.give_back(executor)

    def give_back(self, executor: str, *, but: Collection[str] = ()) -> int:
        """The same, without some of them."""
        database = self.open()
        lost = [each.workflow_id for each in database.get_pending_workflows(executor, VERSION)]
        return sum(
            # Each if *executor* still has it: others may be at it, too.
            database.reenqueue_for_recovery(job_id, [executor], queue_of(1))
            for job_id in lost
            if job_id not in but
        )

    def steps(self, job_id: str) -> list[StepRecord]:
        """What is recorded, in order."""
        import sqlalchemy as sa

        database = self.open()
        table = database.tables.operation_outputs
        wanted = (
            sa.select(table.c.function_name, table.c.output)
            .where(table.c.workflow_uuid == job_id, table.c.output.isnot(None))
            .order_by(table.c.function_id)
        )
        with database.engine.begin() as connection:
            return [StepRecord(name, read(text)) for name, text in connection.execute(wanted)]


# -- of a run -----------------------------------------------------------------------------------


def end_run(database: Any, job_id: str, owner: str) -> None:
    """The job is done, if *owner* still has it."""
    database.update_workflow_outcome(job_id, "SUCCESS", owner_xid=owner)


def suspend_run(database: Any, job_id: str, owner: str) -> None:
    """The job is suspended, or enqueued where it was resumed meanwhile, if *owner* still has it."""
    import sqlalchemy as sa
    from dbos._sys_db import db_retry

    table = database.tables.workflow_status
    again = sa.cast(table.c.attributes, sa.Text).like("%again%")
    now = database._now_ms_sql()
    change = (
        sa.update(table)
        .where(table.c.workflow_uuid == job_id, table.c.status == "PENDING", table.c.owner_xid == owner)
        .values(
            status=sa.case((again, "ENQUEUED"), else_="CANCELLED"),
            attributes=sa.null(),
            owner_xid=None,
            started_at_epoch_ms=None,
            completed_at=sa.case((again, sa.null()), else_=now),
            updated_at=now,
        )
    )

    @db_retry(sys_db=database)
    def write() -> None:
        with database.engine.begin() as connection:
            connection.execute(change)

    write()


def _insert_rows(connection: Any, build: Any, rows: Sequence[Any], *, returning: bool = False) -> list[Any]:
    """
    What DBOS calls to insert *rows*, in the place of its own.

    *build* makes one statement of them all, which has to be put together anew for every number of rows. Here
    the rows are parameters of a statement for one.
    """
    from sqlalchemy.dialects import postgresql, sqlite

    table = build(rows[:1]).table
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    insert = insert.on_conflict_do_nothing(index_elements=["workflow_uuid"])
    if not returning:
        connection.execute(insert, rows)
        return []
    return list(connection.execute(insert.returning(table.c.workflow_uuid), rows))


def _portions(ids: Iterable[str]) -> list[list[str]]:
    # Sorted, so that two who change the same rows do not wait for each other in a ring.
    known = sorted(set(ids))
    return [known[start : start + AT_MOST] for start in range(0, len(known), AT_MOST)]
