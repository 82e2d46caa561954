"""``grantkeeper serve``: one process, or a supervisor with several."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from grantkeeper.errors import SettingsInvalid
from grantkeeper.server.logs import configure
from grantkeeper.server.node import listen, run_loop, run_node

if TYPE_CHECKING:
    from grantkeeper.settings import Settings


def serve(settings: "Settings", host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> int:
    """
    Serve until SIGTERM or SIGINT; what is under way is finished first.

    Args:
        port: 0 takes a free one; the line on standard error says which.
        workers: How many processes answer. More than one read the settings again,
            from the same environment and working directory.

    Returns:
        The exit status: 0 after a signal, 1 if the workers did not start.

    Raises:
        SettingsInvalid: The address cannot be had, or something the settings name.
        StoreUnavailable: The database cannot be opened.
    """
    if workers < 1:
        raise SettingsInvalid(["--workers must be 1 or more"])
    with listening(host, port):
        listener, url = listen(host, port)
    log = configure(settings.log_format)
    with listener:
        if workers == 1:
            run_loop(run_node(settings, listener, url, log=log, on_ready=lambda: tell(url)))
            return 0
        from grantkeeper.server.supervisor import Supervisor, prepare

        prepare(settings)
        with TemporaryDirectory(prefix="grantkeeper-") as directory:
            supervisor = Supervisor(listener, url, workers, Path(directory), log)
            return supervisor.run(on_ready=lambda: tell(url))


@contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    """
    What a socket says that cannot listen there, for the person who named the address.

    Raises:
        SettingsInvalid: The address cannot be had.
    """
    try:
        yield
    except (OSError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError):
            reason = error.strerror
        else:
            reason = "there is no such port" if isinstance(error, OverflowError) else "there is no such host"
        raise SettingsInvalid(
            [f"cannot listen on {host} port {port}: {reason}"],
            hint="Choose another --host or --port, or stop what listens there.",
        ) from None


def tell(url: str) -> None:
    """The one line that says that it answers, and where."""
    print(f"grantkeeper: listening on {url}", file=sys.stderr, flush=True)
