"""
"Do you still hold a grant?": asked before a sign-in is shown.

So that consent is not forced when nothing is missing (each forced consent uses
up one of the user's live refresh tokens), and is forced in the way each
platform knows when something is.
"""

from dataclasses import dataclass, field

from grantkeeper.errors import InvalidRequest
from grantkeeper.keeper import identity
from grantkeeper.keeper.means import Means
from grantkeeper.lifecycle import how_to_ask
from grantkeeper.model import Preflight
from grantkeeper.protocol.authorization import parse_source
from grantkeeper.protocol.scopes import asked, missing
from grantkeeper.secret import IdToken


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightRequest:
    """What came with the question."""

    id_token: object = field(repr=False)
    client: str | None = None
    source: str | None = None
    scopes: object = None


async def preflight(request: PreflightRequest, means: Means) -> Preflight:
    """
    What the app should do before it shows a sign-in.

    Raises:
        ClientUnknown, InvalidRequest: The request is wrong.
        AppIdTokenRejected: Its ID token is.
    """
    client = means.client(request.client)
    source = parse_source(client, request.source)
    if not isinstance(request.id_token, str) or not request.id_token:
        raise InvalidRequest("id_token must be the ID token that the app got at its last sign-in")
    wished = asked(request.scopes) or client.scopes
    who = await identity.from_app(means, client, IdToken(request.id_token))
    grant = await means.store.find(client.client_id, who.subject)
    lacking = wished if grant is None else missing(wished, grant.granted)
    how = how_to_ask(source, grant, lacking)
    return Preflight(
        consent_needed=how != "none",
        missing_scopes=lacking,
        how=how,
        login_hint=who.profile.email or who.subject.sub,
    )
