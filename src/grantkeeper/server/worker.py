"""
A worker of `grantkeeper.server.supervisor`, started as a module with LISTENER WORD LIFE URL DIRECTORY.

The first three are file descriptors from the parent: the socket to accept on,
where to say that it is ready, and a pipe whose end means that the parent is gone.
"""

import os
import signal
import socket
import sys
import threading
from pathlib import Path

from grantkeeper.errors import GrantkeeperError
from grantkeeper.server.logs import configure
from grantkeeper.server.metrics import Board
from grantkeeper.server.node import run_loop, run_node
from grantkeeper.settings import load_settings


def _end_with_parent(life: int) -> None:
    """Nothing is ever written to this pipe: it is readable when its other end is closed."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM. A SIGINT at the terminal is for the parent, who passes it on as one."""
    listener_fd, word, life = map(int, arguments[:3])
    url, directory = arguments[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(life,), name="parent", daemon=True).start()
    try:
        settings = load_settings()
        log = configure(settings.log_format)
        with socket.socket(fileno=listener_fd) as listener:
            run_loop(
                run_node(
                    settings,
                    listener,
                    url,
                    log=log,
                    board=Board(Path(directory)),
                    on_ready=lambda: _ready(word),
                    handled=(signal.SIGTERM,),
                )
            )
    except GrantkeeperError as error:
        print(f"grantkeeper: {error.text}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    return 0


def _ready(word: int) -> None:
    os.write(word, b"r")
    os.close(word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
