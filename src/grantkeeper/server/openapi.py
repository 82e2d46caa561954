"""The OpenAPI 3.1 document, made from the table of routes, the structs and the table of errors."""

from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from grantkeeper import __version__
from grantkeeper.errors import GrantkeeperError, TooLarge
from grantkeeper.server import wire
from grantkeeper.server.answers import ErrorAnswer
from grantkeeper.server.health import ready
from grantkeeper.server.operations import Door, Operation

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
SCHEMA: Final = "#/components/schemas/{name}"

Json = dict[str, Any]

REQUEST_ID: Final[Json] = {
    "description": "Names this request in the log.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    "required": True,
}
RETRY_AFTER: Final[Json] = {
    "description": "Seconds after which another try makes sense.",
    "schema": {"type": "integer", "minimum": 1},
}


def document(operations: Iterable[Operation], server: str | None = None) -> Json:
    """
    The document.

    Args:
        server: Our public address, where it is known.
    """
    operations = tuple(operations)
    kinds = [ErrorAnswer, *(kind for operation in operations for kind in _kinds(operation))]
    _, schemas = msgspec.json.schema_components(list(dict.fromkeys(kinds)), ref_template=SCHEMA)
    paths: dict[str, Json] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "grantkeeper",
            "version": __version__,
            "summary": "Keeps the Google grants of an app's users.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server or "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "caller_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key from `grantkeeper callers create NAME`.",
                }
            },
        },
    }


def _kinds(operation: Operation) -> list[type]:
    return [kind for kind in (operation.body, operation.answer) if kind is not None]


def _operation(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.door is Door.CALLER:
        described["security"] = [{"caller_key": []}]
    elif operation.door is Door.APP:
        described["security"] = [{}, {"caller_key": []}]
    if operation.permission is not None:
        described["description"] = f"Of a caller key, the permission `{operation.permission}` is required."
    if operation.body is not None:
        schema = {"$ref": SCHEMA.format(name=operation.body.__name__)}
        described["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schema}, FORM: {"schema": _form(operation.body)}},
        }
    return described


def _form(body: type) -> Json:
    """
    The same body as a form: every value is text, an empty one counts as none, and null is a word.

    What is an object no form can say; it is left out.
    """
    _, schemas = msgspec.json.schema_components([body], ref_template=SCHEMA)
    schema = schemas[body.__name__]
    required = schema.get("required", [])
    properties = {
        name: text
        for name, described in schema["properties"].items()
        if (text := _as_text(described, schemas, name in required)).get("type") != "object"
    }
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": {"type": "string"},
    }


def _parameters(operation: Operation) -> list[Json]:
    found = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for part in operation.path.split("/")
        if part.startswith("{")
    ]
    if operation.query is not None:
        _, schemas = msgspec.json.schema_components([operation.query], ref_template=SCHEMA)
        schema = schemas.pop(operation.query.__name__)
        for name, described in schema["properties"].items():
            required = name in schema.get("required", [])
            plain = _as_text(described, schemas, required)
            found.append({"name": name, "in": "query", "required": required, "schema": plain})
    if operation.door is Door.APP:
        found.append(
            {
                "name": "X-Requested-With",
                "in": "header",
                "required": True,
                "description": "Any value: a cross-site form cannot send it.",
                "schema": {"type": "string", "pattern": "^[!-~]+$"},
            }
        )
    if operation.name == "redeem":
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key with the same code gets the first answer again.",
                "schema": {"type": "string", "pattern": "^[!-~]{22,255}$"},
            }
        )
    return found


def _as_text(described: Json, schemas: Json, required: bool) -> Json:
    """A field in a query or form: never null, a list as one text, and empty where it is not needed."""
    plain = {key: value for key, value in described.items() if key not in ("anyOf", "default")}
    for option in _options(described):
        plain |= option if option.get("type") not in ("array", "null") else {}
    name = str(plain.pop("$ref", "")).rpartition("/")[2]
    plain = {**schemas[name], **plain} if name else plain
    if not required:
        plain.pop("minLength", None)
    return plain


def _options(described: Json) -> list[Json]:
    return [leaf for option in described.get("anyOf", []) for leaf in _options(option) or [option]]


def _responses(operation: Operation) -> Json:
    headers = {"X-Request-Id": REQUEST_ID}
    good: Json = {"description": HTTPStatus(operation.status).phrase, "headers": dict(headers)}
    if operation.answer is not None:
        good["content"] = {JSON: {"schema": {"$ref": SCHEMA.format(name=operation.answer.__name__)}}}
    elif operation.status == 200:
        good["content"] = {
            operation.media_type: {"schema": {"type": "object"} if _is_json(operation) else {}}
        }
    elif operation.status == 303:
        good["headers"]["Location"] = {"schema": {"type": "string"}, "required": True}
    answers: Json = {str(operation.status): good}
    if operation.handler is ready:
        answers["503"] = {**good, "description": "Not ready; the checks say why."}
    by_status: dict[int, list[type[GrantkeeperError]]] = defaultdict(list)
    for error in operation.refusals():
        by_status[wire.STATUS[error]].append(error)
    for status, errors in sorted(by_status.items()):
        answers[str(status)] = _refusal(status, errors)
    answers["431"] = _refusal(431, [TooLarge])
    return answers


def _is_json(operation: Operation) -> bool:
    return operation.media_type == JSON


def _refusal(status: int, errors: list[type[GrantkeeperError]]) -> Json:
    lines = [f"`{error.code}`: {(error.__doc__ or '').strip().splitlines()[0]}" for error in errors]
    headers = {"X-Request-Id": REQUEST_ID}
    if any(error.retry for error in errors):
        headers["Retry-After"] = RETRY_AFTER
    codes = sorted({error.code for error in errors})
    schema = {
        "allOf": [
            {"$ref": SCHEMA.format(name=ErrorAnswer.__name__)},
            {"type": "object", "properties": {"error": {"enum": codes}}},
        ]
    }
    return {
        "description": " ".join(lines) or HTTPStatus(status).phrase,
        "headers": headers,
        "content": {JSON: {"schema": schema}},
    }
