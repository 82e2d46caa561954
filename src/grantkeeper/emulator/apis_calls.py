"""What every API call brings: arguments, read by the method's row in the table, and a body."""

import re
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

from grantkeeper.emulator.apis_table import Method, Parameter
from grantkeeper.emulator.bearer import ApiError

_LARGEST_UNPACKED = 256 << 20


async def body_of(request: Request) -> bytes:
    """
    The body, unpacked: Google's Java client sends JSON and content compressed unless told otherwise.

    Raises:
        ApiError: 400, it is cut short or not the gzip it says; 413, it unpacks to too much.
    """
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise _unreadable("The connection closed before the end of the body.") from error
    if request.headers.get("content-encoding", "").lower() not in ("gzip", "x-gzip"):
        return body
    unpacking = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacking.decompress(body, _LARGEST_UNPACKED)
    except zlib.error as error:
        raise _unreadable("The body is not compressed as Content-Encoding says.") from error
    if unpacking.unconsumed_tail:
        raise ApiError(413, "uploadTooLarge", "The body unpacks to more than the emulator accepts.")
    if not unpacking.eof:
        raise _unreadable("The compressed body is cut short.")
    return unpacked


def _unreadable(message: str) -> ApiError:
    return ApiError(400, "badRequest", message)


def json_of(body: bytes) -> Any:
    """
    The JSON value in a body.

    Raises:
        ApiError: 400 `parseError`.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "parseError", "Parse Error") from error


def arguments(method: Method, path: Mapping[str, str], query: QueryParams) -> dict[str, Any]:
    """
    The method's parameters with their defaults, read as the types the table names.

    What the table does not know is ignored, as Drive does. An empty value counts as absent.

    Raises:
        ApiError: 400, a value of the wrong type, out of bounds, or missing.
    """
    found: dict[str, Any] = {}
    for parameter in method.parameters:
        if parameter.repeated:
            found[parameter.name] = [_read(parameter, text) for text in query.getlist(parameter.name) if text]
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
        if not re.fullmatch(r"-?[0-9]{1,19}", text):
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
