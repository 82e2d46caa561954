"""
What may happen to a grant and when a token is worth handing out.

Everything here decides and nothing acts: now and dice come in as arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from grantkeeper.model import End, Grant, GrantState, Provider, Reason, Source
from grantkeeper.protocol.scopes import IDENTITY


class Event(StrEnum):
    """What can happen to a grant."""

    REFRESHED = "refreshed"
    RECONSENTED = "reconsented"
    REFUSED = "refused"
    BLOCKED = "blocked"
    REVOKED = "revoked"


TRANSITIONS: Mapping[GrantState, Mapping[Event, GrantState]] = {
    GrantState.ACTIVE: {
        Event.REFRESHED: GrantState.ACTIVE,
        Event.RECONSENTED: GrantState.ACTIVE,
        Event.REFUSED: GrantState.NEEDS_CONSENT,
        Event.BLOCKED: GrantState.BLOCKED,
        Event.REVOKED: GrantState.REVOKED,
    },
    GrantState.NEEDS_CONSENT: {
        Event.REFRESHED: GrantState.ACTIVE,
        Event.RECONSENTED: GrantState.ACTIVE,
        Event.REFUSED: GrantState.NEEDS_CONSENT,
        Event.BLOCKED: GrantState.BLOCKED,
        Event.REVOKED: GrantState.REVOKED,
    },
    GrantState.BLOCKED: {
        Event.REFRESHED: GrantState.ACTIVE,
        Event.RECONSENTED: GrantState.ACTIVE,
        Event.REFUSED: GrantState.NEEDS_CONSENT,
        Event.BLOCKED: GrantState.BLOCKED,
        Event.REVOKED: GrantState.REVOKED,
    },
    GrantState.REVOKED: {
        Event.RECONSENTED: GrantState.ACTIVE,
        Event.REVOKED: GrantState.REVOKED,
    },
}
"""Every step there is. A step that is missing here must never be taken."""


def next_state(state: GrantState, event: Event) -> GrantState:
    """
    Where *event* leads from *state*.

    Raises:
        RuntimeError: There is no such step; the keeper that took it is wrong.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise RuntimeError(f"a grant that is {state} cannot be {event}") from None


class Freshness(StrEnum):
    """How usable an access token is."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


def freshness(expires_at: datetime, now: datetime, margin: timedelta) -> Freshness:
    """
    How usable an access token is at *now*.

    An access token lives until its expiry and not through it: at the very
    second of *expires_at* it is already expired.

    Args:
        expires_at: When the issuer stops accepting the token.
        now: The keeper's clock, always aware and in UTC.
        margin: How long before the end a token counts as stale; see `stale_margin`.

    Returns:
        ``EXPIRED`` must be refreshed before use, ``STALE`` may be handed out
        while a refresh runs beside it, ``FRESH`` needs nothing.
    """
    if now >= expires_at:
        return Freshness.EXPIRED
    return Freshness.STALE if now >= expires_at - margin else Freshness.FRESH


MARGIN_LEAST = timedelta(seconds=300)
MARGIN_MOST = timedelta(seconds=600)


def stale_margin(lifetime: timedelta, roll: float) -> timedelta:
    """
    How long before its end a token of *lifetime* is refreshed beside its use.

    Args:
        lifetime: From the moment it was obtained to its expiry.
        roll: A number in [0, 1), so that a thousand tokens of one minute are
            not refreshed in one minute.

    Returns:
        300 to 600 seconds, but never more than a quarter of the lifetime.
    """
    return min(MARGIN_LEAST + (MARGIN_MOST - MARGIN_LEAST) * roll, max(lifetime, timedelta(0)) / 4)


REMEDIES: Mapping[Reason, str] = {
    Reason.REVOKED: (
        "The access was taken back or lapsed at the issuer. Ask the user to sign in again; "
        "consent will be asked."
    ),
    Reason.EXPIRED: "The consent has run out. Ask the user to sign in again and to allow it anew.",
    Reason.REAUTH_REQUIRED: (
        "The user's organisation ends sessions after some hours. Ask the user to sign in again; "
        "its administrator can trust the app to avoid this."
    ),
    Reason.MISSING_SCOPES: "Ask the user to sign in again and to tick the missing permissions.",
    Reason.NO_REFRESH_TOKEN: (
        "The issuer gave no lasting access. Force consent at the next sign-in "
        "(preflight says how for each platform)."
    ),
    Reason.ACCOUNT_DISABLED: "The account is disabled. Only its owner, with the issuer, can bring it back.",
    Reason.ANSWER_LOST: "A crash lost the issuer's answer. Ask the user to sign in once more.",
    Reason.ADMIN_POLICY_ENFORCED: (
        "An administrator of the user's organisation forbids a requested service; "
        "it is tried again every day."
    ),
}
"""What helps, for every reason."""


@dataclass(frozen=True, slots=True)
class Offer:
    """
    What a new consent brought, as far as the choice of token goes.

    Attributes:
        has_refresh_token: Whether the answer had one.
        granted: What the answer's tokens open.
    """

    has_refresh_token: bool
    granted: frozenset[str]


class Keep(StrEnum):
    """Which refresh token a grant goes on with after a new sign-in."""

    NEW = "new"
    """The answer's; the stored one is deleted here and never revoked at the issuer."""
    STORED = "stored"
    """The stored one; the answer had none, and the grant is usable as before."""
    STORED_ON_PROOF = "stored_on_proof"
    """The stored one, but the grant was broken: it revives only after one refresh with it succeeds."""
    BOTH = "both"
    """The new one waits beside the stored, which opens more; refreshing the stored one decides."""
    NONE = "none"
    """There is none; the user must be asked for consent by force."""


