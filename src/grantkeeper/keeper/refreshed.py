"""
What an answer to a refresh makes of the grant's row, now or long after it came.

One piece of code stores an answer that has just come and one that waited in a
journal. It never gives life to a revoked grant, and an answer to a refresh
token that is no longer the stored one changes nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from grantkeeper.errors import SealBroken, StoreConflict, StoreUnavailable
from grantkeeper.keeper.custody import Custody, Draft, Holding
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.seals import Seals
from grantkeeper.keeper.waking import woken
from grantkeeper.lifecycle import Event, announced_end, next_state
from grantkeeper.model import AuditEvent, Grant, GrantState, JournalKind, Lease, StoredToken, Subject
from grantkeeper.ports import DropTokens, Note, PutToken, Release, Replace, Step
from grantkeeper.protocol.scopes import Scopes, scope_key
from grantkeeper.protocol.token_endpoint import Salvage, TokenAnswer
from grantkeeper.secret import AccessToken, RefreshToken

MOST_CONFLICTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """
    An answer to a refresh, or what is good of it.

    Attributes:
        generation: Of the refresh token that was sent.
        state: Of the grant when it was sent.
        uncertain_since: Of the grant when it was sent: the doubt that this answer settles.
        scopes: What was asked for; ``None`` for all that is granted.
        at: When the answer came.
        access_token: ``None`` where the answer is broken but for its refresh token.
        granted: What the answer says that its tokens open.
    """

    grant_id: str
    client_id: str
    subject: Subject
    lease: Lease
    generation: int
    state: GrantState
    uncertain_since: datetime | None
    scopes: Scopes | None
    at: datetime
    access_token: AccessToken | None
    expires_at: datetime | None
    granted: Scopes | None
    refresh_token: RefreshToken | None
    refresh_expires_in: int | None

    @staticmethod
    def of(
        grant: Grant, answer: TokenAnswer | Salvage, scopes: Scopes | None, lease: Lease, at: datetime
    ) -> "Refreshed":
        """The *answer* to the refresh token of *grant*."""
        assert grant.refresh_token is not None
        whole = answer if isinstance(answer, TokenAnswer) else None
        return Refreshed(
            grant_id=grant.id,
            client_id=grant.client_id,
            subject=grant.subject,
            lease=lease,
            generation=grant.refresh_token.generation,
            state=grant.state,
            uncertain_since=grant.uncertain_since,
            scopes=scopes,
            at=at,
            access_token=None if whole is None else whole.access_token,
            expires_at=None if whole is None else whole.expires_at,
            granted=answer.scopes,
            refresh_token=answer.refresh_token,
            refresh_expires_in=answer.refresh_expires_in,
        )

    def draft(self) -> Draft:
        """This, for the journal."""
        return Draft(
            JournalKind.REFRESH, self.grant_id, self.client_id, self.at, _about(self.subject), self._record
        )

    def _record(self) -> object:
        return msgspec.to_builtins(
            _Kept(
                lease=(self.lease.name, self.lease.owner, self.lease.version),
                generation=self.generation,
                state=self.state,
                uncertain_since=self.uncertain_since,
                scopes=self.scopes,
                at=self.at,
                access_token=None if self.access_token is None else self.access_token.reveal(),
                expires_at=self.expires_at,
                granted=self.granted,
                refresh_token=None if self.refresh_token is None else self.refresh_token.reveal(),
                refresh_expires_in=self.refresh_expires_in,
            )
        )

    @staticmethod
    def from_record(grant: Grant, record: bytes) -> "Refreshed":
        """
        What the journal kept for *grant*.

        Raises:
            SealBroken: Another release wrote it, in a way that is not known here.
        """
        try:
            kept = msgspec.json.decode(record, type=_Kept)
        except msgspec.MsgspecError as error:
            raise SealBroken("an answer in the journal is of another release") from error
        name, owner, version = kept.lease
        return Refreshed(
            grant_id=grant.id,
            client_id=grant.client_id,
            subject=grant.subject,
            lease=Lease(name, owner, version, 0.0),
            generation=kept.generation,
            state=kept.state,
            uncertain_since=kept.uncertain_since,
            scopes=kept.scopes,
            at=kept.at,
            access_token=None if kept.access_token is None else AccessToken(kept.access_token),
            expires_at=kept.expires_at,
            granted=kept.granted,
            refresh_token=None if kept.refresh_token is None else RefreshToken(kept.refresh_token),
            refresh_expires_in=kept.refresh_expires_in,
        )


class _Kept(msgspec.Struct):
    """A `Refreshed` in JSON, on its way into a seal."""

    lease: tuple[str, str, int]
    generation: int
    state: GrantState
    scopes: frozenset[str] | None
    at: datetime
    access_token: str | None
    expires_at: datetime | None
    granted: frozenset[str] | None
    refresh_token: str | None
    refresh_expires_in: int | None
    uncertain_since: datetime | None = None

    def __repr__(self) -> str:
        return "_Kept(****)"


def _about(subject: Subject) -> tuple[str, ...]:
    return subject.issuer, subject.sub


class Answers:
    """Stores answers to refreshes. Belongs to one loop."""

    def __init__(self, means: Means, seals: Seals, custody: Custody) -> None:
        self._means = means
        self._seals = seals
        self._custody = custody

    async def keep(self, refreshed: Refreshed, *, release: bool) -> None:
        """
        Store an answer that has just come, and give its lease back with it if *release* says so.

        Raises:
            StoreUnavailable: The store does not take it; it is in the journal, if that can be written.
        """
        async with self._custody.hold(refreshed.draft()) as held:
            await self.store(refreshed, held, release=release)

    async def store(self, refreshed: Refreshed, held: Holding, *, release: bool = True) -> None:
        """
        Apply an answer to the row as it is now, again after every conflict.

        Raises:
            StoreUnavailable: The store does not take it.
        """

        async def once() -> None:
            row = await self._means.store.get(refreshed.grant_id)
            steps = [] if row is None else self._steps(row, refreshed, held)
            if release:
                steps.append(Release(refreshed.lease))
            if steps:
                await self._means.store.commit(*steps)

        for _ in range(MOST_CONFLICTS):
            try:
                await held.patiently(once)
            except StoreConflict:
                continue
            held.stored()
            return
        raise StoreUnavailable("the grant changes faster than it can be saved", retry_after=1.0)

    def _steps(self, row: Grant, refreshed: Refreshed, held: Holding) -> list[Step]:
        same_token = (
            row.refresh_token is not None
            and row.data_key is not None
            and row.refresh_token.generation == refreshed.generation
        )
        if not same_token:
            # A newer consent, or the end, or this very answer was stored meanwhile.
            return []
        new_token = refreshed.refresh_token
        if row.state is GrantState.REVOKED or refreshed.access_token is None:
            # Only a rotated token is worth keeping, so that the issuer is told of the one that lives.
            return [] if new_token is None else [Replace(self.with_refresh_token(row, new_token))]
        if held.failed and row.refreshed_at is not None and row.refreshed_at >= refreshed.at:
            # A commit that was reported as failed was none, or somebody has refreshed since.
            return []
        broke = held.late and refreshed.state is GrantState.ACTIVE and row.state is not GrantState.ACTIVE
        if broke and new_token is None:
            # The same token was refused after it had earned this answer.
            return []
        return self._renewed(row, refreshed, unproved=broke)

    def _renewed(self, row: Grant, refreshed: Refreshed, *, unproved: bool) -> list[Step]:
        """The row with an answer's tokens; *unproved* if a refusal came between the answer and now."""
        assert refreshed.access_token is not None
        assert refreshed.expires_at is not None
        at, scopes = refreshed.at, refreshed.scopes
        granted = row.granted if scopes is not None or refreshed.granted is None else refreshed.granted
        # A doubt that the sender did not see is not settled; which came first, two clocks cannot say.
        doubted = row.uncertain_since is not None and row.uncertain_since != refreshed.uncertain_since
        new = replace(
            row,
            state=next_state(row.state, Event.REFRESHED),
            reason=None,
            granted=granted,
            refreshed_at=at,
            probe_at=None,
            uncertain_since=row.uncertain_since if doubted else at if unproved else None,
            # The stored token opens more than the one that waits, and it works: the wait is over.
            waiting=None,
        )
        if refreshed.refresh_token is not None:
            new = self.with_refresh_token(new, refreshed.refresh_token)
        if refreshed.refresh_expires_in is not None:
            new = replace(new, ends_at=announced_end(refreshed.refresh_expires_in, at))
        asked = scopes if scopes is not None else granted
        key = "" if scopes is None else scope_key(asked, granted)
        token = StoredToken(
            row.id,
            key,
            self._seals.seal_access_token(new, refreshed.access_token, key),
            asked if refreshed.granted is None else refreshed.granted,
            at,
            refreshed.expires_at,
        )
        # A change of scopes makes what was cached under "all" wrong.
        drop: list[Step] = [DropTokens(row.id)] if granted != row.granted else []
        event = AuditEvent(at, "grant.refreshed", row.id, client_id=row.client_id)
        return [Replace(new), *woken(row, new), *drop, PutToken(token), Note(event)]

    def with_refresh_token(self, grant: Grant, token: RefreshToken) -> Grant:
        """*grant* with a newer refresh token in use."""
        generation = grant.generation + 1
        sealed = self._seals.seal_refresh_token(grant, token, generation)
        return self._seals.hashed(replace(grant, generation=generation, refresh_token=sealed), token=token)
