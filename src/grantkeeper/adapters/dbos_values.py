"""
How values stand in DBOS's tables: as text that can be read, and never as a pickle, which is code.

DBOS itself writes arguments (of which our runs have none) and results (which they have none of, either).
"""

import json
from base64 import b64decode, b64encode
from functools import cache
from typing import Any

NAME = "grantkeeper"
"""Of the spelling; DBOS keeps it beside each value."""


def written(value: Any) -> str:
    """*value* as text: bytes as they are where they are text, else in base64; all else as JSON."""
    if not isinstance(value, bytes):
        # Errors are never recorded on purpose. Should DBOS record one, its kind will do.
        return "j" + json.dumps(value, default=lambda other: type(other).__name__)
    if b"\0" not in value:  # which a text in PostgreSQL cannot hold
        try:
            return "t" + value.decode()
        except UnicodeDecodeError:
            pass
    return "b" + b64encode(value).decode()


def read(text: str) -> Any:
    """What `written` was given."""
    kind, rest = text[:1], text[1:]
    if kind == "t":
        return rest.encode()
    return b64decode(rest, validate=True) if kind == "b" else json.loads(rest)


@cache
def serializer() -> Any:
    """The above as DBOS wants it."""
    from dbos import Serializer

    class Readable(Serializer):
        def name(self) -> str:
            return NAME

        def serialize(self, data: Any) -> str:
            return written(data)

        def deserialize(self, serialized_data: str) -> Any:
            return read(serialized_data)

    return Readable()
