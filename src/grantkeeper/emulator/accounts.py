"""Who is signed in to a browser: the addresses in a cookie that the sign-in pages and the Picker share."""

from collections.abc import Iterable
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

SESSION = "emulator_accounts"

_PATHS = ("/o/oauth2", "/picker")


def accounts_of(request: Request) -> list[str]:
    """The addresses signed in to this browser."""
    cookie = request.cookies.get(SESSION, "")
    return [unquote(address) for address in cookie.split("|") if address]


def remember(response: Response, accounts: Iterable[str]) -> None:
    """Sign *accounts* in. Only the pages that ask are told, not every app on this host."""
    cookie = "|".join(quote(each, safe="") for each in dict.fromkeys(accounts))
    for path in _PATHS:
        response.set_cookie(SESSION, cookie, httponly=True, samesite="lax", path=path)


def is_address(text: str) -> bool:
    """Whether *text* can be an e-mail address, as far as the emulator cares."""
    name, at, domain = text.partition("@")
    return bool(name and at and domain) and not any(c.isspace() or c in '|<>"' for c in text)
