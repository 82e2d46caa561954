"""
The JSON of every request body, field by field, as design section 3 spells it.

Sizes and characters are checked here, meanings by the keepers. The OpenAPI
document and the docs page are made from these structs.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
"""No control characters: none of these values has a use for them, and not every database takes them."""

Text = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN)]
Code = Annotated[str, Meta(min_length=1, max_length=16 * 1024, description="What the app got, sent once.")]
ClientName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=PLAIN,
        description="A client of the settings; without it `default`, or the only one.",
    ),
]
SourceName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=PLAIN,
        description="Where the code was born: ios (default), android, web-popup, web or desktop.",
    ),
]
Address = Annotated[
    str, Meta(max_length=2048, description="Which of the client's addresses the code was made with.")
]
Verifier = Annotated[
    str, Meta(min_length=1, max_length=16 * 1024, description="PKCE; web and desktop need it without a key.")
]
IdToken = Annotated[
    str, Meta(min_length=1, max_length=16 * 1024, description="The ID token that the app has.")
]
UserId = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=PLAIN, description="Your own id of the user.")
]
Sub = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=PLAIN, description="The account's sub string.")
]
GrantId = Annotated[str, Meta(min_length=1, max_length=255, description="The id that redeem gave.")]
Scopes = Annotated[
    list[str] | str, Meta(description="A list of names, or one text with spaces between them.")
]
MinTtl = Annotated[int, Meta(ge=0, le=3600, description="Seconds it must still live; default 60.")]
TokenHash = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9_-]{43}=?$", description="base64url SHA-256 of a token Google refused."),
]
JobName = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=PLAIN, description="A job that a worker has announced.")
]
JobKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=PLAIN,
        description="Of one job, grant and key each caller has one job: the same again gets its id.",
    ),
]
Parameters = Annotated[
    dict[str, Any], Meta(description="What the job is to work on, as a JSON object; a form cannot have it.")
]


class Body(msgspec.Struct):
    """Every request body's struct."""


class RedeemBody(Body):
    """A one-time code and what is needed to redeem it; `user` and `expect_subject` need a caller key."""

    code: Code
    client: ClientName | None = None
    source: SourceName | None = None
    redirect_uri: Address | None = None
    code_verifier: Verifier | None = None
    nonce: Text | None = None
    id_token: IdToken | None = None
    scopes: Scopes | None = None
    user: UserId | None = None
    expect_subject: Sub | None = None


class PreflightBody(Body):
    """Who is about to sign in, and what the app wishes."""

    id_token: IdToken
    client: ClientName | None = None
    source: SourceName | None = None
    scopes: Scopes | None = None


class TokenBody(Body):
    """Which grant (exactly one of `grant`, `subject`, `user`) and what the token must be good for."""

    grant: GrantId | None = None
    subject: Sub | None = None
    client: ClientName | None = None
    user: UserId | None = None
    scopes: Scopes | None = None
    min_ttl: MinTtl | None = None
    rejected: TokenHash | None = None


class AttachBody(Body):
    """Your own id of the user, or null to detach."""

    user: UserId | None


class TicketBody(Body):
    """For whom the connect ticket is."""

    user: UserId
    client: ClientName | None = None
    expect_subject: Sub | None = None


class ResultBody(Body):
    """The `result` with which the browser returned."""

    result: Name


class JobBody(Body):
    """Which job, and for which grant (exactly one of `grant`, `subject`, `user`)."""

    job: JobName
    grant: GrantId | None = None
    subject: Sub | None = None
    client: ClientName | None = None
    user: UserId | None = None
    parameters: Parameters | None = None
    key: JobKey | None = None
