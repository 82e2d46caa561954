"""The routes that tell about the service itself: its pages and its OpenAPI document."""

import msgspec

from grantkeeper.server import pages
from grantkeeper.server.call import Call
from grantkeeper.server.openapi import document
from grantkeeper.server.service import Service
from grantkeeper.server.wire import Answer, json_answer


async def openapi(service: Service, call: Call) -> Answer:
    """``GET /openapi.json``."""
    from grantkeeper.server.routes import ROUTES

    return json_answer(msgspec.to_builtins(document(ROUTES, service.core.settings.public_url)))


async def docs(service: Service, call: Call) -> Answer:
    """``GET /docs``."""
    from grantkeeper.server.routes import ROUTES

    return pages.docs(ROUTES)


async def home(service: Service, call: Call) -> Answer:
    """``GET /``."""
    return pages.home()


async def style(service: Service, call: Call) -> Answer:
    """``GET /assets/grantkeeper.css``."""
    return pages.style()
