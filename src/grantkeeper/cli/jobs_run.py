"""Working on jobs: ``grantkeeper jobs run``."""

import asyncio
import importlib
import os
import signal
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grantkeeper.cli.common import HUMAN, OK, UNAVAILABLE, Manner, hint, settings
from grantkeeper.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grantkeeper.jobs.definition import Definition
    from grantkeeper.jobs.rates import ApiRate
    from grantkeeper.library.worker import Worker

GRACE = 20
MOST_AT_ONCE = 1000


def run(
    *,
    app: str | None = None,
    at_once: int = 8,
    grace: int = GRACE,
    limit: list[str] | None = None,
    user_limit: list[str] | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    Work on the jobs that an app defines, until told to stop.

    Any number of workers may run on one PostgreSQL; what one that dies was at goes on elsewhere.

    Parameters
    ----------
    app
        The module that defines the jobs; default GRANTKEEPER_JOBS_APP.
    at_once
        How many jobs run together.
    grace
        Seconds that running jobs are waited for when it is told to stop; what is left goes on elsewhere.
    limit
        How fast all workers together may ask an API: photoslibrary.googleapis.com=10/second; repeatable.
    user_limit
        The same for each user by himself; repeatable.
    """
    if not 1 <= at_once <= MOST_AT_ONCE:
        raise InvalidRequest(f"--at-once is 1 to {MOST_AT_ONCE}")
    if grace < 0:
        raise InvalidRequest("--grace is 0 or more")
    found = settings(need_clients=True)
    name = app or found.jobs_app
    if name is None:
        raise InvalidRequest("--app must name the module that defines the jobs")
    definitions = load(name)
    rates = [*_rates(limit or [], per_user=False), *_rates(user_limit or [], per_user=True)]

    from grantkeeper.library.worker import Worker
    from grantkeeper.server.logs import configure

    worker = Worker(found, definitions, at_once=at_once, rates=rates)
    with ExitStack() as shown:
        if sys.stderr.isatty() and found.log_format != "json":
            from grantkeeper.cli.jobs_board import board

            shown.enter_context(board(worker))
        # After the board, which takes standard error's place.
        configure(found.log_format)
        status = asyncio.run(_work(worker, definitions, grace))
    if worker.left:
        # Python would wait for their threads, and others do these jobs already.
        hint("a plain function did not return in time; what it was at goes on elsewhere")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _rates(said: "Iterable[str]", *, per_user: bool) -> "list[ApiRate]":
    from grantkeeper.jobs.rates import ApiRate
    from grantkeeper.settings_values import rate

    found = []
    for each in said:
        host, _, told = each.partition("=")
        try:
            count = rate(told, Path())
        except ValueError as error:
            raise InvalidRequest(f"{each}: what follows the host and = {error}") from error
        found.append(ApiRate(host.strip(), count.count / count.period, per_user))
    return found


def load(name: str) -> "Mapping[str, Definition]":
    """
    The jobs of the module *name*.

    Raises:
        InvalidRequest: It cannot be imported, or has none.
    """
    from grantkeeper.jobs.definition import collected

    module, _, attribute = name.partition(":")
    # As `python -m` has it: what lies where the command is given.
    if (here := os.fspath(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    found = _imported(module)
    try:
        if attribute:
            found = getattr(found, attribute)
        return collected(found)
    except (AttributeError, ValueError) as error:
        raise InvalidRequest(str(error)) from error


def _imported(module: str) -> Any:
    """
    The module of that name.

    Raises:
        InvalidRequest: It is not there, needs something that is not, or does not run to its end.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise InvalidRequest(
                f"the module {module} imports {error.name}, which is not installed here",
                hint=f"Install what {module} needs into the environment that grantkeeper runs in.",
            ) from error
        meant = module.removesuffix(".py").replace("/", ".")
        raise InvalidRequest(
            f"there is no module {module}",
            hint="Run this where it can be imported."
            if meant == module
            else f"A module is named, not its file: --app {meant}",
        ) from error
    except Exception as error:
        # Of the way to it only the last stop: the rest is Python's own. A syntax error says its place itself.
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, SyntaxError) else f" ({at.filename}:{at.lineno})"
        raise InvalidRequest(
            f"the module {module} cannot be imported: {type(error).__name__}: {error}{place}",
            hint="Mend it; `python -c 'import MODULE'` shows the whole way there.",
        ) from error


async def _work(worker: "Worker", definitions: "Mapping[str, Definition]", grace: int) -> int:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await worker.start()
    print(f"working on {', '.join(sorted(definitions))}", flush=True)
    stopping = asyncio.ensure_future(told.wait())
    losing = asyncio.ensure_future(worker.lost.wait())
    await asyncio.wait({stopping, losing}, return_when=asyncio.FIRST_COMPLETED)
    lost = worker.lost.is_set()
    stopping.cancel()
    losing.cancel()
    if lost:
        # Others run what we were at: the sooner we end the better.
        hint("this worker was taken for dead: it could not reach the database in time")
    await worker.stop(seconds=0 if lost else grace)
    return UNAVAILABLE if lost else OK
