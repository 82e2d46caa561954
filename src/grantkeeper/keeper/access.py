"""
Handing out access tokens: from memory while fresh, beside a refresh while stale, after it when expired.

Only transient trouble keeps a valid token in use; a terminal answer takes every
token of the grant out of memory at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from grantkeeper.audit import Audit
from grantkeeper.errors import (
    CallerNotAllowed,
    ClientMisconfigured,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    IssuerMisbehaved,
    IssuerUnavailable,
    StoreUnavailable,
)
from grantkeeper.keeper.cache import Cache, Entry, LiveToken
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.refresh import Refresher
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import GrantState, Lease, Reason, Token
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.protocol.scopes import Scopes, scope_key

DEFAULT_MIN_TTL = 60
MOST_MIN_TTL = 3600

REJECTED_REST = 30.0
"""Seconds within which refused tokens cause one refresh: the API may be wrong and not the token."""

SHORT_REST = timedelta(seconds=60)
"""A token that the issuer gives shorter than ``min_ttl`` is not asked for again within this."""

TRANSIENT = (IssuerUnavailable, StoreUnavailable, ClientMisconfigured, IssuerMisbehaved)
"""Troubles that say nothing about the token we have."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a caller needs of a token: it outlives *min_ttl* seconds and is not the one *rejected*."""

    min_ttl: int = DEFAULT_MIN_TTL
    rejected: str | None = None

    def refuses(self, token: LiveToken) -> bool:
        """Whether *token* is the one that was rejected."""
        return self.rejected is not None and fingerprint(token.access_token) == self.rejected

    def met_by(self, token: LiveToken, now: datetime) -> bool:
        """Whether *token* will do, or a new one would not be better."""
        if now >= token.expires_at or self.refuses(token):
            return False
        long_enough = (token.expires_at - now).total_seconds() >= self.min_ttl
        return long_enough or now < token.obtained_at + SHORT_REST


def usable(grant: Entry, now: datetime) -> None:
    """
    Let a grant pass whose token may be handed out or, if blocked for long enough, probed.

    Raises:
        ConsentRequired: Only the user can bring it back.
        GrantBlocked: Only an administrator can; it is not yet time to probe.
    """
    if grant.state is GrantState.ACTIVE:
        return
    if grant.state is GrantState.BLOCKED:
        if grant.probe_at is not None and now >= grant.probe_at:
            return
        raise GrantBlocked("an administrator of the user's organisation forbids a requested service")
    reason = Reason.REVOKED if grant.state is GrantState.REVOKED else grant.reason or Reason.REVOKED
    raise ConsentRequired(
        f"the grant is {grant.state} ({reason})",
        reason=reason,
        missing_scopes=grant.missing,
        grant=grant.id,
        hint=REMEDIES[reason],
    )


def scopes_to_hand_out(grant: Entry, named: Scopes | None, rule: Scopes) -> Scopes:
    """
    Granted, within the caller's *rule*, and among those *named* (design section 3).

    Raises:
        CallerNotAllowed: A named scope is outside the rule, or nothing is left.
        ConsentRequired: A named scope is not granted; the state stays as it is.
    """
    if named is not None and rule and named - rule:
        raise CallerNotAllowed("a named scope is outside this caller's rule")
    if named is not None and named - grant.granted:
        missing = named - grant.granted
        raise ConsentRequired(
            "the user has not granted every named scope",
            reason=Reason.MISSING_SCOPES,
            missing_scopes=missing,
            grant=grant.id,
            hint=REMEDIES[Reason.MISSING_SCOPES],
        )
    scopes = grant.granted if named is None else named
    if rule:
        scopes &= rule
        if not scopes:
            raise CallerNotAllowed("none of the granted scopes is within this caller's rule")
    return scopes


