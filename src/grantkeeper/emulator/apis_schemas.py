"""How the members of a resource are written in a discovery document."""

from typing import Any


def members(kind: str, *names: str) -> dict[str, dict[str, Any]]:
    """Members of one simple kind."""
    if kind == "int64":
        # A number of 64 bits does not survive JavaScript, so Google sends it as text.
        return {name: {"type": "string", "format": "int64"} for name in names}
    if kind == "time":
        return {name: {"type": "string", "format": "date-time"} for name in names}
    return {name: {"type": kind} for name in names}


def list_of(items: dict[str, Any]) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": items}


def ref(schema: str) -> dict[str, Any]:
    """Another schema, by its name."""
    return {"$ref": schema}
