"""The arguments of an API call: path and query read by the method's row in the table."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import ImmutableMultiDict

from grantkeeper.emulator.apis_table import Method, Parameter
from grantkeeper.emulator.bearer import ApiError


def arguments(method: Method, path: Mapping[str, str], query: ImmutableMultiDict[str, str]) -> dict[str, Any]:
    """
    The method's parameters with their defaults, read as the types the table names.

    What the table does not know is ignored, as Drive does. An empty value counts as absent.

    Raises:
        ApiError: 400, a value of the wrong type, out of bounds, or missing.
    """
    found: dict[str, Any] = {}
    for parameter in method.parameters:
        if parameter.repeated:
            found[parameter.name] = query.getlist(parameter.name)
            continue
        text = path.get(parameter.name) if parameter.location == "path" else query.get(parameter.name)
        text = text or parameter.default
        if text is None and parameter.required:
            raise ApiError(
                400,
                "required",
                f"Required parameter: {parameter.name}",
                location=("parameter", parameter.name),
            )
        found[parameter.name] = None if text is None else _read(parameter, text)
    return found


def _read(parameter: Parameter, text: str) -> Any:
    if parameter.type == "boolean":
        if text not in ("true", "false"):
            raise _refused(parameter, f"Invalid value '{text}'. Values must be 'true' or 'false'.")
        return text == "true"
    if parameter.type == "integer":
        if not text.removeprefix("-").isdecimal() or not text.isascii():
            raise _refused(parameter, f"Invalid value '{text}'. Values must be integers.")
        number = int(text)
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            raise _refused(
                parameter, f"Invalid value '{text}'. Values must be within the range: [{low}, {high}]"
            )
        return number
    return text


def _refused(parameter: Parameter, message: str) -> ApiError:
    return ApiError(400, "invalidParameter", message, location=("parameter", parameter.name))
