"""The emulator's pages: templates, one style sheet, and a few small scripts."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_FILES = {
    "/emulator/style.css": ("style.css", "text/css"),
    "/emulator/popup.js": ("popup.js", "text/javascript"),
    "/emulator/picker.js": ("picker.js", "text/javascript"),
    "/emulator/form_post.js": ("form_post.js", "text/javascript"),
    "/gsi/client": ("gsi_client.js", "text/javascript"),
}


def _marked(text: str) -> Markup:
    """*text* with what stands between backticks as code."""
    # As str: pieces of a Markup would escape the tags that are put between them.
    escaped = str(escape(text))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704 - escaped before


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked"] = _marked
    return environment


def page(name: str, status: int = 200, **values: Any) -> Response:
    """The template *name* as an HTML answer."""
    return HTMLResponse(_environment().get_template(name).render(**values), status, _HEADERS)


def routes() -> list[BaseRoute]:
    """The style sheet and the scripts."""
    return [Route(path, _file(name, media_type)) for path, (name, media_type) in _FILES.items()]


def _file(name: str, media_type: str) -> Any:
    async def answer(request: Any) -> Response:
        return Response(_text(name), media_type=media_type)

    return answer


@cache
def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")
