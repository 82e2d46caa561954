"""
Ending a grant: told to the issuer with patience, obeyed here at once.

Two promises, two words: *revoke* tells the issuer (RFC 7009), *forget* drops
our record. From the commit that marks a grant revoked no node hands anything
out; the sealed token stays until the issuer has been told.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from grantkeeper.backoff import revocation_pause
from grantkeeper.errors import (
    GrantkeeperError,
    GrantNotFound,
    IssuerUnavailable,
    SealBroken,
    StoreConflict,
    StoreUnavailable,
)
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.seals import Seals
from grantkeeper.lifecycle import Event, next_state
from grantkeeper.model import AuditEvent, Grant, GrantState, Lease, Reason, Revocation
from grantkeeper.ports import Delete, DropTokens, GrantQuery, Note, Release, Replace, Step

MOST_CONFLICTS = 20


TELL_SECONDS = 17.0
"""How long telling the issuer of one grant is claimed: a call and its storing fit in."""

DELIVERED_AT_ONCE = 100

GIVEN_UP = "with revoke=false (grants forget --no-revoke)"
"""How a record is dropped at once, for the service and for the command line."""


class Word(StrEnum):
    """What came of telling an issuer."""

    REVOKED = "revoked"
    GONE = "already_gone"
    """The issuer did not know the token any more."""
    ELSEWHERE = "told_elsewhere"
    """Another process had told it before."""
    CANCELLED = "consented_again"
    """The user has come back; there is nothing to tell any more."""
    BUSY = "busy"
    """Another process is telling it just now."""
    LATER = "later"
    """It did not listen."""


@dataclass(frozen=True, slots=True)
class Telling:
    """
    What came of it.

    Attributes:
        also_affected: Grants of the same project and user that the issuer ended with it.
        error: Why it did not listen.
    """

    word: Word
    also_affected: tuple[str, ...] = ()
    error: GrantkeeperError | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to tell."""
        return self.word not in (Word.BUSY, Word.LATER)


