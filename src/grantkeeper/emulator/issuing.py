"""How a grant comes to be: consent, and the authorization code that stands for it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from grantkeeper.emulator.records import Code, OAuthClient, Source, User
from grantkeeper.emulator.scopes import EMAIL, OPENID, PROFILE
from grantkeeper.emulator.world import World

CODE_PREFIX = "4/0"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MOBILE: frozenset[Source] = frozenset({"ios", "android"})


def consent_needed(world: World, client: OAuthClient, user: User, scopes: frozenset[str]) -> bool:
    """Whether the page would ask: the first time for a project, and for what it has not got yet."""
    grant = world.grant(client.project, user.sub)
    return grant is None or not scopes <= grant.scopes


def issue_code(
    world: World,
    client: OAuthClient,
    user: User,
    scopes: frozenset[str],
    source: Source,
    redirect_uri: str | None = None,
    *,
    offline: bool = True,
    include_granted: bool = True,
    consented: bool = False,
    nonce: str | None = None,
    code_challenge: str | None = None,
    code_challenge_method: Literal["S256", "plain"] = "plain",
    access_seconds: int | None = None,
) -> Code:
    """
    A code for what *user* gives *client*.

    Args:
        scopes: What the user ticked, in canonical names.
        redirect_uri: Where the browser is sent; for a popup the origin of the page; None for the phone
            and for "the first registered one".
        offline: ``access_type=offline``.
        include_granted: The code covers what the project was given earlier as well.
        consented: The consent page was shown although nothing new was asked (``prompt=consent``,
            ``forceCodeForRefreshToken``). Where something new is asked it is always shown.
        access_seconds: The user chose time-based access on that page.
    """
    with world.lock:
        asked = consented or consent_needed(world, client, user, scopes)
        # Signing in is what `invalid_rapt` asks for.
        user.reauth_required = False
        if asked:
            grant = world.consent(client, user, scopes, access_seconds)
        else:
            grant = world.grants[client.project, user.sub]
        return world.add_code(
            Code(
                value=world.secret(CODE_PREFIX, "code"),
                client_id=client.id,
                source=source,
                grant=grant,
                scopes=grant.scopes if include_granted else scopes,
                redirect_uris=expected_redirects(client, source, redirect_uri),
                expires_at=world.now() + timedelta(seconds=client.code_seconds),
                offline=offline,
                refreshable=offline and asked,
                nonce=nonce,
                code_challenge=code_challenge,
                code_challenge_method=code_challenge_method,
            )
        )


def sdk_scopes(scopes: Iterable[str], source: Source) -> frozenset[str]:
    """*scopes* as the phone's SDK really asks: the one for iOS always adds the basic profile."""
    added = {OPENID, EMAIL, PROFILE} if source == "ios" else set()
    return frozenset(scopes) | added


def expected_redirects(client: OAuthClient, source: Source, redirect_uri: str | None) -> frozenset[str]:
    """The ``redirect_uri`` values that go with a code of this *source*."""
    if source in MOBILE:
        # Empty, or the web app's own if the same client also has one.
        return frozenset({"", *client.redirect_uris})
    if source == "web-popup":
        origin = redirect_uri or next(iter(client.javascript_origins), "")
        return frozenset({"postmessage", origin}) - {""}
    return frozenset({redirect_uri or next(iter(client.redirect_uris), "")})


def redirect_allowed(client: OAuthClient, redirect_uri: str) -> bool:
    """Whether *redirect_uri* is registered: every character counts, but for the port of a loopback."""
    if redirect_uri in client.redirect_uris:
        return True
    try:
        url = urlsplit(redirect_uri)
        loopback = url.scheme == "http" and url.hostname in LOOPBACK and url.port != 0
    except ValueError:
        return False
    if not loopback or url.fragment or url.username is not None:
        return False
    return client.kind == "installed" or (url.path in client.loopback_paths and not url.query)
