"""Starting and stopping the emulator."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

import grantkeeper.emulator
from grantkeeper.emulator.runner import EmulatorServer, address_of, run

HOUSE = Path(grantkeeper.emulator.__file__).parent

SCRIPT = """
import sys
from grantkeeper.emulator.runner import run
ready = lambda url: print(url, flush=True)
run(port=0, issuer="https://accounts.google.com", clock_file=sys.argv[1], ready=ready)
print("ended", flush=True)
"""


def test_it_answers_between_start_and_stop() -> None:
    """
    On a loopback port of its own.
    """
    with EmulatorServer() as emulator:
        inside = requests.get(emulator.url + "/emulator/clock", timeout=30).status_code

    assert 200 == inside
    assert emulator.url.startswith("http://127.0.0.1:")
    with pytest.raises(requests.ConnectionError):
        requests.get(emulator.url + "/emulator/clock", timeout=30)


@pytest.mark.parametrize(
    "host, url",
    [
        ("127.0.0.1", "http://127.0.0.1:8085"),
        ("0.0.0.0", "http://127.0.0.1:8085"),
        ("::1", "http://[::1]:8085"),
        ("::", "http://[::1]:8085"),
        ("emulator.test", "http://emulator.test:8085"),
    ],
)
def test_its_address_can_be_called(host: str, url: str) -> None:
    """
    Listening everywhere is no address of anybody.
    """
    assert url == address_of(host, 8085)


def test_two_run_side_by_side() -> None:
    """
    With worlds of their own.
    """
    with EmulatorServer() as one, EmulatorServer() as other:
        one.world.user("ada@example.com")

        assert one.url != other.url
        assert {} == other.world.users


def test_a_taken_port_is_an_error() -> None:
    """
    Before anything is served.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            EmulatorServer(port=taken.getsockname()[1])


def test_requests_under_way_do_not_keep_it_from_stopping() -> None:
    """
    A slow answer is cut off after a second.
    """
    with EmulatorServer() as emulator:
        emulator.world.faults.add("discovery", "slow", seconds=60)
        failed: list[Exception] = []

        def ask() -> None:
            try:
                requests.get(emulator.url + "/.well-known/openid-configuration", timeout=30)
            except requests.RequestException as error:
                failed.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while emulator.world.faults.active and not emulator.world.counted("discovery"):
            pass
    thread.join(timeout=10)

    assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """
    With status 0, having told its address and printed nothing else.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "clock")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HOUSE.parent.parent)},
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    document = requests.get(url + "/.well-known/openid-configuration", timeout=30).json()
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)

    assert (0, "ended\n", "") == (process.returncode, rest, errors)
    assert "https://accounts.google.com" == document["issuer"]
    assert 8 == (tmp_path / "clock").stat().st_size


def test_a_taken_port_is_an_error_in_the_foreground_as_well() -> None:
    """
    The command line turns it into a message.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            run(port=taken.getsockname()[1])


def test_it_imports_nothing_of_the_house() -> None:
    """
    So one misreading of the specifications cannot hide on both sides.
    """
    code = (
        "import sys, grantkeeper.emulator.runner, grantkeeper.emulator.app; "
        "ours = {m.split('.')[1] for m in sys.modules if m.startswith('grantkeeper.')}; "
        "print(ours - {'emulator'} or '[]')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(HOUSE.parent.parent)},
    )

    assert "[]" == done.stdout.strip()
