"""The few pages that people see: small, calm, readable without scripts or anything from elsewhere."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from grantkeeper import __version__
from grantkeeper.errors import GrantkeeperError
from grantkeeper.server import wire
from grantkeeper.server.openapi import document
from grantkeeper.server.operations import Door, Operation
from grantkeeper.server.wire import NO_STORE, Answer, Header
from grantkeeper.server.words import words

HTML: Final[Header] = (b"content-type", b"text/html; charset=utf-8")
SAFE: Final[tuple[Header, ...]] = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

WHO: Final = {
    Door.OPEN: "Anybody, for probes",
    Door.BROWSER: "A browser",
    Door.APP: "An app, with the header X-Requested-With",
    Door.CALLER: "A backend, with a caller key",
}


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("grantkeeper.server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    environment.globals["up"] = ""
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """*text* as HTML, what stands between backticks as code."""
    parts = [
        f"<code>{escape(part)}</code>" if at % 2 else escape(part) for at, part in enumerate(text.split("`"))
    ]
    return Markup("".join(parts))  # noqa: S704 - every part was escaped just now


def _page(template: str, **values: Any) -> bytes:
    return _templates().get_template(template).render(values).encode()


@cache
def home() -> Answer:
    """``/``: what this is."""
    return Answer(200, _page("home.html"), (HTML, NO_STORE, *SAFE))


@cache
def docs(operations: tuple[Operation, ...]) -> Answer:
    """``/docs``: the table of routes for people."""
    body = _page("docs.html", operations=[_described(one) for one in operations], errors=_errors())
    return Answer(200, body, (HTML, NO_STORE, *SAFE))


@cache
def style() -> Answer:
    """How the pages look."""
    css = files("grantkeeper.server").joinpath("assets", "grantkeeper.css").read_bytes()
    return Answer(
        200,
        css,
        ((b"content-type", b"text/css; charset=utf-8"), (b"cache-control", b"public, max-age=3600"), SAFE[2]),
    )


def trouble(error: GrantkeeperError, answer: Answer, *, path: str, request_id: bytes) -> Answer:
    """*answer*, a refusal, as a page for a person whose browser was on its way through our redirect flow."""
    told = words(error)
    # Relative, because a program that embeds us, or a proxy, may have put us under a path of its own.
    up = "../" * (path.count("/") - 1)
    body = _page("trouble.html", up=up, words=told, code=error.code, request=request_id.decode())
    kept = tuple(header for header in answer.headers if header[0] != b"content-type")
    return Answer(answer.status, body, (HTML, *kept, *SAFE), answer.error)


def _described(operation: Operation) -> dict[str, Any]:
    openapi = document([operation])
    (methods,) = openapi["paths"].values()
    (described,) = methods.values()
    schemas = openapi["components"]["schemas"]
    return {
        "operation": operation,
        "who": WHO[operation.door],
        "parameters": described["parameters"],
        "body": _fields(schemas, operation.body),
        "about": {
            "body": "" if operation.body is None else operation.body.__doc__,
            "answer": "" if operation.answer is None else operation.answer.__doc__,
        },
        "answer": _fields(schemas, operation.answer),
        "codes": sorted({(wire.STATUS[error], error.code) for error in operation.refusals()}),
    }


def _fields(schemas: dict[str, Any], kind: type | None) -> list[dict[str, Any]]:
    if kind is None:
        return []
    schema = schemas[kind.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "type": _type(field), "required": name in required, "told": _told(field)}
        for name, field in schema["properties"].items()
    ]


def _told(field: dict[str, Any]) -> str:
    """The field's description, wherever in it that is."""
    inner = (_told(option) for option in field.get("anyOf", []))
    return str(field.get("description") or next(filter(None, inner), ""))


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option != {"type": "null"})
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2].removesuffix("Answer")
        return name if name in ("GrantState", "Reason", "IdentitySource") else f"{name.lower()} object"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if field.get("format") == "date-time":
        return "time (RFC 3339)"
    names = {"string": "text", "boolean": "true or false", "integer": "number"}
    return names.get(str(field.get("type")), str(field.get("type", "anything")))


def _errors() -> Iterable[dict[str, Any]]:
    rows = [
        {
            "status": status,
            "code": error.code,
            "text": (error.__doc__ or "").strip().splitlines()[0],
            "advice": error.advice,
            "retry": error.retry,
        }
        for error, status in wire.STATUS.items()
    ]
    return sorted(rows, key=lambda row: (row["status"], row["code"]))