def keep(stored: Grant | None, offer: Offer) -> Keep:
    """
    Which refresh token to go on with when *offer* meets the *stored* grant.

    Losing the refresh token of a good grant is the one unforgivable mistake,
    so whatever is not certainly worse is kept.
    """
    if stored is None or stored.refresh_token is None or stored.state is GrantState.REVOKED:
        return Keep.NEW if offer.has_refresh_token else Keep.NONE
    if not offer.has_refresh_token:
        return Keep.STORED if stored.state is GrantState.ACTIVE else Keep.STORED_ON_PROOF
    live = stored.state is GrantState.ACTIVE
    return Keep.BOTH if live and offer.granted < stored.granted else Keep.NEW


KEEP_ALIVE_AFTER = timedelta(days=150)
"""A refresh token unused for this long is used, so that the issuer does not drop it at six months."""

KEEP_ALIVE_SPREAD = timedelta(days=14)
_WEEK = timedelta(days=7)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def keep_alive_at(grant: Grant) -> datetime | None:
    """
    When *grant* is to be refreshed if nobody needs it before; ``None`` where that would not help.

    Counted from the start of the week of its last refresh, so that the value, which an index holds,
    changes once a week and not with every refresh; spread by the id over two weeks, so that a
    million users who came on one day are not refreshed on one day.

    A blocked grant is due when it is to be probed: an administrator tells nobody that he allowed it.
    """
    if grant.state is GrantState.BLOCKED and grant.refresh_token is not None:
        return grant.probe_at
    if grant.state is not GrantState.ACTIVE or grant.refresh_token is None:
        return None
    last = max(filter(None, (grant.refreshed_at, grant.consented_at)), default=grant.created_at)
    week = _MONDAY + (last - _MONDAY) // _WEEK * _WEEK
    share = int.from_bytes(sha256(grant.id.encode()).digest()[:4], "big") / 2**32
    return week + KEEP_ALIVE_AFTER + KEEP_ALIVE_SPREAD * share


UNCERTAIN = (
    "An answer of the issuer may have been lost with a process, or a sign-in is still to be decided. The "
    "grant is tried by itself; ask the user for nothing unless it becomes needs_consent, and then to sign "
    "in once more."
)
"""What to do about a grant in doubt."""


def doubtful(grant: Grant, restored_at: datetime | None) -> bool:
    """
    Whether the stored refresh token may be out of date; a refresh decides.

    Args:
        restored_at: When the database was last brought back from a backup. What was written before may
            have been superseded, or taken back, in the time that the backup does not know.
    """
    if grant.uncertain_since is not None:
        return True
    last = max(filter(None, (grant.refreshed_at, grant.consented_at)), default=grant.created_at)
    return restored_at is not None and last < restored_at and grant.state is not GrantState.REVOKED


