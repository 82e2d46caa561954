"""
A worker in a process of its own, for tests that kill it.

Called as ``engine_worker.py URL EXECUTOR FOLDER``. What happens goes line by line into ``FOLDER/diary``:
``EXECUTOR begun JOB``, ``EXECUTOR STEP JOB`` when a step is begun, and what a run came to. A step waits as
long as there is ``FOLDER/hold-STEP``. SIGTERM ends it in peace.
"""

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

from grantkeeper.adapters.dbos_engine import DbosEngine
from grantkeeper.ports import Steps, Suspended

STEPS = ("one", "two", "three")


async def main(url: str, executor: str, folder: Path) -> None:
    diary = os.open(folder / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, job_id: str) -> None:
        os.write(diary, f"{executor} {what} {job_id}\n".encode())

    async def done(name: str, job_id: str) -> bytes:
        note(name, job_id)
        while (folder / f"hold-{name}").exists():
            await asyncio.sleep(0.01)
        return executor.encode()

    async def run(job_id: str, steps: Steps) -> None:
        note("begun", job_id)
        try:
            for name in STEPS:
                await steps.step(name, partial(done, name, job_id))
        except Suspended:
            note("suspended", job_id)
            raise
        note("done", job_id)

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    engine = DbosEngine(url)
    await engine.start(run, executor=executor, at_once=4)
    await over.wait()
    await engine.stop(seconds=30)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
