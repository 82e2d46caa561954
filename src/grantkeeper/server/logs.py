"""
What the service writes about itself: event names and ids, never bodies, queries or header values.

Nothing here touches structlog's or logging's global state unless `configure` is
called, which only a process of our own does.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol, TextIO

import structlog


class Log(Protocol):
    """Where events go."""

    def debug(self, event: str, **ids: Any) -> Any:
        """What only a developer wants."""
        ...

    def info(self, event: str, **ids: Any) -> Any:
        """What happened as it should."""
        ...

    def warning(self, event: str, **ids: Any) -> Any:
        """What an operator should look at some day."""
        ...

    def error(self, event: str, **ids: Any) -> Any:
        """What an operator should look at now."""
        ...


def embedded_log() -> Log:
    """For an app that is mounted in somebody else's program: his logging decides."""
    log: Log = structlog.wrap_logger(
        logging.getLogger("grantkeeper.server"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return log


def configure(form: str | None, stream: TextIO | None = None) -> Log:
    """
    The log of a process of our own, on standard error; what libraries log at WARNING goes there too.

    Args:
        form: ``json`` for machines, ``console`` for people; by default what the stream is read by.
    """
    out = sys.stderr if stream is None else stream
    log: Log = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _renderer(form, out),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    _carry(logging.getLogger(), _Bridge(log))
    ours = logging.getLogger("grantkeeper")
    _carry(ours, _Events(log))
    ours.setLevel(logging.INFO)
    ours.propagate = False
    return log


def _carry(logger: logging.Logger, handler: logging.Handler) -> None:
    """Give *logger* this handler and take away an earlier one of its kind."""
    for known in list(logger.handlers):
        if type(known) is type(handler):
            logger.removeHandler(known)
    logger.addHandler(handler)


def _renderer(form: str | None, out: TextIO) -> Any:
    if form == "json" or (form is None and not out.isatty()):
        return structlog.processors.JSONRenderer(sort_keys=False)
    # Exceptions are never passed on, so that no value in a frame can be printed.
    return structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=24)


class _Bridge(logging.Handler):
    """Carries warnings of libraries into our log; of an exception only its kind and place."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        where = {} if record.exc_info is None or record.exc_info[1] is None else failure(record.exc_info[1])
        tell = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        tell("library.notice", source=record.name, text=record.getMessage().strip(), **where)


class _Events(logging.Handler):
    """Carries the keepers' events into our log, their ids as fields."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        tell = {logging.INFO: self._log.info, logging.WARNING: self._log.warning}.get(
            record.levelno, self._log.error
        )
        ids = getattr(record, "ids", None)
        if ids is None or getattr(record, "says", False):
            # A text that somebody wrote, and no event of ours put into words.
            ids = {**(ids or {}), "text": record.getMessage()}
        error = None if record.exc_info is None else record.exc_info[1]
        tell(getattr(record, "event", "library.notice"), **ids, **({} if error is None else failure(error)))


def failure(error: BaseException) -> Mapping[str, str]:
    """What may be written about an exception nobody expected: its kind and its way, not its text."""
    frames = extract_tb(error.__traceback__)[-4:]
    way = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return {"exception": type(error).__name__, "where": way}
