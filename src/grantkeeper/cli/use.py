"""The main job from the command line: redeem a code, ask before a sign-in, get a token."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grantkeeper.cli.common import HUMAN, OK, Manner, answer, ask, fields, hint, say, secret_from
from grantkeeper.errors import GrantAmbiguous, GrantNotFound, InvalidRequest

if TYPE_CHECKING:
    from grantkeeper.library.calls import Calls
    from grantkeeper.model import Token


def redeem(
    *,
    source: str = "ios",
    client: str | None = None,
    code_file: Path | None = None,
    redirect_uri: str | None = None,
    code_verifier_file: Path | None = None,
    id_token_file: Path | None = None,
    scope: list[str] | None = None,
    user: str | None = None,
    expect_subject: str | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    Redeem a one-time code, read from standard input, and store the grant.

    Parameters
    ----------
    source
        Where the code was born: ios, android, web-popup, web or desktop.
    client
        The client's name in the settings.
    code_file
        Read the code from this file instead.
    redirect_uri
        Which of the client's addresses the code was made with (web, desktop).
    code_verifier_file
        A file with the PKCE verifier that the code is bound to.
    id_token_file
        A file with the phone's own ID token, as proof where the answer has none.
    scope
        What the app asked for; repeatable.
    user
        Your own id of the person.
    expect_subject
        Refuse any other account than this one.
    """
    code = secret_from(code_file, "code")
    verifier = None if code_verifier_file is None else secret_from(code_verifier_file, "code verifier")
    id_token = None if id_token_file is None else secret_from(id_token_file, "ID token")
    grant = ask(
        lambda keeper: keeper.redeem(
            code,
            source,
            client=client,
            redirect_uri=redirect_uri,
            code_verifier=verifier,
            id_token=id_token,
            scopes=scope,
            user=user,
            expect_subject=expect_subject,
        )
    )
    if manner.json:
        from grantkeeper.server.answers import RedeemAnswer

        # A session is for the app's backend; whoever types commands is not signed in by it.
        answer(RedeemAnswer.of(replace(grant, session=None)))
    else:
        name = None if grant.profile is None else grant.profile.email
        shown = {"grant": grant.id, "subject": grant.subject, "e-mail": name, "state": grant.state}
        fields({**shown, "scopes": grant.scopes, "missing scopes": grant.missing_scopes})
        if grant.hint:
            hint(grant.hint)
    return OK


def preflight(
    *,
    source: str = "ios",
    client: str | None = None,
    id_token_file: Path | None = None,
    scope: list[str] | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    Say whether the app must ask for consent at its next sign-in; reads its ID token from standard input.

    Parameters
    ----------
    source
        Where the user would sign in: ios, android, web-popup, web or desktop.
    client
        The client's name in the settings.
    id_token_file
        Read the ID token from this file instead.
    scope
        What the app wishes for; repeatable.
    """
    id_token = secret_from(id_token_file, "ID token")
    found = ask(lambda keeper: keeper.preflight(id_token, source, client=client, scopes=scope))
    if manner.json:
        from grantkeeper.server.answers import PreflightAnswer

        answer(PreflightAnswer.of(found))
    else:
        shown = {"consent needed": found.consent_needed, "how": found.how}
        fields({**shown, "missing scopes": found.missing_scopes})
    return OK


def token(
    grant: str | None = None,
    /,
    *,
    subject: str | None = None,
    user: str | None = None,
    client: str | None = None,
    scope: list[str] | None = None,
    min_ttl: int = 60,
    manner: Manner = HUMAN,
) -> int:
    """
    Print an access token of a grant, refreshed if need be.

    Parameters
    ----------
    grant
        The grant's id.
    subject
        Or the user at the issuer (the ID token's sub).
    user
        Or your own id of the person.
    client
        With --subject or --user: of which client.
    scope
        Only these scopes; repeatable.
    min_ttl
        Seconds that it must live at least.
    """
    if sum(one is not None for one in (grant, subject, user)) != 1:
        raise InvalidRequest("name the grant by its id, or by --subject or --user")
    if not 0 <= min_ttl <= 3600:
        raise InvalidRequest("--min-ttl must be 0 to 3600 seconds")

    async def find(keeper: "Calls") -> "Token":
        named = grant or await one_grant(keeper, subject=subject, user=user, client=client)
        return await keeper.access_token(named, scopes=scope, min_ttl=min_ttl)

    found = ask(find)
    if manner.json:
        from grantkeeper.server.answers import TokenAnswer

        answer(TokenAnswer.of(found))
    else:
        print(found.reveal())
        if found.warning:
            say(f"{found.warning}: it lives {found.expires_in} seconds more")
        if found.missing_scopes:
            say(f"not granted: {' '.join(sorted(found.missing_scopes))}")
    return OK


async def one_grant(keeper: "Calls", *, subject: str | None, user: str | None, client: str | None) -> str:
    """
    The id of the one live grant that fits.

    Raises:
        GrantNotFound, GrantAmbiguous: None does, or several do.
    """
    page = await keeper.grants(subject=subject, user=user, client=client)
    alive = [found.id for found in page.grants if found.state != "revoked"] or [one.id for one in page.grants]
    if not alive:
        raise GrantNotFound("no grant fits")
    if len(alive) > 1:
        raise GrantAmbiguous("several grants fit", grants=alive)
    return alive[0]
