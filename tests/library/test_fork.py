"""What becomes of the loop thread when the process forks; with real forks, in scripts of their own."""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.processes

HEAD = """
import asyncio, os, sys, threading, warnings
warnings.simplefilter("error")
# Python 3.12 says of every such fork what these scripts are about.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
from grantkeeper.library.loop import Home

log = []

class Resource:
    def __init__(self):
        self.pid = os.getpid()
        self.read, self.write = os.pipe()
    def __del__(self):
        print("freed in", "parent" if self.pid == os.getpid() else "CHILD", flush=True)

async def opening():
    log.append(("open", os.getpid()))
    return Resource()

async def closing(resource):
    os.close(resource.read); os.close(resource.write)
    log.append(("close", os.getpid()))

async def pid(resource):
    return resource.pid

def child(body):
    number = os.fork()
    if number == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    assert os.waitpid(number, 0)[1] == 0, "the child failed"
"""


def run(body: str) -> str:
    """Run a script of its own; what it printed."""
    script = textwrap.dedent(HEAD) + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def test_the_child_opens_its_own_and_the_parent_keeps_its_own():
    """After a fork each process has a resource; neither sees the other's."""
    printed = run(
        """
        home = Home(opening, closing)
        assert home.wait(pid) == os.getpid()
        def body():
            assert home.resource is None
            assert home.wait(pid) == os.getpid()
            home.close()
            assert [("open", os.getppid()), ("open", os.getpid()), ("close", os.getpid())] == log, log
        child(body)
        assert home.wait(pid) == os.getpid()
        home.close()
        assert [("open", os.getpid()), ("close", os.getpid())] == log, log
        print("whole")
        """
    )

    assert "whole" in printed
    assert "CHILD" not in printed


def test_the_child_never_frees_what_is_the_parents():
    """Not when it reopens, not when it collects garbage, not when it exits in the normal way."""
    printed = run(
        """
        import gc
        home = Home(opening, closing)
        home.wait(pid)
        if os.fork() == 0:
            home.wait(pid)
            home.close()
            del home
            gc.collect()
            sys.exit(0)
        assert os.wait()[1] == 0
        home.close()
        """
    )

    assert "CHILD" not in printed
    assert 2 == printed.count("freed in parent")


def test_many_children_at_once_as_under_a_preloading_server():
    """The parent has opened before it forks its workers, as gunicorn does with preload."""
    printed = run(
        """
        home = Home(opening, closing)
        home.wait(pid)
        children = []
        for _ in range(4):
            number = os.fork()
            if number == 0:
                status = 1
                try:
                    async def serve():
                        return await asyncio.gather(*(home.ask(pid) for _ in range(20)))
                    assert {os.getpid()} == set(asyncio.run(serve()))
                    home.close()
                    status = 0
                finally:
                    os._exit(status)
            children.append(number)
        assert [0] * 4 == [os.waitpid(number, 0)[1] for number in children]
        assert home.wait(pid) == os.getpid()
        home.close()
        print("whole")
        """
    )

    assert "whole" in printed


def test_a_fork_while_another_thread_holds_every_lock():
    """The child does not wait for threads that it does not have."""
    run(
        """
        home = Home(opening, closing)
        home.wait(pid)
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                home.wait(pid)
        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            child(lambda: home.wait(pid))
        home._lock.acquire()
        number = os.fork()
        if number == 0:
            home.wait(pid)
            os._exit(0)
        home._lock.release()
        assert os.waitpid(number, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        home.close()
        """
    )


def test_a_closed_home_stays_closed_in_the_child():
    """Forking is no way to reopen."""
    run(
        """
        home = Home(opening, closing)
        home.wait(pid)
        home.close()
        def body():
            try:
                home.wait(pid)
            except RuntimeError as error:
                assert "closed" in str(error)
            else:
                raise SystemExit(1)
        child(body)
        """
    )


def test_a_program_that_forgets_to_close_ends_and_closes():
    """At exit what is open is closed; nothing hangs."""
    printed = run(
        """
        async def closing(resource):
            os.close(resource.read); os.close(resource.write)
            print("closed", flush=True)
        home = Home(opening, closing)
        home.wait(pid)
        """
    )

    assert "closed" in printed