def outlived(grant: Grant, answered_at: datetime) -> bool:
    """
    Whether *grant* was revoked after the issuer had answered a consent, so that this must not revive it.

    Args:
        answered_at: When the issuer answered; storing may have had to wait.
    """
    return (
        grant.state is GrantState.REVOKED and grant.revoked_at is not None and answered_at < grant.revoked_at
    )


KEEP_ALIVE_RATES = (
    (timedelta(days=1), 2.0),
    (timedelta(days=3), 8.0),
    (timedelta(days=7), 30.0),
    (timedelta.max, 100.0),
)
"""Refreshes in a second while the longest due grant is late by less than that."""


def keep_alive_rate(late: timedelta) -> float:
    """
    Refreshes in a second that keep grants alive, all nodes together.

    Two a second are 172,800 a day: enough for 25 million grants that nobody uses.
    More are due, or nobody was there for days, where the first in line is late;
    even then it is a stream and no storm, and three weeks remain until six months.

    Args:
        late: How long ago the first in line was due.
    """
    return next(rate for limit, rate in KEEP_ALIVE_RATES if late < limit)


def announced_end(seconds: int | None, now: datetime) -> datetime | None:
    """When a refresh token ends whose issuer announced *seconds* more (``refresh_token_expires_in``)."""
    return None if seconds is None else now + timedelta(seconds=seconds)


# -- ends that can be seen coming ---------------------------------------------------------------

UNUSED_LIFE = timedelta(days=180)
"""Google drops a refresh token that was not used for six months (google-facts 4.2)."""

UNUSED_NEWS = timedelta(days=60)
"""How long before that day it is worth a word."""

WEEK = timedelta(days=7)
"""What a consent lives while the project's consent screen is external and in testing (google-facts 4.2)."""

_GRAIN = timedelta(hours=1)
_WORKED_TILL = timedelta(days=5)
_WEEK_OVER = timedelta(days=8)

LIVE_TOKENS = 100
"""Live refresh tokens of one account and client; one more silently ends the oldest (google-facts 4.2)."""

CROWDED_FROM = 80
LEAST_DEATHS = 3
DEATHS_TO_A_SURVIVOR = 10

ENDS: Mapping[str, str] = {
    "refresh_token": "The user gave access for a limited time; ask for consent again before that day.",
    "unused": (
        "The issuer ends what nobody uses for six months. A running service refreshes it in time; "
        "else use it once before that day."
    ),
    "testing_mode": (
        "Most likely the project's consent screen is in testing mode, where consents end after seven days. "
        "Publish the app in the Google Cloud console, then let the user consent again."
    ),
    "live_tokens": (
        "The user has got nearly as many refresh tokens of this client as Google keeps alive (100); the "
        "oldest end silently. Do not force consent at every sign-in; preflight says when it is needed."
    ),
}
"""Every kind of end, with what helps."""


class WeekSign(StrEnum):
    """What the fate of a grant says about seven-day consents."""

    DEATH = "death"
    SURVIVAL = "survival"


def _last_use(grant: Grant) -> datetime:
    return max(filter(None, (grant.refreshed_at, grant.consented_at)), default=grant.created_at)


def _only_identity(grant: Grant) -> bool:
    """Whether only name, e-mail and profile are granted, which testing mode does not end."""
    return grant.granted <= IDENTITY


def ended_with_the_week(grant: Grant, now: datetime) -> bool:
    """Whether a refusal at *now* is as seven-day consents end: it worked within the week, and it is over."""
    if grant.consented_at is None or _only_identity(grant):
        return False
    end = grant.consented_at + WEEK
    return now >= end - _GRAIN and _last_use(grant) <= end + _GRAIN


def week_sign(grant: Grant, now: datetime, *, refused: bool) -> WeekSign | None:
    """
    What a refresh of *grant* says about seven-day consents; ``None`` for nothing.

    A death counts only where the token was seen at work on the fifth day or
    later, so that a user who took access back in between is none. A survivor
    counts once, at the first refresh after the eighth day.

    Args:
        grant: As it was before the refresh.
        refused: Whether the issuer said ``invalid_grant``.
    """
    if grant.consented_at is None or _only_identity(grant):
        return None
    over = grant.consented_at + _WEEK_OVER
    if refused:
        seen_late = _last_use(grant) >= grant.consented_at + _WORKED_TILL
        return WeekSign.DEATH if seen_late and now <= over and ended_with_the_week(grant, now) else None
    return WeekSign.SURVIVAL if _last_use(grant) <= over < now else None


