"""The People API as far as signing in needs it: `people/me`, the caller's own profile."""

import hashlib
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.apis_calls import arguments
from grantkeeper.emulator.apis_table import Api, Method, Parameter, Schema
from grantkeeper.emulator.bearer import Access, ApiError, authenticate, require_scope
from grantkeeper.emulator.records import User
from grantkeeper.emulator.scopes import EMAIL, PROFILE
from grantkeeper.emulator.world import World

_GET = Method(
    "people.people.get",
    "GET",
    "v1/{+resourceName}",
    "A person; the emulator knows people/me.",
    (PROFILE, EMAIL),
    (
        Parameter("resourceName", "The person: people/me.", location="path", required=True),
        Parameter("personFields", "The members that are wanted, joined by commas."),
    ),
    response="Person",
)

_FIELD = {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "any"}}}
_SCHEMAS: dict[str, Schema] = {
    "Person": {
        "id": "Person",
        "type": "object",
        "properties": {
            "resourceName": {"type": "string"},
            "etag": {"type": "string"},
            "names": _FIELD,
            "emailAddresses": _FIELD,
            "photos": _FIELD,
        },
    },
}

PEOPLE = Api(
    name="people",
    version="v1",
    title="People API",
    description="The emulator's part of the People API.",
    revision="20261106",
    service_path="",
    batch_path="batch",
    methods=(_GET,),
    schemas=_SCHEMAS,
    scopes={PROFILE: "See the user's name and picture.", EMAIL: "See the user's e-mail address."},
    documentation="https://developers.google.com/people/",
)

#: Members of a Person that Google has and a caller may ask for; the emulator fills those in `_MEMBERS`.
_KNOWN = frozenset(
    (
        *("addresses", "ageRanges", "biographies", "birthdays", "calendarUrls", "clientData", "coverPhotos"),
        *("emailAddresses", "events", "externalIds", "genders", "imClients", "interests", "locales"),
        *("locations", "memberships", "metadata", "miscKeywords", "names", "nicknames", "occupations"),
        *("organizations", "phoneNumbers", "photos", "relations", "sipAddresses", "skills", "urls"),
        "userDefined",
    )
)


def routes(world: World) -> list[BaseRoute]:
    async def get(request: Request) -> Response:
        try:
            response = Json(_person(request, world))
        except ApiError as error:
            world.count("people", "people.get", error.reason)
            raise
        world.count("people", "people.get", "ok")
        return response

    return [Route("/v1/people/{person}", get, methods=["GET"])]


def _person(request: Request, world: World) -> dict[str, Any]:
    access = authenticate(request)
    require_scope(access, *_GET.scopes)
    path = {"resourceName": f"people/{request.path_params['person']}"}
    given = arguments(_GET, path, request.query_params)
    user = world.users_by_sub[access.sub]
    if given["resourceName"] not in ("people/me", f"people/{user.sub}"):
        raise ApiError(404, "notFound", "Requested entity was not found.")
    names = [name.strip() for name in (given["personFields"] or "").split(",") if name.strip()]
    if not names:
        raise ApiError(
            400,
            "badRequest",
            "personFields mask is required. Please specify one or more valid paths.",
        )
    if unknown := [name for name in names if name not in _KNOWN]:
        raise ApiError(400, "badRequest", f'Invalid personFields mask path: "{unknown[0]}".')
    members = {name: _MEMBERS[name](user, access) for name in names if name in _MEMBERS}
    digest = hashlib.sha256(repr((user.name, user.email, user.picture)).encode()).hexdigest()
    person = {"resourceName": f"people/{user.sub}", "etag": f"%{digest[:22]}"}
    return person | {name: member for name, member in members.items() if member}


def _names(user: User, access: Access) -> list[dict[str, Any]]:
    if PROFILE not in access.scopes:
        return []
    return [
        {
            "metadata": _metadata(user),
            "displayName": user.name,
            "familyName": user.family_name,
            "givenName": user.given_name,
            "displayNameLastFirst": f"{user.family_name}, {user.given_name}",
            "unstructuredName": user.name,
        }
    ]


def _addresses(user: User, access: Access) -> list[dict[str, Any]]:
    if EMAIL not in access.scopes:
        return []
    return [{"metadata": _metadata(user) | {"verified": user.email_verified}, "value": user.email}]


def _photos(user: User, access: Access) -> list[dict[str, Any]]:
    if PROFILE not in access.scopes:
        return []
    return [{"metadata": _metadata(user), "url": user.picture}]


def _metadata(user: User) -> dict[str, Any]:
    return {"primary": True, "source": {"type": "PROFILE", "id": user.sub}, "sourcePrimary": True}


_MEMBERS: dict[str, Callable[[User, Access], list[dict[str, Any]]]] = {
    "names": _names,
    "emailAddresses": _addresses,
    "photos": _photos,
}
