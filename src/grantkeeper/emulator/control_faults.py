"""The control calls for faults: the menu, and what is active."""

from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute

from grantkeeper.emulator.control_calls import ControlError, call, read
from grantkeeper.emulator.menu import MENU
from grantkeeper.emulator.world import World

_NUMBERS = {"seconds": 0.0, "after": 0, "size": 0, "depth": 1, "status": 200, "count": 1}


def routes(world: World) -> list[BaseRoute]:
    """``/emulator/fault`` and ``/emulator/faults``."""

    async def active(request: Request) -> list[dict[str, Any]]:
        return [fault.describe() for fault in list(world.faults.active)]

    async def add(request: Request) -> dict[str, Any]:
        return _add(world, await read(request, dict[str, Any]))

    async def remove(request: Request) -> dict[str, int]:
        wanted = await read(request, dict[str, Any]) | dict(request.query_params)
        unknown = set(wanted) - {"endpoint", "name"}
        if unknown:
            raise ControlError("invalid_request", f"faults are deleted by endpoint and name, not {unknown}")
        return {"deleted": world.faults.remove(wanted.get("endpoint"), wanted.get("name"))}

    async def menu(request: Request) -> list[dict[str, Any]]:
        return [
            {
                "name": kind.name,
                "endpoints": list(kind.endpoints),
                "processed": kind.processed,
                "does": kind.does,
            }
            for kind in MENU.values()
        ]

    return [
        call("/emulator/fault", {"GET": active, "POST": add, "DELETE": remove}),
        call("/emulator/faults", {"GET": menu}),
    ]


def _add(world: World, body: dict[str, Any]) -> dict[str, Any]:
    endpoint, name = body.pop("endpoint", None), body.pop("name", None)
    if not isinstance(endpoint, str) or not isinstance(name, str):
        raise ControlError("invalid_request", "a fault needs an endpoint and a name")
    for option, least in _NUMBERS.items():
        value = body.get(option)
        if value is None:
            body.pop(option, None)
        elif isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            raise ControlError("invalid_request", f"{option} must be a number of at least {least}")
    try:
        return world.faults.add(endpoint, name, **body).describe()
    except ValueError as wrong:
        raise ControlError("fault_unknown", str(wrong)) from wrong