def likely_testing(deaths: int, survivors: int) -> bool:
    """Whether so many of each make testing mode most likely: nearly all have died, and more than a few."""
    return deaths >= LEAST_DEATHS and survivors * DEATHS_TO_A_SURVIVOR <= deaths


def crowded(grant: Grant, *, exactly: bool = False) -> bool:
    """
    Whether so many refresh tokens were got for this account that the cap may be near.

    Those are ours alone; whoever else uses the same client has some too.

    Args:
        exactly: Only at the very token that makes it so.
    """
    return grant.generation == CROWDED_FROM if exactly else grant.generation >= CROWDED_FROM


def ends(grant: Grant, provider: Provider, now: datetime, *, testing: bool) -> tuple[End, ...]:
    """
    The ends of *grant* that can be seen coming, the soonest first; those without a day last.

    Args:
        testing: Whether its client is most likely in testing mode.
    """
    if grant.state is not GrantState.ACTIVE and grant.state is not GrantState.BLOCKED:
        announced = grant.ends_at is not None and grant.state is not GrantState.REVOKED
        return (End("refresh_token", grant.ends_at, ENDS["refresh_token"]),) if announced else ()
    dated: list[tuple[datetime, str]] = []
    if grant.ends_at is not None:
        dated.append((grant.ends_at, "refresh_token"))
    google = provider is Provider.GOOGLE and grant.refresh_token is not None
    unused = _last_use(grant) + UNUSED_LIFE
    if google and now >= unused - UNUSED_NEWS:
        dated.append((unused, "unused"))
    if google and testing and grant.consented_at is not None and not _only_identity(grant):
        week = grant.consented_at + WEEK
        # One that lives on after that day is of before, or of after, testing mode.
        if now < week + _GRAIN:
            dated.append((week, "testing_mode"))
    found = [End(kind, at, ENDS[kind]) for at, kind in sorted(dated)]
    if google and crowded(grant):
        found.append(End("live_tokens", None, ENDS["live_tokens"]))
    return tuple(found)


# -- asking for consent -------------------------------------------------------------------------

SIGN_IN_AGAIN: Mapping[Source, str] = {
    Source.IOS: "server_revoke_first",
    Source.ANDROID: "force_code",
    Source.WEB_POPUP: "use_connect",
    Source.WEB: "prompt_consent",
    Source.DESKTOP: "prompt_consent",
}
"""How each platform can make the issuer give a refresh token although consent was given before."""


PLAIN_SIGN_IN = frozenset({Reason.REVOKED, Reason.EXPIRED})
"""
Reasons for which the issuer has most likely forgotten the consent, so that a plain sign-in asks for it.

Not for sure: a hundred newer tokens or a changed password end a token and not
the consent (google-facts 4.2). A sign-in that then brings no new token makes
the reason ``no_refresh_token``, and the next one is forced.
"""


def how_to_ask(source: Source, grant: Grant | None, missing: frozenset[str]) -> str:
    """
    What the app must do at its next sign-in so that the backend ends up able to work.

    Args:
        source: The platform that would sign the user in.
        grant: What is stored for this user, if anything.
        missing: Of the wished scopes, those that are not granted.

    Returns:
        ``none`` when nothing needs asking, or asking would not help;
        ``prompt_consent`` for a first consent or new scopes; else the
        platform's own way to force a new refresh token (`SIGN_IN_AGAIN`).
    """
    if grant is None:
        return "prompt_consent"
    if grant.state is GrantState.REVOKED and grant.revocation_due is None:
        # The issuer was told, and has forgotten the consent: a plain sign-in asks for it anew.
        return "prompt_consent"
    if grant.state is GrantState.ACTIVE and grant.refreshable:
        # A new scope shows the consent screen by itself, and with it comes a new refresh token.
        return "prompt_consent" if missing else "none"
    if grant.state is GrantState.BLOCKED:
        # Only an administrator can help, and no consent goes around one.
        return "none"
    if grant.reason in PLAIN_SIGN_IN:
        return "prompt_consent"
    return SIGN_IN_AGAIN[source]
