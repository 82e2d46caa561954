"""
The fastest answer there can be from an ASGI application: fixed bytes, the request not even looked at.

It runs on the server that grantkeeper runs on (uvicorn, uvloop, httptools), with
the same settings. ``guarded`` puts grantkeeper's own connection protocol under
it too, which adds limits and takes away system calls.
"""

import sys
from typing import Any

import uvicorn

from grantkeeper.server.node import BACKLOG, KEEP_ALIVE_SECONDS, listen, run_loop, server_config


class Bare:
    """The application."""

    def __init__(self, size: int) -> None:
        self._body = b"x" * size
        self._headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def plain_config(app: Bare) -> uvicorn.Config:
    """uvicorn as it comes, with the settings of grantkeeper's service."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def main() -> None:
    """``python -m bench.bare SIZE [guarded]``"""
    app = Bare(int(sys.argv[1]))
    config = server_config(app) if "guarded" in sys.argv else plain_config(app)
    listener, url = listen("127.0.0.1", 0)
    print(url, flush=True)
    run_loop(uvicorn.Server(config).serve([listener]))


if __name__ == "__main__":
    main()
