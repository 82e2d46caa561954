"""What becomes of the loop thread when the process forks; with real forks, in scripts of their own."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

from grantkeeper.adapters.postgres_schema import migrate_postgres

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


def test_what_must_not_be_open_during_a_fork_rests_meanwhile():
    """The loop holds the resource still for just as long as the fork takes."""
    run(
        """
        import contextlib, time
        @contextlib.contextmanager
        def resting(resource):
            log.append("rests")
            yield
            log.append("wakes")
        home = Home(opening, closing, resting=resting)
        def body():
            assert "rests" == log[-1], log
            home.wait(pid)
            home.close()
        home.wait(pid)
        child(body)
        assert home.wait(pid) == os.getpid()
        assert ["rests", "wakes"] == log[1:3], log
        threads = [threading.Thread(target=child, args=(lambda: None,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert home.wait(pid) == os.getpid()
        assert ["rests", "wakes"] * 5 == log[1:], log
        home.close()
        """
    )


def test_a_fork_that_python_did_not_see_is_noticed_as_well():
    """As some C libraries fork: no hook runs, but the process has another number."""
    run(
        """
        import ctypes
        home = Home(opening, closing)
        home.wait(pid)
        number = ctypes.PyDLL(None).fork()
        if number == 0:
            os._exit(0 if home.wait(pid) == os.getpid() else 1)
        assert os.waitpid(number, 0)[1] == 0
        assert home.wait(pid) == os.getpid()
        home.close()
        """
    )


KEEPER = """
import asyncio, os, sys, threading, time, warnings
# Imported before the first thread: a child that is forked in the middle of an import waits for it for ever.
import encodings.idna
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
from grantkeeper import Keeper
from grantkeeper.testing.google import GoogleEmulator

google = GoogleEmulator(sys.argv[1])
place = sys.argv[2]

def options():
    return dict(
        database_url=sys.argv[4],
        clients=f"{place}/client_secret.json",
        keys=f"{place}/keys.json",
        issuer=google.issuer,
        clock_file=sys.argv[3],
    )

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
    return number

def whole(*children):
    assert [0] * len(children) == [os.waitpid(number, 0)[1] for number in children], "a child failed"
"""


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, place):
    """A database that can be opened."""
    if request.param == "sqlite":
        return f"sqlite:///{place}/grants.db"
    url = request.getfixturevalue("postgres_url")
    asyncio.run(migrate_postgres(url))
    return url


@pytest.fixture
def run_keeper(google_emulator, place, database_url):
    """Runs a script that has a keeper's options; what it printed."""

    def run(body: str) -> str:
        script = KEEPER + textwrap.dedent(body)
        done = subprocess.run(
            [
                *(sys.executable, "-c", script),
                *(google_emulator.url, str(place), google_emulator.clock_file, database_url),
            ],
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    return run


def test_a_childs_grants_outlive_the_parents_close(run_keeper):
    """
    SQLite would let the parent delete the log that the child still writes to.

    Its locks are kept for the process, so a child that inherited an open file
    believes to hold them; what it then commits is lost when the parent closes.
    """
    printed = run_keeper(
        """
        keeper = Keeper.open_sync(**options())
        keeper.redeem(google.code("first@example.com"))
        closed_read, closed_write = os.pipe()
        opened_read, opened_write = os.pipe()
        def body():
            keeper.redeem(google.code("second@example.com"))
            os.write(opened_write, b".")
            os.read(closed_read, 1)
            third = keeper.redeem(google.code("third@example.com"))
            print(third.id, flush=True)
            os.kill(os.getpid(), 9)
        number = child(body)
        os.read(opened_read, 1)
        keeper.close()
        os.write(closed_write, b".")
        os.waitpid(number, 0)
        with Keeper.open_sync(**options()) as again:
            print(*(grant.id for grant in again.grants().grants))
        """
    )
    told, *stored = printed.split()

    assert 3 == len(stored)
    assert told in stored


def test_children_refresh_once_between_them(run_keeper, google_emulator):
    """The lease in the database holds between workers forked from one opened keeper."""
    run_keeper(
        """
        keeper = Keeper.open_sync(**options())
        grant = keeper.redeem(google.code("mia@example.com"))
        google.advance(4000)
        def body():
            async def many():
                calls = (asyncio.to_thread(keeper.access_token, grant.id) for _ in range(10))
                return {token.reveal() for token in await asyncio.gather(*calls)}
            assert 1 == len(asyncio.run(many()))
            keeper.close()
        whole(*[child(body) for _ in range(4)])
        keeper.access_token(grant.id)
        keeper.close()
        """
    )

    assert 1 == google_emulator.count("token", "refresh_token")


def test_credentials_made_before_the_fork_work_after_it(run_keeper):
    """As under a preloading server: made once, used in every worker and in the parent."""
    printed = run_keeper(
        """
        keeper = Keeper.open_sync(**options())
        grant = keeper.redeem(google.code("mia@example.com"))
        credentials = keeper.credentials(grant.id)
        def use():
            headers = {}
            credentials.before_request(None, "GET", "https://example.com", headers)
            return headers["authorization"]
        before = use()
        def body():
            assert use() == before
            keeper.close()
        whole(*[child(body) for _ in range(3)])
        assert use() == before
        keeper.close()
        print("whole")
        """
    )

    assert "whole\n" == printed


def test_forks_while_the_parent_signs_users_in(run_keeper):
    """Neither side loses a grant, whatever the parent was doing at the moment of the fork."""
    printed = run_keeper(
        """
        keeper = Keeper.open_sync(**options())
        keeper.start()
        kept, trouble = [], []
        def sign_in(who):
            for number in range(10):
                try:
                    kept.append(keeper.redeem(google.code(f"{who}-{number}@example.com")).id)
                except BaseException as error:
                    trouble.append(error)
        threads = [threading.Thread(target=sign_in, args=(f"parent-{n}",)) for n in range(2)]
        for thread in threads:
            thread.start()
        children = []
        for n in range(5):
            def body():
                mine = [keeper.redeem(google.code(f"child-{n}-{i}@example.com")).id for i in range(2)]
                keeper.close()
            children.append(child(body))
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        whole(*children)
        assert [] == trouble, trouble
        grants = keeper.grants(limit=1000).grants
        assert set(kept) <= {grant.id for grant in grants}
        print(len(grants))
        keeper.close()
        """
    )

    assert "30\n" == printed


def test_a_keeper_that_is_never_closed_ends_in_peace(run_keeper):
    """A module-level keeper, no close, the program just ends: nothing hangs and nothing is complained of."""
    printed = run_keeper(
        """
        keeper = Keeper.open_sync(**options())
        grant = keeper.redeem(google.code("mia@example.com"))
        keeper.access_token(grant.id)
        if os.fork() == 0:
            keeper.access_token(grant.id)
            sys.exit(0)
        assert os.wait()[1] == 0
        print("end")
        """
    )

    assert "end\n" == printed