class Revoker:
    """Revokes and forgets. Belongs to one loop."""

    def __init__(self, means: Means, cache: Cache, seals: Seals) -> None:
        self._means = means
        self._cache = cache
        self._seals = seals

    async def revoke(self, grant_id: str) -> Revocation:
        """
        End a grant here now and at the issuer as soon as it listens.

        Raises:
            GrantNotFound: There is no such grant.
            StoreUnavailable: Whether it is revoked here is not known; revoke it again.
        """
        grant = await self._mark(grant_id)
        if grant.revocation_due is None:
            return Revocation(grant=grant.id, state=grant.state, told=True, also_affected=())
        try:
            telling = await self.tell(grant.id)
        except StoreUnavailable:
            # It is revoked here all the same, and will be told.
            telling = Telling(Word.LATER)
        return Revocation(
            grant=grant.id,
            state=GrantState.REVOKED,
            told=telling.over,
            also_affected=telling.also_affected,
        )

    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        """
        Drop our record, by default after the issuer has been told.

        Raises:
            GrantNotFound: There is no such grant.
            IssuerUnavailable: It is revoked here, but the issuer could not be
                told; the record is kept so that it will be.
            SealBroken: The same, and as long as the token does not open it will not be.
        """
        if revoke and (await self._mark(grant_id)).revocation_due is not None:
            telling = await self.tell(grant_id)
            if isinstance(telling.error, SealBroken):
                raise SealBroken(
                    "the grant is revoked here, but its token does not open, so that the issuer cannot be "
                    "told: the record is kept",
                    hint=f"Bring back the key that sealed it, or give up telling the issuer {GIVEN_UP}.",
                )
            if not telling.over:
                raise IssuerUnavailable(
                    "the grant is revoked here, but the issuer could not be told: the record is kept",
                    hint=f"Delete it again later, or give up telling the issuer {GIVEN_UP}.",
                    retry_after=60.0,
                )
        for _ in range(MOST_CONFLICTS):
            grant = await self._get(grant_id)
            event = AuditEvent(
                self._means.clock.now(), "grant.forgotten", grant.id, client_id=grant.client_id
            )
            try:
                await self._means.store.commit(Delete(grant.id, grant.version), Note(event))
            except StoreConflict:
                continue
            self._cache.drop(grant_id)
            return
        raise StoreUnavailable("the grant changes faster than it can be dropped", retry_after=1.0)

    async def tell(self, grant_id: str, *, hold: timedelta | None = None, run: str | None = None) -> Telling:
        """
        Tell the issuer of a revoked grant, unless somebody else is at it or it has been told.

        Args:
            hold: If the issuer does not listen, nobody else is to tell it sooner; default a pause
                that grows with every try.
            run: Of a panic, whose answer is then written down with what it is about.

        Raises:
            GrantNotFound: There is no such grant.
            StoreUnavailable: What the issuer said, if anything, is not written down; it will be told again.
        """
        claim = await self._means.store.take(f"revoke:{grant_id}", self._means.owner(), seconds=TELL_SECONDS)
        if not isinstance(claim, Lease):
            return Telling(Word.BUSY)
        try:
            row = await self._get(grant_id)
            if row.state is not GrantState.REVOKED:
                return Telling(Word.CANCELLED)
            if row.revocation_due is None:
                return Telling(Word.ELSEWHERE)
            try:
                client = self._means.client_of(row.client_id)
                ended = await self._means.issuer.revoke(client, self._seals.refresh_token(row))
            except GrantkeeperError as error:
                # Whatever it was, the grant is over here and the issuer will be told again.
                await self._postpone(row, error, hold)
                return Telling(Word.LATER, error=error)
            word = Word.REVOKED if ended else Word.GONE
            self._means.counters["revocation", "ok"] += 1
            self._means.tell("revocation", grant=grant_id, outcome="ok")
            # The tombstone comes last: up to it, whoever finds the grant tells the issuer again.
            affected = await self._doubt_siblings(row)
            left = await self._change(grant_id, lambda found: self._shredded(found, row, word, run))
            return Telling(Word.BUSY if _untold(left, row) else word, affected)
        finally:
            with suppress(StoreConflict, StoreUnavailable):
                await self._means.store.commit(Release(claim))

    async def _postpone(self, grant: Grant, error: GrantkeeperError, hold: timedelta | None) -> None:
        """Set the day of the next try."""
        wait = revocation_pause(grant.revocation_attempts + 1, self._means.dice.roll(), error.retry_after)
        due = self._means.clock.now() + (timedelta(seconds=wait) if hold is None else hold)

        def later(row: Grant) -> list[Step]:
            if row.state is not GrantState.REVOKED or row.revocation_due is None:
                return []
            tries = row.revocation_attempts + 1
            return [Replace(replace(row, revocation_due=due, revocation_attempts=tries))]

        await self._change(grant.id, later)
        self._means.counters["revocation", error.code] += 1
        self._means.tell("revocation", level=logging.WARNING, grant=grant.id, outcome=error.code)

    async def deliver_due(self, *, limit: int = 100) -> int:
        """Tell the issuer of revocations whose time has come; how many are done."""
        done, _ = await self._deliver(limit)
        return done

    async def deliver_some(self) -> bool:
        """The same as a chore: whether more are due now."""
        _, seen = await self._deliver(DELIVERED_AT_ONCE)
        return seen == DELIVERED_AT_ONCE

    async def _deliver(self, limit: int) -> tuple[int, int]:
        done = 0
        due = await self._means.store.due_revocations(self._means.clock.now(), limit=limit)
        for grant in due:
            try:
                done += (await self.tell(grant.id)).over
            except GrantNotFound:
                continue
        return done, len(due)

    # -- for a panic --------------------------------------------------------------------------

    async def mark_all(
        self, grants: Sequence[Grant], due: datetime, fits: Callable[[Grant], bool], run: str
    ) -> None:
        """
        Mark *grants* revoked in one step, or one by one where somebody saves them meanwhile.

        Args:
            due: When the issuer is told if the panic, which tells it before, does not live so long.
            fits: Asked again of a row that has changed.
            run: The panic's, for the audit.
        """
        steps = [step for grant in grants for step in self._marked(grant, due, run, again=True)]
        try:
            await self._means.store.commit(*steps)
        except StoreConflict:
            for grant in grants:
                with suppress(GrantNotFound):
                    await self._change(
                        grant.id,
                        lambda row: self._marked(row, due, run, again=True) if fits(row) else [],
                    )
        for grant in grants:
            self._cache.drop(grant.id)

    async def hand_over(self, grant_id: str, event: AuditEvent) -> None:
        """Leave it to the upkeep to tell the issuer of a revoked grant, from now on."""

        def now_due(row: Grant) -> list[Step]:
            if row.state is not GrantState.REVOKED or row.revocation_due is None:
                return [Note(event)]
            return [Replace(replace(row, revocation_due=event.at)), Note(event)]

        await self._change(grant_id, now_due)

    async def _get(self, grant_id: str) -> Grant:
        grant = await self._means.store.get(grant_id)
        if grant is None:
            raise GrantNotFound("there is no such grant")
        return grant

    async def _mark(self, grant_id: str) -> Grant:
        """The grant, marked revoked; what it keeps for the issuer is still sealed in it."""
        await self._change(grant_id, lambda row: self._marked(row, self._means.clock.now(), None))
        self._cache.drop(grant_id)
        return await self._get(grant_id)

    def _marked(self, row: Grant, due: datetime, run: str | None, *, again: bool = False) -> list[Step]:
        """What marks *row* revoked; *again* also one whose revocation is pending."""
        if row.state is GrantState.REVOKED and not (again and row.revocation_due is not None):
            return []
        now = self._means.clock.now()
        new = replace(
            row,
            state=next_state(row.state, Event.REVOKED),
            reason=Reason.REVOKED,
            revocation_due=due,
            revocation_attempts=0,
            revoked_at=now,
            waiting=None,
        )
        if row.refresh_token is None:
            new = self._empty(new)
        event = AuditEvent(now, "grant.revoked", row.id, run, row.client_id)
        return [Replace(new), DropTokens(row.id), Note(event)]

    def _shredded(self, row: Grant, told: Grant, word: "Word", run: str | None) -> list[Step]:
        """
        The tombstone: with its data key gone, nothing sealed in any copy of the row opens again.

        Args:
            told: The row as it was when the issuer was told.
        """
        now = self._means.clock.now()
        if row.state is not GrantState.REVOKED:
            # The user has consented again while the issuer was being told: it may have ended both.
            return [Replace(replace(row, uncertain_since=row.uncertain_since or now)), DropTokens(row.id)]
        if row.revocation_due is None or _untold(row, told):
            return []
        name = "revocation.delivered" if run is None else "panic.revoked"
        event = AuditEvent(now, name, row.id, run, row.client_id, {"answer": str(word)})
        return [Replace(self._empty(row)), Note(event)]

    @staticmethod
    def _empty(row: Grant) -> Grant:
        return replace(
            row,
            data_key=None,
            refresh_token=None,
            waiting=None,
            lookups=(),
            profile=None,
            email_index=None,
            revocation_due=None,
            uncertain_since=None,
        )

    async def _doubt_siblings(self, grant: Grant) -> tuple[str, ...]:
        """Revoking ends the consent of the whole project (google-facts 1.5): doubt its other clients."""
        if grant.project is None:
            return ()
        query = GrantQuery(project=grant.project, issuer=grant.subject.issuer, sub=grant.subject.sub)
        siblings = [
            other
            for other in await self._means.store.search(query)
            if other.id != grant.id and other.state is not GrantState.REVOKED
        ]
        now = self._means.clock.now()
        for other in siblings:
            with suppress(GrantNotFound):
                await self._change(
                    other.id,
                    lambda row: (
                        []
                        if row.state is GrantState.REVOKED
                        else [
                            Replace(replace(row, uncertain_since=row.uncertain_since or now)),
                            DropTokens(row.id),
                        ]
                    ),
                )
            self._cache.drop(other.id)
        return tuple(other.id for other in siblings)

    async def _change(self, grant_id: str, change: Callable[[Grant], list[Step]]) -> Grant:
        """Do what *change* makes of a grant; the row as it was before."""
        for _ in range(MOST_CONFLICTS):
            found = await self._get(grant_id)
            steps = change(found)
            try:
                if steps:
                    await self._means.store.commit(*steps)
                return found
            except StoreConflict:
                continue
        raise StoreUnavailable("the grant changes faster than it can be saved", retry_after=1.0)


def _untold(row: Grant, told: Grant) -> bool:
    """Whether the user consented and was revoked again since *told* was: a newer token is still to be."""
    return (
        row.state is GrantState.REVOKED
        and row.revocation_due is not None
        and row.generation != told.generation
    )
