"""
Ending a grant: told to the issuer with patience, obeyed here at once.

Two promises, two words: *revoke* tells the issuer (RFC 7009), *forget* drops
our record. From the commit that marks a grant revoked no node hands anything
out; the sealed token stays until the issuer has been told.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from grantkeeper.backoff import revocation_pause
from grantkeeper.errors import (
    GrantkeeperError,
    GrantNotFound,
    IssuerUnavailable,
    StoreConflict,
    StoreUnavailable,
)
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.seals import Seals
from grantkeeper.lifecycle import Event, next_state
from grantkeeper.model import AuditEvent, Grant, GrantState, Reason, Revocation
from grantkeeper.ports import Delete, DropTokens, GrantQuery, Note, Replace, Step

MOST_CONFLICTS = 20


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
            StoreUnavailable: Nothing was revoked.
        """
        grant = await self._mark(grant_id)
        if grant.revocation_due is None:
            return Revocation(grant=grant.id, state=grant.state, told=True, also_affected=())
        told, also_affected = await self.tell(grant)
        return Revocation(grant=grant.id, state=GrantState.REVOKED, told=told, also_affected=also_affected)

    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        """
        Drop our record, by default after the issuer has been told.

        Raises:
            GrantNotFound: There is no such grant.
            IssuerUnavailable: It is revoked here, but the issuer could not be
                told; the record is kept so that it will be.
        """
        if revoke:
            outcome = await self.revoke(grant_id)
            if not outcome.told:
                raise IssuerUnavailable(
                    "the grant is revoked here, but the issuer could not be told: the record is kept",
                    hint="Delete it again later, or with revoke=false to give up telling the issuer.",
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

    async def tell(self, grant: Grant) -> tuple[bool, tuple[str, ...]]:
        """
        Tell the issuer of a revoked grant; if it does not listen, set the day of the next try.

        Returns:
            Whether it is done, and which grants of the same project and user ended with it.
        """
        client = self._means.client_of(grant.client_id)
        try:
            await self._means.issuer.revoke(client, self._seals.refresh_token(grant))
        except GrantkeeperError as error:
            # Whatever it was, the grant is over here and the issuer will be told again.
            wait = revocation_pause(grant.revocation_attempts + 1, self._means.dice.roll())
            wait = max(wait, error.retry_after or 0.0)
            due = self._means.clock.now() + timedelta(seconds=wait)
            await self._change(
                grant.id,
                lambda row: (
                    [
                        Replace(
                            replace(row, revocation_due=due, revocation_attempts=row.revocation_attempts + 1)
                        )
                    ]
                    if row.state is GrantState.REVOKED
                    else []
                ),
            )
            self._means.counters["revocation", error.code] += 1
            self._means.tell("revocation", level=logging.WARNING, grant=grant.id, outcome=error.code)
            return False, ()
        self._means.counters["revocation", "ok"] += 1
        self._means.tell("revocation", grant=grant.id, outcome="ok")
        await self._change(grant.id, self._shredded)
        return True, await self._doubt_siblings(grant)

    async def deliver_due(self, *, limit: int = 100) -> int:
        """Tell the issuer of revocations whose time has come; how many are done."""
        done = 0
        for grant in await self._means.store.due_revocations(self._means.clock.now(), limit=limit):
            try:
                told, _ = await self.tell(grant)
            except GrantkeeperError:
                continue
            done += told
        return done

    async def _get(self, grant_id: str) -> Grant:
        grant = await self._means.store.get(grant_id)
        if grant is None:
            raise GrantNotFound("there is no such grant")
        return grant

    async def _mark(self, grant_id: str) -> Grant:
        """The grant, marked revoked; what it keeps for the issuer is still sealed in it."""
        now = self._means.clock.now()

        def mark(row: Grant) -> list[Step]:
            if row.state is GrantState.REVOKED:
                return []
            new = replace(
                row,
                state=next_state(row.state, Event.REVOKED),
                reason=Reason.REVOKED,
                revocation_due=now,
                revocation_attempts=0,
                revoked_at=now,
                waiting=None,
            )
            if row.refresh_token is None:
                new = self._empty(new)
            event = AuditEvent(now, "grant.revoked", row.id, client_id=row.client_id)
            return [Replace(new), DropTokens(row.id), Note(event)]

        await self._change(grant_id, mark)
        self._cache.drop(grant_id)
        return await self._get(grant_id)

    def _shredded(self, row: Grant) -> list[Step]:
        """The tombstone: with its data key gone, nothing sealed in any copy of the row opens again."""
        if row.state is not GrantState.REVOKED or row.revocation_due is None:
            return []  # The user has consented again meanwhile.
        event = AuditEvent(self._means.clock.now(), "revocation.delivered", row.id, client_id=row.client_id)
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

    async def _change(self, grant_id: str, change: Callable[[Grant], list[Step]]) -> None:
        for _ in range(MOST_CONFLICTS):
            steps = change(await self._get(grant_id))
            try:
                if steps:
                    await self._means.store.commit(*steps)
                return
            except StoreConflict:
                continue
        raise StoreUnavailable("the grant changes faster than it can be saved", retry_after=1.0)