class Access:
    """Answers who asks for an access token."""

    def __init__(
        self, means: Means, cache: Cache, refresher: Refresher, audit: Audit, silent: Callable[[], bool]
    ) -> None:
        self._means = means
        self._cache = cache
        self._refresher = refresher
        self._audit = audit
        self._silent = silent

    def fresh(
        self,
        grant_id: str,
        *,
        scopes: Scopes | None = None,
        min_ttl: int = DEFAULT_MIN_TTL,
        rejected: str | None = None,
        rule: Scopes = frozenset(),
        caller: str | None = None,
    ) -> Token | None:
        """
        A fresh token from memory, or ``None`` where `token` must be asked. Any thread; never waits.

        Raises:
            StoreUnavailable: The hand-out could not be recorded.
        """
        entry = self._cache.peek(grant_id)
        if entry is None or self._silent():
            return None
        if scopes is None and not rule:
            live = entry.token("")
        elif scopes is not None and (scopes - entry.granted or (rule and scopes - rule)):
            return None
        else:
            wanted = entry.granted if scopes is None else scopes
            live = entry.token(scope_key(wanted & rule if rule else wanted, entry.granted))
        if live is None or rejected is not None or entry.state is not GrantState.ACTIVE or entry.uncertain:
            return None
        now = self._means.clock.now()
        if now >= live.stale_at or (rule and live.scopes - rule):
            return None
        left = (live.expires_at - now).total_seconds()
        if left < min_ttl:
            return None
        self._audit.handed_out(grant_id, caller)
        return Token(
            access_token=live.access_token,
            expires_at=live.expires_at,
            expires_in=int(left),
            scopes=live.scopes,
            missing_scopes=entry.missing,
            grant=grant_id,
        )

    async def token(
        self,
        grant_id: str,
        *,
        scopes: Scopes | None = None,
        min_ttl: int = DEFAULT_MIN_TTL,
        rejected: str | None = None,
        rule: Scopes = frozenset(),
        caller: str | None = None,
    ) -> Token:
        """
        An access token of the grant that lives at least *min_ttl* seconds.

        Args:
            scopes: Only these; ``None`` for all that is granted.
            rejected: base64url SHA-256 of a token that Google refused.
            rule: Scopes the caller may have; empty for all.

        Raises:
            GrantNotFound: There is no such grant.
            CallerNotAllowed: The rule forbids it.
            ConsentRequired, GrantBlocked: The grant does not work now; somebody must act.
            IssuerUnavailable, StoreUnavailable, ClientMisconfigured, IssuerMisbehaved, SealBroken:
                No valid token is at hand and none could be had.
        """
        need = Need(min_ttl, rejected)
        trouble: GrantkeeperError | None = None
        entry = await self.entry(grant_id)
        # One turn finds out, a second takes what a refresh brought; more are for scope sets that change.
        for _ in range(5):
            now = self._means.clock.now()
            usable(entry, now)
            wanted = scopes_to_hand_out(entry, scopes, rule)
            live = entry.token(scope_key(wanted, entry.granted))
            narrower = None if wanted == entry.granted else wanted
            refused = live is not None and need.refuses(live)
            if refused and trouble is None and not await self._may_force(grant_id, narrower):
                need = Need(min_ttl)
                # The store was asked, which may take seconds: what was read before it is old.
                entry = await self.entry(grant_id)
                continue
            valid = live is not None and now < live.expires_at and not refused
            # A grant in doubt is refreshed first; only where that fails for a while does its old token serve.
            if live is not None and valid and (trouble or (need.met_by(live, now) and not entry.uncertain)):
                if now >= live.stale_at and trouble is None:
                    self._refresher.beside(grant_id, narrower)
                return self._hand_out(entry, live, now, need, rule, caller)
            if trouble is not None:
                raise trouble
            try:
                entry = await self._refresher.refresh(grant_id, narrower, need.met_by)
            except TRANSIENT as error:
                trouble = error
                # Not what was read before the flight: the grant may have been revoked meanwhile.
                entry = await self.entry(grant_id)
        raise trouble or IssuerUnavailable("the grant changes faster than it can be read", retry_after=1.0)

    async def entry(self, grant_id: str) -> Entry:
        """
        The grant and its tokens, from memory while the feed is heard, else from the store.

        Raises:
            GrantNotFound: There is no such grant.
            StoreUnavailable: The feed is silent and the store does not answer either.
        """
        entry = self._cache.peek(grant_id)
        if entry is not None and not self._silent():
            return entry
        return await self._refresher.load(grant_id)

    async def _may_force(self, grant_id: str, scopes: Scopes | None) -> bool:
        """Whether a rejected token may cause a refresh now; the row lease is never given back, but lapses."""
        if self._refresher.flies(grant_id, scopes):
            return True
        claim = await self._means.store.take(
            f"rejected:{grant_id}", self._means.owner(), seconds=REJECTED_REST
        )
        return isinstance(claim, Lease)

    def _hand_out(
        self, entry: Entry, live: LiveToken, now: datetime, need: Need, rule: Scopes, caller: str | None
    ) -> Token:
        if rule and live.scopes - rule:
            raise CallerNotAllowed("the issuer's token opens more than this caller's rule allows")
        left = int((live.expires_at - now).total_seconds())
        self._audit.handed_out(entry.id, caller)
        return Token(
            access_token=live.access_token,
            expires_at=live.expires_at,
            expires_in=left,
            scopes=live.scopes,
            missing_scopes=entry.missing,
            grant=entry.id,
            warning="min_ttl_not_met" if left < need.min_ttl else None,
        )
