"""A request to redeem a code: as it came, and as the settings let it pass."""

from dataclasses import dataclass, field

from grantkeeper.errors import InvalidRequest
from grantkeeper.keeper.means import Means
from grantkeeper.model import Caller, Client, Source
from grantkeeper.protocol.authorization import (
    needs_verifier,
    parse_code,
    parse_source,
    parse_verifier,
    redirect_uri_for,
)
from grantkeeper.protocol.scopes import Scopes, asked
from grantkeeper.secret import AuthorizationCode, CodeVerifier, IdToken

SHORTEST_KEY = 22
LONGEST_KEY = 255
LONGEST_USER = 255
LONGEST_NONCE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemRequest:
    """
    What came with a code, as it came: everything here is checked before use.

    Attributes:
        origin: The page that a browser says it comes from, allowed by the edge.
        trusted: Whether a caller key, or the embedding program itself, vouches.
        caller: Whose key it was; ``None`` for apps and for the library.
        user: The app's own id of the person; only from somebody trusted.
        expect_subject: Only this account will do; only from somebody trusted.
    """

    code: object = field(repr=False)
    client: str | None = None
    source: str | None = None
    redirect_uri: str | None = None
    code_verifier: object = field(default=None, repr=False)
    nonce: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    scopes: object = None
    idempotency_key: str | None = field(default=None, repr=False)
    origin: str | None = None
    trusted: bool = False
    caller: Caller | None = None
    user: str | None = None
    expect_subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request that has passed every check that needs no network."""

    client: Client
    source: Source
    code: AuthorizationCode
    redirect_uri: str
    verifier: CodeVerifier | None
    nonce: str | None = field(repr=False)
    id_token: IdToken | None
    requested: Scopes
    key: str | None = field(repr=False)
    trusted: bool
    caller: str | None
    user: str | None
    expect_subject: str | None


def plan_of(request: RedeemRequest, means: Means) -> Plan:
    """
    Check *request* against the settings.

    Raises:
        ClientUnknown: No such client.
        InvalidRequest: A field is wrong, or only a trusted caller may send it.
    """
    client = means.client(request.client)
    source = parse_source(client, request.source)
    verifier = parse_verifier(request.code_verifier)
    if needs_verifier(source, has_caller_key=request.trusted) and verifier is None:
        raise InvalidRequest(f"a code from {source} needs its code_verifier, or a caller key")
    if not request.trusted and (request.user is not None or request.expect_subject is not None):
        raise InvalidRequest("user and expect_subject are accepted only with a caller key")
    if request.user is not None and not 0 < len(request.user) <= LONGEST_USER:
        raise InvalidRequest(f"user must have 1 to {LONGEST_USER} characters")
    if request.nonce is not None and not 0 < len(request.nonce) <= LONGEST_NONCE:
        raise InvalidRequest(f"nonce must have 1 to {LONGEST_NONCE} characters")
    key = request.idempotency_key
    if key is not None and not (
        SHORTEST_KEY <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()
    ):
        raise InvalidRequest(f"Idempotency-Key must have {SHORTEST_KEY} to {LONGEST_KEY} visible characters")
    return Plan(
        client=client,
        source=source,
        code=parse_code(request.code),
        redirect_uri=redirect_uri_for(client, source, selected=request.redirect_uri, origin=request.origin),
        verifier=verifier,
        nonce=request.nonce,
        id_token=None if request.id_token is None else IdToken(request.id_token),
        requested=asked(request.scopes) or client.scopes,
        key=key,
        trusted=request.trusted,
        caller=None if request.caller is None else request.caller.id,
        user=request.user,
        expect_subject=request.expect_subject,
    )
