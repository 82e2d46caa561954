"""Looking at grants and ending them."""

from grantkeeper.cli.common import (
    HUMAN,
    OK,
    UNAVAILABLE,
    Manner,
    answer,
    ask,
    fields,
    hint,
    plain,
    say,
    table,
)


def list_grants(
    *,
    client: str | None = None,
    subject: str | None = None,
    user: str | None = None,
    state: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    List grants, a page at a time.

    Parameters
    ----------
    client
        Only of this client.
    subject
        Only of this user at the issuer (the ID token's sub).
    user
        Only attached to this user of yours.
    state
        Only active, needs_consent, blocked or revoked ones.
    limit
        How many at most, up to 1000.
    cursor
        The next_cursor of the page before.
    """
    page = ask(
        lambda keeper: keeper.grants(
            client=client, subject=subject, user=user, state=state, limit=limit, cursor=cursor
        )
    )
    from grantkeeper.server.answers import DescriptionAnswer, GrantsAnswer

    found = GrantsAnswer([DescriptionAnswer.of(grant) for grant in page.grants], page.next_cursor)
    if manner.json:
        answer(found)
        return OK
    table(
        [plain(grant) for grant in found.grants],
        ["id", "client", "subject", "user", "state", "reason", "used_at"],
    )
    if page.next_cursor:
        hint(f"more with --cursor {page.next_cursor}")
    return OK


def show(grant: str, /, *, manner: Manner = HUMAN) -> int:
    """
    Show one grant: its state, why, who can mend it, and which ends come up.

    Parameters
    ----------
    grant
        The grant's id.
    """
    from grantkeeper.server.answers import DescriptionAnswer

    described = DescriptionAnswer.of(ask(lambda keeper: keeper.describe(grant)))
    if manner.json:
        answer(described)
        return OK
    found = plain(described)
    profile = found.pop("profile") or {}
    ends = found.pop("ends")
    fields({**found, "email": profile.get("email"), "name": profile.get("name")})
    for end in ends:
        say(f"{end['kind']} ends at {end['at']}: {end['remedy']}")
    return OK


def revoke(grant: str, /, *, manner: Manner = HUMAN) -> int:
    """
    Take a grant back: nothing is handed out from now on, and Google is told.

    Parameters
    ----------
    grant
        The grant's id.
    """
    from grantkeeper.server.answers import RevocationAnswer

    done = ask(lambda keeper: keeper.revoke(grant))
    if manner.json:
        answer(RevocationAnswer.of(done))
    else:
        fields(plain(RevocationAnswer.of(done)))
        if not done.told:
            hint("Google could not be told yet; a running service will, and says so in `grants show`.")
    return OK if done.told else UNAVAILABLE


def forget(grant: str, /, *, revoke: bool = True, manner: Manner = HUMAN) -> int:
    """
    Erase a grant here, after telling Google.

    Parameters
    ----------
    grant
        The grant's id.
    revoke
        Tell Google first; --no-revoke only erases.
    """
    ask(lambda keeper: keeper.forget(grant, revoke=revoke))
    if manner.json:
        answer({"grant": grant, "forgotten": True})
    else:
        say(f"forgot {grant}")
    return OK
