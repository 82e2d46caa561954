"""The journal among real processes: killed, forked, and many looking for one orphan."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grantkeeper.adapters.journal import FileJournal
from tests.adapters.test_journal import entry, files, ids

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

WRITER = """
import asyncio, sys
from pathlib import Path
from grantkeeper.adapters.journal import FileJournal
from tests.adapters.test_journal import entry

async def main():
    journal = FileJournal(Path(sys.argv[1]))
    number = int(sys.argv[2])
    while True:
        await journal.write(entry(number))
        print(number, flush=True)
        number += 1
        if number % 10 == int(sys.argv[3]):
            await asyncio.sleep(3600)

asyncio.run(main())
"""


def writer(directory: Path, first: int, until: int) -> subprocess.Popen[str]:
    """A process that writes entries, says the number of each, and then lives on with them."""
    command = [sys.executable, "-c", WRITER, str(directory), str(first), str(until % 10)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def said(process: subprocess.Popen[str], lines: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(lines)]


async def test_a_killed_process_has_kept_what_it_said(tmp_path: Path) -> None:
    """
    Every entry that it said it had is taken over, by one of two who look at the same time.
    """
    process = writer(tmp_path, 1, 5)
    numbers = said(process, 4)
    finders = [FileJournal(tmp_path), FileJournal(tmp_path)]
    assert [0, 0] == [await finder.adopt() for finder in finders], "its process lives"

    killed(process)
    found = await asyncio.gather(*(finder.adopt() for finder in finders))

    assert [0, 4] == sorted(found)
    assert {f"entry-{number}" for number in numbers} == {*ids(finders[0]), *ids(finders[1])}
    for finder in finders:
        await finder.close()


async def test_two_processes_write_side_by_side(tmp_path: Path) -> None:
    """
    Each has its own file; both are taken over, and all of it is in the order of the answers.
    """
    processes = [writer(tmp_path, 10, 13), writer(tmp_path, 20, 23)]
    for process in processes:
        said(process, 3)
    assert 2 == len(files(tmp_path))
    for process in processes:
        killed(process)
    journal = FileJournal(tmp_path)

    assert 6 == await journal.adopt()
    assert [f"entry-{number}" for number in (10, 11, 12, 20, 21, 22)] == ids(journal)
    await journal.close()


async def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    """
    The child lives on after its parent's journal was let go, and the file is free all the same.
    """
    parent = FileJournal(tmp_path)
    await parent.write(entry(1))
    reader, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    try:
        await parent.close()
        heir = FileJournal(tmp_path)
        for _ in range(100):
            # Another thread that starts a process here has our files, too, until that is another program.
            if await heir.adopt():
                break
            await asyncio.sleep(0.05)
        assert ["entry-1"] == ids(heir)
        await heir.close()
    finally:
        os.close(end)
        os.waitpid(child, 0)
